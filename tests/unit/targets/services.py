"""A service on ECS in memory, with the rules that ECS has; what it runs changes when a deployment is over."""

from __future__ import annotations

import io
import itertools
import json
from collections.abc import Callable, Mapping
from copy import deepcopy
from datetime import UTC, datetime, timedelta
from typing import Any

from tests.unit.tables import aws_error

ACCOUNT = "arn:aws:ecs:eu-central-1:123456789012"
SERVICE = f"{ACCOUNT}:service/shop/storefront"
FAMILY = "storefront"
ACTIONS: Mapping[str, tuple[str, ...]] = {
    "describe_services": ("ecs:DescribeServices",),
    "update_service": ("ecs:UpdateService", "iam:PassRole"),
    "tag_resource": ("ecs:TagResource",),
    "untag_resource": ("ecs:UntagResource",),
    "register_task_definition": ("ecs:RegisterTaskDefinition", "ecs:TagResource", "iam:PassRole"),
    "describe_task_definition": ("ecs:DescribeTaskDefinition",),
    "list_task_definitions": ("ecs:ListTaskDefinitions",),
    "list_service_deployments": ("ecs:ListServiceDeployments",),
    "stop_service_deployment": ("ecs:StopServiceDeployment",),
    "get_object": ("s3:GetObjectVersion",),
    "deregister_task_definition": ("ecs:DeregisterTaskDefinition",),
}
BY_A_PERSON = {"ecs:DeregisterTaskDefinition"}
"""Actions that only `tagship retention` uses, with the person's permissions."""


def task(**changed: Any) -> dict[str, Any]:
    """A task definition, as a release brings it."""
    return {
        "family": FAMILY,
        "networkMode": "awsvpc",
        "requiresCompatibilities": ["FARGATE"],
        "cpu": "256",
        "memory": "512",
        "taskRoleArn": "arn:aws:iam::123456789012:role/storefront-task",
        "executionRoleArn": "arn:aws:iam::123456789012:role/storefront-execution",
        "containerDefinitions": [
            {
                "name": "web",
                "image": f"123456789012.dkr.ecr.eu-central-1.amazonaws.com/web@sha256:{'a' * 64}",
                "portMappings": [{"containerPort": 8080}],
                "environment": [{"name": "LEVEL", "value": "info"}],
            }
        ],
        **changed,
    }


