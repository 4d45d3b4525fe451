"""Health: the kinds of check, and the one way to run any of them.

A new kind is one file with `run(check, given) -> CheckResult` and `rights(check, target)`, and one line in `KINDS`.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib import import_module
from ipaddress import IPv4Network, IPv6Network
from typing import Any, Protocol

from tagship.aws.rights import Right
from tagship.health.verdict import CheckResult, Verdict, judge
from tagship.model.application import LambdaTarget

__all__ = ["KINDS", "CheckResult", "Given", "Verdict", "judge", "rights", "run"]

KINDS: Mapping[str, str] = {
    "http": "tagship.health.http",
    "lambda": "tagship.health.lambda_invoke",
    "alarm": "tagship.health.alarm",
    "metric": "tagship.health.metric",
    "custom": "tagship.health.custom",
}
"""A check's `type`, and the module that runs it: imported when first asked for, at nobody else's cost."""


class AnyCheck(Protocol):
    """What all checks of an application have in common."""

    @property
    def type(self) -> str:
        """The kind of check."""


def _utc_now() -> datetime:
    return datetime.now(UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class Given:
    """What a check may need beside its own configuration; each kind takes what it uses."""

    name: str
    application: str
    tag: str
    client: Callable[[str], Any]
    """An AWS service in the application's role, `client("cloudwatch")`: no role is assumed for a check that needs none."""
    subject: str = "candidate"
    """What is asked: `candidate`, or after a rollback `baseline`."""
    function: str | None = None
    """The release's own function, if it has one."""
    alias: str | None = None
    version: str | None = None
    """The version of that function that is asked."""
    candidate: Mapping[str, Any] = field(default_factory=dict)
    """The candidate's revision, as its target described it."""
    baseline: Mapping[str, Any] | None = None
    """The baseline's; None where nothing served before."""
    percent: int = 0
    """The candidate's share of the traffic now."""
    began: datetime | None = None
    """When the deployment began: before it, all was the baseline's."""
    shifted: datetime | None = None
    """When the candidate got its present share."""
    allowed: Sequence[IPv4Network | IPv6Network] = ()
    """Networks that are not public and may be asked all the same."""
    clock: Callable[[], float] = time.monotonic
    now: Callable[[], datetime] = _utc_now


def run(check: AnyCheck, given: Given) -> CheckResult:
    """Runs a check of any kind; a kind that nobody wrote is an error, not a pass.

    Raises AwsUnavailable when AWS throttled the check or could not be reached: asking again may help.
    """
    module = KINDS.get(check.type)
    if module is None:
        return CheckResult(
            check=given.name,
            verdict=Verdict.ERROR,
            why=f"There is no check of type {check.type!r}; there are {', '.join(KINDS)}.",
        )
    result: CheckResult = import_module(module).run(check, given)
    return result


def rights(check: AnyCheck, target: LambdaTarget) -> tuple[Right, ...]:
    """What a check asks of the application's role, and all that its session may do."""
    module = KINDS.get(check.type)
    asked: tuple[Right, ...] = import_module(module).rights(check, target) if module else ()
    return asked
