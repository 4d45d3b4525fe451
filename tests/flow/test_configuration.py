"""A configuration change is approved like a release, by the approvers of the configuration in force."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from tagship import runtime
from tagship.ledger import configurations, freezes
from tagship.ledger.table import digest_of
from tagship.model.schedule import Freeze
from tests.flow.harness import STAGE, Ended, World, client_of, error_named, wait_for
from tests.flow.harness import world as make_world

PARAMETER = f"/tagship/{STAGE}/applications/storefront"
OWNER = "owner@example.com"
ANA, BO, MALLORY = "ana@example.com", "bo@example.com", "mallory@example.com"


@pytest.fixture
def world() -> Iterator[World]:
    """A stage that guards configurations; nothing is in force yet."""
    with make_world() as built:
        built.patch.setenv("TAGSHIP_GUARDS_CONFIGURATION", "true")
        built.patch.setenv("TAGSHIP_CONFIGURATION_OWNERS", OWNER)
        runtime._runtime.cache_clear()
        yield built


def stored() -> Any:
    return json.loads(client_of("ssm").get_parameter(Name=PARAMETER)["Parameter"]["Value"])


def document(**changes: Any) -> dict[str, Any]:
    return {**stored(), **changes}


def propose(
    world: World,
    number: int,
    proposed: dict[str, Any],
    *,
    by: str = "dana@example.com",
    emergency: str = "",
    owners: str = "",
) -> str:
    order = {
        "application": "storefront",
        "tag": f"configuration-{number}",
        "document": proposed,
        "by": by,
        "emergency": emergency,
        "owners": owners,
    }
    return world.start({"proposal": order})  # type: ignore[dict-item]


def approved(world: World, number: int, proposed: dict[str, Any], *, who: str = ANA) -> Ended:
    arn = propose(world, number, proposed)
    world.decide(arn, who=who)
    return world.ended(arn)


def in_force(world: World) -> str:
    found = configurations.in_force(world.ledger, "storefront")
    return found["tag"] if found else ""


@pytest.fixture
def begun(world: World) -> World:
    """The first configuration is in force: ana approves."""
    ended = approved(world, 1, document(), who=OWNER)
    assert ended.status == "SUCCEEDED", ended.cause
    return world


def test_the_stacks_owner_approves_the_first_configuration_and_then_releases_pass(world: World) -> None:
    proposed = document(approval={"approvers": [ANA, BO], "required": 2, "authorMayApprove": True})
    arn = propose(world, 1, proposed)
    assert world.link(arn, who=OWNER)
    assert world.mails(ANA) == world.mails(BO) == []
    world.decide(arn, who=OWNER)
    ended = world.ended(arn)
    assert (ended.status, ended.output["configuration"]) == ("SUCCEEDED", {"inForce": "configuration-1"})
    assert ended.entered == [
        "ReadRelease",
        "WhatWasRead",
        "RequestApproval",
        "HowDecided",
        "StoreConfiguration",
        "Succeeded",
    ]
    assert stored() == proposed
    assert in_force(world) == "configuration-1"
    assert world.facts("configuration-1") == [
        "Configuration Proposed",
        "Approval Requested",
        "Approval Granted",
        "Configuration Approved",
    ]
    (fact,) = [
        fact
        for fact in world.ledger.facts_of("storefront", "configuration-1")
        if fact["name"] == "Configuration Approved"
    ]
    assert fact["data"]["digest"] == digest_of(proposed)
    assert fact["data"]["approvers"] == [OWNER]
    assert fact["data"]["version"] == 1


def test_a_change_is_approved_by_approvers_of_the_current_configuration_not_of_the_proposed_one(
    begun: World,
) -> None:
    proposed = document(approval={"approvers": [MALLORY], "authorMayApprove": True})
    arn = propose(begun, 2, proposed, by=MALLORY)
    link = begun.link(arn, who=ANA)
    assert link
    assert begun.mails(MALLORY) == []
    shown = begun.browse("GET", link)["body"]
    assert "approval.approvers: adds mallory@example.com" in shown
    assert "approval.approvers: removes ana@example.com" in shown
    assert "This changes who may approve releases, or how they approve." in shown
    assert stored() != proposed
    begun.press(link, decide="approve")
    assert begun.ended(arn).status == "SUCCEEDED"
    assert stored() == proposed
    release = begun.start(begun.upload("v1.0.0"))
    begun.decide(release, who=MALLORY)
    assert begun.ended(release).status == "SUCCEEDED"


def test_a_rejected_change_changes_nothing_and_the_next_one_gets_its_own_number(begun: World) -> None:
    before = stored()
    arn = propose(begun, 2, document(strategy={"type": "all-at-once"}))
    begun.decide(arn, decide="reject", reason="too much")
    ended = begun.ended(arn)
    assert (ended.status, ended.error) == ("FAILED", "ReleaseRejected")
    assert begun.record("configuration-2")["status"] == "REJECTED"
    assert (in_force(begun), stored()) == ("configuration-1", before)
    assert approved(begun, 3, document(strategy={"type": "all-at-once"})).status == "SUCCEEDED"
    assert in_force(begun) == "configuration-3"


def test_an_identical_proposal_sends_one_mail_only(begun: World) -> None:
    proposed = document(strategy={"type": "all-at-once"})
    first = propose(begun, 2, proposed)
    begun.link(first)
    twin = begun.ended(propose(begun, 2, proposed))
    assert twin.entered[-1] == "Duplicate"
    other = begun.ended(propose(begun, 2, document(strategy={"type": "linear"})))
    assert other.error == "TagAlreadyUsed"
    begun.decide(first)
    assert begun.ended(first).status == "SUCCEEDED"
    assert len(begun.mails(ANA)) == 1


def test_a_newer_proposal_replaces_a_waiting_one(begun: World) -> None:
    older = propose(begun, 2, document(strategy={"type": "linear"}))
    link = begun.link(older)
    assert link
    newer = propose(begun, 3, document(strategy={"type": "all-at-once"}))
    ended = begun.ended(older)
    assert (ended.error, ended.cause) == (
        "ReleaseSuperseded",
        "Superseded by storefront configuration-3.",
    )
    assert begun.press_blindly(link)["statusCode"] == 409
    begun.decide(newer)
    assert begun.ended(newer).status == "SUCCEEDED"
    assert stored()["strategy"] == {"type": "all-at-once"}


def test_an_older_proposal_that_requests_approval_late_is_closed_for_the_newer_one(begun: World) -> None:
    """It was read first, and asks for approval after the newer one has asked."""
    newer: list[str] = []

    def late(event: dict[str, Any]) -> Any:
        if not newer:
            newer.append(propose(begun, 3, document(strategy={"type": "all-at-once"})))
            begun.link(newer[0])
        return begun.handlers["request_approval"](event, None)

    begun.plant("request_approval", late)
    older = begun.ended(propose(begun, 2, document(strategy={"type": "linear"})))
    assert older.error == "ReleaseSuperseded"
    begun.decide(newer[0])
    assert begun.ended(newer[0]).status == "SUCCEEDED"


def test_a_proposal_compared_with_another_configuration_is_not_stored(begun: World) -> None:
    arn = propose(begun, 2, document(strategy={"type": "linear"}))
    link = begun.link(arn)
    assert link
    item = configurations.in_force(begun.ledger, "storefront")
    begun.put({**item, "digest": "0" * 64, "tag": "configuration-9"})  # type: ignore[dict-item]
    begun.press(link, decide="approve")
    ended = begun.ended(arn)
    assert ended.error == "ReleaseInvalid"
    assert "Propose it again with `tagship apply`." in ended.cause
    assert in_force(begun) == "configuration-9"


def test_proposing_the_current_configuration_restores_the_parameter_without_approval(begun: World) -> None:
    proposed = document()
    begun.configure(approval={"approvers": [MALLORY]})
    asked = len(begun.mails())
    ended = begun.ended(propose(begun, 2, proposed))
    assert ended.entered == ["ReadRelease", "WhatWasRead", "StoreConfiguration", "Succeeded"]
    assert stored() == proposed
    assert len(begun.mails()) == asked
    assert in_force(begun) == "configuration-1"
    assert configurations.newest(begun.ledger, "storefront") == 1


@pytest.mark.parametrize(
    "changes, words",
    [
        ({"document": {"application": "storefront"}}, "the document is not valid"),
        ({"application": "basket"}, "the document is for storefront in any stage"),
        ({"tag": "configuration-7"}, "is not the next proposal. The next one is configuration-2"),
        ({"by": ""}, "a proposal's document must be an object"),
    ],
    ids=["document", "application", "number", "by"],
)
def test_a_refused_proposal_says_why(begun: World, changes: dict[str, Any], words: str) -> None:
    order = {
        "application": "storefront",
        "tag": "configuration-1" if "application" in changes else "configuration-2",
        "document": document(strategy={"type": "linear"}),
        "by": "dana@example.com",
        "emergency": "",
    } | changes
    ended = begun.ended(begun.start({"proposal": order}))
    assert (ended.status, ended.error) == ("FAILED", "ReleaseInvalid")
    assert words in ended.cause
    assert in_force(begun) == "configuration-1"


def test_without_owners_nobody_can_approve_a_first_configuration(world: World) -> None:
    world.patch.setenv("TAGSHIP_CONFIGURATION_OWNERS", "")
    runtime._runtime.cache_clear()
    ended = world.ended(propose(world, 1, document()))
    assert ended.error == "ReleaseInvalid"
    assert "set the stack's parameter ConfigurationOwners" in ended.cause


def test_the_proposer_cannot_approve_the_change(begun: World) -> None:
    ended = begun.ended(propose(begun, 2, document(strategy={"type": "linear"}), by=ANA))
    assert ended.error == "ReleaseInvalid"
    assert "not counting the author ana@example.com" in ended.cause
    assert begun.record("configuration-2")["status"] == "INVALID"


def test_all_stack_owners_decide_if_the_approvers_have_left(begun: World) -> None:
    begun.patch.setenv("TAGSHIP_CONFIGURATION_OWNERS", f"{OWNER}, {BO}")
    runtime._runtime.cache_clear()
    proposed = document(approval={"approvers": [BO]})
    arn = propose(begun, 2, proposed, owners="ana has left")
    asked = len(begun.mails(ANA))
    begun.decide(arn, who=OWNER)
    link = begun.link(arn, who=BO)
    assert link
    assert begun.describe(arn)["status"] == "RUNNING", "all of them must approve"
    shown = begun.browse("GET", link)["body"]
    assert "instead of the approvers that configuration-1 names: ana has left" in shown
    begun.press(link, decide="approve")
    assert begun.ended(arn).status == "SUCCEEDED"
    assert len(begun.mails(ANA)) == asked
    assert stored() == proposed


def test_the_owners_replace_a_current_configuration_that_can_no_longer_be_read(
    begun: World,
) -> None:
    """A newer version of Tagship may refuse what an older one accepted."""
    item = configurations.in_force(begun.ledger, "storefront")
    begun.put({**item, "document": {"application": "storefront"}})  # type: ignore[dict-item]
    proposed = document(strategy={"type": "linear"})
    assert approved(begun, 2, proposed, who=OWNER).status == "SUCCEEDED"
    assert in_force(begun) == "configuration-2"


def frozen(world: World) -> None:
    now = runtime.utc_now()
    made = Freeze(
        id="one",
        application="storefront",
        reason="the sale",
        author=ANA,
        starts=now,
        ends=now + timedelta(hours=1),
    )
    assert freezes.freeze(world.ledger, made)[1]


def test_a_freeze_also_blocks_a_configuration_change(begun: World) -> None:
    frozen(begun)
    ended = approved(begun, 2, document(strategy={"type": "linear"}))
    assert ended.error == "ReleaseInvalid"
    assert "the sale" in ended.cause
    assert in_force(begun) == "configuration-1"


def test_an_emergency_change_passes_a_freeze_if_everybody_approves(begun: World) -> None:
    proposed = document(approval={"approvers": [ANA, BO], "required": 1})
    assert approved(begun, 2, proposed).status == "SUCCEEDED"
    frozen(begun)
    arn = propose(begun, 3, document(strategy={"type": "linear"}), emergency="the gate's key was lost")
    begun.decide(arn, who=ANA)
    link = begun.link(arn, who=BO)
    assert link
    assert begun.describe(arn)["status"] == "RUNNING"
    assert "EMERGENCY: the gate" in begun.browse("GET", link)["body"]
    begun.press(link, decide="approve")
    assert begun.ended(arn).status == "SUCCEEDED"
    assert "Calendar Overridden" in begun.facts("configuration-3")


def test_a_release_continues_with_the_configuration_it_was_read_with(begun: World) -> None:
    release = begun.start(begun.upload("v1.0.0"))
    link = begun.link(release)
    assert link
    changed = approved(begun, 2, document(approval={"approvers": [BO]}))
    assert changed.status == "SUCCEEDED"
    begun.press(link, decide="approve")
    assert begun.ended(release).status == "SUCCEEDED"


def test_the_supervisor_ends_a_stopped_execution(begun: World) -> None:
    arn = propose(begun, 2, document(strategy={"type": "linear"}))
    begun.link(arn)
    ended = begun.stop(arn)
    assert begun.supervise(ended)["did"] == "ended"
    assert begun.record("configuration-2")["status"] == "ABORTED"
    assert begun.supervise(ended)["did"] == "nothing"


def test_an_execution_stopped_while_it_waits_for_approval_is_ended_too(begun: World) -> None:
    begun.stopping("request_approval")
    ended = begun.woken(propose(begun, 2, document(strategy={"type": "linear"})))
    assert ended.status == "ABORTED"
    assert begun.supervise(ended)["did"] == "ended"
    assert begun.record("configuration-2")["status"] == "ABORTED"


def test_storing_is_retried_and_happens_once(begun: World) -> None:
    def twice(event: dict[str, Any]) -> Any:
        begun.handlers["store_configuration"](event, None)
        return begun.handlers["store_configuration"](event, None)

    begun.plant("store_configuration", twice)
    assert approved(begun, 2, document(strategy={"type": "linear"})).status == "SUCCEEDED"
    assert begun.facts("configuration-2").count("Configuration Approved") == 1
    assert client_of("ssm").get_parameter(Name=PARAMETER)["Parameter"]["Version"] == 2


@pytest.mark.parametrize("fault", ["Unforeseen", "AwsUnavailable", "Sandbox.Timedout"])
def test_a_change_that_cannot_be_stored_is_not_in_force_and_has_an_ending(begun: World, fault: str) -> None:
    begun.plant("store_configuration", error_named(fault), times=3)
    ended = approved(begun, 2, document(strategy={"type": "linear"}))
    assert ended.status == "FAILED"
    assert begun.record("configuration-2")["status"] == "INVALID"
    assert in_force(begun) == "configuration-1"
    assert stored() == document()


def test_a_late_duplicate_of_an_older_proposal_writes_nothing(begun: World) -> None:
    assert approved(begun, 2, document(strategy={"type": "linear"})).status == "SUCCEEDED"
    late = {
        "release": {"application": "storefront", "tag": "configuration-1", "attempt": 1},
        "execution": begun.record("configuration-1")["execution"],
    }
    begun.handlers["store_configuration"](late, None)
    assert stored()["strategy"] == {"type": "linear"}
    wait_for(lambda: in_force(begun) == "configuration-2" or None, "configuration-2")


def test_the_command_line_proposes_decides_and_shows_a_change(begun: World, tmp_path: Path) -> None:
    file = tmp_path / "application.yaml"
    file.write_text(json.dumps(document(strategy={"type": "linear"})))
    outputs = {"ConfigurationGuarded": "true"}
    proposed = begun.type("apply", str(file), "--yes", outputs=outputs)
    assert proposed.exit_code == 0, proposed.output
    assert (
        "Proposed as storefront configuration-2. It needs 1 approval of ana@example.com." in proposed.stdout
    )
    on_its_way = begun.type("status", "storefront").stdout
    assert "configuration-2 is waiting for approval (0 of 1 approval)" in on_its_way
    assert "deployed    nothing by Tagship yet" in on_its_way
    record = begun.record("configuration-2")
    link = begun.link(record["execution"])
    assert link
    begun.press(link, decide="approve")
    assert begun.ended(record["execution"]).status == "SUCCEEDED"
    again = begun.type("apply", str(file), "--yes", outputs=outputs)
    assert "already has this content. Nothing was proposed." in again.stdout
    watched = begun.type("watch", "storefront", "configuration-2")
    assert watched.exit_code == 0
    assert "the configuration was approved by ana@example.com" in watched.stdout
    assert "configuration-2 is the current configuration; the next release uses it." in watched.stdout
    listed = begun.type("history", "storefront").stdout
    assert "configuration-2" in listed
    assert "SUCCEEDED" in listed
    shown = begun.type("show", "storefront", "configuration-2")
    assert shown.exit_code == 0, shown.output
    refused = begun.type("retry", "storefront", "configuration-2", "--reason", "again")
    assert "propose a configuration change again with `tagship apply`" in refused.stderr
