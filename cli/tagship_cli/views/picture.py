"""A state machine drawn as SVG: its states, the transitions, and the path of an execution."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from html import escape
from itertools import pairwise

from tagship_cli.views.layout import (
    HEIGHT,
    WIDTH,
    Body,
    Drawing,
    Place,
    Way,
    arrives_at,
    folded,
    leaves_at,
    leaves_below,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Path:
    """The path of an execution; everything else is drawn pale."""

    states: frozenset[str] = frozenset()
    ways: frozenset[tuple[str, str]] = frozenset()

    @classmethod
    def of(cls, entered: Sequence[str]) -> Path:
        """From the states in the order in which they were entered. States inside a Map are left out."""
        return cls(states=frozenset(entered), ways=frozenset(pairwise(entered)))


NOWHERE = Path()


def picture(drawing: Drawing, path: Path = NOWHERE) -> Iterator[str]:
    """Everything inside the `<svg>`, coloured by the surrounding style sheet. The class `went` marks the path."""
    yield from _lines(drawing, path)
    for name, place in drawing.places.items():
        yield from _state(name, drawing.states[name], place, path)
    yield from _words(drawing)


def in_words(drawing: Drawing) -> str:
    """A text alternative: one sentence for each transition."""
    sentences = []
    for way in drawing.ways:
        words = ", ".join(way.words)
        why = f" on {words or 'any failure'}" if way.failure else f" ({words})" * bool(words)
        sentences.append(f"{way.source} leads to {way.target}{why}.")
    return " ".join(sentences)


def _state(name: str, body: Body, place: Place, path: Path) -> Iterator[str]:
    x, y = place.x, place.y - HEIGHT / 2
    kind = {"Choice": "choice", "Pass": "pass", "Succeed": "good", "Fail": "bad"}.get(body["Type"], "")
    style = " ".join(filter(None, ("box", kind, "went" if name in path.states else "")))
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
    """What to show about a state besides its name."""
    match body["Type"]:
        case "Task" if body["Resource"].endswith("waitForTaskToken"):
            return "waits for approval"
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
        case "Pass" if "status" in body.get("Parameters", {}):
            return str(body["Parameters"]["status"])
        case "Pass" if "trigger" in body.get("Parameters", {}):
            return f"trigger {body['Parameters']['trigger']}"
        case _:
            return ""


def _lines(drawing: Drawing, path: Path) -> Iterator[str]:
    def order(way: Way) -> tuple[bool, bool]:
        return (way.source, way.target) in path.ways, not way.failure

    for way in sorted(drawing.ways, key=order):
        source, target = drawing.places[way.source], drawing.places[way.target]
        style = "line fails" if way.failure else "line"
        if (way.source, way.target) in path.ways:
            style += " went"
        if drawing.straight(way):
            x = source.x + WIDTH / 2
            yield line(f"{style} spine", [(x, source.y + HEIGHT / 2), (x, target.y - HEIGHT / 2)])
            yield _tip(f"{style} spine", x, target.y - HEIGHT / 2, "down")
            continue
        lane = drawing.lane(way)
        x, leaves, arrives = drawing.lanes[lane], leaves_at(drawing, way), arrives_at(drawing, lane)
        begin = source.x if drawing.side(way) == "left" else source.x + WIDTH
        end = target.x if lane[2] == "left" else target.x + WIDTH
        yield line(style, [(begin, leaves), (x, leaves), (x, arrives), (end, arrives)])
        yield _tip(style, end, arrives, "right" if lane[2] == "left" else "left")


def _words(drawing: Drawing) -> Iterator[str]:
    """Drawn over the lines, where each of them starts."""
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


def line(style: str, points: Sequence[tuple[float, float]]) -> str:
    """A line with rounded corners."""
    (x, y), *rest = [point for index, point in enumerate(points) if not index or point != points[index - 1]]
    commands = [f"M{_n(x)} {_n(y)}"]
    for index, (right, down) in enumerate(rest):
        if index == len(rest) - 1:
            commands.append(f"L{_n(right)} {_n(down)}")
            continue
        to_x, to_y = rest[index + 1]
        radius = min(6.0, (abs(right - x) + abs(down - y)) / 2, (abs(to_x - right) + abs(to_y - down)) / 2)
        commands.append(f"L{_n(right - _sign(right - x) * radius)} {_n(down - _sign(down - y) * radius)}")
        commands.append(
            f"Q{_n(right)} {_n(down)} {_n(right + _sign(to_x - right) * radius)} {_n(down + _sign(to_y - down) * radius)}"
        )
        x, y = right, down
    return f'<path class="{style}" d="{" ".join(commands)}"/>'


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
