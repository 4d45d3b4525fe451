"""Reads an alarm's event from either source, and from an execution's end the person who stopped it."""

from __future__ import annotations

import json

import pytest

from tagship.model.errors import EventNotUnderstood
from tagship.supervision.ended import Ended
from tagship.supervision.starting import named
from tagship.supervision.watch import Alarm, read_event, watched

ARN = "arn:aws:cloudwatch:eu-central-1:123456789012:alarm:storefront: 5xx"
FIRED = Alarm(
    account="123456789012",
    region="eu-central-1",
    name="storefront: 5xx",
    why="Threshold Crossed",
    at="2026-11-22T10:20:00.123Z",
    arn=ARN,
)


def event(state: str = "ALARM", at: str = "2026-11-22T10:20:00.123+0000"):
    detail = {"value": state, "reason": "Threshold Crossed", "timestamp": at}
    return {"detail-type": "CloudWatch Alarm State Change", "resources": [ARN], "detail": {"state": detail}}


def message(**changes: str):
    alarm = {
        "AlarmArn": ARN,
        "NewStateValue": "ALARM",
        "NewStateReason": "Threshold Crossed",
        "StateChangeTime": "2026-11-22T12:20:00.123+0200",
    }
    return {"Sns": {"Message": json.dumps(alarm | changes)}}


def test_both_sources_report_the_same_alarm_at_the_same_time():
    assert read_event(event()).alarms == (FIRED,)
    assert read_event({"Records": [message()]}).alarms == (FIRED,)


@pytest.mark.parametrize(
    "said",
    [
        event("OK"),
        event("INSUFFICIENT_DATA"),
        {"Records": [message(NewStateValue="OK")]},
        {"Records": []},
    ],
)
def test_an_alarm_that_is_not_firing_is_understood_and_ignored(said):
    assert (read_event(said).alarms, read_event(said).unknown) == ((), ())


STRANGE = [
    {"Sns": {"Message": "hello"}},
    {"Sns": {"Message": "[]"}},
    {"Sns": {"Message": "{}"}},
    {"Sns": {"Message": "[" * 100_000}},
    message(AlarmArn="arn:aws:cloudwatch:eu-central-1:1:dashboard:x"),
    message(NewStateValue="alarm"),
    message(StateChangeTime="soon"),
    message(StateChangeTime="0001-01-01T00:00:00+14:00"),
    {},
    None,
]


def test_an_unreadable_message_hides_no_other():
    alarm_event = read_event({"Records": [*STRANGE, message()]})
    assert alarm_event.alarms == (FIRED,)
    assert len(alarm_event.unknown) == len(STRANGE)


@pytest.mark.parametrize("said", [{"detail-type": "Scheduled Event"}, {}, [], None, event(at="soon")])
def test_an_unreadable_event_is_refused_by_name_so_that_lambda_keeps_it(said):
    with pytest.raises(EventNotUnderstood):
        watched(None, said, roll_back=lambda *_, **__: True)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "cause, expected",
    [
        ('{"by": "kim", "why": "the wrong branch"}', ("kim", "the wrong branch")),
        (f'{{"by": "{"x" * 301}", "why": "late"}}', ("x" * 299 + "…", "late")),
        ("stopped by kim", ("", "stopped by kim")),
        ("", ("", "")),
        ('"text"', ("", '"text"')),
        ('{"by": "kim"}', ("", '{"by": "kim"}')),
    ],
)
def test_the_person_who_stopped_an_execution_is_the_one_named_then(cause, expected):
    assert Ended(execution="arn", status="ABORTED", cause=cause).stopped_by() == expected


def test_an_executions_name_is_deterministic_and_never_too_long():
    assert named("alarm", "storefront", "v1.4.0", "1") == "alarm-storefront-v1.4.0-1"
    long = [named("alarm", "storefront", f"v1.4.0-{'x' * 100}{end}", "1") for end in "ab"]
    assert {len(name) for name in long} == {80}
    assert len(set(long)) == 2
