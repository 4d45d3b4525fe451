"""The alarms: each expression computed over made-up series; each has its runbook, and no opinion about no data."""

from __future__ import annotations

import json
import re
from collections import Counter
from datetime import UTC, datetime
from typing import Any

import pytest

from tagship.model.release import Status
from tagship.notices import metrics, queue
from tests.template.cloudformation import defaults, functions, resources, template
from tests.template.definitions import ROOT, Body
from tests.template.metric_math import Value, evaluate

ALARMS = resources("AWS::CloudWatch::Alarm")
RATES = {name: alarm for name, alarm in ALARMS.items() if "Metrics" in alarm}
RUNBOOKS = ROOT / "docs" / "runbooks"
HEADINGS = ["Meaning", "Diagnosis", "What to do", "Verify the result"]
LONGEST_WINDOW = 86_400
"""Seconds over which CloudWatch evaluates an alarm at most."""

every_alarm = pytest.mark.parametrize("name", ALARMS)


def filled(text: Any) -> str:
    """A template's text, with the parameters' defaults in it."""
    return re.sub(r"\$\{(\w+)\}", lambda match: str(defaults().get(match[1], match[0])), text["Fn::Sub"])


def threshold(alarm: Body) -> float:
    value = alarm["Threshold"]
    return float(defaults()[value["Ref"]] if isinstance(value, dict) else value)


def goes_off(alarm: Body, sums: dict[str, Value]) -> bool:
    """Over one window, by the sums of its metrics; a metric that is not named has no data."""
    assert alarm["ComparisonOperator"] == "GreaterThanThreshold"
    if "Metrics" not in alarm:
        value = sums.get(alarm["MetricName"])
    else:
        (rate,) = [each for each in alarm["Metrics"] if each.get("ReturnData", True)]
        named = {
            each["Id"]: sums.get(each["MetricStat"]["Metric"]["MetricName"])
            for each in alarm["Metrics"]
            if "MetricStat" in each
        }
        value = evaluate(filled(rate["Expression"]), named)
    assert alarm["TreatMissingData"] == "notBreaching"
    return value is not None and value > threshold(alarm)


# ---- rates ---------------------------------------------------------------------------------------------------------


def window(alarm: str, bad: float, good: float) -> dict[str, Value]:
    """A number of bad and good events, as metrics.py would have emitted them."""
    if alarm == "RollbacksAlarm":  # all that ended, and how often one was triggered
        return {"RollbackTriggered": bad, "DeploymentFailed": 0, "DeploymentSucceeded": good + bad}
    failed, passed = {
        "DeploymentFailuresAlarm": ("DeploymentFailed", "DeploymentSucceeded"),
        "GateFailuresAlarm": ("GateFailed", "GatePassed"),
        "HealthCheckFailuresAlarm": ("HealthCheckFailed", "HealthCheckPassed"),
    }[alarm]
    return {failed: bad, passed: good}


LIMITS = {
    "DeploymentFailuresAlarm": 10,
    "GateFailuresAlarm": 15,
    "HealthCheckFailuresAlarm": 5,
    "RollbacksAlarm": 20,
}


def test_each_required_rate_has_an_alarm() -> None:
    assert {name: threshold(alarm) for name, alarm in RATES.items()} == LIMITS


@pytest.mark.parametrize("name", RATES)
@pytest.mark.parametrize(
    "percent, off",
    [(-1, False), (0, False), (1, True), (50, True)],
    ids=["below", "at the limit", "above", "far above"],
)
def test_a_rate_alarm_fires_only_above_its_limit(name: str, percent: int, off: bool) -> None:
    share = LIMITS[name] + percent
    assert goes_off(RATES[name], window(name, bad=10 * share, good=10 * (100 - share))) is off


@pytest.mark.parametrize("name", RATES)
def test_missing_data_is_not_a_failure(name: str) -> None:
    assert not goes_off(RATES[name], {})
    assert not goes_off(RATES[name], window(name, bad=0, good=0))


