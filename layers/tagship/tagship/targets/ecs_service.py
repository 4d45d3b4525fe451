"""The adapter of target `ecs`. The candidate is a revision of the task definition; an ECS deployment replaces the
tasks.

ECS has no conditional writes. So each holder of the lock first writes its fencing number as a tag of the service, then
reads, writes, and reads again. Of two concurrent writers at least one sees the other, and the older one reverts its
write. A manual change between a read and a write shows in the write's response and is restored too.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tagship.aws.calls import REFUSED_CREDENTIALS, calling
from tagship.model.errors import (
    BaselineMissing,
    CandidateNotReady,
    LockLost,
    NotStable,
    PlanChanged,
    TagshipError,
    TargetInvalid,
    TargetMoved,
)
from tagship.model.records import Revision
from tagship.model.release import Artifact, PinnedObject
from tagship.targets import ecs_task
from tagship.targets.ecs import DIGEST, FAMILY, TASK, EcsTarget, service_arn
from tagship.targets.kind import (
    Artifacts,
    Change,
    Finding,
    Made,
    Move,
    Opened,
    Prepared,
    about_to_publish,
    brought,
)

_FENCE, _RELEASE = "tagship:fence:", "tagship:release"
_NOT_THERE: Mapping[str, type[TagshipError]] = {
    **REFUSED_CREDENTIALS,
    "ServiceNotFoundException": TargetInvalid,
    "ClusterNotFoundException": TargetInvalid,
}
_REFUSED: Mapping[str, type[TagshipError]] = {
    **_NOT_THERE,
    "ServiceNotActiveException": TargetInvalid,
    "InvalidParameterException": TargetInvalid,
    "ClientException": TargetInvalid,
}
_UNDERWAY = ("PENDING", "IN_PROGRESS", "STOP_REQUESTED", "ROLLBACK_REQUESTED", "ROLLBACK_IN_PROGRESS")
"""Statuses of an unfinished service deployment (ServiceDeploymentStatus)."""
_GOING_BACK = ("ROLLBACK_REQUESTED", "ROLLBACK_IN_PROGRESS")
_PACE_SECONDS = 5
"""The seconds between two checks of a service that is not stable yet."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EcsService:
    """One service, for one release."""

    application: str
    tag: str
    spec: EcsTarget
    ecs: Any
    s3: Any

    # ---- before approval -------------------------------------------------------------------------------------------

    def check(self, current: Revision | None) -> Finding:
        """Checks that ECS itself deploys the service, that it runs tasks, and that nobody else is deploying to it."""
        service = self._service()
        controller = (service.get("deploymentController") or {}).get("type", "ECS")
        if controller != "ECS":
            raise TargetInvalid(
                f"{self._release}: {self._name} is deployed by {controller}. Nothing was changed. Change its "
                "deployment controller to ECS."
            )
        if not service.get("desiredCount"):
            raise TargetInvalid(
                f"{self._release}: {self._name} has a desired count of 0, so nothing would show whether the "
                "release is healthy. Nothing was changed. Scale it up, then publish a new tag."
            )
        self._undrifted(service, current)
        if self._underway(service):
            raise CandidateNotReady(
                f"{self._release}: {self._name} is being deployed by someone else. Retry the release when that "
                "deployment is done."
            )
        breaker = (service.get("deploymentConfiguration") or {}).get("deploymentCircuitBreaker") or {}
        warning = (
            ""
            if breaker.get("enable") and breaker.get("rollback")
            else (
                f"{self._name} has no deployment circuit breaker with rollback: tasks that cannot start are "
                "noticed only when the deployment's time is over."
            )
        )
        return Finding(said=f"{self._name} runs {_standing(service)} and can be changed.", warning=warning)

    def _undrifted(self, service: Mapping[str, object], recorded: Revision | None) -> None:
        if recorded is None or recorded["data"].get("of", service_arn(self.spec)) != service_arn(self.spec):
            return
        if _standing(service) != recorded["id"]:
            raise TargetMoved(
                f"{self._release}: {self._name} runs {_standing(service)}, but according to the ledger "
                f"{recorded['id']} is deployed: someone else changed it. Tagship did not overwrite it. To "
                f"restore {recorded['id']}: {self._by_hand(recorded['id'])}"
            )

    def dry_run(self, artifacts: Artifacts) -> Finding:
        """ECS has no dry run."""
        self._brought(artifacts)
        return Finding(said="")

    def look_into(self, artifacts: Artifacts, opened: Opened) -> tuple[str, Sequence[str]]:
        """Finds everything in the task definition that ECS would refuse later."""
        artifact, pinned = self._brought(artifacts)
        with opened(pinned) as file:
            content = file.read(ecs_task.MOST_BYTES + 1)
        try:
            definition = ecs_task.read(content)
        except ecs_task.Unreadable as error:
            return "", [f"{artifact.file} is not a valid task definition: {error}."]
        found = ecs_task.problems(
            definition, family=_family(_standing(self._service())), roles=self.spec.taskRoles
        )
        containers = len(definition.get("containerDefinitions", ()))
        return f"{artifact.file} defines {containers} containers, each pinned by its digest.", [
            f"{artifact.file}: {problem}" for problem in found
        ]

    def restorable(self, current: Revision | None) -> Finding | None:  # noqa: ARG002 (revisions can't be changed)
        """Checks that the current revision is active, so that the service can be restored to it."""
        standing = _standing(self._service())
        self._active(standing, BaselineMissing)
        return Finding(said=f"task definition {standing}")

    def plan(self, artifacts: Artifacts, parameters: Mapping[str, str], *, weighted: bool) -> Change:  # noqa: ARG002 (a task takes none)
        """Compares the current revision with the release's task definition."""
        definition = self._definition(artifacts)
        service = self._service()
        standing = _standing(service)
        serving = self._active(standing, BaselineMissing)
        if found := ecs_task.problems(definition, family=_family(standing), roles=self.spec.taskRoles):
            raise TargetInvalid(f"{self._release}: {' '.join(found)} Nothing was changed.")
        baseline: Revision = {
            "id": standing,
            "digest": ecs_task.digest_of(serving),
            "etag": str(_primary(service)["id"]),
            "data": {"of": service_arn(self.spec)},
        }
        candidate: Revision = {
            "id": "",
            "digest": ecs_task.digest_of(definition),
            "data": {"of": service_arn(self.spec)},
        }
        if baseline["digest"] == candidate["digest"]:
            return Change(
                baseline=baseline,
                candidate=baseline,
                nothingToChange=True,
                summary=[
                    f"Nothing to change: {self._name} already runs this task definition, as {standing}."
                ],
            )
        tasks = "1 task" if service["desiredCount"] == 1 else f"{service['desiredCount']} tasks"
        strategy = (service.get("deploymentConfiguration") or {}).get("strategy", "ROLLING")
        return Change(
            baseline=baseline,
            candidate=candidate,
            summary=[
                f"{self._name}: {standing} → a new revision; ECS replaces {tasks} ({strategy.lower().replace('_', '/')}).",
                *(
                    ecs_task.differences(serving, definition)
                    or ["The task definition has the same meaning, written differently."]
                ),
            ],
        )

    # ---- the candidate ---------------------------------------------------------------------------------------------

    def prepare(self, artifacts: Artifacts, candidate: Revision, made: Made) -> Prepared:
        """Registers the task definition. If several were registered for one release, the oldest is the candidate."""
        definition = self._definition(artifacts)
        if ecs_task.digest_of(definition) != candidate["digest"]:
            raise PlanChanged(
                f"{self._release}: the task definition is not the one that was approved. No traffic was moved. "
                "Publish a new tag to plan and approve it again."
            )
        name = self._made(definition["family"], candidate["digest"])
        if name is None:
            # should this step die before it can record the revision's number
            made(about_to_publish({**candidate, "data": {**candidate["data"], FAMILY: definition["family"]}}))
            with calling(f"{self._release}: registering {definition['family']}", **_REFUSED):
                answer = self.ecs.register_task_definition(
                    **definition,
                    tags=[
                        {"key": _RELEASE, "value": self._release},
                        {"key": DIGEST, "value": candidate["digest"]},
                    ],
                )
            made({**candidate, "id": _name(answer["taskDefinition"]["taskDefinitionArn"])})
            name = self._made(definition["family"], candidate["digest"])
        if name is None:  # ECS's lists may lag behind its writes
            return Prepared(wait=_PACE_SECONDS)
        made({**candidate, "id": name})
        registered = self._active(name, TargetInvalid)
        if not _holds(ecs_task.normal(registered), ecs_task.normal(definition)):
            raise PlanChanged(
                f"{self._release}: {name} is not what was approved, although it has the approved digest. No "
                "traffic was moved."
            )
        return Prepared(candidate={**candidate, "id": name})

    def _made(self, family: str, digest: str) -> str | None:
        """The oldest revision that was registered for this release, among those newer than the current one."""
        served = _number(_standing(self._service()))
        with calling(f"{self._release}: looking for what was registered", **_REFUSED):
            arns = self.ecs.list_task_definitions(
                familyPrefix=family, status="ACTIVE", sort="DESC", maxResults=20
            )
        newer = sorted((_name(arn) for arn in arns["taskDefinitionArns"]), key=_number)
        for name in newer:
            if _number(name) > served:
                with calling(f"{self._release}: looking at {name}", **_REFUSED):
                    found = self.ecs.describe_task_definition(taskDefinition=name, include=["TAGS"])
                tags = {each["key"]: each["value"] for each in found.get("tags", ())}
                if (tags.get(_RELEASE), tags.get(DIGEST)) == (self._release, digest):
                    return name
        return None

    # ---- traffic ---------------------------------------------------------------------------------------------------

    def verify_unchanged(self, move: Move) -> None:
        """Checks the service, and the candidate if it has been made."""
        self._as_expected(self._service(), move)
        if move.candidate["id"]:
            self._active(move.candidate["id"], TargetInvalid)

    def set_weight(self, move: Move) -> str:
        """Updates the service to the revision, so that ECS starts a deployment; returns the deployment's id."""
        service = self._service()
        if self._as_expected(service, move):
            return str(_primary(service)["id"])
        wanted = _wanted(move)
        self._active(wanted, TargetInvalid)
        self._fence(service, move.fence)
        service = self._service()
        if self._as_expected(service, move):
            return str(_primary(service)["id"])
        return self._update(wanted, seen=_primary(service), fence=move.fence)

    def _as_expected(self, service: Mapping[str, object], move: Move) -> bool:
        """Whether an earlier attempt has already moved it."""
        self._refuse_older(service, move.fence)
        if _standing(service) == _wanted(move) and move.fence in _fences(service):
            return True
        if _primary(service)["id"] != move.etag:
            raise TargetMoved(self._moved(service))
        return False

    def _update(self, wanted: str, *, seen: Mapping[str, Any], fence: int) -> str:
        """Writes and then checks; reverts the write if it should not have happened."""
        service = self._moved_to(wanted)
        replaced = [each for each in service["deployments"] if each["id"] != _primary(service)["id"]]
        before = max(replaced, key=lambda each: each["createdAt"], default=seen)
        if _name(before["taskDefinition"]) not in (_name(seen["taskDefinition"]), wanted):
            self._moved_to(_name(before["taskDefinition"]))
            raise TargetMoved(f"{self._moved({'deployments': [before]})} Tagship undid what it had started.")
        try:
            self._refuse_older(self._service(), fence)
        except LockLost:
            self._moved_to(_name(before["taskDefinition"]))
            raise
        return str(_primary(service)["id"])

    def _moved_to(self, wanted: str) -> Mapping[str, Any]:
        with calling(f"{self._release}: giving {self._name} the revision {wanted}", **_REFUSED):
            answer = self.ecs.update_service(
                cluster=self.spec.cluster, service=self.spec.service, taskDefinition=wanted
            )
        service: Mapping[str, object] = answer["service"]
        return service

    def verify_weight(self, move: Move) -> int:
        """Checks that ECS's deployment is finished, that the service is on the revision, and that all its tasks run."""
        service, wanted = self._service(), _wanted(move)
        ours = {each["id"] for each in (move.baseline, move.candidate) if each}
        standing, primary = _standing(service), _primary(service)
        if standing not in ours:
            raise TargetMoved(self._moved(service))
        last = self._last_deployment()
        if last.get("status") in _UNDERWAY:
            going_back = last["status"] in _GOING_BACK
            if going_back and wanted == move.candidate["id"]:
                raise TargetInvalid(self._given_up(wanted, last))
            return _PACE_SECONDS
        if standing != wanted and wanted == move.candidate["id"]:
            raise TargetInvalid(self._given_up(wanted, last))
        if standing != wanted:
            raise TargetMoved(self._moved(service))
        if primary.get("rolloutState") == "FAILED" or last.get("status") == "ROLLBACK_FAILED":
            raise TargetInvalid(
                self._given_up(wanted, {"statusReason": primary.get("rolloutStateReason"), **last})
            )
        if not service.get("desiredCount"):
            raise TargetInvalid(
                f"{self._release}: {self._name} was scaled to 0 tasks during the deployment: nothing shows "
                f"that {wanted} works."
            )
        runs = primary.get("runningCount", 0) >= service["desiredCount"] and len(service["deployments"]) == 1
        return 0 if runs and primary.get("rolloutState", "COMPLETED") == "COMPLETED" else _PACE_SECONDS

    def _given_up(self, wanted: str, last: Mapping[str, object]) -> str:
        reason = last.get("statusReason") or "no reason given"
        return f"{self._release}: ECS gave up deploying {wanted} to {self._name}: {reason}"

    # ---- the baseline ----------------------------------------------------------------------------------------------

    def exists(self, revision: Revision) -> None:
        """Checks that the revision is active. Its content can't be changed."""
        self._active(revision["id"], BaselineMissing)

    def serving(self) -> Revision | None:
        """The revision that the service is set to run."""
        service = self._service()
        if self._underway(service):
            raise TargetInvalid(
                f"{self._release}: {self._name} is still being deployed: it does not run exactly one revision."
            )
        standing = _standing(service)
        found = self._active(standing, BaselineMissing)
        return {"id": standing, "digest": ecs_task.digest_of(found), "data": {"of": service_arn(self.spec)}}

    def restore(
        self,
        *,
        baseline: Revision | None,
        candidate: Revision | None,
        fence: int,
        replaced: Revision | None = None,
    ) -> str:
        """While ECS deploys the candidate, rolls its deployment back; afterwards, deploys the baseline."""
        if baseline is None:
            raise BaselineMissing(
                f"{self._release}: nothing served traffic before this release: there is nothing to restore."
            )
        ours = {each["id"] for each in (baseline, candidate, replaced) if each}
        service = self._standing_on(ours, fence, baseline)
        self._active(baseline["id"], BaselineMissing)
        self._fence(service, fence)
        service = self._standing_on(ours, fence, baseline)
        if _standing(service) == baseline["id"]:
            return f"{self._name} already runs {baseline['id']}."
        last = self._last_deployment()
        if last.get("status") in _GOING_BACK:
            return f"{self._name} is already being rolled back; {baseline['id']} will serve again."
        if last.get("status") in _UNDERWAY and _replaced(service) == baseline["id"]:
            self._stop(last)
            return f"{self._name}: ECS is rolling the deployment back; {baseline['id']} will serve again."
        try:
            self._update(baseline["id"], seen=_primary(service), fence=fence)
        except TargetMoved as error:  # changed since it was read: read again
            raise NotStable(str(error)) from error
        return f"{self._name} is being restored to {baseline['id']}."

    def _standing_on(self, ours: Iterable[str], fence: int, baseline: Revision) -> dict[str, object]:
        service = self._service()
        self._refuse_older(service, fence)
        if _standing(service) not in ours:
            raise TargetMoved(
                f"{self._moved(service)} To restore the baseline by hand: {self._by_hand(baseline['id'])}"
            )
        return service

    def _stop(self, deployment: Mapping[str, object]) -> None:
        with calling(
            f"{self._release}: rolling the deployment of {self._name} back",
            **{**_REFUSED, "ConflictException": NotStable, "ServiceDeploymentNotFoundException": NotStable},
        ):
            self.ecs.stop_service_deployment(
                serviceDeploymentArn=deployment["serviceDeploymentArn"], stopType="ROLLBACK"
            )

    # ---- fencing numbers -------------------------------------------------------------------------------------------

    def _fence(self, service: Mapping[str, object], fence: int) -> None:
        """Writes this number as a tag, so that no late holder can overwrite a newer one; then removes older tags."""
        known = _fences(service)
        if fence in known:
            return
        with calling(f"{self._release}: marking {self._name}", **_REFUSED):
            self.ecs.tag_resource(
                resourceArn=service_arn(self.spec), tags=[{"key": f"{_FENCE}{fence}", "value": self._release}]
            )
        if older := [f"{_FENCE}{each}" for each in known if each < fence]:
            with calling(f"{self._release}: unmarking {self._name}", **_REFUSED):
                self.ecs.untag_resource(resourceArn=service_arn(self.spec), tagKeys=older)

    def _refuse_older(self, service: Mapping[str, object], fence: int) -> None:
        if (newest := max(_fences(service), default=0)) > fence:
            raise LockLost(
                f"{self._release}: {self._name} was changed with the newer fencing number {newest}, so {fence} "
                "can no longer change it."
            )

    # ---- reading ---------------------------------------------------------------------------------------------------

    def _service(self) -> dict[str, Any]:
        with calling(f"{self._release}: looking at {self._name}", **_NOT_THERE):
            found = self.ecs.describe_services(
                cluster=self.spec.cluster, services=[self.spec.service], include=["TAGS"]
            )
        for service in found["services"]:
            if service.get("status") == "ACTIVE":
                return dict(service)
        raise TargetInvalid(
            f"{self._release}: service {self.spec.service} is not active in cluster {self.spec.cluster} "
            f"(account {self.spec.account}, {self.spec.region}). Nothing was changed. Create the service "
            "first; Tagship deploys only to existing services."
        )

    def _underway(self, service: Mapping[str, Any]) -> bool:
        primary = _primary(service)
        return len(service["deployments"]) > 1 or primary.get("rolloutState", "COMPLETED") == "IN_PROGRESS"

    def _last_deployment(self) -> dict[str, object]:
        """ECS's own record of the newest deployment; empty if there is none."""
        with calling(f"{self._release}: looking at the deployments of {self._name}", **_NOT_THERE):
            found = self.ecs.list_service_deployments(cluster=self.spec.cluster, service=self.spec.service)
        return max(found["serviceDeployments"], key=lambda each: each["createdAt"], default={})

    def _active(self, name: str, missing: type[TargetInvalid | BaselineMissing]) -> dict[str, object]:
        with calling(f"{self._release}: looking at {name}", **{**_REFUSED, "ClientException": missing}):
            found = self.ecs.describe_task_definition(taskDefinition=name)["taskDefinition"]
        if found.get("status", "ACTIVE") != "ACTIVE":
            raise missing(
                f"{self._release}: the task definition {name} is {found['status']}: it was deregistered, so no "
                "service can use it."
            )
        return dict(found)

    def _brought(self, artifacts: Artifacts) -> tuple[Artifact, PinnedObject]:
        return brought(artifacts, TASK, kind="ecs", release=self._release)

    def _definition(self, artifacts: Artifacts) -> dict[str, Any]:
        artifact, pinned = self._brought(artifacts)
        with calling(f"{self._release}: reading {artifact.file}", **REFUSED_CREDENTIALS):
            body = self.s3.get_object(Bucket=pinned.bucket, Key=pinned.key, VersionId=pinned.versionId)[
                "Body"
            ]
            content = body.read(ecs_task.MOST_BYTES + 1)
        try:
            return ecs_task.read(content)
        except ecs_task.Unreadable as error:
            raise TargetInvalid(
                f"{self._release}: {artifact.file} is not a valid task definition: {error}. Nothing was "
                "changed."
            ) from error

    # ---- words -----------------------------------------------------------------------------------------------------

    @property
    def _release(self) -> str:
        return f"{self.application} {self.tag}".rstrip()

    @property
    def _name(self) -> str:
        return f"the service {self.spec.service} of the cluster {self.spec.cluster}"

    def _moved(self, service: Mapping[str, Any]) -> str:
        return (
            f"{self._release}: {self._name} was deployed by someone else after the plan was made: it runs "
            f"{_name(service['deployments'][0]['taskDefinition'])}. Tagship did not overwrite it."
        )

    def _by_hand(self, name: str) -> str:
        where = f"--cluster {self.spec.cluster} --service {self.spec.service} --region {self.spec.region}"
        return f"aws ecs update-service {where} --task-definition {name}"


