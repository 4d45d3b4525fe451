"""How a release's facts and its outcome are printed, in `history` and in `watch`."""

from __future__ import annotations

from datetime import datetime

from tagship.model.records import FactRecord, ReleaseRecord
from tagship.story import narrator as story
from tagship.story.narrator import Mood
from tagship.text.words import console
from tagship_cli.place import Place
from tagship_cli.views import screen, times

_MARKS = {Mood.PLAIN: "·", Mood.GOOD: "✓", Mood.WARY: "!", Mood.BAD: "✗"}
_PAINT = {Mood.GOOD: screen.good, Mood.BAD: screen.bad, Mood.WARY: screen.wary}
_INDENT = 13


def headline(record: ReleaseRecord, place: Place) -> list[str]:
    """The release and its author."""
    manifest = record["manifest"]
    made = f", {manifest['repository']} {manifest['commit'][:7]} by {manifest['author']}" if manifest else ""
    again = f" (attempt {record['attempt']})" if record["attempt"] > 1 else ""
    title = f"{record['application']} {record['tag']}"
    return [f"{screen.bold(title)}{again} in {place.stage}{screen.clean(made)}"]


def fact_lines(fact: FactRecord, *, before: datetime) -> list[str]:
    """A fact's time and text, with the day if it differs from the previous fact's."""
    event, at = story.describe(fact, clock=times.clock), times.moment(fact["at"])
    paint = _PAINT.get(event.mood, screen.clean)
    lines = [screen.dim(times.day(at))] if times.day(at) != times.day(before) else []
    first, *rest = screen.paragraph(event.text, indent=_INDENT)
    margin = " " * _INDENT
    lines.append(f"{screen.dim(times.clock(at))}  {paint(_MARKS[event.mood])}  {paint(first[_INDENT:])}")
    lines += [margin + paint(line[_INDENT:]) for line in rest]
    for more in event.more:
        lines += [screen.dim(line) for line in screen.paragraph(more, indent=_INDENT)]
    return lines


def verdict(record: ReleaseRecord, took: str) -> list[str]:
    """How it ended, why, and what to do next."""
    status = str(record["status"])
    paint = _PAINT.get(story.mood_of(status), screen.bold)
    title = f"{record['application']} {record['tag']}"
    lines = [f"{paint(f'{title} {status}')} after {took}"]
    if record.get("why"):
        because = "" if status == "SUCCEEDED" else "Why: "
        lines += screen.paragraph(f"{because}{record['why']}", indent=2)
    for sentence in story.ending(record):
        lines += screen.paragraph(sentence, indent=2)
    if status not in ("SUCCEEDED", "SUPERSEDED"):
        lines += screen.paragraph(f"Execution: {console(record['execution'])}", indent=2)
    return lines
