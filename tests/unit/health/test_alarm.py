"""FAULTS 40, 43: an alarm that fires again is unhealthy, one that fired before does not stop the fix, no data is no
pass."""

from datetime import UTC, datetime, timedelta

import boto3
import pytest
from botocore.exceptions import ClientError, EndpointConnectionError
from botocore.stub import Stubber
from hypothesis import given
from hypothesis import strategies as st
from moto import mock_aws

from tagship.aws.alarms import Alarm
from tagship.health import AlarmCheck, Given, Verdict
from tagship.health.alarm import judge
from tagship.model.errors import AwsUnavailable
from tests.unit.builders import subject

BEGAN = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
BEFORE, AFTER = BEGAN - timedelta(minutes=9), BEGAN + timedelta(seconds=40)


def standing(state, since=BEFORE):
    return Alarm(
        state=state,
        since=since,
        reason="Threshold Crossed: 3 datapoints were greater than the threshold (1.0).",
    )


OK, SILENT = standing("OK"), standing("INSUFFICIENT_DATA")
FIRED_BEFORE, FIRES = standing("ALARM", BEFORE), standing("ALARM", AFTER)


def judged(**alarms):
    there = {name: it for name, it in alarms.items() if it is not None}
    result = judge(list(alarms), there, began=BEGAN, check="alarm a")
    assert result.check == "alarm a"
    return result


@pytest.mark.parametrize(
    "alarms, verdict, why",
    [
        ({"a": OK}, "healthy", "1 of 1 alarms are OK."),
        ({"a": OK, "b": OK}, "healthy", "2 of 2 alarms are OK."),
        (
            {"a": OK, "b": FIRED_BEFORE},
            "healthy",
            "1 of 2 alarms are OK; b fired before the deployment began and did not get worse.",
        ),
        (
            {"a": FIRES, "b": FIRED_BEFORE},
            "unhealthy",
            "a has been firing since 12:00:40 UTC: Threshold Crossed: 3 datapoints were greater than the threshold (1.0).",
        ),
        ({"a": standing("ALARM", BEGAN)}, "unhealthy", None),
        ({"a": OK, "b": SILENT}, "inconclusive", "b has no data."),
        ({"a": standing("A state of tomorrow")}, "inconclusive", "a has no data."),
        ({"a": OK, "b": None}, "error", "b does not exist in the target's account and region."),
        ({"a": SILENT, "b": None}, "error", None),
        ({"a": SILENT, "b": None, "c": FIRES}, "unhealthy", None),
    ],
)
def test_the_combined_verdict_of_alarms(alarms, verdict, why):
    result = judged(**alarms)
    assert result.verdict == verdict
    assert why is None or result.why == why


@pytest.mark.parametrize(
    "alarms, verdict",
    [
        ({"a": SILENT}, "healthy"),
        ({"a": OK, "b": SILENT}, "healthy"),
        ({"a": SILENT, "b": FIRES}, "unhealthy"),
        ({"a": SILENT, "b": None}, "error"),
        ({"a": standing("A state of tomorrow")}, "inconclusive"),
    ],
)
def test_an_application_can_accept_alarms_without_data_and_nothing_else(alarms, verdict):
    """Fault 101."""
    there = {name: it for name, it in alarms.items() if it is not None}
    result = judge(list(alarms), there, began=BEGAN, check="it", accepts_silence=True)
    assert result.verdict == verdict
    if verdict == "healthy":
        assert "has no data, which the configuration accepts" in result.why
        assert result.numbers["withoutData"] == 1


def test_an_alarm_that_cleared_and_fires_again_during_the_deployment_counts():
    """The last state change counts; it does not move while the alarm continues to fire."""
    assert judged(a=standing("ALARM", BEFORE)).verdict is Verdict.HEALTHY
    assert judged(a=standing("ALARM", AFTER)).verdict is Verdict.UNHEALTHY


def test_without_a_known_deployment_start_every_alarm_counts():
    result = judge(["a"], {"a": FIRED_BEFORE}, began=None, check="it")
    assert result.verdict is Verdict.UNHEALTHY


def test_up_to_five_missing_alarms_are_named_and_the_rest_counted():
    five = "alarm0, alarm1, alarm2, alarm3, alarm4"
    for count, named in ((5, five), (7, f"{five} and 2 more")):
        why = judged(**{f"alarm{n}": None for n in range(count)}).why
        assert why == f"{named} does not exist in the target's account and region."


