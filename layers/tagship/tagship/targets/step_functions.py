"""Target `step-functions`: a state machine behind an alias. Its part of application.yaml, and its `Kind`.

The adapter is in its own modules, so that a step that only reads a configuration does not load it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from importlib import import_module
from typing import Annotated, Any, Literal

import annotated_types as at

from tagship.aws.rights import Location, Right, partition_of
from tagship.model.fields import ACCOUNT, CONFIG, EXTERNAL_ID, REGION, ROLE, Matching
from tagship.model.records import Revision
from tagship.targets.kind import Keeper, Kind, Metric, Outcomes, Subject, Target

DEFINITION = "definition"
"""The name of the artifact that a release contains."""
_METRICS = "AWS/States"
SETTLE_SECONDS = 300
"""The deadline for an alias to settle, and for a synthetic execution to end."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Synthetic:
    """An execution of the candidate before it gets any traffic."""

    __pydantic_config__ = CONFIG

    input: Annotated[
        str, at.MaxLen(32_768), Matching(r"^\s*\{.*\}\s*$", 'a JSON object as text: {"orderId": "synthetic"}')
    ] = "{}"
    """The execution's input: a JSON object, as text."""
    seconds: Annotated[int, at.Ge(1), at.Le(240)] = 60
    """How long it may take to succeed. At most 8 s for an express state machine, whatever is set here."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StepFunctionsTarget:
    """A state machine behind an alias; traffic moves by the alias's weights."""

    __pydantic_config__ = CONFIG

    type: Literal["step-functions"]
    """The kind of target."""
    stateMachine: Annotated[
        str,
        Matching(r"^[A-Za-z0-9_-]{1,80}$", "a state machine's name: letters, digits, - and _, at most 80"),
    ]
    """The state machine's name. It must exist."""
    account: Annotated[str, ACCOUNT]
    """The target's AWS account, 12 digits in quotes."""
    region: Annotated[str, REGION]
    """The target's AWS region."""
    role: Annotated[str, ROLE]
    """The role that Tagship assumes for every call to the target."""
    externalId: Annotated[str, EXTERNAL_ID]
    """The external ID that the role's trust policy requires."""
    executionRoles: Annotated[tuple[Annotated[str, ROLE], ...], at.MinLen(1), at.MaxLen(2)]
    """The roles that executions may run with. A release is refused if the state machine has another one."""
    alias: Annotated[
        str,
        Matching(
            r"^(?!\d+$)[A-Za-z0-9_.-]{1,60}$", "an alias's name: letters, digits, -, _ and ., at most 60"
        ),
    ] = "live"
    """The alias that callers use."""
    substitutions: Annotated[
        Mapping[
            Annotated[str, Matching(r"^[A-Za-z][A-Za-z0-9_]{0,63}$", "a name: letters, digits and _")],
            Annotated[str, Matching(r'^[^"\\]{1,1024}$', 'text without " and \\, at most 1024 characters')],
        ],
        at.MaxLen(50),
    ] = field(default_factory=dict)
    """What differs between stages: `${Name}` in the definition becomes this text, such as a function's ARN."""
    synthetic: Synthetic | None = None
    """An execution of the new version before it gets any traffic; the release continues only if it succeeds."""


def machine_arn(target: StepFunctionsTarget) -> str:
    """The state machine's own ARN, without a version or an alias."""
    return f"{_states(target)}:stateMachine:{target.stateMachine}"


def alias_arn(target: StepFunctionsTarget) -> str:
    """The ARN with which callers start executions."""
    return f"{machine_arn(target)}:{target.alias}"


def execution_arn(target: StepFunctionsTarget, name: str) -> str:
    """The ARN of an execution of any version."""
    return f"{_states(target)}:execution:{target.stateMachine}:{name}"


def _states(target: Location) -> str:
    return f"arn:{partition_of(target)}:states:{target.region}:{target.account}"


