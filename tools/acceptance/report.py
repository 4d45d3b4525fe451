"""Expected and actual results, as Markdown."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum


class Verdict(StrEnum):
    """The result of an expectation."""

    AS_EXPECTED = "as expected"
    DIFFERENT = "different"
    NOT_SHOWN = "not shown here"


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One expectation."""

    chapter: str
    what: str
    expected: str
    seen: str
    verdict: Verdict


@dataclass(slots=True, kw_only=True)
class Report:
    """All results, in order."""

    where: str
    began: datetime
    say: object = None
    rows: list[Row] = field(default_factory=list)
    remains: list[str] = field(default_factory=list)

    def expect(self, chapter: str, what: str, expected: str, seen: str) -> bool:
        """Records an expectation; returns whether it was met."""
        right = expected == seen
        self._add(chapter, what, expected, seen, Verdict.AS_EXPECTED if right else Verdict.DIFFERENT)
        return right

    def measure(self, chapter: str, what: str, expected: str, seen: str, *, right: bool) -> None:
        """Records a number, with what it should be in words."""
        self._add(chapter, what, expected, seen, Verdict.AS_EXPECTED if right else Verdict.DIFFERENT)

    def not_shown(self, chapter: str, what: str, expected: str, why: str) -> None:
        """Records something that could not be tested here; it has not passed."""
        self._add(chapter, what, expected, why, Verdict.NOT_SHOWN)

    def _add(self, chapter: str, what: str, expected: str, seen: str, verdict: Verdict) -> None:
        self.rows.append(Row(chapter=chapter, what=what, expected=expected, seen=seen, verdict=verdict))
        print(f"  {verdict:<14} {what}: {seen}", flush=True)

    @property
    def is_good(self) -> bool:
        """Whether every expectation was met and nothing was left out."""
        return all(row.verdict is not Verdict.DIFFERENT for row in self.rows) and not self.remains

    def as_markdown(self, *, now: datetime) -> str:
        """A table for each chapter, with differences first."""
        counted = Counter(row.verdict for row in self.rows)
        minutes = (now - self.began).total_seconds() / 60
        lines = [
            f"# Acceptance run in {self.where}",
            "",
            f"{self.began.astimezone(UTC):%Y-%m-%d %H:%M} UTC, {minutes:.0f} min. "
            + ", ".join(f"{counted[verdict]} {verdict}" for verdict in Verdict if counted[verdict])
            + ".",
        ]
        different = [row for row in self.rows if row.verdict is Verdict.DIFFERENT]
        if different:
            lines += ["", "## Different from what was expected", "", *_table(different)]
        for chapter in dict.fromkeys(row.chapter for row in self.rows):
            lines += ["", f"## {chapter}", "", *_table([row for row in self.rows if row.chapter == chapter])]
        lines += ["", "## What remains", ""]
        lines += [f"- {each}" for each in self.remains] or ["Nothing."]
        return "\n".join(lines) + "\n"


def _table(rows: Sequence[Row]) -> list[str]:
    return [
        "| what | expected | seen | |",
        "|---|---|---|---|",
        *(
            f"| {_cell(row.what)} | {_cell(row.expected)} | {_cell(row.seen)} | {row.verdict} |"
            for row in rows
        ),
    ]


def _cell(text: str) -> str:
    return " ".join(text.replace("|", "\\|").split())
