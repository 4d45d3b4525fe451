"""Gates in the flow: what one of them meets stops the release before anything has changed, or travels on with it."""

from __future__ import annotations

import base64
import hashlib
import threading
from typing import Any

import pytest
from botocore.exceptions import ReadTimeoutError

from tests.flow.harness import REGION, Ended, World, client_of, code_of, error_named


@pytest.fixture
def asking(world: World) -> World:
    """The application has a custom gate, which lets everything through."""
    client_of("lambda").create_function(
        FunctionName="storefront-gate",
        Runtime="python3.13",
        Role=client_of("iam").get_role(RoleName="tagship-app-storefront")["Role"]["Arn"],
        Handler="app.handler",
        Code={"ZipFile": code_of("gate")},
    )
    world.handlers["storefront-gate"] = lambda event, context: {"passed": True}
    world.configure(gates={"custom": {"function": "storefront-gate"}})
    return world


def invalid(world: World, tag: str = "v1.0.0") -> Ended:
    """A release that must end INVALID, with nothing changed."""
    ended = world.release(tag, decide="")
    assert (ended.status, ended.error) == ("FAILED", "ReleaseInvalid"), ended
    assert world.record(tag)["status"] == "INVALID"
    assert world.alias() == ("1", {})
    latest = client_of("lambda").get_function_configuration(FunctionName="storefront")["CodeSha256"]
    assert latest == base64.b64encode(hashlib.sha256(code_of("v0.0.0")).digest()).decode(), "uploaded"
    assert "tag" not in world.holder()
    return ended


def result_of(world: World, gate: str, tag: str = "v1.0.0") -> dict[str, Any]:
    """A gate's answer, as the ledger keeps it."""
    return next(result for result in world.record(tag)["gates"] if result["gate"] == gate)


def test_an_alarm_that_is_already_firing_is_reported_and_the_fix_is_deployed(world: World) -> None:
    """Fault 43."""
    cloudwatch = client_of("cloudwatch")
    for name in ("storefront-5xx", "storefront-latency"):
        cloudwatch.put_metric_alarm(
            AlarmName=name,
            ComparisonOperator="GreaterThanThreshold",
            EvaluationPeriods=1,
            Threshold=1,
            Namespace="Storefront",
            MetricName="Errors",
            Period=60,
            Statistic="Sum",
        )
        cloudwatch.set_alarm_state(AlarmName=name, StateValue="OK", StateReason="quiet")
    cloudwatch.set_alarm_state(AlarmName="storefront-5xx", StateValue="ALARM", StateReason="7 > 1")
    world.configure(
        health={
            "checks": [{"type": "lambda"}],
            "watch": {"seconds": 60, "alarms": ["storefront-5xx", "storefront-latency"]},
        }
    )
    assert world.release("v1.0.0").status == "SUCCEEDED"
    alarms = result_of(world, "alarms")
    assert (alarms["verdict"], alarms["why"]) == ("passed", "1 of 2 alarms firing.")
    assert "storefront-5xx has been firing since" in alarms["warning"] and "7 > 1" in alarms["warning"]
    assert set(alarms["seen"]["firing"]) == {"storefront-5xx"}


def test_a_missing_alarm_stops_the_release(world: World) -> None:
    world.configure(
        health={"checks": [{"type": "lambda"}], "watch": {"seconds": 60, "alarms": ["storefront-5xx"]}}
    )
    assert (
        f"No alarm named storefront-5xx exists in account 123456789012, region {REGION}."
        in invalid(world).cause
    )


def test_approvers_of_a_first_release_read_that_no_rollback_is_possible(world: World) -> None:
    """Fault 46."""
    client_of("lambda").delete_alias(FunctionName="storefront", Name="live")
    assert world.release("v1.0.0").status == "SUCCEEDED"
    assert "after a rollback, nothing would serve traffic" in result_of(world, "baseline")["warning"]


