"""A CloudWatch metric or expression of the candidate, compared with a limit and with the baseline's own last period.

Both are read minute by minute and combined here, weighted by their samples, so that periods of different lengths and
traffic shares can be compared.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

import annotated_types as at

from tagship.aws.rights import Location, Right
from tagship.health.given import Given, Problems
from tagship.health.sampling import INVOCATION_SECONDS
from tagship.health.verdict import CheckResult, Verdict, errored, unreadable
from tagship.model.errors import AwsUnavailable
from tagship.model.fields import CONFIG, UNKEPT, Duration, Example, Examples, Matching, can_be_kept
from tagship.targets.kind import Subject
from tagship.text.words import listed

if TYPE_CHECKING:
    from mypy_boto3_cloudwatch import CloudWatchClient

_DAY_SECONDS = 86_400
DAYS_BEFORE = 15
"""For so long, CloudWatch keeps data of each minute; so old an error still shows that its metric exists."""
READ_METRICS = Right(name="ReadMetrics", actions=("cloudwatch:GetMetricData",), on=("*",))
"""On everything: AWS has no narrower permission to read metrics."""

PERIOD_SECONDS = 60
_VERSION = "{version}"
_MINUTE = timedelta(seconds=PERIOD_SECONDS)


def several_versions(name: str, offers: Subject, texts: Sequence[str]) -> Problems:
    """The problem of a check whose `{version}` could be the version of several functions."""
    named = offers.named_in(texts)
    if len(named) > 1 and any(_VERSION in text for text in texts):
        yield (
            name,
            f"names {listed(named)}, so {_VERSION} could be the version of each: write one check for each",
        )


class NoAnswer(Exception):
    """CloudWatch did not return the data, and a retry would not help."""


@dataclass(frozen=True, slots=True)
class Minute:
    """A metric's value in one minute."""

    value: float
    samples: float


Minutes = Mapping[datetime, Minute]


@dataclass(frozen=True, slots=True)
class Seen:
    """A version's value in a period; without samples there is none."""

    value: float | None
    samples: float


