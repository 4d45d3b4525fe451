"""The documents' JSON Schemas for editors and other tools, with a description and examples for every field."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from typing import Any, get_args

from tagship import targets
from tagship.health import kinds
from tagship.model.application import Application, Promote
from tagship.model.documents import schema_of
from tagship.model.fields import hints_of, rebuilt
from tagship.model.group import Group
from tagship.model.release import Manifest

KINDS: Mapping[str, type[Application] | type[Manifest] | type[Group]] = {
    "application": Application,
    "release": Manifest,
    "group": Group,
}

_TARGET = next(iter(targets.KINDS.values()))
_CHECKS = [rebuilt(noun, dict(noun.EXAMPLE)) for noun in kinds().values()]
_SUBJECT = _TARGET.subject(rebuilt(_TARGET.spec, dict(_TARGET.example)), None)
_OF_A_LIST_OF_KINDS: Mapping[str, object] = {
    "target": dict(_TARGET.example),
    "checks": [dict(check.EXAMPLE) for check in _CHECKS if not list(check.lacks(_SUBJECT))],
}
"""The checks that a target of this kind supports."""


def _example(noun: type) -> dict[str, object]:
    """The model's own example, including the examples of its parts."""
    own, hints = getattr(noun, "EXAMPLE", {}), hints_of(noun)
    names = [it.name for it in fields(noun)]
    whole = {name: own[name] if name in own else _example_in(name, hints[name]) for name in names}
    return {name: value for name, value in whole.items() if value is not None}


def _example_in(field: str, hint: object) -> object:
    """The example of the first model that the field can hold and that has one."""
    if field in _OF_A_LIST_OF_KINDS:
        return _OF_A_LIST_OF_KINDS[field]
    if is_dataclass(hint) and isinstance(hint, type):
        return _example(hint) or None
    return next(filter(None, (_example_in(field, member) for member in get_args(hint))), None)


_PROMOTE = _example(Promote)
# The complete example is for production, which promotes to no other stage.
_APPLICATION = {name: value for name, value in _example(Application).items() if name != "promote"}
_RELEASE = {
    "schemaVersion": 1,
    "application": "storefront",
    "tag": "v1.4.0",
    "commit": "8f1d5a0b6f3c4c3f8e0d2b7a9c1e5f60718293a4",
    "repository": "acme/storefront",
    "author": "dana@example.com",
    "createdAt": "2026-11-22T10:00:00Z",
    "notes": "Faster search, and the new checkout behind its flag.",
    "artifacts": [
        {
            "name": "function",
            "file": "storefront.zip",
            "sha256": "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
            "size": 12345,
        }
    ],
    "parameters": {"LogLevel": "info"},
    "changes": {
        "since": "v1.3.2",
        "count": 2,
        "commits": [
            {
                "commit": "8f1d5a0b6f3c4c3f8e0d2b7a9c1e5f60718293a4",
                "subject": "Show the voucher field again",
                "author": "Dana",
            },
        ],
        "compare": "https://github.com/acme/storefront/compare/v1.3.2...v1.4.0",
    },
}
EXAMPLES: Mapping[str, dict[str, object]] = {
    "application": _APPLICATION,
    "release": _RELEASE,
    "group": dict(Group.EXAMPLE),
}
_TITLES = {
    "application": "A Tagship application",
    "release": "A Tagship release: release.json",
    "group": "A group of approvers",
}
_BY_FIELD: Mapping[tuple[str, str], list[object]] = {
    ("", "ref"): ["storefront/v1.4.0", "storefront@1.4.0"],
    ("Step", "percent"): [5, 25, 100],
    ("Step", "bake"): ["PT2M"],
    ("Step", "pause"): [True, {"timeout": "PT2H", "onTimeout": "continue"}],
    ("Pause", "timeout"): ["PT2H"],
    ("Pause", "onTimeout"): ["rollback", "continue"],
    ("Steps", "steps"): [[{"percent": 5, "bake": "PT5M"}, {"percent": 50, "bake": "PT5M"}, {"percent": 100}]],
    ("AllAtOnce", "bake"): [60],
    ("Provenance", "builder"): [
        "https://github.com/acme/workflows/.github/workflows/release.yaml@refs/tags/v3"
    ],
    ("Linear", "percent"): [20],
    ("Linear", "bake"): [60, "PT1M"],
    ("JsonValue", "path"): ["database.status"],
    ("JsonValue", "equals"): ["ok", True, 3],
    ("Counter", "missing"): ["zero"],
    **{
        (noun.__name__, field): list(given)
        for noun in kinds().values()
        for field, given in noun.EXAMPLES.items()
    },
    **{key: list(given) for kind in targets.KINDS.values() for key, given in kind.examples.items()},
    ("ApprovalRule", "group"): ["platform"],
    ("ApprovalRule", "required"): [1],
    ("ApprovalRule", "approvers"): [["dan@example.com", "eve@example.com"]],
    ("ApprovalPolicy", "rules"): [
        [
            {"group": "platform", "required": 1},
            {"approvers": ["dan@example.com", "eve@example.com"], "required": 1},
        ]
    ],
    ("", "promote"): [_PROMOTE],
    ("", "rollbackUnsafe"): ["Migration 42 drops the column that v1.4.0 reads."],
    ("", "emergency"): ["Nobody can pay since 14:05."],
}
"""Examples for fields that the complete example does not contain, by definition."""
_JSON_SCHEMA_WORDS = {"ge": "minimum", "le": "maximum", "gt": "exclusiveMinimum", "lt": "exclusiveMaximum"}


