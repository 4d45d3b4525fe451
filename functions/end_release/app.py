"""EndRelease: record the outcome, release the lock and close open requests; nothing is changed afterwards."""

from __future__ import annotations

from tagship.deployment.ending import end
from tagship.model.records import ReleaseKey
from tagship.model.release import Status
from tagship.runtime import Event, Runtime, name_of, step
from tagship.text.words import cause_in_words


@step
def handler(event: Event, runtime: Runtime) -> Event:
    """`{status, error, cause}`, the cause in words; the first ending of a release stands.

    Raises TrafficMoved for an ending that says "nothing was changed" where the ledger knows better: then it is rolled back;
    RollbackUnderway while a rollback that somebody else asked for is running.
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
