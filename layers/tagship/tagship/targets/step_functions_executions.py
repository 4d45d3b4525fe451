"""Executions of a state machine: those that bypass the alias, those that a rollback can't undo, and the synthetic one."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError, ReadTimeoutError

from tagship.aws.calls import calling, code_of
from tagship.model.errors import AwsUnavailable, CandidateUnhealthy, TagshipError, TargetInvalid
from tagship.targets.step_functions import (
    SETTLE_SECONDS,
    StepFunctionsTarget,
    Synthetic,
    execution_arn,
    machine_arn,
)
from tagship.targets.step_functions_alias import NOT_THERE
from tagship.text.plain import line

if TYPE_CHECKING:
    from mypy_boto3_stepfunctions import SFNClient
    from mypy_boto3_stepfunctions.type_defs import ListExecutionsInputTypeDef

_RECENT = timedelta(days=7)
_LOOKED_AT = 100
_MOST_PAGES = 5
_NAMED = 10
_PACE_SECONDS = 2
_CAUSE = 300
"""The longest cause of an execution that is shown, in characters."""


def bypassing(states: SFNClient, spec: StepFunctionsTarget, *, now: datetime, release: str) -> Sequence[str]:
    """The last week's executions that were started without the alias or a version, by name, newest first.

    Step Functions lists none for an express state machine. Raises CredentialsRefused, AwsUnavailable.
    """
    found = _listed(states, release, {"stateMachineArn": machine_arn(spec), "maxResults": _LOOKED_AT})
    return [
        each["name"]
        for each in found or ()
        if not each.get("stateMachineVersionArn")
        and not each.get("mapRunArn")
        and each["startDate"] >= now - _RECENT
    ]


def used(states: SFNClient, arn: str, *, release: str) -> bool:
    """Whether an execution was started with this alias; always False for an express state machine."""
    return bool(_listed(states, release, {"stateMachineArn": arn, "maxResults": 1}))


def running(
    states: SFNClient, spec: StepFunctionsTarget, version: str, *, release: str
) -> Sequence[str] | None:
    """The executions that run on a version, by name, at most 100; None of an express state machine."""
    request: ListExecutionsInputTypeDef = {
        "stateMachineArn": f"{machine_arn(spec)}:{version}",
        "statusFilter": "RUNNING",
        "maxResults": _LOOKED_AT,
    }
    found = _listed(states, release, request)
    return None if found is None else [str(each["name"]) for each in found]


def unfinished(states: SFNClient, spec: StepFunctionsTarget, version: str, *, release: str) -> str:
    """The executions on a version, which a rollback does not undo, in words. Never raises: it must not stop a rollback."""
    arn = f"{machine_arn(spec)}:{version}"
    by_hand = f"aws stepfunctions list-executions --state-machine-arn {arn} --region {spec.region}"
    try:
        names = running(states, spec, version, release=release)
    except (TagshipError, ClientError):
        return f"Not undone: executions that had started on version {version}; they could not be listed: {by_hand}"
    if names is None:
        return f"Not undone: executions that had started on version {version}. They run to their end within 5 minutes."
    if not names:
        return f"No execution is running on version {version}. Those that ended there: {by_hand}"
    more = "" if len(names) <= _NAMED else f" and {_count(len(names) - _NAMED, of=len(names))} more"
    many = "1 execution is" if len(names) == 1 else f"{_count(len(names), of=len(names))} executions are"
    return (
        f"Not undone: {many} still running on version {version} and will end there: "
        f"{', '.join(names[:_NAMED])}{more}. All of them: {by_hand}"
    )


def _count(number: int, *, of: int) -> str:
    return f"at least {number}" if of >= _LOOKED_AT else str(number)


def _listed(
    states: SFNClient, release: str, request: ListExecutionsInputTypeDef
) -> Sequence[dict[str, Any]] | None:
    """Up to `maxResults` executions; None for an express state machine, for which Step Functions lists none."""
    found: list[dict[str, Any]] = []
    most, page = request["maxResults"], request
    try:
        with calling(
            f"{release}: listing executions of {request.get('stateMachineArn')}",
            **NOT_THERE,
            ResourceNotFound=TargetInvalid,
        ):
            for _ in range(_MOST_PAGES):  # a page may have fewer items than requested
                answer = states.list_executions(**page)
                found += [dict(each) for each in answer["executions"]]
                if len(found) >= most or not answer.get("nextToken"):
                    break
                page = {**request, "nextToken": answer["nextToken"]}
    except ClientError as error:
        if code_of(error) == "StateMachineTypeNotSupported":
            return None
        raise
    return found[:most]


# ---- the candidate, before it gets traffic -------------------------------------------------------------------------


def try_out(
    states: SFNClient,
    spec: StepFunctionsTarget,
    synthetic: Synthetic,
    *,
    version: str,
    express: bool,
    tag: str,
    now: datetime,
    release: str,
) -> int:
    """Starts the synthetic execution once; returns the seconds to wait before asking again, 0 when it has succeeded.

    Raises CandidateUnhealthy when it has not, or not in time.
    """
    if express:
        _express(states, spec, synthetic, version=version, release=release)
        return 0
    found = _found(states, spec, _names(tag, version, now), now=now, release=release)
    if found is None:
        name = _names(tag, version, now)[0]
        with calling(f"{release}: starting the synthetic execution of version {version}", **NOT_THERE):
            try:
                states.start_execution(
                    stateMachineArn=f"{machine_arn(spec)}:{version}", name=name, input=synthetic.input
                )
            except ClientError as error:
                if code_of(error) != "ExecutionAlreadyExists":  # a duplicate's execution has already ended
                    raise
        return _PACE_SECONDS
    _judge(
        found["status"],
        found.get("error"),
        found.get("cause"),
        named=found["name"],
        version=version,
        release=release,
    )
    if found["status"] == "SUCCEEDED":
        return 0
    if now - found["startDate"] > timedelta(seconds=synthetic.seconds):
        raise CandidateUnhealthy(
            f"{release}: the synthetic execution {found['name']} of version {version} did not end within "
            f"{synthetic.seconds} s. No traffic was moved. It still runs: aws stepfunctions stop-execution "
            f"--execution-arn {found['executionArn']} --region {spec.region}"
        )
    return _PACE_SECONDS


def _names(tag: str, version: str, now: datetime) -> tuple[str, str]:
    """The execution's name in this period and in the previous one; a later attempt starts another execution."""
    period = int(now.timestamp()) // SETTLE_SECONDS
    label = re.sub(r"[^A-Za-z0-9._-]", "-", tag)[:40]
    return (f"tagship-{label}-{version}-{period}", f"tagship-{label}-{version}-{period - 1}")


