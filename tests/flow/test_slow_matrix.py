"""The fault matrix on a target that settles slowly: a stack whose candidate, update and rollback take several polls.

Faults hit the step that starts the move, each poll while it is pending, and each poll while the candidate is made. A
person stops the execution during a poll and during the wait after it. After each cell the stack is stable with the old
or the new template, and everything that `test_matrix.py` requires holds. Here a few cells run, including every machine
and every poll; `make matrix` runs them all.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest
from botocore.exceptions import ClientError
from moto.stepfunctions.parser.asl.component.state.wait.wait_function.wait_function import WaitFunction

from tagship.model.errors import ApplicationUnknown
from tagship.model.release import Status
from tagship.targets.cloudformation_update import Stack
from tagship.targets.kind import Prepared
from tests.flow.harness import World, client_of, error_named
from tests.flow.test_cloudformation import Stacks, uploaded, with_a_stack
from tests.flow.test_matrix import (
    MAY_END_BEFORE_THE_STOP,
    PLANTS,
    TAG,
    WHOLE,
    Handler,
    assert_nothing_is_open,
    over,
    settle,
)
from tests.matrix import FAULTS, LOST, STOPPED, Rest, assert_at_rest, assert_outcome
from tests.unit.targets.stacks import NEW, OLD

LOOKS = 3
"""How often an operation is looked at until it has settled."""
MOVES = ("release.ShiftTraffic", "rollback.RestoreBaseline")
WAITS = ("release.ProveCandidate", "release.AwaitStable", "rollback.AwaitStable")
OUT_OF_TIME, FAILS, STOPPED_WAITING = (
    "has no time left",
    "finds that the target failed",
    "is stopped by a person in the wait after it",
)

Cell = tuple[str, int, str]
"""A state, the poll at which its fault begins (counted from 1), and the fault."""
GRID: list[Cell] = [
    *((state, 1, fault) for state in MOVES for fault in FAULTS),
    *(
        (state, look, fault)
        for state in WAITS
        for look in range(1, LOOKS + 1)
        for fault in (*FAULTS, OUT_OF_TIME, FAILS, STOPPED_WAITING)
    ),
]
SAMPLE: list[Cell] = [
    ("release.AwaitStable", 2, "raises what nobody foresaw"),
    ("release.AwaitStable", 3, STOPPED_WAITING),
    ("rollback.AwaitStable", 1, "is unavailable twice"),
    ("release.ProveCandidate", 2, LOST),
]


class HeldStacks(Stacks):
    """CloudFormation in memory, which ends an operation only when it was looked at often enough."""

    pending, seen, made = "", 0, 0

    def prepare(self, made: Callable[[], Prepared]) -> Prepared:
        """A change set is ready when it is approved. Kinds that upload make their candidates as slowly as this."""
        self.made += 1
        return made() if self.made > LOOKS else Prepared(wait=1)

    def describe_stacks(self, *, StackName: str) -> dict[str, Any]:
        if not self.status.endswith("_IN_PROGRESS"):
            self.pending, self.seen = "", 0
        elif self.pending != self.status:
            self.pending, self.seen = self.status, 1
        elif self.seen < LOOKS:
            self.seen += 1
        else:
            self.settle()
        return super(Stacks, self).describe_stacks(StackName=StackName)


def out_of_time(_stacks: Stacks, handler: Handler) -> Handler:
    """The deadline of the move, or of the candidate, is over."""
    past = "2026-01-01T00:00:00.000Z"

    def late(event: dict[str, Any], context: Any) -> Any:
        deployment = event.get("deployment", {}) | {"proveBy": past}
        return handler(event | {"settleBy": past, "deployment": deployment}, context)

    return late


def failing(stacks: Stacks, handler: Handler) -> Handler:
    """CloudFormation fails to update, and undoes it; or fails to undo it; or the candidate can't be made."""

    def failed(event: dict[str, Any], context: Any) -> Any:
        if stacks.made <= LOOKS:
            raise error_named("TargetInvalid")
        if stacks.status == "UPDATE_IN_PROGRESS" and stacks.body == NEW:
            stacks.fails = "The value must not be new"
            stacks.settle()
        elif stacks.status.endswith("_IN_PROGRESS"):
            stacks.status = "UPDATE_ROLLBACK_FAILED"
            stacks._event(stacks.status, stacks.events[0]["ClientRequestToken"])
        return handler(event, context)

    return failed


