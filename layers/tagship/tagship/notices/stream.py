"""Parses the ledger's stream: a record is a fact or is set aside, and the following records continue."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, Protocol, cast

from botocore.exceptions import BotoCoreError, ClientError

from tagship.ledger.notices import address
from tagship.ledger.table import unpacked
from tagship.model.errors import EventNotUnderstood, FactChanged, RetryableError
from tagship.model.proposal import group_of
from tagship.model.records import FactRecord
from tagship.model.release import APPLICATION_NAME
from tagship.model.schedule import EVERY_APPLICATION
from tagship.notices import queue

if TYPE_CHECKING:
    from mypy_boto3_sqs import SQSClient

_PASSES = (RetryableError, ClientError, BotoCoreError)
"""Failures that may pass before the stream retries."""
_TEXTS = ("application", "tag", "stage", "name", "who", "at", "execution", "previous", "digest")


class Log(Protocol):
    """The part of a logger that this needs."""

    def exception(self, message: str, /) -> None:
        """Logs a line with the current exception."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamRecord:
    """A record of the table's stream."""

    sequence: str
    """Its position in the stream. If it is empty, the whole batch is retried."""
    table: str
    event: str
    """INSERT, MODIFY or REMOVE."""
    keys: Mapping[str, object]
    image: Mapping[str, object]

    @classmethod
    def from_dict(cls, record: object) -> StreamRecord:
        """From any input: missing fields are empty."""
        record = _mapping(record)
        change = _mapping(record.get("dynamodb"))
        return cls(
            sequence=_text(change.get("SequenceNumber")),
            table=_text(record.get("eventSourceARN")),
            event=_text(record.get("eventName")),
            keys=_mapping(change.get("Keys")),
            image=_mapping(change.get("NewImage")),
        )

    def fact(self) -> FactRecord:
        """The fact that was written.

        Raises EventNotUnderstood for a record that is not a fact, FactChanged for one that was deleted.
        """
        if self.event == "REMOVE":
            self.was_inserted()
        try:
            found = unpacked(self.image)
            wrong = _wrong_in(found)
        except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
            raise EventNotUnderstood(f"{self.title} is not a fact: {error!r:.200}") from error
        if wrong:
            raise EventNotUnderstood(f"{self.title} is not a fact: see its {', '.join(wrong)}")
        return cast("FactRecord", found)

    def was_inserted(self) -> None:
        """Raises FactChanged for a fact that was changed, converted from another item, or deleted: Tagship's code never
        does that.
        """
        if not self.inserted:
            raise FactChanged(
                f"{self.title} changes an existing record ({self.event}). Run tagship audit verify."
            )

    @property
    def inserted(self) -> bool:
        """Whether it is new: neither changed, nor converted from another item, nor deleted."""
        return self.event in ("INSERT", "")

    @property
    def title(self) -> str:
        """The record in a few words."""
        return f"The stream's record {self.sequence[:40]}"


def _wrong_in(found: Mapping[str, Any]) -> list[str]:
    """The attributes that every fact has. The names of facts are not checked: another version may write new ones."""
    wrong = [name for name in _TEXTS if not isinstance(found.get(name), str)]
    wrong += [name for name in ("seq", "attempt") if type(found.get(name)) is not int]
    wrong += [] if isinstance(found.get("data"), Mapping) else ["data"]
    wrong += [] if found.get("kind") == "fact" else ["kind"]
    if not wrong:
        scope = found["application"]
        known = scope == EVERY_APPLICATION or re.fullmatch(APPLICATION_NAME, group_of(scope) or scope)
        wrong += [] if known else ["application"]
        wrong += [] if address(cast("FactRecord", found)) else ["address"]
        datetime.fromisoformat(found["at"])
    return wrong


def records_in(event: object) -> list[StreamRecord]:
    """The records of a batch, in order.

    Raises EventNotUnderstood for an invalid batch.
    """
    records = _mapping(event).get("Records")
    if not isinstance(records, list):
        raise EventNotUnderstood("This event is not a batch from the ledger's stream: it has no records.")
    return [StreamRecord.from_dict(record) for record in records]


def each(
    event: object, take: Callable[[StreamRecord], None], *, sqs: SQSClient, failures: str, log: Log
) -> dict[str, object]:
    """Lambda's response for a batch, after `take` processed its records.

    The stream retries from the first record that failed for a temporary reason, so that facts stay in order. Any other
    failure concerns only its record, which is set aside, because a retry would be useless.
    """
    for record in records_in(event):
        try:
            try:
                take(record)
            except _PASSES:
                raise
            except Exception as error:
                log.exception("This stream record cannot be processed. It is set aside")
                queue.set_record_aside(
                    sqs,
                    condition="FactChanged" if isinstance(error, FactChanged) else "NotAFact",
                    keys=record.keys,
                    table=record.table,
                    sequence=record.sequence,
                    queue_url=failures,
                )
        except _PASSES:
            log.exception("This stream record could not be processed. The stream will retry it")
            return {"batchItemFailures": [{"itemIdentifier": record.sequence}]}
    return {"batchItemFailures": []}


def _mapping(value: object) -> Mapping[str, object]:
    return value if isinstance(value, Mapping) else {}


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""
