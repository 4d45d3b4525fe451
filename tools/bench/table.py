"""One table: what was measured, its median and its worst run, and the aim."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from statistics import median


@dataclass(frozen=True, slots=True, kw_only=True)
class Unit:
    """A figure's unit."""

    written: Callable[[float], str]


SECONDS = Unit(written=lambda value: f"{value:.2f} s")
MILLISECONDS = Unit(written=lambda value: f"{value * 1000:.0f} ms")
MEBIBYTES = Unit(written=lambda value: f"{value:.0f} MiB")
SPEED = Unit(written=lambda value: f"{value:,.0f} MB/s")
TIMES = Unit(written=lambda value: f"{value:.2f} ×")
COUNT = Unit(written=lambda value: f"{value:.0f}")
DOLLARS = Unit(written=lambda value: f"${value:.6f}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Aim:
    """A figure's goal; nothing fails when it is missed."""

    words: str
    met: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """One line: a measurement with all its runs. High is bad, unless it is a speed."""

    what: str
    unit: Unit
    runs: Sequence[float]
    aim: Aim | None = None

    @property
    def median(self) -> float:
        return median(self.runs)

    @property
    def worst(self) -> float:
        return min(self.runs) if self.unit is SPEED else max(self.runs)

    def below(self, bound: float, *, words: str = "") -> Figure:
        """The same figure with a limit for its median."""
        return self._held(words or f"< {self.unit.written(bound)}", met=self.median < bound)

    def always_below(self, bound: float) -> Figure:
        """The same figure with a limit for its worst run."""
        return self._held(f"worst < {self.unit.written(bound)}", met=self.worst < bound)

    def at_most(self, bound: float, *, words: str = "") -> Figure:
        """The same figure with a maximum for its median."""
        return self._held(words or f"≤ {self.unit.written(bound)}", met=self.median <= bound)

    def _held(self, words: str, *, met: bool) -> Figure:
        return replace(self, aim=Aim(words=words, met=met))


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """Figures that belong together."""

    title: str
    figures: Sequence[Figure]


def written(parts: Sequence[Part]) -> str:
    """The table."""
    rows = [("", "median", "worst", "runs", "aim", "")]
    for part in parts:
        rows += [("",) * 6, (part.title, "", "", "", "", "")]
        rows += [_row(figure) for figure in part.figures]
    widths = [max(len(row[column]) for row in rows) for column in range(6)]
    return "\n".join(
        "  ".join(
            cell.rjust(width) if 1 <= column <= 3 else cell.ljust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    )


def _row(figure: Figure) -> tuple[str, str, str, str, str, str]:
    aim, verdict = "", ""
    if figure.aim:
        aim, verdict = figure.aim.words, "met" if figure.aim.met else "MISSED"
    return (
        f"  {figure.what}",
        figure.unit.written(figure.median),
        figure.unit.written(figure.worst),
        str(len(figure.runs)),
        aim,
        verdict,
    )


def say(text: str) -> None:
    """Prints for the person who waits for the table."""
    print(text, file=sys.stderr, flush=True)
