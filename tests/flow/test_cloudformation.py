"""The same definitions and the same functions release a stack: its templates are in moto's S3, the stack is in memory."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

import pytest

from tagship.aws.clients import Aws
from tagship.targets.cloudformation_stack import KIND, TEMPLATE
from tests.flow.harness import Ended, World, client_of, code_of, manifest_of, wait_for
from tests.unit.targets.stacks import FOREIGN, NEW, OLD, FakeStacks, template

BUCKET = KIND.example["bucket"]


class Stacks(FakeStacks):
    """CloudFormation in memory, with templates in moto's S3. A change set and a rollback each take one poll."""

    looks = 0

    def describe_stacks(self, *, StackName: str) -> dict[str, Any]:
        if self.status == "UPDATE_ROLLBACK_IN_PROGRESS":
            self.looks += 1
            if self.looks > 1:
                self.settle()
        return super().describe_stacks(StackName=StackName)

    def describe_change_set(self, **asked: str) -> dict[str, Any]:
        answer = super().describe_change_set(**asked)
        for made in self.sets.values():
            if made["Status"] == "CREATE_PENDING":
                made |= {"Status": "CREATE_COMPLETE", "ExecutionStatus": "AVAILABLE"}
        return answer

    def _template(self, url: str) -> str:
        _, bucket, key = urlsplit(url).path.split("/", 2)
        content: bytes = client_of("s3").get_object(Bucket=bucket, Key=key)["Body"].read()
        return content.decode()


@pytest.fixture
def stacks() -> Stacks:
    return Stacks()


@pytest.fixture
def stack(world: World, stacks: Stacks) -> World:
    return with_a_stack(world, stacks)


def with_a_stack(world: World, stacks: Stacks) -> World:
    """An application whose target is a stack that exists; its smoke test knows one bad template."""
    client_of("s3").create_bucket(Bucket=BUCKET)
    world.patch.setattr(
        Aws,
        "_made",
        lambda self, service, **_: (
            stacks.client(service) if service == "cloudformation" else client_of(service)
        ),
    )
    client_of("lambda").create_function(
        FunctionName="smoke",
        Runtime="python3.13",
        Role=KIND.example["role"],
        Handler="a.b",
        Code={"ZipFile": code_of("smoke")},
    )
    world.handlers["smoke"] = lambda *_: {"verdict": "unhealthy" if "broken" in stacks.body else "healthy"}
    world.configure(
        target={**KIND.example, "region": "us-east-1"},
        strategy={"type": "all-at-once"},
        health={"checks": [{"type": "custom", "function": "smoke"}]},
    )
    return world


def uploaded(world: World, tag: str, body: str) -> dict[str, str]:
    document = manifest_of(tag, body.encode())
    document["artifacts"][0]["name"] = TEMPLATE
    return world.upload(tag, code=body.encode(), manifest=document)


def release(world: World, tag: str, body: str, *, decide: str = "approve") -> Ended:
    arn = world.start(uploaded(world, tag, body))
    if decide:
        world.decide(arn, decide=decide)
    return world.ended(arn)


def test_only_the_approved_change_set_is_executed(stack: World, stacks: Stacks) -> None:
    """Faults 53 and 112."""
    stacks.computes = "CREATE_PENDING"
    assert release(stack, "v1.0.0", NEW).status == "SUCCEEDED"
    assert [name for name, _ in stack.calls].count("plan_deployment") == 2, "CloudFormation takes its time"
    (planned,) = stack.record("v1.0.0")["plan"]["locations"]
    (executed,) = [
        name for name, made in stacks.sets.items() if made["ExecutionStatus"] == "EXECUTE_COMPLETE"
    ]
    assert planned["candidate"]["data"]["changeSet"] == executed
    arn = stack.start(uploaded(stack, "v1.1.0", template("newer")))
    link = stack.link(arn)
    assert link
    stacks.by_hand()
    stack.press(link, decide="approve")
    assert stack.ended(arn).error == "ReleaseInvalid"
    assert "changed by someone else after the plan was made" in stack.record("v1.1.0")["why"]
    assert (stacks.body, stacks.writes) == (FOREIGN, 1)


def test_approvers_are_warned_and_an_identical_release_needs_no_approval(
    stack: World, stacks: Stacks
) -> None:
    """Faults 32, 55 and 110."""
    orders = {"Action": "Remove", "LogicalResourceId": "Orders", "ResourceType": "AWS::DynamoDB::Table"}
    stacks.changes = [{"ResourceChange": orders}]
    assert release(stack, "v1.0.0", NEW).status == "SUCCEEDED"
    warned = "DELETES AWS::DynamoDB::Table Orders with all its data"
    assert stack.record("v1.0.0")["plan"]["warnings"] == [warned]
    assert any(warned in mail.body for mail in stack.mails("ana@example.com"))
    assert release(stack, "v1.1.0", NEW, decide="").status == "SUCCEEDED"
    assert "Approval Requested" not in stack.facts("v1.1.0")


def test_a_rollback_by_cloudformation_itself_is_a_rollback_with_its_reason(
    stack: World, stacks: Stacks
) -> None:
    """Fault 111."""
    stacks.fails = "The value must not be new"
    ended = release(stack, "v1.0.0", NEW)
    assert ended.error == "ReleaseRolledBack"
    assert "Price: The value must not be new" in ended.cause
    assert (stacks.body, stacks.writes) == (OLD, 1)
    assert "tag" not in stack.holder()


def test_an_unhealthy_stack_is_restored_to_its_template_and_parameters(stack: World, stacks: Stacks) -> None:
    assert release(stack, "v1.0.0", template("broken")).error == "ReleaseRolledBack"
    assert (stacks.body, stacks.writes) == (OLD, 2)


def test_a_release_stopped_during_the_update_is_cancelled(stack: World, stacks: Stacks) -> None:
    """Faults 56 and 113."""
    stacks.slow = True
    stack.stopping("await_stable")
    ended = release(stack, "v1.0.0", NEW)
    assert (ended.status, stacks.status) == ("ABORTED", "UPDATE_IN_PROGRESS")
    assert stack.supervise(ended)["did"] == "rollback"
    wait_for(lambda: True if stack.record("v1.0.0")["status"] == "ABORTED" else None, "the ending")
    assert (stacks.status, stacks.body) == ("UPDATE_ROLLBACK_COMPLETE", OLD)
    assert "tag" not in stack.holder()
