"""CompleteRelease: the candidate serves all traffic and is healthy; record it as the version in production."""

from __future__ import annotations

from tagship.deployment.completing import complete
from tagship.model.records import ReleaseKey
from tagship.model.release import Status
from tagship.runtime import Event, Runtime, step


@step
def handler(event: Event, runtime: Runtime) -> Event:
    """`{status, why}`.

    Raises LockLost when the release is another's by now: it was rolled back, or is just being.
    """
    release = event["release"]
    key = ReleaseKey(application=release["application"], tag=release["tag"], attempt=release["attempt"])
    return {"status": Status.SUCCEEDED, "why": complete(runtime.ledger, key, execution=event["execution"])}
