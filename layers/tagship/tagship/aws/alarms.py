"""Reads CloudWatch alarms, metric and composite ones."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from typing import TYPE_CHECKING

from tagship.aws.calls import calling
from tagship.aws.rights import Right
from tagship.model.errors import TagshipError

if TYPE_CHECKING:
    from mypy_boto3_cloudwatch import CloudWatchClient
    from mypy_boto3_cloudwatch.type_defs import CompositeAlarmTypeDef, MetricAlarmTypeDef

IN_ONE_CALL = 100
"""The limit of DescribeAlarms for names."""
LOOK_AT_ALARMS = Right(name="LookAtAlarms", actions=("cloudwatch:DescribeAlarms",), on=("*",))
"""On everything: with a narrower permission, AWS shows no composite alarms (DescribeAlarms' own documentation)."""


class State(StrEnum):
    """CloudWatch's own names."""

    OK = "OK"
    ALARM = "ALARM"
    INSUFFICIENT_DATA = "INSUFFICIENT_DATA"


@dataclass(frozen=True, slots=True, kw_only=True)
class Alarm:
    """The current state of an alarm."""

    state: str
    since: datetime
    """When it last changed its state."""
    reason: str = ""
    looks_at: int = 0
    """The seconds that a metric alarm evaluates."""
    needs_data: bool = False
    """Without data it has no state other than INSUFFICIENT_DATA."""


def look(client: CloudWatchClient, names: Sequence[str], **refusals: type[TagshipError]) -> dict[str, Alarm]:
    """The named alarms that exist.

    Raises AwsUnavailable if CloudWatch throttled, failed or could not be reached; for a refusal, the error in `refusals`.
    """
    found: dict[str, Alarm] = {}
    for start in range(0, len(names), IN_ONE_CALL):
        with calling("Looking at the alarms", **refusals):
            answer = client.describe_alarms(
                AlarmNames=list(names[start : start + IN_ONE_CALL]),
                AlarmTypes=["MetricAlarm", "CompositeAlarm"],
                MaxRecords=IN_ONE_CALL,
            )
        for metric in answer.get("MetricAlarms", ()):
            found[metric["AlarmName"]] = replace(
                _standing(metric),
                looks_at=metric.get("Period", 0) * metric.get("EvaluationPeriods", 0),
                needs_data=metric.get("TreatMissingData", "missing") == "missing",
            )
        for composite in answer.get("CompositeAlarms", ()):
            found[composite["AlarmName"]] = _standing(composite)
    return found


def _standing(alarm: MetricAlarmTypeDef | CompositeAlarmTypeDef) -> Alarm:
    return Alarm(
        state=alarm["StateValue"],
        # when it entered this state; the other timestamp also changes when only the reason does
        since=alarm.get("StateTransitionedTimestamp") or alarm["StateUpdatedTimestamp"],
        reason=alarm.get("StateReason", ""),
    )
