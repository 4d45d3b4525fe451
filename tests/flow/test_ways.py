"""Beyond the straight path: retry, abort, rollback by an alarm, rollback further back, and the sweep."""

from __future__ import annotations

import json
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from tagship.ledger import lock
from tagship.ledger.table import Ledger
from tests.flow.harness import BUCKET, Ended, World, aws_error, client_of, wait_for, well_only

WATCH = {"checks": [{"type": "lambda"}], "watch": {"seconds": 600, "alarms": ["storefront-5xx"]}}


def retry_of(world: World, tag: str, attempt: int, by: str = "kim") -> dict[str, Any]:
    """An execution's input, as the command line writes it."""
    pinned = world.record(tag)["release"]
    order = {name: pinned[name] for name in ("bucket", "key", "versionId")}
    return order | {"retry": {"attempt": attempt, "by": by, "why": "once more"}}


def watched(world: World) -> None:
    """An application with an alarm that watches what has succeeded."""
    client_of("cloudwatch").put_metric_alarm(
        AlarmName="storefront-5xx",
        MetricName="5xx",
        Namespace="Storefront",
        Statistic="Sum",
        Period=60,
        EvaluationPeriods=1,
        Threshold=1.0,
        ComparisonOperator="GreaterThanThreshold",
    )
    world.configure(health=WATCH)


def fact_of(world: World, tag: str, name: str) -> dict[str, Any]:
    """The last fact of this name."""
    return [fact for fact in world.ledger.facts_of("storefront", tag) if fact["name"] == name][-1]


def current(world: World) -> dict[str, Any]:
    return world.ledger.get("APPLICATION#storefront", "CURRENT") or {}


def at_rest(world: World) -> None:
    """The lock is free, traffic is not split, and nothing is open."""
    assert "tag" not in world.holder()
    assert world.alias()[1] == {}
    assert list(world.ledger.open_of("release")) == list(world.ledger.open_of("lock")) == []


# ---- again ---------------------------------------------------------------------------------------------------------


def test_a_rejected_release_restarts_with_a_new_attempt_number(world: World) -> None:
    world.release("v1.0.0", decide="reject", reason="not today")
    (dead,) = world.links("ana@example.com")
    world.configure(approval={"approvers": ["bo@example.com"]})  # read again
    typed = world.type("retry", "storefront", "v1.0.0", "--reason", "today it may", "--json")
    assert typed.exit_code == 0, typed.output
    document = json.loads(typed.stdout)
    assert document["attempt"] == 2
    world.decide(document["execution"], who="bo@example.com")
    assert world.ended(document["execution"]).status == "SUCCEEDED"
    record = world.record("v1.0.0")
    assert (record["status"], record["attempt"], current(world)["attempt"]) == ("SUCCEEDED", 2, 2)
    asked = fact_of(world, "v1.0.0", "Release Retried")
    assert (asked["attempt"], asked["data"]["why"], asked["data"]["after"]) == (2, "today it may", "REJECTED")
    assert asked["who"].startswith("arn:aws:")
    again = [fact["name"] for fact in world.ledger.facts_of("storefront", "v1.0.0") if fact["attempt"] == 2]
    assert again[:3] == ["Release Retried", "Release Read", "Lock Acquired"]
    assert world.press_blindly(dead)["statusCode"] == 409
    at_rest(world)
    refused = world.type("retry", "storefront", "v1.0.0", "--reason", "twice")
    assert refused.exit_code == 1 and "it has already succeeded" in refused.stderr


def test_ten_concurrent_retries_are_one_attempt(world: World) -> None:
    world.release("v1.0.0", decide="reject", reason="no")
    order = retry_of(world, "v1.0.0", 2)
    with ThreadPoolExecutor(10) as pool:
        arns = list(pool.map(lambda _: world.start(order), range(10)))
    owner = wait_for(
        lambda: record["execution"] if (record := world.record("v1.0.0"))["attempt"] == 2 else None,
        "attempt 2",
    )
    world.decide(owner, decide="reject", reason="no again")
    errors = sorted(world.ended(arn).error for arn in arns)
    assert errors == ["ReleaseRejected"] + ["RetryRefused"] * 9
    assert world.facts("v1.0.0").count("Release Retried") == 1
    at_rest(world)


