"""broadcast: every fact leaves the ledger here, through the table's stream; what listens can't hurt a release."""

from __future__ import annotations

from tagship.broadcast import metrics, queue
from tagship.broadcast.channels import wanting
from tagship.ledger.table import unpacked
from tagship.runtime import Event, Runtime, about, logger, step


@step
def handler(event: Event, runtime: Runtime) -> Event:
    """One record's failure is its own: the stream asks again from the first that failed."""
    failures = []
    for record in event["Records"]:
        try:
            fact = unpacked(record["dynamodb"]["NewImage"])
            about(fact, fact["execution"])
            queue.publish(
                fact,
                wanting(fact["name"]),
                sqs=runtime.aws.client("sqs"),
                queue_url=runtime.settings.notices_queue,
            )
            metrics.emit(fact)
        except Exception:  # noqa: BLE001 (whatever it is, the stream asks again)
            logger.exception("A fact could not be broadcast; the stream will ask again")
            failures.append({"itemIdentifier": record["dynamodb"]["SequenceNumber"]})
            break
    return {"batchItemFailures": failures}