@pytest.mark.parametrize("name", RATES)
def test_a_single_failure_pages_nobody_at_any_volume(name: str) -> None:
    for good in range(100):
        assert not goes_off(RATES[name], window(name, bad=1, good=good))


MINIMUM = {
    "DeploymentFailuresAlarm": "AlarmMinimumDeployments",
    "GateFailuresAlarm": "AlarmMinimumGates",
    "HealthCheckFailuresAlarm": "AlarmMinimumHealthChecks",
    "RollbacksAlarm": "AlarmMinimumDeployments",
}


@pytest.mark.parametrize("name", RATES)
def test_a_rate_of_too_few_events_is_not_evaluated(name: str) -> None:
    least = defaults()[MINIMUM[name]]
    assert not goes_off(RATES[name], window(name, bad=least - 1, good=0))
    assert goes_off(RATES[name], window(name, bad=least, good=0))


@pytest.mark.parametrize("name", RATES)
def test_a_rate_covers_all_applications_of_the_stage_within_cloudwatchs_evaluation_limit(
    name: str,
) -> None:
    emitted = {measure.name for fact in FACTS for measure in metrics.measures(fact)}
    for each in RATES[name]["Metrics"]:
        if "MetricStat" in each:
            metric = each["MetricStat"]["Metric"]
            assert metric["Dimensions"] == [{"Name": "Stage", "Value": {"Ref": "Stage"}}]
            assert metric["MetricName"] in emitted
            assert (each["MetricStat"]["Stat"], each["MetricStat"]["Period"]) == (
                "Sum",
                {"Ref": "AlarmWindowSeconds"},
            )
            assert each["ReturnData"] is False
    assert RATES[name]["EvaluationPeriods"] == 1
    assert max(template()["Parameters"]["AlarmWindowSeconds"]["AllowedValues"]) <= LONGEST_WINDOW


# ---- from facts ----------------------------------------------------------------------------------------------------


def fact(name: str, **data: Any) -> Body:
    return {
        "name": name,
        "application": "storefront",
        "stage": "production",
        "at": "2026-11-23T10:00:00.000Z",
        "data": data,
    }


GATES = [{"gate": str(number), "verdict": "passed"} for number in range(6)]
CHECK = {"verdict": "healthy"}
FACTS = [
    *(
        fact("Gates Passed", results=GATES),
        fact("Gates Failed", results=[{"gate": "x", "verdict": "failed"}]),
    ),
    *(
        fact("Health Checked", checks=[CHECK, {"verdict": "error"}]),
        fact("Approval Error"),
        fact("Rollback Failed"),
    ),
    *(fact("Release Succeeded"), fact("Release Rolled Back"), fact("Rollback Triggered", trigger="health")),
]


def release(*, good: bool) -> list[Body]:
    checked = fact("Health Checked", checks=[CHECK] * 3 + ([CHECK] if good else [{"verdict": "unhealthy"}]))
    ended = (
        [fact("Release Succeeded")]
        if good
        else [fact("Rollback Triggered", trigger="health"), fact("Release Rolled Back")]
    )
    return [fact("Gates Passed", results=GATES), checked, *ended]


def sums(facts: list[Body]) -> dict[str, Value]:
    found: Counter[str] = Counter()
    for each in facts:
        for measure in metrics.measures(each):
            if not measure.by:
                found[measure.name] += measure.value  # type: ignore[assignment]
    return dict(found)


