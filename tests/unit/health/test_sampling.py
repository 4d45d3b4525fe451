"""n of m, inside a budget of time."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tagship.health import Verdict
from tagship.health.sampling import BUDGET_SECONDS, Answer, Percentile, sample

H, U, N = Verdict.HEALTHY, Verdict.UNHEALTHY, Verdict.INCONCLUSIVE


def sampled(verdicts, *, must_pass, requests=None, each=0.0, longest=5, percentile=None, seen=None):
    """Asks for `verdicts`, one after the other, each of which takes `each` seconds of a made-up clock.

    `seen` is what else the answers hold, one after the other.
    """
    now = [100.0]
    waiting = iter(zip(verdicts, seen or [{}] * len(verdicts), strict=True))

    def ask():
        now[0] += each
        verdict, more = next(waiting)
        why = "" if verdict is H else f"it was {verdict}"
        return Answer(**{"verdict": verdict, "ms": round(each * 1000), "why": why} | more)

    result = sample(
        ask,
        check="it",
        requests=len(verdicts) if requests is None else requests,
        must_pass=must_pass,
        begun=100.0,
        longest=longest,
        clock=lambda: now[0],
        percentile=percentile,
    )
    return result, now[0] - 100.0


@pytest.mark.parametrize(
    "verdicts,must_pass,overall",
    [
        ([H], 1, H),
        ([U], 1, U),
        ([N], 1, N),
        ([H, U, H, H, H], 4, H),
        ([H, U, H, U, H], 4, U),
        ([U, U, U, U, H], 1, H),
        ([H, N, H, H, H], 5, N),
        ([H, N, U, H, H], 4, N),
        ([H, N, U, H, H], 3, H),
    ],
)
def test_n_of_m_decides(verdicts, must_pass, overall):
    """Fault 42."""
    assert sampled(verdicts, must_pass=must_pass)[0].verdict is overall


def test_it_stops_as_soon_as_it_can_no_longer_pass():
    result, _ = sampled([U, U, H, H, H], must_pass=4)
    assert result.numbers["asked"] == 2
    assert result.verdict is U
    assert result.why == ("0 of 5 requests passed; 4 must pass; median 0 ms, slowest 0 ms; it was unhealthy.")


def test_requests_that_did_not_fit_the_time_are_no_data_and_inconclusive():
    """Fault 40."""
    result, took = sampled([H] * 20, must_pass=20, each=4, longest=10)
    assert result.verdict is N
    assert took <= BUDGET_SECONDS
    assert result.why == (
        "11 of 20 requests passed; 20 must pass; median 4000 ms, slowest 4000 ms; 9 were not sent, because "
        "all requests together may take 50 s."
    )


def test_requests_that_could_not_change_the_verdict_are_not_reported():
    result, _ = sampled([N, N, H], must_pass=2)
    assert (result.verdict, result.numbers["asked"]) == (N, 2)
    assert (
        result.why == "0 of 3 requests passed; 2 must pass; median 0 ms, slowest 0 ms; it was inconclusive."
    )
    assert result.numbers["firstFailure"] == "it was inconclusive"


def test_if_all_requests_were_sent_nothing_is_reported_as_skipped():
    assert "not sent" not in sampled([H, N], must_pass=2)[0].why
    assert "not sent" not in sampled([], must_pass=0)[0].why


def test_enough_successes_in_time_are_enough():
    result, _ = sampled([H] * 20, must_pass=5, each=5, longest=5)
    assert result.verdict is H
    assert result.numbers["asked"] == 10


def test_hanging_requests_stay_within_the_budget():
    _, took = sampled([U] * 20, must_pass=1, each=10, longest=10)
    assert took <= BUDGET_SECONDS


@given(
    st.lists(st.sampled_from([H, U, N]), max_size=20),
    st.integers(min_value=-1, max_value=25),
    st.sampled_from([0.0, 1.0, 10.0]),
)
def test_it_is_healthy_only_if_enough_and_at_least_one_passed(verdicts, must_pass, each):
    result, took = sampled(verdicts, must_pass=must_pass, each=each, longest=10)
    assert took <= BUDGET_SECONDS
    if result.verdict is H:
        assert result.numbers["passed"] >= max(1, must_pass)
        assert verdicts.count(H) >= result.numbers["passed"]
    if result.verdict is U:
        assert len(verdicts) - verdicts.count(U) < must_pass


def test_the_numbers_show_what_was_observed():
    result, _ = sampled([H, U, H], must_pass=2, each=0.25)
    assert result.numbers == {
        "requests": 3,
        "asked": 3,
        "passed": 2,
        "mustPass": 2,
        "medianMs": 250,
        "slowestMs": 250,
        "firstFailure": "it was unhealthy",
    }


def test_it_reports_which_check_ran_and_what_the_responses_contained():
    seen = [
        {"ms": 30, "status": 500, "tls_days": 20},
        {"ms": 20, "status": 301, "tls_days": 9},
        {"ms": 10, "status": 200},
    ]
    result, _ = sampled([U, H, H], must_pass=2, seen=seen)
    assert result.check == "it"
    assert result.numbers == {
        "requests": 3,
        "asked": 3,
        "passed": 2,
        "mustPass": 2,
        "medianMs": 20,
        "slowestMs": 30,
        "lastStatus": 200,
        "tlsDaysLeft": 9,
        "firstFailure": "it was unhealthy",
    }


def test_failures_are_reported_before_unclear_results():
    assert sampled([N, U, H], must_pass=1)[0].numbers["firstFailure"] == "it was unhealthy"


TIMES = [{"ms": ms} for ms in (900, 10, 20, 30, 40)]


@pytest.mark.parametrize(
    "percent, reached, most_ms, overall",
    [
        (50, 30, 30, H),
        (50, 30, 29, U),
        (80, 40, 40, H),
        (81, 900, 899, U),
        (100, 900, 900, H),
        (1, 10, 10, H),
    ],
)
def test_a_percentile_is_the_time_that_this_share_of_responses_did_not_exceed(
    percent, reached, most_ms, overall
):
    limit = Percentile(percent=percent, most_ms=most_ms)
    result, _ = sampled([H] * 5, must_pass=5, seen=TIMES, percentile=limit)
    assert (result.verdict, result.numbers[f"p{percent}Ms"]) == (overall, reached)
    assert result.numbers["slowestMs"] == 900
    if overall is U:
        why = f"{percent} % of the answers took up to {reached} ms; the limit is {most_ms} ms"
        assert result.numbers["firstFailure"] == why
        assert result.why == f"5 of 5 requests passed; 5 must pass; median 30 ms, slowest 900 ms; {why}."


def test_a_percentile_covers_passed_responses_only():
    limit = Percentile(percent=100, most_ms=40)
    result, _ = sampled([U, H, H, H, H], must_pass=4, seen=TIMES, percentile=limit)
    assert (result.verdict, result.numbers["p100Ms"]) == (H, 40)


@pytest.mark.parametrize("verdict", [U, N])
def test_an_unhealthy_result_has_no_percentile(verdict):
    limit = Percentile(percent=100, most_ms=10_000)
    result, _ = sampled([verdict] * 5, must_pass=1, seen=TIMES, percentile=limit)
    assert result.verdict is verdict
    assert "p100Ms" not in result.numbers
