"""The decisions on a release, counted again from the chain of facts.

The request's own item says the same, but the page that faces the internet may write it. So nothing of the item counts here:
the policy is the one in the fact that approvers were asked, and a decision is a fact after it, in an unbroken chain.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from tagship.approval.quorum import approvals, outcome, votes
from tagship.ledger import chain
from tagship.ledger.table import Ledger
from tagship.model.errors import ApprovalUnproven, PlanChanged
from tagship.model.facts import FactKind
from tagship.model.records import Decision, FactRecord, ReleaseRecord

_DECISIONS = (FactKind.APPROVAL_GIVEN, FactKind.APPROVAL_GRANTED, FactKind.APPROVAL_REJECTED)


def prove_decisions(ledger: Ledger, record: ReleaseRecord, digest: str) -> None:
    """Raises ApprovalUnproven unless the facts alone approve the release, PlanChanged where they approve another plan."""
    application, tag, attempt = record["application"], record["tag"], record["attempt"]
    asked = ledger.fact(application, tag, attempt, FactKind.APPROVAL_REQUESTED)
    if asked is None or asked["data"].get("approval") != record.get("approval"):
        raise _unproven(record, "nobody was asked")
    head, facts = chain.read(ledger, application, since=int(asked["seq"]))
    if broken := chain.verify_end(application, facts, head=head):
        raise _unproven(record, f"the ledger's chain is broken: {broken.what}")
    found = _recounted(facts, record)
    if outcome(found) != "approved":
        raise _unproven(record, _said(found))
    if found["digest"] != digest:
        raise PlanChanged(
            f"{application} {tag}: the facts approve another plan than the one that would be deployed. Nothing was changed. "
            "Publish a new tag."
        )


def _recounted(facts: Sequence[FactRecord], record: ReleaseRecord) -> dict[str, Any]:
    """A request as its facts have it: what the quorum is judged by."""
    asked, *later = facts
    of_this = [
        fact
        for fact in later
        if (fact["tag"], fact["attempt"]) == (record["tag"], record["attempt"])
        and fact["name"] in _DECISIONS
        and fact["data"].get("approval") == asked["data"]["approval"]
    ]
    policy = {
        name: asked["data"].get(name)
        for name in ("approvers", "required", "author", "authorMayApprove", "digest")
    }
    return policy | {"stage": asked["stage"], "decisions": [_decision(fact) for fact in of_this]}


def _decision(fact: FactRecord) -> Decision:
    data = fact["data"]
    return {
        "approver": fact["who"],
        "decision": str(data.get("decision")),
        "reason": str(data.get("reason", "")),
        "at": fact["at"],
        "identity": str(data.get("identity", "")),
    }


def _said(found: Mapping[str, Any]) -> str:
    """`1 of 2 approvals: ana@example.com approved`."""
    words = {"approve": "approved", "reject": "rejected"}
    who = ", ".join(f"{vote['approver']} {words[vote['decision']]}" for vote in votes(found))
    return f"{approvals(found)} of {found['required']} approvals" + (f": {who}" if who else "")


def _unproven(record: ReleaseRecord, why: str) -> ApprovalUnproven:
    application = record["application"]
    return ApprovalUnproven(
        f"{application} {record['tag']}: the request says that it is approved, and the ledger's facts do not show it "
        f"({why}). Nothing was changed. Somebody may have written to the ledger: run "
        f"`tagship audit verify {application} --stage {record['stage']}`."
    )
