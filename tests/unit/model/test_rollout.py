"""Traffic only rises, ends at a hundred, and is counted by index."""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tagship.health import AlarmCheck, LambdaCheck, MetricCheck
from tagship.model.application import AllAtOnce, Canary, Health, Linear, Step, Steps, Strategy
from tagship.model.rollout import (
    Baking,
    TrafficStep,
    longest_step,
    look_every,
    only_step,
    seconds_needed,
    time_to_see,
    traffic_steps,
)
from tagship.targets.lambda_alias import KIND

bakes = st.integers(0, 1200)
below_all = st.integers(1, 99)
written_steps = st.lists(below_all, unique=True, max_size=99).flatmap(
    lambda shares: st.lists(bakes, min_size=len(shares) + 1, max_size=len(shares) + 1).map(
        lambda each: tuple(
            Step(percent=share, bake=bake) for share, bake in zip([*sorted(shares), 100], each, strict=True)
        )
    )
)
strategies: st.SearchStrategy[Strategy] = st.one_of(
    st.builds(AllAtOnce, type=st.just("all-at-once"), bake=bakes),
    st.builds(Canary, type=st.just("canary"), percent=below_all, bake=bakes),
    st.builds(Linear, type=st.just("linear"), percent=below_all, bake=bakes),
    st.builds(Steps, type=st.just("steps"), steps=written_steps),
)


def shares(strategy: Strategy) -> list[int]:
    return [step.percent for step in traffic_steps(strategy, KIND.step_seconds)]


@given(strategies)
def test_shares_are_whole_percentages_that_increase_to_100(strategy):
    moved = shares(strategy)
    assert all(type(share) is int and 1 <= share <= 100 for share in moved)
    assert moved == sorted(set(moved))
    assert moved[-1] == 100


@given(strategies)
def test_the_budget_is_the_sum_of_every_steps_needs(strategy):
    steps = traffic_steps(strategy, KIND.step_seconds)
    assert all(step.needs == step.bake + KIND.step_seconds for step in steps)
    assert seconds_needed(steps) == sum(step.bake for step in steps) + KIND.step_seconds * len(steps)


@pytest.mark.parametrize("percent", range(1, 100))
def test_a_linear_strategy_has_one_step_per_share_and_ends_with_the_rest(percent):
    steps = traffic_steps(Linear(type="linear", percent=percent, bake=60), KIND.step_seconds)
    assert len(steps) == -(-100 // percent)
    assert [step.percent for step in steps] == [
        min(100, percent * (index + 1)) for index in range(len(steps))
    ]
    assert [step.bake for step in steps] == [60] * (len(steps) - 1) + [0]


@pytest.mark.parametrize("percent", range(1, 100))
def test_a_canary_is_its_share_and_then_everything(percent):
    assert traffic_steps(Canary(type="canary", percent=percent, bake=300), KIND.step_seconds) == (
        TrafficStep(percent=percent, bake=300, needs=300 + KIND.step_seconds),
        TrafficStep(percent=100, bake=0, needs=KIND.step_seconds),
    )


def test_a_hundred_steps_of_one_percent_are_a_hundred_steps():
    """As floats that are looked up by value they would repeat forever."""
    assert shares(Linear(type="linear", percent=1, bake=0)) == list(range(1, 101))


def test_all_at_once_bakes_before_the_health_check():
    assert traffic_steps(AllAtOnce(type="all-at-once", bake=30), KIND.step_seconds) == (
        TrafficStep(percent=100, bake=30, needs=30 + KIND.step_seconds),
    )


def test_custom_steps_are_used_as_written():
    steps = (Step(percent=1, bake=5), Step(percent=50), Step(percent=100, bake=9))
    assert [
        (step.percent, step.bake)
        for step in traffic_steps(Steps(type="steps", steps=steps), KIND.step_seconds)
    ] == [
        (1, 5),
        (50, 0),
        (100, 9),
    ]


def test_a_first_release_has_a_single_step():
    assert only_step(KIND.step_seconds) == (TrafficStep(percent=100, bake=0, needs=KIND.step_seconds),)


# ---- baking --------------------------------------------------------------------------------------------------------

NOON = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)


def after(seconds: float) -> datetime:
    return NOON + timedelta(seconds=seconds)


@pytest.mark.parametrize(
    "bake, every, wait", [(0, 30, 0), (20, 30, 20), (30, 30, 30), (300, 30, 30), (300, 300, 300)]
)
def test_a_bake_starts_with_a_part_of_it_and_never_waits_longer_than_itself(bake, every, wait):
    assert Baking.begun(bake, every=every, now=NOON) == Baking(wait=wait, until=after(bake))


