"""The budget gate: what an application asks for by its own numbers fits into what the stack gives, and the sum says so."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tagship.gates import Verdict, budget
from tagship.model.documents import as_document, read_application
from tests.unit.builders import application
from tests.unit.gates.cases import case

HTTP = {"type": "http", "url": "https://example.com/health"}


def judged(*, deployment=1200, health_seconds=300, rollback=600, look_back_seconds=180, **changes):
    document = as_document(read_application(application(**changes)))
    asked = case(configuration={"version": 3, "document": document, "problems": []})
    settings = replace(
        asked.settings,
        deployment_seconds=deployment,
        health_seconds=health_seconds,
        rollback_seconds=rollback,
        look_back_seconds=look_back_seconds,
    )
    return budget.check(replace(asked, settings=settings))


def test_a_strategy_within_its_budget_shows_the_sums():
    result = judged(strategy={"type": "canary", "percent": 10, "bake": 300})
    assert result.verdict is Verdict.PASSED
    assert result.why == (
        "Within the budgets: "
        "deployment takes 330 s of 1200 s (10 % for 300 s + 2 steps of 15 s); "
        "health takes 20 s of 300 s (the longest check, lambda storefront); "
        "rollback takes 35 s of 600 s (one step of 15 s and that check)."
    )


@pytest.mark.parametrize(
    "strategy, said",
    [
        ({"type": "all-at-once"}, "takes 15 s of 1200 s (1 step of 15 s)"),
        (
            {"type": "linear", "percent": 50, "bake": 60},
            "takes 90 s of 1200 s (50 % for 60 s + 2 steps of 15 s)",
        ),
        (
            {"type": "linear", "percent": 17, "bake": 9},
            "s (17 % for 9 s + 34 % for 9 s + 51 % for 9 s + 68 % for 9 s + 85 % for 9 s + 6 steps of 15 s)",
        ),
        (
            {"type": "linear", "percent": 10, "bake": 10},
            "takes 240 s of 1200 s (bakes of 90 s + 10 steps of 15 s)",
        ),
        (
            {"type": "steps", "steps": [{"percent": 5, "bake": 100}, {"percent": 100, "bake": 20}]},
            "takes 150 s of 1200 s (5 % for 100 s + 100 % for 20 s + 2 steps of 15 s)",
        ),
    ],
)
def test_a_strategy_is_described_by_its_bakes_and_steps(strategy, said):
    assert said in judged(strategy=strategy).why


@pytest.mark.parametrize(
    "deployment, verdict", [(330, Verdict.PASSED), (329, Verdict.FAILED), (60, Verdict.FAILED)]
)
def test_a_strategy_longer_than_the_deployment_budget_is_refused(deployment, verdict):
    result = judged(deployment=deployment)
    assert result.verdict is verdict
    if verdict is Verdict.FAILED:
        assert result.why == (
            "Longer than its budget: deployment takes 330 s of "
            f"{deployment} s (10 % for 300 s + 2 steps of 15 s)."
        )
        assert result.remedy == (
            "Shorten the strategy's bakes or use fewer steps. Reduce the longest check's requests or their time-out."
        )


@pytest.mark.parametrize(
    "check, seconds",
    [
        (HTTP, 25),
        ({**HTTP, "requests": 2, "mustPass": 2, "timeoutSeconds": 7}, 14),
        ({**HTTP, "requests": 20, "timeoutSeconds": 10}, 50),
        ({"type": "lambda"}, 20),
        ({"type": "lambda", "requests": 2}, 40),
        ({"type": "lambda", "requests": 20}, 50),
        ({"type": "custom", "function": "smoke"}, 20),
    ],
)
def test_a_check_takes_as_long_as_its_requests_may_take_up_to_the_shared_limit(check, seconds):
    found = read_application(application(health={"checks": [check]}))
    assert found.health.checks[0].seconds == seconds


def test_the_longest_check_must_fit_the_health_and_the_rollback_budget():
    checks = {"checks": [{"type": "lambda"}, HTTP]}
    assert judged(health=checks, health_seconds=25, rollback=40).verdict is Verdict.PASSED
    result = judged(health=checks, health_seconds=24, rollback=39)
    assert result.verdict is Verdict.FAILED
    assert result.why == (
        "Longer than its budget: health takes 25 s of 24 s (the longest check, http https://example.com/health); "
        "rollback takes 40 s of 39 s (one step of 15 s and that check)."
    )


def test_an_unreadable_configuration_does_not_pass():
    missing = {"version": 1, "document": None, "problems": ["is not JSON"]}
    assert budget.check(case(configuration=missing)).verdict is Verdict.ERROR


SEES_LATE = {"checks": [{"type": "lambda"}, {"type": "alarm", "names": ["storefront-5xx"]}]}


@pytest.mark.parametrize(
    "strategy, said",
    [
        ({"type": "all-at-once"}, "takes 195 s of 1200 s (100 % for 180 s + 1 step of 15 s)"),
        ({"type": "canary", "bake": 60}, "takes 210 s of 1200 s (10 % for 180 s + 2 steps of 15 s)"),
        ({"type": "canary", "bake": 300}, "takes 330 s of 1200 s (10 % for 300 s + 2 steps of 15 s)"),
    ],
)
def test_alarms_and_metrics_get_time_to_show_data(strategy, said):
    """Faults 65 and 66."""
    result = judged(strategy=strategy, health=SEES_LATE)
    assert said in result.why
    raised = "Each bake lasts at least 180 s, because alarms and metrics need that long to show a problem."
    assert (raised in result.why) == (strategy.get("bake") != 300)


def test_a_stack_with_immediate_measurements_extends_no_bake():
    result = judged(strategy={"type": "canary", "bake": 60}, health=SEES_LATE, look_back_seconds=30)
    assert "takes 90 s of 1200 s (10 % for 60 s + 2 steps of 15 s)" in result.why


def test_a_strategy_that_is_too_long_only_because_of_minimum_bakes_is_refused_with_that_reason():
    result = judged(strategy={"type": "linear", "percent": 10, "bake": 60}, health=SEES_LATE)
    assert result.verdict is Verdict.FAILED
    assert "at least 180 s each, so that alarms and metrics can show a problem" in result.remedy
