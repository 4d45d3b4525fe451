"""The OpenID Connect provider: where people sign in, and how its answers are verified.

Imported only if a stage requires a sign-in. PyJWT and cryptography are loaded when the first token is checked. The warm
function caches what it fetches from the provider. One request costs at most `SECONDS` and `MAX_BYTES`.
"""

from __future__ import annotations

import hmac
import http
import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any, Protocol
from urllib.parse import urlencode, urlsplit

from tagship.approval.errors import LinkInvalid, SignInUnavailable
from tagship.aws import web
from tagship.aws.hosts import LOOPBACK

if TYPE_CHECKING:
    from jwt import PyJWK

SECONDS = 3.0
"""The time limit of one request. A callback makes at most four, and the page has 15 s in all."""
MAX_BYTES = 256 * 1024
KEEP_SECONDS = 3600.0
REFETCH_SECONDS = 30.0
"""An unknown key may be a new one, so the keys are fetched again, but no more often than this many seconds."""
LEEWAY_SECONDS = 60
"""The allowed difference, in seconds, between the provider's clock and ours."""
FRESH_SECONDS = 600
"""The maximum age, in seconds, of an ID token that was just fetched."""

_KEY_TYPES = {"RS256": ("RSA", None), "ES256": ("EC", "P-256")}
"""The accepted algorithms and the key type that each needs. Never `none`, and never one that uses a public key as a
secret."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Person:
    """A person known to the provider: the provider's own identifier and a verified mail address."""

    subject: str
    mail: str


class Fetch(Protocol):
    """Sends one request to the provider: a GET, or a POST of a form."""

    def __call__(self, url: str, form: Mapping[str, str] | None = None, /) -> bytes:
        """Raises SignInUnavailable if there is no response, LinkInvalid if a form is refused."""


def fetch(url: str, form: Mapping[str, str] | None = None, /) -> bytes:
    """Sends one request without a proxy and without following redirects, within `SECONDS` and `MAX_BYTES`."""
    host = urlsplit(url).hostname or "the provider"
    try:
        answer = web.send(
            url,
            to=host,
            method="GET" if form is None else "POST",
            form=form,
            headers={"Accept": "application/json"},
            seconds=SECONDS,
            most=MAX_BYTES + 1,
        )
    except web.RequestFailed as failed:
        raise SignInUnavailable(str(failed)) from failed
    if form is not None and 400 <= answer.status < 500 and answer.status != http.HTTPStatus.TOO_MANY_REQUESTS:
        raise LinkInvalid("the provider refused the sign-in's code")
    if answer.status != http.HTTPStatus.OK or len(answer.body) > MAX_BYTES:
        raise SignInUnavailable(f"{host} answered {answer.status} with {len(answer.body)} bytes")
    return answer.body


