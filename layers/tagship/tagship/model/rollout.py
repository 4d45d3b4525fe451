"""How traffic moves: a strategy's steps, in whole percents, counted by index; whether they fit the budget; how they bake."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, assert_never

from tagship.model.application import AllAtOnce, Canary, Health, Linear, Step, Steps, Strategy

_LONGEST_LOOK_BACK = 600
LOOK_EVENTS = 14
"""What a look at health adds to an execution's history when no try fails, however many checks it asks."""
EVENTS_FOR_LOOKS = 12_000
"""Half of the 25,000 events that an execution may have: the rest is for tries that fail, and for all other states."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TrafficStep:
    """One share of the traffic and the wait after it."""

    percent: int
    bake: int
    needs: int
    """Seconds that must be left of the deployment's budget for this step to begin."""


def time_to_see(health: Health, *, most: int = _LONGEST_LOOK_BACK) -> int:
    """Seconds until what happens now shows in all that the checks read; 0 where all ask what serves now.

    `most` is what the stack allows for it: a stack whose measurements arrive at once needs less.
    """
    return min(most, max(check.LOOKS_BACK for check in health.checks))


def traffic_steps(strategy: Strategy, step_seconds: int, *, floor: int = 0) -> tuple[TrafficStep, ...]:
    """The steps of a strategy; the last one is always 100 percent. `step_seconds` is what the kind of target says.

    No bake is shorter than `floor`, the `time_to_see`, but the last of several: what it would show was seen before.
    """
    steps = _steps(strategy)
    return tuple(
        _step(step.percent, step.bake if 0 < index == len(steps) - 1 else max(step.bake, floor), step_seconds)
        for index, step in enumerate(steps)
    )


def only_step(step_seconds: int, *, floor: int = 0) -> tuple[TrafficStep, ...]:
    """All at once, where nothing serves yet: there is no other version to share the traffic with."""
    return traffic_steps(AllAtOnce(type="all-at-once"), step_seconds, floor=floor)


def _step(percent: int, bake: int, step_seconds: int) -> TrafficStep:
    return TrafficStep(percent=percent, bake=bake, needs=bake + step_seconds)


def seconds_needed(steps: Sequence[TrafficStep]) -> int:
    """How long the whole way takes if nothing goes wrong."""
    return sum(step.needs for step in steps)


# ---- baking --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Baking:
    """The wait after a traffic step, in pieces: health is looked at after each."""

    wait: int
    """Seconds until the next look; 0 when the bake is over."""
    until: datetime
    extended: bool = False
    """Once, because health was inconclusive at its end."""

    @classmethod
    def begun(cls, bake: int, *, every: int, now: datetime) -> Baking:
        """At the moment at which the target has settled on the step."""
        return cls(wait=min(bake, every), until=now + timedelta(seconds=bake))

    @classmethod
    def from_dict(cls, data: Mapping[str, Any], *, now: datetime) -> Baking:
        """From the state machine; no `until` is a bake that is over."""
        until = datetime.fromisoformat(data["until"]) if data["until"] else now
        return cls(wait=0, until=until, extended=data["extended"])

    def looked(self, *, clear: bool, ends: bool, bake: int, every: int, spare: int, now: datetime) -> Baking:
        """What follows a look: `ends` it at once, or another piece, or, where it was not `clear`, once more of the same.

        `spare` is how many seconds of the deployment's budget the steps that follow can do without.
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
    """Seconds between two looks: what the application asks for, and no less than an execution's history has room for."""
    return max(health.every, math.ceil(deployment_seconds * LOOK_EVENTS / EVENTS_FOR_LOOKS))


def longest_step(bake: int, *, every: int, health_seconds: int) -> int:
    """A step's bake, the one more that it may get, and a look at the end of each: as long as they may take."""
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
