"""Gives the candidate its next share of the traffic, and records it before and after."""

from __future__ import annotations

from tagship.deployment.locations import location_of, move_to, standing_of
from tagship.ledger import releases
from tagship.ledger.table import Fact, Ledger, timestamp
from tagship.model.records import ReleaseRecord
from tagship.targets.kind import Traffic


def shift(
    ledger: Ledger, target: Traffic, record: ReleaseRecord, fact: Fact, *, percent: int, step: int, fence: int
) -> None:
    """Does nothing if this step was done before: a late duplicate must not undo a later step.

    `record` was read before the fact of this step, or with it: if its etag is of this step or a later one, so is that fact
    there.

    Raises PauseOrdered, LockLost, TargetMoved and CredentialsRefused; in these cases this attempt has moved nothing.
    """
    if ledger.fact(fact.application, fact.tag, fact.attempt, fact.name, fact.key):
        return
    location = location_of(record)
    move = move_to(percent, location, fence=fence)
    target.verify_unchanged(move)
    releases.moving(ledger, application=fact.application, tag=fact.tag, attempt=fact.attempt, step=step)
    etag = target.set_weight(move)
    releases.mark(
        ledger,
        fact,
        standing=standing_of(location, etag=etag),
        percent=percent,
        shiftedAt=timestamp(ledger.now()),
    )
