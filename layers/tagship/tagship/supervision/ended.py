"""Ends a release whose execution has ended without writing an ending."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from tagship.aws.calls import calling, code_of
from tagship.ledger import approvals, lock, releases
from tagship.ledger.table import Ledger
from tagship.model.errors import ApplicationUnknown, EventNotUnderstood
from tagship.model.records import ReleaseRecord
from tagship.model.release import BY_CHARACTERS, WHY_CHARACTERS, Status, place_of
from tagship.supervision.starting import supervised
from tagship.text.plain import shorten

if TYPE_CHECKING:
    from mypy_boto3_stepfunctions import SFNClient

RollBack = Callable[..., bool]

_ENDINGS = ("ABORTED", "TIMED_OUT", "FAILED")
"""The statuses that the event rule delivers."""
_ARN = re.compile(r"arn:[a-z0-9-]+:states:[a-z0-9-]+:[0-9]{12}:execution:[^:\s]{1,80}:[^:\s]{1,80}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """How an execution ended, according to Step Functions."""

    execution: str
    status: str
    """ABORTED, TIMED_OUT or FAILED; GONE if AWS no longer knows the execution."""
    error: str = ""
    cause: str = ""

    @property
    def aborted(self) -> bool:
        """Whether a person stopped it."""
        return self.status == "ABORTED"

    def stopped_by(self) -> tuple[str, str]:
        """Who stopped it and why: `tagship abort` gives both, the console only the text that was typed, or nothing."""
        try:
            cause = json.loads(self.cause or "")
            return shorten(str(cause["by"]), BY_CHARACTERS), shorten(str(cause["why"]), WHY_CHARACTERS)
        except (ValueError, TypeError, KeyError, RecursionError):
            return "", shorten(self.cause, WHY_CHARACTERS)


def ended_in(detail: object, stepfunctions: SFNClient) -> tuple[Ended, dict[str, object]]:
    """How an execution ended, and its input, from Step Functions' status-change event.

    EventBridge omits a large input, and sometimes error and cause: they are then read from the execution.

    Raises EventNotUnderstood if it is not the end of an execution, AwsUnavailable.
    """
    found = dict(detail) if isinstance(detail, Mapping) else {}
    execution, status = found.get("executionArn"), found.get("status")
    if not isinstance(execution, str) or not _ARN.fullmatch(execution) or status not in _ENDINGS:
        raise EventNotUnderstood(
            f"This event is not the end of an execution: {execution!r:.200} {status!r:.40}."
        )
    names = {"ABORTED": ("input", "cause"), "FAILED": ("input", "error", "cause")}
    if not all(_text(found, name) for name in names.get(status, ("input",))):
        described = _described(execution, stepfunctions)
        found = {name: _text(found, name) or _text(described, name) for name in ("input", "error", "cause")}
    error, cause = _text(found, "error"), _text(found, "cause")
    ended = Ended(execution=execution, status=status, error=error, cause=cause)
    try:
        order = json.loads(_text(found, "input") or "{}")
    except (ValueError, RecursionError):  # refused when it was read
        return ended, {}
    return ended, order if isinstance(order, dict) else {}


def _text(found: Mapping[str, object], name: str) -> str:
    text = found.get(name)
    return text if isinstance(text, str) else ""


def _described(execution: str, stepfunctions: SFNClient) -> Mapping[str, object]:
    try:
        with calling("Looking at an execution"):
            return stepfunctions.describe_execution(executionArn=execution)
    except ClientError as error:
        if code_of(error) != "ExecutionDoesNotExist":
            raise
        return {}


def record_of(ledger: Ledger, order: Mapping[str, Any]) -> ReleaseRecord | None:
    """The release that an execution was started for; None if there is none, because it was refused when it was read."""
    try:
        named = order.get("proposal", order)
        application, tag = place_of(order["key"]) if "key" in order else (named["application"], named["tag"])
        known = isinstance(application, str) and isinstance(tag, str)
        return releases.get(ledger, application, tag) if known else None
    except (ApplicationUnknown, KeyError, TypeError, ValueError):
        return None


def brought_to_an_end(
    ledger: Ledger,
    record: ReleaseRecord | None,
    ended: Ended,
    order: Mapping[str, object],
    *,
    roll_back: RollBack,
) -> dict[str, str]:
    """Completes whatever an ended execution, of either machine, left open; a second call changes nothing."""
    if record is None:
        return _nothing("The execution has no release in the ledger.")
    if "key" in order or "proposal" in order:
        return release_ended(ledger, record, ended, roll_back=roll_back)
    return rollback_ended(ledger, record, ended)


def release_ended(
    ledger: Ledger, record: ReleaseRecord, ended: Ended, *, roll_back: RollBack
) -> dict[str, str]:
    """Restores the baseline if traffic may have moved; otherwise writes the ending, releases the lock and closes the
    approval.

    The same event twice has an effect once.
    """
    if not _is_left(record, ended):
        return _ended_before(record)
    who, why = _who_and_why(f"{record['application']} {record['tag']}", ended)
    if not record.get("moved"):
        if record.get("approval"):
            approvals.close(ledger, record["approval"], status="CLOSED", why=why)
        if releases.end(
            ledger,
            application=record["application"],
            tag=record["tag"],
            attempt=record["attempt"],
            status=Status.ABORTED if ended.aborted else Status.of_error(ended.error) or Status.INVALID,
            why=f"{why} Nothing was changed.",
            execution=ended.execution,
            who=who or "supervisor",
            unless_moved=True,
        ):
            return {"did": "ended", "why": why}
        # A function that was running when its execution was stopped continues, and may just have moved traffic.
        record = releases.get(ledger, record["application"], record["tag"])
        if not _is_left(record, ended) or not record.get("moved"):
            return _ended_before(record)
    roll_back(record, trigger="abort" if ended.aborted else "supervisor", why=why, by=who or "supervisor")
    return {"did": "rollback", "why": why}


def _is_left(record: ReleaseRecord, ended: Ended) -> bool:
    return bool(record["execution"] == ended.execution and record["status"] == Status.RUNNING)


def _ended_before(record: ReleaseRecord) -> dict[str, str]:
    release = f"{record['application']} {record['tag']}"
    return _nothing(
        f"{release} is {record['status']}, belongs to another execution, or is being rolled back."
    )


def rollback_ended(ledger: Ledger, record: ReleaseRecord, ended: Ended) -> dict[str, str]:
    """A running rollback has the lock; one that has written its ending has released it, or keeps it for a person.

    If a rollback that the supervisor started ended before it began, nothing else would handle that release.
    """
    release = f"{record['application']} {record['tag']}"
    holder = lock.holder(ledger, record["application"])
    cut_off = holder is not None and holder.execution == ended.execution and not holder.kept
    at_it = holder is not None and holder.execution != ended.execution and holder.rolls_back(ledger.now())
    own = ended.execution.endswith(f":{supervised(record['execution'])}")
    stranded = record["status"] == Status.RUNNING and own and not at_it
    if not cut_off and not stranded:
        return _nothing(f"The rollback of {release} did not start, or its outcome is already recorded.")
    why = (
        f"The rollback of {release} ended {ended.status} before it was finished. It is not known which version "
        "serves traffic. Check the target, then roll back the release again."
    )
    releases.end(
        ledger,
        application=record["application"],
        tag=record["tag"],
        attempt=record["attempt"],
        status=Status.ROLLBACK_FAILED,
        why=why,
        execution=ended.execution,
        who="supervisor",
    )
    return {"did": "ended", "why": why}


def _who_and_why(release: str, ended: Ended) -> tuple[str, str]:
    if not ended.aborted:
        return "", f"{release}: the execution ended {ended.status} without recording an outcome."
    who, why = ended.stopped_by()
    by = f" by {who}" if who else " by a person"
    return who, f"{release}: the execution was stopped{by}{f': {why}' if why else ''}.".replace("..", ".")


def _nothing(why: str) -> dict[str, str]:
    return {"did": "nothing", "why": why}
