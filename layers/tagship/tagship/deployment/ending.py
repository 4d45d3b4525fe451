"""Writes how a release ended, unless the ledger has an ending already: the first one is final."""

from __future__ import annotations

from tagship.ledger import approvals, releases
from tagship.ledger.table import Ledger
from tagship.model.errors import RollbackUnderway, TrafficMoved
from tagship.model.facts import FactKind
from tagship.model.records import ReleaseKey
from tagship.model.release import Status

_NOTHING_CHANGED = (Status.INVALID, Status.REJECTED, Status.EXPIRED, Status.SUPERSEDED)


def end(
    ledger: Ledger, release: ReleaseKey, *, status: Status, why: str, execution: str, rollback: str
) -> tuple[Status, str]:
    """Releases the lock and closes the request for approval. Returns the ending in the ledger, and why.

    `rollback` is the execution's own name, if it is a rollback's.

    Raises TrafficMoved for an ending that says "nothing was changed" if the ledger says that traffic has moved: the
    release is then rolled back. Raises RollbackUnderway while a rollback that someone else started is running.
    """
    application, tag = release["application"], release["tag"]
    record = releases.get(ledger, application, tag)
    attempt = release["attempt"] or record["attempt"]  # 0: a rollback that never learnt which one it is about
    if record["attempt"] != attempt:
        return _as_it_ended(ledger, release, status, why)
    for request in (record.get("approval"), record.get("pause", {}).get("request")):
        if request:
            approvals.close(ledger, request, status="CLOSED", why=why, execution=execution)
    began = releases.since(ledger, record, key=rollback, RollbackDuration=FactKind.ROLLBACK_TRIGGERED)
    if releases.end(
        ledger,
        application=application,
        tag=tag,
        attempt=attempt,
        status=status,
        why=why,
        execution=execution,
        data={"durations": began},
        unless_moved=status in _NOTHING_CHANGED,
        known=record,
    ):
        return status, why
    record = releases.get(ledger, application, tag)
    if record["status"] != Status.RUNNING:
        return Status(record["status"]), record["why"]
    if record.get("moved") and status in _NOTHING_CHANGED:
        raise TrafficMoved(f"{application} {tag}: traffic has moved, so it is rolled back. {why}")
    raise RollbackUnderway(
        f"{application} {tag} is already being rolled back; that rollback records its outcome."
    )


def _as_it_ended(ledger: Ledger, release: ReleaseKey, status: Status, why: str) -> tuple[Status, str]:
    """The call is late: the attempt has its ending, and the tag has a new attempt."""
    fact = releases.ending_of(ledger, release["application"], release["tag"], release["attempt"])
    return (Status(fact["data"]["status"]), fact["data"]["why"]) if fact else (status, why)
