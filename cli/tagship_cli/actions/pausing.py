"""Pausing and resuming a rollout from the command line: orders in the ledger, honoured before the next step."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

from tagship.approval.request.delivery import deliver
from tagship.ledger import approvals, lock, pauses, releases
from tagship.model.errors import AwsUnavailable, TokenDead
from tagship_cli.failures import Failed, trying
from tagship_cli.place import Place

if TYPE_CHECKING:
    from tagship.model.records import PauseRecord, ReleaseRecord, StepData


def on_its_way(place: Place, application: str, tag: str | None) -> ReleaseRecord:
    """The release with this tag, or the one that has the application's lock.

    Raises Failed if there is none, or it is being rolled back.
    """
    with trying(f"Reading the ledger of {place.stage}"):
        holder = lock.holder(place.ledger, application)
        if tag is None and (holder is None or holder.kept or holder.upkeep):
            raise Failed(
                f"No release of {application} is being deployed in {place.stage}. Nothing was changed."
            )
        record = releases.get(place.ledger, application, tag or (holder.tag if holder else ""))
    if holder and holder.tag == record["tag"] and holder.rolls_back(place.now):
        raise Failed(f"{application} {record['tag']} is being rolled back. Nothing was changed.")
    return record


def step_before(record: ReleaseRecord, pause: PauseRecord) -> StepData:
    """The step at whose end a rollout pauses."""
    return record["plan"]["steps"][pause["before"] - 1]


def step_after(record: ReleaseRecord, pause: PauseRecord) -> StepData:
    """The step that a pause holds back."""
    return record["plan"]["steps"][pause["before"]]


def resumed(place: Place, record: ReleaseRecord, *, who: str, why: str) -> tuple[ReleaseRecord, bool]:
    """Continues a paused rollout, or takes back an order that has not taken effect.

    The release as it is then, and whether this call changed it; a pause that was continued before stays so.

    Raises Failed if there is nothing to resume.
    """
    title = f"{record['application']} {record['tag']}"
    with trying(f"Resuming {title}"):
        changed = pauses.withdraw(place.ledger, record, who=who, why=why) or _answered(
            place, record, who=who, why=why
        )
        record = releases.get(place.ledger, record["application"], record["tag"])
    pause = record.get("pause")
    if not changed and (pause is None or pause["state"] not in ("continued", "withdrawn")):
        raise Failed(f"{title} {_why_not(record)} Nothing was changed.")
    return record, changed


def _answered(place: Place, record: ReleaseRecord, *, who: str, why: str) -> bool:
    """The answer is in the ledger first; an execution that could not be woken finds it at its next look at health."""
    known = releases.get(place.ledger, record["application"], record["tag"]).get("pause")
    request = approvals.get(place.ledger, known["request"]) if known and "request" in known else None
    if request is None or request["status"] != approvals.OPEN:
        return False
    changed = approvals.resume(place.ledger, request, who=who, why=why)
    with suppress(TokenDead, AwsUnavailable):
        deliver(place.ledger, place.client("stepfunctions"), request["id"])
    return changed


def _why_not(record: ReleaseRecord) -> str:
    if record["status"] != "RUNNING":
        return f"has already ended {record['status']}."
    pause = record.get("pause")
    if pause is None:
        return "is not paused."
    if pause["state"] == "rejected":
        return f"is being rolled back: {pause.get('endedBecause') or 'the pause ended so'}."
    return "did not get an answer in time: its time-out decides."
