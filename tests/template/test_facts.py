"""The catalogue of facts is the only list of them, and whole."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from tagship.model.facts import ENDING_KINDS, ENDINGS, FactKind, Level, status_of
from tagship.model.release import Status
from tests.template.definitions import ROOT

CATALOGUE = ROOT / "layers" / "tagship" / "tagship" / "model" / "facts.py"
READ_FACTS = {"story", "notices"}
"""Rooms that render facts and write none of their own."""
WRITERS = {"Fact", "fact", "_fact", "_fact_of", "fact_of"}
"""The functions that create facts."""
FINDS = "ledger"
"""`ledger.fact(…)` looks a fact up."""


def code() -> list[Path]:
    found = [
        *(ROOT / "layers").rglob("*.py"),
        *(ROOT / "functions").rglob("*.py"),
        *(ROOT / "cli").rglob("*.py"),
    ]
    return [path for path in found if path != CATALOGUE]


def kinds_in(node: ast.AST) -> set[FactKind]:
    return {
        FactKind[each.attr]
        for each in ast.walk(node)
        if isinstance(each, ast.Attribute) and ast.unparse(each.value) == "FactKind" and each.attr.isupper()
    }


def writes(call: ast.Call) -> bool:
    """Whether a call makes a fact, and does not look one up."""
    name = ast.unparse(call.func)
    return name.split(".")[-1] in WRITERS and not name.endswith(f"{FINDS}.fact")


def written_in(path: Path) -> set[FactKind]:
    """The fact kinds that a module passes to those functions, directly or through a table."""
    tree = ast.parse(path.read_text())
    tables = {
        target.id: kinds_in(node.value)
        for node in tree.body
        if isinstance(node, ast.Assign | ast.AnnAssign) and node.value is not None
        for target in (node.targets if isinstance(node, ast.Assign) else [node.target])
        if isinstance(target, ast.Name)
    }
    tables["ENDINGS"] = set(ENDING_KINDS)
    found: set[FactKind] = set()
    for function in (node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)):
        making = [node for node in ast.walk(function) if isinstance(node, ast.Call) and writes(node)]
        for call in making:
            names = {node.id for node in ast.walk(call) if isinstance(node, ast.Name)}
            # A name that the function gives to a kind first: `status, name = _OUTCOMES.get(…)`.
            sources = [
                node.value
                for node in ast.walk(function)
                if isinstance(node, ast.Assign)
                and any(
                    isinstance(it, ast.Name) and it.id in names
                    for target in node.targets
                    for it in ast.walk(target)
                )
            ]
            for part in (call, *sources):
                found |= kinds_in(part)
                for node in ast.walk(part):
                    if isinstance(node, ast.Name):
                        found |= tables.get(node.id, set())
    return found


def test_facts_are_named_only_through_the_catalogue() -> None:
    names = {str(kind) for kind in FactKind}
    spelled = [
        f"{path.relative_to(ROOT)}:{node.lineno} {node.value}"
        for path in code()
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and node.value in names
    ]
    assert spelled == []


def test_every_fact_in_the_catalogue_is_written_by_the_code() -> None:
    written = {kind for path in code() if not READ_FACTS & set(path.parts) for kind in written_in(path)}
    assert set(FactKind) - written == set()


def test_every_status_except_running_has_one_ending() -> None:
    assert set(ENDINGS) == set(Status) - {Status.RUNNING}
    assert {status_of(kind) for kind in ENDING_KINDS} == set(ENDINGS)
    assert status_of(FactKind.GATES_FAILED) is None


def test_an_unknown_fact_name_is_no_kind() -> None:
    assert FactKind.of("Release Teleported") is None
    assert FactKind.of(None) is None
    assert FactKind.of("Release Read") is FactKind.RELEASE_READ


@pytest.mark.parametrize("kind", list(FactKind))
def test_every_fact_kind_has_a_description_and_is_stored_by_name(kind: FactKind) -> None:
    assert kind.words
    assert kind == kind.value == f"{kind}"
    assert (kind.level is None) or kind.level in set(Level)


def test_a_level_includes_the_quieter_ones() -> None:
    assert Level.EVERYTHING.includes(Level.PROBLEMS)
    assert Level.MILESTONES.includes(Level.MILESTONES)
    assert not Level.PROBLEMS.includes(Level.MILESTONES)