@pytest.mark.parametrize(
    "good, bad, off",
    [
        (0, 0, set()),
        (1, 0, set()),
        (0, 1, set()),
        (30, 1, set()),
        (18, 2, set()),
        (17, 2, {"DeploymentFailuresAlarm"}),
        (8, 2, {"DeploymentFailuresAlarm"}),
        (7, 3, {"DeploymentFailuresAlarm", "HealthCheckFailuresAlarm", "RollbacksAlarm"}),
        (0, 5, {"DeploymentFailuresAlarm", "HealthCheckFailuresAlarm", "RollbacksAlarm"}),
    ],
)
def test_a_days_releases_trigger_the_expected_alarms(good: int, bad: int, off: set[str]) -> None:
    facts = [each for _ in range(good) for each in release(good=True)]
    facts += [each for _ in range(bad) for each in release(good=False)]
    assert {name for name, alarm in RATES.items() if goes_off(alarm, sums(facts))} == off


# ---- one is too many -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name, metric", [("RollbackFailedAlarm", "RollbackFailed"), ("ApprovalErrorsAlarm", "ApprovalError")]
)
def test_a_single_occurrence_fires_the_alarm(name: str, metric: str) -> None:
    assert goes_off(ALARMS[name], {metric: 1})
    assert not goes_off(ALARMS[name], {metric: 0})
    assert not goes_off(ALARMS[name], {})
    assert ALARMS[name]["Dimensions"] == [{"Name": "Stage", "Value": {"Ref": "Stage"}}]
    assert metric in sums(FACTS)


@pytest.mark.parametrize(
    "name, metric, budget",
    [
        ("ValidationOverrunAlarm", "ValidationDuration", "ValidationTimeoutSeconds"),
        ("DeploymentOverrunAlarm", "DeploymentDuration", "DeploymentTimeoutSeconds"),
        ("HealthOverrunAlarm", "HealthDuration", "HealthTimeoutSeconds"),
        ("RollbackOverrunAlarm", "RollbackDuration", "RollbackTimeoutSeconds"),
    ],
)
def test_a_duration_above_its_budget_fires_an_alarm(name: str, metric: str, budget: str) -> None:
    assert ALARMS[name]["Threshold"] == {"Ref": budget}
    assert ALARMS[name]["Statistic"] == "Maximum"
    assert not goes_off(ALARMS[name], {metric: defaults()[budget]})
    assert goes_off(ALARMS[name], {metric: defaults()[budget] + 1})