def test_each_firing_alarm_is_named_with_its_reason():
    says = "has been firing since 12:00:40 UTC: Threshold Crossed: 3 datapoints were greater than the threshold (1.0)."
    assert judged(a=FIRES, b=FIRES).why == f"a {says}; b {says}"
    assert judged(**{f"alarm{n}": FIRES for n in range(5)}).why.endswith(f"; alarm4 {says}")


def test_many_alarms_are_counted_and_not_all_named():
    result = judged(**{f"alarm{n}": FIRES for n in range(9)})
    assert result.why.endswith("; and 4 more.")
    assert result.numbers == {
        "alarms": 9,
        "ok": 0,
        "firing": 9,
        "firingBefore": 0,
        "withoutData": 0,
        "missing": 0,
    }


@given(
    st.dictionaries(
        st.text("abc", min_size=1), st.sampled_from([OK, SILENT, FIRED_BEFORE, FIRES, None]), min_size=1
    )
)
def test_it_is_healthy_only_if_every_alarm_exists_and_is_ok_or_fired_before(alarms):
    assert (judged(**alarms).verdict is Verdict.HEALTHY) == (set(alarms.values()) <= {OK, FIRED_BEFORE})


# ---- CloudWatch ----------------------------------------------------------------------------------------------------


def asked(client, *names, began=BEGAN):
    given = Given(
        name="it",
        application="storefront",
        tag="v1.4.0",
        client={"cloudwatch": client}.get,
        offers=subject(),
        began=began,
    )
    result = AlarmCheck(type="alarm", names=names).run(given)
    assert result.check == "it"
    return result


@pytest.fixture
def cloudwatch():
    with mock_aws():
        yield boto3.client("cloudwatch", region_name="us-east-1")


def an_alarm(client, name, state="OK"):
    client.put_metric_alarm(
        AlarmName=name,
        Namespace="Shop",
        MetricName="5xx",
        Statistic="Sum",
        Period=60,
        EvaluationPeriods=1,
        Threshold=1,
        ComparisonOperator="GreaterThanThreshold",
    )
    client.set_alarm_state(AlarmName=name, StateValue=state, StateReason="because of a test")


def test_alarms_are_read_by_name(cloudwatch):
    yesterday, tomorrow = (datetime.now(UTC) + timedelta(days=days) for days in (-1, 1))
    an_alarm(cloudwatch, "5xx")
    an_alarm(cloudwatch, "slow", "ALARM")
    assert asked(cloudwatch, "5xx", began=yesterday).verdict is Verdict.HEALTHY
    result = asked(cloudwatch, "5xx", "slow", began=yesterday)
    assert result.verdict is Verdict.UNHEALTHY
    assert result.why.endswith("because of a test.")
    assert asked(cloudwatch, "slow", began=tomorrow).verdict is Verdict.HEALTHY
    assert asked(cloudwatch, "5xx", "nobody's").verdict is Verdict.ERROR


@pytest.fixture
def stubbed():
    client = boto3.client(
        "cloudwatch", region_name="eu-central-1", aws_access_key_id="a", aws_secret_access_key="b"
    )
    with Stubber(client) as stubber:
        yield client, stubber


@pytest.mark.parametrize("kind", ["MetricAlarms", "CompositeAlarms"])
def test_the_last_state_change_counts_and_not_the_last_reason_change(stubbed, kind):
    client, stubber = stubbed
    found = {
        "AlarmName": "5xx",
        "StateValue": "ALARM",
        "StateTransitionedTimestamp": BEFORE,
        "StateUpdatedTimestamp": AFTER,
    }
    stubber.add_response(
        "describe_alarms",
        {kind: [found]},
        {"AlarmNames": ["5xx"], "AlarmTypes": ["MetricAlarm", "CompositeAlarm"], "MaxRecords": 100},
    )
    assert asked(client, "5xx").verdict is Verdict.HEALTHY


def test_a_missing_permission_is_an_error_that_names_it(stubbed):
    client, stubber = stubbed
    stubber.add_client_error("describe_alarms", "AccessDenied", "is not authorized", http_status_code=403)
    result = asked(client, "5xx")
    assert result.verdict is Verdict.ERROR
    assert result.why.endswith("The application's role must be allowed cloudwatch:DescribeAlarms.")


@pytest.mark.parametrize(
    "error",
    [
        ClientError({"Error": {"Code": "Throttling", "Message": ""}}, "DescribeAlarms"),
        EndpointConnectionError(endpoint_url="https://monitoring"),
    ],
)
def test_a_transient_error_is_retried_by_the_state_machine(error):
    class Unreachable:
        def describe_alarms(self, **_):
            raise error

    with pytest.raises(AwsUnavailable):
        asked(Unreachable(), "5xx")
