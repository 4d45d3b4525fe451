"""Times in the local zone, with UTC added where people in other places read along."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import click

from tagship.model.fields import seconds
from tagship.text.times import moment, span, until

__all__ = ["clock", "day", "full", "moment", "parse", "short", "since", "span", "until", "zone"]

_JUST_NOW = 60
"""Tolerance in seconds: clocks differ, so a recent time elsewhere can be slightly in the future here."""


def parse(text: str, now: datetime, option: str) -> datetime:
    """Parses a time: ISO 8601, in the local zone if it has none, or a duration from now.

    Raises click's UsageError for anything else.
    """
    try:
        if text.startswith("P"):
            return now + timedelta(seconds=int(str(seconds(text))))
        return datetime.fromisoformat(text).astimezone(UTC)
    except (ValueError, OverflowError) as error:
        raise click.UsageError(
            f"{option}: {text!r} is neither a time like 2026-12-24T18:00 nor a duration like PT4H."
        ) from error


def full(time: datetime) -> str:
    """`Mon 23 Nov 2026, 15:05 CET (14:05 UTC)`."""
    here = time.astimezone()
    text = f"{here:%a} {here.day} {here:%b %Y, %H:%M} {here:%Z}"
    if not here.utcoffset():
        return text
    there = time.astimezone(UTC)
    other_day = "" if there.date() == here.date() else f"{there:%a} {there.day} {there:%b}, "
    return f"{text} ({other_day}{there:%H:%M} UTC)"


def short(time: datetime) -> str:
    """`2026-11-23 15:05`, for tables whose heading names the zone."""
    return f"{time.astimezone():%Y-%m-%d %H:%M}"


def clock(time: datetime) -> str:
    """`15:05:12`, for a timeline whose heading names the day and the zone."""
    return f"{time.astimezone():%H:%M:%S}"


def day(time: datetime) -> str:
    """`Mon 23 Nov 2026`."""
    here = time.astimezone()
    return f"{here:%a} {here.day} {here:%b %Y}"


def zone(time: datetime) -> str:
    """`CET, UTC+01:00`; `UTC` if that is the zone."""
    here = time.astimezone()
    return f"{here:%Z}, UTC{here:%:z}" if here.utcoffset() else "UTC"


def since(time: datetime, now: datetime) -> str:
    """`Mon 23 Nov 2026, 15:05 CET (14:05 UTC), 3 h ago`."""
    ago = "just now" if abs((now - time).total_seconds()) < _JUST_NOW else until(time, now)
    return f"{full(time)}, {ago}"
