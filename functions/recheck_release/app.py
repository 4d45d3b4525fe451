"""RecheckRelease: check that everything is still as it was approved; otherwise nothing is deployed."""

from __future__ import annotations

from datetime import timedelta

from tagship.approval.recount import notary_of, prove_decisions
from tagship.deployment import recheck
from tagship.deployment.locations import location_of, move_to
from tagship.deployment.settling import settle_by
from tagship.ledger import lock
from tagship.ledger.table import timestamp
from tagship.model import schedule
from tagship.runtime import Event, Runtime, step

_LOOK_SECONDS = int(schedule.LOOK_AGAIN.total_seconds())


@step
def handler(event: Event, runtime: Runtime) -> Event:
    """The steps and the deadlines, and the place before the first step; or how long to wait before it looks again.

    Raises PlanChanged when the approval was for something else or the configuration was never approved, ApprovalUnproven
    when the facts do not hold it, CalendarClosed when it is frozen or outside its windows and does not wait, TargetMoved
    when somebody changed the target meanwhile.
    """
    release, fence, ledger = runtime.release(event), event["lock"]["fence"], runtime.ledger
    seconds, now = runtime.settings.deployment_seconds, runtime.now()
    lock.renew(
        ledger,
        application=release.application,
        fence=fence,
        seconds=max(seconds + runtime.settings.rollback_seconds, _LOOK_SECONDS) + lock.SPARE_SECONDS,
    )
    record = release.record
    notary = notary_of(runtime.settings, runtime.aws.client("kms"))
    prove_decisions(ledger, record, recheck.prove_approved(ledger, record), notary=notary)
    if runtime.settings.guards_configuration:
        recheck.prove_configured(ledger, record)
    leave, plan = recheck.may_begin(ledger, record, release.configuration), record["plan"]
    deadline = now + timedelta(seconds=seconds)
    if not leave.wait:
        release.target().verify_unchanged(move_to(0, location_of(record), fence=fence))
        recheck.begin(ledger, record, leave, deadline=timestamp(deadline), execution=event["execution"])
    return {
        "begins": not leave.wait,
        "waitSeconds": leave.wait,
        "steps": plan["steps"],
        "count": len(plan["steps"]),
        "deadline": timestamp(deadline),
        "proveBy": timestamp(settle_by(release.kind.settle_seconds, now=now, latest=deadline)),
        "next": 0,
    }
