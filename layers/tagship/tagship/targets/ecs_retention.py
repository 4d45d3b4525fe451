"""Finds and deletes the task definitions that earlier releases left, unless the cluster still uses them."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from tagship.aws.calls import REFUSED_CREDENTIALS, calling, code_of, message_of
from tagship.model.errors import TargetInvalid
from tagship.model.records import Revision
from tagship.targets.ecs import DIGEST, FAMILY, EcsTarget, service_arn
from tagship.targets.kind import Stored, is_unnumbered

if TYPE_CHECKING:
    from mypy_boto3_ecs import ECSClient

_TITLE = "task definition "
_DESCRIBED_AT_ONCE = 10
"""The most services in one call (DescribeServices)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskDefinitions:
    """The active revisions of the families that a service's releases used, read with the caller's permissions."""

    application: str
    spec: EcsTarget
    ecs: ECSClient

    def stored(self, known: Sequence[Revision]) -> Sequence[Stored]:
        """A revision can't be changed, so its name identifies it.

        A revision whose number was not recorded, because the step died, belongs to the release that was about to
        register it with its digest.
        """
        ours = [each for each in known if each["data"].get("of") == service_arn(self.spec)]
        numbered = {each["digest"] for each in ours if each["id"]}
        unnumbered = [each for each in ours if is_unnumbered(each, numbered)]
        families = sorted({_family(each) for each in ours} - {""})
        used = self._used(families) if families else {}
        found = []
        for name in itertools.chain.from_iterable(map(self._active, families)):
            revisions = [each for each in ours if each["id"] == name]
            if unnumbered and not revisions:
                digest = self._digest(name)
                revisions = [each for each in unnumbered if each["digest"] == digest]
            found.append(Stored(name=f"{_TITLE}{name}", revisions=revisions, used=used.get(name, "")))
        return found

    def delete(self, stored: Stored) -> None:
        """Deregisters it. ECS starts no more tasks from it, but keeps its text."""
        name = stored.name.removeprefix(_TITLE)
        try:
            with self._calling(f"deregistering {name}"):
                self.ecs.deregister_task_definition(taskDefinition=name)
        except ClientError as error:
            if "not find" in message_of(error) or "inactive" in message_of(error).lower():
                return
            raise TargetInvalid(
                f"{self.application}: {name} was not deregistered: AWS refused ({code_of(error)}): {message_of(error)}"
            ) from error

    def _active(self, family: str) -> list[str]:
        """ECS lists families by prefix, so the result may include others."""
        request = {"familyPrefix": family, "status": "ACTIVE", "sort": "ASC"}
        names = [_name(arn) for arn in self._listed("list_task_definitions", "taskDefinitionArns", **request)]
        return [name for name in names if name.rpartition(":")[0] == family]

    def _digest(self, name: str) -> str:
        """The digest that Tagship gave it as a tag; empty for a revision of somebody else."""
        with self._calling(f"looking at {name}"):
            found = self.ecs.describe_task_definition(taskDefinition=name, include=["TAGS"])
        return next((each["value"] for each in found.get("tags", ()) if each["key"] == DIGEST), "")

    def _used(self, families: Sequence[str]) -> Mapping[str, str]:
        """The task definitions that the cluster's services and tasks use."""
        found: dict[str, str] = {}
        services = list(self._listed("list_services", "serviceArns", cluster=self.spec.cluster))
        for at in range(0, len(services), _DESCRIBED_AT_ONCE):
            with self._calling(f"looking at the services of {self.spec.cluster}"):
                answer = self.ecs.describe_services(
                    cluster=self.spec.cluster, services=services[at : at + _DESCRIBED_AT_ONCE]
                )
            for service in answer["services"]:
                for deployment in service["deployments"]:
                    why = f"the service {service['serviceName']} runs it"
                    found.setdefault(_name(deployment["taskDefinition"]), why)
        for family in families:
            tasks = list(self._listed("list_tasks", "taskArns", cluster=self.spec.cluster, family=family))
            for at in range(0, len(tasks), 100):
                with self._calling(f"looking at the tasks of {self.spec.cluster}"):
                    described = self.ecs.describe_tasks(cluster=self.spec.cluster, tasks=tasks[at : at + 100])
                for task in described["tasks"]:
                    found.setdefault(_name(task["taskDefinitionArn"]), "a task runs it")
        return found

    def _listed(self, operation: str, what: str, **request: str) -> Iterator[str]:
        more: dict[str, str] = {}
        while True:
            with self._calling(f"looking at what the cluster {self.spec.cluster} runs"):
                page: Mapping[str, Any] = getattr(self.ecs, operation)(**request, **more)
            yield from page[what]
            if not page.get("nextToken"):
                return
            more = {"nextToken": page["nextToken"]}

    def _calling(self, what: str) -> AbstractContextManager[None]:
        return calling(
            f"{self.application}: {what}", **REFUSED_CREDENTIALS, ClusterNotFoundException=TargetInvalid
        )


def _family(revision: Revision) -> str:
    """Empty for a revision that was planned and never registered."""
    return revision["id"].rpartition(":")[0] or str(revision["data"].get(FAMILY, ""))


def _name(arn: str) -> str:
    return arn.rpartition("/")[2]
