"""Static analysis of the code: imports, the fields that a handler reads from its event, and the fields it returns."""

from __future__ import annotations

import ast
import functools
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.template.definitions import ROOT

LAYER = ROOT / "layers" / "tagship"
FUNCTIONS = ROOT / "functions"

Shape = dict[str, "Shape"] | None
"""The known fields of a value; None if nothing is known."""

HANDED_ON = dict.fromkeys(("broadcast", "preserve"), "tagship.notices.stream.each")
"""Handlers whose answer is that of a function of the layer."""


@dataclass(frozen=True, slots=True)
class Module:
    """One file of the code."""

    name: str
    """As it is imported: `tagship.gates.tag`; a function's is `functions.run_gate`."""
    path: Path

    @property
    def tree(self) -> ast.Module:
        """Parsed, once."""
        return _parsed(self.path)

    def imports(self) -> frozenset[str]:
        """Every module that it imports, wherever in the file."""
        return _imported(self)


@functools.cache
def modules() -> tuple[Module, ...]:
    """Everything that is deployed: the layer's code and the functions."""
    layer = [Module(_dotted(path), path) for path in sorted((LAYER / "tagship").rglob("*.py"))]
    steps = [Module(f"functions.{path.parent.name}", path) for path in sorted(FUNCTIONS.glob("*/app.py"))]
    return (*layer, *steps)


def module(name: str) -> Module:
    """A module by its name."""
    return next(it for it in modules() if it.name == name)


@functools.cache
def everything_behind(name: str, *, by_name: bool = True) -> frozenset[str]:
    """A module and all our modules that it imports, directly or not. `by_name`: including lazy imports."""
    known = {it.name for it in modules()}
    found: set[str] = set()
    waiting = [name]
    while waiting:
        each = waiting.pop()
        if each not in found:
            found.add(each)
            later = _imported_by_name(module(each)) if by_name else frozenset()
            waiting += (module(each).imports() | later) & known
    return frozenset(found)


def handler_of(function: str) -> ast.FunctionDef:
    """A function's handler."""
    return _function(module(f"functions.{function}").tree, "handler")


def reads(function: str) -> set[tuple[str, ...]]:
    """The event fields that a handler reads, by path: `event["release"]["tag"]` is ("release", "tag")."""
    return _taken(handler_of(function))


def _taken(body: ast.FunctionDef) -> set[tuple[str, ...]]:
    names: dict[str, tuple[str, ...]] = {"event": ()}
    found: set[tuple[str, ...]] = set()
    for node in ast.walk(body):
        if isinstance(node, ast.Assign) and len(node.targets) == 1:
            for name, value in _pairs(node.targets[0], node.value):
                path = _path(value, names)
                if path is not None:
                    names[name] = path
    for node in ast.walk(body):
        if isinstance(node, ast.Subscript) and (path := _path(node, names)):
            found.add(path)
        if isinstance(node, ast.Call) and ast.unparse(node) == "runtime.release(event)":
            found |= _reads_of_a_release()
    return found


@functools.cache
def _reads_of_a_release() -> frozenset[tuple[str, ...]]:
    """The event fields that `runtime.release(event)` reads."""
    (method,) = (
        node
        for node in ast.walk(module("tagship.runtime").tree)
        if isinstance(node, ast.FunctionDef) and node.name == "release"
    )
    return frozenset(_taken(method))


def may_read(function: str) -> set[str]:
    """The optional event fields that a handler reads."""
    return {
        node.args[0].value
        for node in ast.walk(handler_of(function))
        if isinstance(node, ast.Call)
        and ast.unparse(node.func) == "event.get"
        and isinstance(node.args[0], ast.Constant)
        and isinstance(node.args[0].value, str)
    }


def answer(function: str) -> Shape:
    """The fields that a handler always returns."""
    if function in HANDED_ON:
        return answer_of(HANDED_ON[function])
    return _returned(handler_of(function), module(f"functions.{function}"))


def answer_of(dotted: str) -> Shape:
    """The fields that a function of the layer always returns: `tagship.approval.request.delivery.answer_of`."""
    where, name = dotted.rsplit(".", 1)
    return _returned(_function(module(where).tree, name), module(where))


