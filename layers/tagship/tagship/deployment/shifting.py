"""Gives the candidate its next share of the traffic, and records it before and after."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from tagship.deployment.locations import location_of, move_to, standing_of
from tagship.deployment.settling import has_settled
from tagship.ledger import lock, releases
from tagship.ledger.table import Fact, Ledger, Refused, timestamp
from tagship.model.records import ReleaseRecord
from tagship.targets.kind import Traffic


def shift(
    ledger: Ledger,
    target_of: Callable[[], Traffic],
    record: ReleaseRecord,
    fact: Fact,
    *,
    percent: int,
    step: int,
    fence: int,
    seconds: int,
    looks: bool,
) -> bool:
    """Extends the lock's lease by `seconds`, and moves the traffic unless this step was done before: a late duplicate must
    not undo a later step. `looks`: returns whether the target has already applied the move.

    `record` was read before the fact of this step, or with it: if its etag is of this step or a later one, so is that fact
    there.

    Raises PauseOrdered, LockLost, TargetMoved and CredentialsRefused; in these cases this attempt has moved nothing.
    """
    if ledger.fact(fact.application, fact.tag, fact.attempt, fact.name, fact.key):
        lock.renew(ledger, application=fact.application, fence=fence, seconds=seconds)
        return False
    location, target = location_of(record), target_of()
    move = move_to(percent, location, fence=fence)
    target.verify_unchanged(move)
    _begin(ledger, fact, step=step, fence=fence, seconds=seconds)
    etag = target.set_weight(move)
    with ThreadPoolExecutor(max_workers=1) as meanwhile:
        settled = meanwhile.submit(has_settled, target, move) if looks else None
        releases.mark(
            ledger,
            fact,
            standing=standing_of(location, etag=etag),
            percent=percent,
            shiftedAt=timestamp(ledger.now()),
        )
    return settled is not None and settled.result()


def _begin(ledger: Ledger, fact: Fact, *, step: int, fence: int, seconds: int) -> None:
    """Records that traffic may move from here on, in one transaction with the lease of the lock that allows it."""
    lease = lock.renewed(ledger, application=fact.application, fence=fence, seconds=seconds)
    try:
        releases.moving(
            ledger,
            application=fact.application,
            tag=fact.tag,
            attempt=fact.attempt,
            step=step,
            only_while=[lease],
        )
    except Refused as refused:
        raise lock.lost(fact.application, fence) from refused
