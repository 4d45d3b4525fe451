"""Follows the data of a state machine along every path: which fields certainly exist when a state begins.

Each state is entered with a shape: the fields that were written on *every* path to it. States are visited until no
shape loses a field. A field outside the shape may be missing at run time, and then the execution fails with
States.Runtime, which no Catch handles.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from tests.template.definitions import Body, Machine, dynamic, machine, rule_variables, snake
from tests.template.sources import Shape, answer, answer_of, both

# An execution's input, as promised by everything that starts one.
INPUTS: dict[str, Shape] = {
    "release": dict.fromkeys(("bucket", "key", "versionId")),
    "rollback": dict.fromkeys(("application", "tag", "trigger", "why")),
}

ERROR: Shape = {"Error": None, "Cause": None}
"""The fields that a Catch writes."""
RAISED: Shape = {"errorMessage": None, "errorType": None}
"""The JSON that Lambda puts into the cause of a function's exception."""

_ARGUMENT = re.compile(r"\$\$?[\w.]*")


class Missing(Exception):
    """A path that may be missing is read."""


@dataclass(slots=True)
class Flow:
    """One machine, followed."""

    results: Callable[[str, Body], Shape]
    """A task's result before its ResultSelector."""
    entered: dict[str, Shape] = field(default_factory=dict)
    """With what each state begins; those inside of Maps too."""
    payloads: dict[str, Shape] = field(default_factory=dict)
    """The input of each task."""
    missing: set[str] = field(default_factory=set)
    """Reads of possibly missing fields: `RollBack reads $.rollback.why`."""

    def follow(self, machine: Body, start: Shape) -> Shape:
        """The shape with which it succeeds, whichever end it takes."""
        states = machine["States"]
        waiting = [(machine["StartAt"], start)]
        entered: dict[str, Shape] = {}
        ended: dict[str, Shape] = {}
        while waiting:
            name, shape = waiting.pop()
            known = both(entered[name], shape) if name in entered else shape
            if name in entered and known == entered[name]:
                continue
            entered[name] = known
            for following, after in self._through(name, states[name], known):
                if following:
                    waiting.append((following, after))
                else:
                    ended[name] = after
        self.entered |= entered
        *first, last = ended.values() if ended else [{}]
        for other in first:
            last = both(last, other)
        return last

    def _through(self, name: str, body: Body, given: Shape) -> list[tuple[str, Shape]]:
        kind = body["Type"]
        if kind in ("Succeed", "Fail", "Choice", "Wait"):
            for path in (*dynamic({**body, "Choices": []}), *rule_variables(body.get("Choices", []))):
                self._read(name, path, given)
            if kind == "Choice":
                return [(choice["Next"], given) for choice in body["Choices"]] + [(body["Default"], given)]
            return [("", given)] if kind == "Succeed" else [(body["Next"], given)] if kind == "Wait" else []
        return [
            *(
                (catch["Next"], self._written(name, catch["ResultPath"], given, ERROR))
                for catch in body.get("Catch", [])
            ),
            (body.get("Next", ""), self._output(name, body, given)),
        ]

    def _output(self, name: str, body: Body, given: Shape) -> Shape:
        parameters = self._filled(name, body.get("Parameters", {}), given)
        for field_name in ("TimeoutSecondsPath", "ItemsPath"):
            if field_name in body:
                self._read(name, body[field_name], given)
        if body["Type"] == "Map":
            self.follow(body["ItemProcessor"], self._filled(name, body["ItemSelector"], given))
            result: Shape = None
        elif body["Type"] == "Pass":
            result = parameters
        else:
            self.payloads[name] = parameters
            result = self.results(name, body)
        if "ResultSelector" in body:
            result = self._filled(name, body["ResultSelector"], result)
        output = self._written(name, body.get("ResultPath", "$"), given, result)
        return self._read(name, body.get("OutputPath", "$"), output)

    def _filled(self, name: str, template: Any, given: Shape) -> Shape:
        if isinstance(template, list):
            for each in template:
                self._filled(name, each, given)
        if not isinstance(template, dict):
            return None
        return {
            key.removesuffix(".$"): self._read(name, value, given)
            if key.endswith(".$")
            else self._filled(name, value, given)
            for key, value in template.items()
        }

    def _read(self, name: str, path: str, given: Shape) -> Shape:
        if path.startswith("States."):
            for argument in _ARGUMENT.findall(path):
                self._read(name, argument, given)
            return RAISED if path == "States.StringToJson($.error.Cause)" else None
        if path.startswith("$$"):
            return None
        shape = given
        for member in path.split(".")[1:]:
            if shape is None or member not in shape:
                self.missing.add(f"{name} reads {path}")
                return None
            shape = shape[member]
        return shape

    def _written(self, name: str, path: str | None, given: Shape, result: Shape) -> Shape:
        if path is None:
            return given
        members = path.split(".")[1:]
        if not members:
            return result
        assert len(members) == 1, f"{name} writes {path}: one level is what the engines agree on"
        return {**(given or {}), members[0]: result}


def followed(through: Machine) -> tuple[Flow, Shape]:
    """A machine followed from its input to its ends, and the shape with which it succeeds."""
    flow = Flow(results=_result_of)
    return flow, flow.follow(through.definition, INPUTS[through.name])


@functools.cache
def flow_of(name: str) -> tuple[Flow, Shape]:
    """A machine as it is written, followed."""
    return followed(machine(name))


def has(shape: Shape, path: tuple[str, ...]) -> bool:
    """Whether the path exists; below an unknown value any field may exist."""
    for index, member in enumerate(path):
        if shape is None:
            return index > 0
        if member not in shape:
            return False
        shape = shape[member]
    return True


def _result_of(name: str, body: Body) -> Shape:
    if body["Resource"].endswith("startExecution.sync:2"):
        return {"Output": flow_of("rollback")[1], "Status": None}
    if body["Resource"].endswith("waitForTaskToken"):
        answers = {"RequestApproval": "answer_of", "PauseRollout": "answer_in_a_pause"}
        return answer_of(f"tagship.approval.request.delivery.{answers[name]}")
    return {"Payload": answer(snake(name)), "StatusCode": None}
