"""The watch: an alarm that fires soon after a release has succeeded takes it back; one that fires later is told."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from tagship.ledger import lock, releases, watches
from tagship.ledger.table import Fact, Item, Ledger, timestamp
from tagship.model.facts import FactKind
from tagship.model.release import Status
from tagship.supervision.ended import RollBack

_FIRES = "ALARM"


@dataclass(frozen=True, slots=True, kw_only=True)
class Alarm:
    """A CloudWatch alarm that has gone off."""

    account: str
    region: str
    name: str
    why: str
    """CloudWatch's reason, with the numbers and the threshold."""
    at: str
    """When, UTC to the millisecond."""
    arn: str


def alarms_in(event: Mapping[str, Any]) -> Iterator[Alarm]:
    """The alarms that an event says have gone off: EventBridge's own, or messages of a topic; of anything else, none."""
    if event.get("detail-type") == "CloudWatch Alarm State Change":
        detail = event["detail"]
        if detail["state"]["value"] == _FIRES:
            yield _alarm(
                event["resources"][0], detail["state"].get("reason", ""), detail["state"]["timestamp"]
            )
    for record in event.get("Records", ()):
        try:
            message = json.loads(record["Sns"]["Message"])
            if message["NewStateValue"] == _FIRES:
                yield _alarm(
                    message["AlarmArn"], message.get("NewStateReason", ""), message["StateChangeTime"]
                )
        except (ValueError, KeyError, TypeError):  # a message that is not an alarm's
            continue


def _alarm(arn: str, why: str, at: str) -> Alarm:
    # arn:aws:cloudwatch:eu-central-1:123456789012:alarm:storefront-5xx
    _, _, _, region, account, _, name = arn.split(":", 6)
    moment = datetime.fromisoformat(at)
    return Alarm(
        account=account,
        region=region,
        name=name,
        why=why[:1000],
        at=timestamp((moment - (moment.utcoffset() or moment - moment)).replace(tzinfo=None)),
        arn=arn,
    )


def fired(ledger: Ledger, alarm: Alarm, *, roll_back: RollBack) -> list[dict[str, str]]:
    """What an alarm means for each application that names it; the same alarm told twice is one fact and one rollback."""
    return [
        told
        for watch in watches.of_alarm(ledger, alarm.account, alarm.region, alarm.name)
        if (told := _fired(ledger, alarm, watch, roll_back))
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
                "did": "told" if because else "rollback",
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
    return {"application": application, "tag": watch["tag"], "did": "told" if because else "rollback"}


def _let_be(ledger: Ledger, alarm: Alarm, watch: Item) -> str:
    """Why this release is not taken back; empty where it is."""
    if alarm.at < watch["since"]:
        return "It fired before the release had succeeded."
    if timestamp(ledger.now()) > watch["until"]:
        return "The watch is over."
    holder = lock.holder(ledger, watch["application"])
    if holder is None or holder.tag == watch["tag"]:
        return ""
    other = releases.get(ledger, watch["application"], holder.tag)
    if other["status"] == Status.RUNNING and other.get("moved"):
        return f"{other['tag']} is on its way and has traffic: its own health checks decide."
    if holder.kept:
        return f"The rollback of {other['tag']} failed, and a person must act first."
    return ""
