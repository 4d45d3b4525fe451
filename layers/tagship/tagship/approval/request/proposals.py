"""Only the newest proposal of an application waits for approval: it was written with knowledge of the others."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

from tagship.approval.request.delivery import deliver
from tagship.ledger import approvals, configurations
from tagship.ledger.table import Ledger
from tagship.model.errors import TokenDead
from tagship.model.proposal import number_of
from tagship.model.records import RequestRecord
from tagship.model.release import Status

if TYPE_CHECKING:
    from mypy_boto3_stepfunctions import SFNClient


def only_newest(ledger: Ledger, stepfunctions: SFNClient, request: RequestRecord) -> RequestRecord:
    """The request's record afterwards: closed if a newer proposal exists. This also closes older ones.

    Whichever of two calls comes first, the older one is closed. A release's request is returned unchanged.
    """
    number = number_of(request["tag"])
    if not number:
        return request
    running = [
        record
        for record in configurations.proposals(ledger, request["application"])
        if record["status"] == Status.RUNNING
    ]
    for record in running:
        why = f"Superseded by {request['application']} {request['tag']}."
        if number_of(record["tag"]) < number and record.get("approval"):
            approvals.close(ledger, record["approval"], status="SUPERSEDED", why=why)
            with suppress(TokenDead):  # its next call delivers it
                deliver(ledger, stepfunctions, record["approval"])
    newest = max((number_of(record["tag"]) for record in running), default=number)
    if newest <= number:
        return request
    why = f"Superseded by {request['application']} configuration-{newest}."
    return approvals.close(ledger, request["id"], status="SUPERSEDED", why=why)
