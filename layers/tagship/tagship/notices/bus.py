"""The event bus: every fact, for anyone who attaches a rule."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from botocore.exceptions import BotoCoreError, ClientError

from tagship.aws.calls import calling
from tagship.model.errors import AwsUnavailable
from tagship.model.records import FactRecord, Known
from tagship.notices.channel import Channel, Fact, Means

if TYPE_CHECKING:
    from mypy_boto3_events import EventBridgeClient

_LEFT_OUT = ("pk", "sk", "kind", "previous")


def publish(fact: FactRecord, *, events: EventBridgeClient, event_bus: str) -> None:
    """`source` is tagship, `detail-type` the fact's name in words.

    Raises AwsUnavailable if the bus did not accept it.
    """
    detail = {name: value for name, value in fact.items() if name not in _LEFT_OUT}
    with calling("Publishing a fact"):
        answer = events.put_events(
            Entries=[
                {
                    "Source": "tagship",
                    "DetailType": fact["name"],
                    "Detail": json.dumps(detail),
                    "EventBusName": event_bus,
                    "Time": datetime.fromisoformat(fact["at"]),
                    "Resources": [fact["execution"]] if fact["execution"].startswith("arn:") else [],
                }
            ]
        )
    if answer.get("FailedEntryCount"):
        raise AwsUnavailable(
            f"The event bus rejected {fact['name']!r}: {answer['Entries'][0].get('ErrorCode')}"
        )


@dataclass(slots=True, kw_only=True)
class EventBus:
    """The bus for one batch of facts. After a failure it is not asked again: it delays a batch once."""

    events: EventBridgeClient
    name: str
    failed: Callable[[Exception], None]
    """Is called with the failure."""
    down: bool = False

    def accepts(self, fact: FactRecord) -> bool:
        """Puts a fact on the bus; False if that must be tried again later."""
        if not self.down:
            try:
                publish(fact, events=self.events, event_bus=self.name)
            except (AwsUnavailable, ClientError, BotoCoreError) as error:
                self.down = True
                self.failed(error)
        return not self.down


def take(fact: Fact, _: Known, means: Means) -> None:
    """Raises AwsUnavailable."""
    publish(fact, events=means.client("events"), event_bus=means.event_bus)


CHANNEL = Channel(wants=lambda _: True, take=take)
