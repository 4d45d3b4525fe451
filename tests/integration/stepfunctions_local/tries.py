"""Cases that count the tries of each task, made from the definitions and from the cases of the mocks file."""

from __future__ import annotations

import copy
import functools
import itertools
import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from tests.integration.stepfunctions_local.places import MOCKS
from tests.template.definitions import Body, State, tasks

UNFORESEEN = "SomethingUnforeseen"


@dataclass(frozen=True, slots=True, kw_only=True)
class Tries:
    """A case in which a task throws these errors, one a try, before it answers as it does in the base case."""

    task: State
    base: str
    throws: tuple[str, ...]
    recovers: bool
    name: str

    @property
    def caught(self) -> str:
        """The state that the last error leads to."""
        found: str = next(
            catch["Next"]
            for catch in self.task.body["Catch"]
            if {self.throws[-1], "States.ALL"} & set(catch["ErrorEquals"])
        )
        return found


@functools.cache
def all_tries() -> tuple[Tries, ...]:
    """For each task: one case in which it recovers after all its retries, and one for each way to run out of them."""
    return tuple(case for task in tasks() for case in _of(task))


def added_to(mocks: dict[str, Any]) -> dict[str, Any]:
    """A mocks file with these cases in it too."""
    all_of_it = copy.deepcopy(mocks)
    for case in all_tries():
        machine = all_of_it["StateMachines"][case.task.machine]["TestCases"]
        mocked = _defaults(mocks, case.task.machine) | machine[case.base]
        answers = mocks["MockedResponses"][mocked[case.task.name]]
        response = f"{case.task.machine}{case.name}"
        all_of_it["MockedResponses"][response] = _numbered(case, list(answers.values()))
        machine[case.name] = mocked | {case.task.name: response}
    return all_of_it


def _of(task: State) -> Iterator[Tries]:
    make = functools.partial(Tries, task=task, base=_base_of(task))
    retries: list[Body] = task.body["Retry"]
    every = [name for retry in retries for name in _names(retry, retry["MaxAttempts"])]
    yield make(throws=tuple(every), recovers=True, name=f"{task.name}Recovers")
    for number, retry in enumerate(retries):
        throws = _names(retry, retry["MaxAttempts"] + 1)
        yield make(throws=tuple(throws), recovers=False, name=f"{task.name}RunsOutOf{number}")
    if not any("States.ALL" in retry["ErrorEquals"] for retry in retries):
        yield make(throws=(UNFORESEEN,), recovers=False, name=f"{task.name}MeetsTheUnforeseen")


def _names(retry: Body, count: int) -> list[str]:
    """The names that a retry knows, in turn, because they share one count."""
    names = [UNFORESEEN if name == "States.ALL" else name for name in retry["ErrorEquals"]]
    return list(itertools.islice(itertools.cycle(names), count))


def _base_of(task: State) -> str:
    """The first case in which the task answers before it throws anything."""
    mocks = json.loads(MOCKS.read_text())
    for case, mocked in mocks["StateMachines"][task.machine]["TestCases"].items():
        if task.name in mocked and _is_reached(task, case) and "Return" in _first(mocks, mocked[task.name]):
            return str(case)
    raise AssertionError(f"no case lets {task} answer")


def _is_reached(task: State, case: str) -> bool:
    """A case may mock a task that it never reaches. The only such case is a release whose gates refuse it."""
    return not (case == "IsInvalid" and task.name == "PlanDeployment")


def _first(mocks: dict[str, Any], response: str) -> dict[str, Any]:
    first: dict[str, Any] = mocks["MockedResponses"][response]["0"]
    return first


def _defaults(mocks: dict[str, Any], machine: str) -> dict[str, str]:
    """An answer for each task that a failure may lead to and that the base case never reaches."""
    found: dict[str, str] = {}
    for mocked in mocks["StateMachines"][machine]["TestCases"].values():
        for task, response in mocked.items():
            if "Return" in _first(mocks, response):
                found.setdefault(task, response)
    return found


def _numbered(case: Tries, answers: list[Any]) -> dict[str, Any]:
    """The throws as ranges of the same error where they follow each other, then the answers of the base case."""
    numbered: dict[str, Any] = {}
    start = 0
    for error, group in itertools.groupby(case.throws):
        count = len(list(group))
        key = str(start) if count == 1 else f"{start}-{start + count - 1}"
        numbered[key] = {"Throw": {"Error": error, "Cause": "{}"}}
        start += count
    for answer in answers:
        numbered[str(start)] = answer
        start += 1
    return numbered
