"""RecheckRelease trusts the decisions in the chain of facts, not the word APPROVED in the request's item."""

from __future__ import annotations

from collections.abc import Iterator
from secrets import token_bytes
from typing import Any

import pytest

from tagship.approval.link import Token, known_keys
from tagship.approval.proof import LINK, Notary, Proof
from tagship.approval.quorum import outcome
from tagship.approval.recount import prove_decisions
from tagship.approval.request.request import request_of
from tagship.deployment.binding import release_digest
from tagship.deployment.recheck import prove_approved
from tagship.ledger import approvals, releases
from tagship.ledger.table import Fact, Ledger, digest_of
from tagship.model.errors import ApprovalUnproven, IdentityUnproven, PlanChanged
from tagship.model.facts import FactKind
from tagship.model.people import person
from tests.unit.approval.builders import ANA, BO, CHI, KEY, STAGE, FakeKms, link
from tests.unit.builders import EXECUTION, application, configured, locations, record
from tests.unit.tables import Clock, ledger_table

PLAN = {
    "locations": locations("1", "2"),
    "nothingToChange": False,
    "summary": ["version 1 → version 2"],
    "steps": [{"percent": 100, "bake": 0}],
    "from": "v1.3.0",
    "to": "v1.4.0",
}
CLAIMED = "claimed arn:aws:sts::123456789012:assumed-role/Developer/ana@example.com"
STOREFRONT = {"pk": "APPLICATION#storefront"}
NOTARY = Notary(kms=FakeKms(), link_keys=known_keys(KEY), decision_key="decisions", stage=STAGE)


@pytest.fixture
def ledger() -> Iterator[Ledger]:
    with ledger_table() as client:
        yield Ledger(
            client=client, table="ledger", stage="production", now=Clock(), pause=lambda seconds: None
        )


def asked(ledger: Ledger, **policy: Any) -> str:
    """A planned release that two of ana, bo and chi must approve; the id of its request."""
    policy = {"approvers": [ANA, BO, CHI], "required": 2} | policy
    known = record(configuration=configured(application(approval=policy)))
    releases.claim(ledger, known)
    plan = PLAN | {"digest": release_digest(known, PLAN)}
    ledger.write(
        ledger.update(STOREFRONT["pk"], "RELEASE#v1.4.0", only_if="attribute_exists(pk)", plan=plan, gates=[])
    )
    new_request = request_of(
        releases.get(ledger, "storefront", "v1.4.0"), now=ledger.now(), longest=3600, random=token_bytes
    )
    approvals.request(ledger, new_request, execution=EXECUTION)  # type: ignore[arg-type]
    return str(new_request["id"])


def decide(ledger: Ledger, approval: str, approver: str, decision: str = "approve", **more: Any) -> None:
    """With the link that this approver was sent."""
    more = {"proof": proof_of(ledger, approval, approver)} | more
    approvals.decide(ledger, approval, approver=approver, decision=decision, reason="", judge=outcome, **more)


def proof_of(ledger: Ledger, approval: str, approver: str) -> dict[str, Any]:
    request = approvals.get(ledger, approval)
    assert request is not None
    return Proof.of_token(LINK, Token.parse(link(request, approver))).stored()


def write_approved(ledger: Ledger, approval: str, **more: Any) -> None:
    """What the page's role can write: any attribute of the request's item."""
    by = [
        {"approver": who, "decision": "approve", "reason": "", "at": "2026-11-23T10:00:00.000Z"}
        for who in (ANA, BO)
    ]
    forged = {"status": "APPROVED", "decisions": by} | more
    ledger.write(ledger.update(f"APPROVAL#{approval}", "APPROVAL", only_if="attribute_exists(pk)", **forged))


def put(ledger: Ledger, item: dict[str, Any]) -> None:
    change = ledger.put(item)["Put"]
    ledger.client.put_item(TableName=change["TableName"], Item=change["Item"])


def stored(ledger: Ledger, key: str) -> dict[str, Any]:
    return dict(ledger.get(STOREFRONT["pk"], f"FACT#v1.4.0#0001#{key}") or {})


def prove(ledger: Ledger) -> None:
    release = releases.get(ledger, "storefront", "v1.4.0")
    prove_decisions(ledger, release, prove_approved(ledger, release), notary=NOTARY)


def refused(ledger: Ledger, why: str) -> None:
    with pytest.raises(ApprovalUnproven, match=why) as found:
        prove(ledger)
    assert "storefront v1.4.0" in str(found.value)
    assert "Nothing was changed." in str(found.value)


def test_an_approved_release_passes_even_while_others_write(ledger):
    approval = asked(ledger)
    decide(ledger, approval, ANA)
    ledger.record(Fact(application="storefront", tag="v1.5.0", attempt=1, name=FactKind.LINK_REFUSED))
    decide(ledger, approval, BO)
    ledger.record(Fact(application="storefront", tag="v1.5.0", attempt=2, name=FactKind.LINK_REFUSED))
    prove(ledger)


