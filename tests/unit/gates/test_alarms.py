"""The alarms gate lists alarms that are already firing, and stops a release that names missing alarms."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
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
    made: dict[str, Any] = field(default_factory=dict)
    """How the alarms were made."""
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
                **self.made,
            }
            for name in AlarmNames
            if name in self.states
        ]
        return {
            "MetricAlarms": [alarm for alarm in found if not alarm["AlarmName"].startswith("all")],
            "CompositeAlarms": [alarm for alarm in found if alarm["AlarmName"].startswith("all")],
        }


def judged(
    cloudwatch: FakeCloudWatch,
    *names: str,
    watch: tuple[str, ...] = (),
    no_data: str = "inconclusive",
    look_back: int = 180,
    **changes: Any,
) -> Any:
    """The gate's result for an application whose check and watch name these alarms."""
    checks: list[dict[str, Any]] = [{"type": "lambda"}]
    if names:
        checks.append({"type": "alarm", "names": list(names), "noData": no_data})
    health = {"checks": checks, "watch": {"seconds": 60 if watch else 0, "alarms": list(watch)}}
    asked = case(
        in_role=InRole(clients={"cloudwatch": cloudwatch}),
        configuration=configured(application(health=health, **changes)),
    )
    return alarms.check(replace(asked, settings=replace(asked.settings, look_back_seconds=look_back)))


def test_an_application_without_alarms_assumes_no_role():
    in_role = InRole()
    assert alarms.check(case(in_role=in_role)).verdict is Verdict.NOT_CONFIGURED
    assert in_role.asked == []


def test_quiet_alarms_pass_and_each_is_read_once():
    cloudwatch = FakeCloudWatch({"storefront-5xx": "OK", "all-of-it": "OK"})
    result = judged(cloudwatch, "storefront-5xx", "all-of-it", watch=("storefront-5xx",))
    assert (result.verdict, result.why, result.warning, result.seen) == (
        Verdict.PASSED,
        "No alarm is firing (2 alarms checked).",
        "",
        {"firing": {}},
    )
    assert cloudwatch.asked == [["storefront-5xx", "all-of-it"]]


@pytest.mark.parametrize("name", ["storefront-5xx", "all-of-it"])
def test_an_alarm_already_firing_is_shown_to_approvers_and_stored_for_the_health_checks(name):
    """Fault 43."""
    result = judged(FakeCloudWatch({name: "ALARM", "another": "OK"}), name, watch=("another",))
    assert (result.verdict, result.why) == (Verdict.PASSED, "1 of 2 alarms firing.")
    assert result.warning == f"{name} has been firing since 2026-11-23 09:12 UTC: 5 > 1."
    assert result.seen == {"firing": {name: {"state": "ALARM", "since": SINCE.isoformat()}}}


SILENT = {"storefront-5xx": "INSUFFICIENT_DATA"}


def test_a_silent_alarm_used_by_a_check_is_reported_to_cause_a_rollback():
    result = judged(FakeCloudWatch(SILENT, made={"TreatMissingData": "notBreaching"}), "storefront-5xx")
    assert (result.verdict, result.warning) == (
        Verdict.PASSED,
        "storefront-5xx has no data. If it gets none, the release is rolled back as inconclusive.",
    )
    assert result.seen == {"firing": {}}


@pytest.mark.parametrize("made", [{}, {"TreatMissingData": "missing"}])
def test_an_alarm_that_is_silent_only_without_traffic_is_reported_with_a_remedy(made):
    """Fault 101."""
    warning = judged(FakeCloudWatch(SILENT, made=made), "storefront-5xx").warning
    assert warning == (
        "storefront-5xx has no data. Until it has some, it stays in INSUFFICIENT_DATA and the release is rolled back "
        "as inconclusive. Set the alarm's TreatMissingData to notBreaching, send traffic, or accept it: noData: healthy."
    )


def test_an_alarm_without_data_that_the_configuration_accepts_is_reported_to_show_nothing():
    """Fault 101: the consent is explicit, and approvers read it."""
    result = judged(FakeCloudWatch(SILENT), "storefront-5xx", no_data="healthy")
    assert (result.verdict, result.warning) == (
        Verdict.PASSED,
        "storefront-5xx has no data, which the configuration accepts: it can't show a problem.",
    )


@pytest.mark.parametrize("no_data", ["healthy", "inconclusive"])
def test_several_silent_alarms_are_named_in_one_sentence(no_data):
    result = judged(
        FakeCloudWatch(SILENT | {"b": "INSUFFICIENT_DATA"}), "storefront-5xx", "b", no_data=no_data
    )
    assert result.warning.startswith("storefront-5xx, b has no data")


def test_a_silent_alarm_of_the_watch_causes_no_rollback():
    assert judged(FakeCloudWatch(SILENT), watch=("storefront-5xx",)).warning == "storefront-5xx has no data."


@pytest.mark.parametrize("periods, slow", [(5, False), (6, True)])
def test_an_alarm_whose_evaluation_outlasts_the_release_is_reported(periods, slow):
    """Fault 66."""
    quiet = FakeCloudWatch({"storefront-5xx": "OK"}, made={"Period": 60, "EvaluationPeriods": periods})
    warning = judged(quiet, "storefront-5xx").warning
    assert warning == (
        "storefront-5xx evaluates 360 s, but the release is monitored for only 300 s: the alarm "
        "may change only after the release has ended."
        if slow
        else ""
    )