@dataclass(frozen=True, slots=True, kw_only=True)
class MetricCheck:
    """A CloudWatch metric or expression of the candidate, against a limit and against the baseline before the deployment."""

    __pydantic_config__ = CONFIG

    LOOKS_BACK: ClassVar[int] = 180
    """CloudWatch has a minute's data one to two minutes after the minute has ended."""
    ASKS_CANDIDATE: ClassVar[frozenset[Verdict]] = frozenset()
    EXAMPLE: ClassVar[Example] = {
        "type": "metric",
        "name": "errors",
        "namespace": "AWS/Lambda",
        "metric": "Errors",
        "dimensions": {
            "FunctionName": "storefront",
            "Resource": "storefront:live",
            "ExecutedVersion": "{version}",
        },
        "minSamples": 100,
        "maxIncreasePercent": 20,
        "maxValue": 0.05,
    }
    EXAMPLES: ClassVar[Examples] = {
        "statistic": ["Average", "p95"],
        "expression": ["SELECT AVG(Latency) FROM Storefront WHERE Version = '{version}'"],
        "samples": ["SELECT COUNT(Latency) FROM Storefront WHERE Version = '{version}'"],
        "window": [600, "PT10M"],
    }

    type: Literal["metric"]
    """The kind of check."""
    name: Annotated[
        str, Matching(r"^[\w .%/-]{1,64}$", "letters, digits, spaces and any of . % / - _, at most 64")
    ]
    """Its name in facts and notices."""
    namespace: Annotated[str, at.MinLen(1), at.MaxLen(255)] | None = None
    """The metric's namespace: `AWS/Lambda`."""
    metric: Annotated[str, at.MinLen(1), at.MaxLen(255)] | None = None
    """The metric's name: `Errors`."""
    dimensions: dict[str, str] = field(default_factory=dict)
    """The metric's dimensions; `{version}` stands for the version that is checked."""
    statistic: Annotated[
        str,
        Matching(
            r"^(Average|Maximum|Minimum|p\d{1,2}(\.\d{1,2})?)$",
            "Average, Maximum, Minimum, or a percentile like p95",
        ),
    ] = "Average"
    """The statistic of each minute. `Sum` is not allowed: it cannot compare versions with different traffic shares."""
    expression: Annotated[str, at.MinLen(1), at.MaxLen(2048)] | None = None
    """A metric math or `SELECT` expression with one value per minute, instead of a metric; `{version}` as above."""
    samples: Annotated[str, at.MinLen(1), at.MaxLen(2048)] | None = None
    """An expression that counts each minute's samples; the default is the metric's samples, or the target's requests."""
    minSamples: Annotated[int, at.Ge(1), at.Le(1_000_000)] = 1
    """With fewer samples of the candidate or of the baseline, the check is inconclusive."""
    maxIncreasePercent: Annotated[int, at.Ge(0), at.Le(10_000)] | None = None
    """By how much the candidate's value may exceed the baseline's, in percent of the baseline's."""
    maxValue: Annotated[float, at.Ge(-1_000_000_000_000), at.Le(1_000_000_000_000)] | None = None
    """The limit of the candidate's value, independent of the baseline."""
    window: Annotated[int, Duration(), at.Ge(60), at.Le(10_800)] = 600
    """The seconds before the deployment in which the baseline is measured."""

    @property
    def seconds(self) -> int:
        """One request."""
        return INVOCATION_SECONDS

    def label(self, _application: str) -> str:
        """`metric errors`."""
        return f"metric {self.name}"

    def problems(self) -> Problems:
        """Problems that involve several fields."""
        if self.expression is None:
            for name, value in (("namespace", self.namespace), ("metric", self.metric)):
                if value is None:
                    yield name, "is missing (set it or an expression)"
        elif self.namespace or self.metric or self.dimensions:
            yield "expression", "cannot be used together with a metric: set only one of them"
        if self.maxIncreasePercent is None and self.maxValue is None:
            yield (
                "maxIncreasePercent",
                "is missing: set it, maxValue, or both. Without a limit nothing is checked",
            )
        if len(self.dimensions) > 30 or not all(
            0 < len(text) <= 255 for pair in self.dimensions.items() for text in pair
        ):
            yield "dimensions", "must be at most 30, with names and values of 1 to 255 characters"
        if not can_be_kept(self.maxValue):
            yield "maxValue", UNKEPT

    def lacks(self, offers: Subject) -> Problems:
        """A count of its samples, and one version that `{version}` stands for."""
        if self.expression is not None and self.samples is None and offers.requests is None:
            yield "samples", "is missing: the requests of a target of this type are not counted"
        yield from several_versions("expression" if self.expression else "dimensions", offers, self.texts)

    @property
    def texts(self) -> Sequence[str]:
        """Where `{version}` may stand, and the name of what it is the version of."""
        return [*self.dimensions.values(), self.expression or "", self.samples or ""]

    def rights(self, _target: Location, _offers: Subject) -> tuple[Right, ...]:
        """To read metrics; AWS has no narrower permission."""
        return (READ_METRICS,)

    def run(self, given: Given) -> CheckResult:
        """Runs the check with the data of a release.

        Raises AwsUnavailable if CloudWatch throttled, failed or could not be reached.
        """
        from botocore.exceptions import ClientError

        if given.began is None:
            return errored(given.name, "Not checked: there is no deployment to measure.")
        reader = Reader(client=given.client("cloudwatch"), check=self, given=given)
        compared = self.maxIncreasePercent is not None and given.before is not None
        try:
            candidate = reader.candidate(given.began)
            baseline = reader.baseline(given.began) if compared else {}
        except NoAnswer as answer:
            return errored(given.name, str(answer))
        except ClientError as error:
            return unreadable(given.name, "The metric", error, action=READ_METRICS.actions[0])
        return judge(
            self,
            candidate=together(candidate, self.statistic),
            baseline=together(baseline, self.statistic) if given.before is not None else None,
            name=given.name,
        )


# ---- what the numbers say ------------------------------------------------------------------------------------------


def together(minutes: Minutes, statistic: str) -> Seen:
    """A period's minutes as one value: their mean, weighted by samples; for Maximum and Minimum, the extreme."""
    counted = [minute for minute in minutes.values() if minute.samples > 0]
    if not counted:
        return Seen(value=None, samples=0)
    values, samples = [minute.value for minute in counted], sum(minute.samples for minute in counted)
    if statistic in ("Maximum", "Minimum"):
        return Seen(value=max(values) if statistic == "Maximum" else min(values), samples=samples)
    return Seen(value=sum(minute.value * minute.samples for minute in counted) / samples, samples=samples)


