"""RunHealthCheck: one check, once, on the candidate or, after a rollback, on the baseline."""

from __future__ import annotations

from datetime import datetime, timedelta
from functools import partial

from tagship.aws.clients import ASKED_ONCE
from tagship.deployment.locations import location_of
from tagship.health.given import Given
from tagship.ledger import releases
from tagship.ledger.table import timestamp
from tagship.model.application import Application
from tagship.model.records import document_of
from tagship.runtime import Event, Runtime, step
from tagship.targets import kind_of


@step
def handler(event: Event, runtime: Runtime) -> Event:
    """`{check, verdict, why, numbers, began}`.

    Raises AwsUnavailable when AWS throttled the check.
    """
    release, began = event["release"], timestamp(runtime.now())
    record = releases.get(runtime.ledger, release["application"], release["tag"])
    configuration = Application.from_dict(document_of(record))
    check, target = configuration.health.checks[event["index"]], configuration.target
    location, subject_of = location_of(record), kind_of(target).subject
    candidate, baseline = location["candidate"], location["baseline"]
    asked = subject_of(target, candidate if event["subject"] == "candidate" else baseline)
    client_as = runtime.client_as(configuration, tag=release["tag"], execution=event["execution"])
    given = Given(
        name=event["check"],
        application=release["application"],
        tag=release["tag"],
        client=partial(client_as, may=check.rights(target, asked), config=ASKED_ONCE),
        subject=event["subject"],
        asked=asked,
        before=subject_of(target, baseline) if baseline else None,
        candidate=candidate,
        baseline=baseline,
        percent=record.get("percent", 0),
        began=_moment(record.get("deadline"), -runtime.settings.deployment_seconds),
        shifted=_moment(record.get("shiftedAt")),
        allowed=runtime.settings.allowed_networks,
        now=runtime.now,
    )
    return check.run(given).as_dict() | {"began": began}


def _moment(text: str | None, seconds: int = 0) -> datetime | None:
    return datetime.fromisoformat(text) + timedelta(seconds=seconds) if text else None
