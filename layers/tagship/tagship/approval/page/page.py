"""The approval page: turns every request into one answer.

GET and HEAD show. POST decides: it checks first the link, then the origin of the request, then the form, then the state
of the approval. Without a valid link, a visitor learns only that the link is not valid, whatever else is wrong.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import TYPE_CHECKING, Literal, Protocol

from tagship.approval.errors import FormInvalid, LinkInvalid, SignInUnavailable, TooManyRequests
from tagship.approval.link import LinkVerifier, Token
from tagship.approval.page.answers import PageResponse, Problem, Visit, ask, plain, settled, tell
from tagship.approval.page.form import (
    Form,
    cross_site,
    is_current,
    is_old,
    number_problem,
    read_form,
    reason_problem,
)
from tagship.approval.proof import LINK, Proof
from tagship.model.errors import AlreadyDecided, ApprovalClosed, ApprovalExpired, RetryableError, TokenDead
from tagship.model.records import ReleaseRecord, RequestRecord

if TYPE_CHECKING:
    from tagship.approval.signin.login import Journey, Login

_PATH = re.compile(r"/approvals/([^/]+)")
_ID = re.compile(r"[A-Za-z0-9_-]{20,128}")
_CALLBACK = "callback"
_METHODS = ("GET", "HEAD", "POST")


@dataclass(frozen=True, slots=True)
class PageRequest:
    """A request, independent of the server. `query` is the raw query string."""

    method: str
    path: str
    query: str
    headers: Mapping[str, str]
    body: bytes
    source_ip: str
    cookies: Mapping[str, str] = field(default_factory=dict)


class Decided(Protocol):
    """A store's result after it has written a decision."""

    @property
    def record(self) -> RequestRecord:
        """The approval record including the decision."""


class ApprovalStore(Protocol):
    """The parts of the ledger that the page uses."""

    def get(self, approval_id: str, /) -> RequestRecord | None:
        """The approval record, read consistently."""

    def decide(
        self,
        approval_id: str,
        /,
        *,
        approver: str,
        decision: Literal["approve", "reject"],
        reason: str,
        identity: str,
        proof: Proof,
    ) -> Decided:
        """Records one decision in one conditional write, with the signed-in identity if the stage requires one, and
        with its proof.

        Raises:
            AlreadyDecided: this approver has already decided.
            ApprovalClosed: the approval was already decided, closed or superseded.
            ApprovalExpired: the approval has expired.
        """

    def refused(self, approval_id: str, reason: str, source_ip: str, /) -> None:
        """Records in the audit trail that somebody used an invalid link.

        Raises TooManyRequests if this address does so too often.
        """

    def sent(self, approval_id: str, approver: str, source_ip: str, /) -> None:
        """Counts a form that was sent with a valid link.

        Raises TooManyRequests if this address sends more forms than a person would.
        """


Deliver = Callable[[str], None]
"""Resumes the state machine with the outcome in the approval's record. Safe to repeat. Raises `TokenDead` if the
execution no longer waits, and a `RetryableError` if it could not be resumed."""