@dataclass(slots=True, kw_only=True)
class Provider:
    """One provider and this stack's registration with it. It is a public client, so there is no secret.

    `issuer` must equal the provider's own value exactly. `loopback` allows plain http on this machine.
    """

    issuer: str
    client_id: str
    loopback: bool = False
    fetch: Fetch = fetch
    clock: Callable[[], float] = time.monotonic
    _kept: dict[str, tuple[float, dict[str, object]]] = field(default_factory=dict)

    def address(self, *, redirect_uri: str, state: str, nonce: str, challenge: str, login_hint: str) -> str:
        """The address for the sign-in: authorization code flow with PKCE (RFC 7636, S256).

        Raises SignInUnavailable if the provider can't be reached or does not support what this needs.
        """
        query = {
            "response_type": "code",
            "client_id": self.client_id,
            "redirect_uri": redirect_uri,
            "scope": "openid email",
            "state": state,
            "nonce": nonce,
            "code_challenge": challenge,
            "code_challenge_method": "S256",
            "login_hint": login_hint,
        }
        endpoint = self._endpoint("authorization_endpoint")
        return endpoint + ("&" if "?" in endpoint else "?") + urlencode(query)

    def person(self, *, code: str, verifier: str, redirect_uri: str, nonce: str, now: datetime) -> Person:
        """Returns who signed in: exchanges the code, and accepts an ID token only after all checks.

        Raises:
            LinkInvalid: the code or the token is not valid; the reason is for the audit trail.
            SignInUnavailable: the provider can't be reached.
        """
        form = {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": redirect_uri,
            "client_id": self.client_id,
            "code_verifier": verifier,
        }
        answer = _object(self.fetch(self._endpoint("token_endpoint"), form))
        token = answer.get("id_token")
        if not isinstance(token, str):
            raise LinkInvalid("the provider gave no ID token")
        claims = self._claims(token)
        _check(claims, client_id=self.client_id, nonce=nonce, now=now)
        return Person(subject=str(claims["sub"])[:255], mail=str(claims["email"]))

    def check_issuer(self, named: str | None) -> None:
        """A response that names an issuer must name ours (RFC 9207). A provider that announces this parameter must send
        it.

        Raises LinkInvalid.
        """
        must = self._metadata().get("authorization_response_iss_parameter_supported") is True
        if named != self.issuer and (must or named is not None):
            raise LinkInvalid("the sign-in came back from another provider")

    def _claims(self, token: str) -> dict[str, object]:
        """The claims of a token, after its signature, issuer and audience are verified."""
        import jwt

        try:
            header = jwt.get_unverified_header(token)
            if header.get("alg") not in _KEY_TYPES:
                raise LinkInvalid("the ID token is signed in a way that is not accepted")
            claims: dict[str, object] = jwt.decode(
                token,
                self._key(header["alg"], header.get("kid")),
                algorithms=list(_KEY_TYPES),
                audience=self.client_id,
                issuer=self.issuer,
                # Times are compared with our own clock in `_check`.
                options={
                    "require": ["iss", "sub", "aud", "exp", "iat", "nonce"],
                    "enforce_minimum_key_length": True,
                    "verify_exp": False,
                    "verify_iat": False,
                    "verify_nbf": False,
                },
            )
        except jwt.PyJWTError as error:
            raise LinkInvalid(f"the ID token is not valid: {type(error).__name__}") from error
        return claims

    def _key(self, algorithm: str, key_id: object) -> PyJWK:
        from jwt import PyJWK

        found = self._fitting(algorithm, key_id, keep=KEEP_SECONDS)
        if len(found) != 1:
            found = self._fitting(algorithm, key_id, keep=REFETCH_SECONDS)
        if len(found) != 1:
            raise LinkInvalid("the ID token is signed by a key that the provider does not publish")
        return PyJWK.from_dict(found[0], algorithm)

    def _fitting(self, algorithm: str, key_id: object, *, keep: float) -> list[dict[str, object]]:
        """The published keys that could have made such a signature."""
        published = self._get(self._endpoint("jwks_uri"), keep=keep).get("keys")
        kind, curve = _KEY_TYPES[algorithm]
        return [
            key
            for key in (published if isinstance(published, list) else [])
            if isinstance(key, dict)
            and key.get("kty") == kind
            and key.get("crv") == curve
            and key.get("use", "sig") == "sig"
            and key.get("alg", algorithm) == algorithm
            and key_id in (None, key.get("kid"))
        ]

    def _metadata(self) -> dict[str, object]:
        metadata = self._get(f"{self.issuer.rstrip('/')}/.well-known/openid-configuration", keep=KEEP_SECONDS)
        if metadata.get("issuer") != self.issuer:
            raise SignInUnavailable("the provider reports a different issuer")
        return metadata

    def _endpoint(self, name: str) -> str:
        return self._allowed(str(self._metadata().get(name) or ""))

    def _allowed(self, url: str) -> str:
        parts = urlsplit(url)
        plain = self.loopback and parts.scheme == "http" and parts.hostname in LOOPBACK
        if not (parts.scheme == "https" or plain) or not parts.hostname or parts.username or parts.fragment:
            raise SignInUnavailable("the provider's addresses must be https")
        return url

    def _get(self, url: str, *, keep: float) -> dict[str, object]:
        at, kept = self._kept.get(url, (0.0, {}))
        if not kept or self.clock() - at >= keep:
            kept = _object(self.fetch(self._allowed(url)))
            self._kept[url] = (self.clock(), kept)
        return kept


def _object(body: bytes) -> dict[str, object]:
    try:
        document = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise SignInUnavailable("the provider's answer is not JSON") from error
    if not isinstance(document, dict):
        raise SignInUnavailable("the provider's answer is not JSON object")
    return document


def _check(claims: Mapping[str, Any], *, client_id: str, nonce: str, now: datetime) -> None:
    """The client's checks of OpenID Connect Core 3.1.3.7 besides signature, issuer and audience, and a verified mail
    address."""
    audience, seconds = claims["aud"], now.timestamp()
    if ((isinstance(audience, list) and len(audience) > 1) or "azp" in claims) and claims.get(
        "azp"
    ) != client_id:
        raise LinkInvalid("the ID token was issued to a different client")
    if not hmac.compare_digest(str(claims["nonce"]).encode(), nonce.encode()):
        raise LinkInvalid("the ID token belongs to a different sign-in")
    times = [claims["exp"], claims["iat"], claims.get("nbf", claims["iat"])]
    if not all(isinstance(at, int | float) and not isinstance(at, bool) for at in times):
        raise LinkInvalid("the ID token has no times")
    expires, issued, begins = times
    if (
        expires <= seconds - LEEWAY_SECONDS
        or max(issued, begins) > seconds + LEEWAY_SECONDS
        or issued < seconds - FRESH_SECONDS
    ):
        raise LinkInvalid("the ID token is not valid at this time")
    if claims.get("email_verified") is not True or not isinstance(claims.get("email"), str):
        raise LinkInvalid("the provider has not verified the mail address")
