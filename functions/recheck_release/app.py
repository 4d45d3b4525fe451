"""RecheckRelease: time has passed since the plan; what was approved is what is there, or nothing is deployed."""

from __future__ import annotations

import math
from datetime import datetime, timedelta

from tagship import schedule
from tagship.application import Application
from tagship.binding import release_digest
from tagship.errors import CalendarClosed, PlanChanged
from tagship.ledger import approvals, freezes, lock, releases
from tagship.ledger.table import Fact, timestamp
from tagship.runtime import Event, Runtime, step
from tagship.targets import target_of

_LOOK_SECONDS = int(schedule.LOOK_AGAIN.total_seconds())


@step
def handler(event: Event, runtime: Runtime) -> Event:
    """The steps and the deadline, and the place before the first step; or how long to wait before it looks again.

    Raises PlanChanged when the approval was for something else, CalendarClosed when it is frozen or outside its windows and
    does not wait, TargetMoved when somebody changed the target meanwhile.
    """
    release = event["release"]
    application, tag = release["application"], release["tag"]
    seconds = runtime.settings.deployment_seconds
    lock.renew(
        runtime.ledger,
        application=application,
        fence=event["lock"]["fence"],
        seconds=max(seconds + runtime.settings.rollback_seconds, _LOOK_SECONDS) + lock.SPARE_SECONDS,
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
    wait = _closed_for(runtime, record, configuration)
    deadline = timestamp(runtime.now() + timedelta(seconds=seconds))
    if not wait:
        _begin(runtime, event, configuration, plan, deadline=deadline)
    return {
        "begins": not wait,
        "waitSeconds": wait,
        "steps": plan["steps"],
        "count": len(plan["steps"]),
        "deadline": deadline,
        "next": 0,
        "expected": expected,
    }


def _begin(runtime: Runtime, event: Event, configuration: Application, plan: Event, *, deadline: str) -> None:
    release = event["release"]
    application, tag = release["application"], release["tag"]
    target_of(
        configuration,
        tag=tag,
        client_as=runtime.client_as(configuration, tag=tag, execution=event["execution"]),
    ).unmoved(
        baseline=plan["baseline"],
        candidate=plan["candidate"],
        percent=0,
        expected=(plan["baseline"] or {}).get("state", ""),
        fence=event["lock"]["fence"],
    )
    fact = Fact(
        application=application,
        tag=tag,
        attempt=release["attempt"],
        name="Deployment Started",
        execution=event["execution"],
        data={"steps": plan["steps"], "deadline": deadline},
    )
    releases.mark(runtime.ledger, fact, phase="deployment", deadline=deadline)


def _closed_for(runtime: Runtime, record: Event, configuration: Application) -> int:
    """Seconds until it looks again; 0 where traffic may move now.

    Raises CalendarClosed for a release that does not wait, or not any longer.
    """
    if record["phase"] == "deployment":  # it has begun, and its answer was not heard: what has begun goes on
        return 0
    rules, now = configuration.gates, runtime.now()
    windows = [schedule.window(text) for text in rules.windows]
    found = schedule.standing(windows, freezes.standing(runtime.ledger, record["application"]), now)
    if found.is_open:
        return 0
    why = schedule.why_closed(windows, found)
    if record["manifest"].get("emergency"):
        releases.override_calendar(runtime.ledger, record, closed=why)
        return 0
    opens = found.opens
    since = (record.get("waits") or {}).get("since")
    longest = (datetime.fromisoformat(since) if since else now) + schedule.LONGEST_WAIT
    if rules.whenClosed == "fail" or opens is None or opens > longest:
        too_long = (
            ""
            if rules.whenClosed == "fail"
            else f" It does not wait longer than {schedule.LONGEST_WAIT.days} days."
        )
        raise CalendarClosed(
            f"{record['application']} {record['tag']}: {why}{too_long} Nothing was changed. Publish a new tag when it may "
            "be deployed."
        )
    releases.delay(runtime.ledger, record, why=why, opens=timestamp(opens))
    return math.ceil(min(opens - now, schedule.LOOK_AGAIN).total_seconds())
