"""Draws the dashboard from its body in the template, over made-up data: the documents show what there is.

.venv/bin/python -m tools.dashboard            write docs/images/dashboard.svg
.venv/bin/python -m tools.dashboard --check    only say whether it is current
"""

from __future__ import annotations

import argparse
import ast
import json
import math
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

from tools.draw import PICTURES, ROOT
from tools.reference import template

FILE = PICTURES / "dashboard.svg"
COLUMN, ROW, GAP = 50, 40, 8
POINTS = 28
"""Values in each series: four weeks, a day each."""
COLOURS = ("#1f77b4", "#ff7f0e", "#2ca02c", "#d62728", "#9467bd", "#7f7f7f")
TRIGGERS = ("health", "alarm", "operator")

_STYLE = """
  .page { fill: #f2f3f3 } .card { fill: #ffffff; stroke: #d5dbdb }
  text { font: 11px "Segoe UI", "Noto Sans", Helvetica, Arial, sans-serif; fill: #16191f }
  .head { font-size: 14px; font-weight: 600 } .title { font-size: 12px; font-weight: 600 } .quiet { fill: #545b64 }
  .grid { stroke: #eaeded } .limit { stroke: #d62728; stroke-dasharray: 4 3 }
  @media (prefers-color-scheme: dark) {
    .page { fill: #0f1b2a } .card { fill: #192534; stroke: #414d5c }
    text { fill: #d1d5db } .quiet { fill: #95a0ad } .grid { stroke: #2a3747 }
  }
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One visible series."""

    label: str
    colour: str
    values: Sequence[float]


def draw() -> str:
    """The picture, with the parameters' defaults."""
    widgets = _body()["widgets"]
    width = 24 * COLUMN + GAP
    height = max(widget["y"] + widget["height"] for widget in widgets) * ROW + GAP
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}">',
        "<title>The dashboard over made-up data</title>",
        f"<style>{_STYLE}</style>",
        f'<rect class="page" width="{width}" height="{height}"/>',
        *(part for widget in widgets for part in _widget(widget)),
        "</svg>",
    ]
    return "\n".join(parts) + "\n"


def _body() -> Any:
    parts = template()
    values = {name: str(about["Default"]) for name, about in parts["Parameters"].items()}
    values |= {"AWS::StackName": "tagship-production", "AWS::Region": "eu-central-1", "Stage": "production"}
    text = parts["Resources"]["Dashboard"]["Properties"]["DashboardBody"]
    filled = re.sub(r"\$\{(?!!)([\w:.]+)\}", lambda match: values.get(match[1], match[1]), text)
    return json.loads(filled.replace("${!", "${"))


# ---- made-up data --------------------------------------------------------------------------------------------------

_LIKE = {
    "DeploymentSucceeded": (9, 4),
    "DeploymentFailed": (0.6, 0.7),
    "GatePassed": (90, 30),
    "GateFailed": (7, 5),
    "HealthCheckPassed": (60, 20),
    "HealthCheckFailed": (1.6, 1.5),
    "RollbackTriggered": (0.7, 0.8),
    "ApprovalGranted": (9, 4),
    "ApprovalRejected": (0.7, 0.6),
    "ApprovalExpired": (0.3, 0.5),
    "ApprovalError": (0.1, 0.3),
    "ValidationDuration": (28, 12),
    "DeploymentDuration": (470, 110),
    "HealthDuration": (14, 9),
    "RollbackDuration": (95, 60),
    "LeadTime": (5400, 2600),
    "ApprovalLatency": (1900, 900),
    "ApproximateAgeOfOldestMessage": (3, 3),
}
"""About how much a day, and how far from that: what a stage with some ten deployments a day looks like."""
_STATISTICS = {"p50": 0.8, "p90": 1.5, "Maximum": 1.7, "Sum": 1.0}


def _series(name: str, statistic: str, seed: str) -> list[float]:
    middle, far = _LIKE.get(name, (0.0, 0.0))
    shift = sum(map(ord, seed)) % 17
    counted = statistic == "Sum"
    values = []
    for day in range(POINTS):
        swing = math.sin(day * 1.7 + shift) + 0.6 * math.sin(day * 0.9 + 2 * shift)
        value = max(0.0, (middle + far * swing) * _STATISTICS[statistic])
        values.append(float(round(value)) if counted else value)
    return values


def _computed(expression: str, series: Mapping[str, Sequence[float]]) -> list[float]:
    tree = ast.parse(expression, mode="eval").body
    return [_value(tree, {name: values[day] for name, values in series.items()}) for day in range(POINTS)]


def _value(node: ast.expr, names: Mapping[str, float]) -> float:
    if isinstance(node, ast.Constant) and isinstance(node.value, int | float):
        return float(node.value)
    if isinstance(node, ast.Name):
        return names[node.id]
    if isinstance(node, ast.BinOp):
        left, right = _value(node.left, names), _value(node.right, names)
        if isinstance(node.op, ast.Add):
            return left + right
        if isinstance(node.op, ast.Mult):
            return left * right
        if isinstance(node.op, ast.Div):
            return left / right if right else 0.0
    raise SystemExit(f"tools/dashboard.py does not know {ast.unparse(node)}.")


