"""The fault matrix, whichever engine runs it: its states and faults, the cells in a part of it, and what holds after each.

The states are read from the definitions, so that a new one is tested without anyone remembering.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from tagship.model.release import Status

ROOT = Path(__file__).resolve().parents[1]
ELSEWHERE = {
    "release.RollBack": "starts the other machine, whose own states are cells",
    "release.StoreConfiguration": "no release passes it; tests/flow/test_configuration.py has its faults",
}
STOPPED, LOST = "is stopped by a person", "runs twice"
FAULTS = (
    "raises what nobody foresaw",
    "is never available",
    "times out",
    "is throttled by Lambda twice",
    "is lost by Lambda twice",
    "is unavailable twice",
    "has its AWS call answered with 5xx twice",
    LOST,
    STOPPED,
)
"""What happens to a task's function."""
PASSES = {
    "is throttled by Lambda twice",
    "is lost by Lambda twice",
    "is unavailable twice",
    "has its AWS call answered with 5xx twice",
    LOST,
}
"""After these the release ends as if nothing had been."""
ENDS_THERE = {"release.EndRelease", "rollback.EndRelease"}
"""Where the ending itself can't be written, only the supervisor can."""
ENDINGS = {status.error for status in Status}
"""The possible errors of an execution."""

Cell = tuple[str, str]
"""A state, as `rollback.AwaitStable`, and a fault."""


def tasks_of(machine: str) -> Iterator[str]:
    """Every task that calls a function, as `rollback.AwaitStable`."""

    def walk(states: dict[str, Any]) -> Iterator[str]:
        for name, state in states.items():
            if state["Type"] == "Task" and f"{machine}.{name}" not in ELSEWHERE:
                assert "lambda:invoke" in state["Resource"], (
                    f"{machine}.{name} needs a cell, or a reason in ELSEWHERE"
                )
                yield f"{machine}.{name}"
            if state["Type"] == "Map":
                yield from walk(state["ItemProcessor"]["States"])

    text = (ROOT / "statemachine" / f"{machine}.asl.yaml").read_text()
    return walk(yaml.safe_load(text)["States"])


STATES = (*tasks_of("release"), *tasks_of("rollback"))
GRID: Sequence[Cell] = [(state, fault) for state in STATES for fault in FAULTS]


def part(which: int, *, of: int) -> list[Cell]:
    """A part of the grid, counted from 0; with no more parts than there are faults, each has every state and every fault."""
    return [
        (state, fault)
        for row, state in enumerate(STATES)
        for column, fault in enumerate(FAULTS)
        if (row + column) % of == which
    ]


def usual(state: str) -> Status:
    """How a release through this state ends without any fault: what is rolled back is broken, what is ended is rejected."""
    if state.startswith("rollback."):
        return Status.ROLLED_BACK
    return Status.REJECTED if state == "release.EndRelease" else Status.SUCCEEDED


@dataclass(frozen=True, slots=True, kw_only=True)
class Rest:
    """The observable state at the end. Version 1 is the baseline, version 2 the candidate."""

    status: Status | None
    """None for a release that was never read."""
    why: str
    facts: Sequence[str]
    """Their names, in order."""
    locked: bool
    version: str
    weights: dict[str, float]
    asked: int
    """Mails that asked for approval, without reminders."""


def assert_at_rest(rest: Rest) -> None:
    """Baseline or candidate has all traffic, the lock is free or kept, there is one ending, and nobody was asked twice."""
    if rest.status is None:
        assert (rest.version, rest.weights, rest.locked) == ("1", {}, False)
        return
    endings = [name for name in rest.facts if re.fullmatch(r"Release (?!Read).*|Rollback Failed", name)]
    assert len(endings) == 1, endings
    assert rest.locked == (rest.status is Status.ROLLBACK_FAILED), "the lock"
    if rest.status is not Status.ROLLBACK_FAILED or "Baseline Restored" in rest.facts:
        assert rest.weights == {}, "traffic is split"
        assert rest.version == ("2" if rest.status is Status.SUCCEEDED else "1"), rest.why
    assert rest.asked <= 1, "asked twice"


def assert_outcome(cell: Cell, rest: Rest, *, left: set[str], or_else: Sequence[Status | None] = ()) -> None:
    """The ending that this fault must have.

    `left` is what the flow left to others, and errors that belong to no ending. `or_else`: endings that a stopped
    release may have instead of ABORTED and its usual ending.
    """
    state, fault = cell
    if fault != STOPPED and state not in ENDS_THERE:
        assert left == set(), "the state's own Catch should have led to the end"
    if fault in PASSES:
        assert rest.status is usual(state), rest.why
    elif fault == STOPPED:
        assert rest.status in (Status.ABORTED, usual(state), *or_else), rest.facts
    else:
        assert rest.status is not Status.SUCCEEDED
