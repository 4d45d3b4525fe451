"""The published schemas are current, say what the models say, and every field of them is explained."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from jsonschema import Draft202012Validator

from tagship.model.documents import DocumentInvalid, read_application, read_manifest
from tagship_cli.actions import schema

ROOT = Path(__file__).resolve().parents[3]
NAMES = ["application", "release"]


def published(name: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((ROOT / "schemas" / f"{name}.schema.json").read_text())
    return found


def parts(name: str) -> list[dict[str, Any]]:
    whole = published(name)
    return [whole, *whole.get("$defs", {}).values()]


@pytest.mark.parametrize("name", NAMES)
def test_the_published_schemas_match_the_models(name: str) -> None:
    assert published(name) == schema.schema(name), "make it anew: tagship schemas"


@pytest.mark.parametrize("name", NAMES)
def test_it_is_a_json_schema_without_unknown_keywords(name: str) -> None:
    Draft202012Validator.check_schema(published(name))
    assert not {"ge", "le", "gt", "lt", "title"} & words(published(name), top=False)


def words(value: Any, *, top: bool = True) -> set[str]:
    """The keywords of a schema, without the names of fields."""
    if isinstance(value, list):
        return set().union(*(words(item) for item in value))
    if not isinstance(value, dict):
        return set()
    found = set(value) - ({"title"} if not top else set())
    for key, inner in value.items():
        if key in ("properties", "$defs"):
            found |= set().union(*(words(item) for item in inner.values()))
        elif key not in ("default", "examples", "const", "mapping"):
            found |= words(inner)
    return found


@pytest.mark.parametrize("name", NAMES)
def test_every_field_is_described(name: str) -> None:
    for part in parts(name):
        assert part["description"]
        for field, described in part["properties"].items():
            assert described.get("description"), field


@pytest.mark.parametrize("name", NAMES)
def test_every_field_has_a_valid_example(name: str) -> None:
    whole = published(name)
    for part in parts(name):
        for field, described in part["properties"].items():
            if {"const", "$ref", "oneOf"} & set(described):
                continue
            assert described.get("examples"), field
            for example in described["examples"]:
                Draft202012Validator({**described, "$defs": whole.get("$defs", {})}).validate(example)


def test_the_complete_examples_are_valid_for_schema_and_models() -> None:
    for name in NAMES:
        for example in published(name)["examples"]:
            Draft202012Validator(published(name)).validate(example)
    read_application(published("application")["examples"][0])
    read_manifest(json.dumps(published("release")["examples"][0]).encode())


def test_the_sample_application_is_valid_for_the_schema() -> None:
    document = yaml.safe_load((ROOT / "examples/storefront/application.yaml").read_text())
    Draft202012Validator(published("application")).validate(document)


@pytest.mark.parametrize(
    "path, value",
    [
        (("application",), "Shop"),
        (("target", "account"), "1"),
        (("target", "type"), "toaster"),
        (("strategy", "percent"), 0),
        (("strategy", "bake"), 1201),
        (("approval", "expires"), 0),
        (("approval", "approvers"), ["ana"]),
        (("health", "checks"), []),
        (("nonsense",), 1),
    ],
)
def test_the_schema_refuses_what_the_models_refuse(path: tuple[str, ...], value: Any) -> None:
    document = json.loads(json.dumps(schema.EXAMPLES["application"]))
    place = document
    for part in path[:-1]:
        place = place[part]
    place[path[-1]] = value
    assert not Draft202012Validator(published("application")).is_valid(document)
    with pytest.raises(DocumentInvalid):
        read_application(document)


def test_the_command_writes_schemas_and_reports_outdated_ones(stage: Any, tmp_path: Path) -> None:
    assert stage.run("schemas", "--into", str(tmp_path), "--check").exit_code == 1
    result = stage.run("schemas", "--into", str(tmp_path))
    assert result.exit_code == 0
    assert result.stdout.count(": written") == 3
    assert stage.run("schemas", "--into", str(tmp_path), "--check").exit_code == 0
    assert (tmp_path / "release.schema.json").read_text() == (
        ROOT / "schemas/release.schema.json"
    ).read_text()
