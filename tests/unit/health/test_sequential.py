"""Fault 117. A sequential test may be checked after every request; its error rate never exceeds its confidence level."""

import math
import random
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import pairwise

import boto3
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from moto import mock_aws

from tagship.health import Given, SequentialCheck, Verdict
from tagship.health.metric import Minute
from tagship.health.sequential import Counter, Counts, counted, evidence, judge
from tests.unit.builders import subject

BEGAN = datetime(2026, 11, 23, 12, 0, 20, tzinfo=UTC)
ERRORS = Counter(
    namespace="AWS/Lambda",
    metric="Errors",
    dimensions={"FunctionName": "storefront", "Resource": "storefront:live", "ExecutedVersion": "{version}"},
)
CHECK = SequentialCheck(type="sequential", name="errors", errors=ERRORS, margin=0.02, confidence=0.9)


def verdict_of(candidate, baseline, **fields):
    return judge(replace(CHECK, **fields), candidate=candidate, baseline=baseline, name="it").verdict


# ---- how often it is wrong -----------------------------------------------------------------------------------------


LOOKS = [int(50 * 1.25**look) for look in range(24)]
"""The numbers of requests after which to check: often at first, the last after 8,470."""


def release(seed, *, candidate, baseline, before=3_000):
    """The verdicts of one release, look by look."""
    rng = random.Random(seed)
    known = Counts(rng.binomialvariate(before, baseline), before)
    errors = seen = 0
    for requests in LOOKS:
        errors, seen = errors + rng.binomialvariate(requests - seen, candidate), requests
        yield verdict_of(Counts(errors, requests), known)


def ever(verdict, releases=80, **fields):
    """The share of releases in which this verdict was given at any look."""
    return sum(verdict in release(seed, **fields) for seed in range(releases)) / releases


@pytest.mark.parametrize("baseline", [0.0, 0.01, 0.5])
def test_a_just_acceptable_candidate_is_rejected_with_at_most_probability_alpha_at_any_number_of_checks(
    baseline,
):
    """At the border, where a test without this correction stops more and more releases the longer it looks."""
    assert ever(Verdict.UNHEALTHY, candidate=baseline + CHECK.margin, baseline=baseline) <= 0.1


@pytest.mark.parametrize("baseline", [0.0, 0.01, 0.5])
def test_a_just_unacceptable_candidate_passes_with_at_most_probability_alpha_at_any_number_of_checks(
    baseline,
):
    assert ever(Verdict.HEALTHY, candidate=baseline + CHECK.margin, baseline=baseline) <= 0.1


def test_a_candidate_like_the_baseline_is_almost_never_rejected():
    assert ever(Verdict.UNHEALTHY, candidate=0.01, baseline=0.01) <= 0.01


def test_a_clear_difference_is_detected_and_so_is_a_clear_equivalence():
    assert ever(Verdict.UNHEALTHY, candidate=0.1, baseline=0.01) >= 0.99
    assert ever(Verdict.HEALTHY, candidate=0.005, baseline=0.005) >= 0.95


def test_a_naive_test_would_be_wrong_more_often():
    """The simulation is hard enough: a z-test with the same confidence at every look is wrong far too often."""

    def naive(seed):
        rng, errors, seen = random.Random(seed), 0, 0
        for n in LOOKS:
            errors, seen = errors + rng.binomialvariate(n - seen, 0.07), n
            if (errors / n - 0.07) / math.sqrt(0.07 * 0.93 / n) > 1.2816:  # one-sided, 90 %
                return True
        return False

    assert sum(naive(seed) for seed in range(150)) / 150 > 0.2


# ---- what the counts prove -----------------------------------------------------------------------------------------

counts = st.integers(0, 5_000).flatmap(
    lambda requests: st.builds(Counts, st.integers(0, requests), st.just(requests))
)


