"""AcquireLock: wait until no other release of the application holds the lock, take it, and end older releases that wait."""

from __future__ import annotations

from datetime import timedelta
from typing import cast

from tagship.approval.order import supersede_older
from tagship.ledger import lock, releases
from tagship.ledger.table import HEAD, Ledger, timestamp
from tagship.model.errors import Overtaken
from tagship.model.records import ReleaseKey, ReleaseRecord
from tagship.model.release import Tag
from tagship.runtime import Event, Runtime, step

LEASE_SECONDS = 1500
"""The gates' budget and the slowest plan, with a margin: the lock is not held while people are asked."""


@step
def handler(event: Event, runtime: Runtime) -> Event:
    """`{fence, leaseEnds, planning}`.

    Raises LockHeld while another release holds the lock, Overtaken while a newer one is being deployed, LockLost if this one
    has ended meanwhile.
    """
    ledger, release = runtime.ledger, cast("ReleaseKey", event["release"])
    releases.read_ahead(ledger, release["application"], release["tag"], lock.LOCK, HEAD)
    record = releases.get(ledger, release["application"], release["tag"])
    releases.refuse_ended(record, release["attempt"])
    _refuse_behind_newer(ledger, record)
    supersede_older(ledger, runtime.aws.client("stepfunctions"), record, execution=event["execution"])
    taken = releases.take_lock(
        ledger,
        record,
        attempt=release["attempt"],
        execution=event["execution"],
        seconds=LEASE_SECONDS,
        details={
            "gatesEnd": timestamp(runtime.now() + timedelta(seconds=runtime.settings.validation_seconds))
        },
    )
    return {"fence": taken.fence, "leaseEnds": taken.leaseEnds, "planning": record.get("planning", 1)}


def _refuse_behind_newer(ledger: Ledger, record: ReleaseRecord) -> None:
    present = lock.holder_to_follow(ledger, record["application"])
    if present is None or present.kept or present.upkeep or not present.alive(ledger.now()):
        return
    if Tag.parse(present.tag).newer_than(Tag.parse(record["tag"])):
        other = releases.get(ledger, record["application"], present.tag)
        if other["phase"] == releases.BEGUN:
            raise Overtaken(
                f"{record['application']} {record['tag']} ended: the newer {present.tag} is being deployed. Nothing was "
                "changed."
            )
