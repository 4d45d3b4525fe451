"""Restores a release's baseline: takes the lock under a new fencing number, restores, and records both."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from typing import Any, cast

from tagship.deployment.locations import location_of
from tagship.deployment.rollback import Order, leading_to, make_way, refuse, refuse_unsafe, served, shares_of
from tagship.ledger import lock, releases
from tagship.ledger.table import Fact, Ledger, timestamp
from tagship.model.errors import BaselineMissing, RollbackRefused
from tagship.model.facts import FactKind
from tagship.model.records import ReleaseRecord, Revision
from tagship.targets.kind import Restorer


def restore(
    ledger: Ledger,
    target_of: Callable[[], Restorer],
    order: Order,
    record: ReleaseRecord,
    *,
    rollback: str,
    execution: str,
    seconds: int,
) -> tuple[ReleaseRecord, str]:
    """The release's current record, and what was restored, in words. `seconds` is the rollback's budget.

    Raises RollbackRefused for an invalid rollback, LockHeld while another release moves traffic, TargetMoved if someone else
    changed the target, BaselineMissing, RollbackUnsafe for a release that only a person may roll back.
    """
    refuse(ledger, order, record)
    refuse_unsafe(order, record)
    target = target_of()
    changes = leading_to(ledger, order, record)
    if changes:
        _verify_exists(target, order, changes["plan"]["locations"][0]["baseline"])
    make_way(ledger, order, record, execution=execution)
    if order.trigger == "security":
        changes["barred"] = order.bar(ledger.now())
    fact = order.fact(
        record,
        FactKind.ROLLBACK_TRIGGERED,
        rollback=rollback,
        execution=execution,
        trigger=order.trigger,
        why=order.why,
        percent=record.get("percent", 0),
        seen=order.seen,
        deadline=timestamp(ledger.now() + timedelta(seconds=seconds)),
    )
    begun, held = ledger.now(), _lock(ledger, order, record, fact, changes, seconds=seconds)
    if not held.recorded and not releases.turn_back(ledger, fact, **changes):  # by an earlier try
        begun = _triggered(ledger, fact)
    record = cast("ReleaseRecord", {**record, **changes})
    location = location_of(record)
    with ThreadPoolExecutor(max_workers=1) as meanwhile:
        shifts = meanwhile.submit(shares_of, ledger, record)
        what = target.restore(
            baseline=location["baseline"],
            candidate=location["candidate"],
            replaced=location.get("replaced"),
            fence=held.fence,
        )
    data: dict[str, object] = {
        "what": what,
        "baseline": location["baseline"],
        "fence": held.fence,
        "served": served(shifts.result(), until=ledger.now()),
        "seconds": max(0, round((ledger.now() - begun).total_seconds())),
    }
    ledger.record(
        order.fact(record, FactKind.BASELINE_RESTORED, rollback=rollback, execution=execution, **data)
    )
    return record, what


def _lock(
    ledger: Ledger,
    order: Order,
    record: ReleaseRecord,
    triggered: Fact,
    changes: Mapping[str, Any],
    *,
    seconds: int,
) -> lock.Lock:
    """Takes the lock, and records with it that the rollback begins; unless an earlier try has done the one or the other."""
    return lock.acquire(
        ledger,
        application=order.application,
        tag=order.tag,
        attempt=record["attempt"],
        execution=triggered.execution,
        then=triggered,
        seconds=seconds + lock.SPARE_SECONDS,
        taking_over=True,
        only_while=[
            releases.standing(
                ledger,
                application=order.application,
                tag=order.tag,
                attempt=record["attempt"],
                status=record["status"],
                execution=triggered.execution,
                **changes,
            )
        ],
    )


def _verify_exists(target: Restorer, order: Order, baseline: Revision) -> None:
    """Raises before anything is changed if the revision no longer exists."""
    try:
        target.exists(baseline)
    except BaselineMissing as error:
        raise RollbackRefused(
            f"{order.title} cannot be rolled back to {order.to}: {error} Nothing was changed."
        ) from error


def _triggered(ledger: Ledger, fact: Fact) -> datetime:
    """When this very fact was recorded."""
    found = ledger.fact(fact.application, fact.tag, fact.attempt, fact.name, fact.key)
    assert found is not None
    return datetime.fromisoformat(found["at"])
