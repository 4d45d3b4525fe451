"""Puts an approved configuration in force: first in the ledger, then in Parameter Store."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import TYPE_CHECKING

from botocore.exceptions import ClientError

from tagship.aws.calls import calling, code_of
from tagship.deployment import recheck
from tagship.ledger import approvals, configurations, freezes, releases
from tagship.ledger.table import Ledger, digest_of
from tagship.model import schedule
from tagship.model.application import Gates
from tagship.model.errors import CalendarClosed, PlanChanged
from tagship.model.proposal import group_of
from tagship.model.records import ReleaseRecord, manifest_of
from tagship.model.release import Status, parameter_name

if TYPE_CHECKING:
    from mypy_boto3_ssm import SSMClient

Prove = Callable[[Ledger, ReleaseRecord, str], None]
"""Raises if the ledger's facts do not show that this digest was approved."""


def store(ledger: Ledger, ssm: SSMClient, record: ReleaseRecord, *, execution: str, prove: Prove) -> None:
    """Can run twice: the configuration in force stays, and an identical parameter is not written again.

    Raises what `prove` raises, PlanChanged if it was not approved, CalendarClosed during a freeze, LockLost if the
    configuration in force is no longer the one that its approvers compared it with.
    """
    if digest_of(record["proposal"]) != record["digest"]:
        raise PlanChanged(
            f"{record['application']} {record['tag']}: the configuration is not the one that was approved. "
            "Nothing was changed."
        )
    if record["status"] == Status.RUNNING:
        prove(ledger, record, recheck.prove_approved(ledger, record))
        _refuse_if_frozen(ledger, record)
        configurations.approve(ledger, record, approvers=_approvers(ledger, record), execution=execution)
    present = configurations.in_force(ledger, record["application"])
    fact = configurations.approval_of(ledger, record["application"], record["tag"])
    if fact is None or fact["data"]["digest"] != record["digest"]:
        raise PlanChanged(
            f"{record['application']} {record['tag']}: the ledger has no fact that it was approved. Nothing "
            "was changed."
        )
    if group_of(record["application"]):
        return  # groups are in the ledger alone
    if present is not None and present["tag"] == record["tag"]:  # else a newer one is, and this is late
        _write(ssm, parameter_name(record["stage"], record["application"]), record)


def _refuse_if_frozen(ledger: Ledger, record: ReleaseRecord) -> None:
    """Windows do not apply: they are about traffic, and none moves."""
    leave = schedule.leave(
        Gates(),
        freezes.standing(ledger, record["application"]),
        ledger.now(),
        since=None,
        emergency=bool(manifest_of(record).get("emergency")),
    )
    if leave.refused:
        raise CalendarClosed(
            f"{record['application']} {record['tag']}: {leave.closed} Nothing was changed. Propose it again "
            "when no freeze applies, or with --emergency."
        )
    if leave.closed:
        releases.override_calendar(ledger, record, closed=leave.closed)


def _approvers(ledger: Ledger, record: ReleaseRecord) -> tuple[str, ...]:
    request = approvals.get(ledger, record["approval"])
    decisions = request["decisions"] if request else ()
    return tuple(entry["approver"] for entry in decisions if entry["decision"] == "approve")


def _write(ssm: SSMClient, name: str, record: ReleaseRecord) -> None:
    with calling(f"Writing the parameter {name}"):
        if _stored(ssm, name) == record["digest"]:
            return
        ssm.put_parameter(
            Name=name,
            Value=json.dumps(record["proposal"], ensure_ascii=False, separators=(",", ":")),
            Type="String",
            Tier="Intelligent-Tiering",
            Overwrite=True,
            Description=f"{record['tag']}, proposed by {manifest_of(record)['author']}"[:1024],
        )


def _stored(ssm: SSMClient, name: str) -> str:
    """The digest of the parameter; empty if it does not exist or is not JSON."""
    try:
        return digest_of(json.loads(ssm.get_parameter(Name=name, WithDecryption=True)["Parameter"]["Value"]))
    except (ValueError, RecursionError, ArithmeticError):
        return ""
    except ClientError as error:
        if code_of(error) != "ParameterNotFound":
            raise
        return ""