def test_a_manual_alias_change_between_two_releases_stops_the_second(world: World) -> None:
    """Fault 30."""
    assert world.release("v1.0.0").status == "SUCCEEDED"
    third = world.publish_by_hand()
    world.move_by_hand(third)
    ended = world.release("v1.1.0", decide="")
    assert ended.error == "ReleaseInvalid"
    assert "according to the ledger version 2 is deployed: someone else moved the alias" in ended.cause
    assert "aws lambda update-alias" in ended.cause
    assert world.alias() == (third, {}), "overwritten"


def test_gates_that_are_throttled_longer_than_other_steps_retry_still_succeed(world: World) -> None:
    """Fault 78: in a new account ten functions run at once."""
    world.plant("run_gate", error_named("Lambda.TooManyRequestsException"), times=9)
    ended = world.release("v1.0.0")
    assert ended.status == "SUCCEEDED", ended.cause


def test_a_custom_gate_receives_the_release_and_lets_it_through(asking: World) -> None:
    events: list[dict[str, Any]] = []
    asking.handlers["storefront-gate"] = lambda event, context: events.append(event) or {"passed": True}
    assert asking.release("v1.0.0").status == "SUCCEEDED"
    (event,) = events
    assert (event["application"], event["tag"], event["stage"]) == ("storefront", "v1.0.0", "production")


@pytest.mark.parametrize(
    "answer, expected",
    [
        ({"passed": False, "reasons": ["no ticket"]}, "storefront-gate stopped the release: no ticket."),
        ({"healthy": True}, "answered neither"),
        (error_named("KeyError", "ticket"), "storefront-gate raised KeyError: ticket"),
        (ReadTimeoutError(endpoint_url="https://lambda"), "storefront-gate raised ReadTimeoutError"),
    ],
    ids=["refuses", "answers something else", "raises", "runs into a time-out of its own"],
)
def test_a_custom_gate_that_refuses_stops_the_release(asking: World, answer: Any, expected: str) -> None:
    """Faults 11 and 13."""

    def answers(event: dict[str, Any], context: Any) -> Any:
        if isinstance(answer, Exception):
            raise answer
        return answer

    asking.handlers["storefront-gate"] = answers
    assert expected in invalid(asking).cause


def test_a_permanently_throttled_gate_fails_closed(world: World) -> None:
    """Fault 12."""
    world.plant("run_gate", error_named("AwsUnavailable", "throttled"), times=100)
    assert "throttled" in invalid(world).cause
    tried = [event["gate"] for name, event in world.calls if name == "run_gate"]
    assert min(tried.count(gate) for gate in tried) == 3  # on a slow machine moto asks one more often


def test_a_hanging_gate_times_out_and_fails_closed(world: World) -> None:
    """Fault 13."""
    over = threading.Event()
    world.plant("run_gate", lambda event: over.wait(20))
    try:
        assert "States.Timeout" in invalid(world).cause
    finally:
        over.set()


def test_unconfigured_gates_do_not_run_and_are_listed_separately(world: World) -> None:
    assert world.release("v1.0.0").status == "SUCCEEDED"
    verdicts = {result["gate"]: result["verdict"] for result in world.record("v1.0.0")["gates"]}
    assert {name for name, verdict in verdicts.items() if verdict == "not-configured"} >= {
        *("signature", "provenance", "promotion", "alarms", "custom")
    }
    assert {verdicts[name] for name in ("manifest", "tag", "integrity", "target", "baseline")} == {"passed"}
    run = ", ".join(event["gate"] for name, event in world.calls if name == "run_gate").split(", ")
    assert sorted(run) == sorted(name for name, verdict in verdicts.items() if verdict == "passed")


def test_a_canary_release_with_three_checks_and_two_approvers_needs_fewer_than_40_state_transitions(
    world: World,
) -> None:
    world.configure(
        strategy={"type": "canary", "percent": 10, "bake": 1},
        approval={"approvers": ["ana@example.com", "bo@example.com"], "required": 2},
        health={"checks": [{"type": "lambda", "requests": many} for many in (1, 2, 3)]},
    )
    arn = world.start(world.upload("v1.0.0"))
    world.decide(arn)
    world.decide(arn, who="bo@example.com")
    ended = world.ended(arn)
    assert ended.status == "SUCCEEDED"
    assert len(ended.entered) < 40, ended.entered