def _lines(properties: Mapping[str, Any]) -> list[Line]:
    shown: list[tuple[str, str, Sequence[float]]] = []
    known: dict[str, Sequence[float]] = {}
    expressions = []
    for metric in properties["metrics"]:
        *names, options = metric
        if "expression" in options:
            expressions.append(options)
            continue
        values = _series(names[1], options["stat"], names[1])
        known[options.get("id", names[1])] = values
        if options.get("visible", True):
            shown.append((options["label"], options.get("color", ""), values))
    for options in expressions:
        if options["expression"].startswith("SEARCH"):
            shown += [(each, "", _series("RollbackTriggered", "Sum", each)) for each in TRIGGERS]
        else:
            shown.append(
                (options["label"], options.get("color", ""), _computed(options["expression"], known))
            )
    return [
        Line(label=label, colour=colour or COLOURS[number % len(COLOURS)], values=values)
        for number, (label, colour, values) in enumerate(shown)
    ]


# ---- how it looks --------------------------------------------------------------------------------------------------


def _widget(widget: Mapping[str, Any]) -> Iterator[str]:
    x, y = widget["x"] * COLUMN + GAP, widget["y"] * ROW + GAP
    width, height = widget["width"] * COLUMN - GAP, widget["height"] * ROW - GAP
    properties = widget["properties"]
    if widget["type"] == "text":
        yield f'<text class="head" x="{x}" y="{y + 20}">{escape(properties["markdown"].lstrip("# "))}</text>'
        return
    yield f'<rect class="card" x="{x}" y="{y}" width="{width}" height="{height}" rx="4"/>'
    yield f'<text class="title" x="{x + 10}" y="{y + 18}">{escape(properties["title"])}</text>'
    if widget["type"] == "alarm":
        yield from _alarms(properties["alarms"], x, y)
    else:
        yield from _graph(properties, x + 44, y + 30, width - 56, height - 66)


def _alarms(names: Sequence[str], x: float, y: float) -> Iterator[str]:
    for number, name in enumerate(names):
        left, top = x + 12 + number % 3 * 195, y + 40 + number // 3 * 24
        yield f'<rect x="{left}" y="{top - 9}" width="10" height="10" rx="2" fill="#2ca02c"/>'
        yield f'<text x="{left + 16}" y="{top}">{escape(name.removesuffix("Alarm.Arn"))}</text>'


def _graph(properties: Mapping[str, Any], x: float, y: float, width: float, height: float) -> Iterator[str]:
    lines = _lines(properties)
    limits = properties.get("annotations", {}).get("horizontal", [])
    stacked = properties["stacked"]
    heights = [
        sum(day) if stacked else max(day) for day in zip(*(line.values for line in lines), strict=True)
    ]
    top = _round_up(max([*heights, *(limit["value"] for limit in limits), 1]) * 1.05)

    def at(day: int, value: float) -> str:
        return f"{x + day * width / (POINTS - 1):.1f} {y + height - value / top * height:.1f}"

    for share in (0, 0.5, 1):
        mark = y + height - share * height
        yield f'<path class="grid" d="M{x} {mark:.1f}h{width}"/>'
        yield f'<text class="quiet" x="{x - 5}" y="{mark + 4:.1f}" text-anchor="end">{_told(share * top)}</text>'
    below = [0.0] * POINTS
    for line in lines:
        if stacked:
            above = [low + value for low, value in zip(below, line.values, strict=True)]
            edge = [at(day, value) for day, value in enumerate(above)]
            back = [at(day, below[day]) for day in reversed(range(POINTS))]
            yield f'<path fill="{line.colour}" fill-opacity=".75" d="M{"L".join([*edge, *back])}Z"/>'
            below = above
        else:
            way = "L".join(at(day, value) for day, value in enumerate(line.values))
            yield f'<path fill="none" stroke="{line.colour}" stroke-width="1.6" d="M{way}"/>'
    for limit in limits:
        mark = y + height - limit["value"] / top * height
        told = escape(f"{limit['label']} {limit['value']}")
        yield f'<path class="limit" d="M{x} {mark:.1f}h{width}"/>'
        yield f'<text class="quiet" x="{x + width}" y="{mark - 4:.1f}" text-anchor="end">{told}</text>'
    left = x - 34
    for line in lines:
        yield f'<rect x="{left:.0f}" y="{y + height + 16}" width="9" height="9" rx="2" fill="{line.colour}"/>'
        yield f'<text class="quiet" x="{left + 13:.0f}" y="{y + height + 24}">{escape(line.label)}</text>'
        left += 26 + len(line.label) * 5.6


def _told(value: float) -> str:
    return f"{value:,.0f}" if value >= 10 else f"{value:.1f}".removesuffix(".0")


def _round_up(value: float) -> float:
    power = 10.0 ** math.floor(math.log10(value))
    return next(factor * power for factor in (1, 2, 5, 10) if factor * power >= value)


def main(arguments: Sequence[str] | None = None) -> int:
    """Writes the picture, or says that it is not current."""
    parser = argparse.ArgumentParser(prog="python -m tools.dashboard", description="Draw the dashboard.")
    parser.add_argument(
        "--check", action="store_true", help="write nothing; fail when the picture is not current"
    )
    check, picture = parser.parse_args(arguments).check, draw()
    if FILE.is_file() and FILE.read_text("utf-8") == picture:
        return 0
    if check:
        print(
            f"{FILE.relative_to(ROOT)} is not current: .venv/bin/python -m tools.dashboard", file=sys.stderr
        )
        return 1
    FILE.write_text(picture, "utf-8")
    print(f"{FILE.relative_to(ROOT)} was drawn")
    return 0


if __name__ == "__main__":
    sys.exit(main())