def stopped_waiting(_stacks: Stacks, handler: Handler) -> Handler:
    """A person stops the execution when the function has answered, and the machine waits."""

    def answered(event: dict[str, Any], context: Any) -> Any:
        answer = handler(event, context)
        with suppress(ClientError):
            client_of("stepfunctions").stop_execution(executionArn=event["execution"])
        return answer

    return answered


OWN: dict[str, Callable[[Stacks, Handler], Handler]] = {
    OUT_OF_TIME: out_of_time,
    FAILS: failing,
    STOPPED_WAITING: stopped_waiting,
}


def plant(world: World, stacks: Stacks, cell: Cell) -> list[int]:
    """From this poll on, for this machine's calls only; returns the polls that met the fault."""
    state, look, fault = cell
    machine, name = state.split(".")
    folder = re.sub(r"(?<!^)(?=[A-Z])", "_", name).lower()
    healthy = world.handlers[folder]
    faulty = OWN[fault](stacks, healthy) if fault in OWN else PLANTS[fault](world, healthy)
    looks, met = [0], []

    def handler(event: dict[str, Any], context: Any) -> Any:
        looks[0] += f":execution:{machine}:" in event["execution"]
        if f":execution:{machine}:" not in event["execution"] or looks[0] < look:
            return healthy(event, context)
        met.append(looks[0])
        return faulty(event, context)

    world.handlers[folder] = handler
    return met


def rest_of(world: World, stacks: Stacks) -> Rest:
    """As for an alias: version 2 is the new template, and a stack that is not stable counts as split. If a person is
    called, no state polls it, and CloudFormation itself finishes what was started."""
    if "Rollback Failed" in world.facts(TAG):
        stacks.settle()
    moving = stacks.status.endswith("_IN_PROGRESS")
    found: dict[str, Any] = {
        "version": {OLD: "1", NEW: "2"}[stacks.body],
        "weights": {stacks.status: 1.0} if moving else {},
        "locked": "tag" in world.holder(),
    }
    try:
        record = world.record(TAG)
    except ApplicationUnknown:
        return Rest(status=None, why="", facts=[], asked=0, **found)
    return Rest(
        status=Status(record["status"]),
        why=record["why"],
        facts=world.facts(TAG),
        asked=len(world.mails()),
        **found,
    )


@pytest.fixture
def stacks() -> HeldStacks:
    return HeldStacks(slow=True)


@pytest.fixture
def held(world: World, stacks: HeldStacks) -> World:
    """A stack whose operations take several looks; the pauses between two looks are shortened."""
    world.patch.setattr(
        WaitFunction, "_wait_interval", lambda _, env, wait_seconds: env.program_state_event.wait(0.02)
    )
    made = Stack.prepare
    world.patch.setattr(Stack, "prepare", lambda *asked: stacks.prepare(lambda: made(*asked)))
    return with_a_stack(world, stacks)


@pytest.mark.parametrize(
    "cell", [pytest.param(cell, id=" ".join(map(str, cell))) for cell in (GRID if WHOLE else SAMPLE)]
)
def test_a_failure_while_a_move_is_pending_leads_to_exactly_one_ending(
    held: World, stacks: HeldStacks, cell: Cell
) -> None:
    """Faults 111 and 113."""
    state, _, fault = cell
    if state.startswith("rollback."):
        held.handlers["smoke"] = lambda *_: {"verdict": "unhealthy" if stacks.body == NEW else "healthy"}
    met = plant(held, stacks, cell)
    arn = held.start(uploaded(held, TAG, NEW))
    if held.link(arn) is not None and not over(held, arn):
        held.decide(arn)
    left = settle(held)
    assert met, "the fault was never met: the target settled before"
    rest = rest_of(held, stacks)
    assert_at_rest(rest)
    assert_nothing_is_open(held)
    assert_outcome(
        (state, STOPPED if fault == STOPPED_WAITING else fault),
        rest,
        left=left,
        or_else=MAY_END_BEFORE_THE_STOP.get(state, ()),
    )


def test_the_sample_covers_each_machine_and_each_check() -> None:
    assert set(SAMPLE) <= set(GRID)
    assert {state for state, _, _ in SAMPLE} == set(WAITS)
    assert {look for _, look, _ in SAMPLE} == set(range(1, LOOKS + 1))
