"""EndRelease: record the outcome, release the lock and close open requests; nothing is changed afterwards."""

from __future__ import annotations

from tagship.deployment.ending import end
from tagship.model.records import ReleaseKey
from tagship.model.release import Status
from tagship.runtime import Event, Runtime, name_of, step
from tagship.text.words import cause_in_words


@step
def handler(event: Event, runtime: Runtime) -> Event:
    """`{status, error, cause}`, with the cause in words. The first ending of a release is final.

    Raises TrafficMoved for an ending that says "nothing was changed" if the ledger says that traffic has moved: the
    release is then rolled back. Raises RollbackUnderway while a rollback that someone else started is running.
    """
    release, ending, execution = event["release"], event["ending"], event["execution"]
    status, why = end(
        runtime.ledger,
        ReleaseKey(application=release["application"], tag=release["tag"], attempt=release["attempt"]),
        status=Status(ending["status"]),
        why=cause_in_words(ending["cause"]),
        execution=execution,
        rollback=name_of(execution),
    )
    return {"status": status, "error": status.error, "cause": why}
