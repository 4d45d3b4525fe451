"""The last check before traffic moves: what was approved is unchanged, and may be deployed now."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime

from tagship.deployment.binding import release_digest
from tagship.ledger import approvals, configurations, groups, releases
from tagship.ledger.table import Fact, Ledger, timestamp
from tagship.model import schedule
from tagship.model.application import Application
from tagship.model.errors import CalendarClosed, PlanChanged
from tagship.model.facts import FactKind
from tagship.model.records import ReleaseRecord, manifest_of
from tagship.model.schedule import Freeze, Leave


def prove_approved(ledger: Ledger, record: ReleaseRecord) -> str:
    """The digest of what would be deployed. Raises PlanChanged unless the request shows that exactly this is approved."""
    approvals.read_ahead(ledger, record)
    request, digest = approvals.get(ledger, record["approval"]), release_digest(record, record["plan"])
    if request is None or request["status"] != "APPROVED" or request["digest"] != digest:
        raise PlanChanged(
            f"{record['application']} {record['tag']}: what would be deployed is not what was approved. Nothing was "
            "changed. Publish a new tag."
        )
    return digest


def prove_configured(ledger: Ledger, record: ReleaseRecord, *, guarded: bool) -> None:
    """In a stage that guards configurations, raises PlanChanged unless a fact shows that the configuration with which this
    release was read was approved.
    """
    if not guarded:
        return
    configuration = record["configuration"]
    fact = configurations.approval_of(ledger, record["application"], configuration.get("approved", ""))
    if fact is None or fact["data"].get("digest") != configuration.get("digest"):
        raise PlanChanged(
            f"{record['application']} {record['tag']}: it was read with a configuration that was never "
            "approved. Nothing was changed. Propose the configuration with `tagship apply`. Then publish a "
            "new tag."
        )
    for name, group in (configuration.get("groups") or {}).items():
        if not groups.is_approved(ledger, name, group):
            raise PlanChanged(
                f"{record['application']} {record['tag']}: it was read with a group {name} that was never approved. "
                "Nothing was changed. Propose the group with `tagship apply`. Then publish a new tag."
            )


def may_begin(
    ledger: Ledger,
    record: ReleaseRecord,
    configuration: Application,
    frozen: Callable[[], Sequence[Freeze]],
) -> Leave:
    """Whether it may be deployed now. If it waits, this writes that, and for what. `frozen` returns the freezes that apply.

    Raises CalendarClosed for a release that does not wait, or has waited too long.
    """
    if record["phase"] == releases.BEGUN:  # its response was lost: a started deployment continues
        return Leave()
    waits = record.get("waits")
    leave = schedule.leave(
        configuration.gates,
        frozen(),
        ledger.now(),
        since=datetime.fromisoformat(waits["since"]) if waits else None,
        emergency=bool(manifest_of(record).get("emergency")),
    )
    if leave.refused:
        raise CalendarClosed(
            f"{record['application']} {record['tag']}: {leave.closed} Nothing was changed. Publish a new tag "
            "when it can be deployed."
        )
    if leave.opens:
        releases.delay(ledger, record, why=leave.closed, opens=timestamp(leave.opens))
    return leave


def take_lock(ledger: Ledger, record: ReleaseRecord, attempt: int, execution: str, *, seconds: int) -> int:
    """The fencing number of the lock. Raises the errors of `releases.take_lock`."""
    return releases.take_lock(ledger, record, attempt=attempt, execution=execution, seconds=seconds).fence


def begin(ledger: Ledger, record: ReleaseRecord, leave: Leave, *, deadline: str, execution: str) -> None:
    """Records that the deployment begins, and first, for an emergency, what it overrides.

    Raises LockLost if the release has ended meanwhile.
    """
    if leave.closed:
        releases.override_calendar(ledger, record, closed=leave.closed)
    fact = Fact(
        application=record["application"],
        tag=record["tag"],
        attempt=record["attempt"],
        name=FactKind.DEPLOYMENT_STARTED,
        execution=execution,
        data={"steps": record["plan"]["steps"], "deadline": deadline},
    )
    releases.mark(ledger, fact, phase=releases.BEGUN, deadline=deadline)
