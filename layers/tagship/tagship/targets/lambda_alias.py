"""Target `lambda`: a function behind an alias; its part of application.yaml, and what the rest knows of it.

The adapter is in a module of its own, because a step that only reads a configuration need not load it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from importlib import import_module
from typing import Annotated, Any, Literal

from tagship.aws.rights import Right, function_arn
from tagship.model.fields import ACCOUNT, CONFIG, EXTERNAL_ID, FUNCTION_NAME, REGION, ROLE, Matching
from tagship.model.records import Revision
from tagship.targets.kind import Invoked, Keeper, Kind, Metric, Subject, Target

CODE = "function"
"""The artifact that a release of this kind brings."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LambdaTarget:
    """A Lambda function behind an alias; traffic moves by the alias's weights."""

    __pydantic_config__ = CONFIG

    type: Literal["lambda"]
    """The kind of target."""
    function: Annotated[str, FUNCTION_NAME]
    """The function's name."""
    account: Annotated[str, ACCOUNT]
    """The target's AWS account, 12 digits in quotes."""
    region: Annotated[str, REGION]
    """The target's AWS region."""
    role: Annotated[str, ROLE]
    """The role that Tagship assumes for every call to the target."""
    externalId: Annotated[str, EXTERNAL_ID]
    """The external ID that the role's trust policy requires."""
    alias: Annotated[
        str, Matching(r"^(?!\d+$)[A-Za-z0-9_-]{1,128}$", "an alias's name: letters, digits, - and _")
    ] = "live"
    """The alias that callers use."""


def rights(target: LambdaTarget, *, objects: Iterable[str]) -> tuple[Right, ...]:
    """What this adapter asks of the application's role.

    `objects` are the ARNs of the code that may be uploaded; where there is none, nothing may be.
    """
    arn = function_arn(target, target.function)
    on, uploads = (arn, f"{arn}:*"), tuple(objects)
    may = [
        Right(
            name="LookAtTheFunction",
            actions=(
                "lambda:GetFunctionConfiguration",
                "lambda:GetProvisionedConcurrencyConfig",
                "lambda:GetPolicy",
                "lambda:GetFunctionUrlConfig",
            ),
            on=on,
        ),
        # IAM knows no resource for it.
        Right(name="LookAtTriggers", actions=("lambda:ListEventSourceMappings",), on=("*",)),
        Right(
            name="MoveTheTraffic",
            # An application without the alias gets it with its first release, and loses it again if that is rolled back.
            actions=("lambda:GetAlias", "lambda:CreateAlias", "lambda:UpdateAlias", "lambda:DeleteAlias"),
            on=on,
        ),
    ]
    if uploads:
        may += [
            Right(
                name="PrepareTheCandidate",
                actions=("lambda:UpdateFunctionCode", "lambda:PublishVersion"),
                on=on,
            ),
            # IAM knows no resource for it either.
            Right(name="LookAtTheRoomForCode", actions=("lambda:GetAccountSettings",), on=("*",)),
            Right(name="ReadThePinnedCode", actions=("s3:GetObjectVersion",), on=uploads),
        ]
    return tuple(may)


def _make(*, client: Callable[[str], Any], **given: Any) -> Target:
    adapter: Target = import_module("tagship.targets.lambda_function").LambdaFunction(
        client=client("lambda"), **given
    )
    return adapter


def _keeps(*, client: Callable[[str], Any], **given: Any) -> Keeper:
    keeper: Keeper = import_module("tagship.targets.lambda_retention").Versions(
        client=client("lambda"), **given
    )
    return keeper


def _subject(spec: LambdaTarget, revision: Revision | None) -> Subject:
    version = revision["id"] if revision else spec.alias
    return Subject(
        names={"function": spec.function, "alias": spec.alias, "version": version},
        invoked=Invoked(function=spec.function, qualifier=version),
        requests=Metric(
            namespace="AWS/Lambda",
            name="Invocations",
            dimensions={
                "FunctionName": spec.function,
                "Resource": f"{spec.function}:{spec.alias}",
                "ExecutedVersion": "{version}",
            },
        ),
    )


def _describe(_: LambdaTarget, revision: Revision | None) -> str:
    return f"version {revision['id']}" if revision and revision["id"] else ""


def _where(spec: LambdaTarget) -> str:
    return f"the alias {spec.alias} of {spec.function} (account {spec.account}, {spec.region})"


KIND = Kind(
    name="lambda",
    spec=LambdaTarget,
    example={
        "type": "lambda",
        "function": "storefront",
        "alias": "live",
        "account": "123456789012",
        "region": "eu-central-1",
        "role": "arn:aws:iam::123456789012:role/tagship-app-storefront",
        "externalId": "tagship-production",
    },
    artifacts={CODE: "the function's code, as a zip"},
    planned=[
        "the alias live of storefront: version 41 → a new version",
        "Code: 4f2a91c08d11 → 9c1b77de5a02 (4.1 MiB)",
    ],
    weighted=True,
    step_seconds=15,
    settle_seconds=300,
    make=_make,
    rights=rights,
    subject=_subject,
    describe=_describe,
    where=_where,
    stored_as=lambda revision: f"{revision['id']} {revision['data'].get('codeSha256')}",
    keeps=_keeps,
)
