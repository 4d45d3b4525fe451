"""Reads a request without the people who have left a group since they were asked."""

from __future__ import annotations

from collections.abc import Callable

from tagship.approval.quorum import Outcome, outcome
from tagship.ledger import approvals, groups
from tagship.ledger.table import Ledger
from tagship.model.records import RequestRecord


def request_now(ledger: Ledger, approval_id: str, *, decides: bool = False) -> RequestRecord | None:
    """The request, read consistently; None if there is none. `decides`: a decision may follow and goes on from this read."""
    found = (approvals.peek if decides else approvals.get)(ledger, approval_id)
    return groups.as_they_are(ledger, found) if found else None


def judged_by(ledger: Ledger) -> Callable[[RequestRecord], Outcome]:
    """How the decisions on a request stand, by the groups as they are at that moment."""
    return lambda request: outcome(groups.as_they_are(ledger, request))
