"""Documents that were made to cost: each is refused before it is built, in little time and memory."""

from __future__ import annotations

import json
import tracemalloc
from collections.abc import Callable
from typing import Any

import pytest

from tagship.health import HttpCheck
from tagship.health.asking import looked_up
from tagship.health.http import JsonValue
from tagship.intake import configuration
from tagship_cli.actions.documents import MOST_BYTES, read

_MEGABYTES = 60


def merges(levels: int, width: int = 9) -> str:
    """Each level merges the one before several times: a few hundred bytes for billions of values."""
    lines = ["a0: &a0 {x: 1}"]
    for level in range(1, levels):
        many = ", ".join([f"*a{level - 1}"] * width)
        lines.append(f"a{level}: &a{level}\n  <<: [{many}]")
    return "\n".join([*lines, "application: storefront", "target: {}", ""])


def laughs(levels: int, width: int = 9) -> str:
    """The same with lists."""
    lines = ["a0: &a0 [1]"]
    lines += [f"a{level}: &a{level} [{', '.join([f'*a{level - 1}'] * width)}]" for level in range(1, levels)]
    return "\n".join([*lines, "application: storefront", "target: {}", ""])


@pytest.fixture
def measured() -> Any:
    """Runs something and holds it to its memory."""

    def run(what: Callable[[], Any]) -> Any:
        tracemalloc.start()
        try:
            result = what()
            assert tracemalloc.get_traced_memory()[1] < _MEGABYTES * 1024 * 1024
        finally:
            tracemalloc.stop()
        return result

    return run


@pytest.mark.parametrize(
    "text",
    [
        merges(12),
        merges(30, width=3),
        laughs(12),
        "application: storefront\ntarget: &t [*t]\n",
        "application: &a {<<: *a}\n",
        "[" * 60_000,
        "- " * 60_000 + "1",
        "x: " + "{x: " * 10_000,
        "a: &a 1\n" + "b: " + "[*a, " * 60 + "1" + "]" * 60,
    ],
    ids=[
        "merge keys",
        "many merge levels",
        "laughs",
        "itself",
        "merges itself",
        "lists",
        "items",
        "mappings",
        "deep",
    ],
)
def test_expanding_yaml_is_refused_before_it_is_built(measured: Any, text: str) -> None:
    document = measured(lambda: read("application.yaml", text.encode()))
    assert document.noun is None
    assert len(document.findings) == 1
    assert "too deeply" in str(document.findings[0]) or "is not YAML" in str(document.findings[0])


@pytest.mark.parametrize("name", ["application.yaml", "release.json"])
def test_a_document_is_at_most_256_kib(name: str) -> None:
    (finding,) = read(name, b" " * (MOST_BYTES + 1)).findings
    assert str(finding) == "is larger than 256 KiB"


@pytest.mark.parametrize("value", ["[" * 8_000, '{"a":' * 1_600], ids=["lists", "objects"])
def test_a_deeply_nested_parameter_is_reported_and_does_not_crash(value: str) -> None:
    class Ssm:
        def get_parameter(self, **_: Any) -> Any:
            return {"Parameter": {"Value": value, "Version": 3}}

    found = configuration.read(Ssm(), stage="production", application="storefront", github_hosts=())
    assert found["document"] is None
    assert found["problems"]


# ---- JMESPath ------------------------------------------------------------------------------------------------------


def problems(path: str, equals: Any = "ok") -> list[str]:
    check = HttpCheck(type="http", url="https://example.com", json=JsonValue(path=path, equals=equals))
    return [f"{name}: {message}" for name, message in check.problems()]


@pytest.mark.parametrize(
    "path",
    [
        "[[@,@],[@,@]]",
        "{a: @, b: @}",
        "status | [@,@] | [@,@]",
        "items[*].[@,@]",
        "items[?[@,@]]",
        "to_string(to_string(to_string(@)))",
        "sort_by(items, &name)[0].name",
        "map(&[@,@], items)",
        "join(body, items)",
        "merge(@, @)",
        "to_array(@)",
    ],
)
def test_an_expression_that_builds_values_is_refused(path: str) -> None:
    (problem,) = problems(path)
    assert problem.startswith(("json.path: builds a value with", "json.path: calls "))


@pytest.mark.parametrize(
    "path",
    [
        "status",
        "checks[0].state",
        'a."b-c".d',
        "items[-1]",
        "items[?name == 'till'].open | [0]",
        "length(items)",
        "*.name | [0]",
        "a || b",
    ],
)
def test_an_existing_path_can_be_looked_up(path: str) -> None:
    assert problems(path) == []


def test_a_stored_expression_is_not_evaluated_either(measured: Any) -> None:
    """A release carries the configuration that was valid when it was read."""
    doubling = " | ".join(["[@,@]"] * 30)
    body = json.dumps({"status": "ok"}).encode()
    why = measured(lambda: looked_up(JsonValue(path=doubling, equals="ok"), body))
    assert "cannot be evaluated" in why


def test_a_path_without_a_scalar_is_not_compared() -> None:
    body = json.dumps({"status": ["ok"] * 5000}).encode()
    assert looked_up(JsonValue(path="status", equals="ok"), body) == 'status is a list, not "ok"'
