"""FAULTS 40, 42: the candidate's numbers against a limit and the baseline's; too few are no pass and no failure."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import boto3
import pytest
from botocore.stub import Stubber
from hypothesis import given
from hypothesis import strategies as st
from moto import mock_aws

from tagship.health import Given, MetricCheck, Verdict
from tagship.health.metric import Minute, Seen, judge, together
from tagship.model.errors import AwsUnavailable
from tests.unit.builders import subject

BEGAN = datetime(2026, 11, 23, 12, 0, 20, tzinfo=UTC)
NOW = BEGAN + timedelta(minutes=5)
ERRORS = MetricCheck(
    type="metric",
    name="errors",
    namespace="AWS/Lambda",
    metric="Errors",
    dimensions={"FunctionName": "storefront", "Resource": "storefront:live", "ExecutedVersion": "{version}"},
    minSamples=100,
)
NOTHING = Seen(None, 0)


# ---- comparing -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "limits, candidate, baseline, verdict, why",
    [
        # an absolute limit
        ({"maxValue": 0.05}, Seen(0.05, 100), None, "healthy", "the candidate's errors is 0.05 (100 samples)."),
        ({"maxValue": 0.05}, Seen(0.0501, 100), None, "unhealthy", "0.0501 (100 samples); the limit is 0.05."),
        ({"maxValue": 0}, Seen(0.0, 100), None, "healthy", None),
        # against the baseline
        ({"maxIncreasePercent": 20}, Seen(0.12, 100), Seen(0.1, 5000), "healthy", "baseline's is 0.1 (5000 samples)."),
        ({"maxIncreasePercent": 20}, Seen(0.121, 100), Seen(0.1, 5000), "unhealthy", "limit is 20 % above the baseline."),
        ({"maxIncreasePercent": 0}, Seen(0.1, 100), Seen(0.1, 5000), "healthy", None),
        ({"maxIncreasePercent": 20}, Seen(0.01, 100), Seen(0.1, 5000), "healthy", None),
        ({"maxIncreasePercent": 20}, Seen(0.0001, 9999), Seen(0.0, 5000), "unhealthy", None),
        ({"maxIncreasePercent": 20}, Seen(0.0, 9999), Seen(0.0, 5000), "healthy", None),
        ({"maxIncreasePercent": 50}, Seen(-6.0, 100), Seen(-10.0, 100), "healthy", None),
        ({"maxIncreasePercent": 50}, Seen(-4.0, 100), Seen(-10.0, 100), "unhealthy", None),
        # both
        ({"maxIncreasePercent": 900, "maxValue": 0.05}, Seen(0.06, 100), Seen(0.1, 5000), "unhealthy", None),
        ({"maxIncreasePercent": 1, "maxValue": 0.5}, Seen(0.2, 100), Seen(0.1, 5000), "unhealthy", None),
        ({"maxIncreasePercent": 1, "maxValue": 0.5}, Seen(0.1, 100), Seen(0.1, 5000), "healthy", None),
        # too little is known
        ({"maxValue": 0.05}, NOTHING, None, "inconclusive", "there is no data for the candidate."),
        ({"maxValue": 0.05}, Seen(0.9, 99), None, "inconclusive", "candidate; at least 100 are required."),
        ({"maxIncreasePercent": 20}, Seen(0.1, 100), NOTHING, "inconclusive", "there is no data for the baseline."),
        ({"maxIncreasePercent": 20}, Seen(0.1, 100), Seen(0.1, 99), "inconclusive", None),
        ({"maxIncreasePercent": 20, "maxValue": 0.05}, Seen(0.9, 100), NOTHING, "unhealthy", None),
        # where nothing served before
        ({"maxIncreasePercent": 20}, Seen(0.0, 100), None, "inconclusive", "but there is no baseline to compare it with."),
        ({"maxIncreasePercent": 20, "maxValue": 0.05}, Seen(0.0, 100), None, "healthy", "; there is no baseline."),
    ],
)  # fmt: skip
def test_each_configured_limit_must_hold(limits, candidate, baseline, verdict, why):
    result = judge(replace(ERRORS, **limits), candidate=candidate, baseline=baseline, name="metric errors")
    assert result.verdict == verdict, result.why
    assert why is None or result.why.endswith(why)


seen = st.builds(Seen, st.none() | st.floats(-1e6, 1e6), st.floats(0, 1e6))


@given(seen, st.none() | seen, st.none() | st.integers(0, 100), st.none() | st.floats(-1e6, 1e6))
def test_without_enough_samples_it_is_inconclusive(candidate, baseline, increase, limit):
    """Fault 40."""
    check = replace(ERRORS, maxIncreasePercent=increase, maxValue=limit)
    verdict = judge(check, candidate=candidate, baseline=baseline, name="it").verdict
    if candidate.value is None or candidate.samples < 100:
        assert verdict is Verdict.INCONCLUSIVE
    elif increase is not None and baseline and (baseline.value is None or baseline.samples < 100):
        assert verdict is not Verdict.HEALTHY


def test_the_numbers_are_the_compared_ones():
    check = replace(ERRORS, maxIncreasePercent=20)
    result = judge(
        check, candidate=Seen(0.0123456789, 1500), baseline=Seen(1 / 3, 9000), name="metric errors"
    )
    assert result.numbers == {
        "minSamples": 100,
        "candidate": 0.0123457,
        "candidateSamples": 1500,
        "baseline": 0.333333,
        "baselineSamples": 9000,
    }


@pytest.mark.parametrize(
    "statistic, minutes, seen",
    [
        ("Average", [], NOTHING),
        ("Average", [(5.0, 0)], NOTHING),
        ("Average", [(1.0, 300), (0.0, 100)], Seen(0.75, 400)),
        ("p95", [(100.0, 1), (200.0, 3)], Seen(175.0, 4)),
        ("Maximum", [(1.0, 1), (7.0, 1)], Seen(7.0, 2)),
        ("Minimum", [(1.0, 1), (7.0, 1)], Seen(1.0, 2)),
    ],
)
def test_minutes_are_weighted_by_their_samples(statistic, minutes, seen):
    by_minute = {BEGAN + timedelta(minutes=n): Minute(*minute) for n, minute in enumerate(minutes)}
    assert together(by_minute, statistic) == seen


# ---- CloudWatch ----------------------------------------------------------------------------------------------------


def asked(client, check=ERRORS, **fields):
    fields = {"offers": subject("7"), "before": subject("6"), "began": BEGAN, "percent": 10} | fields
    result = check.run(
        Given(
            name="metric errors",
            application="storefront",
            tag="v1.4.0",
            client={"cloudwatch": client}.get,
            **{"now": lambda: NOW} | fields,
        ),
    )
    assert result.check == "metric errors"
    return result


@pytest.fixture
def cloudwatch():
    with mock_aws():
        yield boto3.client("cloudwatch", region_name="us-east-1")


def put(client, at, *, errors, of, version=None):
    """`of` invocations in one minute, of which `errors` failed; moto keeps a datum for each."""
    dimensions = {"FunctionName": "storefront", "Resource": "storefront:live"}
    dimensions |= {"ExecutedVersion": version} if version else {}
    client.put_metric_data(
        Namespace="AWS/Lambda",
        MetricData=[
            {
                "MetricName": "Errors",
                "Dimensions": [{"Name": name, "Value": value} for name, value in dimensions.items()],
                "Timestamp": at,
                "Value": 1.0 if number < errors else 0.0,
            }
            for number in range(of)
        ],
    )


def test_a_versions_errors_are_compared_with_the_aliass_before_the_deployment(cloudwatch):
    """Lambda names the version only while two versions share the alias."""
    put(cloudwatch, BEGAN - timedelta(minutes=4), errors=20, of=200)  # the baseline, alone
    put(cloudwatch, BEGAN - timedelta(minutes=20), errors=200, of=200)  # longer ago than the window
    put(cloudwatch, BEGAN + timedelta(minutes=1), errors=100, of=200)  # both, while they share
    put(cloudwatch, BEGAN + timedelta(minutes=1), errors=90, of=100, version="6")
    put(cloudwatch, BEGAN + timedelta(minutes=1), errors=10, of=100, version="7")
    result = asked(cloudwatch, replace(ERRORS, maxIncreasePercent=0))
    assert result.verdict is Verdict.HEALTHY, result.why
    assert result.numbers | {"minSamples": 0} == {
        "minSamples": 0,
        "candidate": 0.1,
        "candidateSamples": 100,
        "baseline": 0.1,
        "baselineSamples": 200,
    }
    put(cloudwatch, BEGAN + timedelta(minutes=2), errors=2, of=10, version="7")
    assert asked(cloudwatch, replace(ERRORS, maxIncreasePercent=0)).verdict is Verdict.UNHEALTHY


def test_with_all_traffic_the_aliass_errors_are_the_candidates_too(cloudwatch):
    put(cloudwatch, BEGAN + timedelta(minutes=1), errors=0, of=100, version="7")
    put(cloudwatch, BEGAN + timedelta(minutes=1), errors=90, of=100)  # most of them the baseline's
    put(cloudwatch, BEGAN + timedelta(minutes=3), errors=100, of=100)  # all its own
    check = replace(ERRORS, maxValue=0.4)
    assert asked(cloudwatch, check).verdict is Verdict.HEALTHY
    result = asked(cloudwatch, check, percent=100, shifted=BEGAN + timedelta(minutes=2))
    assert result.verdict is Verdict.UNHEALTHY
    assert result.numbers["candidate"] == 0.5


@pytest.mark.parametrize(
    "fields", [{"percent": 50, "shifted": BEGAN + timedelta(minutes=2)}, {"percent": 100, "shifted": None}]
)
def test_while_versions_share_the_alias_its_errors_are_not_attributed(cloudwatch, fields):
    put(cloudwatch, BEGAN + timedelta(minutes=1), errors=0, of=100, version="7")
    put(cloudwatch, BEGAN + timedelta(minutes=3), errors=100, of=100)
    result = asked(cloudwatch, replace(ERRORS, maxValue=0.4), **fields)
    assert (result.verdict, result.numbers["candidate"]) == (Verdict.HEALTHY, 0)


def test_a_baseline_that_shared_the_alias_before_is_judged_by_its_own_minutes(cloudwatch):
    put(cloudwatch, BEGAN - timedelta(minutes=4), errors=100, of=200)
    put(cloudwatch, BEGAN - timedelta(minutes=4), errors=10, of=100, version="6")
    put(cloudwatch, BEGAN + timedelta(minutes=1), errors=20, of=100, version="7")
    result = asked(cloudwatch, replace(ERRORS, maxIncreasePercent=50))
    assert (result.verdict, result.numbers["baseline"]) == (Verdict.UNHEALTHY, 0.1)


def test_an_empty_period_makes_no_call(stubbed):
    client, _ = stubbed  # which has no answer for anybody
    expression = MetricCheck(type="metric", name="b", expression="e1", samples="e2", maxValue=1)
    minute = BEGAN.replace(second=0)
    assert asked(client, expression, began=minute, now=lambda: minute).verdict is Verdict.INCONCLUSIVE


def test_it_requests_only_permission_to_read_metrics():
    (right,) = ERRORS.rights(None, None)
    assert (right.name, right.actions, right.on) == ("ReadMetrics", ("cloudwatch:GetMetricData",), ("*",))


def test_no_data_is_inconclusive(cloudwatch):
    """Fault 40."""
    assert asked(cloudwatch, replace(ERRORS, maxValue=0.5)).verdict is Verdict.INCONCLUSIVE


def test_before_a_deployment_there_is_nothing_to_compare(cloudwatch):
    result = asked(cloudwatch, replace(ERRORS, maxValue=0.5), began=None)
    assert (result.verdict, result.why) == (Verdict.ERROR, "Not checked: there is no deployment to measure.")


def test_maximum_values_are_compared_with_each_other(cloudwatch):
    put(cloudwatch, BEGAN - timedelta(minutes=4), errors=1, of=200)
    put(cloudwatch, BEGAN - timedelta(minutes=3), errors=0, of=200)
    put(cloudwatch, BEGAN + timedelta(minutes=1), errors=1, of=100, version="7")
    put(cloudwatch, BEGAN + timedelta(minutes=2), errors=0, of=100, version="7")
    result = asked(cloudwatch, replace(ERRORS, statistic="Maximum", maxIncreasePercent=0))
    assert (result.verdict, result.numbers["candidate"], result.numbers["baseline"]) == (
        Verdict.HEALTHY,
        1,
        1,
    )


def test_without_a_previous_revision_there_is_nothing_to_compare_with(cloudwatch):
    put(cloudwatch, BEGAN + timedelta(minutes=1), errors=1, of=100, version="7")
    result = asked(cloudwatch, replace(ERRORS, maxIncreasePercent=0), before=None)
    assert result.verdict is Verdict.INCONCLUSIVE
    assert result.why.endswith("but there is no baseline to compare it with.")
    assert "baselineSamples" not in result.numbers


@pytest.fixture
def stubbed():
    client = boto3.client(
        "cloudwatch", region_name="eu-central-1", aws_access_key_id="a", aws_secret_access_key="b"
    )
    with Stubber(client) as stubber:
        yield client, stubber


def series(name, *values, **fields):
    times = [BEGAN.replace(second=0) + timedelta(minutes=n) for n in range(len(values))]
    return {
        "Id": name,
        "Label": name,
        "Timestamps": times,
        "Values": list(values),
        "StatusCode": "Complete",
    } | fields


def answer(*found):
    return {"MetricDataResults": list(found)}


def test_an_expression_names_the_version_and_invocations_are_its_samples(stubbed):
    client, stubber = stubbed
    check = MetricCheck(
        type="metric",
        name="basket",
        expression="SELECT AVG(Lost) FROM Shop WHERE Version = '{version}'",
        maxValue=0.5,
    )
    invocations = {
        "Namespace": "AWS/Lambda",
        "MetricName": "Invocations",
        "Dimensions": [
            {"Name": "FunctionName", "Value": "storefront"},
            {"Name": "Resource", "Value": "storefront:live"},
            {"Name": "ExecutedVersion", "Value": "7"},
        ],
    }
    stubber.add_response(
        "get_metric_data",
        answer(series("value", 0.1, 0.7), series("samples", 100, 300)),
        {
            "MetricDataQueries": [
                {"Id": "value", "Expression": "SELECT AVG(Lost) FROM Shop WHERE Version = '7'", "Period": 60},
                {"Id": "samples", "MetricStat": {"Metric": invocations, "Period": 60, "Stat": "SampleCount"}},
            ],
            "StartTime": BEGAN.replace(second=0),
            "EndTime": NOW.replace(second=0) + timedelta(minutes=1),
        },
    )
    result = asked(client, check)
    assert result.verdict is Verdict.UNHEALTHY
    assert result.numbers["candidate"] == 0.55


def test_an_expression_can_have_its_own_sample_count(stubbed):
    client, stubber = stubbed
    check = MetricCheck(
        type="metric", name="b", expression="e1", samples="count {version}", minSamples=9, maxValue=1
    )
    queries = [
        {"Id": "value", "Expression": "e1", "Period": 60},
        {"Id": "samples", "Expression": "count 7", "Period": 60},
    ]
    times = {
        "StartTime": BEGAN.replace(second=0) + timedelta(minutes=1),
        "EndTime": NOW.replace(second=0) + timedelta(minutes=1),
    }
    for samples, verdict in ((8, Verdict.INCONCLUSIVE), (9, Verdict.HEALTHY)):
        stubber.add_response(
            "get_metric_data",
            answer(series("value", 0.5), series("samples", samples)),
            {"MetricDataQueries": queries} | times,
        )
        assert asked(client, check).verdict is verdict


def test_pages_are_joined(stubbed):
    client, stubber = stubbed
    stubber.add_response("get_metric_data", answer(series("value", 1.0)) | {"NextToken": "more"})
    stubber.add_response("get_metric_data", answer(series("samples", 100)))
    assert asked(client, replace(ERRORS, maxValue=0.5)).verdict is Verdict.UNHEALTHY


def test_a_series_can_continue_on_the_next_page(stubbed):
    client, stubber = stubbed
    later = [BEGAN.replace(second=0) + timedelta(minutes=2)]
    first, then = series("value", 1.0, 0.0), series("samples", 100, 100)
    rest, more = series("value", 0.5, Timestamps=later), series("samples", 100, Timestamps=later)
    stubber.add_response("get_metric_data", answer(first, then) | {"NextToken": "more"})
    stubber.add_response("get_metric_data", answer(rest, more))
    result = asked(client, replace(ERRORS, maxValue=1))
    assert (result.numbers["candidate"], result.numbers["candidateSamples"]) == (0.5, 300)


def test_several_series_are_no_valid_answer(stubbed):
    client, stubber = stubbed
    stubber.add_response("get_metric_data", answer(series("value", 1.0), series("value", 2.0, Label="other")))
    result = asked(client, replace(ERRORS, maxValue=0.5))
    assert (result.verdict, result.why) == (
        Verdict.ERROR,
        "The expression of value returns several series; it must return one.",
    )


def test_a_cloudwatch_refusal_is_an_error_with_a_remedy(stubbed):
    client, stubber = stubbed
    stubber.add_response("get_metric_data", answer(series("value", StatusCode="Forbidden")))
    result = asked(client, replace(ERRORS, maxValue=0.5))
    assert (result.check, result.verdict, result.why) == (
        "metric errors",
        Verdict.ERROR,
        "CloudWatch does not allow reading the metric.",
    )
    stubber.add_client_error("get_metric_data", "AccessDenied", "is not authorized", http_status_code=403)
    result = asked(client, replace(ERRORS, maxValue=0.5))
    assert result.verdict is Verdict.ERROR
    assert result.why == (
        "The metric cannot be read (AccessDenied): is not authorized. "
        "The application's role must be allowed cloudwatch:GetMetricData."
    )


def test_a_transient_error_is_retried_by_the_state_machine(stubbed):
    client, stubber = stubbed
    stubber.add_response("get_metric_data", answer(series("value", StatusCode="InternalError")))
    with pytest.raises(AwsUnavailable, match=r"^CloudWatch could not read the metric this time\.$"):
        asked(client, replace(ERRORS, maxValue=0.5))
    stubber.add_client_error("get_metric_data", "Throttling", http_status_code=400)
    with pytest.raises(AwsUnavailable, match=r"^Reading the metric errors: "):
        asked(client, replace(ERRORS, maxValue=0.5))