def test_an_old_notice_fires_an_alarm_however_often_it_was_retried(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Fault 72: SQS's own metric excludes messages that were received several times, so every failed attempt emits one."""
    late, unread = ALARMS["NoticesLateAlarm"], ALARMS["NoticesUnreadAlarm"]
    assert (late["Namespace"], unread["Namespace"]) == ("Tagship", "AWS/SQS")
    assert unread["MetricName"] == "ApproximateAgeOfOldestMessage"
    assert late["Statistic"] == unread["Statistic"] == "Maximum"
    for alarm in (late, unread):
        assert not goes_off(alarm, {alarm["MetricName"]: 3600})
        assert goes_off(alarm, {alarm["MetricName"]: 3601})
    now = datetime(2026, 11, 23, 10, 0, tzinfo=UTC)
    for sent in ("1795428000000", None):
        metrics.emit_waiting(sent, now=now, stage="production")
    (line,) = capsys.readouterr().out.splitlines()
    assert json.loads(line)[late["MetricName"]] == [now.timestamp() - 1795428000]
    assert late["Dimensions"] == [{"Name": "Stage", "Value": {"Ref": "Stage"}}]
    assert late["Period"] >= 2 * max(queue._LATER)


def test_every_failure_queue_has_an_alarm() -> None:
    watched = {
        alarm["Dimensions"][0]["Value"]["Fn::GetAtt"][0]
        for alarm in ALARMS.values()
        if alarm.get("MetricName") == "ApproximateNumberOfMessagesVisible"
    }
    assert watched == set(resources("AWS::SQS::Queue")) - {"Notices"}


def test_every_state_machine_and_the_upload_rule_have_an_alarm_for_failed_starts() -> None:
    asked = {
        (alarm["MetricName"], alarm["Dimensions"][0]["Value"]["Ref"])
        for alarm in ALARMS.values()
        if alarm.get("Namespace") in ("AWS/States", "AWS/Events")
    }
    assert asked == {
        ("ExecutionThrottled", "ReleaseStateMachine"),
        ("ExecutionThrottled", "RollbackStateMachine"),
        ("FailedInvocations", "UploadRule"),
    }


# ---- all of them ---------------------------------------------------------------------------------------------------


@every_alarm
def test_an_alarm_notifies_the_topic_when_it_fires_and_when_it_clears(name: str) -> None:
    for action in ("AlarmActions", "OKActions"):
        assert ALARMS[name][action] == [{"Ref": "NotificationTopic"}]
    assert ALARMS[name]["TreatMissingData"] == "notBreaching"


@every_alarm
def test_an_alarm_has_a_description_and_a_runbook(name: str) -> None:
    called = ALARMS[name]["AlarmName"]["Fn::Sub"].removeprefix("${AWS::StackName}-")
    said = ALARMS[name]["AlarmDescription"]["Fn::Sub"]
    assert said.endswith(f". What to do: ${{RunbookBaseUrl}}/{called}.md")
    assert len(filled({"Fn::Sub": said})) < 1024
    page = (RUNBOOKS / f"{called}.md").read_text()
    assert re.findall(r"^## (.+)$", page, re.MULTILINE) == HEADINGS
    assert f"](runbooks/{called}.md)" in (ROOT / "docs" / "monitoring.md").read_text()


def test_every_runbook_belongs_to_an_alarm_or_an_ending() -> None:
    names = {alarm["AlarmName"]["Fn::Sub"].removeprefix("${AWS::StackName}-") for alarm in ALARMS.values()}
    endings = {status.lower().replace("_", "-") for status in Status}
    assert names <= {page.stem for page in RUNBOOKS.glob("*.md")} <= names | endings
    assert len(names) == len(ALARMS)


def test_alarms_can_publish_to_the_encrypted_topic() -> None:
    """CloudWatch can't publish under AWS's own key for SNS, whose policy nobody can change."""
    assert resources("AWS::SNS::Topic")["NotificationTopic"]["KmsMasterKeyId"] == {"Ref": "TopicKey"}
    statements = resources("AWS::KMS::Key")["TopicKey"]["KeyPolicy"]["Statement"]
    (statement,) = [it for it in statements if it["Principal"] == {"Service": "cloudwatch.amazonaws.com"}]
    assert statement["Action"] == ["kms:Decrypt", "kms:GenerateDataKey"]
    assert statement["Condition"]["StringEquals"] == {"aws:SourceAccount": {"Ref": "AWS::AccountId"}}
    assert statement["Condition"]["ArnLike"]["aws:SourceArn"]["Fn::Sub"].endswith(
        ":alarm:${AWS::StackName}-*"
    )
    assert all(alarm["AlarmName"]["Fn::Sub"].startswith("${AWS::StackName}-") for alarm in ALARMS.values())
    publishing = functions()["NotifyFunction"]["Policies"][0]["Statement"]
    assert {
        "Effect": "Allow",
        "Action": statement["Action"],
        "Resource": {"Fn::GetAtt": ["TopicKey", "Arn"]},
    } in publishing


# ---- the arithmetic itself -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "expression, value",
    [
        ("1 + 2 * 3", 7),
        ("(1 + 2) * 3 - 1", 8),
        ("a / b", 2),
        ("a / zero", None),
        ("a + missing", None),
        ("IF(a > b, 1, 2)", 1),
        ("IF(a <= b, 1, 2)", 2),
        ("IF(zero, a / zero, 5)", 5),
        ("IF(missing > 1, 1, 2)", None),
        ("a > 1 AND b > 1", 1),
        ("a > 1 AND b > 3", 0),
        ("a > 9 OR b == 2", 1),
    ],
)
def test_metric_math_follows_cloudwatchs_documentation(expression: str, value: Value) -> None:
    assert evaluate(expression, {"a": 4, "b": 2, "zero": 0, "missing": None}) == value
