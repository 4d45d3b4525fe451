"""Charts as inline SVG: plain text, all words escaped, coloured by the page's style sheet."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from html import escape

WIDTH, HEIGHT = 420, 180
_LEFT, _RIGHT, _TOP, _BOTTOM = 36, 6, 12, 26
_LINES = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Series:
    """Values, one for each label; None where there is no value."""

    name: str
    style: str
    """A class of the style sheet: `good`, `bad`, `plain`."""
    values: Sequence[float | None]


def bars(title: str, labels: Sequence[str], series: Sequence[Series], *, unit: str = "") -> str:
    """Draws stacked bars, one stack for each label."""
    totals = [sum(each.values[index] or 0 for each in series) for index in range(len(labels))]
    scale = _Scale.up_to(max(totals, default=0), whole=True)
    step = _step(labels)
    drawn = []
    for index in range(len(labels)):
        bottom = 0.0
        for each in series:
            value = each.values[index] or 0
            if not value:
                continue
            top = scale.y(bottom + value)
            x, width = _LEFT + index * step + step * 0.15, step * 0.7
            words = f"{labels[index]}: {each.name} {scale.format(value)}{unit}"
            drawn.append(
                f'<rect class="{each.style}" x="{x:.1f}" y="{top:.1f}" width="{width:.1f}" '
                f'height="{scale.y(bottom) - top:.1f}"><title>{escape(words)}</title></rect>'
            )
            bottom += value
    return _chart(title, labels, series, scale, drawn, unit)


def dots(
    title: str, labels: Sequence[str], series: Sequence[Series], *, unit: str = "", limit: float | None = None
) -> str:
    """Draws a line through the known values, a dot for each, and a limit to compare them with."""
    known = [value for each in series for value in each.values if value is not None]
    scale = _Scale.up_to(max([*known, limit or 0], default=0), whole=False)
    step = _step(labels)
    drawn = []
    if limit is not None:
        drawn.append(f'<path class="limit" d="M{_LEFT} {scale.y(limit):.1f}H{WIDTH - _RIGHT}"/>')
    for each in series:
        points = [
            (_LEFT + (index + 0.5) * step, scale.y(value), labels[index], value)
            for index, value in enumerate(each.values)
            if value is not None
        ]
        if len(points) > 1:
            way = "L".join(f"{x:.1f} {y:.1f}" for x, y, _, _ in points)
            drawn.append(f'<path class="line {each.style}" d="M{way}"/>')
        drawn += [
            f'<circle class="{each.style}" cx="{x:.1f}" cy="{y:.1f}" r="3.5">'
            f"<title>{escape(f'{label}: {each.name} {scale.format(value)}{unit}')}</title></circle>"
            for x, y, label, value in points
        ]
    return _chart(title, labels, series, scale, drawn, unit)


def share(title: str, points: Sequence[tuple[float, int]], ends: Sequence[str]) -> str:
    """Draws percentages over time (seconds from the start), each until the next. `ends` are the labels below both ends."""
    scale = _Scale(top=100.0, step=25.0)
    longest = max(points[-1][0], 1.0)
    wide = WIDTH - _LEFT - _RIGHT

    def x(second: float) -> float:
        return _LEFT + second / longest * wide

    way = f"M{x(points[0][0]):.1f} {scale.y(points[0][1]):.1f}"
    way += "".join(f"H{x(second):.1f}V{scale.y(percent):.1f}" for second, percent in points[1:])
    alt = ", ".join(f"{percent} % after {second:.0f} s" for second, percent in points[1:-1])
    return "\n".join(
        [
            f'<svg class="chart" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{escape(f"{title}: {alt}")}">',
            *(_grid(value, scale) for value in scale.lines()),
            f'<path class="line plain" d="{way}"/>',
            f'<text class="axis" x="{_LEFT}" y="{HEIGHT - 8}">{escape(ends[0])}</text>',
            f'<text class="axis" x="{WIDTH - _RIGHT}" y="{HEIGHT - 8}" text-anchor="end">{escape(ends[1])}</text>',
            "</svg>",
        ]
    )


def lengths(title: str, rows: Sequence[tuple[str, float, str]]) -> str:
    """Draws a bar for each name, with a length proportional to its seconds. The shortest stays visible."""
    row, name, rest = 26, 130, 90
    longest = max((seconds for _, seconds, _ in rows), default=0) or 1
    height = row * len(rows) + 4
    alt = ", ".join(f"{each} {words}" for each, _, words in rows)
    parts = [
        f'<svg class="chart" viewBox="0 0 {WIDTH} {height}" role="img" aria-label="{escape(f"{title}: {alt}")}">'
    ]
    for number, (each, seconds, words) in enumerate(rows):
        y, width = number * row, max(2.0, seconds / longest * (WIDTH - name - rest))
        parts.append(f'<text x="0" y="{y + 17}">{escape(each)}</text>')
        parts.append(f'<rect class="plain" x="{name}" y="{y + 6}" width="{width:.1f}" height="14" rx="3"/>')
        parts.append(f'<text x="{name + width + 6:.1f}" y="{y + 17}">{escape(words)}</text>')
    return "\n".join([*parts, "</svg>"])


@dataclass(frozen=True, slots=True, kw_only=True)
class _Scale:
    top: float
    step: float

    @classmethod
    def up_to(cls, most: float, *, whole: bool) -> _Scale:
        """A scale with round numbers at its lines: 1, 2 or 5 times a power of ten."""
        ideal = most / _LINES if most > 0 else 1 / _LINES
        power = 10.0 ** math.floor(math.log10(ideal))
        step = next(factor * power for factor in (1, 2, 5, 10) if factor * power >= ideal * 0.999)
        step = max(1.0, step) if whole else step
        return cls(top=step * max(1, math.ceil(most / step - 1e-9)), step=step)

    def y(self, value: float) -> float:
        return HEIGHT - _BOTTOM - value / self.top * (HEIGHT - _TOP - _BOTTOM)

    def lines(self) -> Iterator[float]:
        for number in range(round(self.top / self.step) + 1):
            yield number * self.step

    def format(self, value: float, *, exact: int = 1) -> str:
        """Formats a value with one digit more than the lines have, so that a value between two lines reads as neither."""
        text = f"{value:.{self._digits + exact}f}"
        return (text.rstrip("0").rstrip(".") if "." in text else text) or "0"

    def line(self, value: float) -> str:
        """Formats a line's label with as many digits as its step has, so that no two lines read the same."""
        return self.format(value, exact=0)

    @property
    def _digits(self) -> int:
        return max(0, -math.floor(math.log10(self.step)))


