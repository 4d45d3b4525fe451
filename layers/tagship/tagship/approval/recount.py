"""Counts the decisions on a release again, from the chain of facts.

The request's own item has them too, but the public page can write it, and facts as well. So the policy is the one that
the release pinned, which the page cannot write; a decision is a fact after the one that people were asked, in an unbroken
chain; and an approval counts only with a valid proof (`tagship.approval.proof`).
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial

from tagship.approval.link import MacChecker, known_keys
from tagship.approval.proof import Notary, Proof
from tagship.approval.quorum import approvals, needed, outcome, policy_of, votes
from tagship.ledger import approvals as requests
from tagship.ledger import chain, groups
from tagship.ledger.table import Ledger, of_planning
from tagship.model.errors import ApprovalUnproven, ApproverLeft, PlanChanged
from tagship.model.facts import FactKind
from tagship.model.people import person
from tagship.model.records import Ballot, Decision, FactRecord, ReleaseRecord
from tagship.settings import Settings
from tagship.text.words import listed

_PARALLEL = 8
"""The most proofs that are verified at the same time."""
_DECISIONS = (FactKind.APPROVAL_GIVEN, FactKind.APPROVAL_GRANTED, FactKind.APPROVAL_REJECTED)


def prove_decisions(ledger: Ledger, record: ReleaseRecord, digest: str, *, notary: Notary) -> None:
    """Raises ApprovalUnproven unless the facts alone approve the release, PlanChanged where they approve another plan.

    Who has left a group since they were asked no longer counts: ApproverLeft where that leaves too few.
    """
    application, tag, attempt = record["application"], record["tag"], record["attempt"]
    planning = of_planning(record.get("planning", 1))
    request = ledger.fact(application, tag, attempt, FactKind.APPROVAL_REQUESTED, planning)
    if request is None or request["data"].get("approval") != record.get("approval"):
        raise _unproven(record, "nobody was asked")
    head, facts = chain.read(ledger, application, since=int(request["seq"]))
    if broken := chain.verify_end(application, facts, head=head):
        raise _unproven(record, f"the ledger's chain is broken: {broken.what}")
    if request["data"].get("digest") != digest:
        raise PlanChanged(
            f"{application} {tag}: the recorded approval is for a different plan than the one that would be "
            "deployed. Nothing was changed. Publish a new tag."
        )
    counted = _recounted(facts, record)
    found = groups.as_they_are(ledger, counted)
    requests.read_proofs_ahead(
        ledger,
        record["approval"],
        [vote["approver"] for vote in votes(found) if vote["decision"] == "approve"],
    )
    unproven = _unvouched(
        ledger,
        notary,
        record,
        digest,
        [vote for vote in votes(found) if vote["decision"] == "approve"],
    )
    nobody = {person(approver) for approver in unproven}
    found["decisions"] = [entry for entry in found["decisions"] if person(entry["approver"]) not in nobody]
    if outcome(found) == "approved":
        return
    if gone := [who for who in found.get("left") or () if _approved(counted, who)]:
        raise ApproverLeft(
            f"{application} {tag}: {listed(gone)} approved it and then left the group, so there are only "
            f"{_said(found, unproven)}. Nothing was changed. Ask again: tagship retry {application} {tag} --stage "
            f"{record['stage']}"
        )
    raise _unproven(record, _said(found, unproven))


def notary_of(settings: Settings, kms: MacChecker) -> Notary:
    """The verifier with this stack's keys."""
    return Notary(
        kms=kms,
        link_keys=known_keys(settings.link_key, *settings.other_link_keys),
        decision_key=settings.decision_key,
        stage=settings.stage,
    )


def _unvouched(
    ledger: Ledger, notary: Notary, record: ReleaseRecord, digest: str, approving: Sequence[Decision]
) -> list[str]:
    """The approvers without a valid proof. KMS verifies all proofs at the same time."""
    if not approving:
        return []
    proofs = [
        Proof.read(requests.proof_of(ledger, record["approval"], vote["approver"])) for vote in approving
    ]
    vouches = partial(notary.vouches, approval_id=record["approval"], digest=digest)
    with ThreadPoolExecutor(max_workers=min(len(approving), _PARALLEL)) as pool:
        vouched = pool.map(lambda proof, vote: vouches(proof, vote=vote), proofs, approving)
        return [vote["approver"] for vote, genuine in zip(approving, vouched, strict=True) if not genuine]


def _approved(found: Ballot, who: str) -> bool:
    approving = [entry["approver"] for entry in found["decisions"] if entry["decision"] == "approve"]
    return person(who) in map(person, approving)


def _recounted(facts: Sequence[FactRecord], record: ReleaseRecord) -> Ballot:
    """A request as its facts describe it, to which the quorum is applied."""
    requested, *later = facts
    of_this = [
        fact
        for fact in later
        if (fact["tag"], fact["attempt"]) == (record["tag"], record["attempt"])
        and fact["name"] in _DECISIONS
        and fact["data"].get("approval") == requested["data"]["approval"]
    ]
    return {
        **policy_of(record),
        "stage": record["stage"],
        "decisions": [_decision(fact) for fact in of_this],
    }


def _decision(fact: FactRecord) -> Decision:
    data = fact["data"]
    return {
        "approver": fact["who"],
        "decision": str(data.get("decision")),
        "reason": str(data.get("reason", "")),
        "at": fact["at"],
        "identity": str(data.get("identity", "")),
    }


def _said(found: Ballot, unproven: Sequence[str]) -> str:
    """`1 of 2 approvals: ana@example.com approved`."""
    words = {"approve": "approved", "reject": "rejected"}
    who = ", ".join(f"{vote['approver']} {words[vote['decision']]}" for vote in votes(found))
    counted = f"{approvals(found)} of {needed(found)} approvals" + (f": {who}" if who else "")
    return counted + (f"; there is no proof for the approval of {listed(unproven)}" if unproven else "")


def _unproven(record: ReleaseRecord, why: str) -> ApprovalUnproven:
    application = record["application"]
    return ApprovalUnproven(
        f"{application} {record['tag']}: the request says that it is approved, but the ledger's facts do not "
        f"confirm it ({why}). Nothing was changed. Someone may have tampered with the ledger: run `tagship "
        f"audit verify {application} --stage {record['stage']}`."
    )
