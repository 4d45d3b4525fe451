"""broadcast: every fact leaves the ledger here, through the table's stream; what listens can't hurt a release."""

from __future__ import annotations

from botocore.exceptions import BotoCoreError, ClientError

from tagship.ledger.table import unpacked
from tagship.model.errors import TagshipError
from tagship.notices import metrics, queue
from tagship.notices.channels import wanting
from tagship.runtime import Event, Runtime, about, logger, step


@step
def handler(event: Event, runtime: Runtime) -> Event:
    """One record's failure is its own: the stream asks again from the first that failed."""
    for record in event["Records"]:
        if not _settled(record, runtime):
            return {"batchItemFailures": [{"itemIdentifier": record["dynamodb"]["SequenceNumber"]}]}
    return {"batchItemFailures": []}


def _settled(record: Event, runtime: Runtime) -> bool:
    """Broadcast, or set aside; False for what has to wait, with all that is behind it, in its order."""
    sqs = runtime.aws.client("sqs")
    about({}, None)  # until it is known: not the one before
    try:
        try:
            _broadcast(record, runtime)
        except (TagshipError, ClientError, BotoCoreError):
            raise
        except Exception:  # noqa: BLE001 (whatever it is, asking again is of no use, and those behind it go on)
            logger.exception("Nobody can be told of this record; it is set aside")
            queue.set_record_aside(sqs, record, queue_url=runtime.settings.broadcast_failures)
    except (TagshipError, ClientError, BotoCoreError):
        logger.exception("A fact could not be broadcast; the stream will ask again")
        return False
    return True


def _broadcast(record: Event, runtime: Runtime) -> None:
    fact = unpacked(record["dynamodb"]["NewImage"])
    about(fact, fact["execution"])
    queue.publish(
        fact,
        wanting(fact["name"]),
        sqs=runtime.aws.client("sqs"),
        queue_url=runtime.settings.notices_queue,
    )
    metrics.emit(fact)
