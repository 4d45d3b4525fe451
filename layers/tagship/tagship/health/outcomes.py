"""How what ran on the candidate ended: the share that did not succeed, against a limit.

For a target that counts the ends by version, as a state machine does. A metric without a value counts as 0 as long as enough
ended: not every failure has a metric of its own that is written when there is none.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Annotated, Any, ClassVar, Literal

import annotated_types as at

from tagship.aws.rights import Location, Right
from tagship.health.given import Given, Problems
from tagship.health.metric import READ_METRICS
from tagship.health.sampling import INVOCATION_SECONDS
from tagship.health.verdict import CheckResult, Verdict, errored, unreadable
from tagship.model.errors import AwsUnavailable
from tagship.model.fields import CONFIG, UNKEPT, Example, Examples, can_be_kept
from tagship.targets.kind import Outcomes, Subject

_PERIOD_SECONDS = 60
_VERSION = "{version}"


@dataclass(frozen=True, slots=True, kw_only=True)
class OutcomesCheck:
    """The share of what ended on the candidate that failed, timed out or was aborted, against a limit."""

    __pydantic_config__ = CONFIG

    LOOKS_BACK: ClassVar[int] = 180
    """CloudWatch has a minute's data one to two minutes after the minute has ended."""
    ASKS_CANDIDATE: ClassVar[frozenset[Verdict]] = frozenset()
    EXAMPLE: ClassVar[Example] = {"type": "outcomes", "maxPercent": 2, "minSamples": 20}
    EXAMPLES: ClassVar[Examples] = {}

    type: Literal["outcomes"]
    """The kind of check."""
    maxPercent: Annotated[float, at.Ge(0), at.Lt(100)]
    """The largest share that may fail, time out or be aborted, in percent. 0 allows none."""
    minSamples: Annotated[int, at.Ge(1), at.Le(1_000_000)] = 1
    """With fewer that have ended, the check is inconclusive."""

    @property
    def seconds(self) -> int:
        """One look."""
        return INVOCATION_SECONDS

    def label(self, _application: str) -> str:
        """`outcomes`."""
        return "outcomes"

    def problems(self) -> Problems:
        """Problems that concern several fields together."""
        if not can_be_kept(self.maxPercent):
            yield "maxPercent", UNKEPT

    def lacks(self, offers: Subject) -> Problems:
        """A count of how things ended."""
        if offers.outcomes is None:
            yield "type", "is not possible: a target of this type does not count how its requests end"

    def rights(self, _target: Location, _offers: Subject) -> tuple[Right, ...]:
        """To read metrics; AWS knows no narrower right."""
        return (READ_METRICS,)

    def run(self, given: Given) -> CheckResult:
        """The check with what a release gives it.

        Raises AwsUnavailable when CloudWatch throttled, failed or could not be reached.
        """
        from botocore.exceptions import ClientError

        from tagship.aws.calls import calling

        counted = given.offers.outcomes
        if given.began is None or counted is None:
            return errored(given.name, "Not checked: there is no deployment whose outcomes are counted.")
        queries = _queries(counted, given.offers.names["version"])
        try:
            with calling("Reading how executions ended"):
                answer = given.client("cloudwatch").get_metric_data(
                    MetricDataQueries=queries, StartTime=_minute(given.began), EndTime=_after(given.now())
                )
        except ClientError as error:
            return unreadable(given.name, "The metrics", error, action=READ_METRICS.actions[0])
        statuses = {series.get("StatusCode") for series in answer["MetricDataResults"]}
        if "InternalError" in statuses:
            raise AwsUnavailable("CloudWatch could not read the metrics this time.")
        if "Forbidden" in statuses:
            return errored(given.name, "CloudWatch does not allow reading the metrics.")
        sums = {series["Label"]: sum(series["Values"]) for series in answer["MetricDataResults"]}
        return judge(self, counted, sums, name=given.name)


def judge(check: OutcomesCheck, counted: Outcomes, sums: Mapping[str, float], *, name: str) -> CheckResult:
    """Too few that ended is inconclusive, however they ended; then the limit must hold. `sums` are by the metric's name."""
    ends = {words: round(sums.get(metric, 0)) for metric, words in counted.failed.items()}
    failed = sum(ends.values())
    ended = failed + round(sums.get(counted.succeeded, 0))
    numbers: dict[str, float | int | str] = {
        "ended": ended,
        **ends,
        "maxPercent": check.maxPercent,
        "minSamples": check.minSamples,
    }
    if ended < check.minSamples:
        why = f"{ended} have ended on the candidate; at least {check.minSamples} are required."
        return CheckResult(check=name, verdict=Verdict.INCONCLUSIVE, why=why, numbers=numbers)
    how = ", ".join(f"{number} {words}" for words, number in ends.items() if number) or "none failed"
    why = f"{failed} of {ended} that ended on the candidate did not succeed ({how}); the limit is {check.maxPercent:g} %."
    healthy = failed * 100 <= check.maxPercent * ended
    verdict = Verdict.HEALTHY if healthy else Verdict.UNHEALTHY
    return CheckResult(check=name, verdict=verdict, why=why, numbers=numbers)


def _queries(counted: Outcomes, version: str) -> list[Any]:
    return [
        {
            "Id": f"m{number}",
            "Label": metric,
            "MetricStat": {
                "Metric": {
                    "Namespace": counted.namespace,
                    "MetricName": metric,
                    "Dimensions": [
                        {"Name": key, "Value": value.replace(_VERSION, version)}
                        for key, value in counted.dimensions.items()
                    ],
                },
                "Period": _PERIOD_SECONDS,
                "Stat": "Sum",
            },
        }
        for number, metric in enumerate((counted.succeeded, *counted.failed))
    ]


def _minute(moment: datetime) -> datetime:
    return moment.replace(second=0, microsecond=0)


def _after(moment: datetime) -> datetime:
    return _minute(moment) + timedelta(seconds=_PERIOD_SECONDS)
