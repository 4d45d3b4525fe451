"""Invokes the candidate version itself, or a smoke-test function with the version's name.

With little traffic, a share of it may never reach the candidate; this check always does.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

import annotated_types as at

from tagship.aws.rights import Location, Right, invoking
from tagship.health.given import Given, Problems
from tagship.health.sampling import BUDGET_SECONDS, INVOCATION_SECONDS, Answer, out_of_reach, sample
from tagship.health.verdict import REASON, CheckResult, Verdict, gravest
from tagship.model.fields import CONFIG, FUNCTION_NAME, UNKEPT, Example, Examples, can_be_kept
from tagship.targets.kind import Invoked, Subject
from tagship.text.plain import line

if TYPE_CHECKING:
    from mypy_boto3_lambda import LambdaClient
    from mypy_boto3_lambda.type_defs import InvocationRequestTypeDef


@dataclass(frozen=True, slots=True, kw_only=True)
class LambdaCheck:
    """Invokes the candidate itself, which must answer `{"healthy": true}`, or a smoke-test function of yours."""

    __pydantic_config__ = CONFIG

    LOOKS_BACK: ClassVar[int] = 0
    ASKS_CANDIDATE: ClassVar[frozenset[Verdict]] = frozenset({Verdict.HEALTHY})
    EXAMPLE: ClassVar[Example] = {"type": "lambda"}
    EXAMPLES: ClassVar[Examples] = {
        "function": ["storefront-smoke"],
        "payload": [{"path": "/health"}],
        "maxLatencyMs": [2000],
        "requests": [3],
        "mustPass": [3],
    }

    type: Literal["lambda"]
    """The kind of check."""
    function: Annotated[str, FUNCTION_NAME] | None = None
    """A smoke-test function to invoke with the candidate's name and version; without it, the candidate itself."""
    payload: dict[str, Any] = field(default_factory=dict)
    """Additional fields of its event; it answers `{"healthy": true}` or reasons."""
    maxLatencyMs: Annotated[int, at.Ge(1), at.Le(30_000)] | None = None
    """The longest time that a healthy answer may take, in milliseconds."""
    requests: Annotated[int, at.Ge(1), at.Le(20)] = 1
    """How many times it is invoked."""
    mustPass: Annotated[int, at.Ge(1), at.Le(20)] = 1
    """How many of these answers must be healthy."""

    @property
    def seconds(self) -> int:
        """All invocations, each as slow as allowed."""
        return min(self.requests * INVOCATION_SECONDS, BUDGET_SECONDS)

    def label(self, application: str) -> str:
        """`lambda storefront-smoke`."""
        return f"lambda {self.function or application}"

    def problems(self) -> Problems:
        """Problems that involve several fields."""
        yield from out_of_reach(self.requests, self.mustPass)
        if not can_be_kept(self.payload):
            yield "payload", UNKEPT.replace("has a", "has a field without a name, or a")

    def lacks(self, offers: Subject) -> Problems:
        """Something to invoke."""
        if self.function is None and not _invoked_by(offers):
            yield "function", "is missing: a target of this type is not a function that can be invoked"

    def rights(self, target: Location, offers: Subject) -> tuple[Right, ...]:
        """To invoke the candidate or the smoke test."""
        if self.function:
            return (invoking(target, self.function, name="AskForHealth"),)
        named = [
            invoking(target, each.function, name="AskForHealth", named=bool(offers.parts))
            for each in _invoked_by(offers)
        ]
        return (replace(named[0], on=tuple(arn for each in named for arn in each.on)),) if named else ()

    def run(self, given: Given) -> CheckResult:
        """Runs the check with the data of a release."""
        return check(
            self,
            name=given.name,
            client=given.client("lambda"),
            offers=given.offers,
            application=given.application,
            tag=given.tag,
            percent=given.share,
            clock=given.clock,
        )


def _invoked_by(offers: Subject) -> Sequence[Invoked]:
    """The functions that run a revision."""
    return [each.invoked for each in offers.each if each.invoked]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Invocation:
    """The function and its event."""

    request: InvocationRequestTypeDef
    label: str
    about: str


