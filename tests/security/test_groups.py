"""A group's change is as powerful as an approver's: unapproved changes do not count, and nobody joins later."""

from __future__ import annotations

from collections.abc import Iterator
from secrets import token_bytes
from typing import Any

import pytest

from tagship.approval.asking import judged_by, request_now
from tagship.approval.recount import prove_decisions
from tagship.approval.request.request import request_of
from tagship.deployment.binding import release_digest
from tagship.deployment.recheck import prove_approved, prove_configured
from tagship.intake.configuration import with_groups
from tagship.intake.proposing import Proposing
from tagship.ledger import approvals, configurations, groups, releases
from tagship.ledger.table import Ledger, digest_of
from tagship.model.errors import ApprovalUnproven, ApproverLeft, PlanChanged, ReleaseUnreadable
from tests.security.test_recheck import NOTARY, PLAN, STOREFRONT, proof_of, put, write_approved
from tests.unit.approval.builders import ANA, BO, CHI
from tests.unit.builders import EXECUTION, application, configured, record
from tests.unit.tables import Clock, ledger_table

EVE = "eve@example.com"
RULES = [{"group": "platform", "required": 1}, {"approvers": [CHI], "required": 1}]


@pytest.fixture
def ledger() -> Iterator[Ledger]:
    with ledger_table() as client:
        yield Ledger(
            client=client, table="ledger", stage="production", now=Clock(), pause=lambda seconds: None
        )


def approve_group(ledger: Ledger, *members: str, number: int = 1, required: int = 1) -> None:
    """As if those who decide on the group had approved it."""
    document = {"group": "platform", "members": list(members), "required": required}
    present = configurations.in_force(ledger, "group.platform")
    base = {"digest": present["digest"]} if present else {}
    known = record(
        application="group.platform",
        tag=f"configuration-{number}",
        configuration={"version": 0, "document": {}, "problems": [], **base},
        proposal=document,
    )
    _, claimed = releases.claim(ledger, known)
    assert configurations.approve(ledger, claimed, approvers=("owner@example.com",), execution=EXECUTION)


def write_group(ledger: Ledger, *members: str, tag: str = "configuration-1", digest: str = "") -> None:
    """An attacker who can write the ledger writes it without asking anybody."""
    document = {"group": "platform", "members": list(members)}
    item = {"pk": "APPLICATION#group.platform", "sk": "CONFIGURATION", "application": "group.platform"}
    put(
        ledger,
        item | {"tag": tag, "version": 1, "digest": digest or digest_of(document), "document": document},
    )


def asked(ledger: Ledger, rules: list[dict[str, Any]] = RULES) -> str:
    """A planned release by whose rules the group decides; the id of its request."""
    found = with_groups(configured(application(approval={"rules": rules})), ledger, guarded=True)
    assert found["document"] is not None, found["problems"]
    known = record(configuration=found)
    releases.claim(ledger, known)
    plan = PLAN | {"digest": release_digest(known, PLAN)}
    ledger.write(
        ledger.update(STOREFRONT["pk"], "RELEASE#v1.4.0", only_if="attribute_exists(pk)", plan=plan, gates=[])
    )
    release = releases.get(ledger, "storefront", "v1.4.0")
    new_request = request_of(release, now=ledger.now(), longest=3600, random=token_bytes)
    approvals.request(ledger, new_request, execution=EXECUTION)
    return new_request["id"]


def decide(ledger: Ledger, approval: str, *approvers: str) -> str:
    """The standing after these people have approved with their links."""
    status = ""
    for who in approvers:
        proof = proof_of(ledger, approval, who)
        judge = judged_by(ledger)
        found = approvals.decide(
            ledger, approval, approver=who, decision="approve", reason="", judge=judge, proof=proof
        )
        status = found["status"]
    return status


def prove(ledger: Ledger) -> None:
    release = releases.get(ledger, "storefront", "v1.4.0")
    prove_decisions(ledger, release, prove_approved(ledger, release), notary=NOTARY)


def test_a_member_and_the_other_rules_approver_approve_a_release(ledger):
    approve_group(ledger, ANA, BO)
    approval = asked(ledger)
    assert decide(ledger, approval, ANA, BO) == "OPEN"
    assert decide(ledger, approval, CHI) == "APPROVED"
    prove(ledger)


@pytest.mark.parametrize(
    "forged",
    [
        {"rules": [{"group": "", "approvers": [ANA, BO], "required": 2}]},
        {"rules": [], "approvers": [ANA, BO], "required": 2},
        {"countInEveryRule": True},
    ],
    ids=str,
)
def test_forged_rules_in_the_request_approve_nothing(ledger, forged):
    """Fault 127. Two members meet one rule, whatever the request's own item says of rules."""
    approve_group(ledger, ANA, BO)
    approval = asked(ledger)
    decide(ledger, approval, ANA, BO)
    write_approved(ledger, approval, **forged)
    with pytest.raises(ApprovalUnproven, match="1 of 2 approvals"):
        prove(ledger)


def test_a_member_added_after_the_request_meets_no_rule(ledger):
    """Fault 129."""
    approve_group(ledger, ANA, BO)
    approval = asked(ledger)
    write_group(ledger, ANA, BO, EVE)
    assert EVE not in request_now(ledger, approval)["rules"][0]["approvers"]
    decide(ledger, approval, CHI, EVE)
    write_approved(ledger, approval)
    with pytest.raises(ApprovalUnproven, match=r"1 of 2 approvals: chi@example\.com approved"):
        prove(ledger)


