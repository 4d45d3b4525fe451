"""Lays out a state machine for drawing: a position for every state and for every line between states.

The left column is the path of a successful release: the longest path to a Succeed state without a failure. Any other
state is as many columns to the right as the number of states on the way to it. All lines into a state join in one lane
before they reach it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

WIDTH, HEIGHT = 150, 40
ROW = 57
NARROWEST = 590
"""Leaves room for the legend."""
MARGIN = 20
HEAD = 62
LANE = 10
TIP = 16
LETTER = 5.4
"""The most width that a character of a line's label takes."""

_COMPARES = {
    "LessThanEquals": "≤",
    "GreaterThanEquals": "≥",
    "LessThan": "<",
    "GreaterThan": ">",
    "Equals": "=",
}
_COMPARISON = re.compile(rf"(String|Numeric|Timestamp|Boolean)({'|'.join(_COMPARES)})(Path)?")

Body = Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Way:
    """A transition from one state to another."""

    source: str
    target: str
    words: tuple[str, ...] = ()
    failure: bool = False


@dataclass(slots=True, kw_only=True)
class Place:
    """A state's position: its column, and its middle."""

    column: int
    y: float
    x: float = 0.0


Lane = tuple[int, str, str]
"""The gap between columns (0 is left of everything), the state that it leads to, and the side on which it arrives."""


@dataclass(slots=True)
class Drawing:
    """A laid-out state machine."""

    states: Mapping[str, Body]
    ways: list[Way]
    spine: list[str]
    places: dict[str, Place] = field(default_factory=dict)
    lanes: dict[Lane, float] = field(default_factory=dict)
    size: tuple[float, float] = (0.0, 0.0)

    def straight(self, way: Way) -> bool:
        """Whether the transition goes down the left column to the next state."""
        spine = self.spine
        return {way.source, way.target} <= set(spine) and spine.index(way.target) == spine.index(
            way.source
        ) + 1

    def lane(self, way: Way) -> Lane:
        """The lane of a transition. All transitions that reach a state from the same side share one."""
        source, target = self.places[way.source].column, self.places[way.target].column
        return (target + 1, way.target, "right") if target < source else (target, way.target, "left")

    def side(self, way: Way) -> str:
        """The side of its state on which a transition starts."""
        return "left" if self.lane(way)[0] == self.places[way.source].column else "right"

    @property
    def bent(self) -> list[Way]:
        """The transitions that use a lane."""
        return [way for way in self.ways if not self.straight(way)]


# ---- transitions ---------------------------------------------------------------------------------------------------


def ways_from(name: str, body: Body) -> Iterator[Way]:
    """Every transition out of a state, once for each state that it leads to, failures last."""
    found: dict[str, list[str]] = {}
    if "Next" in body:
        found[body["Next"]] = []
    for choice in body.get("Choices", ()):
        found.setdefault(choice["Next"], []).append(condition(choice))
    if "Default" in body:
        found.setdefault(body["Default"], []).append("otherwise")
    for target, words in found.items():
        yield Way(source=name, target=target, words=tuple(words))
    for catch in body.get("Catch", ()):
        errors = tuple(error.removeprefix("States.") for error in catch["ErrorEquals"])
        yield Way(source=name, target=catch["Next"], words=() if errors == ("ALL",) else errors, failure=True)


def condition(rule: Body) -> str:
    """The condition of a Choice rule, as short as possible."""
    if "Not" in rule:
        return f"not {condition(rule['Not'])}"
    for word in ("And", "Or"):
        if word in rule:
            return f" {word.lower()} ".join(map(condition, rule[word]))
    name = str(rule["Variable"]).rpartition(".")[2]
    key, value = next(
        (key, value) for key, value in rule.items() if key not in ("Variable", "Next", "Comment")
    )
    compares = _COMPARISON.fullmatch(key)
    if compares is None:
        return f"{name} {key} {value}"
    kind, comparison, path = compares.groups()
    if kind == "Boolean":
        return name if value is True else f"not {name}"
    if kind == "String" and comparison == "Equals" and not path:
        return str(value)
    return f"{name} {_COMPARES[comparison]} {str(value).rpartition('.')[2] if path else value}"


def _spine(states: Mapping[str, Body], start: str) -> list[str]:
    """The longest path to a Succeed state without a failure and without repeating a state."""
    best: list[str] = []

    def walk(path: list[str]) -> None:
        nonlocal best
        if states[path[-1]]["Type"] == "Succeed" and len(path) > len(best):
            best = list(path)
        for way in reversed([way for way in ways_from(path[-1], states[path[-1]]) if not way.failure]):
            if way.target not in path:
                walk([*path, way.target])

    walk([start])
    return best


# ---- positions -----------------------------------------------------------------------------------------------------


def _place(drawing: Drawing) -> None:
    for row, name in enumerate(drawing.spine):
        drawing.places[name] = Place(column=0, y=HEAD + HEIGHT / 2 + row * ROW)
    column = 0
    while len(drawing.places) < len(drawing.states):
        reached = [
            name
            for name in drawing.states
            if name not in drawing.places
            and any(
                way.target == name
                and way.source in drawing.places
                and drawing.places[way.source].column == column
                for way in drawing.ways
            )
        ]
        column += 1
        _stack(drawing, reached, column)


