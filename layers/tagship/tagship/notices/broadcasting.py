"""Passes a fact of the stream on: to the event bus itself, and to the queue for each channel that may have a recipient."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tagship.ledger.table import Ledger
from tagship.model.records import FactRecord
from tagship.notices import queue
from tagship.notices.bus import EventBus
from tagship.notices.channels import BUS, reaching

if TYPE_CHECKING:
    from mypy_boto3_sqs import SQSClient


def pass_on(
    fact: FactRecord, *, inserted: bool, ledger: Ledger, bus: EventBus, sqs: SQSClient, queue_url: str
) -> None:
    """The queue comes first: a fact that it does not accept is retried, and would reach the bus with each retry.

    A fact that the bus does not accept goes through the queue, and so does one that was changed after it was written
    (`inserted`): the ledger remembers what left the queue, so that each of many changes is not one more event.

    Raises AwsUnavailable, or AWS's own refusal, if the ledger could not be read or the queue did not accept everything.
    """
    channels = reaching(fact, ledger)
    at_once = inserted and BUS in channels
    queued = [channel for channel in channels if channel != BUS or not at_once]
    queue.publish(fact, queued, sqs=sqs, queue_url=queue_url)
    if at_once and not bus.accepts(fact):
        queue.publish(fact, [BUS], sqs=sqs, queue_url=queue_url)
