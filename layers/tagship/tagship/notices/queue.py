"""Queues facts for each channel of each application in its own message group, so that no channel waits for another.

A FIFO queue delivers a group's messages in order, one at a time, and a message that waits for its retry blocks only its
own group (SQS's documentation of the message group ID). So a channel that is down is retried alone, in order.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tagship.aws.calls import calling
from tagship.ledger.notices import address
from tagship.model.errors import AwsUnavailable, EventNotUnderstood
from tagship.model.records import FactRecord

if TYPE_CHECKING:
    from mypy_boto3_sqs import SQSClient
    from mypy_boto3_sqs.type_defs import SendMessageBatchRequestEntryTypeDef

_LATER = (2, 4, 8, 16, 32, 64, 128, 300)
"""Seconds until a message is retried, by the number of attempts; the last value applies to all later ones."""
_MANY = 10
"""The limit of SendMessageBatch. All of its messages may have 1 MiB together; the longest, with a reader from a parameter of
8 KiB, has less than a tenth of that.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Errand:
    """The content of a message: one fact, for one channel, or for one recipient of it."""

    channel: str
    application: str
    fact: str
    """Its position among its application's facts."""
    reader: Mapping[str, object] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """A message as the queue delivers it."""

    id: str
    receipt: str
    body: str
    tries: int
    """How often it was delivered, including this time."""
    group: str
    deduplication: str
    sent: str = ""
    """When it was queued, in milliseconds since 1970; empty if SQS does not say."""

    @classmethod
    def from_dict(cls, record: object) -> Message:
        """From Lambda's event.

        Raises EventNotUnderstood for an event that SQS would not send. The message stays in the queue, which finally sets
        it aside.
        """
        found = record if isinstance(record, Mapping) else {}
        attributes = found.get("attributes")
        attributes = attributes if isinstance(attributes, Mapping) else {}
        texts = [found.get(name) for name in ("messageId", "receiptHandle", "body")]
        texts += [attributes.get(name) for name in ("MessageGroupId", "MessageDeduplicationId")]
        tries = attributes.get("ApproximateReceiveCount")
        if not all(map(_is_text, texts)) or not (_is_text(tries) and re.fullmatch("[0-9]{1,9}", str(tries))):
            raise EventNotUnderstood("This message is not from a FIFO queue. It stays in the queue.")
        name, receipt, body, group, deduplication = map(str, texts)
        return cls(
            id=name,
            receipt=receipt,
            body=body,
            tries=int(str(tries)),
            group=group,
            deduplication=deduplication,
            sent=sent
            if isinstance(sent := attributes.get("SentTimestamp"), str) and re.fullmatch("[0-9]{1,15}", sent)
            else "",
        )

    def errand(self) -> Errand:
        """The parsed body.

        Raises EventNotUnderstood for a body that Tagship does not write.
        """
        try:
            found = json.loads(self.body)
        except (ValueError, RecursionError) as error:
            raise EventNotUnderstood("The message is not JSON.") from error
        found = found if isinstance(found, Mapping) else {}
        channel, application, fact = (found.get(name) for name in ("channel", "application", "fact"))
        reader = found.get("reader")
        if not all(isinstance(text, str) and text for text in (channel, application, fact)) or not (
            reader is None or isinstance(reader, Mapping)
        ):
            raise EventNotUnderstood("The message lacks channel, application or fact.")
        return Errand(channel=str(channel), application=str(application), fact=str(fact), reader=reader)


def _is_text(value: object) -> bool:
    """Whether SQS accepts it: it refuses a lone surrogate."""
    return isinstance(value, str) and value.encode(errors="replace").decode() == value


def messages_in(event: object) -> list[Message]:
    """The messages in Lambda's event.

    Raises EventNotUnderstood.
    """
    records = event.get("Records") if isinstance(event, Mapping) else None
    if not isinstance(records, list):
        raise EventNotUnderstood("This event contains no queue messages.")
    return [Message.from_dict(record) for record in records]


