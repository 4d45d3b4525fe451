"""CompleteRelease: the candidate serves all traffic and is healthy; it is what production runs from here on."""

from __future__ import annotations

from datetime import timedelta

from tagship.deployment.locations import location_of
from tagship.ledger import releases, watches
from tagship.ledger.table import Change, timestamp
from tagship.model.application import Application
from tagship.model.errors import LockLost
from tagship.model.facts import FactKind
from tagship.model.release import Status
from tagship.runtime import Event, Runtime, step


@step
def handler(event: Event, runtime: Runtime) -> Event:
    """Moves the current revision, writes the ending, frees the lock and opens the watch, all in one.

    Raises LockLost when the release is another's by now: it was rolled back, or is just being.
    """
    release = event["release"]
    record = releases.get(runtime.ledger, release["application"], release["tag"])
    plan = record["plan"]
    why = (
        f"{release['application']} {release['tag']} runs the code that production ran already; nothing had to change."
        if plan["nothingToChange"]
        else f"{release['application']} {release['tag']} serves all traffic and is healthy."
    )
    since = timestamp(runtime.now())
    until, watch = _watch(runtime, record, since=since)
    ended = releases.end(
        runtime.ledger,
        application=release["application"],
        tag=release["tag"],
        attempt=release["attempt"],
        status=Status.SUCCEEDED,
        why=why,
        execution=event["execution"],
        serves={
            "application": release["application"],
            "tag": release["tag"],
            "attempt": release["attempt"],
            "revision": location_of(record)["candidate"],
            "since": since,
            "watchEnds": until,
        },
        also=watch,
        data={
            "from": plan["from"],
            "commit": record["manifest"]["commit"],
            "durations": {
                "LeadTime": record["manifest"]["createdAt"],
                **releases.since(runtime.ledger, record, DeploymentDuration=FactKind.DEPLOYMENT_STARTED),
            },
        },
    )
    if (
        not ended
        and releases.get(runtime.ledger, release["application"], release["tag"])["status"] != Status.SUCCEEDED
    ):
        raise LockLost(
            f"{release['application']} {release['tag']} can't succeed: it was rolled back meanwhile, or is just being."
        )
    return {"status": Status.SUCCEEDED, "why": why}


def _watch(runtime: Runtime, record: Event, *, since: str) -> tuple[str, list[Change]]:
    """Until when alarms still take this release back; never where it has changed nothing, and nothing can be undone."""
    application = Application.from_dict(record["configuration"]["document"])
    wanted, target = application.health.watch, application.target
    if record["plan"]["nothingToChange"] or not (wanted.seconds and wanted.alarms):
        return "", []
    until = timestamp(runtime.now() + timedelta(seconds=wanted.seconds))
    alarms = [(target.account, target.region, name) for name in wanted.alarms]
    return until, watches.opened(runtime.ledger, record, alarms=alarms, since=since, until=until)
