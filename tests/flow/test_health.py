"""Health while a step bakes: what is clearly wrong ends it at once, what is unclear gets the same time once more."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tagship.model.release import UNCHECKED
from tests.flow.harness import World, client_of, error_named, once_it_serves
from tests.flow.test_endings import assert_ended

EVERY = {"checks": [{"type": "lambda"}], "every": 1}
WELL, ILL, UNCLEAR = (
    {"healthy": True},
    {"healthy": False, "reasons": ["the basket is empty"]},
    {"status": "?"},
)


def answering(world: World, *answers: Any) -> None:
    """The candidate's responses with traffic, check by check, the last one forever; the baseline is always healthy."""
    following: Iterator[Any] = iter(answers)

    def answer(version: str, event: dict[str, Any]) -> Any:
        return WELL if version == "1" else next(following, answers[-1])

    world.health = once_it_serves(answer)


def put_alarm(name: str, state: str) -> None:
    """An alarm in this state."""
    client_of("cloudwatch").put_metric_alarm(
        AlarmName=name,
        Namespace="Shop",
        MetricName="5xx",
        Statistic="Sum",
        Period=60,
        EvaluationPeriods=1,
        Threshold=1,
        ComparisonOperator="GreaterThanThreshold",
    )
    client_of("cloudwatch").set_alarm_state(AlarmName=name, StateValue=state, StateReason="so it stands")


def looks(world: World, tag: str) -> list[tuple[str, str, bool]]:
    """The health checks in the ledger."""
    return [
        (fact["data"]["subject"], fact["data"]["verdict"], fact["data"]["goesOn"])
        for fact in world.ledger.facts_of("storefront", tag)
        if fact["name"] == "Health Checked"
    ]


def test_a_candidate_that_becomes_unhealthy_during_its_bake_is_rolled_back_at_once(world: World) -> None:
    world.configure(strategy={"type": "all-at-once", "bake": 600}, health=EVERY)
    answering(world, WELL, ILL)
    ended = world.release("v1.0.0")
    assert_ended(world, ended, "v1.0.0", "ROLLED_BACK", "ReleaseRolledBack")
    assert ended.entered.count("Bake") == 2
    assert ended.entered.count("ShiftTraffic") == 1
    assert looks(world, "v1.0.0") == [("candidate", "unhealthy", False), ("baseline", "healthy", False)]
    assert "the basket is empty" in world.record("v1.0.0")["why"]


def test_a_healthy_bake_is_checked_repeatedly_and_reported_once(world: World) -> None:
    world.configure(strategy={"type": "all-at-once", "bake": 5}, health=EVERY)
    ended = world.release("v1.0.0")
    assert_ended(world, ended, "v1.0.0", "SUCCEEDED")
    assert ended.entered.count("CheckHealth") == ended.entered.count("Bake") == 3  # after 2 s, 4 s and 5 s
    assert looks(world, "v1.0.0") == [("candidate", "healthy", False)]


def test_inconclusive_health_extends_the_bake_once_and_the_release_continues(world: World) -> None:
    world.configure(health=EVERY)
    answering(world, UNCLEAR, WELL)
    ended = world.release("v1.0.0")
    assert_ended(world, ended, "v1.0.0", "SUCCEEDED")
    assert looks(world, "v1.0.0") == [
        ("candidate", "inconclusive", True),
        ("candidate", "healthy", False),
        ("candidate", "healthy", False),
    ]


def test_health_that_stays_inconclusive_rolls_the_release_back(world: World) -> None:
    """Fault 40."""
    world.configure(health=EVERY)
    answering(world, UNCLEAR)
    ended = world.release("v1.0.0")
    assert_ended(world, ended, "v1.0.0", "ROLLED_BACK", "ReleaseRolledBack")
    assert looks(world, "v1.0.0") == [
        ("candidate", "inconclusive", True),
        ("candidate", "inconclusive", False),
        ("baseline", "healthy", False),
    ]
    triggered = [
        f for f in world.ledger.facts_of("storefront", "v1.0.0") if f["name"] == "Rollback Triggered"
    ]
    assert triggered[0]["data"]["trigger"] == "health"


@pytest.mark.parametrize("fires_anew", [False, True])
def test_an_alarm_that_fired_before_does_not_stop_the_fix_but_one_that_fires_again_does(
    world: World, fires_anew: bool
) -> None:
    """FAULT 43. After the rollback the alarm still fires, as alarms do: the baseline is judged by what asks it itself."""
    world.configure(
        strategy={"type": "canary", "percent": 10, "bake": 2},
        health={"checks": [{"type": "alarm", "names": ["5xx"]}, {"type": "lambda"}], "every": 1},
    )
    put_alarm("5xx", "OK")

    def fire() -> None:
        client_of("cloudwatch").set_alarm_state(AlarmName="5xx", StateValue="ALARM", StateReason="many 5xx")

    fire()

    def checked(event: dict[str, Any]) -> Any:
        if fires_anew:
            fire()
        return world.handlers["check_health"](event, None)

    world.plant("check_health", checked)
    ended = world.release("v1.0.0")
    if fires_anew:
        assert_ended(world, ended, "v1.0.0", "ROLLED_BACK", "ReleaseRolledBack")
        assert "5xx has been firing since" in world.record("v1.0.0")["why"]
    else:
        assert_ended(world, ended, "v1.0.0", "SUCCEEDED")


