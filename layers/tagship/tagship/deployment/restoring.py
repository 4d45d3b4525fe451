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
from tagship.model.errors import AwsUnavailable, BaselineMissing, RollbackRefused, TagshipError
from tagship.model.facts import FactKind
from tagship.model.records import ReleaseRecord, Revision
from tagship.targets.kind import Restorer

LAST_WRITE_SECONDS = 22
"""So long after a rollback has taken the lock, no call of the release is still running that could move traffic: longer
than ShiftTraffic's timeout, which starts before."""
PATIENCE_SECONDS = 8
"""How much of that one try waits for; the tries before it have let the rest pass."""


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
        try:
            what = target.restore(
                baseline=location["baseline"],
                candidate=location["candidate"],
                replaced=location.get("replaced"),
                fence=held.fence,
            )
        except AwsUnavailable as refused:
            what = already_restored(ledger, target, location["baseline"], refused, begun=begun)
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


def already_restored(
    ledger: Ledger, target: Restorer, baseline: Revision | None, refused: AwsUnavailable, *, begun: datetime
) -> str:
    """What is restored although AWS refused the write: the baseline serves all traffic, and nobody can change that late.

    A write on the target is what makes it refuse a late write of the release. Without it, the last call of the release
    must be over. `begun` is when the rollback took the lock, after which no new call moves traffic.

    Raises `refused` if the baseline does not serve all traffic, if that can't be read, or if it is too early.
    """
    left = LAST_WRITE_SECONDS - (ledger.now() - begun).total_seconds()
    if baseline is None or left > PATIENCE_SECONDS:
        raise refused
    ledger.pause(max(0.0, left))
    try:
        serving = target.serving()
    except TagshipError:
        raise refused from None
    if serving is None or serving["id"] != baseline["id"]:
        raise refused
    return (
        f"it already serves all traffic, so nothing had to be moved. AWS refused to write it again. {refused}"
    )


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