@pytest.mark.parametrize(
    "forged",
    [{}, {"required": 1}, {"approvers": ["eve@example.com"], "required": 1}, {"authorMayApprove": True}],
    ids=str,
)
def test_an_approval_that_is_only_in_the_requests_item_does_not_count(ledger, forged):
    write_approved(ledger, asked(ledger), **forged)
    refused(ledger, r"0 of 2 approvals")


def test_one_of_two_approvals_is_not_enough_even_if_the_item_says_approved(ledger):
    approval = asked(ledger)
    decide(ledger, approval, ANA)
    write_approved(ledger, approval, required=1)
    refused(ledger, r"1 of 2 approvals: ana@example\.com approved")


def test_a_rejection_counts_although_the_item_says_approved(ledger):
    approval = asked(ledger)
    decide(ledger, approval, ANA)
    decide(ledger, approval, CHI, "reject")
    write_approved(ledger, approval)
    refused(ledger, r"chi@example\.com rejected")


def test_the_author_does_not_count_although_the_item_names_somebody_else(ledger):
    approval = asked(ledger, approvers=[ANA, BO, "dana+1@example.com"])
    vote(ledger, approval, "dana+1@example.com")
    decide(ledger, approval, ANA)
    write_approved(ledger, approval, author="eve@example.com")
    refused(ledger, r"1 of 2 approvals: ana@example\.com approved")


def test_one_person_counts_once(ledger):
    approval = asked(ledger)
    vote(ledger, approval, ANA)
    vote(ledger, approval, "ana+2@example.com")
    write_approved(ledger, approval)
    refused(ledger, r"1 of 2 approvals")


def vote(ledger: Ledger, approval: str, approver: str, **more: Any) -> None:
    """A fact in its place in the chain, as another version of the command line might write it, with a genuine proof."""
    asked_about = releases.get(ledger, "storefront", "v1.4.0")["approval"]
    data = {"approval": approval, "decision": "approve", "reason": "", "status": "APPROVED"} | more
    ledger.record(
        Fact(
            application="storefront",
            tag="v1.4.0",
            attempt=1,
            name=FactKind.APPROVAL_GIVEN,
            key=approver,
            who=approver,
            data=data,
        ),
        ledger.put(
            {"pk": f"APPROVAL#{approval}", "sk": f"PROOF#{person(approver)}"}
            | {"proof": proof_of(ledger, asked_about, approver)}
        ),
    )


def test_decisions_on_another_request_do_not_count(ledger):
    approval = asked(ledger)
    vote(ledger, "another", ANA)
    vote(ledger, "another", BO)
    write_approved(ledger, approval)
    refused(ledger, r"0 of 2 approvals")


@pytest.mark.parametrize(
    "change",
    [{"data": {"required": 1}}, {"digest": "0" * 64}, {"previous": "0" * 64}],
    ids=lambda change: next(iter(change)),
)
def test_an_altered_policy_is_not_trusted(ledger, change):
    approval = asked(ledger)
    decide(ledger, approval, ANA)
    known = stored(ledger, "Approval Requested#")
    put(ledger, known | change | {"data": known["data"] | change.get("data", {})})
    write_approved(ledger, approval)
    refused(ledger, r"Fact 2 \(Approval Requested of v1\.4\.0\) was altered")


def test_a_chain_rewritten_after_the_request_cannot_change_the_policy(ledger):
    """The page can write each of these items. It can't write the configuration that the release pinned."""
    approval = asked(ledger)
    decide(ledger, approval, ANA)
    request, given = stored(ledger, "Approval Requested#"), stored(ledger, f"Approval Given#{ANA}")
    request = with_digest(request | {"data": request["data"] | {"required": 1, "approvers": [ANA]}})
    given = with_digest(given | {"previous": request["digest"]})
    for item in (
        request,
        given,
        STOREFRONT | {"sk": "HEAD", "last": given["seq"], "digest": given["digest"]},
    ):
        put(ledger, item)
    write_approved(ledger, approval, required=1, approvers=[ANA])
    refused(ledger, r"1 of 2 approvals: ana@example\.com approved")


def with_digest(item: dict[str, Any]) -> dict[str, Any]:
    content = {name: value for name, value in item.items() if name != "digest"}
    return content | {"digest": digest_of(content)}


def test_an_altered_decision_is_not_trusted(ledger):
    approval = asked(ledger)
    decide(ledger, approval, ANA)
    decide(ledger, approval, BO)
    put(ledger, with_digest(stored(ledger, f"Approval Given#{ANA}") | {"who": CHI}))
    refused(ledger, r"Fact 3 was altered and given a new digest")


