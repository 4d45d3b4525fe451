"""Derives metrics from facts only, in CloudWatch's embedded metric format, with Powertools."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from aws_lambda_powertools.metrics import MetricUnit, single_metric

from tagship.model.facts import FactKind
from tagship.model.records import FactRecord

_NAMESPACE = "Tagship"


@dataclass(frozen=True, slots=True)
class Measure:
    """One value of one metric; `by` is an additional dimension with its value, if there is one."""

    name: str
    value: float
    unit: MetricUnit = MetricUnit.Count
    by: tuple[str, str] | None = None


_FAILED = (FactKind.RELEASE_ROLLED_BACK, FactKind.ROLLBACK_FAILED, FactKind.RELEASE_ABORTED)
"""Endings of a failed deployment, after traffic had moved."""


_RATES = (
    ("DeploymentSucceeded", "DeploymentFailed", "RollbackTriggered"),
    ("GatePassed", "GateFailed"),
    ("HealthCheckPassed", "HealthCheckFailed"),
)
"""Counts that form a rate are written together, with 0 for the others: no series is missing where another has data."""


def measures(fact: FactRecord) -> Iterator[Measure]:
    """The metrics of a fact."""
    found = list(_measures(fact))
    yield from found
    names = {measure.name for measure in found if not measure.by}
    for rate in _RATES:
        if names & set(rate):
            yield from (Measure(name, 0) for name in rate if name not in names)


def _measures(fact: FactRecord) -> Iterator[Measure]:
    data = fact["data"]
    kind = FactKind.of(fact["name"])
    if kind and kind.counts:
        yield Measure(kind.counts, 1)
    yield from _of_rollbacks(fact["name"], data)
    if fact["name"] in (FactKind.GATES_PASSED, FactKind.GATES_FAILED):
        for result in data["results"]:
            if result["verdict"] == "not-configured":
                continue
            name = "GatePassed" if result["verdict"] == "passed" else "GateFailed"
            yield Measure(name, 1)
            yield Measure(name, 1, by=("Gate", result["gate"]))
    if fact["name"] == FactKind.HEALTH_CHECKED and not data.get("goesOn"):  # what was unclear is asked again
        for check in data["checks"]:
            yield Measure("HealthCheckPassed" if check["verdict"] == "healthy" else "HealthCheckFailed", 1)
    if fact["name"] in (FactKind.APPROVAL_GRANTED, FactKind.APPROVAL_REJECTED):
        yield Measure("ApprovalLatency", _seconds(data["askedAt"], fact["at"]), MetricUnit.Seconds)
    for name, since in data.get("durations", {}).items():
        yield Measure(name, _seconds(since, fact["at"]), MetricUnit.Seconds)


def _of_rollbacks(name: str, data: Mapping[str, Any]) -> Iterator[Measure]:
    if name == FactKind.ROLLBACK_TRIGGERED:
        yield Measure("RollbackTriggered", 1, by=("Trigger", data["trigger"]))
    if name == FactKind.RELEASE_ABORTED and data.get("moved"):
        yield Measure("RollbackSucceeded", 1)
    # A rollback that failed and then succeeded is one failed deployment: the first ending counted it.
    if name in _FAILED and data.get("moved", True) and data.get("after") != "ROLLBACK_FAILED":
        yield Measure("DeploymentFailed", 1)


def emit(fact: FactRecord) -> None:
    """Prints each metric in the embedded metric format: a line by application and stage, and a line by stage alone.

    An alarm over all applications cannot search for them, because CloudWatch alarms evaluate only single series.
    """
    stage = {"Stage": fact["stage"]}
    for measure in measures(fact):
        by_application = {"Application": fact["application"], **stage}
        if measure.by:
            _print(measure, by_application | dict([measure.by]))
        else:
            _print(measure, by_application)
            _print(measure, stage)


def emit_waiting(sent: str | None, *, now: datetime, stage: str) -> None:
    """How long an undelivered notice has waited since it was queued (milliseconds since 1970, from SQS).

    SQS does not count a message that was received several times in the age of its oldest one
    (`ApproximateAgeOfOldestMessage`).
    """
    if sent:
        waits = max(0.0, now.timestamp() - int(sent) / 1000)
        _print(Measure("NoticeWaits", round(waits, 3), MetricUnit.Seconds), {"Stage": stage})


def _print(measure: Measure, dimensions: Mapping[str, str]) -> None:
    with single_metric(
        name=measure.name, unit=measure.unit, value=measure.value, namespace=_NAMESPACE
    ) as metric:
        for name, value in dimensions.items():
            metric.add_dimension(name=name, value=value)


def _seconds(since: str, until: str) -> float:
    return max(0.0, (datetime.fromisoformat(until) - datetime.fromisoformat(since)).total_seconds())
