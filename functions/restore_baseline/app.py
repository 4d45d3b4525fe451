"""RestoreBaseline: restore the baseline at once; this needs only the ledger and the target."""

from __future__ import annotations

from datetime import datetime, timedelta

from tagship.deployment.restoring import restore
from tagship.deployment.rollback import Order, bars_only, joined
from tagship.deployment.settling import rollback_settle_by
from tagship.health.together import checks_for
from tagship.ledger import lock
from tagship.ledger.table import timestamp
from tagship.model.records import ReleaseRecord
from tagship.runtime import Event, Release, Runtime, name_of, step


@step
def handler(event: Event, runtime: Runtime) -> Event:
    """Turns `{application, tag, trigger, why}` into what was restored and how to check its health.

    Raises RollbackRefused for an invalid rollback, RollbackUnderway while another one is running, LockHeld while another
    release moves traffic, TargetMoved if someone else changed the target, BaselineMissing.
    """
    order, execution = Order.from_dict(event["order"]), event["execution"]
    release = runtime.release_of(order.application, order.tag, attempt=order.attempt, execution=execution)
    ledger, rollback = release.ledger, name_of(execution)
    release.read_ahead(lock.LOCK)
    # Before the record: a rollback that ends now writes the record first, and then gives the lock back.
    holder = lock.holder_to_follow(ledger, order.application)
    record = release.record
    waited = joined(ledger, order, record, holder, execution=execution, rollback=rollback)
    barred = bars_only(ledger, order, record, rollback=rollback, execution=execution)
    if what := barred or ("Another rollback has restored it." if waited else ""):
        return _answer(release, record, what=what, check=False, started=event["startedAt"])
    seconds = runtime.settings.rollback_seconds
    record, what = restore(
        ledger, release.target, order, record, rollback=rollback, execution=execution, seconds=seconds
    )
    check = record["plan"]["locations"][0]["baseline"] is not None
    return _answer(release, record, what=what, check=check, started=event["startedAt"])


def _answer(release: Release, record: ReleaseRecord, *, what: str, check: bool, started: str) -> Event:
    settings, now = release.runtime.settings, release.runtime.now()
    settled_by = rollback_settle_by(
        release.kind.settle_seconds,
        rollback_seconds=settings.rollback_seconds,
        started=datetime.fromisoformat(started),
        now=now,
    )
    checks = checks_for(release.configuration.health.checks, subject="baseline") if check else []
    return {
        "attempt": release.record["attempt"],
        "checks": [each.label(release.application) for each in checks],
        "what": what,
        "servesNow": record["plan"]["from"] if "plan" in record else None,
        "nothingToCheck": not check,
        "deadline": timestamp(now + timedelta(seconds=settings.rollback_seconds)),
        "settleBy": timestamp(settled_by),
    }
