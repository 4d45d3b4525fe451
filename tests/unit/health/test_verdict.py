"""Four answers, and how several become one."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tagship.health import CheckResult, Verdict, judge
from tagship.health.verdict import can_answer, judge_restored

H, U, N, E = Verdict.HEALTHY, Verdict.UNHEALTHY, Verdict.INCONCLUSIVE, Verdict.ERROR


def results(*verdicts):
    return [
        CheckResult(check=f"check {number}", verdict=verdict, why=f"{number} of 9 requests passed.")
        for number, verdict in enumerate(verdicts, start=1)
    ]


@pytest.mark.parametrize(
    "verdicts,overall",
    [
        ([], N),
        ([H], H),
        ([H, H, H], H),
        ([N], N),
        ([H, N], N),
        ([E], E),
        ([H, E], E),
        ([N, E], E),
        ([U], U),
        ([H, U], U),
        ([E, U], U),
        ([N, U], U),
        ([H, N, E, U], U),
    ],
)
def test_the_worst_verdict_wins(verdicts, overall):
    assert judge(results(*verdicts)).verdict is overall


@given(st.lists(st.sampled_from(Verdict)))
def test_checks_are_healthy_together_only_if_all_and_at_least_one_are_healthy(verdicts):
    overall = judge(results(*verdicts)).verdict
    assert (overall is H) == (bool(verdicts) and set(verdicts) == {H})


@given(st.permutations([H, U, N, E, H, U]))
def test_the_order_of_the_checks_does_not_matter(verdicts):
    assert judge(results(*verdicts)).verdict is U


def test_without_results_it_says_that_no_data_is_never_healthy():
    """Fault 40."""
    overall = judge([])
    assert overall == CheckResult(
        check="health",
        verdict=N,
        why="No check gave a result. No data is never healthy.",
        numbers={"checks": 0, "healthy": 0, "unhealthy": 0, "inconclusive": 0, "error": 0},
    )


def test_the_reason_names_only_the_deciding_checks_with_their_numbers():
    overall = judge(results(H, U, E, U))
    assert overall.check == "health"
    assert overall.why == (
        "2 of 4 checks are unhealthy: check 2: 2 of 9 requests passed; check 4: 4 of 9 requests passed."
    )
    assert overall.numbers == {"checks": 4, "healthy": 1, "unhealthy": 2, "inconclusive": 0, "error": 1}


def test_a_single_checks_reason_is_a_sentence_too():
    assert judge(results(H)).why == "1 of 1 check is healthy: check 1: 1 of 9 requests passed."


def test_many_checks_are_counted_and_not_all_named():
    why = judge(results(*[U] * 20)).why
    assert why.startswith("20 of 20 checks are unhealthy: check 1: ")
    assert why.endswith("check 5: 5 of 9 requests passed; and 15 more.")
    assert judge(results(*[U] * 5)).why.endswith("check 5: 5 of 9 requests passed.")


any_text = st.text(max_size=40)
any_result = st.builds(
    CheckResult,
    check=any_text.filter(bool),
    verdict=st.sampled_from(Verdict),
    why=any_text,
    numbers=st.dictionaries(any_text, st.integers() | st.floats(allow_nan=False) | any_text, max_size=5),
)


@given(any_result)
def test_a_result_survives_the_state_machine_unchanged(result):
    assert CheckResult.from_dict(json.loads(json.dumps(result.as_dict()))) == result


@pytest.mark.parametrize(
    "data",
    [
        {},
        {"verdict": None},
        {"verdict": "HEALTHY"},
        {"verdict": "passed"},
        {"verdict": True},
        {"verdict": ["healthy"]},
        {"check": "http", "verdict": {"healthy": True}},
    ],
)
def test_an_invalid_result_is_an_error(data):
    """Fault 41."""
    result = CheckResult.from_dict(data)
    assert result.verdict is E
    assert judge([result]).verdict is E
    assert result.check == data.get("check", "unnamed")
    assert result.why == f"It returned an unknown verdict: {data.get('verdict')}."


def test_an_invalid_verdict_is_shown_in_a_short_line():
    result = CheckResult.from_dict({"check": "a\nname", "verdict": "x" * 101})
    assert (result.check, result.why) == (
        "a name",
        "It returned an unknown verdict: " + "x" * 99 + "….",
    )


def test_a_result_without_a_name_or_a_reason_is_still_a_result():
    assert CheckResult.from_dict({"verdict": "healthy"}) == CheckResult(check="unnamed", verdict=H, why="")


def test_a_result_without_numbers_is_still_a_result():
    result = CheckResult.from_dict({"check": "http", "verdict": "healthy", "why": "", "numbers": None})
    assert result == CheckResult(check="http", verdict=H, why="")


# ---- a baseline that was restored ----------------------------------------------------------------------------------


def said(verdict, check="lambda storefront", **numbers):
    return CheckResult(check=check, verdict=Verdict(verdict), why=f"it is {verdict}", numbers=numbers)


def restored(*results, **answered):
    found, unknown = judge_restored(
        results, answered={f"lambda {name}": yes for name, yes in answered.items()}
    )
    return found.verdict, unknown


def test_a_restored_baseline_that_is_healthy_is_healthy():
    assert restored(said("healthy"), storefront=False) == (Verdict.HEALTHY, False)


@pytest.mark.parametrize("verdict", ["unhealthy", "error"])
def test_a_restored_baseline_that_could_answer_before_and_is_unhealthy_now_is_unhealthy(verdict):
    assert restored(said(verdict), storefront=True) == (Verdict(verdict), False)


@pytest.mark.parametrize("verdict", ["unhealthy", "error"])
def test_a_baseline_that_was_not_checked_before_is_judged_by_its_answer(verdict):
    assert restored(said(verdict)) == (Verdict(verdict), False)


@pytest.mark.parametrize("verdict", ["unhealthy", "error", "inconclusive"])
def test_a_check_that_could_not_be_answered_before_the_release_shows_nothing_after_it(verdict):
    assert restored(said(verdict), storefront=False) == (Verdict.INCONCLUSIVE, True)


def test_an_inconclusive_check_leaves_the_baselines_health_open():
    assert restored(said("inconclusive"), storefront=True) == (Verdict.INCONCLUSIVE, True)


def test_one_relevant_failed_check_is_enough_to_call_a_person():
    results = (said("unhealthy"), said("unhealthy", check="lambda other"), said("inconclusive", check="x"))
    assert restored(*results, storefront=False, other=True) == (Verdict.UNHEALTHY, False)


def test_checks_that_could_not_run_leave_it_open():
    assert restored() == (Verdict.INCONCLUSIVE, True)


def test_a_revision_that_reports_itself_unhealthy_understands_the_request():
    assert can_answer(said("healthy"))
    assert can_answer(said("unhealthy", saidUnhealthy=1))
    assert not can_answer(said("unhealthy"))
    assert not can_answer(said("inconclusive"))
    assert not can_answer(said("error"))