def rights(target: StepFunctionsTarget, *, objects: Iterable[str]) -> tuple[Right, ...]:
    """The permissions that the adapter needs; `objects` are the ARNs of the definitions that it may read."""
    arn, reads = machine_arn(target), tuple(objects)
    # The guide says that IAM checks the state machine's ARN; the action list has ARNs of versions and aliases.
    on = (arn, f"{arn}:*")
    may = [
        # One statement, because a session's policy has little room.
        Right(
            name="LookAndMoveTheTraffic",
            actions=(
                "states:DescribeStateMachine",
                "states:DescribeStateMachineAlias",
                "states:ListStateMachineVersions",
                # For warnings about callers that bypass the alias, and executions that a rollback can't undo.
                "states:ListExecutions",
                # An application without the alias gets it with its first release and loses it if that release is rolled
                # back.
                "states:CreateStateMachineAlias",
                "states:UpdateStateMachineAlias",
                "states:DeleteStateMachineAlias",
                # The state machine stores the fencing numbers of the alias's writers, as tags.
                "states:ListTagsForResource",
                "states:TagResource",
                "states:UntagResource",
            ),
            on=on,
        )
    ]
    if reads:
        # The second action is for express state machines.
        trying = ("states:StartExecution", "states:StartSyncExecution") if target.synthetic else ()
        may += [
            Right(
                name="PublishTheCandidate",
                actions=("states:UpdateStateMachine", "states:PublishStateMachineVersion", *trying),
                on=on,
            ),
            # IAM has no resource for it; it creates nothing.
            Right(
                name="ValidateTheDefinition", actions=("states:ValidateStateMachineDefinition",), on=("*",)
            ),
            # Step Functions may check it on any change of a definition that uses the role.
            Right(
                name="KeepTheExecutionRole",
                actions=("iam:PassRole",),
                on=tuple(target.executionRoles),
                passed_to="states.amazonaws.com",
            ),
            Right(name="ReadThePinnedDefinition", actions=("s3:GetObjectVersion",), on=reads),
        ]
    if reads and target.synthetic:
        may.append(
            Right(
                name="LookAtTheTry",
                actions=("states:DescribeExecution",),
                on=(execution_arn(target, "tagship-*"),),
            )
        )
    return tuple(may)


def _make(*, client: Callable[..., Any], spec: StepFunctionsTarget, **given: Any) -> Target:
    from tagship.aws.clients import ASKED_BRIEFLY

    states = client("stepfunctions")
    adapter: Target = import_module("tagship.targets.step_functions_machine").StateMachine(
        states=states,
        trying=client("stepfunctions", config=ASKED_BRIEFLY) if spec.synthetic else states,
        s3=client("s3"),
        spec=spec,
        **given,
    )
    return adapter


def _keeps(*, client: Callable[[str], Any], **given: Any) -> Keeper:
    keeper: Keeper = import_module("tagship.targets.step_functions_retention").Versions(
        states=client("stepfunctions"), **given
    )
    return keeper


def _subject(spec: StepFunctionsTarget, revision: Revision | None) -> Subject:
    arn, version = machine_arn(spec), revision["id"] if revision else ""
    by_version = {"StateMachineArn": arn, "Version": "{version}"}
    return Subject(
        names={
            "stateMachine": arn,
            "alias": spec.alias,
            "version": version or spec.alias,
        },
        requests=Metric(namespace=_METRICS, name="ExecutionsStarted", dimensions=by_version),
        outcomes=Outcomes(
            namespace=_METRICS,
            dimensions=by_version,
            succeeded="ExecutionsSucceeded",
            failed={
                "ExecutionsFailed": "failed",
                "ExecutionsTimedOut": "timed out",
                "ExecutionsAborted": "aborted",
            },
        ),
    )


def _describe(_: StepFunctionsTarget, revision: Revision | None) -> str:
    return f"version {revision['id']}" if revision and revision["id"] else ""


def _where(spec: StepFunctionsTarget) -> str:
    return f"the alias {spec.alias} of {spec.stateMachine} (account {spec.account}, {spec.region})"


KIND = Kind(
    name="step-functions",
    spec=StepFunctionsTarget,
    example={
        "type": "step-functions",
        "stateMachine": "storefront",
        "alias": "live",
        "account": "123456789012",
        "region": "eu-central-1",
        "role": "arn:aws:iam::123456789012:role/tagship-app-storefront",
        "externalId": "tagship-production",
        "executionRoles": ["arn:aws:iam::123456789012:role/storefront-states"],
        "substitutions": {
            "Charge": "arn:aws:lambda:eu-central-1:123456789012:function:storefront-charge:live"
        },
        "synthetic": {"input": '{"orderId": "synthetic"}', "seconds": 60},
    },
    artifacts={DEFINITION: "the definition in the Amazon States Language, as JSON"},
    planned=[
        "the alias live of storefront: version 41 → a new version",
        "State Charge: Next Ship → Notify",
        "State Notify: added, Succeed",
        "Running executions stay on their version until they end, also after a rollback.",
    ],
    weighted=True,
    step_seconds=15,
    settle_seconds=SETTLE_SECONDS,
    make=_make,
    rights=rights,
    subject=_subject,
    describe=_describe,
    where=_where,
    stored_as=lambda revision: [f"{revision['id']} {revision['data'].get('definition')}"],
    keeps=_keeps,
)
