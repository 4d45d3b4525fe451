"""broadcast: publish every fact of the ledger from the table's stream; listeners cannot affect a release."""

from __future__ import annotations

from tagship.notices import metrics, queue, stream
from tagship.notices.channels import wanting
from tagship.notices.stream import StreamRecord
from tagship.runtime import Event, Runtime, about, logger, step


@step
def handler(event: Event, runtime: Runtime) -> Event:
    """One record's failure is its own: the stream asks again from the first that failed."""

    def take(record: StreamRecord) -> None:
        about({}, None)  # until it is known: not the one before
        fact = record.fact()
        about(fact, fact["execution"])
        queue.publish(
            fact,
            wanting(fact["name"]),
            sqs=runtime.aws.client("sqs"),
            queue_url=runtime.settings.notices_queue,
        )
        record.was_inserted()  # what was made of something else is sent all the same, once, and counted by nobody
        metrics.emit(fact)

    sqs, failures = runtime.aws.client("sqs"), runtime.settings.broadcast_failures
    return stream.each(event, take, sqs=sqs, failures=failures, log=logger)
