"""Before a rollback changes anything: its order, precedence, destination, and the releases it supersedes."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from tagship.deployment.rollback import (
    _MEMBERS,
    TRIGGERS,
    Order,
    bars_only,
    joined,
    leading_to,
    make_way,
    refuse,
    refuse_unsafe,
    served,
    shares_of,
)
from tagship.ledger import approvals, lock, releases
from tagship.ledger.table import Fact, Item, Ledger
from tagship.model.errors import RollbackRefused, RollbackUnderway, RollbackUnsafe
from tagship.model.release import Status
from tests.unit.builders import GONE, changed, locations, record, revision, sha256

INPUT = {"application": "storefront", "tag": "v1.4.0", "trigger": "alarm", "why": "storefront-5xx fires"}
ORDER = Order.from_dict(INPUT)
ONE, TWO = "arn:rollback-one", "arn:rollback-two"


def release(ledger: Ledger, tag: str = "v1.4.0", **attributes: Any) -> Item:
    """Claimed, with what its steps have marked meanwhile."""
    claimed = record(tag=tag, execution=f"arn:{tag}", digest=sha256(tag.encode()), manifest=None, objects={})
    assert releases.claim(ledger, claimed)[0] == "claimed"
    return marked(ledger, tag, **attributes)


def marked(ledger: Ledger, tag: str = "v1.4.0", **attributes: Any) -> Item:
    if attributes:
        key = ("APPLICATION#storefront", f"RELEASE#{tag}")
        ledger.write(ledger.update(*key, only_if="attribute_exists(pk)", **attributes))
    return releases.get(ledger, "storefront", tag)


def planned(tag: str, *, after: str | None) -> Item:
    """The plan of a release that replaces the one before."""
    return {"from": after, "locations": locations(after, tag), "steps": [{"percent": 100}]}


def locked(ledger: Ledger, tag: str = "v1.4.0", **changes: Any) -> lock.Lock:
    asked = {"application": "storefront", "tag": tag, "attempt": 1, "execution": f"arn:{tag}", "seconds": 600}
    return lock.acquire(ledger, **asked | changes)


def end(ledger: Ledger, tag: str = "v1.4.0", status: Status = Status.SUCCEEDED) -> Item:
    serves = {"application": "storefront", "tag": tag, "attempt": 1, "revision": revision(tag)}
    holder = lock.holder(ledger, "storefront")
    execution = holder.execution if holder else "arn"
    asked = {"application": "storefront", "tag": tag, "attempt": 1, "status": status, "execution": execution}
    assert releases.end(ledger, why="", serves=serves if status is Status.SUCCEEDED else None, **asked)
    return releases.get(ledger, "storefront", tag)


def facts(ledger: Ledger, name: str, tag: str = "v1.4.0") -> list[Item]:
    return [fact for fact in ledger.facts_of("storefront", tag) if fact["name"] == name]


# ---- the order -----------------------------------------------------------------------------------------------------


def test_a_rollback_order_contains_what_its_caller_sent():
    whole = {"by": "lee", "attempt": 2, "to": "v1.2.0", "seen": {"errors": 7}}
    assert Order.from_dict(INPUT | whole) == Order(**INPUT, **whole)


def test_omitted_fields_of_an_order_have_defaults():
    order = Order.from_dict(INPUT)
    assert (order.by, order.attempt, order.to, order.seen) == ("tagship", 0, "", None)
    assert order == Order(**INPUT)
    assert order.title == "storefront v1.4.0"


@pytest.mark.parametrize("order", [None, "storefront v1.4.0", ["storefront"], 7])
def test_an_invalid_order_is_refused(order):
    with pytest.raises(RollbackRefused, match="A rollback order needs the text fields"):
        Order.from_dict(order)


def test_the_requester_is_stored_shortened_to_what_a_page_can_show():
    assert Order.from_dict(INPUT | {"by": "x" * 301}).by == "x" * 299 + "…"


def nested(levels, *, of=list):
    """A number inside so many lists or mappings."""
    found = 7
    for _ in range(levels):
        found = [found] if of is list else {"it": found}
    return found


@pytest.mark.parametrize("of", [list, dict])
def test_observations_are_stored_as_deep_as_a_fact_allows(of):
    def kept(levels):
        return Order.from_dict(INPUT | {"seen": nested(levels, of=of)}).seen

    assert kept(8) == nested(8, of=of)
    inner = kept(9)
    for _ in range(8):
        inner = inner[0] if of is list else inner["it"]
    assert inner == "too large to record"


def test_long_texts_and_names_in_observations_are_cut_and_long_lists_left_out():
    seen = {
        "n" * 101: "w" * 1001,
        "many": [0] * (_MEMBERS + 1),
        "list": ["a", 1, None],
        "map": dict.fromkeys(map(str, range(_MEMBERS + 1))),
    }
    assert Order.from_dict(INPUT | {"seen": seen}).seen == {
        "n" * 100: "w" * 999 + "…",
        "many": "too large to record",
        "list": ["a", 1, None],
        "map": "too large to record",
    }
    assert Order.from_dict(INPUT | {"seen": [0] * _MEMBERS}).seen == [0] * _MEMBERS


@pytest.mark.parametrize("trigger", TRIGGERS)
def test_a_known_trigger_is_kept(trigger):
    assert Order.from_dict(INPUT | {"trigger": trigger}).trigger == trigger


@pytest.mark.parametrize("trigger", ["", "console", "Alarm"])
def test_an_unknown_trigger_counts_as_a_person_at_the_console(trigger):
    assert Order.from_dict(INPUT | {"trigger": trigger}).trigger == "operator"


def test_every_requester_gets_a_reason_in_words():
    cause = '{"errorMessage": "the check failed", "stackTrace": []}'
    assert Order.from_dict(INPUT | {"why": cause}).why == "the check failed"


@pytest.mark.parametrize(
    "changes",
    [{name: wrong} for name in INPUT for wrong in (GONE, 7, None)]
    + [{"attempt": wrong} for wrong in ("1", True, 1.0, None)]
    + [{"to": wrong} for wrong in (None, 3)],
    ids=repr,
)
def test_an_invalid_order_is_refused_before_any_lookup(changes):
    with pytest.raises(
        RollbackRefused,
        match=r"^A rollback order needs the text fields application, tag, trigger, why\. Nothing was changed\.$",
    ):
        Order.from_dict(changed(INPUT, changes))


def test_the_requester_is_stored_as_text():
    assert Order.from_dict(INPUT | {"by": 7}).by == "7"


def test_its_facts_name_their_rollback():
    order = Order.from_dict(INPUT | {"by": "lee"})
    found = order.fact({"attempt": 3}, "Rollback Triggered", rollback="one", execution=ONE, percent=10)
    assert found == Fact(
        application="storefront",
        tag="v1.4.0",
        attempt=3,
        name="Rollback Triggered",
        key="one",
        who="lee",
        execution=ONE,
        data={"percent": 10},
    )


# ---- two at once ---------------------------------------------------------------------------------------------------


def ask(ledger: Ledger, *, execution: str = TWO, rollback: str = "two") -> bool:
    present = releases.get(ledger, "storefront", "v1.4.0")
    holder = lock.holder(ledger, "storefront")
    return joined(ledger, ORDER, present, holder, execution=execution, rollback=rollback)


def test_a_rollback_that_finds_another_in_progress_waits_and_records_it_once(ledger):
    """Fault 47."""
    release(ledger)
    locked(ledger)
    locked(ledger, execution=ONE, taking_over=True)
    for _ in range(2):
        with pytest.raises(
            RollbackUnderway,
            match=r"^storefront v1\.4\.0 is already being rolled back; this rollback waits for the other one to end\.$",
        ):
            ask(ledger)
    (fact,) = facts(ledger, "Rollback Joined")
    assert fact["data"] == {"trigger": "alarm", "why": "storefront-5xx fires", "other": ONE}
    assert fact["execution"] == TWO
    assert ledger.fact("storefront", "v1.4.0", 1, "Rollback Joined", "two") == fact


@pytest.mark.parametrize("status", [Status.ROLLED_BACK, Status.ABORTED])
def test_after_a_successful_rollback_the_waiting_one_has_nothing_to_do(ledger, status):
    """Fault 47."""
    release(ledger)
    locked(ledger, execution=ONE, taking_over=True)
    with pytest.raises(RollbackUnderway):
        ask(ledger)
    end(ledger, status=status)
    assert ask(ledger) is True
    assert ask(ledger, rollback="three") is False, "who comes later did not wait"


def test_after_a_failed_rollback_the_waiting_one_runs(ledger):
    release(ledger)
    locked(ledger, execution=ONE, taking_over=True)
    with pytest.raises(RollbackUnderway):
        ask(ledger)
    end(ledger, status=Status.ROLLBACK_FAILED)
    assert ask(ledger) is False


def test_after_a_dead_rollback_the_waiting_one_runs(ledger, clock):
    release(ledger)
    locked(ledger, execution=ONE, taking_over=True)
    with pytest.raises(RollbackUnderway):
        ask(ledger)
    clock.forward(601)
    assert ask(ledger) is False


def test_a_repeated_rollback_request_does_not_count_as_another(ledger):
    """Fault 29."""
    release(ledger)
    locked(ledger, execution=TWO, taking_over=True)
    assert ask(ledger) is False
    assert not facts(ledger, "Rollback Joined")


@pytest.mark.parametrize("other", [{"tag": "v1.5.0"}, {"attempt": 2}], ids=repr)
def test_a_rollback_of_another_release_is_not_waited_for(ledger, other):
    release(ledger)
    locked(ledger, **{"execution": ONE, "taking_over": True} | other)
    assert ask(ledger) is False


def test_a_release_that_holds_the_lock_is_not_a_rollback(ledger):
    release(ledger)
    locked(ledger)
    assert ask(ledger) is False


# ---- what can be taken back ----------------------------------------------------------------------------------------


def test_a_release_without_traffic_is_refused_with_a_reason(ledger):
    release(ledger)
    with pytest.raises(
        RollbackRefused,
        match=r"^storefront v1\.4\.0 cannot be rolled back: it was never planned, so it has changed nothing\. "
        r"Nothing was changed\.$",
    ):
        refuse(ledger, ORDER, releases.get(ledger, "storefront", "v1.4.0"))


@pytest.mark.parametrize("trigger", ["abort", "supervisor"])
def test_a_rollback_of_a_dead_release_is_refused_if_it_has_succeeded(ledger, trigger):
    release(ledger, plan=planned("v1.4.0", after=None))
    end(ledger)
    with pytest.raises(RollbackRefused, match=r"it had already succeeded when its execution ended\. Nothing"):
        refuse(
            ledger,
            Order.from_dict(INPUT | {"trigger": trigger}),
            releases.get(ledger, "storefront", "v1.4.0"),
        )


def test_an_earlier_release_stays_history(ledger):
    for tag, after in (("v1.4.0", None), ("v1.5.0", "v1.4.0")):
        release(ledger, tag, plan=planned(tag, after=after))
        end(ledger, tag)
    refuse(ledger, Order.from_dict(INPUT | {"tag": "v1.5.0"}), releases.get(ledger, "storefront", "v1.5.0"))
    with pytest.raises(RollbackRefused, match=r"it ended SUCCEEDED, and v1\.5\.0 is deployed now\. Nothing"):
        refuse(ledger, ORDER, releases.get(ledger, "storefront", "v1.4.0"))


@pytest.mark.parametrize("attempt", [0, 1])
def test_the_named_attempt_can_be_rolled_back(ledger, attempt):
    refuse(
        ledger,
        Order.from_dict(INPUT | {"attempt": attempt}),
        release(ledger, plan=planned("v1.4.0", after=None)),
    )


def test_another_attempt_than_the_named_one_is_left_alone(ledger):
    present = release(ledger, plan=planned("v1.4.0", after=None))
    with pytest.raises(
        RollbackRefused,
        match=r"cannot be rolled back: the order is for attempt 2, but the release is at attempt 1\.",
    ):
        refuse(ledger, Order.from_dict(INPUT | {"attempt": 2}), present)


# ---- for good ------------------------------------------------------------------------------------------------------

SECURITY = INPUT | {"trigger": "security", "by": "lee", "why": "it leaks"}


def barred(ledger: Ledger, **changes: Any) -> str:
    present = releases.get(ledger, "storefront", "v1.4.0")
    order = Order.from_dict(changed(SECURITY, changes))
    return bars_only(ledger, order, present, rollback="two", execution=TWO)


@pytest.mark.parametrize("status", [Status.ROLLED_BACK, Status.ABORTED])
def test_an_already_rolled_back_release_is_blocked_and_nothing_else_happens(ledger, status):
    release(ledger)
    end(ledger, status=status)
    message = "The release was rolled back before. From now on it cannot be deployed again."
    assert barred(ledger) == message
    mark = {"why": "it leaks", "by": "lee", "at": "2026-11-23T10:00:00.000Z"}
    assert releases.get(ledger, "storefront", "v1.4.0")["barred"] == mark
    (fact,) = facts(ledger, "Release Barred")
    assert (fact["data"], fact["who"], fact["execution"]) == ({"why": "it leaks"}, "lee", TWO)
    assert ledger.fact("storefront", "v1.4.0", 1, "Release Barred", "two") == fact


@pytest.mark.parametrize(
    "status, changes",
    [
        (Status.ROLLED_BACK, {"trigger": "operator"}),
        (Status.ROLLED_BACK, {"to": "v1.2.0"}),
        (Status.SUCCEEDED, {}),
        (Status.ROLLBACK_FAILED, {}),
        (Status.REJECTED, {}),
    ],
    ids=str,
)
def test_anything_else_is_an_ordinary_rollback(ledger, status, changes):
    release(ledger)
    end(ledger, status=status)
    assert barred(ledger, **changes) == ""
    assert not facts(ledger, "Release Barred")


def test_another_attempt_than_the_named_one_is_not_blocked(ledger):
    release(ledger)
    end(ledger, status=Status.ROLLED_BACK)
    with pytest.raises(
        RollbackRefused,
        match=r"^storefront v1\.4\.0 is not barred: the order is for attempt 2, but the release is at attempt 1\.",
    ):
        barred(ledger, attempt=2)
    assert not facts(ledger, "Release Barred")


# ---- further back --------------------------------------------------------------------------------------------------


@pytest.fixture
def three(ledger: Ledger) -> Item:
    """Three releases that succeeded one after another; the last of them."""
    for tag, after in (("v1.2.0", None), ("v1.3.0", "v1.2.0"), ("v1.4.0", "v1.3.0")):
        release(ledger, tag, plan=planned(tag, after=after))
        last = end(ledger, tag)
    return last


def back_to(tag: str) -> Order:
    return Order.from_dict(INPUT | {"to": tag})


@pytest.mark.parametrize("tag", ["", "v1.3.0"])
def test_a_rollback_by_one_release_restores_the_plans_baseline(ledger, three, tag):
    assert leading_to(ledger, back_to(tag), three) == {}


def test_a_rollback_further_back_makes_the_other_release_baseline_and_current(ledger, three):
    assert leading_to(ledger, back_to("v1.2.0"), three) == {
        "plan": {
            "from": "v1.2.0",
            "locations": locations("v1.2.0", "v1.4.0", replaced=revision("v1.3.0")),
            "steps": [{"percent": 100}],
        },
        "replaces": {
            "application": "storefront",
            "tag": "v1.2.0",
            "attempt": 1,
            "revision": revision("v1.2.0"),
            "since": "2026-11-23T10:00:00.000Z",
        },
    }


def test_a_rollback_to_an_unknown_release_is_refused(ledger, three):
    with pytest.raises(
        RollbackRefused,
        match=r"^storefront v1\.4\.0 cannot be rolled back to v0\.9\.0: Release storefront v0\.9\.0 is not in the ledger ",
    ):
        leading_to(ledger, back_to("v0.9.0"), three)


def test_a_rollback_to_an_unsuccessful_release_is_refused(ledger, three):
    release(ledger, "v1.3.5")
    end(ledger, "v1.3.5", Status.REJECTED)
    with pytest.raises(
        RollbackRefused,
        match=r"^storefront v1\.4\.0 cannot be rolled back to v1\.3\.5: v1\.3\.5 ended REJECTED\. Nothing was changed\.$",
    ):
        leading_to(ledger, back_to("v1.3.5"), three)


# ---- what is on its way --------------------------------------------------------------------------------------------


@pytest.fixture
def waiting(ledger: Ledger, three: Item) -> Item:
    """A release that has the lock and waits for its approval."""
    release(ledger, "v1.5.0", plan=planned("v1.5.0", after="v1.4.0"))
    locked(ledger, "v1.5.0")
    asked = {"id": "id", "application": "storefront", "tag": "v1.5.0", "attempt": 1, "approvers": ["ana"]}
    approvals.request(
        ledger,
        asked
        | {
            "required": 1,
            "expiresAt": "2026-11-23T14:00:00.000Z",
            "author": "bo",
            "authorMayApprove": False,
            "digest": "0" * 64,
        },
        execution="arn:v1.5.0",
    )
    return releases.get(ledger, "storefront", "v1.5.0")


def after_making_way(ledger: Ledger, present: Item) -> Item:
    make_way(ledger, ORDER, present, execution=ONE)
    return releases.get(ledger, "storefront", "v1.5.0")


def test_a_release_that_waits_for_approval_is_superseded(ledger, three, waiting):
    ended = after_making_way(ledger, three)
    why = (
        "storefront v1.4.0, which was deployed, was rolled back while v1.5.0 was in progress, so the "
        "plan of v1.5.0 is outdated. Nothing was changed. Retry it."
    )
    assert (ended["status"], ended["why"]) == ("INVALID", why)
    assert lock.holder(ledger, "storefront") is None
    request = approvals.get(ledger, "id")
    assert (request["status"], request["closedBy"]) == ("CLOSED", why)
    for name in ("Release Invalid", "Approval Closed"):
        (fact,) = facts(ledger, name, "v1.5.0")
        assert fact["execution"] == ONE


def test_a_release_without_an_approval_request_is_superseded_too(ledger, three):
    release(ledger, "v1.5.0")
    locked(ledger, "v1.5.0")
    assert after_making_way(ledger, three)["status"] == "INVALID"


def test_a_release_that_has_traffic_continues_and_its_request_is_unchanged(ledger, three, waiting):
    releases.moving(ledger, application="storefront", tag="v1.5.0", attempt=1, step=0)
    assert after_making_way(ledger, three)["status"] == "RUNNING"
    assert approvals.get(ledger, "id")["status"] == "OPEN"


@pytest.mark.parametrize("status", [Status.RUNNING, Status.ROLLBACK_FAILED])
def test_a_rollback_of_an_earlier_release_supersedes_nothing(ledger, three, waiting, status):
    assert after_making_way(ledger, three | {"status": status})["status"] == "RUNNING"


def test_a_rollback_does_not_supersede_the_release_that_it_rolls_back(ledger):
    present = release(ledger, plan=planned("v1.4.0", after=None))
    locked(ledger)
    make_way(ledger, ORDER, present | {"status": Status.SUCCEEDED}, execution=ONE)
    assert releases.get(ledger, "storefront", "v1.4.0")["status"] == "RUNNING"


def test_a_lock_left_by_another_attempt_supersedes_nothing(ledger, three):
    release(ledger, "v1.5.0")
    locked(ledger, "v1.5.0", attempt=2)
    assert after_making_way(ledger, three)["status"] == "RUNNING"


def test_an_ended_release_that_keeps_its_lock_is_left_to_a_person(ledger, three):
    release(ledger, "v1.5.0", plan=planned("v1.5.0", after="v1.4.0"))
    locked(ledger, "v1.5.0")
    end(ledger, "v1.5.0", Status.ROLLBACK_FAILED)
    assert after_making_way(ledger, three)["status"] == "ROLLBACK_FAILED"
    assert lock.holder(ledger, "storefront").kept


def test_without_a_lock_holder_nothing_is_superseded(ledger, three):
    make_way(ledger, ORDER, three, execution=ONE)
    assert releases.get(ledger, "storefront", "v1.4.0") == three


# ---- what it had served --------------------------------------------------------------------------------------------


def shifted(ledger: Ledger, index: int, percent: int) -> None:
    fact = Fact(
        application="storefront",
        tag="v1.4.0",
        attempt=1,
        name="Traffic Shifted",
        key=f"{index:03}",
        data={"percent": percent},
    )
    assert ledger.record(fact)


STEPS = {"steps": [{"percent": 10}, {"percent": 50}, {"percent": 100}]}


def test_each_traffic_share_has_the_seconds_until_the_next_and_the_last_until_now(ledger, clock):
    present = release(ledger, plan=STEPS)
    for index, percent in enumerate((10, 50, 100)):
        shifted(ledger, index, percent)
        clock.forward(60.6 * (index + 1))
    assert served(shares_of(ledger, present), until=clock()) == [
        {"percent": 10, "seconds": 61},
        {"percent": 50, "seconds": 121},
        {"percent": 100, "seconds": 182},
    ]


def test_steps_that_were_not_reached_are_left_out(ledger, clock):
    present = release(ledger, plan=STEPS)
    shifted(ledger, 0, 10)
    shifted(ledger, 2, 100)
    clock.forward(5)
    assert served(shares_of(ledger, present), until=clock()) == [{"percent": 10, "seconds": 5}]


def test_without_a_plan_there_are_no_shares_and_no_time_is_negative(ledger):
    assert served(shares_of(ledger, release(ledger, plan={})), until=datetime(2026, 1, 1, tzinfo=UTC)) == []
    shifted(ledger, 0, 10)
    present = marked(ledger, plan=STEPS)
    assert served(shares_of(ledger, present), until=datetime(2026, 1, 1, tzinfo=UTC)) == [
        {"percent": 10, "seconds": 0}
    ]


# ---- a release after which the previous version can't work ---------------------------------------------------------

UNSAFE: Any = {"manifest": {"rollbackUnsafe": "Migration 42 drops a column."}}


@pytest.mark.parametrize("trigger", sorted(set(TRIGGERS) - {"approver", "operator", "security"}))
def test_an_unsafe_rollback_never_starts_automatically(trigger):
    """Fault 103."""
    order = Order.from_dict(INPUT | {"trigger": trigger})
    with pytest.raises(
        RollbackUnsafe,
        match=r"its rollback is marked unsafe: Migration 42 drops a column\. .*storefront-5xx.* restore the previous "
        r"version anyway with `tagship rollback`\.$",
    ):
        refuse_unsafe(order, UNSAFE)
    with pytest.raises(RollbackUnsafe, match=r"marked unsafe: It drops column X\. Reason"):
        refuse_unsafe(order, {"manifest": {"rollbackUnsafe": "It drops column X."}})  # type: ignore[typeddict-item]
    refuse_unsafe(order, {"manifest": None})  # type: ignore[typeddict-item]
    refuse_unsafe(order, {"manifest": {"rollbackUnsafe": ""}})  # type: ignore[typeddict-item]


@pytest.mark.parametrize("trigger", ["approver", "operator", "security", "something that a person typed"])
def test_a_person_can_still_start_an_unsafe_rollback(trigger):
    """Fault 103."""
    refuse_unsafe(Order.from_dict(INPUT | {"trigger": trigger}), UNSAFE)