def test_a_retry_with_other_bytes_or_of_the_current_release_or_with_another_number_is_refused(
    world: World,
) -> None:
    arn = world.start(world.upload("v1.0.0"))
    world.link(arn)
    running = world.ended(world.start(retry_of(world, "v1.0.0", 2)))
    assert running.error == "RetryRefused" and "it is in progress" in running.cause
    world.decide(arn, decide="reject", reason="no")
    world.ended(arn)
    assert world.ended(world.start(retry_of(world, "v1.0.0", 3))).error == "RetryRefused"
    others = world.upload("v1.0.0", code=b"other")
    other = world.ended(world.start(others | {"retry": {"attempt": 2, "by": "kim", "why": "x"}}))
    assert other.error == "TagAlreadyUsed"
    malformed = world.ended(world.start(others | {"retry": {"attempt": "2"}}))
    assert (
        malformed.error == "ReleaseInvalid"
        and "a retry has the fields attempt, by and why" in malformed.cause
    )
    assert world.record("v1.0.0")["attempt"] == 1


def test_a_late_step_of_one_attempt_ends_nothing_in_the_next(world: World) -> None:
    first = world.release("v1.0.0", decide="reject", reason="not today")
    again = world.start(retry_of(world, "v1.0.0", 2))
    link = world.link(again)
    ending = {"status": "INVALID", "error": "ReleaseInvalid", "cause": "too late"}
    release = {"application": "storefront", "tag": "v1.0.0", "attempt": 1}
    late = {"release": release, "ending": ending, "execution": first.arn}
    assert world.handlers["end_release"](late, None)["status"] == "REJECTED"
    world.supervise(first)
    order = {**release, "trigger": "supervisor", "why": "late", "by": "supervisor"}
    assert world.ended(world.start(order, "rollback")).error == "RollbackRefused"
    assert world.record("v1.0.0")["status"] == "RUNNING"
    assert link is not None
    world.press(link, decide="approve")
    assert world.ended(again).status == "SUCCEEDED"


def test_a_rolled_back_release_can_succeed_on_retry(world: World) -> None:
    world.health = well_only("1")
    assert world.release("v1.0.0").error == "ReleaseRolledBack"
    world.health = lambda version, event: {"healthy": True}
    again = world.start(retry_of(world, "v1.0.0", 2))
    world.decide(again)
    assert world.ended(again).status == "SUCCEEDED"
    at_rest(world)


# ---- stopped -------------------------------------------------------------------------------------------------------


def test_an_abort_has_a_name_and_a_reason(world: World) -> None:
    arn = world.start(world.upload("v1.0.0"))
    world.link(arn)
    heard: list[Ended] = []

    def heard_by_the_supervisor() -> None:
        if not heard:
            heard.append(world.woken(arn))
            world.supervise(heard[0])

    reason = ("--reason", "the wrong branch")
    typed = world.type("abort", "storefront", "v1.0.0", *reason, meanwhile=heard_by_the_supervisor)
    assert typed.exit_code == 0, typed.output
    assert heard[0].status == "ABORTED"
    ending = fact_of(world, "v1.0.0", "Release Aborted")
    assert ending["who"].startswith("arn:aws:")
    assert "the wrong branch" in ending["data"]["why"]
    at_rest(world)
    again = world.type("abort", "storefront", "v1.0.0", "--reason", "twice")
    assert again.exit_code == 1 and "has already ended ABORTED" in again.stderr


# ---- an alarm ------------------------------------------------------------------------------------------------------