def test_the_watch_counts_as_observation_time():
    quiet = FakeCloudWatch({"storefront-5xx": "OK"}, made={"Period": 60, "EvaluationPeriods": 6})
    assert judged(quiet, "storefront-5xx", watch=("storefront-5xx",)).warning == ""


@pytest.mark.parametrize(
    "watch, evaluates, slow", [("storefront-5xx", 6, False), ("another", 6, True), ("another", 5, False)]
)
def test_only_watched_alarms_get_the_watchs_time(watch, evaluates, slow):
    quiet = FakeCloudWatch(
        {"storefront-5xx": "OK", "another": "OK"}, made={"Period": 60, "EvaluationPeriods": evaluates}
    )
    warning = judged(quiet, "storefront-5xx", watch=(watch,)).warning
    assert ("storefront-5xx evaluates 360 s" in warning) is slow


@pytest.mark.parametrize("look_back, slow", [(180, False), (60, True)])
def test_a_bake_extended_for_alarms_counts_as_observation_time(look_back, slow):
    quiet = FakeCloudWatch({"storefront-5xx": "OK"}, made={"Period": 60, "EvaluationPeriods": 3})
    short = {"type": "canary", "percent": 10, "bake": 60}
    warning = judged(quiet, "storefront-5xx", strategy=short, look_back=look_back).warning
    assert ("is monitored for only 60 s" in warning) is slow


def test_a_reason_that_ends_with_a_full_stop_gets_no_second_one():
    made = {"StateReason": "Threshold crossed."}
    warning = judged(FakeCloudWatch({"storefront-5xx": "ALARM"}, made=made), "storefront-5xx").warning
    assert warning.endswith("UTC: Threshold crossed.")


def test_all_warnings_for_approvers_are_listed():
    states = {"storefront-5xx": "ALARM", "latency": "INSUFFICIENT_DATA"}
    result = judged(FakeCloudWatch(states), "storefront-5xx", "latency", no_data="healthy")
    assert result.warning == (
        "storefront-5xx has been firing since 2026-11-23 09:12 UTC: 5 > 1. "
        "latency has no data, which the configuration accepts: it can't show a problem."
    )


@pytest.mark.parametrize(
    "state, why", [("OK", "No alarm is firing (1 alarm checked)."), ("ALARM", "1 of 1 alarm firing.")]
)
def test_a_single_alarm_uses_the_singular(state, why):
    assert judged(FakeCloudWatch({"storefront-5xx": state}), "storefront-5xx").why == why


def test_missing_alarms_stop_the_release_with_their_names():
    result = judged(FakeCloudWatch({"storefront-5xx": "OK"}), "storefront-5xx", "latency", watch=("errors",))
    assert result.verdict is Verdict.FAILED
    assert result.why == "No alarm named latency, errors exists in account 000000000000, region us-east-1."


def test_more_alarms_than_one_call_accepts_are_read_in_two():
    names = [f"alarm-{number}" for number in range(101)]
    cloudwatch = FakeCloudWatch(dict.fromkeys(names, "OK"))
    assert judged(cloudwatch, *names[:100], watch=(names[100],)).verdict is Verdict.PASSED
    assert [len(asked) for asked in cloudwatch.asked] == [100, 1]


@pytest.mark.parametrize("code", ["AccessDenied", "ExpiredToken"])
def test_a_role_without_permission_stops_the_release(code):
    result = judged(FakeCloudWatch(fails_with=aws_error(code, status=403)), "storefront-5xx")
    assert result.verdict is Verdict.FAILED
    assert code in result.why
    assert "tagship role" in result.remedy


def test_a_role_that_cannot_be_assumed_stops_the_release():
    in_role = InRole(refused=CredentialsRefused("It can't be assumed.", "Trust us."))
    health = {"checks": [{"type": "lambda"}, {"type": "alarm", "names": ["storefront-5xx"]}]}
    result = alarms.check(case(in_role=in_role, configuration=configured(application(health=health))))
    assert (result.verdict, result.why) == (Verdict.FAILED, "It can't be assumed.")


def test_a_throttled_read_is_retried_by_the_state_machine():
    """Fault 12."""
    with pytest.raises(AwsUnavailable):
        judged(FakeCloudWatch(fails_with=aws_error("Throttling")), "storefront-5xx")


def test_long_lists_of_names_are_cut_in_the_sentences():
    names = [f"storefront-alarm-number-{number:03}" for number in range(40)]
    cut = ", ".join(names)[:499] + "…"
    assert judged(FakeCloudWatch({}), *names).why.startswith(f"No alarm named {cut} exists in ")
    silent = FakeCloudWatch(dict.fromkeys(names, "INSUFFICIENT_DATA"))
    for no_data, words in (("healthy", "has no data, which"), ("inconclusive", "has no data.")):
        assert judged(silent, *names, no_data=no_data).warning.startswith(f"{cut} {words}")