@pytest.mark.parametrize(
    "given, at, look, expected",
    [
        # while it bakes
        (Baking(wait=30, until=after(300)), 31, {}, Baking(wait=30, until=after(300))),
        (Baking(wait=30, until=after(300)), 280.5, {}, Baking(wait=20, until=after(300))),
        (Baking(wait=30, until=after(300)), 299, {}, Baking(wait=1, until=after(300))),
        (Baking(wait=30, until=after(300)), 31, {"clear": False}, Baking(wait=30, until=after(300))),
        (Baking(wait=30, until=after(300)), 31, {"ends": True}, Baking(wait=0, until=after(300))),
        # at its end
        (Baking(wait=30, until=after(300)), 300, {}, Baking(wait=0, until=after(300))),
        (Baking(wait=30, until=after(300)), 309, {}, Baking(wait=0, until=after(300))),
        (Baking(wait=30, until=after(300)), 300, {"ends": True}, Baking(wait=0, until=after(300))),
        *(
            (
                Baking(wait=30, until=after(300)),
                at,
                {"clear": False},
                Baking(wait=30, until=after(at + 300), extended=True),
            )
            for at in (300, 302)
        ),
        # the extension: as long as the bake, at least one part, at most the rest of the budget
        (
            Baking(wait=0, until=after(0)),
            2,
            {"clear": False, "bake": 0},
            Baking(wait=30, until=after(32), extended=True),
        ),
        (
            Baking(wait=30, until=after(300)),
            302,
            {"clear": False, "spare": 45},
            Baking(wait=30, until=after(347), extended=True),
        ),
        (
            Baking(wait=30, until=after(300)),
            302,
            {"clear": False, "spare": 29},
            Baking(wait=0, until=after(300)),
        ),
        (
            Baking(wait=30, until=after(300)),
            302,
            {"clear": False, "spare": -9},
            Baking(wait=0, until=after(300)),
        ),
        # only once
        (
            Baking(wait=30, until=after(600), extended=True),
            601,
            {"clear": False},
            Baking(wait=0, until=after(600), extended=True),
        ),
    ],
)
def test_the_next_action_after_a_health_check(
    given: Baking, at: float, look: dict[str, Any], expected: Baking
) -> None:
    look = {"clear": True, "ends": False, "bake": 300, "every": 30, "spare": 1000} | look
    assert given.looked(**look, now=after(at)) == expected


@given(
    bake=st.integers(0, 1200),
    every=st.integers(1, 300),
    spare=st.integers(-100, 1200),
    answers=st.lists(st.tuples(st.booleans(), st.floats(0, 90)), max_size=60),
)
def test_a_bake_ends_for_every_verdict_and_is_extended_once_within_the_budget(bake, every, spare, answers):
    """Looks take 0 to 90 s and are clear or not; each piece is waited for as it says."""
    now = NOON
    baking = Baking.begun(bake, every=every, now=now)
    longest = 0.0
    for clear, took in answers:
        assert 0 <= baking.wait <= every
        looked_at = now + timedelta(seconds=baking.wait)
        now = looked_at + timedelta(seconds=took)
        longest = max(longest, took)
        left = spare - max(0, math.ceil((now - after(bake)).total_seconds()))
        following = baking.looked(clear=clear, ends=False, bake=bake, every=every, spare=left, now=now)
        if following.wait == 0:
            break
        assert following.extended >= baking.extended
        baking = following
    in_all = (now - NOON).total_seconds()
    assert in_all <= longest_step(bake, every=every, health_seconds=math.ceil(longest))
    if baking.extended:
        assert (baking.until - after(bake)).total_seconds() <= spare + 1


def test_the_longest_step_is_twice_its_bake_plus_two_health_checks():
    assert longest_step(300, every=30, health_seconds=100) == 300 + 300 + 2 * 100
    assert longest_step(10, every=30, health_seconds=100) == 10 + 30 + 2 * 100


def test_a_bake_survives_the_state_machine_unchanged():
    assert Baking.from_dict(
        {"until": "2026-11-23T12:05:00.000Z", "extended": True, "wait": 30}, now=NOON
    ) == Baking(wait=0, until=after(300), extended=True)
    assert Baking.from_dict({"until": "", "extended": True}, now=NOON).until == NOON


@pytest.mark.parametrize(
    "checks, every, seconds", [(1, 30, 30), (20, 300, 300), (1, 1, 2), (20, 1, 2), (20, 2, 2)]
)
def test_health_is_checked_as_often_as_configured_within_the_execution_historys_limit(checks, every, seconds):
    health = Health(checks=(LambdaCheck(type="lambda"),) * checks, every=every)
    assert look_every(health, deployment_seconds=1200) == seconds


# ---- time to see ---------------------------------------------------------------------------------------------------


def health_of(*kinds):
    each = {
        "lambda": LambdaCheck(type="lambda"),
        "alarm": AlarmCheck(type="alarm", names=("storefront-5xx",)),
        "metric": MetricCheck(type="metric", name="errors"),
    }
    return Health(checks=tuple(each[kind] for kind in kinds))


@pytest.mark.parametrize(
    "kinds, seconds",
    [(("lambda",), 0), (("alarm",), 180), (("metric",), 180), (("lambda", "metric"), 180)],
)
def test_checks_of_measured_data_need_time_until_data_arrives(kinds, seconds):
    """Faults 65 and 66."""
    assert time_to_see(health_of(*kinds)) == seconds


def test_a_stack_with_immediate_measurements_waits_for_none():
    assert time_to_see(health_of("alarm"), most=0) == 0


@pytest.mark.parametrize(
    "strategy, bakes",
    [
        (AllAtOnce(type="all-at-once"), [180]),
        (AllAtOnce(type="all-at-once", bake=600), [600]),
        (Canary(type="canary", bake=60), [180, 0]),
        (Linear(type="linear", percent=50, bake=10), [180, 0]),
        (
            Steps(
                type="steps", steps=(Step(percent=5), Step(percent=50, bake=200), Step(percent=100, bake=7))
            ),
            [180, 200, 7],
        ),
    ],
    ids=str,
)
def test_every_step_except_the_last_of_several_bakes_long_enough_to_see_data(strategy, bakes):
    steps = traffic_steps(strategy, KIND.step_seconds, floor=180)
    assert [step.bake for step in steps] == bakes
    assert all(step.needs == step.bake + KIND.step_seconds for step in steps)


def test_a_first_release_bakes_long_enough_to_see_data():
    """Faults 65 and 66: without data after 31 s it would be rolled back, and nothing would serve."""
    assert [step.bake for step in only_step(KIND.step_seconds, floor=180)] == [180]