def both(one: Shape, other: Shape) -> Shape:
    """The fields known in both cases."""
    if one is None or other is None:
        return None
    return {name: both(one[name], other[name]) for name in one.keys() & other.keys()}


@functools.cache
def _imported(importing: Module) -> frozenset[str]:
    known = {it.name for it in modules()}
    found: set[str] = set()
    for node in ast.walk(importing.tree):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.module is not None, f"{importing.name} imports relatively"
            inside = {f"{node.module}.{alias.name}" for alias in node.names}
            found |= inside & known or {node.module}
    return frozenset(found)


def _imported_by_name(importing: Module) -> frozenset[str]:
    """Lazy imports: `import_module("tagship.targets.lambda_function")`."""
    return frozenset(
        node.args[0].value
        for node in ast.walk(importing.tree)
        if isinstance(node, ast.Call)
        and ast.unparse(node.func) == "import_module"
        and isinstance(node.args[0], ast.Constant)
    )


@functools.cache
def _parsed(path: Path) -> ast.Module:
    return ast.parse(path.read_text())


def _dotted(path: Path) -> str:
    parts = path.relative_to(LAYER).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def _function(tree: ast.Module, name: str) -> ast.FunctionDef:
    return next(node for node in tree.body if isinstance(node, ast.FunctionDef) and node.name == name)


def _pairs(target: ast.expr, value: ast.expr) -> Iterator[tuple[str, ast.expr]]:
    if isinstance(target, ast.Name):
        yield target.id, value
    elif isinstance(target, ast.Tuple) and isinstance(value, ast.Tuple):
        for one, other in zip(target.elts, value.elts, strict=True):
            yield from _pairs(one, other)


def _path(node: ast.expr, names: dict[str, tuple[str, ...]]) -> tuple[str, ...] | None:
    if isinstance(node, ast.Name):
        return names.get(node.id)
    if isinstance(node, ast.Subscript):
        base = _path(node.value, names)
        if base is not None and isinstance(node.slice, ast.Constant) and isinstance(node.slice.value, str):
            return (*base, node.slice.value)
    return None


def _returned(function: ast.FunctionDef, where: Module) -> Shape:
    shapes = [
        _shape(node.value, function, where)
        for node in _own(function)
        if isinstance(node, ast.Return) and node.value is not None
    ]
    assert shapes, f"{where.name}.{function.name} answers nothing"
    return functools.reduce(both, shapes)


def _own(function: ast.FunctionDef) -> Iterator[ast.AST]:
    """A function's body without the functions inside it, whose return values are not its own."""
    waiting: list[ast.AST] = list(function.body)
    while waiting:
        node = waiting.pop()
        yield node
        if not isinstance(node, ast.FunctionDef | ast.Lambda):
            waiting += ast.iter_child_nodes(node)


def _shape(value: ast.expr, function: ast.FunctionDef, where: Module) -> Shape:
    if isinstance(value, ast.Dict):
        return {
            key.value: _inner(inside, function, where)
            for key, inside in zip(value.keys, value.values, strict=True)
            if isinstance(key, ast.Constant) and isinstance(key.value, str)
        }
    if isinstance(value, ast.DictComp) and isinstance(value.generators[0].iter, ast.Tuple):
        return {str(ast.literal_eval(name)): None for name in value.generators[0].iter.elts}
    if isinstance(value, ast.Call) and isinstance(value.func, ast.Name):
        name = value.func.id
        if any(isinstance(node, ast.FunctionDef) and node.name == name for node in where.tree.body):
            return _returned(_function(where.tree, name), where)
        source = next(
            node.module
            for node in where.tree.body
            if isinstance(node, ast.ImportFrom) and name in {alias.name for alias in node.names}
        )
        return answer_of(f"{source}.{name}")
    raise AssertionError(
        f"{where.name}.{function.name} answers {ast.unparse(value)}: name its record in tests/template/sources.py"
    )


def _inner(value: ast.expr, function: ast.FunctionDef, where: Module) -> Shape:
    return _shape(value, function, where) if isinstance(value, ast.Dict) else None
