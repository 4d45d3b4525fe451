"""Who broke into the page's function can write facts, and can make no MAC: what nothing vouches for deploys nothing."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from tagship.approval.link import BUTTONS, Token, known_keys
from tagship.approval.proof import COMMAND_LINE, LINK, SLACK, Notary, Proof, command_line_proof
from tagship.approval.request.delivery import answer_of
from tagship.ledger import approvals
from tagship.ledger.table import Fact
from tagship.model.facts import FactKind
from tests.flow.harness import World, client_of
from tests.flow.harness import world as make_world
from tests.unit.approval.builders import ANA, BO, KEY, OLD_KEY, STAGE, FakeKms, link, sample, site

DECISION_KEY = "aaaaaaaa-0000-4000-8000-000000000003"
USER = f"arn:aws:iam::123456789012:user/{ANA}"
KMS = FakeKms()
NOTARY = Notary(kms=KMS, link_keys=known_keys(KEY, OLD_KEY), decision_key=DECISION_KEY, stage=STAGE)


def forge(world: World, approver: str) -> dict[str, Any]:
    """What the page's role can write: a decision in its place in the chain, and a request that says APPROVED."""
    (item,) = world._approvals()
    found = approvals.get(world.ledger, item["id"])
    assert found is not None
    world.ledger.record(
        Fact(
            application=found["application"],
            tag=found["tag"],
            attempt=1,
            name=FactKind.APPROVAL_GRANTED,
            key=approver,
            who=approver,
            data={"approval": item["id"], "decision": "approve", "reason": "", "status": "APPROVED"},
        )
    )
    by = [*found["decisions"], {"approver": approver, "decision": "approve", "reason": "", "at": ""}]
    change = {"only_if": "attribute_exists(pk)", "status": "APPROVED", "decisions": by}
    world.ledger.write(world.ledger.update(f"APPROVAL#{item['id']}", "APPROVAL", **change))
    return item


def test_a_compromised_page_cannot_approve_a_release():
    """Ana approves by her link. In Bo's name the page writes what it can: the fact, the request, the answer to the task."""
    with make_world() as world:
        world.configure(approval={"approvers": [ANA, BO], "required": 2})
        before = world.alias()
        arn = world.start(world.upload("v1.0.0"))
        world.decide(arn, who=ANA)
        item = forge(world, BO)
        known = approvals.get(world.ledger, item["id"])
        assert known is not None
        client_of("stepfunctions").send_task_success(
            taskToken=item["taskToken"], output=json.dumps(answer_of(known))
        )
        ended = world.ended(arn)
        assert (ended.status, ended.error, world.alias()) == ("FAILED", "ReleaseInvalid", before)
        assert "RecheckRelease" in ended.entered and "ProveCandidate" not in ended.entered
        output = " ".join(world.type("history", "storefront", "--tag", "v1.0.0").stdout.split())
        assert "1 of 2 approvals: ana@example.com approved" in output
        assert "there is no proof for the approval of bo@example.com" in output
        assert "Nothing was changed" in output
        assert Proof.read(approvals.proof_of(world.ledger, item["id"], ANA)) is not None
        everything = json.dumps(world.ledger.facts_of("storefront", "v1.0.0"), default=str)
        assert "mac" not in everything, "a MAC in a fact goes to every listener"


# ---- what vouches, and for what ---------------------------------------------------------------------------------------


def by_link(approver: str = ANA, **other: Any) -> Proof:
    return Proof.of_token(LINK, Token.parse(link(other.pop("record", sample()), approver, **other)))


def by_buttons(**other: Any) -> Proof:
    return replace(by_link(BUTTONS, **other), kind=SLACK)


def by_command(approver: str = ANA, identity: str = USER, key: str = DECISION_KEY, **other: Any) -> Proof:
    about = {"approval_id": sample()["id"], "digest": sample()["digest"], "stage": STAGE} | other
    return command_line_proof(KMS, key, approver=approver, identity=identity, **about)


def vouched(proof: Proof | None, approver: str = ANA, identity: str = "", **other: Any) -> bool:
    about = {"approval_id": sample()["id"], "digest": sample()["digest"]} | other
    return NOTARY.vouches(proof, vote={"approver": approver, "identity": identity}, **about)


def test_each_way_to_decide_creates_its_own_proof():
    assert vouched(by_link())
    assert vouched(by_link(key=OLD_KEY))
    assert vouched(by_link(), approver=" ANA@Example.com")
    assert vouched(by_buttons(), identity="slack T0123 U0ANA")
    assert vouched(by_command(), identity=USER)


@pytest.mark.parametrize(
    "proof",
    [
        None,
        by_link(BO),
        by_link(record=sample() | {"id": "another-request-of-a-release"}),
        by_link(record=sample() | {"digest": "0" * 64}),
        by_link(stage="staging"),
        by_link(key="not one of this stack's"),
        replace(by_link(), expires=by_link().expires + 1),
        replace(by_link(), mac=b"\0" * 32),
        replace(by_link(), kind="sign-in"),
        replace(by_link(), kind=COMMAND_LINE),
        replace(by_link(), kind=SLACK),
        by_buttons(record=sample() | {"id": "another-request-of-a-release"}),
        replace(by_buttons(), kind=LINK),
        by_command(BO),
        by_command(identity="claimed " + USER),
        by_command(stage="staging"),
        by_command(digest="0" * 64),
        by_command(key=KEY),
        replace(by_command(), kind=LINK),
    ],
)
def test_nothing_else_proves_her_approval(proof):
    assert not vouched(proof, identity=USER)


def test_a_retired_key_proves_nothing():
    kms = FakeKms()
    kms.fails_with = "DisabledException"
    about = {"approval_id": sample()["id"], "digest": sample()["digest"]}
    assert not replace(NOTARY, kms=kms).vouches(by_link(), vote={"approver": ANA}, **about)


@pytest.mark.parametrize(
    "stored",
    [
        {},
        {"kind": "link"},
        by_link().stored() | {"mac": "no hex"},
        by_link().stored() | {"mac": 7},
        by_link().stored() | {"expires": "soon"},
        by_link().stored() | {"expires": [1]},
    ],
)
def test_an_invalid_stored_proof_is_no_proof(stored):
    assert Proof.read(stored) is None


def test_a_proofs_mac_is_never_logged():
    assert Proof.read(by_link().stored()) == by_link()
    assert by_link().mac.hex() not in repr(by_link())
    assert repr(by_link().mac) not in repr(by_link())


def test_the_token_behind_a_channels_buttons_opens_no_page():
    """Everybody in the channel can read it."""
    here = site()
    token = link(here.record, BUTTONS)
    assert here.request("GET", query=f"t={token}").status == 403
    assert [reason for _, reason, _ in here.store.refusals] == ["not an approver of this"]
