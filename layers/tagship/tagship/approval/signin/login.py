"""The sign-in before the approval page: an option of a stage, for teams that do not accept a link as the only proof.

The link still names the request and the approver. The sign-in adds that the provider has verified the approver's own
mail address for the person at the browser.

A GET writes nothing here either. The browser keeps the sign-in attempt in a cookie that holds the link and a random
key. `state`, `nonce` and PKCE's verifier are derived from that key, so the cookie needs no seal: a person who alters it
alters only their own attempt, and everything is checked at the end. The session is stored in the ledger, once for each
`state`, with the values that identify the browser hashed. Only the ledger says who signed in: the page's role may not
make a MAC with which a cookie could say so.
"""

from __future__ import annotations

import base64
import functools
import hashlib
import hmac
import re
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from urllib.parse import parse_qsl, urlsplit

from tagship.approval.errors import FormInvalid, LinkInvalid
from tagship.approval.link import approval_url
from tagship.approval.page.answers import PageResponse, Visit, security_headers
from tagship.approval.signin.provider import Provider
from tagship.ledger import logins
from tagship.ledger.table import Ledger
from tagship.model.people import person
from tagship.settings import Settings

CALLBACK = "/approvals/callback"
JOURNEY_SECONDS = 600
SESSION = timedelta(minutes=15)

_JOURNEY = re.compile(r"([A-Za-z0-9_-]{43})\.([A-Za-z0-9_-]{20,128})\.([A-Za-z0-9_-]{64})")
_SESSION = re.compile(r"([A-Za-z0-9_-]{43})\.([A-Za-z0-9_-]{43})")
_STATE = re.compile(r"([A-Za-z0-9_-]{16})\.[A-Za-z0-9_-]{43}")
_CODE = re.compile(r"[\x21-\x7e]{1,2048}")
_HOST = re.compile(r"[A-Za-z0-9.-]{1,253}(:[0-9]{1,5})?")


