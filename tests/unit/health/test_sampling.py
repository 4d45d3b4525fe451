"""n of m, inside a budget of time."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tagship.health import Verdict
from tagship.health.sampling import BUDGET_SECONDS, Answer, sample

H, U, N = Verdict.HEALTHY, Verdict.UNHEALTHY, Verdict.INCONCLUSIVE


def sampled(verdicts, *, must_pass, requests=None, each=0.0, longest=5):
    """Asks for `verdicts`, one after the other, each of which takes `each` seconds of a made-up clock."""
    now = [100.0]
    waiting = iter(verdicts)

    def ask():
        now[0] += each
        verdict = next(waiting)
        return Answer(verdict=verdict, ms=round(each * 1000), why="" if verdict is H else f"it was {verdict}")

    result = sample(
        ask,
        check="it",
        requests=len(verdicts) if requests is None else requests,
        must_pass=must_pass,
        begun=100.0,
        longest=longest,
        clock=lambda: now[0],
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
    assert sampled(verdicts, must_pass=must_pass)[0].verdict is overall


def test_it_stops_as_soon_as_passing_is_impossible():
    result, _ = sampled([U, U, H, H, H], must_pass=4)
    assert result.numbers["asked"] == 2
    assert result.verdict is U
    assert result.why == ("0 of 5 requests passed, 4 must; median 0 ms, slowest 0 ms; it was unhealthy.")


def test_requests_that_time_did_not_allow_are_no_data_and_so_inconclusive():
    result, took = sampled([H] * 20, must_pass=20, each=4, longest=10)
    assert result.verdict is N
    assert took <= BUDGET_SECONDS
    assert "were not asked, because all have 50 s together" in result.why


def test_enough_that_passed_in_time_are_enough():
    result, _ = sampled([H] * 20, must_pass=5, each=5, longest=5)
    assert result.verdict is H
    assert result.numbers["asked"] == 10


def test_requests_that_all_hang_stay_inside_the_budget():
    _, took = sampled([U] * 20, must_pass=1, each=10, longest=10)
    assert took <= BUDGET_SECONDS


@given(
    st.lists(st.sampled_from([H, U, N]), max_size=20),
    st.integers(min_value=-1, max_value=25),
    st.sampled_from([0.0, 1.0, 10.0]),
)
def test_it_is_healthy_only_if_enough_passed_and_at_least_one(verdicts, must_pass, each):
    result, took = sampled(verdicts, must_pass=must_pass, each=each, longest=10)
    assert took <= BUDGET_SECONDS
    if result.verdict is H:
        assert result.numbers["passed"] >= max(1, must_pass)
        assert verdicts.count(H) >= result.numbers["passed"]
    if result.verdict is U:
        assert len(verdicts) - verdicts.count(U) < must_pass


def test_the_numbers_say_what_was_seen():
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
