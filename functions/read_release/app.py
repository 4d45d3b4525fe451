"""ReadRelease: pin the uploaded objects and claim the tag once; or claim a proposed configuration change."""

from __future__ import annotations

from tagship import gates
from tagship.deployment.binding import release_digest
from tagship.intake.claiming import claimed
from tagship.intake.reading import why_of
from tagship.model.application import Application
from tagship.runtime import Event, Runtime, step


@step
def handler(event: Event, runtime: Runtime) -> Event:
    """Turns `{bucket, key, versionId}` into the data that every later state shows; `retry` asks for the tag's next attempt.

    `{proposal}` is a change of the configuration.

    Raises ReleaseUnreadable if the upload names no application and tag, or if `retry` or `proposal` is invalid.
    """
    order = event["order"]
    outcome, record = claimed(
        order,
        runtime.ledger,
        client=runtime.aws.client,
        settings=runtime.settings,
        execution=event["execution"],
        bind=release_digest,
    )
    document = record["configuration"]["document"]
    # A group's change has only an approval policy: no gates and no checks.
    configuration = Application.from_dict(document) if document and "target" in document else None
    policy = document["approval"] if document else None
    checks = configuration.health.checks if configuration else ()
    return {
        "release": {
            "application": record["application"],
            "tag": record["tag"],
            "attempt": record["attempt"],
            "stage": record["stage"],
            "outcome": outcome,
            "why": why_of(outcome, record),
            "gates": gates.invocations(
                configuration, size=sum(pinned["size"] for pinned in record["objects"].values())
            ),
            "checks": [check.label(record["application"]) for check in checks],
        },
        "approval": {
            "decision": "none",
            "askSeconds": min(policy["remindEvery"], policy["expires"]) if policy else 1,
        },
        # A change of the configuration moves no traffic and takes no lock: it gets the fencing number 0, which no holder
        # has.
        "lock": {"fence": 0, "planning": 1},
    }
