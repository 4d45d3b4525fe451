"""The approval page: every request to one answer.

GET and HEAD show. POST decides: first the link, then where the request comes from, then the form, then how the approval
stands. Whoever has no valid link learns one thing, that the link is not valid, whatever else is wrong with the request.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Literal, Protocol

from tagship.approval import quorum
from tagship.approval.errors import FormInvalid, LinkInvalid, TooManyRequests
from tagship.approval.form import Form, cross_site, form_value, is_current, read_form, reason_problem
from tagship.approval.link import LinkVerifier, Token
from tagship.approval.quorum import Record
from tagship.approval.render import render, style_hash
from tagship.approval.view import standing, view
from tagship.errors import AlreadyDecided, ApprovalClosed, ApprovalExpired, RetryableError, TokenDead

_PATH = re.compile(r"/approvals/([^/]+)")
_ID = re.compile(r"[A-Za-z0-9_-]{20,128}")


@dataclass(frozen=True, slots=True)
class PageRequest:
    """A request, free of where it came through. `query` is the raw query string."""

    method: str
    path: str
    query: str
    headers: Mapping[str, str]
    body: bytes
    source_ip: str


@dataclass(frozen=True, slots=True)
class PageResponse:
    """An answer; a status from 500 on is worth an alarm."""

    status: int
    headers: dict[str, str]
    body: str


class Decided(Protocol):
    """What a store says after it has written a decision."""

    @property
    def record(self) -> Record:
        """The approval record with the decision in it."""


class ApprovalStore(Protocol):
    """What the page needs of the ledger."""

    def get(self, approval_id: str, /) -> Record | None:
        """The approval record, read consistently."""

    def decide(
        self, approval_id: str, /, *, approver: str, decision: Literal["approve", "reject"], reason: str
    ) -> Decided:
        """Record one decision in one conditional write.

        Raises:
            AlreadyDecided: this approver, or enough approvers, had decided before.
            ApprovalClosed: the approval was closed or superseded before.
            ApprovalExpired: it had ended before.
        """

    def refused(self, approval_id: str, reason: str, source_ip: str, /) -> None:
        """Keep in the audit that somebody came with a link that is not valid."""


Deliver = Callable[[str], None]
"""Resumes the state machine with what the approval's record says; a second time changes nothing. Raises `TokenDead` when the
execution no longer waits, and a `RetryableError` when it could not be told."""


@dataclass(frozen=True, slots=True)
class Visit:
    """A request whose link is valid: who came, with what, to which approval."""

    record: Record
    approver: str
    mac: bytes
    source_ip: str
    now: datetime

    @property
    def standing(self) -> str:
        return standing(self.record, self.now)

    @property
    def own(self) -> str:
        """What this approver has decided before, or nothing."""
        decision = quorum.decision_of(self.record, self.approver)
        return str(decision["decision"]) if decision else ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """The approval page on the stores and keys of one stage."""

    store: ApprovalStore
    verifier: LinkVerifier
    deliver: Deliver
    now: datetime
    base_url: str = ""
    waits: Callable[[str], bool] | None = None

    def answer(self, request: PageRequest) -> PageResponse:
        match = _PATH.fullmatch(request.path)
        if match is None:
            return _told("missing", 404)
        if request.method not in ("GET", "HEAD", "POST"):
            return _told("method", 405, {"Allow": "GET, HEAD, POST"})
        approval_id = match[1] if _ID.fullmatch(match[1]) else ""
        headers = {name.lower(): value for name, value in request.headers.items()}
        try:
            visit = self._admit(approval_id, request)
            if request.method != "POST":
                return self._shown(visit)
            if cross_site(headers, self.base_url):
                raise LinkInvalid("sent by another site")
            return self._decided(visit, read_form(headers, request.body))
        except LinkInvalid as error:
            self.store.refused(approval_id or "unreadable", error.reason, request.source_ip)
            return _told("invalid", 403)
        except FormInvalid as error:
            return _told("malformed", error.status, problem=error.why)

    def _admit(self, approval_id: str, request: PageRequest) -> Visit:
        """Raises LinkInvalid. What can be seen from outside costs the same whether or not there is such an approval."""
        tokens = [part[2:] for part in request.query.split("&") if part.startswith("t=")]
        if not approval_id or len(tokens) != 1:
            raise LinkInvalid("malformed")
        token = Token.parse(tokens[0])
        record = self.store.get(approval_id)
        approver = self.verifier.verify(tokens[0], record, self.now)
        if record is None:
            raise LinkInvalid("unknown approval")
        return Visit(record, approver, token.mac, request.source_ip, self.now)

    def _shown(self, visit: Visit) -> PageResponse:
        if visit.standing != "open":
            return _settled(visit)
        if visit.own:
            return _told("recorded", 200, visit=visit)
        if not _counts(visit):
            return _told("author", 200, visit=visit)
        return _ask(visit)

    def _decided(self, visit: Visit, form: Form) -> PageResponse:
        if visit.standing != "open" or visit.own:
            return self._decided_before(visit, form)
        if not _counts(visit):
            self.store.refused(visit.record["id"], "the author's own release", visit.source_ip)
            return _told("author", 403, visit=visit)
        if not is_current(form, visit.mac, visit.record, visit.approver):
            return _ask(visit, form=form, status=409, stale=True)
        if problem := reason_problem(form):
            return _ask(visit, form=form, status=400, problem=problem)
        if self.waits and not self.waits(visit.record["id"]):
            return _told("dead", 409, visit=visit)
        return self._record(visit, form)

    def _record(self, visit: Visit, form: Form) -> PageResponse:
        approval_id = visit.record["id"]
        try:
            decided = self.store.decide(
                approval_id, approver=visit.approver, decision=form.decision, reason=form.reason
            )
        except (AlreadyDecided, ApprovalClosed, ApprovalExpired) as error:
            return self._too_late(visit, form, error)
        return self._resumed(replace(visit, record=decided.record), "recorded")

    def _too_late(self, visit: Visit, form: Form, error: Exception) -> PageResponse:
        """Somebody was faster than this request: look again, and tell what the ledger now says."""
        visit = replace(visit, record=self.store.get(visit.record["id"]) or visit.record)
        if visit.standing != "open" or visit.own:
            return self._decided_before(visit, form)
        return (
            _told("expired", 410, visit=visit)
            if isinstance(error, ApprovalExpired)
            else _told("closed", 409, visit=visit)
        )

    def _decided_before(self, visit: Visit, form: Form) -> PageResponse:
        """A second click is told what the first one did; whoever comes too late, what was decided without them.

        Either resumes a release whose decision was recorded and not delivered.
        """
        if visit.standing not in ("open", "approved", "rejected"):
            return _settled(visit)
        if visit.own == form.decision:
            return self._resumed(visit, "recorded", again=True)
        if visit.standing == "open":
            return _told("unchanged", 409, visit=visit)
        return self._resumed(visit, visit.standing, again=True)

    def _resumed(self, visit: Visit, kind: str, *, again: bool = False) -> PageResponse:
        """Wake the release if this settles it, then tell."""
        if visit.standing in ("approved", "rejected"):
            try:
                self.deliver(visit.record["id"])
            except TokenDead:
                if not again:
                    return _told("dead", 409, visit=visit, recorded=True)
            except RetryableError:
                return _told("undelivered", 503, {"Retry-After": "10"}, visit=visit)
        return _told(kind, 200 if kind == "recorded" else 409, visit=visit)


def respond(
    request: PageRequest,
    *,
    store: ApprovalStore,
    verifier: LinkVerifier,
    deliver: Deliver,
    now: datetime,
    base_url: str = "",
    waits: Callable[[str], bool] | None = None,
) -> PageResponse:
    """One request, one answer, as the contract has them.

    `base_url` is the address that people use, if there is one: it tells our own origin where a proxy hides it. `waits` is
    asked before a decision is recorded whether the execution still waits; without it, `deliver` finds out afterwards.
    """
    page = Page(store=store, verifier=verifier, deliver=deliver, now=now, base_url=base_url, waits=waits)
    try:
        response = page.answer(request)
    except TooManyRequests as error:
        response = _told("many", 429, {"Retry-After": str(error.retry_after)})
    except RetryableError:
        response = _told("busy", 503, {"Retry-After": "10"})
    return replace(response, body="") if request.method == "HEAD" else response


def _counts(visit: Visit) -> bool:
    return quorum.person(visit.approver) in {quorum.person(voter) for voter in quorum.voters(visit.record)}


def _ask(
    visit: Visit, *, form: Form | None = None, status: int = 200, problem: str = "", stale: bool = False
) -> PageResponse:
    """The page that asks, with what the approver had already written."""
    return _page(
        "ask.html",
        status,
        view=view(visit.record, approver=visit.approver, now=visit.now),
        form_value=form_value(visit.mac, visit.record, visit.approver),
        reason=form.reason if form else "",
        problem=problem,
        stale=stale,
    )


def _settled(visit: Visit) -> PageResponse:
    """What became of an approval that nobody decides on any more."""
    return _told(visit.standing, 410 if visit.standing == "expired" else 409, visit=visit)


def _told(
    kind: str,
    status: int,
    headers: Mapping[str, str] | None = None,
    *,
    visit: Visit | None = None,
    **values: Any,
) -> PageResponse:
    """A calm page that asks nothing."""
    shown = view(visit.record, approver=visit.approver, now=visit.now) if visit else None
    known = {
        "kind": kind,
        "view": shown,
        "standing": visit.standing if visit else "",
        "form_value": form_value(visit.mac, visit.record, visit.approver) if visit else "",
        "problem": "",
        "recorded": False,
    }
    return _page("told.html", status, headers, **{**known, **values})


def _page(
    template: str, status: int, headers: Mapping[str, str] | None = None, **values: Any
) -> PageResponse:
    return PageResponse(status, {**security_headers(), **(headers or {})}, render(template, **values))


def security_headers() -> dict[str, str]:
    """On every answer alike: no script, no frame, no cache, no referrer, nothing from anywhere else."""
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