ORDINARY = {"statusCode": 200}


def test_a_function_that_ignores_health_requests_is_restored_and_nobody_is_called(world: World) -> None:
    """Fault 89."""
    world.configure(health=EVERY)
    world.health = once_it_serves(lambda version, event: ORDINARY)
    ended = world.release("v1.0.0")
    assert_ended(world, ended, "v1.0.0", "ROLLED_BACK", "ReleaseRolledBack")
    assert world.alias() == ("1", {})
    record = world.record("v1.0.0")
    assert UNCHECKED in record["why"]
    (warning,) = [gate["warning"] for gate in record["gates"] if gate["gate"] == "baseline"]
    assert "but could not check its health" in warning


def test_a_baseline_that_raises_on_the_health_request_is_restored_and_nobody_is_called(world: World) -> None:
    world.configure(health=EVERY)

    def raises(version: str, event: dict[str, Any]) -> Any:
        raise error_named("KeyError", "path")

    world.health = once_it_serves(raises)
    ended = world.release("v1.0.0")
    assert_ended(world, ended, "v1.0.0", "ROLLED_BACK", "ReleaseRolledBack")
    assert UNCHECKED in world.record("v1.0.0")["why"]


def test_a_baseline_that_answered_before_and_is_unhealthy_after_the_rollback_calls_a_person(
    world: World,
) -> None:
    world.configure(health=EVERY)
    asked: list[str] = []

    def answer(version: str, event: dict[str, Any]) -> Any:
        asked.append(version)
        return WELL if len(asked) == 1 else ILL

    world.health = once_it_serves(answer)
    ended = world.release("v1.0.0")
    assert_ended(world, ended, "v1.0.0", "ROLLBACK_FAILED", "RollbackFailed")


def test_an_application_with_alarms_only_is_rolled_back_and_its_ending_says_nothing_was_checked(
    world: World,
) -> None:
    world.configure(
        strategy={"type": "canary", "percent": 10, "bake": 2},
        health={"checks": [{"type": "alarm", "names": ["5xx"]}], "every": 1},
    )
    put_alarm("5xx", "OK")

    def checked(event: dict[str, Any]) -> Any:
        client_of("cloudwatch").set_alarm_state(AlarmName="5xx", StateValue="ALARM", StateReason="many 5xx")
        return world.handlers["check_health"](event, None)

    world.plant("check_health", checked)
    ended = world.release("v1.0.0")
    assert_ended(world, ended, "v1.0.0", "ROLLED_BACK", "ReleaseRolledBack")
    assert UNCHECKED in world.record("v1.0.0")["why"]


# ---- before any traffic --------------------------------------------------------------------------------------------


def test_a_candidate_that_fails_its_check_at_0_percent_ends_invalid_without_traffic(
    world: World,
) -> None:
    """Fault 84."""
    asked: list[dict[str, Any]] = []

    def answer(version: str, event: dict[str, Any]) -> Any:
        asked.append({"version": version} | event)
        return WELL if version == "1" else ILL

    world.health = answer
    before = client_of("lambda").get_alias(FunctionName="storefront", Name="live")["RevisionId"]
    ended = world.release("v1.0.0")
    assert_ended(world, ended, "v1.0.0", "INVALID", "ReleaseInvalid")
    assert "ShiftTraffic" not in ended.entered
    assert client_of("lambda").get_alias(FunctionName="storefront", Name="live")["RevisionId"] == before
    assert [(each["version"], each["percent"]) for each in asked] == [("1", 100), ("2", 0)]
    assert "the basket is empty" in world.record("v1.0.0")["why"]
    assert "No traffic was moved" in world.record("v1.0.0")["why"]
    assert "Candidate Proven" not in world.facts("v1.0.0")


def test_a_checked_candidate_is_proven_and_its_answers_are_in_the_ledger(world: World) -> None:
    world.release("v1.0.0")
    (fact,) = [f for f in world.ledger.facts_of("storefront", "v1.0.0") if f["name"] == "Candidate Proven"]
    assert [(each["check"], each["verdict"]) for each in fact["data"]["checks"]] == [
        ("lambda storefront", "healthy")
    ]


def test_a_candidate_that_is_ready_too_late_for_its_bakes_gets_no_traffic(world: World) -> None:
    """Making and asking it counts into the deployment's twenty minutes."""
    world.configure(strategy={"type": "canary", "percent": 10, "bake": 900})

    def late(event: dict[str, Any]) -> Any:
        return world.later("prove_candidate", event, seconds=400)

    world.plant("prove_candidate", late)
    ended = world.release("v1.0.0")
    assert_ended(world, ended, "v1.0.0", "INVALID", "ReleaseInvalid")
    assert "ready too late" in world.record("v1.0.0")["why"]
    assert "ShiftTraffic" not in ended.entered
