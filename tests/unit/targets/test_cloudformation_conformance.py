"""The suite of every kind of target holds stacks, which move at once and take their time."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tagship.model.records import Revision
from tagship.targets.cloudformation_stack import KIND
from tagship.targets.cloudformation_update import Stack
from tests.unit.tables import aws_error
from tests.unit.targets.conformance import Bench, Settling
from tests.unit.targets.stacks import KEY, RELEASES, SPEC, FakeStacks, artifacts, target

ONLY_SOMETIMES = {
    "cloudformation:CancelUpdateStack",
    "cloudformation:CreateChangeSet",
    "cloudformation:DeleteChangeSet",
}
"""Rights that no release needs once it is planned, if every operation ends at once: test_cloudformation.py needs them."""


class StackBench:
    """A stack on which the old template serves."""

    kind, spec = KIND, SPEC

    def __init__(self) -> None:
        self.stacks = FakeStacks()
        self.artifacts = artifacts()
        rights = KIND.rights(SPEC, objects=[f"arn:aws:s3:::{RELEASES}/{KEY}"])
        self.actions = sorted({action for right in rights for action in right.actions} - ONLY_SOMETIMES)

    def target(self) -> Stack:
        return target(self.stacks)

    def state(self) -> Any:
        return (self.stacks.status, self.stacks.body, dict(self.stacks.parameters), list(self.stacks.events))

    def shares(self) -> dict[str, int]:
        body, parameters = self.stacks.body, self.stacks.parameters
        if self.stacks.before and self.stacks.status.endswith("_IN_PROGRESS"):
            body, parameters = self.stacks.before
        shown = FakeStacks(body=body, parameters=parameters)
        revision = target(shown).serving()
        assert revision is not None
        return {revision["id"]: 100}

    def writes(self) -> int:
        return self.stacks.writes

    def empty(self) -> None:
        raise AssertionError("a stack exists before its first release")

    def drift(self) -> None:
        self.stacks.by_hand()

    def delete(self, revision: Revision) -> None:
        if change_set := revision["data"].get("changeSet"):
            del self.stacks.sets[change_set]
        else:
            self.stacks.kept.clear()

    def unsettle(self) -> None:
        self.stacks.slow = True

    def settle(self) -> None:
        self.stacks.slow = False
        self.stacks.settle()

    def before_write(self, others: Callable[[], object]) -> None:
        self.stacks.others = others

    def lose_answers(self) -> None:
        self.stacks.loses = True

    def refuse(self, action: str, *, throttled: bool = False) -> None:
        error = aws_error("Throttling") if throttled else aws_error("AccessDenied", status=403)
        self.stacks.refused = (action, error)

    def allow(self) -> None:
        self.stacks.refused = None


class TestCloudformation(Settling):
    """A stack. Another update cannot begin and end in the moment before a restore's: CloudFormation refuses a second one
    while it runs. UpdateStack itself has no condition."""

    lacks = frozenset({"overtake"})

    def make(self) -> Bench:
        return StackBench()
