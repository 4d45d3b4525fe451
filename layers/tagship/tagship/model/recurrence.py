"""Repeating times: every December, the last two days of each quarter. Pure.

The rule is from iCalendar (RFC 5545, section 3.3.10), without DTSTART: `FREQ=MONTHLY;BYMONTH=3,6,9,12;BYMONTHDAY=-2`. It
is evaluated in calendar days of its zone, so that a day stays a day when the clock changes.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from itertools import islice, pairwise
from zoneinfo import ZoneInfo

SEEN_AHEAD = timedelta(days=3 * 366)
"""A rule whose first time is later than this is treated as a mistake."""
_PARTS = re.compile(
    r"(?=.*\bFREQ=(?:DAILY|WEEKLY|MONTHLY|YEARLY)\b)[A-Z]+=[A-Z0-9,+-]+(?:;[A-Z]+=[A-Z0-9,+-]+)*"
)
_MOST_CHARACTERS = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class Recurrence:
    """A rule, and the length of each of its times."""

    rule: str
    zone: str
    """An IANA time zone."""
    first: date
    """The day from which the rule counts."""
    days: int
    """How many days each time lasts, from 00:00 of its first day."""

    def times(self, after: datetime) -> Iterator[tuple[datetime, datetime]]:
        """Start and end, in UTC, of each time that ends after this moment."""
        from dateutil.rrule import rrulestr  # type: ignore[import-untyped]

        zone, length = ZoneInfo(self.zone), timedelta(days=self.days)
        begin = datetime.combine(self.first, time())
        wall = after.astimezone(zone).replace(tzinfo=None)
        for starts in rrulestr(self.rule, dtstart=begin).xafter(max(begin, wall - length), inc=True):
            until = (starts + length).replace(tzinfo=zone).astimezone(UTC)
            if until > after:
                yield starts.replace(tzinfo=zone).astimezone(UTC), until

    def next(self, after: datetime) -> tuple[datetime, datetime] | None:
        """The current time or else the next one; None if there is none."""
        return next(self.times(after), None)


def recurrence(rule: str, *, zone: str, first: date, days: int) -> Recurrence:
    """Parses a rule.

    Raises ValueError, with the reason, for an invalid one, one whose times overlap or touch, or one that never occurs.
    """
    text = rule.strip().upper().removeprefix("RRULE:")
    if len(text) > _MOST_CHARACTERS or not _PARTS.fullmatch(text):
        raise ValueError(
            "must be an iCalendar rule that repeats at most daily, like FREQ=YEARLY;BYMONTH=12;BYMONTHDAY=1"
        )
    try:
        found = Recurrence(rule=text, zone=zone, first=first, days=days)
        begin = datetime.combine(first, time(), tzinfo=ZoneInfo(zone))
        near = list(islice(found.times(begin - timedelta(seconds=1)), 10))
    except OverflowError as error:
        raise ValueError("begins in a year that no calendar has") from error
    except ValueError as error:
        raise ValueError(f"is not an iCalendar rule: {error}") from error
    if not near or near[0][0] > begin + SEEN_AHEAD:
        raise ValueError("has no date in the next three years")
    if any(following[0] <= ended for (_, ended), following in pairwise(near)):
        raise ValueError(f"repeats before its {days} days are over: nothing could ever be deployed")
    return found


__all__ = ["Recurrence", "recurrence"]