def test_an_alarm_during_the_watch_rolls_the_release_back_once(world: World) -> None:
    """Faults 47 and 48."""
    watched(world)
    world.release("v1.0.0")
    at = "2099-01-01T00:00:00.000+0000"
    for via in ("events", "events", "topic"):
        world.alarm(at=at, via=via)
    (rollback,) = world.rollbacks()
    assert rollback.status == "SUCCEEDED"
    assert world.alias() == ("1", {})
    assert world.record("v1.0.0")["status"] == "ROLLED_BACK"
    facts = world.facts("v1.0.0")
    assert (facts.count("Alarm Fired"), facts.count("Rollback Triggered")) == (1, 1)
    triggered = fact_of(world, "v1.0.0", "Rollback Triggered")
    assert (triggered["data"]["trigger"], triggered["data"]["seen"]["name"]) == ("alarm", "storefront-5xx")
    assert "Threshold Crossed" in triggered["data"]["why"]
    restored = fact_of(world, "v1.0.0", "Baseline Restored")
    assert [each["percent"] for each in restored["data"]["served"]] == [10, 100]
    assert world.alarm()["did"] == [], "what it watched is gone, and a rollback is never rolled back"
    at_rest(world)


def test_alarms_before_and_after_the_watch_are_reported_and_move_no_traffic(world: World) -> None:
    """Fault 49."""
    watched(world)
    world.release("v1.0.0")
    world.alarm(at="2020-01-01T00:00:00.000+0000")
    assert (
        fact_of(world, "v1.0.0", "Alarm Fired")["data"]["because"] == "It fired before the release succeeded."
    )
    item = world.ledger.get("ALARM#123456789012#us-east-1#storefront-5xx", "APPLICATION#storefront")
    assert item is not None
    world.put(item | {"until": "2020-01-01T00:00:00.000Z"})
    for _ in range(2):
        world.alarm(at="2099-01-01T00:00:00.000+0000")
    assert fact_of(world, "v1.0.0", "Alarm Fired")["data"]["because"] == "The watch is over."
    assert world.facts("v1.0.0").count("Alarm Fired") == 2
    assert world.statuses("rollback") == []
    assert world.alias() == ("2", {})


def test_a_release_that_waits_during_a_rollback_by_the_watch_is_planned_and_requested_again(
    world: World,
) -> None:
    watched(world)
    world.release("v1.0.0")
    waiting = world.start(world.upload("v1.1.0"))
    link = world.link(waiting)
    world.alarm()
    (rollback,) = world.rollbacks()
    assert (rollback.status, world.alias()) == ("SUCCEEDED", ("1", {}))
    world.later("sweep", {}, minutes=15)  # resumes the waiting execution
    again = wait_for(
        lambda: now if (now := world.link(waiting)) not in (link, None) else None, "the next link"
    )
    assert "v1.0.0 was rolled back" in world.record("v1.1.0")["outdated"]
    assert link is not None and world.press_blindly(link)["statusCode"] == 409
    world.press(again, decide="approve")
    assert world.ended(waiting).status == "SUCCEEDED"
    at_rest(world)
    assert current(world)["tag"] == "v1.1.0"
    world.put(world.record("v1.0.0"))  # whatever it says: its watch is over
    assert [each["tag"] for each in world.alarm()["did"]] == ["v1.1.0"]


# ---- further back, and never again ---------------------------------------------------------------------------------


def test_production_rolls_back_further_to_a_release_that_succeeded(world: World) -> None:
    for tag in ("v1.0.0", "v1.1.0", "v1.2.0"):
        world.release(tag)
    typed = world.type("rollback", "storefront", "--to", "v1.0.0", "--security", "--reason", "it leaks")
    assert typed.exit_code == 0, typed.output
    assert world.alias() == ("2", {})
    assert (current(world)["tag"], current(world)["revision"]["id"]) == ("v1.0.0", "2")
    record = world.record("v1.2.0")
    assert (record["status"], record["barred"]["why"]) == ("ROLLED_BACK", "it leaks")
    at_rest(world)
    refused = world.ended(world.start(retry_of(world, "v1.2.0", 2)))
    assert refused.error == "RetryRefused" and "never be deployed again: it leaks" in refused.cause
    back = world.type("rollback", "storefront", "--to", "v1.2.0", "--reason", "forward again")
    assert back.exit_code == 1 and "v1.2.0 ended ROLLED_BACK" in back.stderr
    assert world.type("rollback", "storefront", "--reason", "one more").exit_code == 0
    assert world.alias() == ("1", {})


