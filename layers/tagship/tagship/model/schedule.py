"""When an application may be deployed: its weekly windows, and freezes. Pure functions that accept everything `window`
accepts.

A window is open whenever the local time of its zone is in it. This also covers daylight saving time: an hour that is
skipped is not open, and an hour that is repeated is open twice. A window may end on the day after it opens.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError, available_timezones

from tagship.model.fields import WINDOW, WINDOW_WORDS
from tagship.model.recurrence import Recurrence

if TYPE_CHECKING:  # who only asks for freezes needs no whole configuration
    from tagship.model.application import Gates

EVERY_APPLICATION = "*"
"""The name that stands for all applications; no application can have it."""
LONGEST_WAIT = timedelta(days=7)
"""The longest wait of an approved release, because its approvers had today's production in mind."""
LOOK_AGAIN = timedelta(minutes=15)
"""The longest time between two checks of a waiting release. It notices a new or a lifted freeze after at most this
time."""

_DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_DAYS_AHEAD = 16
"""If daylight saving time skips a window in one week, it exists in the next."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """A time of day on some days of the week."""

    text: str
    days: frozenset[int]
    """The days on which it opens; 0 is Monday."""
    opens: int
    """Minutes after midnight."""
    closes: int
    """Minutes after midnight, at most 1440. If not after `opens`, it is on the next day."""
    zone: ZoneInfo

    def is_open(self, at: datetime) -> bool:
        """Compares local time in whole minutes."""
        clock = at.astimezone(self.zone)
        minute, today = clock.hour * 60 + clock.minute, clock.weekday()
        if self.opens < self.closes:
            return today in self.days and self.opens <= minute < self.closes
        begun, left = today in self.days, (today - 1) % 7 in self.days
        return (begun and minute >= self.opens) or (left and minute < self.closes)


@dataclass(frozen=True, slots=True, kw_only=True)
class Freeze:
    """A period in which one application, or every application, may not be deployed."""

    id: str
    application: str
    """EVERY_APPLICATION for all."""
    reason: str
    author: str
    """The IAM identity of the person who froze it."""
    starts: datetime
    ends: datetime
    """Start and end; of a repeating freeze, those of its current or next occurrence."""
    again: Recurrence | None = None
    """Its repetition, if it repeats."""
    calendar: str = ""
    """The name of the calendar file that it came from; empty if a person wrote it."""

    def covers(self, at: datetime) -> bool:
        """Includes its start and excludes its end."""
        return self.starts <= at < self.ends


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """Whether an application may be deployed at a moment."""

    frozen: tuple[Freeze, ...]
    """The freezes that are active at that moment."""
    in_window: bool
    """Whether a window is open; always true without windows."""
    opens: datetime | None
    """The first moment from then on at which the application may be deployed; None if there is none in sight."""

    @property
    def is_open(self) -> bool:
        """Whether the application may be deployed."""
        return self.in_window and not self.frozen


@dataclass(frozen=True, slots=True, kw_only=True)
class Leave:
    """Whether an approved release may be deployed at a moment."""

    closed: str = ""
    """What blocks it, in words; if it may be deployed anyway, what it passes."""
    refused: bool = False
    """It may not be deployed, and does not wait, or no longer waits."""
    wait: int = 0
    """Seconds until the next check; 0 if it does not wait."""
    opens: datetime | None = None
    """The end of its wait, as currently known."""


def window(text: str) -> Window:
    """Parses a window. Raises ValueError, with the reason, if it is not valid."""
    if not re.search(WINDOW, text):
        raise ValueError(f"must be {WINDOW_WORDS}")
    days, times, zone = text.split(" ")
    opens, closes = (_minutes(each) for each in times.split("-"))
    if opens == closes:
        raise ValueError("opens and closes at the same time; for a whole day, use 00:00-24:00")
    return Window(text=text, days=_days(days), opens=opens, closes=closes, zone=time_zone(zone))


def standing(windows: Sequence[Window], freezes: Sequence[Freeze], at: datetime) -> Standing:
    """Whether an application with these windows and freezes may be deployed. Without windows it is always open."""
    return Standing(
        frozen=tuple(freeze for freeze in freezes if freeze.covers(at)),
        in_window=is_open(windows, at),
        opens=opening(windows, freezes, at),
    )


def leave(
    rules: Gates, freezes: Sequence[Freeze], at: datetime, *, since: datetime | None, emergency: bool
) -> Leave:
    """What an approved release does now. `since` is when it began to wait; None if it has not waited yet."""
    windows = [window(text) for text in rules.windows]
    found = standing(windows, freezes, at)
    why = why_closed(windows, found)
    if found.is_open or emergency:
        return Leave(closed=why)
    if rules.whenClosed == "fail":
        return Leave(closed=why, refused=True)
    if found.opens is None or found.opens > (since or at) + LONGEST_WAIT:
        return Leave(closed=f"{why} A release waits at most {LONGEST_WAIT.days} days.", refused=True)
    wait = math.ceil(min(found.opens - at, LOOK_AGAIN).total_seconds())
    return Leave(closed=why, wait=wait, opens=found.opens)


def is_open(windows: Sequence[Window], at: datetime) -> bool:
    """Whether one of the windows is open; always true without windows."""
    return not windows or any(each.is_open(at) for each in windows)


def next_opening(windows: Sequence[Window], at: datetime) -> datetime | None:
    """The first moment, from this one on, at which a window is open.

    None if there is none in two weeks, which no real time zone makes possible.
    """
    if is_open(windows, at):
        return at
    moments = (moment for each in windows for moment in _may_begin(each, at) if each.is_open(moment))
    return min((moment for moment in moments if moment >= at), default=None)


def opening(windows: Sequence[Window], freezes: Sequence[Freeze], at: datetime) -> datetime | None:
    """The first moment, from this one on, with an open window and no freeze; None if none is in sight."""
    moment = next_opening(windows, at)
    while moment is not None:
        ends = [freeze.ends for freeze in freezes if freeze.covers(moment)]
        if not ends:
            return moment
        moment = next_opening(windows, max(ends))
    return None


def why_closed(windows: Sequence[Window], found: Standing) -> str:
    """The freezes with their reasons, and the windows; empty if it is open."""
    sentences = [
        f"{'Everything' if freeze.application == EVERY_APPLICATION else freeze.application} is frozen until "
        f"{in_words(freeze.ends, windows)} by {freeze.author}: {freeze.reason.rstrip('.')}."
        for freeze in found.frozen
    ]
    if not found.in_window:
        sentences.append(f"No window is open ({', '.join(each.text for each in windows)}).")
    return " ".join(sentences)


def in_words(moment: datetime, windows: Sequence[Window] = ()) -> str:
    """`Mon 23 Nov 2026, 09:00 CET (08:00 UTC)`: in the first window's zone, with UTC added."""
    there = moment.astimezone(UTC)
    here = moment.astimezone(windows[0].zone) if windows else there
    day = f"{_DAYS[here.weekday()]} {here.day} {_MONTHS[here.month - 1]} {here.year}"
    text = f"{day}, {here:%H:%M} {here:%Z}"
    if not here.utcoffset():
        return text
    other_day = "" if there.date() == here.date() else f"{_DAYS[there.weekday()]} "
    return f"{text} ({other_day}{there:%H:%M} UTC)"