@settings(max_examples=60)
@given(counts, counts | st.floats(0, 0.5), st.floats(0.0001, 0.5), st.floats(0.5, 0.9999))
def test_at_most_one_verdict_is_proven_and_none_without_data(candidate, baseline, margin, confidence):
    fields = {"margin": margin, "confidence": confidence}
    result = judge(replace(CHECK, **fields), candidate=candidate, baseline=baseline, name="it")
    assert result.verdict is not Verdict.ERROR
    both = [evidence(candidate, baseline, margin=margin, worse=worse) for worse in (True, False)]
    assert min(both) <= 1e-6  # what fits best is on one side of the border
    if not candidate.requests or (isinstance(baseline, Counts) and not baseline.requests):
        assert result.verdict is Verdict.INCONCLUSIVE
        assert max(both) <= 1e-6


@settings(max_examples=60)
@given(counts.filter(lambda it: it.requests), counts, st.floats(0.0001, 0.5))
def test_the_best_fit_at_the_border_is_found(candidate, baseline, margin):
    """Against a plain search over the border."""

    def likelihood(counted, share):
        passed = counted.requests - counted.errors
        if (counted.errors and share <= 0) or (passed and share >= 1):
            return -math.inf
        return counted.errors * (math.log(share) if counted.errors else 0) + passed * (
            math.log(1 - share) if passed else 0
        )

    def mixed(counted):
        a, b = counted.errors + 0.5, counted.requests - counted.errors + 0.5
        return math.lgamma(a) + math.lgamma(b) - math.lgamma(a + b) - math.log(math.pi)

    best = max(
        likelihood(candidate, min(1.0, q + margin)) + likelihood(baseline, q)
        for q in (step * (1 - margin) / 400 for step in range(401))
    )
    for worse in (True, False):
        found = evidence(candidate, baseline, margin=margin, worse=worse)
        assert found <= mixed(candidate) + mixed(baseline) - best + 1e-6


@pytest.mark.parametrize("worse", [True, False])
def test_more_of_the_same_data_is_more_evidence(worse):
    bad = 0.1 if worse else 0.0
    found = [
        evidence(Counts(bad * n, n), Counts(0.01 * n, n), margin=0.03, worse=worse)
        for n in (200, 500, 1_000, 5_000)
    ]
    assert all(fewer < more for fewer, more in pairwise(found))


@pytest.mark.parametrize(
    "candidate, baseline, fields, verdict, why",
    [
        (Counts(0, 20), Counts(1, 9_000), {}, "inconclusive", "too few requests to know with 90 % confidence"),
        (Counts(0, 20), Counts(1, 9_000), {"undecided": "healthy"}, "healthy", "; the configuration accepts this."),
        (Counts(1, 900), Counts(1, 9_000), {}, "healthy", "at most 2 percentage points worse (confidence 90 %)."),
        (Counts(12, 90), Counts(1, 9_000), {}, "unhealthy", "more than 2 percentage points worse (confidence 90 %)."),
        (Counts(12, 90), Counts(1, 9_000), {"undecided": "healthy"}, "unhealthy", "12 of 90 of the candidate's"),
        (Counts(0, 0), Counts(1, 9_000), {"undecided": "healthy"}, "inconclusive", "there is no data for the candidate."),
        (Counts(1, 900), Counts(0, 0), {}, "inconclusive", "there is no data for the baseline."),
        (Counts(1, 900), None, {}, "inconclusive", "there is no baseline to compare it with."),
        (Counts(1, 900), None, {"undecided": "healthy"}, "healthy", "; the configuration accepts this."),
        (Counts(1, 900), 0.001, {}, "healthy", "a first release is compared with 0.1 %"),
        (Counts(90, 900), 0.001, {}, "unhealthy", "a first release is compared with 0.1 %"),
        (Counts(9, 8), Counts(1, 9_000), {}, "error", "the candidate has more errors than requests"),
    ],
)  # fmt: skip
def test_each_verdict_has_a_reason(candidate, baseline, fields, verdict, why):
    result = judge(replace(CHECK, **fields), candidate=candidate, baseline=baseline, name="it")
    assert result.verdict == verdict, result.why
    assert why in result.why