def schema(name: str) -> dict[str, Any]:
    """The schema of `application`, `release` or `group`."""
    made: dict[str, Any] = _in_schema_words(schema_of(KINDS[name]))
    definitions = made.get("$defs", {})
    for title, part in [*definitions.items(), ("", made)]:
        _describe(part, definitions)
        _give_examples(part, title, name)
    return {
        "$schema": made.pop("$schema"),
        "$id": made.pop("$id"),
        "title": _TITLES[name],
        "description": made.pop("description"),
        "examples": [EXAMPLES[name]],
        **made,
    }


def text(name: str) -> str:
    """The schema file's text."""
    return json.dumps(schema(name), indent=2, ensure_ascii=False) + "\n"


def _in_schema_words(value: Any, *, in_properties: bool = False) -> Any:
    """Renames pydantic's own bounds to JSON Schema's, and removes titles, which only repeat the field's name."""
    if isinstance(value, list):
        return [_in_schema_words(item) for item in value]
    if not isinstance(value, dict):
        return value
    return {
        name if in_properties else _JSON_SCHEMA_WORDS.get(name, name): (
            inner
            if name in ("default", "examples", "const", "enum") and not in_properties
            else _in_schema_words(inner, in_properties=name in ("properties", "$defs"))
        )
        for name, inner in value.items()
        if in_properties or name != "title"
    }


def _describe(part: dict[str, Any], definitions: Mapping[str, Any]) -> None:
    """Gives a field the description of its type if the field has none."""
    for described in part.get("properties", {}).values():
        if "$ref" in described and "description" not in described:
            described["description"] = definitions[described["$ref"].rsplit("/", 1)[-1]]["description"]


def _give_examples(definition: dict[str, Any], title: str, name: str) -> None:
    for field, described in definition.get("properties", {}).items():
        examples = _BY_FIELD.get((title, field)) or _from_the_whole(name, definition, field)
        if examples and not {"const", "$ref", "oneOf"} & set(described):
            described["examples"] = examples


def _from_the_whole(name: str, definition: Mapping[str, Any], field: str) -> list[Any]:
    """The field's value in the first part of an example that this definition describes."""
    properties = definition["properties"]
    type_ = properties.get("type", {}).get("const")
    waiting: list[object] = [
        EXAMPLES[name],
        _PROMOTE,
        *(dict(check.EXAMPLE) for check in _CHECKS),
        *(dict(kind.example) for kind in targets.KINDS.values()),
    ]
    while waiting:
        part = waiting.pop(0)
        if isinstance(part, dict):
            if set(part) <= set(properties) and field in part and part.get("type") == type_:
                return [part[field]]
            waiting += part.values()
        elif isinstance(part, list):
            waiting += part
    return []
