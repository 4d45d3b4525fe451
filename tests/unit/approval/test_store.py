"""What the page reads from the ledger, and what it can write."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any

import pytest

from tagship.approval.errors import TooManyRequests
from tagship.approval.store import FORMS_A_MINUTE, REFUSED_A_MINUTE, LedgerStore
from tagship.ledger import approvals
from tagship.ledger.table import Item, Ledger, unpacked
from tagship.model.errors import AlreadyDecided, ApprovalClosed, ApprovalExpired
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


def test_the_page_gets_the_request_without_its_token(store, ledger, opened):
    approvals.waits_on(ledger, opened["id"], "the secret token")
    assert store.get(opened["id"]) == opened | {"delivered": False}
    assert store.get("unknown") is None


def test_the_quorum_evaluates_decisions(store, opened):
    assert store.decide(opened["id"], approver=ANA, decision="approve", reason="").record["status"] == "OPEN"
    decided = store.decide(opened["id"], approver=BO, decision="approve", reason="tested").record
    assert decided["status"] == "APPROVED"
    assert store.get(opened["id"]) == decided


def test_the_ledgers_refusals_keep_their_names(store, clock, opened):
    store.decide(opened["id"], approver=ANA, decision="approve", reason="")
    with pytest.raises(AlreadyDecided):
        store.decide(opened["id"], approver=ANA, decision="reject", reason="no")
    clock.forward(5 * 3600)
    with pytest.raises(ApprovalExpired):
        store.decide(opened["id"], approver=BO, decision="approve", reason="")
    with pytest.raises(ApprovalClosed):
        store.decide("unknown", approver=BO, decision="approve", reason="")


def test_a_rejection_ends_the_request_for_everybody(store, opened):
    store.decide(opened["id"], approver=BO, decision="reject", reason="no")
    with pytest.raises(ApprovalClosed):
        store.decide(opened["id"], approver=CHI, decision="approve", reason="")


def test_an_invalid_link_is_logged_and_recorded_in_the_audit(store, ledger, log, opened):
    """Fault 19."""
    store.refused(opened["id"], "altered", "203.0.113.7")
    assert log.lines == [("A link was refused: altered", {"approval": opened["id"], "source": "203.0.113.7"})]
    (fact,) = facts(ledger, "Link Refused")
    assert (fact["who"], fact["data"]) == (
        "203.0.113.7",
        {"approval": opened["id"], "reason": "altered", "count": 1},
    )
    assert approvals.get(ledger, opened["id"]) == opened


def test_a_flood_of_invalid_links_writes_few_facts_with_the_count(store, ledger, clock, opened):
    """Fault 19: from many addresses; the first of each kind is a fact at once."""
    for number in range(100):
        store.refused(opened["id"], "altered", f"203.0.113.{number % 250}")
        clock.forward(1)
    store.refused(opened["id"], "expired", "203.0.113.7")
    assert [(fact["data"]["reason"], fact["data"]["count"]) for fact in facts(ledger, "Link Refused")] == [
        ("altered", 1),
        ("altered", 10),
        ("altered", 100),
        ("expired", 1),
    ]
    assert approvals.get(ledger, opened["id"]) == opened


def refusal(store, source="203.0.113.7", approval="unknown") -> str:
    try:
        store.refused(approval, "altered", source)
    except TooManyRequests as error:
        return f"again in {error.retry_after} s"
    return "refused"


def test_an_address_with_too_many_invalid_links_is_limited_and_no_other_is(store, ledger, clock, log, opened):
    """Whatever the links are for; what was too much is counted too."""
    clock.forward(20)
    assert [refusal(store) for _ in range(REFUSED_A_MINUTE)] == ["refused"] * REFUSED_A_MINUTE
    assert refusal(store, approval=opened["id"]) == "again in 40 s"
    assert refusal(store, "203.0.113.8") == "refused"
    assert len(log.lines) == REFUSED_A_MINUTE + 1
    (fact,) = facts(ledger, "Link Refused")
    assert (fact["data"]["reason"], fact["who"]) == ("too many from one address", "203.0.113.7")
    clock.forward(40)
    assert refusal(store) == "refused"


def test_forms_are_counted_by_link_and_address_so_that_nobody_can_use_up_anothers_limit(store, clock, opened):
    for _ in range(FORMS_A_MINUTE):
        store.sent(opened["id"], ANA, "203.0.113.7")
    with pytest.raises(TooManyRequests):
        store.sent(opened["id"], ANA.upper(), "203.0.113.7")
    store.sent(opened["id"], BO, "203.0.113.7")
    store.sent(opened["id"], ANA, "203.0.113.8")
    store.sent("another", ANA, "203.0.113.7")
    clock.forward(60)
    store.sent(opened["id"], ANA, "203.0.113.7")


def test_counters_are_bounded_for_any_number_of_addresses_and_contain_no_names(store, ledger, opened):
    """Nothing in the table is ever deleted."""
    for address in ("2001:db8:0:1::1", "2001:db8:0:2::1", "203.0.113.7"):
        store.sent(opened["id"], ANA, address)
    store.refused("unknown", "altered", "203.0.113.7")
    items = [unpacked(item) for item in ledger.client.scan(TableName="ledger")["Items"]]
    counters = [item for item in items if item.get("kind") == "count"]
    assert all(
        re.fullmatch(r"VISITS#[0-9a-f]{4} REFUSED|APPROVAL#\w+ FORMS#[0-9a-f]{12}#[0-9a-f]{2}", key)
        for key in (f"{item['pk']} {item['sk']}" for item in counters)
    )
    assert len(counters) == 4
    assert not any(text in str(counters) for text in ("203.0.113.7", "2001:db8", ANA))


def test_a_slow_clock_counts_in_the_current_minute(ledger):
    assert [ledger.count("VISITS#x", "REFUSED", period=period) for period in ("1", "2", "1", "2", "3")] == [
        1,
        1,
        2,
        3,
        1,
    ]


def test_a_guess_for_no_request_is_only_logged(store, ledger, log):
    store.refused("unknown", "unknown approval", "203.0.113.7")
    assert len(log.lines) == 1
    assert list(ledger.facts_in_order("storefront")) == []
