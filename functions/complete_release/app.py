"""CompleteRelease: the candidate serves all traffic and is healthy; record it as the version in production."""

from __future__ import annotations

from tagship.deployment.completing import complete
from tagship.model.records import ReleaseKey
from tagship.model.release import Status
from tagship.runtime import Event, Runtime, step


@step
def handler(event: Event, runtime: Runtime) -> Event:
    """`{status, why}`.

    Raises LockLost if another execution has taken the release over: it was, or is being, rolled back.
    """
    release = event["release"]
    key = ReleaseKey(application=release["application"], tag=release["tag"], attempt=release["attempt"])
    return {"status": Status.SUCCEEDED, "why": complete(runtime.ledger, key, execution=event["execution"])}
