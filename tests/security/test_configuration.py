"""Access to an application's parameter gains nothing: in a guarded stage only the approved configuration counts."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tagship import runtime
from tagship.ledger import configurations, releases
from tagship.ledger.table import digest_of
from tests.flow.harness import STAGE, Ended, World, client_of
from tests.flow.harness import world as make_world

PARAMETER = f"/tagship/{STAGE}/applications/storefront"
MALLORY = {"approval": {"approvers": ["mallory@example.com"], "authorMayApprove": True}}


@pytest.fixture
def world() -> Any:
    """A stage that guards configurations, in which storefront's is approved."""
    with make_world() as built:
        built.patch.setenv("TAGSHIP_GUARDS_CONFIGURATION", "true")
        runtime._runtime.cache_clear()
        put_into_force(built)
        yield built


def stored() -> Any:
    return json.loads(client_of("ssm").get_parameter(Name=PARAMETER)["Parameter"]["Value"])


def put_into_force(world: World) -> None:
    """As if the stack's owner had approved the configuration in Parameter Store."""
    document = stored()
    _, record = releases.claim(
        world.ledger,
        {
            "application": "storefront",
            "tag": "configuration-1",
            "stage": STAGE,
            "execution": "arn:one",
            "digest": digest_of(document),
            "release": {"bucket": "", "key": "", "versionId": "", "size": 0},
            "manifest": {"author": "owner@example.com", "commit": "", "createdAt": ""},  # type: ignore[typeddict-item]
            "problems": [],
            "objects": {},
            "configuration": {"version": 0, "document": document, "problems": []},
            "phase": "approval",
            "proposal": document,
        },
    )
    assert configurations.approve(world.ledger, record, approvers=("owner@example.com",), execution="arn:one")


def assert_stopped(world: World, tag: str, *words: str) -> None:
    ended = world.release(tag, decide="")
    assert (ended.status, ended.error) == ("FAILED", "ReleaseInvalid")
    for each in words:
        assert each in ended.cause
    assert world.mails() == []
    assert world.alias() == ("1", {})


def test_a_release_with_the_approved_configuration_passes(world: World) -> None:
    assert world.release("v1.0.0").status == "SUCCEEDED"
    assert world.record("v1.0.0")["configuration"]["approved"] == "configuration-1"


def test_a_parameter_changed_outside_tagship_stops_releases(
    world: World,
) -> None:
    world.configure(**MALLORY)
    assert_stopped(
        world,
        "v1.0.0",
        "changed outside of Tagship since",
        "propose it: tagship apply application.yaml --stage production",
    )


def test_restoring_the_approved_document_is_enough(world: World) -> None:
    document = stored()
    world.configure(**MALLORY)
    client_of("ssm").put_parameter(
        Name=PARAMETER, Value=json.dumps(document, indent=2), Type="String", Overwrite=True
    )
    assert world.release("v1.0.0").status == "SUCCEEDED"


def test_an_application_without_an_approved_configuration_is_not_released(world: World) -> None:
    client_of("dynamodb").delete_item(
        TableName="ledger", Key={"pk": {"S": "APPLICATION#storefront"}, "sk": {"S": "CONFIGURATION"}}
    )
    assert_stopped(world, "v1.0.0", "no configuration of storefront has been approved in production yet")


def test_an_earlier_approved_configuration_no_longer_counts(world: World) -> None:
    """An older approved document is a change too and must be proposed again."""
    world.configure(strategy={"type": "all-at-once"})
    item = configurations.in_force(world.ledger, "storefront")
    world.put({**item, "document": stored(), "digest": digest_of(stored()), "tag": "configuration-2"})  # type: ignore[dict-item]
    world.configure()
    assert_stopped(world, "v1.0.0", "configuration-2 was approved")


def test_an_item_without_a_matching_fact_lets_no_release_through(world: World) -> None:
    """An attacker who can only write the ledger claims that another configuration is in force."""
    world.configure(**MALLORY)
    item = configurations.in_force(world.ledger, "storefront")
    world.put({**item, "document": stored(), "digest": digest_of(stored())})  # type: ignore[dict-item]
    arn = world.start(world.upload("v1.0.0", author="mallory@example.com"))
    world.decide(arn, who="mallory@example.com")
    ended = world.ended(arn)
    assert (ended.status, ended.error) == ("FAILED", "ReleaseInvalid")
    assert "it was read with a configuration that was never approved" in ended.cause
    assert world.alias() == ("1", {})


def proposed(world: World, document: Any) -> str:
    order = {
        "application": "storefront",
        "tag": "configuration-2",
        "document": document,
        "by": "mallory@example.com",
        "emergency": "",
    }
    arn = world.start({"proposal": order})  # type: ignore[dict-item]
    assert world.link(arn)
    return arn


def assert_not_stored(world: World, ended: Ended, *words: str) -> None:
    assert (ended.status, ended.error) == ("FAILED", "ReleaseInvalid")
    for each in words:
        assert each in ended.cause
    assert configurations.in_force(world.ledger, "storefront")["tag"] == "configuration-1"  # type: ignore[index]
    assert stored()["approval"] == {"approvers": ["ana@example.com"]}


def test_a_forged_approved_result_for_the_waiting_task_stores_nothing(world: World) -> None:
    arn = proposed(world, {**stored(), **MALLORY})
    (request,) = (item for item in world._approvals() if item["execution"] == arn)
    said = {"decision": "approved", "askSeconds": 0, "by": ["ana@example.com"], "why": "they said so"}
    client_of("stepfunctions").send_task_success(taskToken=request["taskToken"], output=json.dumps(said))
    assert_not_stored(world, world.ended(arn), "not what was approved")


def test_a_request_that_was_forged_as_approved_stores_nothing(world: World) -> None:
    """As one can who broke into the page's function."""
    arn = proposed(world, {**stored(), **MALLORY})
    (request,) = (item for item in world._approvals() if item["execution"] == arn)
    world.put({**request, "status": "APPROVED"})
    said = {"decision": "approved", "askSeconds": 0, "by": ["ana@example.com"], "why": "they said so"}
    client_of("stepfunctions").send_task_success(taskToken=request["taskToken"], output=json.dumps(said))
    assert_not_stored(world, world.ended(arn), "the ledger's facts do not confirm it")


def test_a_document_swapped_after_approval_is_not_stored(world: World) -> None:
    arn = proposed(world, {**stored(), "strategy": {"type": "linear"}})
    record = world.record("configuration-2")
    world.put({**record, "proposal": {**stored(), **MALLORY}})
    world.decide(arn)
    assert_not_stored(world, world.ended(arn), "the configuration is not the one that was approved")


def test_a_document_swapped_with_its_digest_is_not_stored(world: World) -> None:
    arn = proposed(world, {**stored(), "strategy": {"type": "linear"}})
    evil = {**stored(), **MALLORY}
    world.put({**world.record("configuration-2"), "proposal": evil, "digest": digest_of(evil)})
    world.decide(arn)
    assert_not_stored(world, world.ended(arn), "not what was approved")
