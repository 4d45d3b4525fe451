"""AcquireLock: one release of an application at a time; wait for a release in progress, or supersede one that only waits."""

from __future__ import annotations

from datetime import timedelta

from tagship.approval.superseding import supersede
from tagship.ledger import lock, releases
from tagship.ledger.table import timestamp
from tagship.model.errors import LockLost, NewerReleaseUnderway
from tagship.model.release import Status, Tag
from tagship.runtime import Event, Runtime, step

LEASE_SECONDS = 1500
"""The gates' budget and the plan at its slowest, with room to spare; later steps make it longer as they need."""


@step
def handler(event: Event, runtime: Runtime) -> Event:
    """Raises LockHeld while another release is on its way, NewerReleaseUnderway when waiting would be in vain, LockLost when
    this one has ended meanwhile.
    """
    release = event["release"]
    application, tag = release["application"], release["tag"]
    present = lock.holder(runtime.ledger, application)
    other = present.tag if present and present.alive(runtime.now()) and not present.kept else tag
    if Tag.parse(other).newer_than(Tag.parse(tag)):
        raise NewerReleaseUnderway(
            f"{application} {tag} ends here: the newer {other} is already in progress. Nothing was changed."
        )
    record = releases.get(runtime.ledger, application, tag)
    if (record["status"], record["attempt"]) != (Status.RUNNING, release["attempt"]):
        raise LockLost(f"{application} {tag}: the release has already ended. No lock was taken for it.")
    if other != tag:
        stepfunctions = runtime.aws.client("stepfunctions")
        supersede(runtime.ledger, stepfunctions, application, other, by=tag, execution=event["execution"])
    return lock.acquire(
        runtime.ledger,
        application=application,
        tag=tag,
        attempt=release["attempt"],
        execution=event["execution"],
        seconds=LEASE_SECONDS,
        told={"gatesEnd": timestamp(runtime.now() + timedelta(seconds=runtime.settings.validation_seconds))},
        only_while=[
            releases.standing(
                runtime.ledger,
                application=application,
                tag=tag,
                attempt=release["attempt"],
                status=Status.RUNNING,
                execution=event["execution"],
            )
        ],
    ).as_dict()
