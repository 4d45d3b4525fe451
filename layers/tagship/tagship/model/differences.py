"""The differences between a new configuration and the current one: old and new of every field, dangerous ones first.
Pure.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

NOTHING = "Nothing that Tagship reads changes: only the formatting of the document."
_WARNINGS = (
    ("approval", "This changes who may approve releases, or how they approve."),
    ("gates", "This changes what a release must pass before anyone is asked to approve."),
    ("target", "This changes the deployment target or its role."),
    ("members", "This changes who may approve for every application whose rules name this group."),
    ("required", "This changes how many members must approve a change of this group."),
)
"""The parts that guard production, most dangerous first; approvers see these sentences first."""
_FIRST = (
    *("approval.approvers", "approval.required", "approval.rules", "approval.countInEveryRule"),
    *("approval.extraForWarnings", "approval.authorMayApprove"),
)
_AT_MOST = 160
"""The length of one value, in characters."""
_SAME_BEFORE = 20
"""How many characters of the common part of two long values are shown."""


@dataclass(frozen=True, slots=True)
class Change:
    """One field, in words."""

    path: str
    words: str

    @property
    def danger(self) -> tuple[int, int]:
        """For sorting: 0 is the most dangerous."""
        part = self.path.partition(".")[0]
        parts = [name for name, _ in _WARNINGS]
        return (
            parts.index(part) if part in parts else len(parts),
            0 if self.path.startswith(_FIRST) else 1,
        )

    def __str__(self) -> str:
        return f"{self.path}: {self.words}"


def changes(old: Mapping[str, object], new: Mapping[str, object]) -> list[Change]:
    """Every field that differs, dangerous ones first; both documents include their defaults."""
    found = _changes("", old, new)
    return sorted(found, key=lambda change: change.danger)


def warnings(found: Sequence[Change]) -> list[str]:
    """One sentence for each changed part that guards production."""
    parts = {change.path.partition(".")[0] for change in found}
    return [sentence for part, sentence in _WARNINGS if part in parts]


def _changes(path: str, old: Any, new: Any) -> Iterator[Change]:
    if json.dumps(old, sort_keys=True) == json.dumps(new, sort_keys=True):  # 1 and true are different
        return
    if isinstance(new, Mapping) and new and _same_kind(old, new):
        before = old or {}
        for name in dict.fromkeys([*before, *new]):
            yield from _changes(f"{path}.{name}" if path else str(name), before.get(name), new.get(name))
    elif isinstance(old, list) and isinstance(new, list):
        yield from _of_lists(path, old, new)
    elif old is None and isinstance(new, list) and new:
        yield from _of_lists(path, [], new)
    else:
        yield Change(path, _pair(_text(old), _text(new)))


def _of_lists(path: str, old: list[Any], new: list[Any]) -> Iterator[Change]:
    removed = [each for each in old if each not in new]
    added = [each for each in new if each not in old]
    for each in list(removed):
        other = next((other for other in added if _kind(each) and _kind(each) == _kind(other)), None)
        if other is not None:
            removed.remove(each)
            added.remove(other)
            yield from _changes(f"{path}[{_kind(each)}]", each, other)
    yield from (Change(path, f"removes {_shown(_text(each))}") for each in removed)
    yield from (Change(path, f"adds {_shown(_text(each))}") for each in added)
    if not removed and not added and len(old) != len(new):
        yield Change(path, f"has {len(new)} entries instead of {len(old)}")
    elif sorted(map(_text, old)) == sorted(map(_text, new)):
        yield Change(path, "has a different order")


def _same_kind(old: object, new: Mapping[str, object]) -> bool:
    """Whether their fields can be compared one by one: if there was nothing before, or both are of one type."""
    return old is None or (isinstance(old, Mapping) and (not old or old.get("type") == new.get("type")))


def _kind(entry: object) -> str:
    return str(entry.get("type", "")) if isinstance(entry, Mapping) else ""


def _text(value: object) -> str:
    if value is None:
        return "nothing"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, Mapping):
        return ", ".join(f"{name} {_text(inner)}" for name, inner in value.items() if inner is not None)
    if isinstance(value, list):
        return f"[{', '.join(map(_text, value))}]"
    return value if isinstance(value, str) and value else json.dumps(value)


def _pair(old: str, new: str) -> str:
    """Two long values are shown from the point where they differ."""
    same = 0
    if max(len(old), len(new)) > _AT_MOST:
        while same < min(len(old), len(new)) and old[same] == new[same]:
            same += 1
        same = max(0, same - _SAME_BEFORE)
    return f"{_shown(old, same)} → {_shown(new, same)}"


def _shown(text: str, begin: int = 0) -> str:
    part = text[begin : begin + _AT_MOST]
    cut = f"… ({len(text):,} characters)" if begin + len(part) < len(text) else ""
    return f"{'…' if begin else ''}{part}{cut}"
