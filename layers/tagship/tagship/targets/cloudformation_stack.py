"""Target `cloudformation`: an existing stack. Its part of application.yaml, and its `Kind`.

The adapter is in its own module, so that a step that only reads a configuration does not load it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from importlib import import_module
from typing import Annotated, Any, Literal

import annotated_types as at

from tagship.aws.rights import Right, partition_of
from tagship.model.fields import ACCOUNT, ALARM_NAME, CONFIG, EXTERNAL_ID, REGION, ROLE, Matching
from tagship.model.records import Revision
from tagship.targets.kind import Keeper, Kind, Subject, Target

TEMPLATE = "template"
"""The name of the artifact that a release contains."""
CAPABILITIES = Literal["CAPABILITY_IAM", "CAPABILITY_NAMED_IAM", "CAPABILITY_AUTO_EXPAND"]
_SERVICE = "cloudformation.amazonaws.com"


@dataclass(frozen=True, slots=True, kw_only=True)
class StackTarget:
    """An existing CloudFormation stack. A release executes the approved change set."""

    __pydantic_config__ = CONFIG

    type: Literal["cloudformation"]
    """The kind of target."""
    stack: Annotated[
        str, Matching(r"^[A-Za-z][A-Za-z0-9-]{0,63}$", "a stack's name: letters, digits and -, at most 64")
    ]
    """The stack's name."""
    account: Annotated[str, ACCOUNT]
    """The target's AWS account, 12 digits in quotes."""
    region: Annotated[str, REGION]
    """The target's AWS region."""
    role: Annotated[str, ROLE]
    """The role that Tagship assumes for every call to the target."""
    externalId: Annotated[str, EXTERNAL_ID]
    """The external ID that the role's trust policy requires."""
    serviceRole: Annotated[str, ROLE]
    """The role with which CloudFormation changes the stack's resources. Tagship passes it on and has none of its rights."""
    bucket: Annotated[
        str, Matching(r"^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$", "a bucket's name: a-z, 0-9, . and -, 3 to 63")
    ]
    """A bucket in the stack's account and region: Tagship keeps each template there, below `tagship/`, for a rollback."""
    capabilities: Annotated[tuple[CAPABILITIES, ...], at.MaxLen(3)] = ()
    """What the template may do: create IAM resources, or use macros (SAM needs CAPABILITY_AUTO_EXPAND)."""
    alarms: Annotated[tuple[Annotated[str, ALARM_NAME], ...], at.MaxLen(5)] = ()
    """CloudWatch alarms: CloudFormation rolls an update back if one of them fires during it."""
    drift: Literal["warn", "refuse", "revert"] = "warn"
    """What to do if the last drift detection found drift: warn approvers, stop, or undo the changes by hand."""


def stack_arn(spec: StackTarget, name: str) -> str:
    """The ARN of a stack in the target's account and region, whatever its id."""
    return f"arn:{partition_of(spec)}:cloudformation:{spec.region}:{spec.account}:stack/{name}/*"


def rights(spec: StackTarget, *, objects: Iterable[str]) -> tuple[Right, ...]:
    """The permissions that this adapter needs in the application's role.

    `objects` are the ARNs of the templates that may be released. If there are none, no change set may be made.
    """
    bucket, sources = f"arn:{partition_of(spec)}:s3:::{spec.bucket}", tuple(objects)
    stack = stack_arn(spec, spec.stack)
    may = [
        Right(
            name="LookAtTheStack",
            actions=(
                "cloudformation:DescribeStacks",
                "cloudformation:DescribeStackEvents",
                "cloudformation:DescribeStackResourceDrifts",
                "cloudformation:GetTemplate",
                "cloudformation:DescribeChangeSet",
            ),
            # A nested stack's name starts with its parent's name.
            on=(stack, stack_arn(spec, f"{spec.stack}-*")),
        ),
        Right(
            name="UpdateTheStack",
            # UpdateStack is for the rollback. DeleteChangeSet prevents a late duplicate from executing the change set.
            actions=(
                "cloudformation:ExecuteChangeSet",
                "cloudformation:UpdateStack",
                "cloudformation:CancelUpdateStack",
                "cloudformation:DeleteChangeSet",
                *(("cloudformation:CreateChangeSet", "cloudformation:GetStackPolicy") if sources else ()),
            ),
            on=(stack,),
        ),
        Right(
            name="PassTheServiceRole", actions=("iam:PassRole",), on=(spec.serviceRole,), passed_to=_SERVICE
        ),
        Right(
            name="KeepTheTemplates",
            actions=("s3:GetObject", *(("s3:PutObject",) if sources else ())),
            on=(f"{bucket}/tagship/{spec.stack}/*",),
        ),
        # Without it, S3 answers 403 instead of 404 for a missing template.
        Right(name="FindTheKeptTemplates", actions=("s3:ListBucket",), on=(bucket,)),
    ]
    if sources:
        may += [
            # IAM has no resource for a template that no stack uses yet.
            Right(name="LookAtTheTemplate", actions=("cloudformation:GetTemplateSummary",), on=("*",)),
            Right(name="ReadThePinnedTemplate", actions=("s3:GetObjectVersion",), on=sources),
        ]
    return tuple(may)


