"""Who counts, who is missing, and how it stands: pure functions of a request for approval."""

from __future__ import annotations

from typing import Literal

from tagship.approval.errors import QuorumUnreachable
from tagship.model.people import counts, person
from tagship.model.records import (
    Ballot,
    Decision,
    NewRelease,
    NewRequest,
    Policy,
    Voters,
    document_of,
    manifest_of,
)

Outcome = Literal["approved", "rejected", "open"]


def is_author(record: Voters, approver: str) -> bool:
    """Whether this is who made the release."""
    return person(approver) == person(record.get("author") or "")


def voters(record: Voters) -> list[str]:
    """The approvers that count, each once, in the record's order and spelling."""
    seen: dict[str, str] = {}
    for approver in record["approvers"]:
        if record.get("authorMayApprove") is True or not is_author(record, approver):
            seen.setdefault(person(approver), approver)
    return list(seen.values())


def votes(record: Ballot) -> list[Decision]:
    """The decisions that count: the first one of each voter, in the order in which they were made."""
    counting = {person(voter) for voter in voters(record)}
    seen: dict[str, Decision] = {}
    for decision in record.get("decisions") or ():
        who = person(decision["approver"])
        known = decision["decision"] in ("approve", "reject") and counts(decision, stage=record["stage"])
        if who in counting and known:
            seen.setdefault(who, decision)
    return list(seen.values())


def decision_of(record: Ballot, approver: str) -> Decision | None:
    """What this approver decided, if it counts."""
    return next((vote for vote in votes(record) if person(vote["approver"]) == person(approver)), None)


def approvals(record: Ballot) -> int:
    """How many have approved."""
    return sum(vote["decision"] == "approve" for vote in votes(record))


def missing(record: Ballot) -> list[str]:
    """The voters that have not decided."""
    decided = {person(vote["approver"]) for vote in votes(record)}
    return [voter for voter in voters(record) if person(voter) not in decided]


def outcome(record: Ballot) -> Outcome:
    """How the decisions stand; one rejection ends it, and nothing is ever approved by nobody."""
    if any(vote["decision"] == "reject" for vote in votes(record)):
        return "rejected"
    return "approved" if approvals(record) >= max(1, int(record["required"])) else "open"


def policy_of(record: NewRelease) -> Policy:
    """Who decides on a release and how many must agree, by the configuration that the release pinned."""
    manifest, policy = manifest_of(record), document_of(record)["approval"]
    found: Policy = {
        "approvers": policy["approvers"],
        "required": policy["required"],
        "authorMayApprove": policy["authorMayApprove"],
        "author": manifest["author"],
    }
    if manifest.get("emergency"):  # who passes freezes and windows needs everybody
        found["required"] = max(policy["required"], len(voters(found)))
    return found


def check_reachable(record: NewRequest) -> None:
    """Say before anyone is asked that there can't be enough approvals.

    Raises:
        QuorumUnreachable: fewer people count than must approve, or nobody would have to.
    """
    able, required = len(voters(record)), int(record["required"])
    release = f"{record['application']} {record['tag']}"
    if required < 1:
        raise QuorumUnreachable(
            f"{release}: approval.required is {required}. At least one approval is required. Nobody was asked "
            "and nothing was changed. Set it to 1 or more and apply the configuration."
        )
    if able < required:
        without = (
            ""
            if record.get("authorMayApprove") is True
            else f", not counting the author {record.get('author')}"
        )
        raise QuorumUnreachable(
            f"{release} needs {required} approvals, but only {able} of its approvers can decide{without}. "
            "Nobody was asked and nothing was changed. Add approvers or lower approval.required, apply the "
            "configuration, then publish a new tag."
        )