def _may_begin(window: Window, at: datetime) -> Iterator[datetime]:
    """Every moment at which the window may open: its opening on each of its days, and every clock change.

    A skipped opening gives two moments that are not openings, so the caller checks each one.
    """
    today = at.astimezone(window.zone).date()
    for ahead in range(-1, _DAYS_AHEAD):
        day = today + timedelta(days=ahead)
        if day.weekday() in window.days:
            opens = datetime.combine(day, time(window.opens // 60, window.opens % 60), tzinfo=window.zone)
            for fold in (0, 1):
                yield opens.replace(fold=fold).astimezone(UTC)
        since = at + timedelta(days=ahead)
        until = since + timedelta(days=1)
        if _offset(window.zone, since) != _offset(window.zone, until):
            yield _clock_change(window.zone, since, until)


def _clock_change(zone: ZoneInfo, since: datetime, until: datetime) -> datetime:
    """The second of the clock change between these two moments."""
    first, last = int(since.timestamp()), int(until.timestamp())
    before = _offset(zone, since)
    while last - first > 1:
        middle = (first + last) // 2
        if _offset(zone, datetime.fromtimestamp(middle, UTC)) == before:
            first = middle
        else:
            last = middle
    return datetime.fromtimestamp(last, UTC)


def _offset(zone: ZoneInfo, at: datetime) -> timedelta | None:
    return at.astimezone(zone).utcoffset()


def _minutes(text: str) -> int:
    hours, minutes = text.split(":")
    return int(hours) * 60 + int(minutes)


def _days(text: str) -> frozenset[int]:
    """`Mon-Thu`, `Sat,Sun`, and `Fri-Mon` across the end of the week."""
    days: set[int] = set()
    for part in text.split(","):
        first, *more = (_DAYS.index(day) for day in part.split("-"))
        if len(more) > 1:
            raise ValueError(f"must be {WINDOW_WORDS}")
        last = more[0] if more else first
        days |= {(first + count) % 7 for count in range((last - first) % 7 + 1)}
    return frozenset(days)


def time_zone(name: str) -> ZoneInfo:
    """The IANA time zone of this name, not one that only this machine has (`localtime`, `posix/…`).

    Raises ValueError, with a name that was probably meant.
    """
    try:
        if not _is_everywhere(name):
            raise ValueError(f"{name} is not in IANA's list")
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:  # OSError: `Europe` is a folder
        import difflib

        near = difflib.get_close_matches(name, filter(_is_everywhere, available_timezones()), n=1)
        meant = f"; did you mean {near[0]}?" if near else "; use one like Europe/Berlin or UTC"
        raise ValueError(f"{name} is not a time zone{meant}") from error


def _is_everywhere(name: str) -> bool:
    return name[:1].isupper() and name != "Factory"
