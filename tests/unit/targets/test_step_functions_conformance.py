"""The suite of every kind of target, on a state machine of Step Functions."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from copy import deepcopy
from typing import Any

from tagship.model.fields import rebuilt
from tagship.model.records import Revision
from tagship.model.release import Artifact, PinnedObject
from tagship.targets import step_functions
from tagship.targets.kind import Artifacts
from tagship.targets.step_functions_machine import StateMachine
from tests.unit.tables import aws_error
from tests.unit.targets.conformance import Beginning, Settings, Settling
from tests.unit.targets.machines import ACTIONS, ARN, Checked, FakeStates, definition

SPEC: step_functions.StepFunctionsTarget = rebuilt(
    step_functions.StepFunctionsTarget, step_functions.KIND.example
)
KEY = "releases/storefront/v1.4.0/order.asl.json"
NEW = definition(after="Notify")


class MachineBench:
    """A state machine whose alias sends everything to version 1."""

    kind, spec = step_functions.KIND, SPEC
    actions = tuple(
        sorted({action for each in ACTIONS.values() for action in each} - {"states:StartSyncExecution"})
    )

    def __init__(self) -> None:
        self.states = FakeStates()
        self.states.point({self.states.publish(): 100})
        self.bring(NEW)

    def bring(self, document: Any) -> None:
        """The release has this definition."""
        content = document if isinstance(document, bytes) else json.dumps(document).encode()
        self.states.objects[KEY] = content
        pinned = PinnedObject(bucket="releases", key=KEY, versionId="7", size=len(content))
        artifact = Artifact(
            name=step_functions.DEFINITION,
            file="order.asl.json",
            sha256=hashlib.sha256(content).hexdigest(),
            size=len(content),
        )
        self.artifacts: Artifacts = {step_functions.DEFINITION: (artifact, pinned)}

    def target(self) -> StateMachine:
        states: Any = Checked(self.states)
        return StateMachine(
            application="storefront",
            tag="v1.4.0",
            spec=self.spec,
            states=states,
            trying=states,
            s3=self.states,
            now=lambda: self.states.now,
        )

    def state(self) -> Any:
        """Only the alias, because callers do not notice what is published after approval."""
        return deepcopy(self.states.aliases.get("live"))

    def shares(self) -> dict[str, int]:
        return dict(self.states.aliases.get("live", {}).get("routes", {}))

    def writes(self) -> int:
        return self.states.writes

    def empty(self) -> None:
        self.states.aliases.clear()

    def drift(self) -> None:
        before = deepcopy(self.states.latest)
        self.states.change(definition=json.dumps(definition(after="ByHand")))
        self.states.point({self.states.publish(): 100})
        self.states.latest = before

    def reconfigure(self) -> None:
        self.states.change(tracingConfiguration={"enabled": True})

    def delete(self, revision: Revision) -> None:
        del self.states.versions[revision["id"]]

    def unsettle(self) -> None:
        self.states.stale = deepcopy(self.states.aliases)

    def settle(self) -> None:
        self.states.stale = None

    def before_write(self, others: Callable[[], object]) -> None:
        self.states.others = others

    def lose_answers(self) -> None:
        self.states.loses = True

    def refuse(self, action: str, *, throttled: bool = False) -> None:
        error = (
            aws_error("ThrottlingException") if throttled else aws_error("AccessDeniedException", status=400)
        )
        self.states.refused = (action, error)

    def allow(self) -> None:
        self.states.refused = None


class TestStateMachine(Beginning, Settings, Settling):
    """A state machine behind an alias."""

    def make(self) -> MachineBench:
        return MachineBench()

    def test_its_permissions_match_its_calls(self) -> None:
        rights = step_functions.KIND.rights(SPEC, objects=["arn:aws:s3:::releases/*"])
        asked = {action for right in rights for action in right.actions}
        assert asked == {*MachineBench.actions, "states:StartSyncExecution"}
        assert all(ARN in on or on == "*" for on in rights[0].on)
