"""preserve: every ending leaves its evidence where nobody can change it; by itself, so that nothing else waits for it."""

from __future__ import annotations

from tagship.ledger import evidence
from tagship.ledger.table import Item, unpacked
from tagship.notices import evidence as evidence_bucket
from tagship.runtime import Event, Runtime, about, logger, step


@step
def handler(event: Event, runtime: Runtime) -> Event:
    """From the stream, the endings alone; by hand `{"fact": {application, tag, seq}}`, for one that had been given up."""
    if "fact" in event:
        _preserve(event["fact"], runtime)
        return {"batchItemFailures": []}
    for record in event["Records"]:
        try:
            _preserve(unpacked(record["dynamodb"]["NewImage"]), runtime)
        except Exception:  # noqa: BLE001 (whatever it is, the stream asks again)
            logger.exception("The evidence of an ending could not be kept; the stream will ask again")
            return {"batchItemFailures": [{"itemIdentifier": record["dynamodb"]["SequenceNumber"]}]}
    return {"batchItemFailures": []}


def _preserve(fact: Item, runtime: Runtime) -> None:
    about(fact, fact.get("execution"))
    made = evidence.bundle(runtime.ledger, fact["application"], fact["tag"], ended=int(fact["seq"]))
    new = evidence_bucket.keep(
        made,
        key=evidence.key_of(made),
        s3=runtime.aws.client("s3"),
        bucket=runtime.settings.evidence_bucket,
    )
    logger.info("the evidence is kept" if new else "the evidence was kept before")
