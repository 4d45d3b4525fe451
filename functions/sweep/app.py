"""sweep: every 15 minutes, find what events missed: dead executions, undelivered decisions, unread uploads.

It also runs when an execution ends successfully, to find releases of that application whose plan is now outdated.
"""

from __future__ import annotations

from typing import Any

from tagship.model.release import place_of
from tagship.runtime import Event, Runtime, step
from tagship.supervision.starting import named, roll_back, start, supervised
from tagship.supervision.sweep import Sweep, application_of


@step
def handler(event: Event, runtime: Runtime) -> Event:
    """What it found and did, in words; usually nothing. Two concurrent sweeps do everything once."""
    settings, stepfunctions = runtime.settings, runtime.aws.client("stepfunctions")

    def back(record: Event, **order: Any) -> bool:
        # the same name as the supervisor's, so that only the first of the two starts a rollback
        name = supervised(record["execution"])
        return roll_back(stepfunctions, settings.rollback_state_machine, record, name=name, **order)

    def read(order: Event) -> None:
        start(
            stepfunctions,
            settings.release_state_machine,
            order,
            name=named("sweep", *place_of(order["key"]), runtime.now().strftime("%Y%m%d%H%M")),
        )

    sweep = Sweep(
        ledger=runtime.ledger,
        stepfunctions=stepfunctions,
        rollback_machine=settings.rollback_state_machine,
        now=runtime.now(),
        roll_back=back,
    )
    if application := application_of(event):
        return {"did": [*sweep.plans(application)]}
    did = [*sweep.releases(), *sweep.rollbacks(), *sweep.decisions(), *sweep.plans()]
    did += sweep.manifests(runtime.aws.client("s3"), bucket=settings.release_bucket, start=read)
    return {"did": did}
