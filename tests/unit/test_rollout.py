"""Traffic only rises, ends at a hundred, and is counted by index."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tagship.application import AllAtOnce, Canary, Linear, Step, Steps, Strategy
from tagship.rollout import STEP_SECONDS, TrafficStep, only_step, seconds_needed, traffic_steps

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
    return [step.percent for step in traffic_steps(strategy)]


@given(strategies)
def test_shares_are_whole_percents_that_rise_to_a_hundred(strategy):
    moved = shares(strategy)
    assert all(type(share) is int and 1 <= share <= 100 for share in moved)
    assert moved == sorted(set(moved))
    assert moved[-1] == 100


@given(strategies)
def test_the_budget_is_the_sum_of_what_each_step_needs(strategy):
    steps = traffic_steps(strategy)
    assert all(step.needs == step.bake + STEP_SECONDS for step in steps)
    assert seconds_needed(steps) == sum(step.bake for step in steps) + STEP_SECONDS * len(steps)


@pytest.mark.parametrize("percent", range(1, 100))
def test_a_linear_way_has_one_step_for_each_share_and_takes_what_is_left_at_last(percent):
    steps = traffic_steps(Linear(type="linear", percent=percent, bake=60))
    assert len(steps) == -(-100 // percent)
    assert [step.percent for step in steps] == [
        min(100, percent * (index + 1)) for index in range(len(steps))
    ]
    assert [step.bake for step in steps] == [60] * (len(steps) - 1) + [0]


@pytest.mark.parametrize("percent", range(1, 100))
def test_a_canary_is_its_share_and_then_all(percent):
    assert traffic_steps(Canary(type="canary", percent=percent, bake=300)) == (
        TrafficStep(percent=percent, bake=300, needs=300 + STEP_SECONDS),
        TrafficStep(percent=100, bake=0, needs=STEP_SECONDS),
    )


def test_a_hundred_steps_of_one_percent_are_a_hundred_steps():
    """As floats that are looked up by value they repeat for ever."""
    assert shares(Linear(type="linear", percent=1, bake=0)) == list(range(1, 101))


def test_all_at_once_bakes_before_health_is_asked():
    assert traffic_steps(AllAtOnce(type="all-at-once", bake=30)) == (
        TrafficStep(percent=100, bake=30, needs=30 + STEP_SECONDS),
    )


def test_steps_are_taken_as_written():
    steps = (Step(percent=1, bake=5), Step(percent=50), Step(percent=100, bake=9))
    assert [(step.percent, step.bake) for step in traffic_steps(Steps(type="steps", steps=steps))] == [
        (1, 5),
        (50, 0),
        (100, 9),
    ]


def test_where_nothing_serves_yet_there_is_one_step():
    assert only_step() == (TrafficStep(percent=100, bake=0, needs=STEP_SECONDS),)
