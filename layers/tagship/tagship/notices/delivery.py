"""Sends one message of the queue to one channel, once to each recipient."""

from __future__ import annotations

from collections.abc import Callable

from tagship.ledger import notices, releases
from tagship.model.records import Known
from tagship.model.schedule import EVERY_APPLICATION
from tagship.notices import queue
from tagship.notices.channel import Fact, Means
from tagship.notices.channels import CHANNELS, addressed_to, readers_of
from tagship.notices.queue import Errand


def deliver(
    errand: Errand,
    means: Means,
    *,
    queue_url: str,
    begins: Callable[[Fact], None] = lambda _: None,
) -> None:
    """Sends a fact through the channel that a message names, or queues it once for each of several readers.

    `begins` is called with the fact before anything is sent.

    Raises LookupError for a fact that the ledger does not have, and what the channel raises.
    """
    channel, reader = errand.channel, errand.reader
    line = queue.line_of(channel, reader) if reader else channel
    notices.read_ahead(means.ledger, errand.application, errand.fact, line)
    fact = notices.fact_at(means.ledger, errand.application, errand.fact)
    if fact is None:
        raise LookupError(f"the ledger of {errand.application} has no fact {errand.fact}")
    begins(fact)
    record = _record(fact, means)
    if not reader:
        readers = readers_of(fact, channel, record, means)
        if readers is not None:  # also if that was done before: nobody gets a notice twice
            queue.one_by_one(fact, channel, readers, sqs=means.client("sqs"), queue_url=queue_url)
            notices.record_sent(means.ledger, fact, channel)
            return
    if notices.was_sent(means.ledger, fact, line):
        return
    CHANNELS[channel].take(fact, addressed_to(reader, record) if reader else record, means)
    notices.record_sent(means.ledger, fact, line)


def _record(fact: Fact, means: Means) -> Known:
    """The release that a fact is about, with the configuration that applies to it; empty for all applications."""
    return {} if fact["application"] == EVERY_APPLICATION else releases.about(means.ledger, fact)
