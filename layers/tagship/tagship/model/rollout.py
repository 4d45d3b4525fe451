"""How traffic moves: a strategy's steps, in whole percents, counted by index; whether they fit the budget; how they bake."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, assert_never

from tagship.model.application import AllAtOnce, Canary, Health, Linear, Pause, Step, Steps, Strategy
from tagship.model.records import StepData

_LONGEST_LOOK_BACK = 600
LOOK_EVENTS = 14
"""The events that one health check adds to an execution's history if no attempt fails, for any number of checks."""
EVENTS_FOR_LOOKS = 12_000
"""Half of the 25,000 events that an execution may have. The rest is for pauses, failed attempts and all other states."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TrafficStep:
    """One share of the traffic and the wait after it."""

    percent: int
    bake: int
    needs: int
    """Seconds that must be left of the deployment's budget for this step to begin."""
    pause: Pause | None = None
    """Whether the rollout waits for a person after the bake. People's time is not part of the deployment's budget."""

    def as_dict(self) -> StepData:
        """For the plan."""
        data: StepData = {"percent": self.percent, "bake": self.bake, "needs": self.needs}
        if self.pause:
            data["pause"] = {"timeout": self.pause.timeout, "onTimeout": self.pause.onTimeout}
        return data


def time_to_see(health: Health, *, most: int = _LONGEST_LOOK_BACK) -> int:
    """Seconds until current events show in all data that the checks read; 0 if all checks query the current state.

    `most` is the stack's limit: a stack whose measurements arrive at once needs less.
    """
    return min(most, max(check.LOOKS_BACK for check in health.checks))


def traffic_steps(strategy: Strategy, step_seconds: int, *, floor: int = 0) -> tuple[TrafficStep, ...]:
    """The steps of a strategy; the last one is always 100 percent. `step_seconds` comes from the kind of target.

    No bake is shorter than `floor`, the `time_to_see`, except the last of several: it would show nothing new.
    """
    steps = _steps(strategy)
    return tuple(
        _step(step, step.bake if 0 < index == len(steps) - 1 else max(step.bake, floor), step_seconds)
        for index, step in enumerate(steps)
    )


def only_step(step_seconds: int, *, floor: int = 0) -> tuple[TrafficStep, ...]:
    """A single step for a first release: there is no other version to share the traffic with."""
    return traffic_steps(AllAtOnce(type="all-at-once"), step_seconds, floor=floor)


def _step(step: Step, bake: int, step_seconds: int) -> TrafficStep:
    return TrafficStep(percent=step.percent, bake=bake, needs=bake + step_seconds, pause=step.pause)


def seconds_needed(steps: Sequence[TrafficStep]) -> int:
    """The duration of the whole rollout if nothing goes wrong."""
    return sum(step.needs for step in steps)


# ---- baking --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Baking:
    """The wait after a traffic step, in parts, with a health check after each."""

    wait: int
    """Seconds until the next health check; 0 when the bake is over."""
    until: datetime
    extended: bool = False
    """Whether it was extended, which happens once, if health was inconclusive at its end."""

    @classmethod
    def begun(cls, bake: int, *, every: int, now: datetime) -> Baking:
        """A bake that starts now, when the target has settled on the step."""
        return cls(wait=min(bake, every), until=now + timedelta(seconds=bake))

    @classmethod
    def from_dict(cls, data: Mapping[str, Any], *, now: datetime) -> Baking:
        """Reads a bake from the state machine; without `until`, the bake is over."""
        until = datetime.fromisoformat(data["until"]) if data["until"] else now
        return cls(wait=0, until=until, extended=data["extended"])

    def looked(self, *, clear: bool, ends: bool, bake: int, every: int, spare: int, now: datetime) -> Baking:
        """The bake after a health check: `ends` ends it at once; otherwise it continues, or is extended once if health
        was not `clear`.

        `spare` is the number of seconds of the deployment's budget that the following steps do not need.
        """
        if ends:
            return replace(self, wait=0)
        left = math.ceil((self.until - now).total_seconds())
        if left > 0:
            return replace(self, wait=min(every, left))
        more = min(max(bake, every), spare)
        if clear or self.extended or more < every:
            return replace(self, wait=0)
        return Baking(wait=min(every, more), until=now + timedelta(seconds=more), extended=True)


def look_every(health: Health, *, deployment_seconds: int) -> int:
    """Seconds between two health checks: the application's setting, but no less than an execution's history has room
    for."""
    return max(health.every, math.ceil(deployment_seconds * LOOK_EVENTS / EVENTS_FOR_LOOKS))


def longest_step(bake: int, *, every: int, health_seconds: int) -> int:
    """The longest duration of a step: its bake, the extension, and a health check at the end of each."""
    return bake + max(bake, every) + 2 * health_seconds


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
