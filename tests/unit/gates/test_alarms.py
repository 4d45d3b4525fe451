"""The alarms gate tells which alarms fire already, and stops what names alarms that do not exist."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import pytest

from tagship.gates import Verdict, alarms
from tagship.model.errors import AwsUnavailable, CredentialsRefused
from tests.unit.builders import application, configured
from tests.unit.gates.cases import InRole, case
from tests.unit.tables import aws_error

SINCE = datetime(2026, 11, 23, 9, 12, tzinfo=UTC)


@dataclass
class FakeCloudWatch:
    """Alarms by name and state; the ones whose name begins with `all` are composite."""

    states: dict[str, str] = field(default_factory=dict)
    fails_with: Exception | None = None
    asked: list[list[str]] = field(default_factory=list)

    def describe_alarms(self, *, AlarmNames: list[str], AlarmTypes: list[str], MaxRecords: int) -> Any:
        assert AlarmTypes == ["MetricAlarm", "CompositeAlarm"]
        assert len(AlarmNames) <= MaxRecords == 100
        self.asked.append(AlarmNames)
        if self.fails_with:
            raise self.fails_with
        found = [
            {
                "AlarmName": name,
                "StateValue": self.states[name],
                "StateReason": "5 > 1",
                "StateUpdatedTimestamp": SINCE,
            }
            for name in AlarmNames
            if name in self.states
        ]
        return {
            "MetricAlarms": [alarm for alarm in found if not alarm["AlarmName"].startswith("all")],
            "CompositeAlarms": [alarm for alarm in found if alarm["AlarmName"].startswith("all")],
        }


def judged(cloudwatch: FakeCloudWatch, *names: str, watch: tuple[str, ...] = ()) -> Any:
    """What the gate says of an application whose check and watch name these alarms."""
    checks: list[dict[str, Any]] = [{"type": "lambda"}]
    if names:
        checks.append({"type": "alarm", "names": list(names)})
    health = {"checks": checks, "watch": {"seconds": 60 if watch else 0, "alarms": list(watch)}}
    return alarms.check(
        case(
            in_role=InRole(clients={"cloudwatch": cloudwatch}),
            configuration=configured(application(health=health)),
        )
    )


def test_an_application_without_alarms_assumes_no_role():
    in_role = InRole()
    assert alarms.check(case(in_role=in_role)).verdict is Verdict.NOT_CONFIGURED
    assert in_role.asked == []


def test_quiet_alarms_pass_and_each_is_asked_once():
    cloudwatch = FakeCloudWatch({"storefront-5xx": "OK", "all-of-it": "OK"})
    result = judged(cloudwatch, "storefront-5xx", "all-of-it", watch=("storefront-5xx",))
    assert (result.verdict, result.why, result.warning, result.seen) == (
        Verdict.PASSED,
        "None of 2 alarms fires.",
        "",
        {"firing": {}},
    )
    assert cloudwatch.asked == [["storefront-5xx", "all-of-it"]]


@pytest.mark.parametrize("name", ["storefront-5xx", "all-of-it"])
def test_one_that_fires_already_is_told_to_approvers_and_kept_for_the_health_checks(name):
    """Fault 43."""
    result = judged(FakeCloudWatch({name: "ALARM", "another": "OK"}), name, watch=("another",))
    assert (result.verdict, result.why) == (Verdict.PASSED, "1 of 2 alarms fires.")
    assert result.warning == f"{name} fires since 2026-11-23 09:12 UTC: 5 > 1"
    assert result.seen == {"firing": {name: {"state": "ALARM", "since": SINCE.isoformat()}}}


def test_one_without_data_is_told():
    result = judged(FakeCloudWatch({"storefront-5xx": "INSUFFICIENT_DATA"}), "storefront-5xx")
    assert (result.verdict, result.warning) == (Verdict.PASSED, "storefront-5xx has no data.")
    assert result.seen == {"firing": {}}


def test_alarms_that_do_not_exist_stop_the_release_with_their_names():
    result = judged(FakeCloudWatch({"storefront-5xx": "OK"}), "storefront-5xx", "latency", watch=("errors",))
    assert result.verdict is Verdict.FAILED
    assert result.why == "There is no alarm latency, errors in account 000000000000, region us-east-1."


def test_more_alarms_than_one_call_takes_are_asked_in_two():
    names = [f"alarm-{number}" for number in range(101)]
    cloudwatch = FakeCloudWatch(dict.fromkeys(names, "OK"))
    assert judged(cloudwatch, *names[:100], watch=(names[100],)).verdict is Verdict.PASSED
    assert [len(asked) for asked in cloudwatch.asked] == [100, 1]


@pytest.mark.parametrize("code", ["AccessDenied", "ExpiredToken"])
def test_a_role_that_may_not_look_stops_the_release(code):
    result = judged(FakeCloudWatch(fails_with=aws_error(code, status=403)), "storefront-5xx")
    assert result.verdict is Verdict.FAILED
    assert code in result.why
    assert "tagship role" in result.remedy


def test_a_role_that_can_not_be_assumed_stops_the_release():
    in_role = InRole(refused=CredentialsRefused("It can't be assumed.", "Trust us."))
    health = {"checks": [{"type": "lambda"}, {"type": "alarm", "names": ["storefront-5xx"]}]}
    result = alarms.check(case(in_role=in_role, configuration=configured(application(health=health))))
    assert (result.verdict, result.why) == (Verdict.FAILED, "It can't be assumed.")


def test_a_throttled_look_is_asked_again_by_the_state_machine():
    """Fault 12."""
    with pytest.raises(AwsUnavailable):
        judged(FakeCloudWatch(fails_with=aws_error("Throttling")), "storefront-5xx")