def judge(check: MetricCheck, *, candidate: Seen, baseline: Seen | None, name: str) -> CheckResult:
    """Too few samples, or none, is inconclusive, whatever their value; then each configured limit must hold.

    `baseline` is None if there is none: then only `maxValue` can show that the candidate is healthy.
    """
    numbers: dict[str, float | int | str] = {"minSamples": check.minSamples}
    for whose, seen in (("candidate", candidate), ("baseline", baseline)):
        if seen is not None:
            numbers[f"{whose}Samples"] = _short(seen.samples)
            if seen.value is not None:
                numbers[whose] = _short(seen.value)
    verdict, why = _limits(check, candidate, baseline)
    return CheckResult(check=name, verdict=verdict, why=f"{why}.", numbers=numbers)


def _limits(check: MetricCheck, candidate: Seen, baseline: Seen | None) -> tuple[Verdict, str]:
    if missing := _too_few(check, candidate, "the candidate"):
        return Verdict.INCONCLUSIVE, missing
    assert candidate.value is not None  # it has samples
    says = f"the candidate's {check.name} is {_short(candidate.value)} ({_short(candidate.samples)} samples)"
    if check.maxValue is not None and candidate.value > check.maxValue:
        return Verdict.UNHEALTHY, f"{says}; the limit is {_short(check.maxValue)}"
    if check.maxIncreasePercent is None:
        return Verdict.HEALTHY, says
    if baseline is None:
        if check.maxValue is None:
            return Verdict.INCONCLUSIVE, f"{says}, but there is no baseline to compare it with"
        return Verdict.HEALTHY, f"{says}; there is no baseline"
    if missing := _too_few(check, baseline, "the baseline"):
        return Verdict.INCONCLUSIVE, f"{says}; {missing}"
    assert baseline.value is not None  # it has samples
    allowed = baseline.value + abs(baseline.value) * check.maxIncreasePercent / 100
    against = f"{says}; the baseline's is {_short(baseline.value)} ({_short(baseline.samples)} samples)"
    if candidate.value > allowed:
        return Verdict.UNHEALTHY, f"{against}: the limit is {check.maxIncreasePercent} % above the baseline"
    return Verdict.HEALTHY, against


def _too_few(check: MetricCheck, seen: Seen, whose: str) -> str:
    if seen.value is None:
        return f"there is no data for {whose}"
    if seen.samples < check.minSamples:
        return (
            f"there are {_short(seen.samples)} samples for {whose}; at least {check.minSamples} are required"
        )
    return ""


def _short(number: float) -> float | int:
    """The number's form for people and for the ledger."""
    rounded = float(f"{number:.6g}")
    return int(rounded) if rounded == int(rounded) else rounded


