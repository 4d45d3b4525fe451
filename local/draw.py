"""Draws both state machines from their definitions, and who may assume which role: the pictures can't say anything else.

.venv/bin/python -m local.draw            write docs/images/release.svg, rollback.svg and trust.svg
.venv/bin/python -m local.draw --check    only say whether they are current
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from html import escape
from pathlib import Path

import yaml

from local import trust
from local.layout import (
    HEIGHT,
    MARGIN,
    WIDTH,
    Body,
    Drawing,
    Place,
    arrives_at,
    folded,
    lay_out,
    leaves_at,
    leaves_below,
)

ROOT = Path(__file__).resolve().parent.parent
PICTURES = ROOT / "docs" / "images"
TITLES = {
    "release": "The release state machine, drawn from statemachine/release.asl.yaml",
    "rollback": "The rollback state machine, drawn from statemachine/rollback.asl.yaml",
    "trust": trust.TITLE,
}


def draw(machine: str) -> str:
    """The picture of a machine, or of who trusts whom, as it stands in its file."""
    if machine == "trust":
        return trust.draw((ROOT / "template.yaml").read_text("utf-8"), _STYLE)
    definition: Body = yaml.safe_load((ROOT / "statemachine" / f"{machine}.asl.yaml").read_text("utf-8"))
    return "\n".join(_svg(machine, lay_out(definition["States"], definition["StartAt"]))) + "\n"


# ---- how it looks --------------------------------------------------------------------------------------------------

_STYLE = """
  .page { fill: #ffffff; stroke: #d0d7de }
  text { font-family: -apple-system, "Segoe UI", "Noto Sans", Helvetica, Arial, sans-serif; font-size: 13px; fill: #1f2328 }
  .title { font-size: 15px; font-weight: 600 }
  .small { font-size: 10.5px; fill: #59636e }
  .word { font-size: 10px; fill: #424a53; stroke: #ffffff; stroke-width: 3px; paint-order: stroke }
  .box { fill: #eef4fb; stroke: #54749c; stroke-width: 1.2 }
  .choice { fill: #fff8e5; stroke: #9a7a1c }
  .pass { fill: #f6f8fa; stroke: #818b98 }
  .good { fill: #e3f5e6; stroke: #2c7a3d }
  .bad { fill: #fdebea; stroke: #b3372f }
  .line { fill: none; stroke: #6e7781; stroke-width: 1.2 }
  .spine { stroke: #2f5d93; stroke-width: 2 }
  .fails { stroke: #c2554d; stroke-dasharray: 5 3 }
  .tip { fill: #6e7781 }
  .tip.spine { fill: #2f5d93; stroke: none }
  .tip.fails { fill: #c2554d; stroke: none }
  @media (prefers-color-scheme: dark) {
    .page { fill: #0d1117; stroke: #30363d }
    text { fill: #e6edf3 }
    .small { fill: #9198a1 }
    .word { fill: #c9d1d9; stroke: #0d1117 }
    .box { fill: #14243a; stroke: #6ea0dc }
    .choice { fill: #2b2410; stroke: #c9a53a }
    .pass { fill: #1b2129; stroke: #6e7781 }
    .good { fill: #12301a; stroke: #4cb563 }
    .bad { fill: #381513; stroke: #e5736b }
    .line { stroke: #848d97 }
    .spine { stroke: #6ea0dc }
    .fails { stroke: #e5736b }
    .tip { fill: #848d97 }
    .tip.spine { fill: #6ea0dc }
    .tip.fails { fill: #e5736b }
  }
"""


def _svg(machine: str, drawing: Drawing) -> Iterator[str]:
    width, height = (round(number) for number in drawing.size)
    yield (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}" '
        f'role="img" aria-labelledby="title desc">'
    )
    yield f'<title id="title">{escape(TITLES[machine])}</title>'
    yield f'<desc id="desc">{escape(_in_words(drawing))}</desc>'
    yield f"<style>{_STYLE}</style>"
    yield f'<rect class="page" x="0.5" y="0.5" width="{width - 1}" height="{height - 1}" rx="8"/>'
    yield f'<text class="title" x="{MARGIN}" y="32">{escape(machine)}.asl.yaml</text>'
    yield from _lines(drawing)
    for name, place in drawing.places.items():
        yield from _state(name, drawing.states[name], place)
    yield from _words(drawing)
    yield from _legend(height)
    yield "</svg>"


def _in_words(drawing: Drawing) -> str:
    """For those who don't see the picture: every way, in a sentence."""
    told = []
    for way in drawing.ways:
        words = ", ".join(way.words)
        why = f" on {words or 'any failure'}" if way.failure else f" ({words})" * bool(words)
        told.append(f"{way.source} leads to {way.target}{why}.")
    return " ".join(told)


def _state(name: str, body: Body, place: Place) -> Iterator[str]:
    x, y = place.x, place.y - HEIGHT / 2
    kind = {"Choice": "choice", "Pass": "pass", "Succeed": "good", "Fail": "bad"}.get(body["Type"], "")
    style = f"box {kind}".strip()
    if body["Type"] == "Choice":
        cut = 11
        points = (
            (x + cut, y),
            (x + WIDTH - cut, y),
            (x + WIDTH, place.y),
            (x + WIDTH - cut, y + HEIGHT),
            (x + cut, y + HEIGHT),
            (x, place.y),
        )
        corners = " ".join(f"{_n(left)},{_n(top)}" for left, top in points)
        yield f'<polygon class="{style}" points="{corners}"/>'
    else:
        if body["Type"] == "Map":
            yield f'<rect class="{style}" x="{_n(x + 4)}" y="{_n(y + 4)}" width="{WIDTH}" height="{HEIGHT}" rx="5"/>'
        rounded = HEIGHT / 2 if body["Type"] in ("Succeed", "Fail") else 5
        yield f'<rect class="{style}" x="{_n(x)}" y="{_n(y)}" width="{WIDTH}" height="{HEIGHT}" rx="{_n(rounded)}"/>'
    middle, below = x + WIDTH / 2, details(body)
    yield (
        f'<text x="{_n(middle)}" y="{_n(place.y + (-1 if below else 4.5))}" text-anchor="middle">{escape(name)}</text>'
    )
    if below:
        yield (
            f'<text class="small" x="{_n(middle)}" y="{_n(place.y + 12)}" text-anchor="middle">{escape(below)}</text>'
        )


def details(body: Body) -> str:
    """What one would want to know of a state beside its name."""
    match body["Type"]:
        case "Task" if body["Resource"].endswith("waitForTaskToken"):
            return "waits for people"
        case "Task":
            limit = body["TimeoutSeconds"]
            return f"{limit} s a try" if isinstance(limit, int) else "within its budget"
        case "Map":
            inner = body["ItemProcessor"]["StartAt"]
            return f"{inner}, all at once"
        case "Wait":
            return str(body["SecondsPath"]).rpartition(".")[2] + " seconds"
        case "Fail" if "Error" in body:
            return str(body["Error"])
        case "Pass" if "status" in body["Parameters"]:
            return str(body["Parameters"]["status"])
        case "Pass" if "trigger" in body["Parameters"]:
            return f"trigger {body['Parameters']['trigger']}"
        case _:
            return ""


def _lines(drawing: Drawing) -> Iterator[str]:
    for way in sorted(drawing.ways, key=lambda way: way.failure, reverse=True):
        source, target = drawing.places[way.source], drawing.places[way.target]
        style = "line fails" if way.failure else "line"
        if drawing.straight(way):
            x = source.x + WIDTH / 2
            yield _path(f"{style} spine", [(x, source.y + HEIGHT / 2), (x, target.y - HEIGHT / 2)])
            yield _tip(f"{style} spine", x, target.y - HEIGHT / 2, "down")
            continue
        lane = drawing.lane(way)
        x, leaves, arrives = drawing.lanes[lane], leaves_at(drawing, way), arrives_at(drawing, lane)
        begin = source.x if drawing.side(way) == "left" else source.x + WIDTH
        end = target.x if lane[2] == "left" else target.x + WIDTH
        yield _path(style, [(begin, leaves), (x, leaves), (x, arrives), (end, arrives)])
        yield _tip(style, end, arrives, "right" if lane[2] == "left" else "left")


def _words(drawing: Drawing) -> Iterator[str]:
    """On top of the lines, where each of them begins."""
    for way in drawing.ways:
        if not way.words:
            continue
        source, words = drawing.places[way.source], folded(way.words)
        if drawing.straight(way):
            words = [" or ".join(way.words)]
            x, y, anchor = source.x + WIDTH / 2 + 6, source.y + HEIGHT / 2 + 12, "start"
        elif drawing.side(way) == "left":
            x, y, anchor = source.x - 4, leaves_at(drawing, way) + 3, "end"
        else:
            x, y, anchor = source.x + WIDTH + 4, leaves_at(drawing, way) + 3, "start"
        up = 0 if leaves_below(drawing, way) else len(words) - 1
        for row, word in enumerate(words):
            top = y - (up - row) * 10
            yield f'<text class="word" x="{_n(x)}" y="{_n(top)}" text-anchor="{anchor}">{escape(word)}</text>'


def _legend(height: float) -> Iterator[str]:
    y, x = height - 24, float(MARGIN)
    for style, words in (
        ("line spine", "the way of a good one"),
        ("line", "another answer"),
        ("line fails", "a failure: any, or those that are named"),
    ):
        yield _path(style, [(x, y), (x + 30, y)])
        yield f'<text class="small" x="{_n(x + 37)}" y="{_n(y + 4)}">{words}</text>'
        x += 37 + len(words) * 5.4 + 24


def _path(style: str, points: Sequence[tuple[float, float]]) -> str:
    """A line with round corners."""
    (x, y), *rest = [point for index, point in enumerate(points) if not index or point != points[index - 1]]
    told = [f"M{_n(x)} {_n(y)}"]
    for index, (right, down) in enumerate(rest):
        if index == len(rest) - 1:
            told.append(f"L{_n(right)} {_n(down)}")
            continue
        to_x, to_y = rest[index + 1]
        radius = min(6.0, (abs(right - x) + abs(down - y)) / 2, (abs(to_x - right) + abs(to_y - down)) / 2)
        told.append(f"L{_n(right - _sign(right - x) * radius)} {_n(down - _sign(down - y) * radius)}")
        told.append(
            f"Q{_n(right)} {_n(down)} {_n(right + _sign(to_x - right) * radius)} {_n(down + _sign(to_y - down) * radius)}"
        )
        x, y = right, down
    return f'<path class="{style}" d="{" ".join(told)}"/>'


def _tip(style: str, x: float, y: float, towards: str) -> str:
    corners = {
        "down": ((0, 0), (-4, -7), (4, -7)),
        "right": ((0, 0), (-7, -4), (-7, 4)),
        "left": ((0, 0), (7, -4), (7, 4)),
    }[towards]
    points = " ".join(f"{_n(x + dx)},{_n(y + dy)}" for dx, dy in corners)
    return f'<polygon class="{style.replace("line", "tip")}" points="{points}"/>'


def _sign(number: float) -> int:
    return (number > 0) - (number < 0)


def _n(number: float) -> str:
    return f"{number:.1f}".removesuffix(".0")


def main(arguments: Sequence[str] | None = None) -> int:
    """Writes the pictures, or says which is not current."""
    parser = argparse.ArgumentParser(prog="python -m local.draw", description="Draw the pictures.")
    parser.add_argument(
        "--check", action="store_true", help="write nothing; fail when a picture is not current"
    )
    check = parser.parse_args(arguments).check
    stale = 0
    for machine in TITLES:
        file, picture = PICTURES / f"{machine}.svg", draw(machine)
        current = file.is_file() and file.read_text("utf-8") == picture
        if not current and check:
            print(
                f"{file.relative_to(ROOT)} is not current. Draw it anew: .venv/bin/python -m local.draw",
                file=sys.stderr,
            )
            stale = 1
        elif not current:
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(picture, "utf-8")
            print(f"{file.relative_to(ROOT)} was drawn")
    return stale


if __name__ == "__main__":
    sys.exit(main())