ReleaseOf = Callable[[RequestRecord], ReleaseRecord]
"""The current record of a request's release."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """The approval page, with the store and the keys of one stage.

    `base_url` is the public address, if there is one: it gives our own origin if a proxy hides it. `waits` checks, before
    a decision is recorded, whether the execution still waits; without it, `deliver` finds out afterwards. `login` is the
    sign-in that this stage requires, if any. `release_of` returns a request's release, to show its progress.
    """

    store: ApprovalStore
    verifier: LinkVerifier
    deliver: Deliver
    now: datetime
    base_url: str = ""
    waits: Callable[[RequestRecord], bool] | None = None
    login: Login | None = None
    release_of: ReleaseOf | None = None
    believed: Callable[[RequestRecord], None] = lambda _: None
    """Called with the request once the link is verified: before, it is only claimed."""

    def answer(self, request: PageRequest) -> PageResponse:
        """One answer for one request; the caller handles a RetryableError."""
        match = _PATH.fullmatch(request.path)
        if match is None:
            return plain("missing", 404)
        if request.method not in _METHODS:
            return plain("method", 405, headers={"Allow": ", ".join(_METHODS)})
        journey = self._journey(match[1], request)
        named = journey.approval if journey else match[1]
        approval_id = named if _ID.fullmatch(named) else ""
        try:
            if self.login and journey:
                visit = self._admit(approval_id, journey.token, request)
                return self.login.finish(journey, visit, request.query)
            return self._visited(approval_id, request)
        except LinkInvalid as error:
            self.store.refused(approval_id or "unreadable", error.reason, request.source_ip)
            return plain("invalid", 403)
        except FormInvalid as error:
            return plain("malformed", error.status, problem=error.why)

    def _journey(self, named: str, request: PageRequest) -> Journey | None:
        """The redirect to the provider or back, if this request needs one."""
        if self.login is None or named != _CALLBACK or request.method != "GET":
            return None
        return self.login.journey(request.query, request.cookies)

    def _visited(self, approval_id: str, request: PageRequest) -> PageResponse:
        headers = {name.lower(): value for name, value in request.headers.items()}
        token = _token(request.query)
        visit = self._admit(approval_id, token, request)
        if request.method == "POST":
            # Only now: visitors without a valid link must not use up the limit of those who have one.
            self.store.sent(visit.record["id"], visit.approver, request.source_ip)
            if cross_site(headers, self.base_url):
                raise LinkInvalid("sent by another site")
        if self.login:
            visit = replace(visit, identity=self.login.identity(visit, request.cookies))
            if not visit.identity:
                # The policy forbids forms that redirect to another site: a visitor whose session ended gets a link instead.
                return plain("signin", 403) if request.method == "POST" else self.login.begin(visit, token)
        if request.method != "POST":
            return self._shown(visit)
        return self.decided(visit, read_form(headers, request.body))

    def _admit(self, approval_id: str, text: str, request: PageRequest) -> Visit:
        """Raises LinkInvalid, after the same calls whether or not the approval exists."""
        if not approval_id:
            raise LinkInvalid("malformed")
        token = Token.parse(text)
        record = self.store.get(approval_id)
        approver = self.verifier.verify(text, record, self.now)
        if record is None:
            raise LinkInvalid("unknown approval")
        self.believed(record)
        follow = "follow=1" in request.query.split("&")
        proof = Proof.of_token(LINK, token)
        return Visit(
            record, approver, token.mac, request.source_ip, self.now, proof, token=text, follow=follow
        )

    def _shown(self, visit: Visit) -> PageResponse:
        if visit.own and visit.standing in ("open", "approved", "rejected"):
            return tell("recorded", 200, visit, release=self._release(visit))
        if visit.standing != "open":
            return settled(visit, release=self._release(visit))
        return ask(visit) if visit.counts else tell(visit.uncounted, 200, visit)

    def decided(self, visit: Visit, form: Form) -> PageResponse:
        """Records and delivers one decision of an authenticated approver, or explains why not."""
        if visit.standing != "open" or visit.own:
            return self._decided_before(visit, form)
        if not visit.counts:
            whose = "the author's own release" if visit.uncounted == "author" else "has left the group"
            self.store.refused(visit.record["id"], whose, visit.source_ip)
            return tell(visit.uncounted, 403, visit)
        if not is_current(form, visit.mac, visit.record, visit.approver):
            return ask(visit, form=form, status=409, notice="changed")
        if is_old(form, visit.now):
            return ask(visit, form=form, status=409, notice="old")
        if problem := _problem(visit, form):
            return ask(visit, form=form, status=400, problem=problem)
        if self.waits and not self.waits(visit.record):
            return tell("dead", 409, visit)
        return self._record(visit, form)

    def _record(self, visit: Visit, form: Form) -> PageResponse:
        try:
            decided = self.store.decide(
                visit.record["id"],
                approver=visit.approver,
                decision=form.decision,
                reason=form.reason,
                identity=visit.identity,
                proof=visit.proof,
            )
        except (AlreadyDecided, ApprovalClosed, ApprovalExpired) as error:
            return self._too_late(visit, form, error)
        return self._resumed(replace(visit, record=decided.record), "recorded")

    def _too_late(self, visit: Visit, form: Form, error: Exception) -> PageResponse:
        """Someone else was faster: read again, and show the current state."""
        visit = replace(visit, record=self.store.get(visit.record["id"]) or visit.record)
        if visit.standing != "open" or visit.own:
            return self._decided_before(visit, form)
        expired = isinstance(error, ApprovalExpired)
        return tell("expired" if expired else "closed", 410 if expired else 409, visit)

    def _decided_before(self, visit: Visit, form: Form) -> PageResponse:
        """A second click shows the first decision; a late visitor sees what was decided.

        Either resumes a release whose decision was recorded and not delivered.
        """
        if visit.standing not in ("open", "approved", "rejected"):
            return settled(visit)
        if visit.own == form.decision:
            return self._resumed(visit, "recorded", again=True)
        if visit.standing == "open":
            return tell("unchanged", 409, visit)
        return self._resumed(visit, visit.standing, again=True)

    def _resumed(self, visit: Visit, kind: str, *, again: bool = False) -> PageResponse:
        """Resumes the release if this decision completes the approval, then answers."""
        if visit.standing in ("approved", "rejected"):
            try:
                self.deliver(visit.record["id"])
            except TokenDead:
                # A pause waits in pieces: between two of them nobody listens, and the answer is read from the ledger.
                if not again and "pause" not in visit.record:
                    return tell("dead", 409, visit, recorded=True)
            except RetryableError:
                return tell("undelivered", 503, visit, headers={"Retry-After": "10"})
        return tell(kind, 200 if kind == "recorded" else 409, visit, release=self._release(visit))

    def _release(self, visit: Visit) -> ReleaseRecord | None:
        """The release of an approved request; in other cases it has ended."""
        if visit.standing != "approved" or self.release_of is None:
            return None
        return self.release_of(visit.record)


def _problem(visit: Visit, form: Form) -> Problem | None:
    """What an approver must correct before the decision counts; the number first, because scanners give none."""
    if words := number_problem(form, visit.challenge_of(form.issued).number):
        return Problem(field="number", words=words)
    if words := reason_problem(form, visit.record):
        return Problem(field="reason", words=words)
    return None


def answered(page: Page, request: PageRequest) -> PageResponse:
    """One answer for one request, as in the contract; also if AWS is unavailable."""
    try:
        response = page.answer(request)
    except TooManyRequests as error:
        response = plain("many", 429, headers={"Retry-After": str(error.retry_after)})
    except SignInUnavailable:
        response = plain("no-signin", 503, headers={"Retry-After": "60"})
    except RetryableError:
        response = plain("busy", 503, headers={"Retry-After": "10"})
    return replace(response, body="") if request.method == "HEAD" else response


def _token(query: str) -> str:
    """The one token in a link; anything else counts as none."""
    tokens = [part[2:] for part in query.split("&") if part.startswith("t=")]
    return tokens[0] if len(tokens) == 1 else ""
