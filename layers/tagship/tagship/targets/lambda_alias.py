"""Target `lambda`: functions behind their aliases. Its part of application.yaml, and its `Kind`.

The adapter is in its own module, so that a step that only reads a configuration does not load it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from importlib import import_module
from typing import Annotated, Any, Literal

import annotated_types as at

from tagship.aws.rights import Client, Right, function_arn
from tagship.model.fields import ACCOUNT, CONFIG, EXTERNAL_ID, FUNCTION_NAME, REGION, ROLE, Matching
from tagship.model.records import Revision
from tagship.targets.kind import Invoked, Keeper, Kind, Metric, Subject, Target
from tagship.targets.lambda_parts import described, is_absent, part_of, parts_of
from tagship.text.words import listed

CODE = "function"
"""The name of the artifact that a release contains."""
MOST_OTHERS = 9
"""Ten functions in all: one invocation can still move or restore all their aliases within a few seconds."""
_IN_A_SESSION = 4
"""This many functions with names of any length fit into one session's policy (STS accepts 2,048 characters)."""
_ALIAS = Matching(r"^(?!\d+$)[A-Za-z0-9_-]{1,128}$", "an alias's name: letters, digits, - and _")


@dataclass(frozen=True, slots=True, kw_only=True)
class OtherFunction:
    """One more function of the application, which is released together with the first."""

    __pydantic_config__ = CONFIG

    function: Annotated[str, FUNCTION_NAME]
    """The function's name. It is in the account and region of the target."""
    alias: Annotated[str, _ALIAS] = "live"
    """The alias that its callers use."""
    artifact: Annotated[str, at.MinLen(1), at.MaxLen(64)] = CODE
    """The name of the artifact with its code. By default, all functions get the same zip."""


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
    alias: Annotated[str, _ALIAS] = "live"
    """The alias that callers use."""
    others: Annotated[tuple[OtherFunction, ...], at.MaxLen(MOST_OTHERS)] = ()
    """More functions, which are approved, moved and restored together with the first, in this order; at most 9."""

    @property
    def of(self) -> str:
        """The ARN of the alias."""
        return f"{function_arn(self, self.function)}:{self.alias}"

    @property
    def each(self) -> Sequence[tuple[LambdaTarget, str]]:
        """Every function, in order, as its own target, with the name of its artifact."""
        others = [
            (replace(self, function=it.function, alias=it.alias, others=()), it.artifact)
            for it in self.others
        ]
        return ((replace(self, others=()), CODE), *others)


def rights(target: LambdaTarget, *, objects: Iterable[str]) -> tuple[Right, ...]:
    """The permissions that this adapter needs in the application's role.

    `objects` are the ARNs of the code that may be uploaded. If there are none, nothing may be uploaded.
    """
    on, uploads = tuple(arn for each, _ in target.each for arn in _arns(each)), tuple(objects)
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
        # IAM has no resource for it.
        Right(name="LookAtTriggers", actions=("lambda:ListEventSourceMappings",), on=("*",)),
        Right(
            name="MoveTheTraffic",
            # An application without the alias gets it with its first release and loses it if that release is rolled
            # back.
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
            # IAM has no resource for it either.
            Right(name="LookAtTheRoomForCode", actions=("lambda:GetAccountSettings",), on=("*",)),
            Right(name="ReadThePinnedCode", actions=("s3:GetObjectVersion",), on=uploads),
        ]
    return tuple(may)


def _arns(target: LambdaTarget) -> tuple[str, str]:
    """The ARN of the function itself, and of its versions and aliases."""
    arn = function_arn(target, target.function)
    return arn, f"{arn}:*"


def _client_of(spec: LambdaTarget, number: int, client: Client) -> Any:
    """A client for one of the functions. Several functions share a session, as many as fit into its policy."""
    functions = [each for each, _ in spec.each]
    if len(functions) <= _IN_A_SESSION:
        return client("lambda")
    first = number - number % _IN_A_SESSION
    shared = functions[first : first + _IN_A_SESSION]
    return client("lambda", on=[arn for each in shared for arn in _arns(each)])


def _make(*, application: str, tag: str, spec: LambdaTarget, client: Client) -> Target:
    one, several = (import_module(f"tagship.targets.lambda_function{ending}") for ending in ("", "s"))
    parts = [
        one.LambdaFunction(
            application=application,
            tag=tag,
            spec=each,
            artifact=artifact,
            client=_client_of(spec, number, client),
        )
        for number, (each, artifact) in enumerate(spec.each)
    ]
    adapter: Target = several.LambdaFunctions(application=application, tag=tag, parts=parts)
    return adapter


def _keeps(*, application: str, spec: LambdaTarget, client: Client) -> Keeper:
    module = import_module("tagship.targets.lambda_retention")
    parts = [
        module.Versions(application=application, spec=each, client=client("lambda"), named=bool(spec.others))
        for each, _ in spec.each
    ]
    keeper: Keeper = module.AllVersions(parts=parts)
    return keeper


def _subject(spec: LambdaTarget, revision: Revision | None) -> Subject:
    """For several functions, those that the revision contains; without a revision, the first."""
    found = {
        each.function: _subject_of(each, part_of(revision, each.of))
        for each, _ in spec.each
        if revision is None or not is_absent(revision, each.of)
    }
    first = next(iter(found.values()))
    return replace(first, parts=found) if spec.others else first


def _subject_of(spec: LambdaTarget, revision: Revision | None) -> Subject:
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


def _where(spec: LambdaTarget) -> str:
    named = listed(f"{each.alias} of {each.function}" for each, _ in spec.each)
    return f"the alias{'es' if spec.others else ''} {named} (account {spec.account}, {spec.region})"


def _problems(spec: LambdaTarget) -> Iterator[tuple[tuple[str | int, ...], str]]:
    seen = {spec.function}
    for index, each in enumerate(spec.others):
        if each.function in seen:
            yield (
                ("others", index, "function"),
                f"{each.function} is already a function of this target: name it once",
            )
        seen.add(each.function)


def _stored_as(revision: Revision) -> Sequence[str]:
    return [f"{part['id']} {part['data'].get('codeSha256')}" for part in parts_of(revision)]


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
    examples={
        ("LambdaTarget", "others"): [
            [{"function": "storefront-worker", "artifact": "worker"}, {"function": "storefront-mailer"}]
        ],
        ("OtherFunction", "function"): ["storefront-worker"],
        ("OtherFunction", "alias"): ["live"],
        ("OtherFunction", "artifact"): ["worker"],
    },
    artifacts={CODE: "the function's code, as a zip"},
    more_artifacts=lambda spec: {it.artifact: f"the code of {it.function}, as a zip" for it in spec.others},
    problems=_problems,
    planned=[
        "the alias live of storefront: version 41 → a new version",
        "Code: 4f2a91c08d11 → 9c1b77de5a02 (4.1 MiB)",
    ],
    weighted=True,
    step_seconds=15,
    settle_seconds=300,
    settles_at_once=True,
    make=_make,
    rights=rights,
    subject=_subject,
    describe=lambda _, revision: described(revision),
    where=_where,
    stored_as=_stored_as,
    keeps=_keeps,
)
