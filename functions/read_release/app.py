"""ReadRelease: pin what was uploaded, and claim the tag once."""

from __future__ import annotations

from functools import partial

from tagship import gates
from tagship.intake.reading import read_release
from tagship.ledger import configurations, releases
from tagship.model.application import Application
from tagship.model.release import Upload
from tagship.runtime import Event, Runtime, step


@step
def handler(event: Event, runtime: Runtime) -> Event:
    """From `{bucket, key, versionId}` to the data that every later state shows; with `retry`, of the tag's next attempt.

    Raises ReleaseUnreadable when the upload can't be booked to an application and a tag, or `retry` is none.
    """
    upload = Upload.from_dict(event["order"])
    found = read_release(
        s3=runtime.aws.client("s3"),
        ssm=runtime.aws.client("ssm"),
        stage=runtime.settings.stage,
        bucket=upload.bucket,
        key=upload.key,
        version=upload.version,
        execution=event["execution"],
        guard=partial(configurations.in_force, runtime.ledger)
        if runtime.settings.guards_configuration
        else None,
    )
    outcome, record = releases.claim(runtime.ledger, found, retry=upload.retry)
    document = record["configuration"]["document"]
    configuration = Application.from_dict(document) if document else None
    policy = configuration.approval if configuration else None
    checks = configuration.health.checks if configuration else ()
    return {
        "release": {
            "application": record["application"],
            "tag": record["tag"],
            "attempt": record["attempt"],
            "stage": record["stage"],
            "outcome": outcome,
            "why": _why(outcome, record),
            "gates": gates.invocations(configuration),
            "checks": [check.label(record["application"]) for check in checks],
        },
        "approval": {
            "decision": "none",
            "askSeconds": min(policy.remindEvery, policy.expires) if policy else 1,
        },
    }


def _why(outcome: str, record: Event) -> str:
    release = f"{record['application']} {record['tag']}"
    return {
        "claimed": f"{release} was read and its objects are pinned.",
        "duplicate": f"{release} was read before, with the same bytes, by {record['execution']}; nothing was done twice.",
        "refused": f"{release} was read before with other bytes: a tag is used once. Nothing was changed. "
        "Publish under a new tag.",
        "declined": f"{release} is not retried: {releases.retry_refused(record) or 'another retry of it was quicker.'} "
        "Nothing was changed.",
    }[outcome]
