"""The template as it is written: CloudFormation's short forms as the long ones, and the comments, which YAML forgets."""

from __future__ import annotations

import functools
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import yaml

from tests.template.definitions import ROOT, Body, StrictLoader

PATH = ROOT / "template.yaml"
_INTRINSICS = (
    "And",
    "Equals",
    "FindInMap",
    "GetAtt",
    "If",
    "Join",
    "Not",
    "Or",
    "Select",
    "Split",
    "Sub",
    "Condition",
    "Ref",
)


class Loader(StrictLoader):
    """Reads `!Ref X` as `{"Ref": "X"}`, as CloudFormation does."""


def _long_form(name: str) -> Any:
    key = name if name in ("Ref", "Condition") else f"Fn::{name}"

    def construct(loader: yaml.SafeLoader, node: yaml.Node) -> Body:
        if isinstance(node, yaml.ScalarNode):
            value: Any = loader.construct_scalar(node)
            return {key: value.split(".", 1) if name == "GetAtt" else value}
        if isinstance(node, yaml.SequenceNode):
            return {key: loader.construct_sequence(node, deep=True)}
        assert isinstance(node, yaml.MappingNode)
        return {key: loader.construct_mapping(node, deep=True)}

    return construct


for _name in _INTRINSICS:
    Loader.add_constructor(f"!{_name}", _long_form(_name))


@dataclass(frozen=True, slots=True, kw_only=True)
class Statement:
    """One statement of a policy, and the comment right above it."""

    resource: str
    """The logical name of the resource that it stands in."""
    line: int
    reason: str
    effect: str
    actions: tuple[str, ...]
    on: tuple[Any, ...]
    trusts: bool
    """Whether it says who may take a role."""
    body: Body

    def __str__(self) -> str:
        return f"{self.resource}, line {self.line}: {' '.join(self.actions)}"


@functools.cache
def template() -> Body:
    """Parsed; nobody changes it."""
    parsed: Body = yaml.load(PATH.read_text(), Loader)
    return parsed


def resources(kind: str) -> dict[str, Body]:
    """The properties of all resources of a type, by their logical names."""
    return {
        name: resource.get("Properties", {})
        for name, resource in template()["Resources"].items()
        if resource["Type"] == kind
    }


def functions() -> dict[str, Body]:
    """Every function, with what Globals give it."""
    shared = template()["Globals"]["Function"]
    return {
        name: {
            **shared,
            **own,
            "Layers": [*shared["Layers"], *own.get("Layers", [])],
            "Environment": {
                "Variables": {
                    **shared["Environment"]["Variables"],
                    **own.get("Environment", {}).get("Variables", {}),
                }
            },
        }
        for name, own in resources("AWS::Serverless::Function").items()
    }


def functions_beside_the_flow() -> set[str]:
    """Those that no state calls: something else invokes them."""
    return {
        name
        for name, properties in functions().items()
        if "Events" in properties or "FunctionUrlConfig" in properties
    }


@functools.cache
def statements() -> tuple[Statement, ...]:
    """Every statement of every policy in the template."""
    lines = PATH.read_text().splitlines()
    root = yaml.compose(PATH.read_text(), Loader)
    assert isinstance(root, yaml.MappingNode)
    return tuple(
        _statement(resource, node, lines)
        for name, part in root.value
        if name.value == "Resources"
        for resource, body in _members(part)
        for node in _statement_nodes(body)
    )


def statements_of(resource: str) -> list[Statement]:
    """What a function's or a role's own policies say."""
    return [it for it in statements() if it.resource == resource and not it.trusts]


def seconds(value: Any, parameters: Body) -> int:
    """A number in the template, for these values of its parameters."""
    if isinstance(value, int):
        return value
    if "Ref" in value:
        return int(parameters[value["Ref"]])
    table, row, column = value["Fn::FindInMap"]
    return int(template()["Mappings"][table][str(parameters[row["Ref"]])][column])


def defaults() -> Body:
    """The parameters' default values."""
    return {name: parameter["Default"] for name, parameter in template()["Parameters"].items()}


def smallest(parameter: str) -> int:
    """The least that a number may be."""
    described = template()["Parameters"][parameter]
    return int(min(described["AllowedValues"]) if "AllowedValues" in described else described["MinValue"])


def _members(node: yaml.Node) -> Iterator[tuple[str, yaml.Node]]:
    assert isinstance(node, yaml.MappingNode)
    for name, value in node.value:
        yield name.value, value


def _statement_nodes(node: yaml.Node) -> Iterator[yaml.MappingNode]:
    if isinstance(node, yaml.MappingNode):
        if {"Effect", "Action"} <= {name.value for name, _ in node.value}:
            yield node
            return
        for _, value in node.value:
            yield from _statement_nodes(value)
    elif isinstance(node, yaml.SequenceNode):
        for value in node.value:
            yield from _statement_nodes(value)


def _statement(resource: str, node: yaml.MappingNode, lines: list[str]) -> Statement:
    body: Body = Loader("").construct_object(node, deep=True)
    line = node.start_mark.line
    reason: list[str] = []
    while re.match(r"\s*#", lines[line - 1 - len(reason)]):
        reason.insert(0, lines[line - 1 - len(reason)].strip().removeprefix("#").strip())
    return Statement(
        resource=resource,
        line=line + 1,
        reason=" ".join(reason),
        effect=body["Effect"],
        actions=tuple(_listed(body["Action"])),
        on=tuple(_listed(body.get("Resource", []))),
        trusts=all(action.startswith("sts:AssumeRole") for action in _listed(body["Action"]))
        and "Resource" not in body,
        body=body,
    )


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]
