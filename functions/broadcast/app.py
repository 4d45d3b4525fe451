"""broadcast: publish every fact of the ledger from the table's stream; listeners cannot affect a release."""

from __future__ import annotations

from tagship.aws.clients import TRIED_ONCE
from tagship.notices import metrics, stream
from tagship.notices.broadcasting import pass_on
from tagship.notices.bus import EventBus
from tagship.notices.stream import StreamRecord
from tagship.runtime import Event, Runtime, about, logger, step


@step
def handler(event: Event, runtime: Runtime) -> Event:
    """Returns the first record that failed; the stream retries from there."""
    settings, sqs = runtime.settings, runtime.aws.client("sqs")
    bus = EventBus(
        events=runtime.aws.client("events", config=TRIED_ONCE),
        name=settings.event_bus,
        failed=lambda error: logger.warning("The event bus did not accept a fact. It is queued: %s", error),
    )

    def take(record: StreamRecord) -> None:
        about({}, None)  # empty until it is known, never the previous record's
        fact = record.fact()
        about(fact, fact["execution"])
        pass_on(
            fact,
            inserted=record.inserted,
            ledger=runtime.ledger,
            bus=bus,
            sqs=sqs,
            queue_url=settings.notices_queue,
        )
        record.was_inserted()  # an item that was turned into a fact is still sent once, but not counted in metrics
        metrics.emit(fact)

    return stream.each(event, take, sqs=sqs, failures=settings.broadcast_failures, log=logger)