def test_the_numbers_are_the_compared_ones():
    result = judge(CHECK, candidate=Counts(12, 90), baseline=Counts(1, 9_000), name="it")
    assert result.numbers.pop("evidenceWorse") > 10 > result.numbers.pop("evidenceFine")
    assert result.numbers == {
        "margin": 0.02,
        "confidence": 0.9,
        "candidateErrors": 12,
        "candidateRequests": 90,
        "baselineErrors": 1,
        "baselineRequests": 9_000,
        "evidenceNeeded": 10,
    }


def test_a_minute_without_error_data_is_not_a_minute_without_errors():
    """Fault 40: an errors metric that does not exist must not make every release healthy."""
    requests = {BEGAN + timedelta(minutes=n): Minute(100, 100) for n in range(3)}
    assert counted({}, requests) == Counts(0, 0)
    assert counted({BEGAN: Minute(7, 100)}, requests) == Counts(7, 100)


def test_a_baselines_worst_minutes_alone_do_not_describe_it():
    """Fault 117. A load balancer writes its error count only for minutes with errors. The candidate fails every minute,
    the baseline failed in one minute of an hour; judged by that minute alone, it would be as bad."""
    minutes = [BEGAN + timedelta(minutes=n) for n in range(60)]
    requests = dict.fromkeys(minutes, Minute(1_000, 1))
    baseline = counted({minutes[3]: Minute(20, 1)}, requests, all_requests=True)
    candidate = counted(dict.fromkeys(minutes, Minute(20, 1)), requests)
    assert baseline == Counts(20, 60_000)
    assert counted({}, requests, all_requests=True) == Counts(0, 0)
    assert verdict_of(candidate, baseline, margin=0.01) is Verdict.UNHEALTHY


@pytest.mark.parametrize("number", [math.nan, math.inf, -math.inf, 1e18])
@pytest.mark.parametrize("where", ["errors", "requests"])
def test_an_invalid_request_count_proves_nothing(number, where):
    odd = replace(Counts(1, 100), **{where: number})
    for candidate, baseline in ((odd, Counts(1, 100)), (Counts(1, 100), odd)):
        assert verdict_of(candidate, baseline, undecided="healthy") is Verdict.ERROR


# ---- CloudWatch ----------------------------------------------------------------------------------------------------


@pytest.fixture
def cloudwatch():
    with mock_aws():
        yield boto3.client("cloudwatch", region_name="us-east-1")


def put(client, at, *, errors, of, version=None):
    """`of` invocations in one minute, of which `errors` failed."""
    dimensions = {"FunctionName": "storefront", "Resource": "storefront:live"}
    dimensions |= {"ExecutedVersion": version} if version else {}
    client.put_metric_data(
        Namespace="AWS/Lambda",
        MetricData=[
            {
                "MetricName": name,
                "Dimensions": [{"Name": name, "Value": value} for name, value in dimensions.items()],
                "Timestamp": at,
                "Value": float(count),
            }
            for name, count in (("Errors", errors), ("Invocations", of))
        ],
    )


def asked(client, check=CHECK, **fields):
    fields = {"offers": subject("7"), "before": subject("6"), "began": BEGAN, "percent": 10} | fields
    return check.run(
        Given(
            name="sequential errors",
            application="storefront",
            tag="v1.4.0",
            client={"cloudwatch": client}.get,
            now=lambda: BEGAN + timedelta(minutes=5),
            **fields,
        )
    )


def test_the_errors_of_a_version_are_counted_with_its_requests(cloudwatch):
    put(cloudwatch, BEGAN - timedelta(minutes=4), errors=10, of=4_000)
    put(cloudwatch, BEGAN + timedelta(minutes=1), errors=900, of=4_000)  # both, while they share
    put(cloudwatch, BEGAN + timedelta(minutes=1), errors=1, of=500, version="7")
    put(cloudwatch, BEGAN + timedelta(minutes=2), errors=1, of=600, version="7")
    result = asked(cloudwatch)
    assert result.verdict is Verdict.HEALTHY, result.why
    assert (result.numbers["candidateErrors"], result.numbers["candidateRequests"]) == (2, 1100)
    assert (result.numbers["baselineErrors"], result.numbers["baselineRequests"]) == (10, 4000)
    put(cloudwatch, BEGAN + timedelta(minutes=3), errors=200, of=600, version="7")
    assert asked(cloudwatch).verdict is Verdict.UNHEALTHY


