"""A plugin for pytest under mutmut, which runs it several times in one process.

pytest keeps the ids that it made of a test's parameters, and escapes them again each time. A test that is then not found
would count as failed, and every mutant of the code that it runs as killed.
"""

from __future__ import annotations

from typing import Any

from _pytest import python

_names: dict[str, Any] = vars(python)
_escaped = _names["ascii_escaped"]


def _stable(text: bytes | str) -> str:
    """Leaves nothing to escape."""
    return str(_escaped(text)).replace("\\", "/")


_names["ascii_escaped"] = _stable
