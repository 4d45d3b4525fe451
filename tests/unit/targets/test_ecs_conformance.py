"""The suite of every kind of target, on a service of ECS."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from copy import deepcopy
from typing import Any

from tagship.model.records import Revision
from tagship.model.release import Artifact, PinnedObject
from tagship.targets import ecs
from tagship.targets.ecs_service import EcsService
from tagship.targets.kind import Artifacts
from tests.unit.tables import aws_error
from tests.unit.targets.conformance import Bench, Settling
from tests.unit.targets.services import ACTIONS, BY_A_PERSON, FakeEcs, task

SPEC = ecs.EcsTarget(**{**ecs.KIND.example, "taskRoles": tuple(ecs.KIND.example["taskRoles"])})
KEY = "releases/storefront/v1.4.0/task.json"
NEW = task(containerDefinitions=[{**task()["containerDefinitions"][0], "image": f"web@sha256:{'b' * 64}"}])


class ServiceBench:
    """A service that runs an old revision."""

    kind, spec = ecs.KIND, SPEC
    actions = tuple(sorted({action for each in ACTIONS.values() for action in each} - BY_A_PERSON))

    def __init__(self) -> None:
        self.ecs = FakeEcs()
        self.ecs.deploy(self.ecs.register(task()))
        content = self.ecs.pin(KEY, NEW)
        pinned = PinnedObject(bucket="releases", key=KEY, versionId="7", size=len(content))
        artifact = Artifact(
            name=ecs.TASK, file="task.json", sha256=hashlib.sha256(content).hexdigest(), size=len(content)
        )
        self.artifacts: Artifacts = {ecs.TASK: (artifact, pinned)}

    def target(self) -> EcsService:
        return EcsService(application="storefront", tag="v1.4.0", spec=SPEC, ecs=self.ecs, s3=self.ecs)

    def state(self) -> Any:
        return deepcopy(self.ecs.deployments)

    def shares(self) -> dict[str, int]:
        return {self.ecs.serves: 100}

    def writes(self) -> int:
        return self.ecs.writes

    def drift(self) -> None:
        self.ecs.deploy(self.ecs.register(task(cpu="512", memory="1024")))

    def delete(self, revision: Revision) -> None:
        self.ecs.definitions[revision["id"]]["status"] = "INACTIVE"

    def unsettle(self) -> None:
        self.ecs.instant = False

    def settle(self) -> None:
        if self.ecs.deployments[0]["rolloutState"] == "IN_PROGRESS":
            self.ecs.finish()

    def before_write(self, others: Callable[[], object]) -> None:
        self.ecs.others = others

    def lose_answers(self) -> None:
        self.ecs.loses = True

    def refuse(self, action: str, *, throttled: bool = False) -> None:
        error = (
            aws_error("ThrottlingException") if throttled else aws_error("AccessDeniedException", status=400)
        )
        self.ecs.refused = (action, error)

    def allow(self) -> None:
        self.ecs.refused = None


class TestService(Settling):
    """A service on ECS."""

    def make(self) -> Bench:
        return ServiceBench()

    def test_its_permissions_match_its_calls(self, bench: Bench) -> None:
        rights = ecs.KIND.rights(SPEC, objects=["arn:aws:s3:::releases/*"])
        assert {action for right in rights for action in right.actions} == set(bench.actions)
