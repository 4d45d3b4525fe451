"""Ends an older release that only waits, for people or for its window, so that a newer one need not wait for it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tagship.approval.request.delivery import deliver
from tagship.ledger import approvals, releases
from tagship.ledger.table import Ledger
from tagship.model.release import Status

if TYPE_CHECKING:
    from mypy_boto3_stepfunctions import SFNClient


def supersede(
    ledger: Ledger, stepfunctions: SFNClient, application: str, older: str, *, by: str, execution: str
) -> None:
    """Does nothing where the older one has ended, or is at work: one that waits has moved nothing."""
    record = releases.get(ledger, application, older)
    why = f"Superseded by {application} {by}."
    if record["status"] != Status.RUNNING:
        return
    if record.get("phase") == "approval":
        approvals.close(ledger, record["approval"], status="SUPERSEDED", why=why, execution=execution)
        deliver(ledger, stepfunctions, record["approval"])
    elif record.get("phase") == releases.DELAYED:
        # It finds its ending when it looks again. From now on its fencing number is old: it can change nothing until then.
        releases.end(
            ledger,
            application=application,
            tag=older,
            attempt=record["attempt"],
            status=Status.SUPERSEDED,
            why=why,
            execution=record["execution"],
            only_in=releases.DELAYED,
        )
