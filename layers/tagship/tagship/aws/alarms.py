"""CloudWatch alarms as they stand, metric and composite ones."""

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
"""As many as DescribeAlarms takes by name."""
LOOK_AT_ALARMS = Right(name="LookAtAlarms", actions=("cloudwatch:DescribeAlarms",), on=("*",))
"""On everything: a narrower right shows no composite alarms (DescribeAlarms' own documentation)."""


class State(StrEnum):
    """CloudWatch's own names."""

    OK = "OK"
    ALARM = "ALARM"
    INSUFFICIENT_DATA = "INSUFFICIENT_DATA"


@dataclass(frozen=True, slots=True, kw_only=True)
class Alarm:
    """An alarm as it stands."""

    state: str
    since: datetime
    """When it last changed its state."""
    reason: str = ""
    looks_at: int = 0
    """The seconds that it evaluates, of a metric alarm."""
    needs_data: bool = False
    """Without data it has no state but INSUFFICIENT_DATA."""


def look(client: CloudWatchClient, names: Sequence[str], **refusals: type[TagshipError]) -> dict[str, Alarm]:
    """Those of the named alarms that there are.

    Raises AwsUnavailable when CloudWatch throttled, failed or could not be reached; what `refusals` make of a refusal.
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
        # when its state became this; the other time also moves when only the reason changes
        since=alarm.get("StateTransitionedTimestamp") or alarm["StateUpdatedTimestamp"],
        reason=alarm.get("StateReason", ""),
    )