def check(
    check: LambdaCheck,
    *,
    name: str,
    client: LambdaClient,
    offers: Subject,
    application: str,
    tag: str,
    percent: int,
    clock: Callable[[], float] = time.monotonic,
) -> CheckResult:
    """m invocations, of which n must answer `{"healthy": true}` in time; so of each function, all at the same time.

    An exception and `{"healthy": false}` are unhealthy; any other answer proves nothing and is inconclusive; a function
    that cannot be invoked, because it is missing or forbidden, is an error.

    Raises AwsUnavailable if Lambda throttled, failed or could not be reached: a retry may help.
    """
    event = {
        "source": "tagship",
        "check": "health",
        "application": application,
        "tag": tag,
        "percent": percent,
    }
    invocations = _invocations(
        check, event, offers=offers, about=f"to check the health of {application} {tag}"
    )
    if not invocations:
        why = "Not checked: this target can't be invoked, and the check names no function."
        return CheckResult(check=name, verdict=Verdict.ERROR, why=why)
    begun = clock()
    with ThreadPoolExecutor(max_workers=len(invocations)) as pool:
        found = pool.map(
            lambda each: _sampled(check, client, each, name=name, begun=begun, clock=clock), invocations
        )
        return gravest(name, dict(zip((each.label for each in invocations), found, strict=True)))


def _sampled(
    check: LambdaCheck,
    client: LambdaClient,
    invocation: _Invocation,
    *,
    name: str,
    begun: float,
    clock: Callable[[], float],
) -> CheckResult:
    from botocore.exceptions import ClientError

    from tagship.aws.invocation import refused

    try:
        return sample(
            lambda: _ask(check, client, invocation, clock=clock),
            check=name,
            requests=check.requests,
            must_pass=check.mustPass,
            begun=begun,
            longest=INVOCATION_SECONDS,
            clock=clock,
        )
    except ClientError as error:
        return CheckResult(check=name, verdict=Verdict.ERROR, why=refused(error, invocation.label))


def _invocations(
    check: LambdaCheck, event: Mapping[str, Any], *, offers: Subject, about: str
) -> Sequence[_Invocation]:
    if check.function is not None:
        body = json.dumps({**event, **offers.described, **check.payload})
        smoke = _Invocation(
            request={"FunctionName": check.function, "InvocationType": "RequestResponse", "Payload": body},
            label=check.function,
            about=about,
        )
        return [smoke]
    return [
        _Invocation(
            request={
                "FunctionName": each.function,
                "Qualifier": each.qualifier,
                "InvocationType": "RequestResponse",
                "Payload": json.dumps({**event, **check.payload}),
            },
            label=f"{each.function}:{each.qualifier}",
            about=about,
        )
        for each in _invoked_by(offers)
    ]


def _ask(
    check: LambdaCheck, client: LambdaClient, invocation: _Invocation, *, clock: Callable[[], float]
) -> Answer:
    start = clock()
    verdict, why, says_so = _invoked(client, invocation)
    ms = round((clock() - start) * 1000)
    if verdict is Verdict.HEALTHY and check.maxLatencyMs is not None and ms > check.maxLatencyMs:
        verdict = Verdict.UNHEALTHY
        why = f"an answer took {ms} ms; the limit is {check.maxLatencyMs} ms"
    return Answer(verdict=verdict, ms=ms, why=why, says_so=says_so)


def _invoked(client: LambdaClient, invocation: _Invocation) -> tuple[Verdict, str, bool]:
    """The last result: whether the function itself reports that it is not healthy."""
    from tagship.aws.invocation import invoke

    answer = invoke(client, invocation.request, label=invocation.label, about=invocation.about)
    if answer.raised:
        return Verdict.UNHEALTHY, answer.raised, False
    verdict, why = _read(answer.document)
    return verdict, why, verdict is Verdict.UNHEALTHY


def _read(document: object) -> tuple[Verdict, str]:
    """Only `true` is healthy: not 1, not "true", not a status of 200."""
    healthy = document.get("healthy") if isinstance(document, Mapping) else None
    if healthy is True:
        return Verdict.HEALTHY, ""
    if healthy is False and isinstance(document, Mapping):
        reasons = document.get("reasons")
        if isinstance(reasons, list) and reasons:
            return (
                Verdict.UNHEALTHY,
                f"the function reports: {line('; '.join(str(reason) for reason in reasons), REASON)}",
            )
        return (
            Verdict.UNHEALTHY,
            f"the function reports that it is unhealthy: {line(reasons or 'no reason given', REASON)}",
        )
    return Verdict.INCONCLUSIVE, 'the answer is not {"healthy": true} or {"healthy": false, "reasons": […]}'