def test_a_release_that_was_already_rolled_back_is_blocked_and_no_traffic_moves(world: World) -> None:
    world.release("v1.0.0")
    world.health = well_only("1", "2")
    assert world.release("v1.1.0").error == "ReleaseRolledBack"
    before, alias = current(world), world.alias()
    for _ in range(2):
        typed = world.type("rollback", "storefront", "v1.1.0", "--security", "--reason", "it leaks")
        assert typed.exit_code == 0, typed.output
        assert "The release was rolled back before. From now on it cannot be deployed again." in typed.stdout
    assert (current(world), world.alias()) == (before, alias)
    assert (world.record("v1.1.0")["status"], world.record("v1.1.0")["barred"]["why"]) == (
        "ROLLED_BACK",
        "it leaks",
    )
    assert world.facts("v1.1.0").count("Rollback Triggered") == 1
    refused = world.ended(world.start(retry_of(world, "v1.1.0", 2)))
    assert refused.error == "RetryRefused" and "never be deployed again: it leaks" in refused.cause
    at_rest(world)


def test_a_rollback_to_a_deleted_version_is_refused(world: World) -> None:
    for tag in ("v1.0.0", "v1.1.0", "v1.2.0"):
        world.release(tag)
    client_of("lambda").delete_function(FunctionName="storefront", Qualifier="2")
    typed = world.type("rollback", "storefront", "--to", "v1.0.0", "--reason", "too bad", "--json")
    assert typed.exit_code == 1
    assert json.loads(typed.stdout)["error"] == "RollbackRefused"
    assert world.alias() == ("4", {})
    assert world.record("v1.2.0")["status"] == "SUCCEEDED"
    at_rest(world)


def test_a_second_rollback_waits_for_the_first_and_shares_its_outcome(world: World) -> None:
    """Fault 47."""
    world.release("v1.0.0")
    order = {"application": "storefront", "tag": "v1.0.0", "trigger": "operator", "why": "slow", "by": "kim"}
    others: list[str] = []

    def meanwhile(event: dict[str, Any]) -> Any:
        others.append(world.start(order | {"by": "lee"}, "rollback"))
        wait_for(
            lambda: True if "Rollback Joined" in world.facts("v1.0.0") else None, "the other one to join"
        )
        return world.handlers["judge_health"](event, None)

    world.plant("judge_health", meanwhile)
    first = world.ended(world.start(order, "rollback"))
    second = world.ended(others[0])
    assert (first.status, second.status) == ("SUCCEEDED", "SUCCEEDED"), second
    assert second.output["restored"]["what"] == "Another rollback has restored it."
    assert "AwaitStable" not in second.entered
    assert world.facts("v1.0.0").count("Rollback Triggered") == 1
    assert fact_of(world, "v1.0.0", "Rollback Joined")["who"] == "lee"
    at_rest(world)


