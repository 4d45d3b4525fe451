"""CompleteRelease: the candidate serves all traffic and is healthy; it is what production runs from here on."""

from __future__ import annotations

from tagship.ledger import releases
from tagship.ledger.table import timestamp
from tagship.release import Status
from tagship.runtime import Event, Runtime, step


@step
def handler(event: Event, runtime: Runtime) -> Event:
    """Moves the current revision, writes the ending and frees the lock, all in one."""
    release = event["release"]
    record = releases.get(runtime.ledger, release["application"], release["tag"])
    plan = record["plan"]
    why = (
        f"{release['application']} {release['tag']} runs the code that production ran already; nothing had to change."
        if plan["nothingToChange"]
        else f"{release['application']} {release['tag']} serves all traffic and is healthy."
    )
    releases.end(
        runtime.ledger,
        application=release["application"],
        tag=release["tag"],
        status=Status.SUCCEEDED,
        why=why,
        execution=event["execution"],
        serves={
            "application": release["application"],
            "tag": release["tag"],
            "attempt": release["attempt"],
            "revision": plan["candidate"],
            "since": timestamp(runtime.now()),
        },
        data={
            "from": plan["from"],
            "commit": record["manifest"]["commit"],
            "durations": {
                "LeadTime": record["manifest"]["createdAt"],
                **releases.since(runtime.ledger, record, DeploymentDuration="Deployment Started"),
            },
        },
    )
    return {"status": Status.SUCCEEDED, "why": why}
