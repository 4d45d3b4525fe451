"""Invokes the candidate version itself, or a smoke-test function that is told which version it is about.

A share of the traffic may never reach the candidate while few ask; this does, every time.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from tagship.aws.invocation import invoke, refused
from tagship.aws.rights import Right, invoking
from tagship.health import Given
from tagship.health.sampling import Answer, sample
from tagship.health.verdict import CheckResult, Verdict, shown
from tagship.model.application import INVOCATION_SECONDS, LambdaCheck, LambdaTarget

if TYPE_CHECKING:
    from mypy_boto3_lambda import LambdaClient
    from mypy_boto3_lambda.type_defs import InvocationRequestTypeDef


@dataclass(frozen=True, slots=True, kw_only=True)
class _Invocation:
    """What is invoked, with what."""

    request: InvocationRequestTypeDef
    label: str
    about: str


def run(configured: LambdaCheck, given: Given) -> CheckResult:
    """The check with what a release gives it."""
    return check(
        configured,
        name=given.name,
        client=given.client("lambda"),
        function=given.function,
        version=given.version,
        application=given.application,
        tag=given.tag,
        clock=given.clock,
    )


def rights(configured: LambdaCheck, target: LambdaTarget) -> tuple[Right, ...]:
    """To invoke what is asked: the candidate, or the smoke test."""
    return (invoking(target, configured.function or target.function, name="AskForHealth"),)


def check(
    check: LambdaCheck,
    *,
    name: str,
    client: LambdaClient,
    function: str | None,
    version: str | None,
    application: str,
    tag: str,
    clock: Callable[[], float] = time.monotonic,
) -> CheckResult:
    """m invocations, of which n must answer `{"healthy": true}` in time.

    A raised exception and `{"healthy": false}` are unhealthy; any other answer shows nothing and is
    inconclusive; what can't be invoked, because it is missing or forbidden, is an error.

    Raises AwsUnavailable when Lambda throttled, failed or could not be reached: asking again may help.
    """
    invocation = _invocation(check, function=function, version=version, application=application, tag=tag)
    if invocation is None:
        why = "Not asked: the release has no version of a function, and the check names no function."
        return CheckResult(check=name, verdict=Verdict.ERROR, why=why)
    try:
        return sample(
            lambda: _ask(check, client, invocation, clock=clock),
            check=name,
            requests=check.requests,
            must_pass=check.mustPass,
            begun=clock(),
            longest=INVOCATION_SECONDS,
            clock=clock,
        )
    except ClientError as error:
        return CheckResult(check=name, verdict=Verdict.ERROR, why=refused(error, invocation.label))


def _invocation(
    check: LambdaCheck, *, function: str | None, version: str | None, application: str, tag: str
) -> _Invocation | None:
    payload: dict[str, Any] = {"source": "tagship", "check": "health", "application": application, "tag": tag}
    about = f"to check the health of {application} {tag}"
    if check.function is not None:
        body = json.dumps(payload | {"function": function, "version": version} | dict(check.payload))
        return _Invocation(
            request={"FunctionName": check.function, "InvocationType": "RequestResponse", "Payload": body},
            label=check.function,
            about=about,
        )
    if not function or not version:
        return None
    return _Invocation(
        request={
            "FunctionName": function,
            "Qualifier": version,
            "InvocationType": "RequestResponse",
            "Payload": json.dumps(payload | dict(check.payload)),
        },
        label=f"{function}:{version}",
        about=about,
    )


def _ask(
    check: LambdaCheck, client: LambdaClient, invocation: _Invocation, *, clock: Callable[[], float]
) -> Answer:
    start = clock()
    verdict, why = _invoked(client, invocation)
    ms = round((clock() - start) * 1000)
    if verdict is Verdict.HEALTHY and check.maxLatencyMs is not None and ms > check.maxLatencyMs:
        verdict = Verdict.UNHEALTHY
        why = f"an answer took {ms} ms, at most {check.maxLatencyMs} are allowed"
    return Answer(verdict=verdict, ms=ms, why=why)


def _invoked(client: LambdaClient, invocation: _Invocation) -> tuple[Verdict, str]:
    answer = invoke(client, invocation.request, label=invocation.label, about=invocation.about)
    return (Verdict.UNHEALTHY, answer.raised) if answer.raised else _read(answer.document)


def _read(document: object) -> tuple[Verdict, str]:
    """Only `true` is healthy: not 1, not "true", not a status of 200."""
    healthy = document.get("healthy") if isinstance(document, Mapping) else None
    if healthy is True:
        return Verdict.HEALTHY, ""
    if healthy is False and isinstance(document, Mapping):
        reasons = document.get("reasons")
        if isinstance(reasons, list) and reasons:
            return Verdict.UNHEALTHY, f"it says: {shown('; '.join(str(reason) for reason in reasons))}"
        return (
            Verdict.UNHEALTHY,
            f"it says that it is not healthy, because: {shown(reasons or 'no reason given')}",
        )
    return Verdict.INCONCLUSIVE, 'the answer is not {"healthy": true} or {"healthy": false, "reasons": […]}'
