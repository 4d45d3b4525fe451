"""The watch: an alarm soon after a release succeeded rolls it back; a later alarm is only reported."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any

from tagship.ledger import lock, releases, watches
from tagship.ledger.table import Fact, Item, Ledger, timestamp
from tagship.model.errors import EventNotUnderstood
from tagship.model.facts import FactKind
from tagship.model.release import Status
from tagship.supervision.ended import RollBack
from tagship.text.plain import shorten

_FIRES = "ALARM"
_STATES = (_FIRES, "OK", "INSUFFICIENT_DATA")
_ARN = re.compile(r"arn:[a-z0-9-]+:cloudwatch:([a-z0-9-]+):([0-9]{12}):alarm:(.{1,255})", re.DOTALL)


@dataclass(frozen=True, slots=True, kw_only=True)
class Alarm:
    """A CloudWatch alarm that fired."""

    account: str
    region: str
    name: str
    why: str
    """CloudWatch's reason, with the numbers and the threshold."""
    at: str
    """When, in UTC to the millisecond."""
    arn: str


@dataclass(frozen=True, slots=True, kw_only=True)
class AlarmEvent:
    """The content of an event."""

    alarms: tuple[Alarm, ...]
    """The alarms that fired; an alarm that cleared is not one."""
    unknown: tuple[str, ...]
    """The records that are not an alarm's event, in words."""


def read_event(event: object) -> AlarmEvent:
    """Reads EventBridge's own event, or a topic's messages. An invalid message does not affect the others."""
    found = event if isinstance(event, Mapping) else {}
    alarms, unknown = [], []
    records = found.get("Records")
    for read, message in (
        [(_in_message, each) for each in records] if isinstance(records, list) else [(_in_event, found)]
    ):
        try:
            alarms += [alarm] if (alarm := read(message)) else []
        except (ArithmeticError, LookupError, RecursionError, TypeError, ValueError) as error:
            unknown.append(f"{error!r:.200}")
    return AlarmEvent(alarms=tuple(alarms), unknown=tuple(unknown))


def _in_event(event: Mapping[str, Any]) -> Alarm | None:
    state = event["detail"]["state"]
    return _alarm(event["resources"][0], state["value"], state.get("reason"), state["timestamp"])


def _in_message(record: Mapping[str, Any]) -> Alarm | None:
    message = json.loads(record["Sns"]["Message"])
    return _alarm(
        message["AlarmArn"],
        message["NewStateValue"],
        message.get("NewStateReason"),
        message["StateChangeTime"],
    )


def _alarm(arn: str, state: str, why: object, at: str) -> Alarm | None:
    """None for an alarm that has not fired. Raises ValueError or TypeError for a message that CloudWatch would not send."""
    if state not in _STATES:
        raise ValueError(f"{state!r:.40} is not an alarm state")
    # arn:aws:cloudwatch:eu-central-1:123456789012:alarm:storefront-5xx
    parts = _ARN.fullmatch(arn)
    if parts is None:
        raise ValueError(f"{arn[:100]!r} is not the ARN of an alarm")
    region, account, name = parts.groups()
    moment = datetime.fromisoformat(at)
    moment = moment.astimezone(UTC) if moment.tzinfo else moment
    return (
        Alarm(
            account=account,
            region=region,
            name=name,
            why=shorten(why, 1000) if isinstance(why, str) else "",
            at=timestamp(moment),
            arn=arn,
        )
        if state == _FIRES
        else None
    )


def watched(ledger: Ledger, event: object, *, roll_back: RollBack) -> list[dict[str, str]]:
    """What an event means for each application that names one of its alarms.

    Raises EventNotUnderstood, after everything else is done: Lambda then keeps the event for a person.
    """
    alarm_event = read_event(event)
    did = [each for alarm in alarm_event.alarms for each in fired(ledger, alarm, roll_back=roll_back)]
    if alarm_event.unknown:
        raise EventNotUnderstood(
            f"This is not an alarm event: {'; '.join(alarm_event.unknown)}. The event is kept for a person to read. "
            f"Result of its other messages: {did or 'nothing'}."
        )
    return did


def fired(ledger: Ledger, alarm: Alarm, *, roll_back: RollBack) -> list[dict[str, str]]:
    """What an alarm means for each application that names it; the same alarm twice is one fact and one rollback."""
    return [
        done
        for watch in watches.of_alarm(ledger, alarm.account, alarm.region, alarm.name)
        if (done := _fired(ledger, alarm, watch, roll_back))
    ]


def _fired(ledger: Ledger, alarm: Alarm, watch: Item, roll_back: RollBack) -> dict[str, str] | None:
    application = watch["application"]
    current = releases.current(ledger, application)
    if current is None or (current["tag"], current["attempt"]) != (watch["tag"], watch["attempt"]):
        return None  # another release, or a rollback, has ended this watch
    because = _let_be(ledger, alarm, watch)
    ledger.record(
        Fact(
            application=application,
            tag=watch["tag"],
            attempt=watch["attempt"],
            name=FactKind.ALARM_FIRED,
            key=f"{alarm.arn} {alarm.at}",
            data={
                "alarm": alarm.name,
                "why": alarm.why,
                "firedAt": alarm.at,
                "watchEnds": watch["until"],
                "did": "notified" if because else "rollback",
                "because": because,
            },
        )
    )
    if not because:
        roll_back(
            releases.get(ledger, application, watch["tag"]),
            trigger="alarm",
            why=f"The alarm {alarm.name} fired: {alarm.why}",
            by=alarm.arn,
            seen=asdict(alarm),
        )
    return {"application": application, "tag": watch["tag"], "did": "notified" if because else "rollback"}


def _let_be(ledger: Ledger, alarm: Alarm, watch: Item) -> str:
    """Why this release is not rolled back; empty if it is."""
    if alarm.at < watch["since"]:
        return "It fired before the release succeeded."
    if timestamp(ledger.now()) > watch["until"]:
        return "The watch is over."
    if why := releases.unsafe_to_roll_back(releases.get(ledger, watch["application"], watch["tag"])):
        return f"Its rollback is unsafe, so a person decides: {why}"
    holder = lock.holder(ledger, watch["application"])
    if holder is None or holder.tag == watch["tag"]:
        return ""
    other = releases.get(ledger, watch["application"], holder.tag)
    if other["status"] == Status.RUNNING and other.get("moved"):
        return f"{other['tag']} is in progress and has traffic: its own health checks decide."
    if holder.kept:
        return f"The rollback of {other['tag']} failed; a person must act first."
    return ""