def test_no_data_is_inconclusive_and_so_is_a_first_release_without_a_comparison(cloudwatch):
    assert asked(cloudwatch).verdict is Verdict.INCONCLUSIVE
    put(cloudwatch, BEGAN + timedelta(minutes=1), errors=1, of=900, version="7")
    assert asked(cloudwatch, before=None).verdict is Verdict.INCONCLUSIVE
    assert asked(cloudwatch, replace(CHECK, firstShare=0.001), before=None).verdict is Verdict.HEALTHY


def test_before_a_deployment_or_without_a_request_count_the_check_itself_fails(cloudwatch):
    assert asked(cloudwatch, began=None).verdict is Verdict.ERROR
    uncounted = replace(subject("7"), requests=None)
    assert asked(cloudwatch, offers=uncounted).verdict is Verdict.ERROR
    assert [name for name, _ in CHECK.lacks(uncounted)] == ["requests"]
    assert list(replace(CHECK, requests=ERRORS).lacks(uncounted)) == []


ZERO = replace(CHECK, errors=replace(ERRORS, missing="zero"))


def put_errors_only_if_there_are_any(client, *, days_ago=3):
    """As a load balancer does: 5 minutes of good requests on either side, and one error some days ago."""
    put(client, BEGAN - timedelta(days=days_ago), errors=1, of=1)
    for minute in range(1, 6):
        for at, version, of in (
            (BEGAN - timedelta(minutes=minute), None, 4_000),
            (BEGAN + timedelta(minutes=minute), "7", 3_000),
        ):
            put_metric(client, "Invocations", at, of, version)


def put_metric(client, name, at, value, version=None):
    dimensions = {"FunctionName": "storefront", "Resource": "storefront:live"}
    dimensions |= {"ExecutedVersion": version} if version else {}
    pairs = [{"Name": key, "Value": value} for key, value in dimensions.items()]
    data = {"MetricName": name, "Dimensions": pairs, "Timestamp": at, "Value": float(value)}
    client.put_metric_data(Namespace="AWS/Lambda", MetricData=[data])


def test_errors_that_are_written_only_if_there_are_any_count_as_zero_where_the_check_says_so(cloudwatch):
    """The last three minutes do not count: their errors may still come."""
    put_errors_only_if_there_are_any(cloudwatch)
    assert asked(cloudwatch).verdict is Verdict.INCONCLUSIVE
    result = asked(cloudwatch, ZERO)
    assert result.verdict is Verdict.HEALTHY, result.why
    assert (result.numbers["candidateErrors"], result.numbers["candidateRequests"]) == (0, 3_000)
    assert (result.numbers["baselineErrors"], result.numbers["baselineRequests"]) == (0, 20_000)
    put_metric(cloudwatch, "Errors", BEGAN + timedelta(minutes=4), 2_500, "7")
    assert asked(cloudwatch, ZERO).verdict is Verdict.UNHEALTHY, "an error counts at once"


def test_an_error_metric_that_never_had_data_is_not_zero_errors(cloudwatch):
    """Fault 40: a wrong name would make every release healthy."""
    put_errors_only_if_there_are_any(cloudwatch, days_ago=16)
    result = asked(cloudwatch, ZERO)
    assert result.verdict is Verdict.INCONCLUSIVE
    assert "CloudWatch had no data of Errors in the 15 days before the deployment" in result.why


def test_requests_without_data_are_never_zero():
    check = replace(CHECK, requests=replace(ERRORS, missing="zero"))
    assert [name for name, _ in check.problems()] == ["requests.missing"]