def publish(fact: FactRecord, channels: Iterable[str], *, sqs: SQSClient, queue_url: str) -> None:
    """One message for each channel: the fact's position, not its content.

    A fact that the stream delivers twice is queued once (by the deduplication id for five minutes, later by the ledger).

    Raises AwsUnavailable if the queue does not accept all of them.
    """
    body = {"application": fact["application"], "fact": address(fact)}
    messages = [
        _message(
            number,
            {"channel": channel, **body},
            group=f"{channel}-{fact['application']}",
            deduplication=f"{channel}-{fact['digest']}",
        )
        for number, channel in enumerate(channels)
    ]
    _send(messages, about=fact, sqs=sqs, queue_url=queue_url)


def one_by_one(
    fact: FactRecord,
    channel: str,
    readers: Iterable[Mapping[str, object]],
    *,
    sqs: SQSClient,
    queue_url: str,
) -> None:
    """A fact about all applications: one message for each recipient of a channel, in a group of its own.

    Raises AwsUnavailable if the queue does not accept all of them.
    """
    body = {"channel": channel, "application": fact["application"], "fact": address(fact)}
    messages = [
        _message(number, {**body, "reader": reader}, group=line, deduplication=f"{line}-{fact['digest']}")
        for number, reader in enumerate(readers)
        for line in [line_of(channel, reader)]
    ]
    _send(messages, about=fact, sqs=sqs, queue_url=queue_url)


def _message(
    number: int, body: Mapping[str, object], *, group: str, deduplication: str
) -> SendMessageBatchRequestEntryTypeDef:
    return {
        "Id": str(number),
        "MessageBody": json.dumps(body),
        "MessageGroupId": group,
        "MessageDeduplicationId": deduplication,
    }


def _send(
    messages: Sequence[SendMessageBatchRequestEntryTypeDef],
    *,
    about: FactRecord,
    sqs: SQSClient,
    queue_url: str,
) -> None:
    """Messages of different groups, so that a rejected one is overtaken by none of its own.

    Raises AwsUnavailable if the queue does not accept all of them. Those that it accepted are not queued again within five
    minutes, because of their deduplication id.
    """
    rejected: list[str] = []
    for begin in range(0, len(messages), _MANY):
        batch = messages[begin : begin + _MANY]
        with calling(f"Queueing {about['name']!r}"):
            answer = sqs.send_message_batch(QueueUrl=queue_url, Entries=batch)
        accepted = {each["Id"] for each in answer.get("Successful", ())}
        reasons = {each["Id"]: each.get("Code", "") for each in answer.get("Failed", ())}
        rejected += [
            f"{each['MessageGroupId']} ({reasons.get(each['Id']) or 'no answer'})"
            for each in batch
            if each["Id"] not in accepted
        ]
    if rejected:
        raise AwsUnavailable(
            f"Queueing {about['name']!r}: the queue did not accept the messages for {', '.join(rejected)}."
        )


def line_of(channel: str, reader: Mapping[str, object]) -> str:
    """The name of a recipient's message group: always the same for the same recipient, and short."""
    text = json.dumps(reader, sort_keys=True)
    return f"{channel}-reader-{hashlib.sha256(text.encode()).hexdigest()[:16]}"


def set_aside(sqs: SQSClient, message: Message, *, queue_url: str) -> None:
    """Sets a message aside for a person, so that the following ones are delivered."""
    with calling("Setting a notice aside"):
        sqs.send_message(
            QueueUrl=queue_url,
            MessageBody=message.body,
            MessageGroupId=message.group,
            MessageDeduplicationId=message.deduplication,
        )


def set_record_aside(
    sqs: SQSClient, *, condition: str, keys: Mapping[str, object], table: str, sequence: str, queue_url: str
) -> None:
    """Stores, for a person, the position of a stream record that cannot be processed; the ledger has its content."""
    body = {"condition": condition, "table": table, "keys": keys, "sequenceNumber": sequence}
    with calling("Setting a record aside"):
        sqs.send_message(QueueUrl=queue_url, MessageBody=json.dumps(body, default=str))


def later(sqs: SQSClient, *, queue_url: str, receipt: str, tries: int, after: int = 0) -> None:
    """Schedules a message's retry, with a longer pause after each attempt.

    Not before `after` seconds, if the channel asked for that.
    """
    with calling("Postponing a notice"):
        sqs.change_message_visibility(
            QueueUrl=queue_url,
            ReceiptHandle=receipt,
            VisibilityTimeout=max(after, _LATER[min(tries, len(_LATER)) - 1]),
        )
