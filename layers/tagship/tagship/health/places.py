"""A place in a JSON document: the part of JMESPath that cannot produce more data than its input.

Expressions that build values can double them at every step, and some functions copy them repeatedly. Without those, every
step returns at most its input, so the cost is at most the document's length times the expression's.
"""

from __future__ import annotations

from typing import Any

_BUILDS = {"multi_select_list": "[a, b]", "multi_select_dict": "{a: b}", "expref": "&a"}
_FUNCTIONS = frozenset(
    {
        *("length", "contains", "starts_with", "ends_with", "keys", "values", "type", "not_null"),
        *("max", "min", "sum", "avg", "abs", "ceil", "floor", "to_number", "sort", "reverse"),
    }
)


def at(document: object, path: str) -> object:
    """The value at the place; None if there is none.

    Raises ValueError for an invalid place.
    """
    import jmespath  # loaded only for a check that reads JSON

    compiled = _compiled(path)
    try:
        return compiled.search(document)
    except (jmespath.exceptions.JMESPathError, RecursionError) as error:
        raise ValueError(str(error)) from error


def problem(path: str) -> str:
    """Why this is not a valid place; empty if it is."""
    try:
        _compiled(path)
    except ValueError as error:
        return str(error)
    return ""


def _compiled(path: str) -> Any:
    import jmespath

    try:
        compiled = jmespath.compile(path)
    except (jmespath.exceptions.JMESPathError, RecursionError) as error:
        raise ValueError("is not a JMESPath expression") from error
    waiting = [compiled.parsed]
    while waiting:
        node = waiting.pop()
        if node["type"] in _BUILDS:
            raise ValueError(f"builds a value with {_BUILDS[node['type']]}; a path may only select values")
        if node["type"] == "function_expression" and node["value"] not in _FUNCTIONS:
            raise ValueError(f"calls {node['value']}(); only {', '.join(sorted(_FUNCTIONS))} can be called")
        waiting += node["children"]
    return compiled