@dataclass(frozen=True, slots=True)
class Journey:
    """One sign-in attempt: a random key, and the link with which it began."""

    key: str
    approval: str
    token: str

    def __repr__(self) -> str:
        return f"Journey({self.approval!r})"

    @property
    def state(self) -> str:
        """The value that the provider returns. It names the cookie, so only this browser can know it."""
        return f"{_short(self.approval)}.{self._made('state')}"

    @property
    def nonce(self) -> str:
        """The value that the ID token must repeat."""
        return self._made("nonce")

    @property
    def verifier(self) -> str:
        """PKCE's verifier: proves to the provider that the code comes from the client that requested it."""
        return self._made("verifier")

    @property
    def challenge(self) -> str:
        """PKCE's S256 of the verifier."""
        return _hash(self.verifier)

    def _made(self, purpose: str) -> str:
        return _text(hmac.digest(self.key.encode(), f"sign-in/1 {purpose}".encode(), "sha256"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Login:
    """The sign-in of one stage. `address` is the page's own address, as browsers show it; empty if it is unknown."""

    provider: Provider
    ledger: Ledger
    address: str

    # ---- to the provider -------------------------------------------------------------------------------------------

    def begin(self, visit: Visit, token: str) -> PageResponse:
        """Redirects to the provider.

        Raises FormInvalid if the request named no host, SignInUnavailable if the provider can't be reached.
        """
        self._refuse_without_a_host()
        journey = Journey(secrets.token_urlsafe(32), visit.record["id"], token)
        where = self.provider.address(
            redirect_uri=self.address + CALLBACK,
            state=journey.state,
            nonce=journey.nonce,
            challenge=journey.challenge,
            login_hint=visit.approver,
        )
        value = f"{journey.key}.{journey.approval}.{journey.token}"
        cookie = self._cookie(_journey_name(_short(journey.approval)), value, JOURNEY_SECONDS)
        return _see_other(where, cookie)

    # ---- back from the provider ------------------------------------------------------------------------------------

    def journey(self, query: str, cookies: Mapping[str, str]) -> Journey | None:
        """The sign-in attempt of this browser that this request ends, found by its own state; None if there is none."""
        state = _parameters(query).get("state", "")
        named = _STATE.fullmatch(state)
        kept = _JOURNEY.fullmatch(cookies.get(_journey_name(named[1]), "")) if named else None
        journey = Journey(*kept.groups()) if kept else None
        return journey if journey and hmac.compare_digest(journey.state, state) else None

    def finish(self, journey: Journey, visit: Visit, query: str) -> PageResponse:
        """Redirects to the page with a session, if the provider confirms that this person is the link's approver.

        Raises:
            LinkInvalid: the provider does not confirm it, or this attempt had already ended.
            FormInvalid: the request named no host.
            SignInUnavailable: the provider can't be reached.
        """
        self._refuse_without_a_host()
        answer = _parameters(query)
        self.provider.check_issuer(answer.get("iss"))
        if "error" in answer or not _CODE.fullmatch(answer.get("code", "")):
            raise LinkInvalid("the provider refused the sign-in")
        found = self.provider.person(
            code=answer["code"],
            verifier=journey.verifier,
            redirect_uri=self.address + CALLBACK,
            nonce=journey.nonce,
            now=visit.now,
        )
        if not _same_mail(found.mail, visit.approver):
            raise LinkInvalid("signed in as someone else")
        session, secret = _hash(journey.state), secrets.token_urlsafe(32)
        opened = logins.opened(
            self.ledger,
            visit.record,
            session=session,
            secret=_hash(secret),
            approver=visit.approver,
            identity=f"{self.provider.issuer} {found.subject}",
            until=visit.now + SESSION,
        )
        if not opened:
            raise LinkInvalid("a sign-in that was used before")
        short = _short(journey.approval)
        return _see_other(
            approval_url(self.address, journey.approval, journey.token),
            self._cookie(_session_name(short), f"{session}.{secret}", int(SESSION.total_seconds())),
            self._cookie(_journey_name(short), "", 0),
        )

    # ---- at the page -----------------------------------------------------------------------------------------------

    def identity(self, visit: Visit, cookies: Mapping[str, str]) -> str:
        """The provider's name for the person who signed in to this request as this approver; empty if nobody has."""
        cookie = _SESSION.fullmatch(cookies.get(_session_name(_short(visit.record["id"])), ""))
        session = logins.get(self.ledger, visit.record["id"], cookie[1]) if cookie else None
        if cookie is None or session is None:
            return ""
        theirs = hmac.compare_digest(session["secret"], _hash(cookie[2]))
        lives = visit.now < datetime.fromisoformat(session["until"])
        return str(session["identity"]) if theirs and lives and session["approver"] == visit.approver else ""

    def _refuse_without_a_host(self) -> None:
        if not self.address:
            raise FormInvalid("The request names no host that this page could have.")

    def _cookie(self, name: str, value: str, seconds: int) -> str:
        """Lax, not Strict: people come from their mail and from the provider, which are other sites."""
        path = urlsplit(self.address).path + "/approvals"
        return f"{name}={value}; Path={path}; Max-Age={seconds}; Secure; HttpOnly; SameSite=Lax"


def login_of(settings: Settings, ledger: Ledger, *, host: str) -> Login:
    """The sign-in that the stack requires. `host` is the page's own host, used if no other address is configured: the
    request's `Host` header, which can be anything."""
    return Login(
        provider=_provider(settings.oidc_issuer, settings.oidc_client_id, settings.stage),
        ledger=ledger,
        address=settings.approval_base_url or (f"https://{host}" if _HOST.fullmatch(host) else ""),
    )


@functools.cache
def _provider(issuer: str, client_id: str, stage: str) -> Provider:
    """Cached by the warm function, with what was fetched from it. Plain http is allowed only on loopback, for
    development."""
    return Provider(issuer=issuer, client_id=client_id, loopback=stage == "development")


def _see_other(where: str, *cookies: str) -> PageResponse:
    return PageResponse(303, security_headers() | {"Location": where}, "", cookies)


def _journey_name(short: str) -> str:
    """One cookie for each request, so that two links can be open at the same time."""
    return f"__Secure-tagship-journey-{short}"


def _session_name(short: str) -> str:
    return f"__Secure-tagship-session-{short}"


def _parameters(query: str) -> dict[str, str]:
    """The query's parameters; empty if any parameter is repeated."""
    try:
        pairs = parse_qsl(query, keep_blank_values=True, strict_parsing=True, max_num_fields=16)
    except ValueError:
        return {}
    found = dict(pairs)
    return found if len(found) == len(pairs) else {}


def _same_mail(one: str, other: str) -> bool:
    """Compares mail addresses. Only ASCII addresses are compared without case, because others may look alike but
    differ."""
    if one.isascii() and other.isascii() and one == one.strip():
        return person(one) == person(other)
    return one == other


def _short(approval: str) -> str:
    return _hash(approval)[:16]


def _hash(text: str) -> str:
    return _text(hashlib.sha256(text.encode()).digest())


def _text(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()
