"""From the stream to a queue with a line for each channel of each application: none waits for another.

A FIFO queue hands out a group's messages in order, one at a time, and a group whose message waits to be tried again holds
up no other (SQS's documentation of the message group ID). So a channel that is down is retried on its own, in its own order.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from typing import Any

from tagship.aws.calls import calling
from tagship.ledger.notices import address
from tagship.model.records import FactRecord

_LATER = (2, 4, 8, 16, 32, 64, 128, 300)
"""Seconds until a message is tried again, by how often it was; the last stands for all that follow."""


def publish(fact: FactRecord, channels: Iterable[str], *, sqs: Any, queue_url: str) -> None:
    """One message for each channel: where the fact stands, not what it says.

    A fact that the stream hands over twice is taken once (the deduplication id, for five minutes; the ledger knows longer).

    Raises AwsUnavailable when the queue can't take them all just now.
    """
    with calling(f"Queueing {fact['name']!r}"):
        for channel in channels:
            sqs.send_message(
                QueueUrl=queue_url,
                MessageBody=json.dumps(
                    {"channel": channel, "application": fact["application"], "fact": address(fact)}
                ),
                MessageGroupId=f"{channel}-{fact['application']}",
                MessageDeduplicationId=f"{channel}-{fact['digest']}",
            )


def one_by_one(
    fact: FactRecord,
    channel: str,
    readers: Iterable[Mapping[str, Any]],
    *,
    sqs: Any,
    queue_url: str,
) -> None:
    """A fact about all applications: one message for each reader of a channel, in a line of its own.

    Raises AwsUnavailable when the queue can't take them all just now.
    """
    with calling(f"Queueing {fact['name']!r}"):
        for reader in readers:
            line = line_of(channel, reader)
            sqs.send_message(
                QueueUrl=queue_url,
                MessageBody=json.dumps(
                    {
                        "channel": channel,
                        "application": fact["application"],
                        "fact": address(fact),
                        "reader": reader,
                    }
                ),
                MessageGroupId=line,
                MessageDeduplicationId=f"{line}-{fact['digest']}",
            )


def line_of(channel: str, reader: Mapping[str, Any]) -> str:
    """What a reader's line is called: the same for the same reader, and short."""
    text = json.dumps(reader, sort_keys=True)
    return f"{channel}-reader-{hashlib.sha256(text.encode()).hexdigest()[:16]}"


def set_aside(sqs: Any, message: Mapping[str, Any], *, queue_url: str) -> None:
    """Puts a message where a person looks at it, so that those behind it go on."""
    with calling("Setting a notice aside"):
        sqs.send_message(
            QueueUrl=queue_url,
            MessageBody=message["body"],
            MessageGroupId=message["attributes"]["MessageGroupId"],
            MessageDeduplicationId=message["attributes"]["MessageDeduplicationId"],
        )


def set_record_aside(sqs: Any, record: Mapping[str, Any], *, queue_url: str) -> None:
    """Tells a person where a record of the stream stands of which nobody could be told: the ledger has what it says."""
    told = {
        "condition": "NotAFact",
        "table": record.get("eventSourceARN", ""),
        "keys": record["dynamodb"].get("Keys", {}),
        "sequenceNumber": record["dynamodb"]["SequenceNumber"],
    }
    with calling("Setting a record aside"):
        sqs.send_message(QueueUrl=queue_url, MessageBody=json.dumps(told))


def later(sqs: Any, *, queue_url: str, receipt: str, tries: int, after: int = 0) -> None:
    """Lets a message be tried again after a while, the longer the more often it was tried.

    No earlier than `after` seconds, where the channel has said so.
    """
    with calling("Putting a notice off"):
        sqs.change_message_visibility(
            QueueUrl=queue_url,
            ReceiptHandle=receipt,
            VisibilityTimeout=max(after, _LATER[min(tries, len(_LATER)) - 1]),
        )