def _make(*, client: Callable[[str], Any], **given: Any) -> Target:
    adapter: Target = import_module("tagship.targets.cloudformation_update").Stack(client=client, **given)
    return adapter


def _keeps(*, client: Callable[[str], Any], **given: Any) -> Keeper:
    keeper: Keeper = import_module("tagship.targets.cloudformation_retention").Templates(
        s3=client("s3"), **given
    )
    return keeper


def _subject(spec: StackTarget, revision: Revision | None) -> Subject:
    return Subject(names={"stack": spec.stack, "version": revision["id"] if revision else ""})


def _describe(_: StackTarget, revision: Revision | None) -> str:
    return f"template and parameters {revision['id']}" if revision and revision["id"] else ""


def _where(spec: StackTarget) -> str:
    return f"the stack {spec.stack} (account {spec.account}, {spec.region})"


def _roles(spec: StackTarget) -> Mapping[str, Any]:
    """The service role. Only the team knows what permissions the stack's resources need."""
    *path, name = spec.serviceRole.split(":role/", 1)[1].split("/")
    return {
        "ServiceRole": {
            "Type": "AWS::IAM::Role",
            "Properties": {
                "RoleName": name,
                "Path": "/" + "".join(f"{part}/" for part in path),
                "Description": f"Used by CloudFormation to update {spec.stack}; add what its resources need",
                "AssumeRolePolicyDocument": {
                    "Version": "2012-10-17",
                    "Statement": [
                        {
                            "Effect": "Allow",
                            "Principal": {"Service": _SERVICE},
                            "Action": "sts:AssumeRole",
                        }
                    ],
                },
            },
        }
    }


KIND = Kind(
    name="cloudformation",
    spec=StackTarget,
    example={
        "type": "cloudformation",
        "stack": "storefront",
        "account": "123456789012",
        "region": "eu-central-1",
        "role": "arn:aws:iam::123456789012:role/tagship-app-storefront",
        "externalId": "tagship-production",
        "serviceRole": "arn:aws:iam::123456789012:role/storefront-stack",
        "bucket": "storefront-templates",
        "capabilities": ["CAPABILITY_IAM", "CAPABILITY_AUTO_EXPAND"],
        "alarms": ["storefront-errors"],
        "drift": "warn",
    },
    artifacts={TEMPLATE: "the template, packaged"},
    planned=[
        "the stack storefront: 3 changes by the change set tagship-v1-4-0-df30caa3db5a183e",
        "REPLACES AWS::CloudWatch::Alarm TooManyErrors, because of AlarmName",
        "Adds AWS::SQS::Queue Vouchers",
        "Changes AWS::Lambda::Function Basket, because of Code and MemorySize",
        "Parameter KeepSeconds: 345600 → 604800",
    ],
    weighted=False,
    step_seconds=120,
    settle_seconds=900,
    make=_make,
    rights=rights,
    subject=_subject,
    describe=_describe,
    where=_where,
    stored_as=lambda revision: [str(revision["data"].get("template"))],
    keeps=_keeps,
    roles=_roles,
)
