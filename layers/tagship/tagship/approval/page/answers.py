"""The page's answers: the one with the form, and the calm ones that only inform. All get the same browser policy."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from functools import lru_cache
from typing import Literal

from tagship.approval import quorum
from tagship.approval.page.form import Challenge, Form, challenge
from tagship.approval.page.progress import FOLLOW_SECONDS, progress
from tagship.approval.page.render import render, style_hash
from tagship.approval.page.view import standing, view
from tagship.approval.proof import Proof
from tagship.model.people import person
from tagship.model.records import ReleaseRecord, RequestRecord


@dataclass(frozen=True, slots=True)
class PageResponse:
    """An answer; a status of 500 or more triggers an alarm."""

    status: int
    headers: dict[str, str]
    body: str
    cookies: tuple[str, ...] = ()
    kind: str = ""
    """Its content in one word, for channels other than a page."""


@dataclass(frozen=True, slots=True)
class Visit:
    """A request with a valid link: who, with what, to which approval."""

    record: RequestRecord
    approver: str
    mac: bytes
    source_ip: str
    now: datetime
    proof: Proof
    """The proof that this approver was asked: kept with an approval."""
    identity: str = ""
    """The provider's name for the person, if the stage requires a sign-in."""
    token: str = field(default="", repr=False)
    follow: bool = False
    """Whether this approver asked to follow the progress."""

    @property
    def standing(self) -> str:
        """`open`, or the outcome of the approval."""
        return standing(self.record, self.now)

    @property
    def own(self) -> str:
        """This approver's earlier decision, or empty."""
        decision = quorum.decision_of(self.record, self.approver)
        return str(decision["decision"]) if decision else ""

    @property
    def counts(self) -> bool:
        """Whether this approver can decide on this release."""
        voters = {person(voter) for voter in quorum.voters(self.record)}
        return person(self.approver) in voters

    @property
    def uncounted(self) -> str:
        """Why not: `left`, for who left the group that was asked, or `author`."""
        left = {person(who) for who in self.record.get("left") or ()}
        return "left" if person(self.approver) in left else "author"

    @property
    def challenge(self) -> Challenge:
        """The value that this approver's form must send while the approval is unchanged."""
        return self.challenge_of(self.now)

    def challenge_of(self, issued: datetime) -> Challenge:
        """The same, for a page that was made at that time."""
        return challenge(self.mac, self.record, self.approver, issued)


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """Why a form was refused: the field to correct, and what is wrong with it."""

    field: Literal["number", "reason"]
    words: str


def ask(
    visit: Visit,
    *,
    form: Form | None = None,
    status: int = 200,
    problem: Problem | None = None,
    notice: Literal["", "changed", "old"] = "",
) -> PageResponse:
    """The page with the form, and with what the approver had already written.

    If only the reason was wrong, the number stays, so that nobody has to type it twice.
    """
    keeps = form if problem and problem.field == "reason" else None
    asks = visit.challenge_of(keeps.issued) if keeps else visit.challenge
    body = render(
        "ask.html",
        view=view(visit.record, approver=visit.approver, now=visit.now),
        form_value=asks.value,
        number=asks.number,
        typed=keeps.number if keeps else "",
        reason=form.reason if form else "",
        problem=problem,
        notice=notice,
    )
    return PageResponse(status, security_headers(), body)


def tell(
    kind: str,
    status: int,
    visit: Visit,
    *,
    headers: Mapping[str, str] | None = None,
    recorded: bool = False,
    release: ReleaseRecord | None = None,
) -> PageResponse:
    """The outcome of an approval or a decision; `recorded` distinguishes the two cases in which the execution is gone.

    `release` is the release's record in the ledger, if it continues.
    """
    goes = progress(visit.record, release) if release else None
    following = visit.follow and goes is not None and goes["underway"]
    body = render(
        "outcome.html",
        kind=kind,
        view=view(visit.record, approver=visit.approver, now=visit.now),
        standing=visit.standing,
        form_value=visit.challenge.value,
        recorded=recorded,
        problem="",
        progress=goes,
        following=following,
        # If nothing is left to decide, the link can no longer decide anything, and the page can repeat it.
        token=visit.token if goes and goes["underway"] else "",
        follow_seconds=FOLLOW_SECONDS,
    )
    again = {"Refresh": str(FOLLOW_SECONDS)} if following else {}
    return PageResponse(status, security_headers() | again | dict(headers or {}), body, kind=kind)


def settled(visit: Visit, *, release: ReleaseRecord | None = None) -> PageResponse:
    """The outcome of an approval that is no longer open.

    A GET gets the same status: programs that read only the status learn whether the link can still decide.
    """
    return tell(visit.standing, 410 if visit.standing == "expired" else 409, visit, release=release)


def plain(
    kind: str, status: int, *, headers: Mapping[str, str] | None = None, problem: str = ""
) -> PageResponse:
    """An answer that reveals nothing about any approval: the same bytes for everyone."""
    return PageResponse(status, security_headers() | dict(headers or {}), _plain(kind, problem))


@lru_cache(maxsize=32)
def _plain(kind: str, problem: str) -> str:
    """Rendered once, so that a flood of bad links causes no rendering."""
    return render(
        "outcome.html",
        kind=kind,
        view=None,
        standing="",
        form_value="",
        recorded=False,
        problem=problem,
        progress=None,
        following=False,
        token="",
        follow_seconds=0,
    )


def security_headers() -> dict[str, str]:
    """For every answer: no scripts, frames, caching, referrer or external content."""
    policy = (
        "default-src 'none'",
        f"style-src {style_hash()}",
        "form-action 'self'",
        "frame-ancestors 'none'",
        "base-uri 'none'",
    )
    return {
        "Content-Type": "text/html; charset=utf-8",
        "Content-Security-Policy": "; ".join(policy),
        "Cache-Control": "no-store",
        "Referrer-Policy": "no-referrer",
        "X-Content-Type-Options": "nosniff",
        "X-Frame-Options": "DENY",
        "Strict-Transport-Security": "max-age=63072000",
        "Cross-Origin-Opener-Policy": "same-origin",
        "Cross-Origin-Resource-Policy": "same-origin",
        "Permissions-Policy": "camera=(), geolocation=(), microphone=(), payment=()",
        "X-Robots-Tag": "noindex, nofollow, noarchive",
    }
