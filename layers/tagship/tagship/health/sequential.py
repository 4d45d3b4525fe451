"""The candidate's share of errors against the baseline's, by a sequential test: it stays valid however often you look.

Healthy and unhealthy are both claims that the data must prove, with the configured confidence. Until then the check is
inconclusive, so that little traffic is never lucky.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Annotated, ClassVar, Literal

import annotated_types as at

from tagship.aws.rights import Location, Right
from tagship.health.given import Given, Problems
from tagship.health.metric import (
    DAYS_BEFORE,
    READ_METRICS,
    MetricCheck,
    Minutes,
    NoAnswer,
    Reader,
    several_versions,
)
from tagship.health.sampling import INVOCATION_SECONDS
from tagship.health.verdict import CheckResult, Verdict, errored, unreadable
from tagship.model.fields import CONFIG, UNKEPT, Duration, Example, Examples, Matching, can_be_kept
from tagship.targets.kind import Subject

_PRIOR = 0.5
"""Both parameters of the mixture, Beta(1/2, 1/2): Jeffreys' prior, which learns rare errors quickly."""
_MOST = math.log(1e9)
"""Evidence beyond this, for or against, says no more to anybody."""
_COUNTABLE = 1e12
"""With more requests, rounding alone could look like evidence; no hour has as many, so something else is counted."""


# ---- the test ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Counts:
    """Requests, and how many of them failed."""

    errors: float
    requests: float

    @property
    def share(self) -> float:
        """The share that failed, 0 to 1; there are requests."""
        return self.errors / self.requests


def evidence(candidate: Counts, baseline: Counts | float, *, margin: float, worse: bool) -> float:
    """The natural logarithm of the evidence against one hypothesis about the two shares of errors, p and q.

    `worse`: against p ≤ q + margin, so that much evidence shows that the candidate is worse; else against p ≥ q + margin. A
    `baseline` that is a number is q itself, which is then known.

    It is an e-process: the mixture likelihood ratio of Robbins (1970, "Statistical methods related to the law of the
    iterated logarithm", with Beta mixtures for Bernoulli data), divided by the largest likelihood that the hypothesis
    allows (Wasserman, Ramdas and Balakrishnan 2020, "Universal inference", section 8). By Ville's inequality, the chance
    that it ever exceeds 1/α while the hypothesis is true is at most α, however often one looks and whenever one stops. That
    holds for every number of requests; nothing is approximated.
    """
    known = None if isinstance(baseline, Counts) else baseline
    other = baseline if isinstance(baseline, Counts) else Counts(0, 0)
    mixed = _mixed(candidate) + (_mixed(other) if known is None else 0.0)

    def likelihood(p: float, q: float) -> float:
        return _likelihood(candidate, p) + (_likelihood(other, q) if known is None else 0.0)

    p = candidate.share if candidate.requests else (0.0 if worse else 1.0)
    q = known if known is not None else (other.share if other.requests else (1.0 if worse else 0.0))
    if (p <= q + margin) if worse else (p >= q + margin):
        return mixed - likelihood(p, q)  # what fits best is allowed: there is no evidence against it
    if known is not None:
        return mixed - likelihood(min(1.0, known + margin), known)
    # What fits best is not allowed, and the likelihood is concave: the most that is allowed lies on the border.
    low, high = 0.0, 1.0 - margin
    for _ in range(50):
        left, right = low + (high - low) / 3, high - (high - low) / 3
        if likelihood(left + margin, left) < likelihood(right + margin, right):
            low = left
        else:
            high = right
    middle = (low + high) / 2
    return mixed - max(likelihood(at + margin, at) for at in (0.0, middle, 1.0 - margin))


def _mixed(counts: Counts) -> float:
    """ln of the likelihood, averaged over all shares with the weights of the prior."""
    passed = counts.requests - counts.errors
    return _beta(counts.errors + _PRIOR, passed + _PRIOR) - _beta(_PRIOR, _PRIOR)


def _beta(a: float, b: float) -> float:
    return math.lgamma(a) + math.lgamma(b) - math.lgamma(a + b)


