"""ReadRelease: pin what was uploaded, and claim the tag once."""

from __future__ import annotations

from tagship.application import Application, check_name
from tagship.gates import GATES
from tagship.intake.reading import read_release
from tagship.ledger import releases
from tagship.runtime import Event, Runtime, step


@step
def handler(event: Event, runtime: Runtime) -> Event:
    """From `{bucket, key, versionId}` to the data that every later state shows."""
    found = read_release(
        s3=runtime.aws.client("s3"),
        ssm=runtime.aws.client("ssm"),
        stage=runtime.settings.stage,
        bucket=event["bucket"],
        key=event["key"],
        version=event.get("versionId", ""),
        execution=event["execution"],
    )
    outcome, record = releases.claim(runtime.ledger, found)
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
            "gates": list(GATES),
            "checks": [check_name(check, record["application"]) for check in checks],
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
    }[outcome]
