"""Facts are written once, in order, in a chain that shows gaps, and in one transaction with the changes they explain."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tagship.ledger.table import Fact, Item, Ledger, Refused, digest_of, timestamp, unpacked
from tagship.model.errors import AwsUnavailable, LedgerBusy
from tests.unit.tables import NOW, aws_error, meanwhile


def fact(name: str = "Traffic Shifted", **changes: Any) -> Fact:
    return Fact(**{"application": "storefront", "tag": "v1.4.0", "attempt": 1, "name": name} | changes)


def stored(ledger: Ledger, application: str = "storefront") -> list[Item]:
    return list(ledger.facts_in_order(application))


def assert_chain_is_whole(facts: Iterable[Item]) -> None:
    """From what was read back, and without the ledger's own arithmetic."""
    previous = ""
    for number, item in enumerate(facts, start=1):
        content = {name: value for name, value in item.items() if name != "digest"}
        text = json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
        assert (item["seq"], item["previous"]) == (number, previous)
        assert item["digest"] == hashlib.sha256(text.encode()).hexdigest()
        previous = item["digest"]


# ---- facts ---------------------------------------------------------------------------------------------------------


def test_a_fact_records_what_happened_to_what_when_and_by_whom(ledger):
    assert ledger.record(fact(key="000", who="ana@example.com", execution="arn:one", data={"percent": 10}))
    (item,) = stored(ledger)
    assert item | {"digest": ""} == {
        "pk": "APPLICATION#storefront",
        "sk": "FACT#v1.4.0#0001#Traffic Shifted#000",
        "kind": "fact",
        "seq": 1,
        "application": "storefront",
        "tag": "v1.4.0",
        "attempt": 1,
        "stage": "production",
        "name": "Traffic Shifted",
        "who": "ana@example.com",
        "at": "2026-11-23T10:00:00.000Z",
        "execution": "arn:one",
        "data": {"percent": 10},
        "previous": "",
        "digest": "",
    }


def test_a_fact_is_recorded_once_and_the_first_one_is_kept(ledger, clock):
    """Fault 29."""
    assert ledger.record(fact(data={"percent": 10}))
    clock.forward(60)
    assert not ledger.record(fact(data={"percent": 99}))
    (item,) = stored(ledger)
    assert (item["data"], item["at"]) == ({"percent": 10}, "2026-11-23T10:00:00.000Z")


@pytest.mark.parametrize(
    "other",
    [
        {"key": "001"},
        {"name": "Health Checked"},
        {"attempt": 2},
        {"tag": "v1.4.1"},
        {"application": "basket"},
    ],
    ids=str,
)
def test_a_fact_with_another_key_is_another_fact(ledger, other):
    assert ledger.record(fact())
    assert ledger.record(fact(**other))


def test_a_single_fact_is_found_by_name(ledger):
    ledger.record(fact(key="001", data={"percent": 10}))
    assert ledger.fact("storefront", "v1.4.0", 1, "Traffic Shifted", "001")["data"] == {"percent": 10}
    assert ledger.fact("storefront", "v1.4.0", 1, "Traffic Shifted") is None
    assert ledger.fact("storefront", "v1.4.0", 2, "Traffic Shifted", "001") is None


def test_facts_are_numbered_by_application_in_recording_order(ledger):
    names = ["Release Read", "Gates Passed", "Approval Requested", "Approval Granted"]
    for name in names:
        ledger.record(fact(name))
        ledger.record(fact(name, application="basket"))
    assert [(item["seq"], item["name"]) for item in stored(ledger)] == list(enumerate(names, start=1))
    assert [item["name"] for item in stored(ledger, "basket")] == names


def test_an_applications_facts_are_read_from_either_end_and_from_a_number(ledger):
    for number in range(1, 6):
        ledger.record(fact(key=f"{number}"))
    numbers = {
        name: [item["seq"] for item in ledger.facts_in_order("storefront", **how)]
        for name, how in {
            "after 3": {"after": 3},
            "newest": {"newest_first": True, "limit": 2},
            "first": {"limit": 3},
            "none": {"after": 5},
        }.items()
    }
    assert numbers == {"after 3": [4, 5], "newest": [5, 4], "first": [1, 2, 3], "none": []}