def _likelihood(counts: Counts, share: float) -> float:
    """ln of the likelihood of these counts where each request fails with this chance."""
    passed = counts.requests - counts.errors
    return _times_log(counts.errors, share) + _times_log(passed, 1 - share)


def _times_log(times: float, chance: float) -> float:
    if times <= 0:
        return 0.0
    return times * math.log(chance) if chance > 0 else -math.inf


# ---- the check -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Counter:
    """A CloudWatch metric whose sum counts something."""

    __pydantic_config__ = CONFIG
    EXAMPLE: ClassVar[Example] = {
        "namespace": "AWS/Lambda",
        "metric": "Errors",
        "dimensions": {
            "FunctionName": "storefront",
            "Resource": "storefront:live",
            "ExecutedVersion": "{version}",
        },
    }

    namespace: Annotated[str, at.MinLen(1), at.MaxLen(255)]
    """The metric's namespace: `AWS/Lambda`."""
    metric: Annotated[str, at.MinLen(1), at.MaxLen(255)]
    """The metric's name: `Errors`. Its sum of a minute is the count."""
    dimensions: dict[str, str] = field(default_factory=dict)
    """The metric's dimensions; `{version}` stands for the version that is checked."""
    missing: Literal["unknown", "zero"] = "unknown"
    """What a minute without data means, for `errors` only. `zero` is for metrics that have data only if they are not 0."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SequentialCheck:
    """The candidate's share of errors against the baseline's, with a confidence, by a sequential test."""

    __pydantic_config__ = CONFIG

    LOOKS_BACK: ClassVar[int] = MetricCheck.LOOKS_BACK
    ASKS_CANDIDATE: ClassVar[frozenset[Verdict]] = frozenset()
    EXAMPLE: ClassVar[Example] = {
        "type": "sequential",
        "name": "errors",
        "errors": Counter.EXAMPLE,
        "margin": 0.01,
        "confidence": 0.95,
    }
    EXAMPLES: ClassVar[Examples] = {
        "requests": [{**Counter.EXAMPLE, "metric": "Invocations"}],
        "undecided": ["healthy"],
        "firstShare": [0.001],
        "window": [3600, "PT1H"],
    }

    type: Literal["sequential"]
    """The kind of check."""
    name: Annotated[
        str, Matching(r"^[\w .%/-]{1,64}$", "letters, digits, spaces and any of . % / - _, at most 64")
    ]
    """Its name in facts and notices."""
    errors: Counter
    """What counts the requests that failed."""
    requests: Counter | None = None
    """What counts all requests; the default is the target's own count."""
    margin: Annotated[float, at.Ge(0.0001), at.Le(0.5)]
    """How much worse the candidate may be: 0.01 allows one more error in a hundred requests."""
    confidence: Annotated[float, at.Ge(0.5), at.Le(0.9999)] = 0.95
    """How sure the check must be of either answer: 0.95 is wrong at most once in twenty releases."""
    undecided: Literal["inconclusive", "healthy"] = "inconclusive"
    """What too little evidence counts as. `healthy` is your consent to a release with too few requests to know."""
    firstShare: Annotated[float, at.Ge(0), at.Le(0.5)] | None = None
    """The share of errors to compare a first release with, which has no baseline."""
    window: Annotated[int, Duration(), at.Ge(60), at.Le(10_800)] = 3_600
    """The seconds before the deployment in which the baseline is counted."""

    @property
    def seconds(self) -> int:
        """Two looks, at the errors and at the requests; a third one if errors without data are 0."""
        return (3 if self.errors.missing == "zero" else 2) * INVOCATION_SECONDS

    def label(self, _application: str) -> str:
        """`sequential errors`."""
        return f"sequential {self.name}"

    def problems(self) -> Problems:
        """Problems that concern several fields together."""
        for name, counter in (("errors", self.errors), ("requests", self.requests)):
            pairs = counter.dimensions.items() if counter else ()
            if len(pairs) > 30 or not all(0 < len(text) <= 255 for pair in pairs for text in pair):
                yield (
                    f"{name}.dimensions",
                    "must be at most 30, with names and values of 1 to 255 characters",
                )
        for name, number in (("margin", self.margin), ("confidence", self.confidence)):
            if not can_be_kept(number):
                yield name, UNKEPT
        if not can_be_kept(self.firstShare):
            yield "firstShare", UNKEPT
        if self.requests is not None and self.requests.missing == "zero":
            yield "requests.missing", "can be set for errors only: without requests, the check has no result"

    def lacks(self, offers: Subject) -> Problems:
        """A count of its requests."""
        if self.requests is None and offers.requests is None:
            yield "requests", "is missing: the requests of a target of this type are not counted"
        for name, counter in (("errors", self.errors), ("requests", self.requests)):
            texts = list(counter.dimensions.values()) if counter else []
            yield from several_versions(f"{name}.dimensions", offers, texts)

    def rights(self, _target: Location, _offers: Subject) -> tuple[Right, ...]:
        """To read metrics; AWS knows no narrower right."""
        return (READ_METRICS,)

    def run(self, given: Given) -> CheckResult:
        """The check with what a release gives it.

        Raises AwsUnavailable when CloudWatch throttled, failed or could not be reached.
        """
        from botocore.exceptions import ClientError

        if given.began is None:
            return errored(given.name, "Not checked: there is no deployment to measure.")
        try:
            errors, requests = self._reader(given, self.errors), self._reader(given, self._requests(given))
            zero_until, doubt = self._zero_until(given, errors)
            candidate = counted(
                errors.candidate(given.began), requests.candidate(given.began), zero_until=zero_until
            )
            baseline = (
                counted(
                    errors.baseline(given.began),
                    requests.baseline(given.began),
                    all_requests=True,
                    zero_until=zero_until,
                )
                if given.before is not None
                else self.firstShare
            )
        except NoAnswer as answer:
            return errored(given.name, str(answer))
        except ClientError as error:
            return unreadable(given.name, "The metrics", error, action=READ_METRICS.actions[0])
        found = judge(self, candidate=candidate, baseline=baseline, name=given.name)
        return replace(found, why=f"{found.why} {doubt}") if doubt else found

    def _zero_until(self, given: Given, errors: Reader) -> tuple[datetime | None, str]:
        """Until when a minute without errors had none, and why that is not believed: a wrong name has no errors either.

        Later minutes may still get their errors after their requests.
        """
        if self.errors.missing != "zero" or given.began is None:
            return None, ""
        if not errors.ever(given.began):
            return None, (
                f"CloudWatch had no data of {self.errors.metric} in the {DAYS_BEFORE} days before the deployment, so its "
                "name or dimensions may be wrong. So minutes without data did not count as 0 errors."
            )
        return given.now() - timedelta(seconds=self.LOOKS_BACK), ""

    def _requests(self, given: Given) -> Counter:
        if self.requests is not None:
            return self.requests
        own = given.offers.about(list(self.errors.dimensions.values())).requests
        if own is None:
            raise NoAnswer("The requests of this target are not counted: set `requests` in the check.")
        return Counter(namespace=own.namespace, metric=own.name, dimensions=dict(own.dimensions))

    def _reader(self, given: Given, counter: Counter) -> Reader:
        summed = MetricCheck(
            type="metric",
            name=self.name,
            namespace=counter.namespace,
            metric=counter.metric,
            dimensions=counter.dimensions,
            statistic="Sum",  # counts of one version are never compared without the requests that they belong to
            window=self.window,
        )
        return Reader(client=given.client("cloudwatch"), check=summed, given=given)