def test_an_approver_who_left_the_group_stops_the_release_and_is_named(ledger):
    """Fault 129."""
    approve_group(ledger, ANA, BO)
    approval = asked(ledger)
    assert decide(ledger, approval, BO, CHI) == "APPROVED"
    approve_group(ledger, ANA, number=2)
    with pytest.raises(
        ApproverLeft, match=r"bo@example\.com approved it and then left the group.*tagship retry"
    ):
        prove(ledger)


def test_a_deleted_group_has_no_members(ledger):
    approve_group(ledger, ANA, BO)
    approval = asked(ledger)
    put(ledger, {"pk": "APPLICATION#group.platform", "sk": "CONFIGURATION", "application": "group.platform"})
    assert request_now(ledger, approval)["left"] == [ANA, BO]
    decide(ledger, approval, BO, CHI)
    write_approved(ledger, approval)
    with pytest.raises(ApproverLeft):
        prove(ledger)


@pytest.mark.parametrize("tag", ["", "configuration-1", "configuration-9"])
def test_an_unapproved_group_makes_the_configuration_invalid(ledger, tag):
    """Fault 128."""
    approve_group(ledger, ANA, BO)
    write_group(ledger, EVE, tag=tag)
    found = with_groups(configured(application(approval={"rules": RULES})), ledger, guarded=True)
    assert (found["document"], found["problems"]) == (
        None,
        ["the group platform was never approved; propose it: tagship apply FILE --stage production"],
    )


def test_a_release_read_with_an_unapproved_group_is_not_deployed(ledger):
    """Fault 128. As `RecheckRelease` asks for the fact that approved the configuration, it asks for the group's."""
    approve_group(ledger, ANA, BO)
    asked(ledger)
    release = releases.get(ledger, "storefront", "v1.4.0")
    pinned, document = release["configuration"]["groups"]["platform"], release["configuration"]["document"]
    own = record(tag="configuration-1", configuration=configured(document), proposal=document)
    _, claimed = releases.claim(ledger, own)
    assert configurations.approve(ledger, claimed, approvers=(ANA,), execution=EXECUTION)
    approved = release["configuration"] | {"approved": "configuration-1", "digest": digest_of(document)}
    prove_configured(ledger, {**release, "configuration": approved}, guarded=True)
    forged = approved | {"groups": {"platform": {**pinned, "digest": "0" * 64}}}
    with pytest.raises(PlanChanged, match="it was read with a group platform that was never approved"):
        prove_configured(ledger, {**release, "configuration": forged}, guarded=True)
    assert groups.is_approved(ledger, "platform", pinned)
    assert not groups.is_approved(ledger, "platform", forged["groups"]["platform"])


@pytest.mark.parametrize(
    "rules, says",
    [
        ([{"group": "database"}], "there is no group database; apply it first"),
        ([{"group": "platform", "required": 3}], "group platform needs 1 more person"),
        (
            [{"group": "platform", "required": 2}],
            "2 of group platform must approve, but 1 of them can change the group",
        ),
    ],
)
def test_rules_that_nobody_can_meet_or_one_member_can_bypass_are_not_proposed(ledger, rules, says):
    """Faults 127 and 128."""
    approve_group(ledger, ANA, BO)
    proposing = Proposing(
        ledger=ledger,
        stage="production",
        owners=["owner@example.com"],
        github_hosts=["api.github.com"],
        execution=EXECUTION,
        bind=release_digest,
    )
    order = {
        "application": "storefront",
        "tag": "configuration-1",
        "document": application(approval={"rules": rules}),
        "by": ANA,
        "emergency": "",
    }
    with pytest.raises(ReleaseUnreadable, match=says):
        proposing.claim(order)


# ---- one more approver for a warning -------------------------------------------------------------------------------


def warned(ledger: Ledger) -> str:
    """One of ana, bo and chi must approve, and one more because the plan replaces a table; the id of the request."""
    policy = {"approvers": [ANA, BO, CHI], "extraForWarnings": 1}
    known = record(configuration=configured(application(approval=policy)))
    releases.claim(ledger, known)
    plan = PLAN | {"warnings": ["Replaces the table Orders."]}
    plan = plan | {"digest": release_digest(known, plan)}
    ledger.write(
        ledger.update(STOREFRONT["pk"], "RELEASE#v1.4.0", only_if="attribute_exists(pk)", plan=plan, gates=[])
    )
    release = releases.get(ledger, "storefront", "v1.4.0")
    new_request = request_of(release, now=ledger.now(), longest=3600, random=token_bytes)
    assert (new_request["required"], new_request["rules"][1]["why"]) == (2, ["Replaces the table Orders."])
    approvals.request(ledger, new_request, execution=EXECUTION)
    return new_request["id"]


def test_an_approval_required_by_a_warning_is_counted_again_before_deployment(ledger):
    """Fault 127. Whatever the request says that it requires."""
    approval = warned(ledger)
    assert decide(ledger, approval, ANA) == "OPEN"
    write_approved(ledger, approval, rules=[], required=1)
    with pytest.raises(ApprovalUnproven, match=r"1 of 2 approvals: ana@example\.com approved"):
        prove(ledger)


def test_with_that_approval_the_release_is_approved(ledger):
    approval = warned(ledger)
    assert decide(ledger, approval, ANA, CHI) == "APPROVED"
    prove(ledger)


def test_a_group_overwritten_by_the_page_is_reported_as_missing(ledger):
    """The page's function can write an item but not the document: releases end with a reason, and nobody is asked."""
    approve_group(ledger, ANA, BO)
    put(
        ledger,
        {"pk": "APPLICATION#group.platform", "sk": "CONFIGURATION", "tag": "configuration-1", "digest": ""},
    )
    found = with_groups(configured(application(approval={"rules": RULES})), ledger, guarded=True)
    assert found["document"] is None
    assert found["problems"][0].startswith("there is no group platform; apply it first")