class FakeEcs:
    """One service and its task definitions, and the bucket that a release's is pinned in."""

    def __init__(self) -> None:
        self.definitions: dict[str, dict[str, Any]] = {}
        self.tags: dict[str, dict[str, str]] = {SERVICE: {}}
        self.objects: dict[str, bytes] = {}
        self.tasks: dict[str, str] = {}
        self.desired = 2
        self.breaker = {"enable": True, "rollback": True}
        self.controller = "ECS"
        self.deployments: list[dict[str, Any]] = []
        self.records: list[dict[str, Any]] = []
        self.serves = ""
        self.instant = True
        self.writes = 0
        self.refused: tuple[str, Exception] | None = None
        self.others: Callable[[], object] | None = None
        self.loses = False
        self._clock = (datetime(2026, 11, 1, tzinfo=UTC) + timedelta(seconds=n) for n in itertools.count())

    # ---- manual changes --------------------------------------------------------------------------------------------

    def register(self, definition: Mapping[str, Any]) -> str:
        """A new revision; says its name."""
        name = f"{definition['family']}:{len(self.definitions) + 1}"
        self.definitions[name] = {
            **deepcopy(dict(definition)),
            "taskDefinitionArn": f"{ACCOUNT}:task-definition/{name}",
            "revision": len(self.definitions) + 1,
            "status": "ACTIVE",
            "volumes": [],
            "compatibilities": ["EC2", "FARGATE"],
        }
        self.tags[name] = {}
        return name

    def deploy(self, name: str) -> None:
        """Begins a deployment; the same revision begins none, as in ECS."""
        if self.deployments and self.deployments[0]["taskDefinition"].endswith(f"/{name}"):
            return
        for each in self.deployments:
            each |= {"status": "ACTIVE"}
        if self.records and self.records[-1]["status"] == "IN_PROGRESS":
            self.records[-1]["status"] = "STOPPED"
        identity, at = f"ecs-svc/{len(self.records) + 1}", next(self._clock)
        self.deployments.insert(
            0,
            {
                "id": identity,
                "status": "PRIMARY",
                "taskDefinition": f"{ACCOUNT}:task-definition/{name}",
                "createdAt": at,
                "rolloutState": "IN_PROGRESS",
                "runningCount": 0,
            },
        )
        arn = f"{ACCOUNT}:service-deployment/shop/storefront/{identity[8:]}"
        self.records.append({"serviceDeploymentArn": arn, "createdAt": at, "status": "IN_PROGRESS"})
        if self.instant:
            self.finish()

    def finish(self) -> None:
        """The deployment is over."""
        first = self.deployments[0]
        first |= {"rolloutState": "COMPLETED", "runningCount": self.desired}
        self.deployments = [first]
        going_back = self.records[-1]["status"].startswith("ROLLBACK")
        self.records[-1]["status"] = "ROLLBACK_SUCCESSFUL" if going_back else "SUCCESSFUL"
        self.serves = first["taskDefinition"].rpartition("/")[2]

    def give_up(self, reason: str) -> None:
        """The circuit breaker takes the deployment back."""
        self.records[-1] |= {"status": "ROLLBACK_SUCCESSFUL", "statusReason": reason}
        self.deployments = [{**self.deployments[1], "status": "PRIMARY"}]

    # ---- ECS

    def describe_services(
        self, *, cluster: str, services: list[str], include: tuple[str, ...] | list[str] = ()
    ) -> dict[str, Any]:
        self._called("describe_services")
        tags = [{"key": key, "value": value} for key, value in self.tags[SERVICE].items()]
        return {"services": [{**self._service(), "tags": tags}], "failures": []}

    def update_service(self, *, cluster: str, service: str, taskDefinition: str) -> dict[str, Any]:
        def write() -> dict[str, Any]:
            if self.definitions.get(taskDefinition, {}).get("status") != "ACTIVE":
                raise aws_error("ClientException", "TaskDefinition is inactive")
            before = len(self.records)
            self.deploy(taskDefinition)
            self.writes += len(self.records) - before
            return {"service": self._service()}

        return self._written("update_service", write)

    def tag_resource(self, *, resourceArn: str, tags: list[dict[str, str]]) -> None:
        self._written(
            "tag_resource",
            lambda: self.tags[resourceArn].update({each["key"]: each["value"] for each in tags}),
        )

    def untag_resource(self, *, resourceArn: str, tagKeys: list[str]) -> None:
        self._written("untag_resource", lambda: [self.tags[resourceArn].pop(key, None) for key in tagKeys])

    def register_task_definition(self, *, tags: list[dict[str, str]], **asked: Any) -> dict[str, Any]:
        registered: list[str] = []

        def write() -> None:
            registered.append(self.register(asked))
            self.tags[registered[-1]] = {each["key"]: each["value"] for each in tags}

        self._written("register_task_definition", write)
        return {"taskDefinition": deepcopy(self.definitions[registered[-1]])}

    def describe_task_definition(
        self, *, taskDefinition: str, include: list[str] | None = None
    ) -> dict[str, Any]:
        self._called("describe_task_definition")
        if taskDefinition not in self.definitions:
            raise aws_error("ClientException", "Unable to describe task definition.")
        tags = [{"key": key, "value": value} for key, value in self.tags[taskDefinition].items()]
        return {"taskDefinition": deepcopy(self.definitions[taskDefinition]), "tags": tags}

    def list_services(self, *, cluster: str) -> dict[str, Any]:
        return {"serviceArns": [SERVICE]}

    def list_tasks(self, *, cluster: str, family: str, nextToken: str = "") -> dict[str, Any]:
        if not nextToken:
            return {"taskArns": [], "nextToken": "1"}
        return {"taskArns": sorted(self.tasks)}

    def describe_tasks(self, *, cluster: str, tasks: list[str]) -> dict[str, Any]:
        found = [f"{ACCOUNT}:task-definition/{self.tasks[each]}" for each in tasks]
        return {"tasks": [{"taskDefinitionArn": each} for each in found]}

    def deregister_task_definition(self, *, taskDefinition: str) -> None:
        self._called("deregister_task_definition")
        if self.definitions[taskDefinition]["status"] != "ACTIVE":
            raise aws_error("ClientException", message="The specified task definition is inactive.")
        self.definitions[taskDefinition]["status"] = "INACTIVE"

    def list_task_definitions(self, *, familyPrefix: str, status: str, **_: Any) -> dict[str, Any]:
        self._called("list_task_definitions")
        found = [
            each
            for name, each in self.definitions.items()
            if each["status"] == status and name.startswith(familyPrefix)
        ]
        return {"taskDefinitionArns": [each["taskDefinitionArn"] for each in reversed(found)]}

    def list_service_deployments(self, *, cluster: str, service: str) -> dict[str, Any]:
        self._called("list_service_deployments")
        return {"serviceDeployments": deepcopy(self.records)}

    def stop_service_deployment(self, *, serviceDeploymentArn: str, stopType: str) -> None:
        def write() -> None:
            if self.records[-1]["status"] != "IN_PROGRESS":
                raise aws_error("ConflictException")
            self.records[-1] |= {"status": "ROLLBACK_IN_PROGRESS", "statusReason": "stopped"}
            self.deployments = [{**self.deployments[1], "status": "PRIMARY", "rolloutState": "IN_PROGRESS"}]
            self.writes += 1

        self._written("stop_service_deployment", write)

    # ---- S3

    def get_object(self, *, Bucket: str, Key: str, VersionId: str) -> dict[str, Any]:
        self._called("get_object")
        return {"Body": io.BytesIO(self.objects[Key])}

    def pin(self, key: str, definition: Mapping[str, Any]) -> bytes:
        """Uploads a task definition."""
        self.objects[key] = json.dumps(definition).encode()
        return self.objects[key]

    # ---- as conformance needs it

    def _service(self) -> dict[str, Any]:
        return {
            "serviceArn": SERVICE,
            "serviceName": "storefront",
            "status": "ACTIVE",
            "desiredCount": self.desired,
            "deploymentController": {"type": self.controller},
            "deploymentConfiguration": {"deploymentCircuitBreaker": self.breaker},
            "deployments": deepcopy(self.deployments),
        }

    def _called(self, operation: str) -> None:
        if self.refused and self.refused[0] in ACTIONS[operation]:
            raise self.refused[1]

    def _written[T](self, operation: str, write: Callable[[], T]) -> T:
        self._called(operation)
        if others := self.others:
            self.others = None
            others()
        answer = write()
        return write() if self.loses and operation != "stop_service_deployment" else answer
