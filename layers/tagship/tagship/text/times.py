"""Formats times for people."""

from __future__ import annotations

from datetime import UTC, datetime


def moment(iso: str) -> datetime:
    """A time in a record; without a zone it is UTC."""
    time = datetime.fromisoformat(iso)
    return time if time.tzinfo else time.replace(tzinfo=UTC)


def clock(time: datetime) -> str:
    """`Mon 23 Nov 2026, 14:05 UTC`: the same for every reader, wherever they are."""
    utc = time.astimezone(UTC)
    day = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")[utc.weekday()]
    month = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")[
        utc.month - 1
    ]
    return f"{day} {utc.day} {month} {utc.year}, {utc:%H:%M} UTC"


def span(seconds: float) -> str:
    """`3 h 40 min`: the two largest units that matter."""
    whole = int(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 600 and whole % 60:
        return f"{whole // 60} min {whole % 60} s"
    minutes, hours, days = whole // 60, whole // 3600, whole // 86400
    if minutes < 60:
        return f"{minutes} min"
    if hours < 48:
        return f"{hours} h {minutes % 60} min" if minutes % 60 else f"{hours} h"
    return f"{days} days {hours % 24} h" if hours % 24 else f"{days} days"


def until(time: datetime, now: datetime) -> str:
    """`in 3 h 40 min`, `less than a minute from now`, `12 min ago`."""
    seconds = (time - now).total_seconds()
    if abs(seconds) < 60:
        return "in less than a minute" if seconds >= 0 else "just now"
    whole_minutes = int(abs(seconds)) // 60 * 60
    return f"in {span(whole_minutes)}" if seconds > 0 else f"{span(whole_minutes)} ago"