def _stack(drawing: Drawing, names: Sequence[str], column: int) -> None:
    """Centers each state under the states that lead to it, without overlaps."""

    def preferred_row(name: str) -> float:
        sources = [
            drawing.places[way.source].y
            for way in drawing.ways
            if way.target == name and way.source in drawing.places
        ]
        return sum(sources) / len(sources)

    order = sorted(names, key=lambda name: (preferred_row(name), list(drawing.states).index(name)))
    rows = [preferred_row(name) for name in order]
    for index in range(1, len(rows)):  # push overlapping states down …
        rows[index] = max(rows[index], rows[index - 1] + ROW * 0.8)
    bottom = HEAD + HEIGHT / 2 + (len(drawing.spine) - 1) * ROW
    for index in reversed(range(len(rows))):  # … and push states that left the picture up again
        rows[index] = min(rows[index], bottom - (len(rows) - 1 - index) * ROW * 0.8)
    for name, row in zip(order, rows, strict=True):
        drawing.places[name] = Place(column=column, y=round(row, 1))


def _lay_lanes(drawing: Drawing) -> None:
    """From left to right: labels of lines to the right, the lanes, labels of lines to the left, the column."""
    ways = drawing.bent
    x = float(MARGIN)
    for column in range(1 + max(place.column for place in drawing.places.values())):
        here = [way for way in ways if drawing.lane(way)[0] == column]
        x += _room([way for way in here if drawing.side(way) == "right"])
        tracks = _tracks(drawing, here)
        for lane, track in tracks.items():
            drawing.lanes[lane] = x + track * LANE
        x += (1 + max(tracks.values(), default=-1)) * LANE
        x += max(TIP, _room([way for way in here if drawing.side(way) == "left"]))
        for place in drawing.places.values():
            if place.column == column:
                place.x = x
        x += WIDTH
    bottom = max(place.y for place in drawing.places.values()) + HEIGHT / 2
    drawing.size = (max(x + MARGIN, NARROWEST), bottom + 58)


def _room(ways: Sequence[Way]) -> float:
    letters = max((len(word) for way in ways for word in folded(way.words)), default=0)
    return letters * LETTER + 14 if ways else 0


def _tracks(drawing: Drawing, ways: Sequence[Way]) -> dict[Lane, int]:
    """Lanes share a track unless they would overlap; the short ones are on the right."""
    spans: dict[Lane, tuple[float, float]] = {}
    for way in ways:
        lane = drawing.lane(way)
        ends = [leaves_at(drawing, way), arrives_at(drawing, lane), *spans.get(lane, ())]
        spans[lane] = (min(ends), max(ends))
    taken: list[list[tuple[float, float]]] = []
    tracks: dict[Lane, int] = {}
    for lane, (top, bottom) in sorted(spans.items(), key=lambda it: (it[1][1] - it[1][0], it[0])):
        free = (
            index
            for index, others in enumerate(taken)
            if all(bottom + 8 < above or top - 8 > below for above, below in others)
        )
        track = next(free, len(taken))
        if track == len(taken):
            taken.append([])
        taken[track].append((top, bottom))
        tracks[lane] = track
    return {lane: len(taken) - 1 - track for lane, track in tracks.items()}


def leaves_at(drawing: Drawing, way: Way) -> float:
    return _docks(drawing, way.source, drawing.side(way))[way]


def leaves_below(drawing: Drawing, way: Way) -> bool:
    """Whether a line starts below the middle of its state, so that its label fits below it."""
    return not drawing.straight(way) and leaves_at(drawing, way) > drawing.places[way.source].y


def arrives_at(drawing: Drawing, lane: Lane) -> float:
    return _docks(drawing, lane[1], lane[2])[lane]


def _docks(drawing: Drawing, name: str, side: str) -> dict[Way | Lane, float]:
    """Where lines start and end on one side of a state, ordered by where they come from and lead to."""
    pulls: dict[Way | Lane, float] = {}
    for way in drawing.bent:
        if way.source == name and drawing.side(way) == side:
            pulls[way] = drawing.places[way.target].y
    arriving = [way for way in drawing.bent if way.target == name and drawing.lane(way)[2] == side]
    if arriving:
        pulls[drawing.lane(arriving[0])] = sum(drawing.places[way.source].y for way in arriving) / len(
            arriving
        )
    order = sorted(pulls, key=lambda each: pulls[each])
    step = min(12.0, (HEIGHT - 4) / len(order))
    middle = drawing.places[name].y
    return {each: middle + (index - (len(order) - 1) / 2) * step for index, each in enumerate(order)}


def lay_out(states: Mapping[str, Body], start: str) -> Drawing:
    """Lays out the whole machine."""
    ways = [way for name, body in states.items() for way in ways_from(name, body)]
    drawing = Drawing(states=states, ways=ways, spine=_spine(states, start))
    _place(drawing)
    _lay_lanes(drawing)
    return drawing


def folded(words: Sequence[str]) -> list[str]:
    """Joins several names, one on each line."""
    return [word + ("," if index < len(words) - 1 else "") for index, word in enumerate(words)]
