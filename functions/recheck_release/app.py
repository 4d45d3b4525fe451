"""RecheckRelease: check that everything is still as it was approved; otherwise nothing is deployed."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

from tagship.approval.order import is_outdated
from tagship.approval.recount import notary_of, prove_decisions
from tagship.deployment import recheck
from tagship.deployment.locations import location_of, move_to, plan_of
from tagship.deployment.settling import settle_by
from tagship.ledger import freezes, lock, releases
from tagship.ledger.table import timestamp
from tagship.runtime import Event, Runtime, step


@step
def handler(event: Event, runtime: Runtime) -> Event:
    """At the first step: the steps, the deadlines and the fencing number. Otherwise how long to wait, or that it is
    planned again.

    Raises PlanChanged if something else was approved or the configuration was never approved, ApprovalUnproven if the
    facts do not show the approval, CalendarClosed if it is frozen or outside its windows and does not wait, LockHeld
    while another release holds the lock, Overtaken if a newer one went first, TargetMoved if someone else changed the
    target.
    """
    release, execution = runtime.release(event), event["execution"]
    ledger = release.ledger
    release.read_ahead(lock.LOCK)
    record, now, settings = release.record, runtime.now(), runtime.settings
    again, wait, fence = record["phase"] == releases.AGAIN, 0, 0  # the answer of a try before was lost
    plan, deadline = plan_of(record), now + timedelta(seconds=settings.deployment_seconds)
    if not again:
        notary, configuration = notary_of(settings, runtime.aws.client("kms")), release.configuration
        with ThreadPoolExecutor(max_workers=2) as meanwhile:  # what the decisions say nothing about
            frozen = meanwhile.submit(freezes.standing, ledger, release.application)
            meanwhile.submit(release.target)  # assumes the role; should that fail, the next call raises it
            prove_decisions(ledger, record, recheck.prove_approved(ledger, record), notary=notary)
            recheck.prove_configured(ledger, record, guarded=settings.guards_configuration)
            leave = recheck.may_begin(ledger, record, configuration, frozen.result)
        wait = leave.wait
        if not wait:
            seconds = lock.lease(settings.deployment_seconds, settings.rollback_seconds)
            fence = recheck.take_lock(ledger, record, release.attempt, execution, seconds=seconds)
        again = is_outdated(ledger, record, execution=execution)
        if not wait and not again:
            release.target().verify_unchanged(move_to(0, location_of(record), fence=fence))
            recheck.begin(ledger, record, leave, deadline=timestamp(deadline), execution=execution)
    return {
        "begins": not wait and not again,
        "planAgain": again,
        "waitSeconds": wait,
        "fence": fence,
        "steps": plan["steps"],
        "count": len(plan["steps"]),
        "deadline": timestamp(deadline),
        "proveBy": timestamp(settle_by(release.kind.settle_seconds, now=now, latest=deadline)),
        "next": 0,
    }