def test_other_items_are_not_returned_as_facts(ledger):
    ledger.record(
        fact(), ledger.put({"pk": "APPLICATION#storefront", "sk": "RELEASE#v1.4.0", "kind": "release"})
    )
    assert [item["kind"] for item in stored(ledger)] == ["fact"]
    assert [item["kind"] for item in ledger.facts_of("storefront", "v1.4.0")] == ["fact"]


def test_a_releases_facts_are_its_own_and_in_order(ledger):
    for name in ("Release Read", "Approval Granted", "Baseline Restored"):
        ledger.record(fact(name))
        ledger.record(fact(name, tag="v1.4.0-rc.1"))
        ledger.record(fact(name, tag="v1.4.01"))
    names = [item["name"] for item in ledger.facts_of("storefront", "v1.4.0")]
    assert names == ["Release Read", "Approval Granted", "Baseline Restored"]


def test_facts_on_several_pages_are_all_read(ledger):
    for number in range(5):
        ledger.record(fact(key=f"{number}", data={"notes": "x" * 300_000}))
    assert [item["key"] if "key" in item else item["seq"] for item in stored(ledger)] == [1, 2, 3, 4, 5]
    assert len(ledger.facts_of("storefront", "v1.4.0")) == 5
    assert len(list(ledger.facts_in_order("storefront", limit=4))) == 4


# ---- the chain -----------------------------------------------------------------------------------------------------

AWKWARD = {
    "numbers": {
        "p50": 12.5,
        "rate": 0.1,
        "whole": 2.0,
        "big": 1e22,
        "small": 1e-7,
        "none": -0.0,
        "third": 1 / 3,
    },
    "nested": [{"a": [1, [2.5, None, True, {}]]}, [], ""],
    "text": "Zürich \u2028 ✓ <b> \U0001f680",
    "tuple": (1, 2),
    7: "a number for a name",
}


def test_the_chain_is_intact_over_floats_nested_data_and_every_alphabet(ledger):
    for number in range(4):
        ledger.record(fact(key=f"{number}", data=AWKWARD | {"number": number + 0.5}))
    assert_chain_is_whole(stored(ledger))


def test_the_heads_digest_is_the_last_facts(ledger):
    for number in range(3):
        ledger.record(fact(key=f"{number}"))
    head = ledger.get("APPLICATION#storefront", "HEAD")
    last = stored(ledger)[-1]
    assert (head["last"], head["digest"]) == (3, last["digest"])


def test_altering_or_removing_a_fact_breaks_the_chain(ledger):
    for number in range(3):
        ledger.record(fact(key=f"{number}", data={"by": "ana@example.com"}))
    facts = stored(ledger)
    altered = [facts[0], facts[1] | {"data": {"by": "eve@example.com"}}, facts[2]]
    for broken in (altered, [facts[0], facts[2]], [facts[1], facts[0], facts[2]]):
        with pytest.raises(AssertionError):
            assert_chain_is_whole(broken)


def test_concurrent_writers_make_one_chain_without_gaps(ledger):
    def write(writer: int) -> None:
        for number in range(5):
            recorded = False
            while not recorded:  # as the state machine asks again
                try:
                    recorded = ledger.record(fact(key=f"{writer} {number}"))
                except LedgerBusy:
                    continue

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(write, range(4)))
    facts = stored(ledger)
    assert len(facts) == 20
    assert_chain_is_whole(facts)


text = st.text(st.characters(exclude_categories=["Cs"]), max_size=6)
numbers = (
    st.integers(-(10**37), 10**37)
    | st.floats(1e-100, 1e100)
    | st.floats(-1e100, -1e-100)
    | st.sampled_from([0.0, -0.0, 0.1 + 0.2])
)
documents = st.recursive(
    st.none() | st.booleans() | numbers | text,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(text.filter(bool), inner, max_size=3),
    max_leaves=8,
)


