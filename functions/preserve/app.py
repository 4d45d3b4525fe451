"""preserve: store the evidence of every outcome where nobody can change it; separate, so that nothing else waits for it."""

from __future__ import annotations

from tagship.ledger import evidence
from tagship.notices import evidence as evidence_bucket
from tagship.notices import stream
from tagship.notices.stream import StreamRecord
from tagship.runtime import Event, Runtime, about, logger, step


@step
def handler(event: Event, runtime: Runtime) -> Event:
    """The stream delivers endings only. By hand, `{"fact": {application, tag, seq}}` stores one that had been given up."""

    def take(record: StreamRecord) -> None:
        about({}, None)
        fact = record.fact()
        about(fact, fact["execution"])
        keep(evidence.Ending(application=fact["application"], tag=fact["tag"], seq=fact["seq"]))

    def keep(ending: evidence.Ending) -> None:
        made = evidence.bundle(runtime.ledger, ending.application, ending.tag, ended=ending.seq)
        s3, bucket = runtime.aws.client("s3"), runtime.settings.evidence_bucket
        new = evidence_bucket.keep(made, key=evidence.key_of(made), s3=s3, bucket=bucket)
        logger.info("the evidence is stored" if new else "the evidence was already stored")

    if by_hand := evidence.Ending.in_event(event):
        keep(by_hand)
        return {"batchItemFailures": []}
    sqs, failures = runtime.aws.client("sqs"), runtime.settings.broadcast_failures
    return stream.each(event, take, sqs=sqs, failures=failures, log=logger)