def _primary(service: Mapping[str, Any]) -> Mapping[str, Any]:
    """The deployment that the service runs or is moving to."""
    deployments: Sequence[Mapping[str, object]] = service["deployments"]
    return next((each for each in deployments if each.get("status") == "PRIMARY"), deployments[0])


def _standing(service: Mapping[str, object]) -> str:
    return _name(_primary(service)["taskDefinition"])


def _replaced(service: Mapping[str, Any]) -> str:
    """The revision that a rollback of the running deployment returns to."""
    others = [each for each in service["deployments"] if each.get("status") != "PRIMARY"]
    newest = max(others, key=lambda each: each["createdAt"], default=None)
    return _name(newest["taskDefinition"]) if newest else ""


def _name(arn: str) -> str:
    """`web:7` from a task definition's ARN."""
    return arn.rpartition("/")[2]


def _family(name: str) -> str:
    return name.rpartition(":")[0]


def _number(name: str) -> int:
    return int(name.rpartition(":")[2])


def _wanted(move: Move) -> str:
    return move.candidate["id"] if move.percent or move.baseline is None else move.baseline["id"]


def _fences(service: Mapping[str, Any]) -> set[int]:
    keys = (str(each["key"]) for each in service.get("tags", ()))
    return {
        int(number)
        for key in keys
        if key.startswith(_FENCE) and (number := key.removeprefix(_FENCE)).isdigit()
    }


def _holds(whole: object, part: object) -> bool:
    """Whether everything requested is in the result. ECS may have filled in more."""
    if isinstance(part, Mapping):
        return isinstance(whole, Mapping) and all(
            _holds(whole.get(name), each) for name, each in part.items()
        )
    if isinstance(part, list):
        return isinstance(whole, list) and len(whole) == len(part) and all(map(_holds, whole, part))
    return bool(whole == part)