@given(documents)
def test_a_digest_survives_a_round_trip_through_the_ledger(document):
    ledger = Ledger(client=None, table="ledger", stage="production", now=lambda: NOW)
    read_back = unpacked(ledger.put({"data": document})["Put"]["Item"])["data"]
    assert digest_of(read_back) == digest_of(document)
    assert digest_of([document]) != digest_of([document, None])


def test_a_digest_is_independent_of_field_order():
    assert digest_of({"a": 1, "b": {"c": 2, "d": 3}}) == digest_of({"b": {"d": 3, "c": 2}, "a": 1})
    assert digest_of({"a": 1}) != digest_of({"a": "1"})


@pytest.mark.parametrize(
    "moment, written",
    [
        (datetime(2026, 11, 22, 10, tzinfo=UTC), "2026-11-22T10:00:00.000Z"),
        (datetime(2026, 1, 2, 3, 4, 5, 999_999, tzinfo=UTC), "2026-01-02T03:04:05.999Z"),
        (datetime(2026, 1, 2, 3, 4, 5, 7_000, tzinfo=UTC), "2026-01-02T03:04:05.007Z"),
    ],
)
def test_a_time_is_utc_to_the_millisecond_and_sorts_as_text(moment, written):
    assert timestamp(moment) == written
    assert datetime.fromisoformat(written) <= moment


# ---- a fact and what it explains -----------------------------------------------------------------------------------


def item_of(ledger: Ledger, name: str) -> Item | None:
    return ledger.get("APPLICATION#storefront", name)


def put(ledger: Ledger, sk: str, /, *, only_if: str = "", **attributes: Any) -> dict[str, Any]:
    return ledger.put({"pk": "APPLICATION#storefront", "sk": sk, **attributes}, only_if=only_if)


def test_a_fact_and_its_changes_are_written_in_one_transaction(ledger):
    assert ledger.record(fact(), put(ledger, "A", count=1), put(ledger, "B", count=2))
    assert (item_of(ledger, "A")["count"], item_of(ledger, "B")["count"], len(stored(ledger))) == (1, 2, 1)


@pytest.mark.parametrize("refused", [0, 1, 2])
def test_a_refused_change_is_named_and_nothing_is_written(ledger, refused):
    ledger.record(fact("Release Read"), put(ledger, "TAKEN"))
    changes = [put(ledger, f"NEW {index}") for index in range(3)]
    changes[refused] = put(ledger, "TAKEN", only_if="attribute_not_exists(pk)", new=True)
    with pytest.raises(Refused) as caught:
        ledger.record(fact(), *changes)
    assert caught.value.index == refused
    assert [item["name"] for item in stored(ledger)] == ["Release Read"]
    assert [item_of(ledger, f"NEW {index}") for index in range(3)] == [None] * 3
    assert "new" not in item_of(ledger, "TAKEN")


def test_an_existing_fact_changes_nothing_even_if_its_changes_would_succeed(ledger):
    ledger.record(fact())
    assert not ledger.record(fact(), put(ledger, "A"))
    assert item_of(ledger, "A") is None


def test_an_existing_fact_does_not_count_as_refused_changes(ledger):
    change = put(ledger, "A", only_if="attribute_not_exists(pk)")
    assert ledger.record(fact(), change)
    assert not ledger.record(fact(), change)


def test_an_update_changes_only_the_named_fields_with_any_name(ledger):
    ledger.record(fact(), put(ledger, "A", status="RUNNING", size=3, name="x"))
    change = ledger.update(
        "APPLICATION#storefront",
        "A",
        only_if="#status = :running",
        values={":running": "RUNNING"},
        remove=("size",),
        status="ENDED",
        timestamp=1.5,
    )
    ledger.write(change)
    assert item_of(ledger, "A") == {
        "pk": "APPLICATION#storefront",
        "sk": "A",
        "status": "ENDED",
        "name": "x",
        "timestamp": 1.5,
    }
    with pytest.raises(Refused):
        ledger.write(change)


def test_a_missing_item_is_none(ledger):
    assert ledger.get("APPLICATION#storefront", "LOCK") is None


