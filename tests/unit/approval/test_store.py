"""What the page sees of the ledger, and what it may write there."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import pytest

from tagship.approval.store import LedgerStore
from tagship.errors import AlreadyDecided, ApprovalClosed, ApprovalExpired
from tagship.ledger import approvals
from tagship.ledger.table import Item, Ledger
from tests.unit.approval.builders import ANA, BO, CHI
from tests.unit.approval.test_request import asked, facts
from tests.unit.tables import Clock


@dataclass
class FakeLog:
    """Keeps its lines."""

    lines: list[tuple[str, dict[str, Any]]] = field(default_factory=list)

    def warning(self, message: str, *arguments: object, extra: dict[str, Any]) -> None:
        self.lines.append((message % arguments, extra))


@pytest.fixture
def log() -> FakeLog:
    return FakeLog()


@pytest.fixture
def store(ledger: Ledger, clock: Clock, log: FakeLog) -> LedgerStore:
    return LedgerStore(ledger=ledger, now=clock, log=log)


@pytest.fixture
def opened(ledger: Ledger) -> Item:
    return asked(ledger, required=2)


def test_the_page_sees_the_request_without_its_token(store, ledger, opened):
    approvals.waits_on(ledger, opened["id"], "the secret token")
    assert store.get(opened["id"]) == opened | {"delivered": False}
    assert store.get("unknown") is None


def test_decisions_are_judged_by_the_quorum(store, opened):
    assert store.decide(opened["id"], approver=ANA, decision="approve", reason="").record["status"] == "OPEN"
    decided = store.decide(opened["id"], approver=BO, decision="approve", reason="tested").record
    assert decided["status"] == "APPROVED"
    assert store.get(opened["id"]) == decided


def test_what_the_ledger_refuses_leaves_under_its_own_name(store, clock, opened):
    store.decide(opened["id"], approver=ANA, decision="approve", reason="")
    with pytest.raises(AlreadyDecided):
        store.decide(opened["id"], approver=ANA, decision="reject", reason="no")
    clock.forward(5 * 3600)
    with pytest.raises(ApprovalExpired):
        store.decide(opened["id"], approver=BO, decision="approve", reason="")
    with pytest.raises(ApprovalClosed):
        store.decide("unknown", approver=BO, decision="approve", reason="")


def test_a_rejection_ends_it_for_everybody_else(store, opened):
    store.decide(opened["id"], approver=BO, decision="reject", reason="no")
    with pytest.raises(ApprovalClosed):
        store.decide(opened["id"], approver=CHI, decision="approve", reason="")


def test_who_came_with_a_link_that_is_not_valid_is_in_the_log_and_in_the_audit(store, ledger, log, opened):
    """Fault 19."""
    store.refused(opened["id"], "altered", "203.0.113.7")
    assert log.lines == [("A link was refused: altered", {"approval": opened["id"], "source": "203.0.113.7"})]
    (fact,) = facts(ledger, "Link Refused")
    assert (fact["who"], fact["data"]) == ("203.0.113.7", {"approval": opened["id"], "reason": "altered"})
    assert approvals.get(ledger, opened["id"]) == opened


def test_a_guesser_does_not_flood_the_ledger(store, ledger, clock, log, opened):
    """Fault 19: one fact a minute for each reason."""
    for _ in range(10):
        store.refused(opened["id"], "altered", "203.0.113.7")
    store.refused(opened["id"], "expired", "203.0.113.7")
    clock.forward(60)
    store.refused(opened["id"], "altered", "203.0.113.7")
    assert [fact["data"]["reason"] for fact in facts(ledger, "Link Refused")] == [
        "altered",
        "expired",
        "altered",
    ]
    assert len(log.lines) == 12


def test_a_guess_at_no_request_at_all_is_in_the_log_alone(store, ledger, log):
    store.refused("unknown", "unknown approval", "203.0.113.7")
    assert len(log.lines) == 1
    assert list(ledger.facts_in_order("storefront")) == []