def _found(
    states: SFNClient, spec: StepFunctionsTarget, names: Sequence[str], *, now: datetime, release: str
) -> dict[str, Any] | None:
    for name in names:
        try:
            with calling(f"{release}: looking at the synthetic execution {name}", **NOT_THERE):
                found = states.describe_execution(executionArn=execution_arn(spec, name))
        except ClientError as error:
            if code_of(error) == "ExecutionDoesNotExist":
                continue
            raise
        if now - found["startDate"] <= timedelta(seconds=SETTLE_SECONDS):
            return dict(found)
    return None


def _express(
    states: SFNClient, spec: StepFunctionsTarget, synthetic: Synthetic, *, version: str, release: str
) -> None:
    try:
        with calling(f"{release}: the synthetic execution of version {version}", **NOT_THERE):
            found = states.start_sync_execution(
                stateMachineArn=f"{machine_arn(spec)}:{version}", input=synthetic.input
            )
    except AwsUnavailable as error:
        if not isinstance(error.__cause__, ReadTimeoutError):
            raise
        raise CandidateUnhealthy(
            f"{release}: the synthetic execution of version {version} did not end within 8 s, the most for an express "
            "state machine. No traffic was moved. Give it an input with which it ends sooner."
        ) from error
    _judge(
        found["status"],
        found.get("error"),
        found.get("cause"),
        named=found["executionArn"].rpartition(":")[2],
        version=version,
        release=release,
    )


def _judge(
    status: str, error: str | None, cause: str | None, *, named: str, version: str, release: str
) -> None:
    if status not in ("SUCCEEDED", "RUNNING"):
        why = line(f"{error or 'no error named'}: {cause or 'no cause given'}", _CAUSE)
        raise CandidateUnhealthy(
            f"{release}: the synthetic execution {named} of version {version} ended as {status} ({why}). No traffic was "
            "moved. Fix the problem, then publish a new tag."
        )