# ---- others, and AWS -----------------------------------------------------------------------------------------------


def test_a_write_that_lost_a_race_is_repeated_after_the_other(ledger):
    other = meanwhile(ledger, lambda: ledger.record(fact("Health Checked")))
    assert other.record(fact())
    assert [item["name"] for item in stored(ledger)] == ["Health Checked", "Traffic Shifted"]
    assert_chain_is_whole(stored(ledger))


@dataclass(slots=True)
class Counted:
    """A client that knows what was called."""

    client: Any
    called: list[str]

    def __getattr__(self, name: str) -> Any:
        self.called.append(name)
        return getattr(self.client, name)


def test_a_fact_after_the_writers_own_needs_no_read_of_the_head(ledger):
    counted = replace(ledger, client=Counted(ledger.client, []))
    counted.record(fact(key="000"))
    counted.client.called.clear()
    assert counted.record(fact(key="001"))
    assert counted.client.called == ["transact_write_items"]
    ledger.record(fact(key="002"))
    assert counted.record(fact(key="003"))
    assert_chain_is_whole(stored(ledger))


def test_a_writer_that_loses_twelve_races_gives_up_and_says_that_nothing_was_changed(ledger):
    pauses: list[float] = []
    numbers = iter(range(100))
    crowded = meanwhile(ledger, lambda: ledger.record(fact(key=f"{next(numbers)}")), times=100)
    with pytest.raises(LedgerBusy, match="Late could not be recorded in 12 attempts") as caught:
        replace(crowded, pause=pauses.append).record(fact("Late"), put(ledger, "A"))
    assert str(caught.value).endswith("Nothing was changed.")
    assert item_of(ledger, "A") is None
    assert len(pauses) == 12
    assert all(0 <= pause <= 0.32 for pause in pauses)


@dataclass
class Refusing:
    """A table that refuses whatever it is asked."""

    error: Exception

    def __getattr__(self, name: str) -> Any:
        def refuse(**request: Any) -> Any:
            raise self.error

        return refuse


@pytest.mark.parametrize(
    "ask",
    [
        lambda ledger: ledger.get("a", "b"),
        lambda ledger: list(ledger.query("a", "b")),
        stored,
        lambda ledger: ledger.record(fact()),
        lambda ledger: ledger.write(ledger.update("a", "b", only_if="attribute_exists(pk)", c=1)),
    ],
)
def test_a_throttled_table_is_retryable(ledger, ask):
    """Fault 39."""
    throttled = replace(ledger, client=Refusing(aws_error("ThrottlingException")))
    with pytest.raises(AwsUnavailable, match=r"ledger|Recording"):
        ask(throttled)


def test_a_transaction_refused_for_another_reason_raises_unchanged(ledger):
    @dataclass
    class NoRight:
        client: Any

        def __getattr__(self, name: str) -> Any:
            if name == "transact_write_items":
                return Refusing(aws_error("AccessDeniedException", status=403)).transact_write_items
            return getattr(self.client, name)

    with pytest.raises(Exception, match="AccessDeniedException"):
        replace(ledger, client=NoRight(ledger.client)).record(fact())


# ---- a write that meets somebody else's ----------------------------------------------------------------------------


@dataclass(slots=True)
class Conflicting:
    """A table that answers the first writes as DynamoDB does while another transaction holds the item, or is throttled."""

    client: Any
    error: Exception
    times: int
    of: str = "update_item"

    def __getattr__(self, name: str) -> Any:
        def ask(**request: Any) -> Any:
            if name == self.of and self.times:
                self.times -= 1
                raise self.error
            return getattr(self.client, name)(**request)

        return ask


NOT_WRITTEN = (
    "TransactionConflictException",
    "ThrottlingException",
    "ProvisionedThroughputExceededException",
    "RequestLimitExceeded",
)
WRITES = {
    "write": lambda ledger: ledger.write(ledger.update("a", "b", only_if="attribute_not_exists(pk)", c=1)),
    "count": lambda ledger: ledger.count("a", "b"),
}