# ---- asking CloudWatch ---------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Reader:
    """Reads a check's minutes from CloudWatch. Raises AwsUnavailable, NoAnswer, and botocore's ClientError."""

    client: CloudWatchClient
    check: MetricCheck
    given: Given

    def candidate(self, began: datetime) -> Minutes:
        """Since the deployment began. Once it has all of the traffic, data without a version is the candidate's too."""
        now, version = _minute_after(self.given.now()), self._version_of(self.given.offers)
        named = self._minutes(version, began if self._by_version else _minute_after(began), now)
        if self.given.percent < 100 or self.given.shifted is None or not self._by_version:
            return named
        return {**self._minutes(version, _minute_after(self.given.shifted), now, named=False), **named}

    def baseline(self, began: datetime) -> Minutes:
        """Its last period before the deployment. It had all of the traffic, so data without a version is its too.

        Lambda, for example, records the version only while two versions share the traffic.
        """
        version = self._version_of(self.given.before) if self.given.before else ""
        start, end = began - timedelta(seconds=self.check.window), _minute(began)
        found = self._minutes(version, start, end)
        return found or (self._minutes(version, start, end, named=False) if self._by_version else {})

    def ever(self, began: datetime) -> bool:
        """Whether there was any data in the 15 days before the deployment, with or without the version of that time."""
        from tagship.aws.calls import calling

        version = (self.given.before or self.given.offers).names["version"]
        queries = []
        for name, named in (("named", True), ("unnamed", False)):
            query = self._stat(name, "SampleCount", version, named=named)
            query["MetricStat"]["Period"] = _DAY_SECONDS
            queries.append(query)
        found: dict[str, dict[datetime, float]] = {"named": {}, "unnamed": {}}
        with calling(f"Reading the metric {self.check.name}"):
            answer = self.client.get_metric_data(
                MetricDataQueries=queries, StartTime=began - timedelta(days=DAYS_BEFORE), EndTime=began
            )
        _take(answer, found)
        return any(found.values())

    @property
    def _by_version(self) -> bool:
        """Whether the version is one of several dimensions, and can be left out."""
        return any(_VERSION in value for value in self._metric["dimensions"].values())

    @property
    def _metric(self) -> dict[str, Any]:
        """The metric, or the metric that counts the samples of an expression without `samples`: the target's requests."""
        if self.check.expression is None:
            return {
                "namespace": self.check.namespace,
                "name": self.check.metric,
                "dimensions": self.check.dimensions,
            }
        requests = self.given.offers.about(self.check.texts).requests
        if self.check.samples is not None:
            return {"dimensions": {}}
        if requests is None:
            raise NoAnswer("The requests of this target are not counted: set `samples` in the check.")
        return {
            "namespace": requests.namespace,
            "name": requests.name,
            "dimensions": requests.dimensions,
        }

    def _version_of(self, offers: Subject) -> str:
        """Of the function that the check names, if the target has several."""
        return offers.about(self.check.texts).names["version"]

    def _minutes(self, version: str, start: datetime, end: datetime, *, named: bool = True) -> Minutes:
        """The minutes from `start` to before `end` that have a value and samples; `named`: of exactly this version."""
        start = _minute(start)
        if start >= end:
            return {}
        check = self.check
        value = (
            _expression("value", check.expression, version)
            if check.expression is not None
            else self._stat("value", check.statistic, version, named=named)
        )
        samples = (
            _expression("samples", check.samples, version)
            if check.samples is not None
            else self._stat("samples", "SampleCount", version, named=named)
        )
        found: dict[str, dict[datetime, float]] = {"value": {}, "samples": {}}
        from tagship.aws.calls import calling

        with calling(f"Reading the metric {check.name}"):
            paginator = self.client.get_paginator("get_metric_data")
            for page in paginator.paginate(MetricDataQueries=[value, samples], StartTime=start, EndTime=end):
                _take(page, found)
        counted = found["samples"]
        return {at: Minute(value, counted[at]) for at, value in found["value"].items() if at in counted}

    def _stat(self, name: str, statistic: str, version: str, *, named: bool) -> Any:
        metric = {
            "Namespace": self._metric["namespace"],
            "MetricName": self._metric["name"],
            "Dimensions": [
                {"Name": key, "Value": value.replace(_VERSION, version)}
                for key, value in self._metric["dimensions"].items()
                if named or _VERSION not in value
            ],
        }
        return {"Id": name, "MetricStat": {"Metric": metric, "Period": PERIOD_SECONDS, "Stat": statistic}}


def _expression(name: str, text: str, version: str) -> Any:
    return {"Id": name, "Expression": text.replace(_VERSION, version), "Period": PERIOD_SECONDS}


def _take(page: Any, found: dict[str, dict[datetime, float]]) -> None:
    labels: dict[str, str | None] = {}
    for series in page["MetricDataResults"]:
        name, status, label = series["Id"], series.get("StatusCode"), series.get("Label")
        if status == "InternalError":
            raise AwsUnavailable("CloudWatch could not read the metric this time.")
        if status == "Forbidden":
            raise NoAnswer("CloudWatch does not allow reading the metric.")
        if labels.setdefault(name, label) != label:
            raise NoAnswer(f"The expression of {name} returns several series; it must return one.")
        found[name] |= dict(zip(series["Timestamps"], series["Values"], strict=True))


def _minute(moment: datetime) -> datetime:
    return moment.replace(second=0, microsecond=0)


def _minute_after(moment: datetime) -> datetime:
    return _minute(moment) if moment == _minute(moment) else _minute(moment) + _MINUTE