def test_a_rollback_joins_one_that_ends_while_it_reads_the_ledger(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Fault 47: the lock and the record are not read at one moment where someone writes one of them."""
    world.release("v1.0.0")
    order = {"application": "storefront", "tag": "v1.0.0", "trigger": "operator", "why": "slow", "by": "kim"}
    second: list[str] = []
    may_end, caller, read = threading.Event(), threading.local(), lock.holder_to_follow

    def meanwhile(event: dict[str, Any]) -> Any:
        second.append(world.start(order | {"by": "lee"}, "rollback"))
        wait_for(
            lambda: True if "Rollback Joined" in world.facts("v1.0.0") else None, "the other one to join"
        )
        assert may_end.wait(20), "the second rollback did not read the lock again"
        return world.handlers["judge_health"](event, None)

    def restoring(event: dict[str, Any]) -> Any:
        caller.by = event["order"]["by"]
        return world.handlers["restore_baseline"](event, None)

    def after_the_first_ended(ledger: Ledger, application: str) -> lock.Holder | None:
        if getattr(caller, "by", "") == "lee" and "Rollback Joined" in world.facts("v1.0.0"):
            may_end.set()
            wait_for(lambda: world.record("v1.0.0")["status"] == "ROLLED_BACK" or None, "the first to end")
            wait_for(lambda: lock.holder(ledger, application) is None or None, "the lock to be free")
        return read(ledger, application)

    monkeypatch.setattr(Ledger, "read_ahead", lambda self, *keys: None)
    monkeypatch.setattr(lock, "holder_to_follow", after_the_first_ended)
    world.plant("restore_baseline", restoring, times=9)
    world.plant("judge_health", meanwhile)
    first = world.ended(world.start(order, "rollback"))
    ended = world.ended(second[0])
    assert (first.status, ended.status) == ("SUCCEEDED", "SUCCEEDED"), ended
    assert ended.output["restored"]["what"] == "Another rollback has restored it."


# ---- what a sweep finds --------------------------------------------------------------------------------------------


def test_a_sweep_finds_a_lost_upload_event_and_a_release_whose_ending_was_lost(
    world: World,
) -> None:
    """Faults 2, 27 and 38."""
    world.upload("v1.0.0")
    client_of("s3").put_object(Bucket=BUCKET, Key="releases/x/release.json", Body=b"{}")
    assert world.later("sweep", {}, minutes=1)["did"] == [], "it may be in the middle of being read"
    for _ in range(2):
        world.later("sweep", {}, minutes=10)
    (arn,) = [
        each["executionArn"]
        for each in client_of("stepfunctions").list_executions(stateMachineArn=world.machines["release"])[
            "executions"
        ]
        if world.describe(each["executionArn"])["status"] == "RUNNING"
    ]
    world.link(arn)
    assert fact_of(world, "v1.0.0", "Release Retried")["who"] == "sweep"
    world.stop(arn)
    assert world.record("v1.0.0")["status"] == "RUNNING", "nobody heard it"
    assert world.later("sweep", {}, minutes=20)["did"][0] == "storefront v1.0.0: ended"
    assert world.record("v1.0.0")["status"] == "ABORTED"
    assert world.later("sweep", {}, minutes=20)["did"] == []
    at_rest(world)


def test_a_sweep_delivers_a_recorded_decision_to_the_execution(world: World) -> None:
    """Fault 23."""
    arn = world.start(world.upload("v1.0.0"))
    link = world.link(arn)
    assert link is not None
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(world, "patch", patch)
        world.refuse("SendTaskSuccess", aws_error("InternalError", 500))
        world.press(link, decide="approve")
    assert world.describe(arn)["status"] == "RUNNING"
    assert world.later("sweep", {}, minutes=10)["did"] == [
        "storefront v1.0.0: its execution received the decision"
    ]
    assert world.ended(arn).status == "SUCCEEDED"
    assert world.later("sweep", {}, minutes=10)["did"] == []


def test_a_sweep_calls_a_person_for_a_rollback_whose_death_was_not_reported(world: World) -> None:
    world.release("v1.0.0")
    world.stopping("judge_health")
    order = {"application": "storefront", "tag": "v1.0.0", "trigger": "operator", "why": "slow", "by": "kim"}
    assert world.ended(world.start(order, "rollback")).status == "ABORTED"
    assert world.later("sweep", {}, minutes=10)["did"] == [], "its lease runs"
    assert world.later("sweep", {}, minutes=20)["did"] == ["storefront v1.0.0, rollback: ended"]
    assert world.record("v1.0.0")["status"] == "ROLLBACK_FAILED"
    assert world.holder()["kept"] is True


# ---- a change by hand that is right --------------------------------------------------------------------------------


def test_an_alias_that_was_moved_manually_is_adopted_and_the_fix_is_deployed(world: World) -> None:
    """Fault 92: the next release takes what serves as its baseline, and a rollback of it restores that."""
    assert world.release("v1.0.0").status == "SUCCEEDED"
    by_hand = world.publish_by_hand()
    world.move_by_hand(by_hand)
    refused = world.release("v1.1.0", decide="")
    assert refused.error == "ReleaseInvalid"
    assert "tagship adopt storefront" in refused.cause
    typed = world.type("adopt", "storefront", "--reason", "kim moved it at night", "--yes", "--json")
    assert typed.exit_code == 0, typed.output
    assert json.loads(typed.stdout)["serves"] == by_hand
    fact = fact_of(world, "v1.0.0", "Baseline Adopted")
    assert fact["data"]["why"] == "kim moved it at night" and fact["who"].startswith("arn:aws:")
    no_way = world.type("rollback", "storefront", "--reason", "no", "--yes")
    assert no_way.exit_code == 1 and "its version no longer serves traffic" in no_way.stderr
    world.health = well_only(by_hand)
    assert world.release("v1.2.0").error == "ReleaseRolledBack"
    assert world.alias() == (by_hand, {})
    world.health = lambda version, event: {"healthy": True}
    assert world.release("v1.3.0").status == "SUCCEEDED"
    assert current(world)["tag"] == "v1.3.0" and "adopted" not in current(world)
    at_rest(world)


# ---- a release that can't go back ----------------------------------------------------------------------------------

UNSAFE = "Migration 42 drops a column."


def test_an_unhealthy_release_with_an_unsafe_rollback_stops_and_calls_a_person(world: World) -> None:
    """Fault 103: nothing is restored by itself; a person restores it all the same, or adopts what serves."""
    world.health = well_only("1")
    arn = world.start(world.upload("v1.0.0", rollbackUnsafe=UNSAFE))
    link = world.link(arn)
    assert link is not None
    page = world.browse("GET", link)["body"]
    assert page.index("ROLLBACK IS UNSAFE: Migration 42 drops a column.") < page.index("What changes")
    world.press(link, decide="approve")
    ended = world.ended(arn)
    assert ended.error == "RollbackFailed"
    assert world.alias() == ("1", {"2": 0.1}), "nothing was touched"
    record = world.record("v1.0.0")
    assert record["status"] == "ROLLBACK_FAILED" and world.holder()["kept"] is True
    assert "its rollback is marked unsafe: Migration 42 drops a column" in record["why"]
    assert "Rollback Triggered" not in world.facts("v1.0.0")
    (stopped,) = world.rollbacks()
    assert stopped.entered.count("RestoreBaseline") == 1, "asked once: asking again can't help"
    typed = world.type("rollback", "storefront", "--reason", "the column was put back", "--yes")
    assert typed.exit_code == 0, typed.output
    assert (world.record("v1.0.0")["status"], world.alias()) == ("ROLLED_BACK", ("1", {}))
    at_rest(world)


def test_an_alarm_after_a_release_with_an_unsafe_rollback_calls_a_person_and_restores_nothing(
    world: World,
) -> None:
    """Fault 103."""
    watched(world)
    assert world.release("v1.0.0", rollbackUnsafe=UNSAFE).status == "SUCCEEDED"
    (did,) = world.alarm()["did"]
    assert did["did"] == "notified"
    fact = fact_of(world, "v1.0.0", "Alarm Fired")
    assert "Its rollback is unsafe, so a person decides" in fact["data"]["because"]
    assert world.alias() == ("2", {}) and world.rollbacks() == []
    at_rest(world)
