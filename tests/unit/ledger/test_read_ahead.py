"""Items that a step needs together are read with one request, as they are at one moment."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import pytest

from tagship.ledger import chain, lock, notices, releases
from tagship.ledger.table import HEAD, Fact, Ledger, Refused, application_key
from tagship.model.errors import LockHeld
from tagship.model.facts import FactKind
from tagship.model.records import FactRecord
from tests.unit import builders
from tests.unit.tables import aws_error

PK = application_key("storefront")
ONE = Fact(application="storefront", tag="v1.0.0", attempt=1, name="Release Read")  # type: ignore[arg-type]
TWO = replace(ONE, name="Gates Passed")  # type: ignore[arg-type]


@dataclass
class Counting:
    """A client that counts what is asked of it, and may refuse to read several items at once."""

    client: Any
    conflicts: bool = False
    asked: list[str] = field(default_factory=list)

    def __getattr__(self, name: str) -> Any:
        self.asked.append(name)
        return getattr(self.client, name)

    def transact_get_items(self, **request: Any) -> Any:
        self.asked.append("transact_get_items")
        if self.conflicts:
            raise aws_error("TransactionCanceledException")
        return self.client.transact_get_items(**request)


def counted(ledger: Ledger, *, conflicts: bool = False) -> tuple[Ledger, list[str]]:
    client = Counting(ledger.client, conflicts=conflicts)
    return replace(ledger, client=client), client.asked


def test_items_that_were_read_ahead_are_not_read_again(ledger: Ledger) -> None:
    ledger.record(ONE)
    here, asked = counted(ledger)
    releases.read_ahead(here, "storefront", "v1.0.0", HEAD, lock.LOCK, HEAD)
    assert lock.holder(here, "storefront") is None
    assert here.record(TWO)
    assert asked == ["transact_get_items", "transact_write_items"]


def test_an_item_that_was_read_ahead_is_used_once(ledger: Ledger) -> None:
    ledger.record(ONE)
    here, asked = counted(ledger)
    here.read_ahead((PK, HEAD))
    assert (here.get(PK, HEAD) or {})["last"] == 1
    ledger.record(TWO)
    assert (here.get(PK, HEAD) or {})["last"] == 2
    assert asked == ["transact_get_items", "get_item"]


def test_a_fact_follows_the_last_one_though_another_was_written_since_it_was_read_ahead(
    ledger: Ledger,
) -> None:
    ledger.record(ONE)
    here, asked = counted(ledger)
    here.read_ahead((PK, HEAD))
    ledger.record(TWO)
    assert here.record(replace(ONE, name="Gates Failed"))  # type: ignore[arg-type]
    assert [fact["seq"] for fact in ledger.facts_in_order("storefront")] == [1, 2, 3]
    assert asked == ["transact_get_items", "transact_write_items", "get_item", "transact_write_items"]


def test_each_item_is_read_for_itself_while_someone_writes_one_of_them(ledger: Ledger) -> None:
    """Fault 68."""
    ledger.record(ONE)
    here, asked = counted(ledger, conflicts=True)
    here.read_ahead((PK, HEAD), (PK, lock.LOCK))
    assert (here.get(PK, HEAD) or {})["last"] == 1
    assert here.get(PK, lock.LOCK) is None
    assert asked == ["transact_get_items", "get_item", "get_item"]


def test_a_fact_its_release_and_whether_a_channel_has_it_are_one_request(ledger: Ledger) -> None:
    releases.claim(ledger, builders.record(application="storefront", tag="v1.0.0"))  # type: ignore[arg-type]
    (read,) = ledger.facts_of("storefront", "v1.0.0")
    here, asked = counted(ledger)
    notices.read_ahead(here, "storefront", notices.address(read), "bus")
    assert notices.fact_at(here, "storefront", notices.address(read)) == read
    assert releases.get(here, "storefront", "v1.0.0")["tag"] == "v1.0.0"
    assert not notices.was_sent(here, read, "bus")
    assert asked == ["transact_get_items"]


def take(ledger: Ledger, tag: str) -> lock.Lock:
    return lock.acquire(
        ledger, application="storefront", tag=tag, attempt=1, execution=f"arn:{tag}", seconds=60
    )


def test_a_holder_that_was_seen_is_not_read_again_to_take_the_lock(ledger: Ledger) -> None:
    here, asked = counted(ledger)
    here.read_ahead((PK, lock.LOCK), (PK, HEAD))
    assert lock.holder_to_follow(here, "storefront") is None
    assert take(here, "v1.0.0").fence == 1
    assert asked == ["transact_get_items", "transact_write_items"]


def test_a_lock_that_changed_since_its_holder_was_seen_is_refused_and_then_read_again(ledger: Ledger) -> None:
    assert lock.holder_to_follow(ledger, "storefront") is None
    take(replace(ledger), "v1.1.0")
    with pytest.raises(LockHeld, match="another release took it first"):
        take(ledger, "v1.0.0")
    with pytest.raises(LockHeld, match=r"v1\.1\.0 is in progress"):
        take(ledger, "v1.0.0")


def test_a_fact_is_read_once_and_one_that_has_not_happened_is_looked_for_again(ledger: Ledger) -> None:
    here, asked = counted(ledger)
    fact = partial(here.fact, "storefront", "v1.0.0", 1, FactKind.RELEASE_READ)
    assert fact() is None
    ledger.record(ONE)
    assert (fact() or {})["seq"] == (fact() or {})["seq"] == 1
    assert asked == ["get_item"] * 2


# ---- facts that were read and written ------------------------------------------------------------------------------


def names(facts: list[FactRecord]) -> list[str]:
    return [fact["name"] for fact in facts]


def test_facts_that_were_read_are_not_read_again_after_one_that_follows_them(ledger: Ledger) -> None:
    ledger.record(ONE)
    here, asked = counted(ledger)
    assert names(here.read_facts_since("storefront", 1)) == ["Release Read"]
    here.record(TWO)
    del asked[:]
    assert names(here.facts_since("storefront", 1)) == ["Release Read", "Gates Passed"]
    assert names(here.facts_since("storefront", 2)) == ["Gates Passed"]
    assert asked == []
    assert here.facts_since("storefront", 1) == list(ledger.facts_in_order("storefront"))


def test_facts_are_read_again_if_somebody_else_wrote_one_in_between(ledger: Ledger) -> None:
    ledger.record(ONE)
    here, asked = counted(ledger)
    here.read_facts_since("storefront", 1)
    ledger.record(replace(ONE, tag="v0.9.0"))
    here.record(TWO)
    del asked[:]
    assert [fact["tag"] for fact in here.facts_since("storefront", 1)] == ["v1.0.0", "v0.9.0", "v1.0.0"]
    assert asked == ["query"]


# ---- what is written together --------------------------------------------------------------------------------------


def test_a_fact_that_follows_another_is_written_with_it_and_continues_the_chain(ledger: Ledger) -> None:
    here, asked = counted(ledger)
    assert here.record(ONE, then=TWO)
    assert asked == ["get_item", "transact_write_items"]
    head, facts = chain.read(ledger, "storefront")
    assert names(facts) == ["Release Read", "Gates Passed"]
    assert chain.verify("storefront", facts, head=head) is None


def test_neither_fact_is_written_if_the_following_one_was_recorded_before(ledger: Ledger) -> None:
    ledger.record(TWO)
    with pytest.raises(Refused) as refused:
        ledger.record(ONE, then=TWO)
    assert refused.value.index == 0
    assert names(list(ledger.facts_in_order("storefront"))) == ["Gates Passed"]


def test_a_lock_is_taken_without_its_following_fact_if_that_was_recorded_before(ledger: Ledger) -> None:
    triggered = replace(ONE, name=FactKind.ROLLBACK_TRIGGERED)
    ledger.record(triggered)
    held = lock.acquire(
        ledger, application="storefront", tag="v1.0.0", attempt=1, execution="x", seconds=60, then=triggered
    )
    assert (held.fence, held.recorded) == (1, False)
    assert names(list(ledger.facts_in_order("storefront"))) == ["Rollback Triggered", "Lock Acquired"]


def test_changes_are_written_together_or_not_at_all(ledger: Ledger) -> None:
    first = ledger.update("A", "1", only_if="attribute_not_exists(pk)", said="one")
    second = ledger.update("A", "2", only_if="attribute_exists(pk)", said="two")
    with pytest.raises(Refused) as refused:
        ledger.write(first, second)
    assert refused.value.index == 1
    assert ledger.get("A", "1") is None
    ledger.write(ledger.put({"pk": "A", "sk": "2"}), first)
    ledger.write(second)
    assert (ledger.get("A", "1") or {})["said"] == "one"


def test_a_counter_that_seldom_counts_takes_one_write_for_the_first_of_a_period(ledger: Ledger) -> None:
    here, asked = counted(ledger)
    assert here.count("A", "FORMS", period="10:00", seldom=True) == 1
    assert asked == ["update_item"]
    assert here.count("A", "FORMS", period="10:00", seldom=True) == 2
    assert here.count("A", "FORMS", period="10:01", seldom=True) == 1
    assert here.count("A", "FORMS", period="10:00", seldom=True) == 2, "of a clock before ours"
