"""Both state machines as they are written, and as an engine gets them."""

from __future__ import annotations

import functools
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[2]
MACHINES = ("release", "rollback")
COMBINATIONS = frozenset({"And", "Or", "Not"})
ENDS = frozenset({"Succeed", "Fail"})

_PLACEHOLDER = re.compile(r"\$\{(\w+)\}")

Body = dict[str, Any]


class StrictLoader(yaml.SafeLoader):
    """A YAML loader that refuses repeated names; the stock loader silently uses the last one."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        names = [self.construct_object(name, deep=True) for name, _ in node.value]
        twice = {name for name in names if names.count(name) > 1}
        if twice:
            raise yaml.YAMLError(f"{sorted(twice)} appears twice below line {node.start_mark.line + 1}")
        return super().construct_mapping(node, deep)


@dataclass(frozen=True, slots=True, kw_only=True)
class State:
    """One state, at any depth."""

    machine: str
    name: str
    body: Body
    inside: str = ""
    """The Map that it belongs to."""

    def __str__(self) -> str:
        return f"{self.machine}.{self.name}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """A definition under its name: as it is written, or with a fault planted into it."""

    name: str
    definition: Body

    def levels(self) -> Iterator[tuple[str, Body]]:
        """The machine itself and the little machines inside its Maps, by name."""
        yield self.name, self.definition
        for name, body in self.definition["States"].items():
            if body["Type"] == "Map":
                yield f"{self.name}.{name}", body["ItemProcessor"]

    def states(self) -> Iterator[State]:
        """All states, those inside Maps too."""
        yield from _states(self.name, self.definition, "")

    def tasks(self) -> Iterator[State]:
        """Every state that may fail, take time and be retried."""
        return (state for state in self.states() if state.body["Type"] == "Task")

    def placeholders(self) -> set[str]:
        """Values substituted at deployment."""
        return set(_PLACEHOLDER.findall(json.dumps(self.definition)))


def machine(name: str) -> Machine:
    """A definition as it is written."""
    return Machine(name=name, definition=load(name))


def path_of(machine: str) -> Path:
    """Where a definition is written."""
    return ROOT / "statemachine" / f"{machine}.asl.yaml"


@functools.cache
def load(machine: str) -> Body:
    """A definition as it is written, with its placeholders as text. Nobody changes it."""
    definition: Body = yaml.load(path_of(machine).read_text(), StrictLoader)
    return definition


def placeholders(machine: str) -> set[str]:
    """Values substituted at deployment."""
    return set(_PLACEHOLDER.findall(path_of(machine).read_text()))


def as_json(machine: str, values: Mapping[str, str | int]) -> str:
    """A definition with its placeholders filled, for engines that read JSON only."""
    text = _PLACEHOLDER.sub(lambda match: str(values[match[1]]), path_of(machine).read_text())
    return json.dumps(yaml.load(text, StrictLoader))


def states_of(machine: str) -> Iterator[State]:
    """All states, those inside of Maps too."""
    yield from _states(machine, load(machine), "")


def all_states() -> list[State]:
    """The states of both machines."""
    return [state for machine in MACHINES for state in states_of(machine)]


def tasks() -> list[State]:
    """Every state that may fail, take time and be retried."""
    return [state for state in all_states() if state.body["Type"] == "Task"]


def function_of(state: State) -> str | None:
    """The logical name, in the template, of the function that a state calls."""
    name = str(state.body.get("Parameters", {}).get("FunctionName", ""))
    found = re.fullmatch(r"\$\{(\w+Function)Arn\}", name)
    return found[1] if found else None


def snake(name: str) -> str:
    """`ShiftTraffic` → `shift_traffic`."""
    return re.sub(r"(?<!^)(?=[A-Z])", "_", name).lower()


def after(body: Body) -> dict[str, str]:
    """Where a state leads to, by how: `Next`, `Default`, `Choices[0]`, `Catch[States.ALL]`."""
    ways: dict[str, str] = {field: body[field] for field in ("Next", "Default") if field in body}
    ways |= {f"Choices[{index}]": choice["Next"] for index, choice in enumerate(body.get("Choices", []))}
    ways |= {f"Catch[{','.join(catch['ErrorEquals'])}]": catch["Next"] for catch in body.get("Catch", [])}
    return ways


def reachable(states: Mapping[str, Body], start: str) -> set[str]:
    """Every state that some way from here leads to, this one among them."""
    found: set[str] = set()
    waiting = [start]
    while waiting:
        name = waiting.pop()
        if name not in found:
            found.add(name)
            waiting += after(states[name]).values()
    return found


def is_end(body: Body) -> bool:
    """Whether nothing comes after a state."""
    return body["Type"] in ENDS or body.get("End") is True


def dynamic(value: Any, name: str = "") -> Iterator[str]:
    """Everything in a state that is read from its data when it runs; what is inside of a Map is another state."""
    if isinstance(value, dict):
        for key, inside in value.items():
            if key != "ItemProcessor":
                yield from dynamic(inside, key)
    elif isinstance(value, list):
        for inside in value:
            yield from dynamic(inside, name)
    elif isinstance(value, str) and (name.endswith((".$", "Path")) or name == "Variable"):
        yield value


def rules(choices: list[Body]) -> Iterator[Body]:
    """The rules of a Choice, those inside of others too."""
    for choice in choices:
        yield choice
        for name in COMBINATIONS & set(choice):
            yield from rules(choice[name] if isinstance(choice[name], list) else [choice[name]])


def rule_variables(choices: list[Body]) -> Iterator[str]:
    """The paths that a Choice's rules read."""
    for rule in rules(choices):
        yield from (value for name, value in rule.items() if name == "Variable" or name.endswith("Path"))


def _states(machine: str, definition: Body, inside: str) -> Iterator[State]:
    for name, body in definition["States"].items():
        yield State(machine=machine, name=name, body=body, inside=inside)
        if body["Type"] == "Map":
            yield from _states(machine, body["ItemProcessor"], name)