def counted(
    errors: Minutes,
    requests: Minutes,
    *,
    all_requests: bool = False,
    zero_until: datetime | None = None,
) -> Counts:
    """Both counts over the minutes that have both: no data is not 0 errors.

    `all_requests`: the requests of the other minutes too, as soon as one has both. A metric that is written only where there
    are errors would otherwise show a baseline by its worst minutes, and a bad candidate would look no worse.

    `zero_until`: the configuration says that a metric without data is 0, which holds for minutes before this time.
    """
    both = errors.keys() & requests.keys()
    last = zero_until - timedelta(minutes=1) if zero_until else None
    without = {minute for minute in requests.keys() - both if last and minute <= last}
    counts = requests.keys() if both and all_requests else both | without
    return Counts(
        errors=sum(errors[minute].value for minute in both),
        requests=sum(requests[minute].value for minute in counts),
    )


def judge(
    check: SequentialCheck, *, candidate: Counts, baseline: Counts | float | None, name: str
) -> CheckResult:
    """What the counts prove: more evidence than 1/α against one of the two hypotheses decides, with α = 1 - confidence.

    `baseline` is None where nothing served before and the configuration names no share to compare with.
    """
    numbers: dict[str, float | int | str] = {"margin": check.margin, "confidence": check.confidence}
    given = [counts for counts in (candidate, baseline) if isinstance(counts, Counts)]
    if not all(abs(number) <= _COUNTABLE for counts in given for number in (counts.errors, counts.requests)):
        why = f"a count is not a number or is larger than {_COUNTABLE:.0e}, so the metrics do not count requests."
        return CheckResult(check=name, verdict=Verdict.ERROR, why=why, numbers=numbers)
    for whose, counts in (("candidate", candidate), ("baseline", baseline)):
        if isinstance(counts, Counts):
            numbers |= {
                f"{whose}Errors": _short(counts.errors),
                f"{whose}Requests": _short(counts.requests),
            }
        elif counts is not None:
            numbers[whose] = _short(counts)
    impossible = [
        whose
        for whose, counts in (("candidate", candidate), ("baseline", baseline))
        if isinstance(counts, Counts) and not 0 <= counts.errors <= counts.requests
    ]
    if impossible:
        why = f"the {impossible[0]} has more errors than requests: the two metrics do not count the same"
        return CheckResult(check=name, verdict=Verdict.ERROR, why=f"{why}.", numbers=numbers)
    verdict, why, found = _decided(check, candidate, baseline)
    return CheckResult(check=name, verdict=verdict, why=f"{why}.", numbers=numbers | found)


