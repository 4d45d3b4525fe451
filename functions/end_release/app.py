"""EndRelease: write how it ended, free the lock, close what is open; from here nothing is changed any more."""

from __future__ import annotations

from tagship.ledger import approvals, releases
from tagship.model.errors import RollbackUnderway, TrafficMoved
from tagship.model.facts import FactKind
from tagship.model.release import Status
from tagship.runtime import Event, Runtime, name_of, step
from tagship.text.words import cause_in_words

_NOTHING_CHANGED = (Status.INVALID, Status.REJECTED, Status.EXPIRED, Status.SUPERSEDED)


@step
def handler(event: Event, runtime: Runtime) -> Event:
    """`{status, error, cause}`, the cause in words; the first ending of a release stands.

    Raises TrafficMoved for an ending that says "nothing was changed" where the ledger knows better: then it is rolled back;
    RollbackUnderway while a rollback that somebody else asked for is at it.
    """
    release, ending = event["release"], event["ending"]
    status, why = Status(ending["status"]), cause_in_words(ending["cause"])
    record = releases.get(runtime.ledger, release["application"], release["tag"])
    attempt = release["attempt"] or record["attempt"]  # 0: a rollback that never learnt which one it is about
    if record["attempt"] != attempt:
        return _as_it_ended(runtime, release, Status(ending["status"]), why)
    if record.get("approval"):
        approvals.close(
            runtime.ledger, record["approval"], status="CLOSED", why=why, execution=event["execution"]
        )
    if not releases.end(
        runtime.ledger,
        application=release["application"],
        tag=release["tag"],
        attempt=attempt,
        status=status,
        why=why,
        execution=event["execution"],
        data={
            "durations": releases.since(
                runtime.ledger,
                record,
                key=name_of(event["execution"]),
                RollbackDuration=FactKind.ROLLBACK_TRIGGERED,
            )
        },
        unless_moved=status in _NOTHING_CHANGED,
    ):
        record = releases.get(runtime.ledger, release["application"], release["tag"])
        if record["status"] == Status.RUNNING and record.get("moved") and status in _NOTHING_CHANGED:
            raise TrafficMoved(
                f"{release['application']} {release['tag']}: traffic has moved, so it is rolled back. {why}"
            )
        if record["status"] == Status.RUNNING:
            raise RollbackUnderway(
                f"{release['application']} {release['tag']} is being rolled back by somebody else, who writes its ending."
            )
        status, why = Status(record["status"]), record["why"]
    return {"status": status, "error": status.error, "cause": why}


def _as_it_ended(runtime: Runtime, release: Event, status: Status, why: str) -> Event:
    """This is late: the attempt has its ending, and the tag has begun again."""
    fact = releases.ending_of(runtime.ledger, release["application"], release["tag"], release["attempt"])
    if fact:
        status, why = Status(fact["data"]["status"]), fact["data"]["why"]
    return {"status": status, "error": status.error, "cause": why}
