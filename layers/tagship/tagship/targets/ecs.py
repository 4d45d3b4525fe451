"""Target `ecs`: a service on ECS. Its part of application.yaml, and its `Kind`.

The adapter is in its own module, so that a step that only reads a configuration does not load it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from importlib import import_module
from typing import Annotated, Any, Literal

import annotated_types as at

from tagship.aws.rights import Right, partition_of
from tagship.model.fields import ACCOUNT, CONFIG, EXTERNAL_ID, REGION, ROLE, Matching
from tagship.model.records import Revision
from tagship.targets.kind import Keeper, Kind, Subject, Target

TASK = "task-definition"
"""The name of the artifact that a release contains."""
DIGEST = "tagship:digest"
"""The tag of a registered task definition: the approved digest."""
FAMILY = "family"
"""A key in a revision's data: the family of a task definition that is about to be registered."""
_NAME = Matching(r"^[A-Za-z0-9_-]{1,255}$", "a name in ECS: letters, digits, - and _")


@dataclass(frozen=True, slots=True, kw_only=True)
class EcsTarget:
    """A service on ECS; a release gives it a new revision of its task definition, and ECS replaces the tasks."""

    __pydantic_config__ = CONFIG

    type: Literal["ecs"]
    """The kind of target."""
    cluster: Annotated[str, _NAME]
    """The cluster's name."""
    service: Annotated[str, _NAME]
    """The service's name. It must exist, and run at least one task."""
    account: Annotated[str, ACCOUNT]
    """The target's AWS account, 12 digits in quotes."""
    region: Annotated[str, REGION]
    """The target's AWS region."""
    role: Annotated[str, ROLE]
    """The role that Tagship assumes for every call to the target."""
    externalId: Annotated[str, EXTERNAL_ID]
    """The external ID that the role's trust policy requires."""
    taskRoles: Annotated[tuple[Annotated[str, ROLE], ...], at.MaxLen(6)] = ()
    """The roles that a task definition may use as task role or execution role."""


def service_arn(target: EcsTarget) -> str:
    """The service's ARN, which is also what a revision is `of`."""
    where = f"arn:{partition_of(target)}:ecs:{target.region}:{target.account}"
    return f"{where}:service/{target.cluster}/{target.service}"


def rights(target: EcsTarget, *, objects: Iterable[str]) -> tuple[Right, ...]:
    """The permissions that this adapter needs in the application's role. `objects` are the task definitions' ARNs it
    may read."""
    ecs = f"arn:{partition_of(target)}:ecs:{target.region}:{target.account}"
    service, reads = service_arn(target), tuple(objects)
    deployments = f"{ecs}:service-deployment/{target.cluster}/{target.service}/*"
    may = [
        Right(name="LookAtTheService", actions=("ecs:DescribeServices",), on=(service,)),
        Right(
            name="LookAtDeployments",
            actions=("ecs:ListServiceDeployments",),
            on=(service,),
        ),
        # IAM has no resource for these two actions.
        Right(
            name="LookAtTaskDefinitions",
            actions=("ecs:DescribeTaskDefinition", "ecs:ListTaskDefinitions"),
            on=("*",),
        ),
        # The service stores the fencing numbers of its writers as tags.
        Right(
            name="MoveTheService",
            actions=("ecs:UpdateService", "ecs:TagResource", "ecs:UntagResource"),
            on=(service,),
        ),
        Right(name="RollADeploymentBack", actions=("ecs:StopServiceDeployment",), on=(deployments,)),
    ]
    if target.taskRoles:  # ECS needs it when a task definition with roles is registered or deployed
        may.append(
            Right(
                name="GiveTasksTheirRoles",
                actions=("iam:PassRole",),
                on=tuple(target.taskRoles),
                passed_to="ecs-tasks.amazonaws.com",
            )
        )
    if reads:
        may += [
            # A task definition by itself runs nothing. The statements above limit the service and its roles.
            Right(
                name="RegisterTheCandidate",
                actions=("ecs:RegisterTaskDefinition", "ecs:TagResource"),
                on=(f"{ecs}:task-definition/*",),
            ),
            Right(name="ReadThePinnedTaskDefinition", actions=("s3:GetObjectVersion",), on=reads),
        ]
    return tuple(may)


def _make(*, client: Callable[[str], Any], **given: object) -> Target:
    adapter: Target = import_module("tagship.targets.ecs_service").EcsService(
        ecs=client("ecs"), s3=client("s3"), **given
    )
    return adapter


def _keeps(*, client: Callable[[str], Any], **given: Any) -> Keeper:
    keeper: Keeper = import_module("tagship.targets.ecs_retention").TaskDefinitions(
        ecs=client("ecs"), **given
    )
    return keeper


def _subject(spec: EcsTarget, revision: Revision | None) -> Subject:
    return Subject(
        names={
            "cluster": spec.cluster,
            "service": spec.service,
            "version": revision["id"] if revision else "",
        }
    )


def _describe(_: EcsTarget, revision: Revision | None) -> str:
    return f"task definition {revision['id']}" if revision and revision["id"] else ""


def _where(spec: EcsTarget) -> str:
    return f"the service {spec.service} of the cluster {spec.cluster} (account {spec.account}, {spec.region})"


_IMAGE = "123456789012.dkr.ecr.eu-central-1.amazonaws.com/web@sha256"
KIND = Kind(
    name="ecs",
    spec=EcsTarget,
    example={
        "type": "ecs",
        "cluster": "shop",
        "service": "storefront",
        "account": "123456789012",
        "region": "eu-central-1",
        "role": "arn:aws:iam::123456789012:role/tagship-app-storefront",
        "externalId": "tagship-production",
        "taskRoles": [
            "arn:aws:iam::123456789012:role/storefront-task",
            "arn:aws:iam::123456789012:role/storefront-execution",
        ],
    },
    artifacts={
        TASK: "the task definition, as JSON: what `aws ecs register-task-definition --cli-input-json` takes"
    },
    planned=[
        "the service storefront of the cluster shop: storefront:41 → a new revision; ECS replaces 6 tasks (rolling).",
        f"Container web, image: {_IMAGE}:{'4f2a91c0' * 8} → web@sha256:{'9c1b77de' * 8}",
        "Container web, environment: FEATURE_VOUCHERS added",
    ],
    weighted=False,
    step_seconds=300,
    settle_seconds=900,
    make=_make,
    rights=rights,
    subject=_subject,
    describe=_describe,
    where=_where,
    keeps=_keeps,
)
