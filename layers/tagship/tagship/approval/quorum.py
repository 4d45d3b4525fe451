"""Who counts, who is missing, and how it stands: pure functions of an approval record."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from tagship.approval.errors import QuorumUnreachable
from tagship.model.people import counts, person

Record = Mapping[str, Any]
Outcome = Literal["approved", "rejected", "open"]


def is_author(record: Record, approver: str) -> bool:
    """Whether this is who made the release."""
    return person(approver) == person(record.get("author") or "")


def voters(record: Record) -> list[str]:
    """The approvers that count, each once, in the record's order and spelling."""
    seen: dict[str, str] = {}
    for approver in record["approvers"]:
        if record.get("authorMayApprove") is True or not is_author(record, approver):
            seen.setdefault(person(approver), approver)
    return list(seen.values())


def votes(record: Record) -> list[Mapping[str, Any]]:
    """The decisions that count: the first one of each voter, in the order in which they were made."""
    counting = {person(voter) for voter in voters(record)}
    seen: dict[str, Mapping[str, Any]] = {}
    for decision in record.get("decisions") or ():
        who = person(decision["approver"])
        known = decision["decision"] in ("approve", "reject") and counts(decision, stage=record["stage"])
        if who in counting and known:
            seen.setdefault(who, decision)
    return list(seen.values())


def decision_of(record: Record, approver: str) -> Mapping[str, Any] | None:
    """What this approver decided, if it counts."""
    return next((vote for vote in votes(record) if person(vote["approver"]) == person(approver)), None)


def approvals(record: Record) -> int:
    """How many have approved."""
    return sum(vote["decision"] == "approve" for vote in votes(record))


def missing(record: Record) -> list[str]:
    """The voters that have not decided."""
    decided = {person(vote["approver"]) for vote in votes(record)}
    return [voter for voter in voters(record) if person(voter) not in decided]


def outcome(record: Record) -> Outcome:
    """How the decisions stand; one rejection ends it, and nothing is ever approved by nobody."""
    if any(vote["decision"] == "reject" for vote in votes(record)):
        return "rejected"
    return "approved" if approvals(record) >= max(1, int(record["required"])) else "open"


def policy_of(record: Mapping[str, Any]) -> dict[str, Any]:
    """Who decides on a release and how many must agree, by the configuration that the release pinned."""
    manifest, policy = record["manifest"], record["configuration"]["document"]["approval"]
    found: dict[str, Any] = {
        "approvers": policy["approvers"],
        "required": policy["required"],
        "authorMayApprove": policy["authorMayApprove"],
        "author": manifest["author"],
    }
    if manifest.get("emergency"):  # who passes freezes and windows needs everybody
        found["required"] = max(policy["required"], len(voters(found)))
    return found


def check_reachable(record: Record) -> None:
    """Say before anyone is asked that there can't be enough approvals.

    Raises:
        QuorumUnreachable: fewer people count than must approve, or nobody would have to.
    """
    able, required = len(voters(record)), int(record["required"])
    release = f"{record['application']} {record['tag']}"
    if required < 1:
        raise QuorumUnreachable(
            f"{release}: approval.required is {required}. At least one approval is needed; "
            "nobody was asked and nothing was changed. Set it to 1 or more and apply."
        )
    if able < required:
        without = (
            ""
            if record.get("authorMayApprove") is True
            else f", not counting the author {record.get('author')}"
        )
        raise QuorumUnreachable(
            f"{release} needs {required} approvals, but only {able} of its approvers can decide{without}. "
            "Nobody was asked and nothing was changed. Add approvers or lower approval.required, apply, "
            "and publish under a new tag."
        )
