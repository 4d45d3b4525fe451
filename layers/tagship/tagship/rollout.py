"""How traffic moves: a strategy's steps, in integer percents, counted by index; and whether they fit the budget."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import assert_never

from tagship.application import AllAtOnce, Canary, Linear, Step, Steps, Strategy

STEP_SECONDS = 15
"""What a step takes beside its bake, as measured with room to spare: moving the traffic, settling, asking health."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TrafficStep:
    """One share of the traffic and the wait after it."""

    percent: int
    bake: int
    needs: int
    """Seconds that must be left of the deployment's budget for this step to begin."""


def traffic_steps(strategy: Strategy) -> tuple[TrafficStep, ...]:
    """The steps of a strategy; the last one is always 100 percent."""
    return tuple(
        TrafficStep(percent=step.percent, bake=step.bake, needs=step.bake + STEP_SECONDS)
        for step in _steps(strategy)
    )


def only_step() -> tuple[TrafficStep, ...]:
    """All at once, where nothing serves yet: there is no other version to share the traffic with."""
    return traffic_steps(AllAtOnce(type="all-at-once"))


def seconds_needed(steps: Sequence[TrafficStep]) -> int:
    """How long the whole way takes if nothing goes wrong."""
    return sum(step.needs for step in steps)


def _steps(strategy: Strategy) -> tuple[Step, ...]:
    match strategy:
        case AllAtOnce():
            return (Step(percent=100, bake=strategy.bake),)
        case Canary():
            return (Step(percent=strategy.percent, bake=strategy.bake), Step(percent=100))
        case Linear():
            shares = [*range(strategy.percent, 100, strategy.percent), 100]
            return tuple(Step(percent=share, bake=strategy.bake if share < 100 else 0) for share in shares)
        case Steps():
            return strategy.steps
    assert_never(strategy)