def _step(labels: Sequence[str]) -> float:
    return (WIDTH - _LEFT - _RIGHT) / max(1, len(labels))


def _chart(
    title: str,
    labels: Sequence[str],
    series: Sequence[Series],
    scale: _Scale,
    drawn: Sequence[str],
    unit: str,
) -> str:
    alt = "; ".join(_in_words(each, labels, scale, unit) for each in series)
    parts = [
        f'<svg class="chart" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{escape(f"{title}. {alt}")}">',
        *(_grid(value, scale) for value in scale.lines()),
        *drawn,
        *_labels(labels),
        "</svg>",
    ]
    return "\n".join(parts)


def _grid(value: float, scale: _Scale) -> str:
    y = scale.y(value)
    return (
        f'<path class="grid" d="M{_LEFT} {y:.1f}H{WIDTH - _RIGHT}"/>'
        f'<text class="axis" x="{_LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">{scale.line(value)}</text>'
    )


def _labels(labels: Sequence[str]) -> Iterator[str]:
    """As many labels as fit."""
    every = max(1, math.ceil(len(labels) / 6))
    for index in range(0, len(labels), every):
        x = _LEFT + (index + 0.5) * _step(labels)
        yield f'<text class="axis" x="{x:.1f}" y="{HEIGHT - 8}" text-anchor="middle">{escape(labels[index])}</text>'


def _in_words(series: Series, labels: Sequence[str], scale: _Scale, unit: str) -> str:
    """A text alternative for screen readers."""
    known = [(label, value) for label, value in zip(labels, series.values, strict=True) if value]
    if not known:
        return f"{series.name}: none"
    return f"{series.name}: " + ", ".join(f"{label} {scale.format(value)}{unit}" for label, value in known)