def _decided(
    check: SequentialCheck, candidate: Counts, baseline: Counts | float | None
) -> tuple[Verdict, str, dict[str, float | int | str]]:
    if not candidate.requests:
        return Verdict.INCONCLUSIVE, "there is no data for the candidate", {}
    says = f"{_share(candidate)} of the candidate's requests failed"
    undecided = Verdict.HEALTHY if check.undecided == "healthy" else Verdict.INCONCLUSIVE
    consent = "; the configuration accepts this" if undecided is Verdict.HEALTHY else ""
    if baseline is None:
        return undecided, f"{says}, but there is no baseline to compare it with{consent}", {}
    if isinstance(baseline, Counts) and not baseline.requests:
        return undecided, f"{says}, but there is no data for the baseline{consent}", {}
    against = (
        f"{says}, {_share(baseline)} of the baseline's"
        if isinstance(baseline, Counts)
        else f"{says}; a first release is compared with {_percent(baseline)}"
    )
    needed = 1 / (1 - check.confidence)
    worse = _strength(evidence(candidate, baseline, margin=check.margin, worse=True))
    fine = _strength(evidence(candidate, baseline, margin=check.margin, worse=False))
    found: dict[str, float | int | str] = {
        "evidenceWorse": worse,
        "evidenceFine": fine,
        "evidenceNeeded": _short(needed),
    }
    sure, allowed = _percent(check.confidence), f"{_short(100 * check.margin)} percentage points"
    if worse >= needed:
        return Verdict.UNHEALTHY, f"{against}: it is more than {allowed} worse (confidence {sure})", found
    if fine >= needed:
        return Verdict.HEALTHY, f"{against}: it is at most {allowed} worse (confidence {sure})", found
    return (
        undecided,
        f"{against}: too few requests to know with {sure} confidence whether it is more than {allowed} worse{consent}",
        found,
    )


def _strength(logarithm: float) -> float | int:
    return _short(math.exp(max(-_MOST, min(logarithm, _MOST))))


def _share(counts: Counts) -> str:
    return f"{_short(counts.errors)} of {_short(counts.requests)}"


def _percent(share: float) -> str:
    return f"{_short(100 * share)} %"


def _short(number: float) -> float | int:
    """As people read it, and as the ledger keeps it."""
    rounded = float(f"{number:.6g}")
    return int(rounded) if rounded == int(rounded) else rounded
