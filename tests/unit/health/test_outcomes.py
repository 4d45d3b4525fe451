"""How executions ended on the candidate: too few prove nothing, and each way of not succeeding counts."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import boto3
import pytest
from botocore.stub import Stubber
from hypothesis import given, settings
from hypothesis import strategies as st
from moto import mock_aws

from tagship.aws.rights import Location
from tagship.health import CheckResult, Given, OutcomesCheck, Verdict
from tagship.health.outcomes import judge
from tagship.model.documents import read_application
from tagship.model.errors import AwsUnavailable
from tagship.model.fields import rebuilt
from tagship.targets import step_functions
from tests.unit.builders import application, subject

SPEC = rebuilt(step_functions.StepFunctionsTarget, step_functions.KIND.example)
ASKED = step_functions.KIND.subject(SPEC, {"id": "12", "digest": "", "data": {}})
CHECK = OutcomesCheck(type="outcomes", maxPercent=10, minSamples=10)
BEGAN = datetime(2026, 11, 23, 12, 0, 20, tzinfo=UTC)


def judged(check: OutcomesCheck = CHECK, **ended: float) -> CheckResult:
    assert ASKED.outcomes is not None
    return judge(
        check, ASKED.outcomes, {f"Executions{name}": number for name, number in ended.items()}, name="it"
    )


@pytest.mark.parametrize(
    "ended, verdict, why",
    [
        ({}, Verdict.INCONCLUSIVE, "0 have ended on the candidate; at least 10 are required."),
        ({"Failed": 9}, Verdict.INCONCLUSIVE, "9 have ended"),
        (
            {"Succeeded": 10},
            Verdict.HEALTHY,
            "0 of 10 that ended on the candidate did not succeed (none failed)",
        ),
        ({"Succeeded": 9, "TimedOut": 1}, Verdict.HEALTHY, "(1 timed out); the limit is 10 %."),
        (
            {"Succeeded": 16, "Failed": 2, "TimedOut": 1, "Aborted": 1},
            Verdict.UNHEALTHY,
            "4 of 20 that ended on the candidate did not succeed (2 failed, 1 timed out, 1 aborted)",
        ),
        ({"Aborted": 10}, Verdict.UNHEALTHY, "10 aborted"),
    ],
)
def test_each_unsuccessful_outcome_counts(ended: dict[str, float], verdict: Verdict, why: str) -> None:
    found = judged(**ended)
    assert found.verdict is verdict
    assert why in found.why


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 200), st.integers(0, 200), st.floats(0, 99))
def test_it_is_healthy_only_within_the_limit_and_never_without_data(
    good: int, bad: int, limit: float
) -> None:
    found = judged(OutcomesCheck(type="outcomes", maxPercent=limit), Succeeded=good, Failed=bad)
    if good + bad == 0:
        assert found.verdict is Verdict.INCONCLUSIVE
    else:
        assert (found.verdict is Verdict.HEALTHY) == (100 * bad <= limit * (good + bad))


def test_with_a_limit_of_zero_no_failure_is_allowed() -> None:
    strict = OutcomesCheck(type="outcomes", maxPercent=0)
    assert judged(strict, Succeeded=999).verdict is Verdict.HEALTHY
    assert judged(strict, Succeeded=999, Failed=1).verdict is Verdict.UNHEALTHY


def run(client: Any, **changes: Any) -> CheckResult:
    fields: dict[str, Any] = {
        "name": "outcomes",
        "application": "storefront",
        "tag": "v1.4.0",
        "client": {"cloudwatch": client}.__getitem__,
        "offers": ASKED,
        "began": BEGAN,
        "now": lambda: BEGAN + timedelta(minutes=6),
    }
    return CHECK.run(Given(**fields | changes))


def test_it_counts_the_candidates_version_since_the_deployment_began() -> None:
    with mock_aws():
        client = boto3.client("cloudwatch", region_name="us-east-1")
        for version, minute, name, number in (
            ("12", 1, "ExecutionsSucceeded", 8),
            ("12", 3, "ExecutionsSucceeded", 4),
            ("12", 2, "ExecutionsFailed", 3),
            ("12", -5, "ExecutionsFailed", 100),
            ("11", 2, "ExecutionsAborted", 100),
        ):
            client.put_metric_data(
                Namespace="AWS/States",
                MetricData=[
                    {
                        "MetricName": name,
                        "Timestamp": BEGAN + timedelta(minutes=minute),
                        "Value": number,
                        "Dimensions": [
                            {"Name": "StateMachineArn", "Value": step_functions.machine_arn(SPEC)},
                            {"Name": "Version", "Value": version},
                        ],
                    }
                ],
            )
        found = run(client)
    assert found.verdict is Verdict.UNHEALTHY
    assert found.numbers == {
        "ended": 15,
        "failed": 3,
        "timed out": 0,
        "aborted": 0,
        "maxPercent": 10,
        "minSamples": 10,
    }


def test_unreadable_metrics_are_no_answer() -> None:
    client = boto3.client(
        "cloudwatch", region_name="us-east-1", aws_access_key_id="a", aws_secret_access_key="b"
    )
    with Stubber(client) as stub:
        stub.add_client_error("get_metric_data", "AccessDenied", http_status_code=403)
        assert run(client).verdict is Verdict.ERROR
        for status in ("Forbidden", "InternalError"):
            answer = {"Id": "m0", "Label": "ExecutionsFailed", "Values": [], "StatusCode": status}
            stub.add_response("get_metric_data", {"MetricDataResults": [answer]})
        assert "does not allow" in run(client).why
        with pytest.raises(AwsUnavailable):
            run(client)
    assert run(client, began=None).verdict is Verdict.ERROR


def test_a_target_without_outcome_metrics_is_refused() -> None:
    target: Location = read_application(application()).target
    assert [name for name, _ in CHECK.lacks(subject("7"))] == ["type"]
    assert not list(CHECK.lacks(ASKED))
    assert CHECK.rights(target, ASKED)[0].actions == ("cloudwatch:GetMetricData",)
