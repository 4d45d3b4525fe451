"""A GitHub on the loopback address that keeps to its API for acme/storefront: deployments, statuses, an App's jobs."""

from __future__ import annotations

import functools
import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from typing import Any
from urllib.parse import parse_qs, urlsplit

import jwt
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from tests.http_server import LocalServer

APP, INSTALLATION, RUN = "Iv23liAbCdEf", 119022551, 23625057533
WEBHOOK_SECRET = "3d1f0b8e6a2c4975b1e0"
SPARE = 60
"""Seconds that GitHub adds to a token's ten minutes, at most, for another clock."""


@functools.cache
def private_key() -> str:
    """The App's, as GitHub generates it."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    form = serialization.PrivateFormat.TraditionalOpenSSL
    pem = key.private_bytes(serialization.Encoding.PEM, form, serialization.NoEncryption())
    return pem.decode()


@functools.cache
def public_key() -> Any:
    """What GitHub has of it."""
    return serialization.load_pem_private_key(private_key().encode(), password=None).public_key()


def app_secret() -> str:
    """The App, as its secret has it."""
    return json.dumps({"appId": APP, "privateKey": private_key()})


@dataclass
class GitHub:
    """Deployments, their statuses and commit statuses, under GitHub's paths; `token` is the right one."""

    deployments: list[dict[str, Any]] = field(default_factory=list)
    statuses: dict[int, list[dict[str, Any]]] = field(default_factory=dict)
    commits: list[dict[str, Any]] = field(default_factory=list)
    down: bool = False
    token: str = "ghp_0123456789abcdefghijABCDEFGHIJ012345"
    asked: list[str] = field(default_factory=list)
    api: str = ""
    reviews: list[dict[str, Any]] = field(default_factory=list)
    """What the App answered about jobs."""
    cancelled: bool = False
    """Whether every job has its answer."""
    hook: str = "https://approve.example.com/github/storefront"
    granted: dict[str, str] = field(default_factory=lambda: {"actions": "read", "deployments": "write"})
    head_sha: str = "0123456789abcdef0123456789abcdef01234567"
    """The commit of the workflow's run."""
    installation_token: str = "ghs_0123456789abcdefghijABCDEFGHIJ012345"

    def answer(self, method: str, path: str, token: str, data: Any) -> tuple[int, Any]:
        self.asked.append(f"{method} {path}")
        if self.down:
            return 503, {"message": "down"}
        if path.startswith("/app"):
            return self._as_app(method, path, token.removeprefix("Bearer "), data)
        if "/actions/runs/" in path:
            return self._of_a_run(method, path, token, data)
        if token != f"Bearer {self.token}":
            return 401, {"message": "Bad credentials"}
        parts = urlsplit(path)
        assert parts.path.startswith("/repos/acme/storefront/")
        match [method, *parts.path.removeprefix("/repos/acme/storefront/").split("/")]:
            case ["GET", "deployments"]:
                asked = {name: value[0] for name, value in parse_qs(parts.query).items()}
                return 200, [
                    it
                    for it in self.deployments
                    if (it["sha"], it["environment"]) == (asked["sha"], asked["environment"])
                ]
            case ["POST", "deployments"]:
                assert data["required_contexts"] == []
                assert data["auto_merge"] is False
                made = {**data, "id": len(self.deployments) + 1, "sha": data["ref"]}
                self.deployments.append(made)
                self.statuses[made["id"]] = []
                return 201, made
            case ["GET", "deployments", number, "statuses"]:
                return 200, self.statuses[int(number)]
            case ["POST", "deployments", number, "statuses"]:
                assert len(data["description"]) <= 140
                self.statuses[int(number)].insert(0, data)
                return 201, data
            case ["POST", "statuses", commit]:
                assert data["state"] in ("error", "failure", "pending", "success")
                self.commits.append({**data, "commit": commit})
                return 201, data
        return 404, {"message": "Not Found"}

    def _as_app(self, method: str, path: str, token: str, data: Any) -> tuple[int, Any]:
        """Only for who holds the App's private key, and with a token that is not for longer than ten minutes."""
        try:
            claims = jwt.decode(
                token, public_key(), algorithms=["RS256"], options={"require": ["iat", "exp"]}
            )
        except jwt.exceptions.PyJWTError:
            return 401, {"message": "A JSON web token could not be decoded"}
        if claims["iss"] != APP or claims["exp"] > time.time() + 600 + SPARE:
            return 401, {"message": "'Expiration time' claim ('exp') is too far in the future"}
        match [method, *path.strip("/").split("/")]:
            case ["GET", "app"]:
                return 200, {
                    "slug": "tagship",
                    "permissions": self.granted,
                    "events": ["deployment_protection_rule"],
                }
            case ["GET", "app", "hook", "config"]:
                return 200, {"url": self.hook, "content_type": "json"}
            case ["POST", "app", "installations", number, "access_tokens"]:
                if int(number) != INSTALLATION:
                    return 404, {"message": "Not Found"}
                wanted = {"actions": "read", "deployments": "write"}
                if data != {"repositories": ["storefront"], "permissions": wanted}:
                    return 422, {"message": "not what it needs, or more"}
                return 201, {"token": self.installation_token, "expires_at": "2026-11-23T11:00:00Z"}
        return 404, {"message": "Not Found"}

    def _of_a_run(self, method: str, path: str, token: str, data: Any) -> tuple[int, Any]:
        if token != f"Bearer {self.installation_token}":
            return 401, {"message": "Bad credentials"}
        run = f"/repos/acme/storefront/actions/runs/{RUN}"
        if (method, path) == ("GET", run):
            return 200, {"id": RUN, "head_sha": self.head_sha, "head_branch": "v1.4.0", "event": "push"}
        assert (method, path) == ("POST", f"{run}/deployment_protection_rule")
        assert data["environment_name"] and data["comment"] and len(data["comment"]) <= 1024
        if self.cancelled:
            return 422, {"message": "No pending deployment requests to approve or reject"}
        self.reviews.append(data)
        return 204, None

    @property
    def states(self) -> list[str]:
        """The states of what the App answered; empty for a comment alone."""
        return [review.get("state", "") for review in self.reviews]


def asking(
    api: str = "https://api.github.com", *, ref: str = "v1.4.0", number: int = 4189575565, **changes: Any
) -> dict[str, Any]:
    """The payload of a job that waits, with the fields that GitHub sends."""
    return {
        "action": "requested",
        "environment": "production",
        "event": "push",
        "sha": "0123456789abcdef0123456789abcdef01234567",
        "ref": ref,
        "deployment_callback_url": f"{api}/repos/acme/storefront/actions/runs/{RUN}/deployment_protection_rule",
        "deployment": {"id": number, "environment": "production"},
        "pull_requests": [],
        "repository": {"id": 1192056896, "name": "storefront", "full_name": "acme/storefront"},
        "installation": {"id": INSTALLATION},
        "sender": {"login": "dana", "id": 242828183},
    } | changes


@contextmanager
def github() -> Iterator[GitHub]:
    """Until the block ends."""
    fake = GitHub()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            status, answer = fake.answer(
                self.command, self.path, self.headers["Authorization"], json.loads(body) if body else None
            )
            self.send_response(status)
            self.end_headers()
            self.wfile.write(json.dumps(answer).encode())

        do_GET = do_POST

        def log_message(self, *_: object) -> None:
            pass

    server = LocalServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    fake.api = f"http://127.0.0.1:{server.server_port}"
    try:
        yield fake
    finally:
        server.shutdown()
        server.server_close()