@pytest.mark.parametrize("seq", [3, 4, 5, 99])
def test_a_decision_without_a_place_in_the_chain_is_not_trusted(ledger, seq):
    approval = asked(ledger)
    decide(ledger, approval, ANA)
    forged = stored(ledger, f"Approval Given#{ANA}")
    key = forged["sk"].replace(ANA, BO)
    put(ledger, with_digest(forged | {"sk": key, "who": BO, "seq": seq, "previous": forged["digest"]}))
    write_approved(ledger, approval)
    refused(ledger, r"[Ff]act")


@pytest.mark.parametrize(
    "odd",
    [{"kind": "other"}, {"sk": "NOBODY#SEES"}, {"sk": "FACT#v1.5.0#0001#Approval Given#bo@example.com"}],
)
def test_a_decision_that_was_never_a_fact_is_not_trusted(ledger, odd):
    """The stream passes on facts under a fact's key. Another item at that place in the chain would count unnoticed."""
    approval = asked(ledger)
    decide(ledger, approval, ANA)
    decide(ledger, approval, BO)
    key = f"Approval Granted#{BO}"
    known = stored(ledger, key)
    gone = {"pk": {"S": STOREFRONT["pk"]}, "sk": {"S": known["sk"]}}
    ledger.client.delete_item(TableName="ledger", Key=gone)
    forged = with_digest(known | odd)
    put(ledger, forged)
    put(ledger, STOREFRONT | {"sk": "HEAD", "last": forged["seq"], "digest": forged["digest"]})
    refused(ledger, r"is not a fact|is stored under another key")


def test_a_removed_rejection_leaves_a_gap(ledger):
    approval = asked(ledger)
    decide(ledger, approval, CHI, "reject")
    vote(ledger, approval, ANA)
    vote(ledger, approval, BO)
    key = {"pk": STOREFRONT["pk"], "sk": f"FACT#v1.4.0#0001#Approval Rejected#{CHI}"}
    ledger.client.delete_item(TableName="ledger", Key={name: {"S": value} for name, value in key.items()})
    write_approved(ledger, approval)
    refused(ledger, r"Fact 3 is missing")


def test_a_chain_without_its_head_is_not_trusted(ledger):
    approval = asked(ledger)
    decide(ledger, approval, ANA)
    decide(ledger, approval, BO)
    put(ledger, STOREFRONT | {"sk": "HEAD", "last": 3, "digest": "0" * 64})
    refused(ledger, r"head")


def test_a_request_that_was_never_a_fact_does_not_count(ledger):
    approval = asked(ledger)
    decide(ledger, approval, ANA)
    decide(ledger, approval, BO)
    key = {"pk": STOREFRONT["pk"], "sk": "FACT#v1.4.0#0001#Approval Requested#"}
    ledger.client.delete_item(TableName="ledger", Key={name: {"S": value} for name, value in key.items()})
    refused(ledger, r"nobody was asked")


def test_a_plan_for_other_bytes_is_not_approved(ledger):
    approval = asked(ledger)
    decide(ledger, approval, ANA)
    decide(ledger, approval, BO)
    release = dict(ledger.get(STOREFRONT["pk"], "RELEASE#v1.4.0") or {})
    plan = release["plan"] | {"locations": locations("1", "666")}
    put(ledger, release | {"plan": plan})
    write_approved(ledger, approval, digest=release_digest(release, plan))
    with pytest.raises(PlanChanged):
        prove(ledger)


# ---- unproven identities -------------------------------------------------------------------------------------------


def test_the_ledger_refuses_an_approval_in_production_that_is_only_claimed(ledger):
    approval = asked(ledger)
    with pytest.raises(IdentityUnproven, match="AWS does not confirm"):
        decide(ledger, approval, ANA, identity=CLAIMED)
    request = approvals.get(ledger, approval)
    assert request is not None and request["decisions"] == []
    decide(ledger, approval, ANA, identity="arn:aws:iam::123456789012:user/ana@example.com")


def test_a_claimed_rejection_still_ends_the_release(ledger):
    """A person who is wrongly believed to reject has stopped a release; nothing was deployed."""
    approval = asked(ledger)
    decide(ledger, approval, ANA, "reject", identity=CLAIMED)
    request = approvals.get(ledger, approval)
    assert request is not None and request["status"] == "REJECTED"


def test_a_claimed_approval_in_the_ledger_still_does_not_count(ledger):
    approval = asked(ledger)
    vote(ledger, approval, ANA, identity=CLAIMED)
    decide(ledger, approval, BO)
    write_approved(ledger, approval)
    refused(ledger, r"1 of 2 approvals: bo@example\.com approved")


@pytest.mark.parametrize(
    "stage, found", [("production", "open"), ("staging", "approved"), ("development", "approved")]
)
def test_only_production_ignores_claimed_approvals(stage: str, found: str):
    entry = {"approver": ANA, "decision": "approve", "reason": "", "at": "", "identity": CLAIMED}
    known = {
        "stage": stage,
        "author": "dana@example.com",
        "approvers": [ANA],
        "required": 1,
        "decisions": [entry],
    }
    assert outcome(known) == found
