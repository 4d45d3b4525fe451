"""The sign-in before the page: an option of a stage, for whoever finds that a link alone is too little.

The link still says which request and which approver. The sign-in adds that the provider knows the person in front of the
browser by the approver's own, verified mail address.

Who looks (GET) writes nothing here either: the journey to the provider is kept by the browser, in a cookie that holds the
link and a random key. `state`, `nonce` and PKCE's verifier are made from that key, so nothing needs to be sealed: whoever
alters the cookie alters their own journey, and what must be true is checked when it ends. The session is the ledger's. It
is written once for a `state`, with what it takes to know the browser again hashed, and nothing but the ledger says who
signed in: the page's role may make no MAC with which a cookie could say so.
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

from tagship.approval.errors import LinkInvalid
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


@dataclass(frozen=True, slots=True)
class Journey:
    """One way to the provider and back: a random key, and the link with which it began."""

    key: str
    approval: str
    token: str

    def __repr__(self) -> str:
        return f"Journey({self.approval!r})"

    @property
    def state(self) -> str:
        """What the provider hands back: it names the cookie, and only who has the cookie can know it."""
        return f"{_short(self.approval)}.{self._made('state')}"

    @property
    def nonce(self) -> str:
        """What the ID token must repeat."""
        return self._made("nonce")

    @property
    def verifier(self) -> str:
        """PKCE's: proves to the provider that who brings the code is who asked for it."""
        return self._made("verifier")

    @property
    def challenge(self) -> str:
        """PKCE's S256 of the verifier."""
        return _hash(self.verifier)

    def _made(self, purpose: str) -> str:
        return _text(hmac.digest(self.key.encode(), f"sign-in/1 {purpose}".encode(), "sha256"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Login:
    """The sign-in of one stage. `address` is the page's own, as people have it in their browser."""

    provider: Provider
    ledger: Ledger
    address: str

    # ---- out -------------------------------------------------------------------------------------------------------

    def begin(self, visit: Visit, token: str) -> PageResponse:
        """To the provider. Raises SignInUnavailable when it can't be asked."""
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

    # ---- and back --------------------------------------------------------------------------------------------------

    def journey(self, query: str, cookies: Mapping[str, str]) -> Journey | None:
        """The journey of this browser that ends here: its own state, and nobody else's."""
        state = _parameters(query).get("state", "")
        named = _STATE.fullmatch(state)
        kept = _JOURNEY.fullmatch(cookies.get(_journey_name(named[1]), "")) if named else None
        journey = Journey(*kept.groups()) if kept else None
        return journey if journey and hmac.compare_digest(journey.state, state) else None

    def finish(self, journey: Journey, visit: Visit, query: str) -> PageResponse:
        """Back to the page, with a session, if the provider says that this is the link's approver.

        Raises:
            LinkInvalid: it does not, or this very journey had ended before.
            SignInUnavailable: the provider could not be asked.
        """
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

    # ---- there -----------------------------------------------------------------------------------------------------

    def identity(self, visit: Visit, cookies: Mapping[str, str]) -> str:
        """Who signed in to this request as this approver, in the provider's words; nothing when nobody has."""
        cookie = _SESSION.fullmatch(cookies.get(_session_name(_short(visit.record["id"])), ""))
        session = logins.get(self.ledger, visit.record["id"], cookie[1]) if cookie else None
        if cookie is None or session is None:
            return ""
        theirs = hmac.compare_digest(session["secret"], _hash(cookie[2]))
        lives = visit.now < datetime.fromisoformat(session["until"])
        return str(session["identity"]) if theirs and lives and session["approver"] == visit.approver else ""

    def _cookie(self, name: str, value: str, seconds: int) -> str:
        """Lax, not Strict: people come from their mail and from the provider, which are other sites."""
        path = urlsplit(self.address).path + "/approvals"
        return f"{name}={value}; Path={path}; Max-Age={seconds}; Secure; HttpOnly; SameSite=Lax"


def login_of(settings: Settings, ledger: Ledger, *, host: str) -> Login:
    """The sign-in that the stack asks for; `host` is the page's own, where it has no other address."""
    return Login(
        provider=_provider(settings.oidc_issuer, settings.oidc_client_id, settings.stage),
        ledger=ledger,
        address=settings.approval_base_url or f"https://{host}",
    )


@functools.cache
def _provider(issuer: str, client_id: str, stage: str) -> Provider:
    """Kept by the warm function, with what was fetched from it. Plain http on loopback is for a developer's machine."""
    return Provider(issuer=issuer, client_id=client_id, loopback=stage == "development")


def _see_other(where: str, *cookies: str) -> PageResponse:
    return PageResponse(303, security_headers() | {"Location": where}, "", cookies)


def _journey_name(short: str) -> str:
    """One for each request, so that two links may be opened side by side."""
    return f"__Secure-tagship-journey-{short}"


def _session_name(short: str) -> str:
    return f"__Secure-tagship-session-{short}"


def _parameters(query: str) -> dict[str, str]:
    """Each parameter once, or none at all."""
    try:
        pairs = parse_qsl(query, keep_blank_values=True, strict_parsing=True, max_num_fields=16)
    except ValueError:
        return {}
    found = dict(pairs)
    return found if len(found) == len(pairs) else {}


def _same_mail(one: str, other: str) -> bool:
    """One mailbox; where addresses are not ASCII, two that look alike may be two people's, so each character counts."""
    if one.isascii() and other.isascii() and one == one.strip():
        return person(one) == person(other)
    return one == other


def _short(approval: str) -> str:
    return _hash(approval)[:16]


def _hash(text: str) -> str:
    return _text(hashlib.sha256(text.encode()).digest())


def _text(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()
