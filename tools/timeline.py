"""A release's timeline from its execution: what happened when, how long each phase took, and the traffic shares."""

from __future__ import annotations

import contextlib
import itertools
import json
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from tools.stack import LocalError

_LOOK_EVERY = 0.2
_PHASES: Mapping[str, tuple[str, ...]] = {
    "reading": ("ReadRelease", "AcquireLock"),
    "gates": ("RunGates", "JudgeGates"),
    "plan": ("PlanDeployment",),
    "approval": ("RequestApproval", "RemindApprovers"),
    "traffic": ("RecheckRelease", "ProveCandidate", "ShiftTraffic", "AwaitStable", "Bake"),
    "health": ("CheckHealth", "JudgeHealth"),
    "rollback": ("RollBack",),
    "ending": ("CompleteRelease", "EndRelease"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Moment:
    """A state that was left, or that was entered and takes a while."""

    state: str
    entered: float
    left: float | None
    data: Mapping[str, Any]
    """The state's input when it was entered, its output when it was left."""

    @property
    def seconds(self) -> float:
        return (self.left or self.entered) - self.entered

    @property
    def failed(self) -> bool:
        """Whether it was left through its Catch: there is an error instead of an output."""
        return self.left is not None and bool(self.data.get("error"))

    @property
    def words(self) -> str:
        """What happened, in plain words; empty for a state that only leads to the next one."""
        if self.state not in _WORDS:
            return _error(self.data) if self.state == "AwaitStable" and self.failed else ""
        try:
            return _WORDS[self.state](self.data)
        except (KeyError, TypeError):  # left through its Catch: there is an error instead of an output
            return _error(self.data)


@dataclass(frozen=True, slots=True, kw_only=True)
class Share:
    """A period in which the candidate had a share of the traffic."""

    percent: int
    start: float
    end: float


@dataclass(slots=True)
class Timeline:
    """One release's execution, from its start to its end."""

    states: Any
    execution: str
    started: float = 0.0
    ended: float = 0.0
    status: str = "RUNNING"
    error: str = ""
    cause: str = ""
    moments: list[Moment] = field(default_factory=list)

    def follow(self, *, seconds: float) -> Iterator[Moment]:
        """Yields each state when it is entered and when it is left, live, until the execution has ended.

        Raises LocalError if that takes longer than these seconds.
        """
        deadline, seen = time.monotonic() + seconds, 0
        entered: dict[str, float] = {}
        while True:
            known = self.states.describe_execution(executionArn=self.execution)
            events = self._events()
            for event in events[seen:]:
                yield from self._moments(event, entered)
            seen = len(events)
            if known["status"] != "RUNNING":
                self._end(known)
                return
            if time.monotonic() > deadline:
                raise LocalError(f"The execution {self.execution} did not end within {seconds:.0f} seconds.")
            time.sleep(_LOOK_EVERY)

    @property
    def phases(self) -> dict[str, float]:
        """Seconds in each phase, without those that never began."""
        spent = {
            phase: sum(moment.seconds for moment in self.moments if moment.state in states)
            for phase, states in _PHASES.items()
            if any(moment.state in states for moment in self.moments)
        }
        return spent | {"in all": self.ended - self.started}

    @property
    def shares(self) -> list[Share]:
        """The candidate's shares, with their start and end."""
        turns = [
            each for each in self.moments if each.state in ("ShiftTraffic", "RollBack", "CompleteRelease")
        ]
        return [
            Share(
                percent=turn.data["deployment"]["percent"],
                start=turn.left or turn.entered,
                end=following.entered,
            )
            for turn, following in itertools.pairwise(turns)
            if turn.state == "ShiftTraffic"
        ]

    def _events(self) -> list[dict[str, Any]]:
        pages = self.states.get_paginator("get_execution_history").paginate(executionArn=self.execution)
        return [event for page in pages for event in page["events"]]

    def _moments(self, event: dict[str, Any], entered: dict[str, float]) -> Iterator[Moment]:
        at = _seconds(event["timestamp"])
        if "stateEnteredEventDetails" in event:
            detail = event["stateEnteredEventDetails"]
            entered[detail["name"]] = at
            yield Moment(state=detail["name"], entered=at, left=None, data=json.loads(detail["input"]))
        elif "stateExitedEventDetails" in event:
            detail = event["stateExitedEventDetails"]
            moment = Moment(
                state=detail["name"],
                entered=entered[detail["name"]],
                left=at,
                data=json.loads(detail["output"]),
            )
            self.moments.append(moment)
            yield moment

    def _end(self, known: Mapping[str, Any]) -> None:
        self.started, self.ended = _seconds(known["startDate"]), _seconds(known["stopDate"])
        self.status, self.error, self.cause = known["status"], known.get("error", ""), known.get("cause", "")


def wait_for_execution(states: Any, *, machine: str, key: str, seconds: float) -> Timeline:
    """The execution that the upload of this object starts.

    Raises LocalError if none has started within these seconds.
    """
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        for execution in states.list_executions(stateMachineArn=machine)["executions"]:
            known = states.describe_execution(executionArn=execution["executionArn"])
            if json.loads(known["input"]).get("key") == key:
                return Timeline(
                    states=states,
                    execution=execution["executionArn"],
                    started=_seconds(execution["startDate"]),
                )
        time.sleep(_LOOK_EVERY)
    raise LocalError(f"The upload of {key} started no execution within {seconds:.0f} seconds.")


def _seconds(at: datetime) -> float:
    return at.timestamp()


def _error(data: Mapping[str, Any]) -> str:
    error = data.get("error") or {}
    cause = error.get("Cause", "")
    with contextlib.suppress(ValueError, KeyError, TypeError):  # a function's exception is JSON
        cause = json.loads(cause)["errorMessage"]
    return f"{error.get('Error', 'went on')}: {cause}".rstrip(": ")


def _gates(data: Mapping[str, Any]) -> str:
    answered = [result for each in data["gates"] for result in each.get("results", [each])]
    failed = [f"{gate['gate']}: {gate['why']}" for gate in answered if gate["verdict"] in ("failed", "error")]
    passed = [gate["gate"] for gate in answered if gate["verdict"] == "passed"]
    if failed:
        return f"{len(failed)} of {len(answered)} gates failed. {' '.join(failed)}"
    return f"{len(passed)} gates passed: {', '.join(passed)}"


def _health(data: Mapping[str, Any]) -> str:
    if data["health"]["verdict"] == "healthy":
        return "Health checks: healthy"
    return f"Health checks: {data['health']['why']}"


_WORDS: Mapping[str, Callable[[Any], str]] = {
    "ReadRelease": lambda _: "The upload is read, and the versions of its files are pinned",
    "RunGates": _gates,
    "PlanDeployment": lambda data: (
        f"The plan: {'; '.join(each.rstrip('.') for each in data['plan']['summary'])}"
    ),
    "RequestApproval": lambda data: f"Approved: {data['approval']['why']}",
    "ShiftTraffic": lambda data: f"{data['deployment']['percent']} % of the traffic goes to the new version",
    "JudgeHealth": _health,
    "CompleteRelease": lambda data: f"Done: {data['ending']['cause']}",
    "RollBack": lambda data: f"Rollback finished: {data['ending']['status']}",
}
