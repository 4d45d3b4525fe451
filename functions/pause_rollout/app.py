"""PauseRollout: ask people whether the rollout continues, and wait for their answer until health is looked at again."""

from __future__ import annotations

import functools

from tagship.approval.request.delivery import deliver, go_on
from tagship.approval.request.pausing import asked_people, notify
from tagship.approval.request.request import reminders_due, seconds_left
from tagship.aws.clients import QUICK
from tagship.health.judging import shortly
from tagship.ledger import approvals, lock, releases
from tagship.ledger.table import timestamp
from tagship.model.records import Looked
from tagship.model.rollout import longest_step
from tagship.runtime import Event, Runtime, step


@step
def handler(event: Event, runtime: Runtime) -> Event:
    """Returns nothing: the state machine waits for people, or until the next look at health.

    Raises LockLost if another execution has taken the release over, LedgerBusy if the pause has just changed.
    """
    release, deployment, settings = event["release"], event["deployment"], runtime.settings
    ledger, now, execution = runtime.ledger, runtime.now(), event["execution"]
    work = longest_step(deployment["bake"], every=deployment["every"], health_seconds=settings.health_seconds)
    lock.renew(
        ledger,
        application=release["application"],
        fence=deployment["fence"],
        seconds=event["lookIn"] + work + settings.rollback_seconds + lock.SPARE_SECONDS,
    )
    record, stepfunctions = releases.of_attempt(ledger, release), runtime.aws.client("stepfunctions")
    request = asked_people(
        ledger, record, shift=deployment["next"], random=runtime.random, execution=execution
    )
    if request is None:
        go_on(stepfunctions, event["taskToken"])
        return {}
    looked = Looked(at=timestamp(now), checks=shortly(event["results"]))
    due = reminders_due(request, now)
    approvals.waits_on(ledger, request["id"], event["taskToken"], looked=looked, reminders=due)
    if request["status"] == approvals.OPEN and seconds_left(request, now) <= 0:
        request = approvals.time_out(ledger, request, execution=execution)
    if request["status"] != approvals.OPEN:
        deliver(ledger, stepfunctions, request["id"])
    else:
        client = functools.partial(runtime.aws.client, config=QUICK)
        notify(ledger, {**request, "looked": looked}, client=client, settings=settings, now=now)
    return {}