def cancelled(*codes: str) -> Exception:
    """A transaction that was cancelled, with a reason for each of its writes: the fact, the head, the changes."""
    error: Any = aws_error("TransactionCanceledException")
    error.response["CancellationReasons"] = [{"Code": code} for code in codes]
    return error  # type: ignore[no-any-return]


@pytest.mark.parametrize("code", NOT_WRITTEN)
@pytest.mark.parametrize("write", WRITES.values(), ids=WRITES)
def test_a_write_that_conflicts_with_a_transaction_is_repeated(ledger, write, code):
    """Fault 68: concurrent writers cause no error page for an approver and no rollback."""
    pauses: list[float] = []
    met = Conflicting(ledger.client, aws_error(code), times=2)
    write(replace(ledger, client=met, pause=pauses.append))
    assert ledger.get("a", "b") is not None
    assert len(pauses) == 2


@pytest.mark.parametrize("write", WRITES.values(), ids=WRITES)
def test_a_write_that_always_conflicts_says_that_the_ledger_is_busy(ledger, write):
    """Fault 68: bounded, with a pause that differs for each of those who collide."""
    pauses: list[float] = []
    met = Conflicting(ledger.client, aws_error("TransactionConflictException"), times=1000)
    with pytest.raises(LedgerBusy, match=r"Nothing was changed\.$"):
        write(replace(ledger, client=met, pause=pauses.append))
    assert ledger.get("a", "b") is None
    assert len(pauses) == 12
    assert all(0 <= pause <= 0.32 for pause in pauses)
    assert len(set(pauses)) > 1


@pytest.mark.parametrize(
    "codes",
    [
        ("None", "TransactionConflict", "None"),
        ("None", "None", "TransactionConflict"),
        ("None", "ThrottlingError", "None"),
        ("ProvisionedThroughputExceeded", "None", "None"),
    ],
)
def test_a_transaction_that_conflicts_with_another_is_repeated(ledger, codes):
    """Fault 68."""
    met = Conflicting(ledger.client, cancelled(*codes), times=3, of="transact_write_items")
    assert replace(ledger, client=met, pause=lambda _: None).record(fact(), put(ledger, "A"))
    assert item_of(ledger, "A") is not None
    assert_chain_is_whole(stored(ledger))


@pytest.mark.parametrize("code", NOT_WRITTEN)
def test_a_transaction_that_was_not_accepted_is_repeated(ledger, code):
    """Fault 68."""
    met = Conflicting(ledger.client, aws_error(code), times=2, of="transact_write_items")
    assert replace(ledger, client=met, pause=lambda _: None).record(fact())
    assert_chain_is_whole(stored(ledger))


@pytest.mark.parametrize("code", ["ValidationError", "ItemCollectionSizeLimitExceeded", "AccessDenied"])
def test_an_invalid_transaction_is_not_repeated(ledger, code):
    pauses: list[float] = []
    met = Conflicting(ledger.client, cancelled("None", code), times=1000, of="transact_write_items")
    with pytest.raises(Exception, match="TransactionCanceledException"):
        replace(ledger, client=met, pause=pauses.append).record(fact())
    assert not pauses


@pytest.mark.parametrize(
    "value, kept",
    [
        ("half \ud800 a character", "half ? a character"),
        ({"\ud800": [1.5, ("x",)]}, {"?": [1.5, ["x"]]}),
        (10**38 + 1, "too large"),
        (10**400, "too large"),
        (1e38, 10**38),
        (10**38 - 1, 10**38 - 1),
        (float("nan"), "nan"),
        (float("inf"), "inf"),
        (1e300, "1e+300"),
        (5e-324, "5e-324"),
        (0.0, 0),
        (True, True),
    ],
)
def test_a_fact_never_fails_on_a_value_that_dynamodb_cannot_store(ledger, value, kept):
    assert ledger.record(fact(data={"value": value}))
    (found,) = ledger.facts_of("storefront", "v1.4.0")
    assert found["data"]["value"] == kept
    assert digest_of({"value": value}) == digest_of({"value": kept})
    assert_chain_is_whole(stored(ledger))
