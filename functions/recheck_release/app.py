"""RecheckRelease: time has passed since the plan; what was approved is what is there, or nothing is deployed."""

from __future__ import annotations

from datetime import timedelta

from tagship.application import Application
from tagship.binding import release_digest
from tagship.errors import PlanChanged
from tagship.ledger import approvals, lock, releases
from tagship.ledger.table import Fact, timestamp
from tagship.runtime import Event, Runtime, step
from tagship.targets import target_of


@step
def handler(event: Event, runtime: Runtime) -> Event:
    """The steps and the deadline, and the place before the first step.

    Raises PlanChanged when the approval was for something else, TargetMoved when somebody changed the target meanwhile.
    """
    release = event["release"]
    application, tag = release["application"], release["tag"]
    seconds = runtime.settings.deployment_seconds
    lock.renew(
        runtime.ledger,
        application=application,
        fence=event["lock"]["fence"],
        seconds=seconds + runtime.settings.rollback_seconds + lock.SPARE_SECONDS,
    )
    record = releases.get(runtime.ledger, application, tag)
    plan = record["plan"]
    request = approvals.get(runtime.ledger, record["approval"])
    if (
        request is None
        or request["status"] != "APPROVED"
        or request["digest"] != release_digest(record, plan)
    ):
        raise PlanChanged(
            f"{application} {tag}: what would be deployed is not what was approved. Nothing was changed. Publish a new tag."
        )
    configuration = Application.from_dict(record["configuration"]["document"])
    expected = (plan["baseline"] or {}).get("state", "")
    target_of(
        configuration,
        tag=tag,
        client_as=runtime.client_as(configuration, tag=tag, execution=event["execution"]),
    ).unmoved(
        baseline=plan["baseline"],
        candidate=plan["candidate"],
        percent=0,
        expected=expected,
        fence=event["lock"]["fence"],
    )
    deadline = timestamp(runtime.now() + timedelta(seconds=seconds))
    fact = Fact(
        application=application,
        tag=tag,
        attempt=release["attempt"],
        name="Deployment Started",
        execution=event["execution"],
        data={"steps": plan["steps"], "deadline": deadline},
    )
    releases.mark(runtime.ledger, fact, phase="deployment", deadline=deadline)
    return {
        "steps": plan["steps"],
        "count": len(plan["steps"]),
        "deadline": deadline,
        "next": 0,
        "expected": expected,
    }
