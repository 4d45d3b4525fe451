"""broadcast: publish every fact of the ledger from the table's stream; listeners cannot affect a release."""

from __future__ import annotations

from tagship.notices import metrics, queue, stream
from tagship.notices.channels import wanting
from tagship.notices.stream import StreamRecord
from tagship.runtime import Event, Runtime, about, logger, step


@step
def handler(event: Event, runtime: Runtime) -> Event:
    """Returns the first record that failed; the stream retries from there."""

    def take(record: StreamRecord) -> None:
        about({}, None)  # empty until it is known, never the previous record's
        fact = record.fact()
        about(fact, fact["execution"])
        queue.publish(
            fact,
            wanting(fact["name"]),
            sqs=runtime.aws.client("sqs"),
            queue_url=runtime.settings.notices_queue,
        )
        record.was_inserted()  # an item that was turned into a fact is still sent once, but not counted in metrics
        metrics.emit(fact)

    sqs, failures = runtime.aws.client("sqs"), runtime.settings.broadcast_failures
    return stream.each(event, take, sqs=sqs, failures=failures, log=logger)
