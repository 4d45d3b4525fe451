"""RecheckRelease: time has passed since the plan; what was approved is what is there, or nothing is deployed."""

from __future__ import annotations

from datetime import timedelta

from tagship.deployment import recheck
from tagship.ledger import lock, releases
from tagship.ledger.table import timestamp
from tagship.model import schedule
from tagship.model.application import Application
from tagship.runtime import Event, Runtime, step
from tagship.targets import target_of

_LOOK_SECONDS = int(schedule.LOOK_AGAIN.total_seconds())


@step
def handler(event: Event, runtime: Runtime) -> Event:
    """The steps and the deadline, and the place before the first step; or how long to wait before it looks again.

    Raises PlanChanged when the approval was for something else, CalendarClosed when it is frozen or outside its windows and
    does not wait, TargetMoved when somebody changed the target meanwhile.
    """
    release, fence, ledger = event["release"], event["lock"]["fence"], runtime.ledger
    application, tag = release["application"], release["tag"]
    seconds = runtime.settings.deployment_seconds
    lock.renew(
        ledger,
        application=application,
        fence=fence,
        seconds=max(seconds + runtime.settings.rollback_seconds, _LOOK_SECONDS) + lock.SPARE_SECONDS,
    )
    record = releases.get(ledger, application, tag)
    recheck.prove_approved(ledger, record)
    configuration = Application.from_dict(record["configuration"]["document"])
    leave, plan = recheck.may_begin(ledger, record, configuration), record["plan"]
    expected = (plan["baseline"] or {}).get("state", "")
    deadline = timestamp(runtime.now() + timedelta(seconds=seconds))
    if not leave.wait:
        target_of(
            configuration,
            tag=tag,
            client_as=runtime.client_as(configuration, tag=tag, execution=event["execution"]),
        ).unmoved(
            baseline=plan["baseline"],
            candidate=plan["candidate"],
            percent=0,
            expected=expected,
            fence=fence,
        )
        recheck.begin(ledger, record, leave, deadline=deadline, execution=event["execution"])
    return {
        "begins": not leave.wait,
        "waitSeconds": leave.wait,
        "steps": plan["steps"],
        "count": len(plan["steps"]),
        "deadline": deadline,
        "next": 0,
        "expected": expected,
    }
