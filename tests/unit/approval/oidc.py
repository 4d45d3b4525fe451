"""A small OpenID Connect provider on loopback: discovery, authorize, token and keys over HTTP, with real signatures.

It does what a good provider does. A test makes it a bad one, in one thing at a time.
"""

from __future__ import annotations

import base64
import functools
import hashlib
import json
import secrets
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import datetime
from http.server import BaseHTTPRequestHandler
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from jwt.algorithms import ECAlgorithm, RSAAlgorithm

from tagship.runtime import utc_now
from tests.http_server import LocalServer

CLIENT = "tagship-test"


@functools.cache
def rsa_key(name: str = "first", bits: int = 2048) -> rsa.RSAPrivateKey:
    """One for all tests, because making one takes its time."""
    return rsa.generate_private_key(public_exponent=65537, key_size=bits)


@functools.cache
def ec_key(name: str = "first") -> ec.EllipticCurvePrivateKey:
    return ec.generate_private_key(ec.SECP256R1())


def public(key: Any, key_id: str, **more: str) -> dict[str, str]:
    """A key as a provider publishes it."""
    algorithm: Any = RSAAlgorithm if isinstance(key, rsa.RSAPrivateKey) else ECAlgorithm
    return {**algorithm.to_jwk(key.public_key(), as_dict=True), "kid": key_id, "use": "sig", **more}


@dataclass
class LocalProvider:
    """A provider on loopback: its requests, its users, and its responses."""

    port: int = 0
    mail: str = "ana@example.com"
    asks: bool = False
    """Shows a page with a button, like a provider without a session."""
    now: Callable[[], datetime] = utc_now
    algorithm: str = "RS256"
    key: Any = field(default_factory=rsa_key)
    key_id: str | None = "key-1"
    keys: list[dict[str, str]] = field(default_factory=lambda: [public(rsa_key(), "key-1")])
    metadata: dict[str, Any] = field(default_factory=dict)
    """Overrides for its discovery document."""
    claims: dict[str, Any] = field(default_factory=dict)
    """Overrides for its ID tokens; None removes a claim."""
    answer: Callable[[str, bytes], tuple[int, bytes]] | None = None
    """A last look at what it answers to a path."""
    refuses: str = ""
    """An error code returned for every sign-in."""
    seen: list[str] = field(default_factory=list)
    """Every request in full: line, headers and body."""
    codes: dict[str, dict[str, str]] = field(default_factory=dict)

    @property
    def issuer(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def paths(self) -> list[str]:
        """The requested paths, without their data."""
        return [request.split()[1].split("?")[0] for request in self.seen]

    def discovery(self) -> dict[str, Any]:
        return {
            "issuer": self.issuer,
            "authorization_endpoint": f"{self.issuer}/authorize",
            "token_endpoint": f"{self.issuer}/token",
            "jwks_uri": f"{self.issuer}/jwks",
            "code_challenge_methods_supported": ["S256"],
            **self.metadata,
        }

    def authorize(self, query: Mapping[str, str]) -> str:
        """Where the browser is sent back to, with a code or without."""
        assert query["response_type"] == "code" and query["client_id"] == CLIENT
        assert query["code_challenge_method"] == "S256" and "openid" in query["scope"].split()
        if self.refuses:
            return f"{query['redirect_uri']}?{urlencode({'error': self.refuses, 'state': query['state']})}"
        code = secrets.token_urlsafe(16)
        self.codes[code] = dict(query)
        return f"{query['redirect_uri']}?{urlencode({'code': code, 'state': query['state']})}"

    def token(self, form: Mapping[str, str]) -> tuple[int, dict[str, Any]]:
        """An ID token for a code: once, to whom asked for it."""
        asked = self.codes.pop(form.get("code", ""), None)
        challenge = hashlib.sha256(form.get("code_verifier", "").encode()).digest()
        if (
            asked is None
            or form["grant_type"] != "authorization_code"
            or form["client_id"] != CLIENT
            or form["redirect_uri"] != asked["redirect_uri"]
            or base64.urlsafe_b64encode(challenge).rstrip(b"=").decode() != asked["code_challenge"]
        ):
            return 400, {"error": "invalid_grant"}
        return 200, {
            "access_token": "unused",
            "token_type": "Bearer",
            "id_token": self.signed(asked["nonce"]),
        }

    def signed(self, nonce: str) -> str:
        seconds = int(self.now().timestamp())
        claims = {
            "iss": self.issuer,
            "sub": "248289761001",
            "aud": CLIENT,
            "iat": seconds,
            "exp": seconds + 300,
            "nonce": nonce,
            "email": self.mail,
            "email_verified": True,
            **self.claims,
        }
        said = {name: value for name, value in claims.items() if value is not None}
        headers = {"kid": self.key_id} if self.key_id else {}
        return jwt.encode(said, self.key, algorithm=self.algorithm, headers=headers)


class _Handler(BaseHTTPRequestHandler):
    provider: LocalProvider

    def do_GET(self) -> None:
        here, parts = self.provider, urlsplit(self.path)
        query = {name: values[0] for name, values in parse_qs(parts.query).items()}
        self._seen(b"")
        if parts.path == "/authorize" and here.asks and "yes" not in query:
            fields = "".join(f'<input type="hidden" name="{n}" value="{v}">' for n, v in query.items())
            page = f'<!doctype html><title>Sign in</title><form action="/authorize">{fields}'
            self._send(
                200, f'{page}<button name="yes" value="1">Sign in</button></form>'.encode(), "text/html"
            )
        elif parts.path == "/authorize":
            self.send_response(302)
            self.send_header("Location", here.authorize(query))
            self.send_header("Content-Length", "0")
            self.end_headers()
        else:
            known = {"/.well-known/openid-configuration": here.discovery(), "/jwks": {"keys": here.keys}}
            found = known.get(parts.path)
            self._send(200 if found else 404, json.dumps(found or {}).encode())

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self._seen(body)
        form = {name: values[0] for name, values in parse_qs(body.decode()).items()}
        status, answer = self.provider.token(form)
        self._send(status, json.dumps(answer).encode())

    def _seen(self, body: bytes) -> None:
        self.provider.seen.append(f"{self.requestline}\n{self.headers}\n{body.decode()}")

    def _send(self, status: int, body: bytes, kind: str = "application/json") -> None:
        if self.provider.answer:
            status, body = self.provider.answer(urlsplit(self.path).path, body)
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        if status in (301, 302, 307):
            self.send_header("Location", "/.well-known/openid-configuration")
        self.end_headers()
        with suppress(ConnectionError):
            self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def local_provider(**how: Any) -> Iterator[LocalProvider]:
    """A provider that answers while the block lasts."""
    provider = LocalProvider(**how)
    server = LocalServer(
        ("127.0.0.1", 0), type("Handler", (_Handler,), {"provider": provider}), bind_and_activate=True
    )
    server.daemon_threads = True
    provider.port = server.server_address[1]
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield provider
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
