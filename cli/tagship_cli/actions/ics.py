"""Writes windows and freezes as a calendar (iCalendar, RFC 5545), and reads freezes from one.

The library handles escaping, line folding and time zones. A repeating freeze keeps its rule (RRULE). Its duration is in
days of its zone, written as DURATION, so that a day stays a day when daylight saving time begins or ends.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

from tagship.model.recurrence import Recurrence, recurrence
from tagship.model.schedule import Freeze, Window

if TYPE_CHECKING:
    from icalendar import Calendar, Event

MOST_BYTES = 1024 * 1024
MOST_EVENTS = 200
_MOST_DAYS = 92
_REASON = 500
_WINDOW, _FREEZE = "Tagship window", "Tagship freeze"
"""The categories. A window that was exported is not read as a freeze again."""
_DAYS = ("MO", "TU", "WE", "TH", "FR", "SA", "SU")


class NotACalendar(Exception):
    """It is not a valid calendar, or is too large; the message says why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """The freeze that an event describes."""

    reason: str
    starts: datetime
    ends: datetime
    """Start and end; of a repeating freeze, those of its current or next occurrence."""
    again: Recurrence | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Read:
    """The contents of a calendar."""

    freezes: Sequence[Found]
    refused: Sequence[str]
    """Events that can't be represented as a freeze, and why."""
    skipped: Sequence[str]
    """Events that are ignored: over, cancelled, or a window."""


# ---- writing -------------------------------------------------------------------------------------------------------


def written(
    windows: Sequence[Window], freezes: Sequence[Freeze], *, application: str, stage: str, now: datetime
) -> str:
    """The calendar of one application in one stage."""
    from icalendar import Calendar

    calendar = Calendar()
    calendar.add("prodid", "-//Tagship//tagship calendar//EN")
    calendar.add("version", "2.0")
    calendar.add("x-wr-calname", f"{application} in {stage}")
    for window in windows:
        calendar.add_component(_window(window, application=application, stage=stage, now=now))
    for freeze in freezes:
        calendar.add_component(_freeze(freeze, stage=stage, now=now))
    calendar.add_missing_timezones()
    text: str = calendar.to_ical().decode()
    return text


def _event(uid: str, *, summary: str, category: str, now: datetime) -> Event:
    from icalendar import Event

    event = Event()
    event.add("uid", f"{uid}@tagship")
    event.add("dtstamp", now.astimezone(UTC).replace(microsecond=0))
    event.add("summary", summary)
    event.add("categories", [category])
    event.add("transp", "TRANSPARENT")  # it shows nobody as busy
    return event


def _window(window: Window, *, application: str, stage: str, now: datetime) -> Event:
    uid = hashlib.sha256(f"{stage} {application} {window.text}".encode()).hexdigest()[:16]
    event = _event(uid, summary=f"{application}: window for {stage}", category=_WINDOW, now=now)
    today = now.astimezone(window.zone).date()
    first = next(
        day for day in (today + timedelta(days=ahead) for ahead in range(7)) if day.weekday() in window.days
    )
    closes = window.closes if window.opens < window.closes else window.closes + 24 * 60
    midnight = datetime.combine(first, time())
    for name, minutes in (("dtstart", window.opens), ("dtend", closes)):
        event.add(name, _zoned(midnight + timedelta(minutes=minutes), window.zone))
    event.add("rrule", {"freq": "weekly", "byday": [_DAYS[day] for day in sorted(window.days)]})
    event.add("description", window.text)
    return event


def _freeze(freeze: Freeze, *, stage: str, now: datetime) -> Event:
    event = _event(f"{stage}-{freeze.id}", summary=freeze.reason, category=_FREEZE, now=now)
    event.add("description", f"Frozen by {freeze.author}")
    if freeze.again is None:
        event.add("dtstart", freeze.starts.astimezone(UTC))
        event.add("dtend", freeze.ends.astimezone(UTC))
        return event
    again, zone = freeze.again, ZoneInfo(freeze.again.zone)
    begin = datetime.combine(again.first, time(), tzinfo=zone)
    first = again.next(begin - timedelta(seconds=1))
    starts = (first[0] if first else freeze.starts).astimezone(zone).replace(tzinfo=None)
    event.add("dtstart", _zoned(starts, zone))
    event.add("duration", timedelta(days=again.days))
    event.add("rrule", _rule_in_utc(again.rule, zone))
    return event


def _zoned(wall: datetime, zone: ZoneInfo) -> datetime:
    return wall.replace(tzinfo=UTC if zone.key == "UTC" else zone)


def _rule_in_utc(rule: str, zone: ZoneInfo) -> Any:
    """RFC 5545 requires UNTIL in UTC if DTSTART has a zone. Our rules use the zone's local time."""
    from icalendar import vRecur

    parts = vRecur.from_ical(rule)
    if "UNTIL" in parts:
        parts["UNTIL"] = [_at(until, zone).astimezone(UTC) for until in parts["UNTIL"]]
    return parts


# ---- reading -------------------------------------------------------------------------------------------------------


def read(raw: bytes, *, now: datetime, zone: str) -> Read:
    """The freezes in a calendar's events. `zone` is used for events without a zone.

    Raises NotACalendar.
    """
    events = _events(raw)
    freezes: list[Found] = []
    refused: list[str] = []
    skipped: list[str] = []
    for event in events:
        title = _title(event)
        try:
            if why := _asks_nothing(event):
                skipped.append(f"{title}: {why}")
                continue
            found = _found(event, now=now, zone=ZoneInfo(zone))
        except (ValueError, OverflowError) as error:  # a time before year 1 or after 9999 overflows
            refused.append(f"{title}: {error}")
            continue
        if found.ends <= now:
            skipped.append(f"{title}: it is over")
        else:
            freezes.append(found)
    return Read(freezes=freezes, refused=refused, skipped=skipped)


def _events(raw: bytes) -> list[Event]:
    from icalendar import Calendar, Event

    if len(raw) > MOST_BYTES:
        raise NotACalendar(f"is larger than {MOST_BYTES // 1024} KiB")
    try:
        calendars: list[Calendar] = Calendar.from_ical(raw, multiple=True)
    except Exception as error:  # (the library raises many kinds of errors for a malformed line)
        raise NotACalendar(f"is not a calendar (iCalendar, RFC 5545): {error}") from error
    found = [event for calendar in calendars for event in calendar.walk("VEVENT")]
    events = [event for event in found if isinstance(event, Event)]
    if not events:
        raise NotACalendar("has no events (VEVENT)")
    if len(events) > MOST_EVENTS:
        raise NotACalendar(f"has {len(events)} events; at most {MOST_EVENTS} are read at once")
    return events


def _title(event: Event) -> str:
    return (
        str(event.get("SUMMARY", "")).strip()[:80]
        or f"event {str(event.get('UID', ''))[:80] or 'without UID'}"
    )


def _asks_nothing(event: Event) -> str:
    if str(event.get("STATUS", "")).upper() == "CANCELLED":
        return "it is cancelled"
    categories = event.get("CATEGORIES")
    each = categories if isinstance(categories, list) else [categories] if categories is not None else []
    named = [str(name) for one in each for name in getattr(one, "cats", [one])]
    return "it is a window, not a freeze" if _WINDOW in named else ""


def _found(event: Event, *, now: datetime, zone: ZoneInfo) -> Found:
    """Raises ValueError, with the reason, if the event can't be represented as a freeze."""
    if event.errors:
        raise ValueError(f"cannot be read: {event.errors[0][1]}")
    reason = " ".join(str(event.get("SUMMARY", "")).split())
    if not reason:
        raise ValueError("has no SUMMARY: people whose release is blocked read it as the reason")
    if len(reason) > _REASON:
        raise ValueError(f"has a SUMMARY of {len(reason)} characters; at most {_REASON} are allowed")
    for name in ("RDATE", "EXDATE", "RECURRENCE-ID", "EXRULE"):
        if name in event:
            raise ValueError(f"has {name}: a freeze can have only one rule, without exceptions")
    starts, ends, there = _wall(event, zone)
    if "RRULE" not in event:
        begin, end = (each.replace(tzinfo=there).astimezone(UTC) for each in (starts, ends))
        if end <= begin:
            raise ValueError("ends before it begins")
        if end > now + timedelta(days=366):
            raise ValueError("ends more than 366 days from now")
        return Found(reason=reason, starts=begin, ends=end)
    again = _again(event, starts, ends, there)
    following = again.next(now)
    if following is None:
        return Found(reason=reason, starts=starts.replace(tzinfo=there), ends=now, again=again)
    return Found(reason=reason, starts=following[0], ends=following[1], again=again)


def _again(event: Event, starts: datetime, ends: datetime, zone: ZoneInfo) -> Recurrence:
    parts = _one(event, "RRULE")
    length = ends - starts
    whole = starts.time() == time() and length % timedelta(days=1) == timedelta(0)
    if not (whole and 1 <= length.days <= _MOST_DAYS):
        raise ValueError(
            f"repeats, but not by whole days: a freeze that repeats begins at 00:00 and lasts 1 to {_MOST_DAYS} days"
        )
    if "UNTIL" in parts:
        parts["UNTIL"] = [_at(it, zone).astimezone(zone).replace(tzinfo=None) for it in parts["UNTIL"]]
    try:
        return recurrence(parts.to_ical().decode(), zone=zone.key, first=starts.date(), days=length.days)
    except ValueError as error:
        raise ValueError(f"its rule (RRULE) {error}") from error


def _wall(event: Event, zone: ZoneInfo) -> tuple[datetime, datetime, ZoneInfo]:
    """Start and end in local time, and their zone."""
    for name in ("DTSTART", "DTEND"):
        if unknown := _unknown_zone(event.get(name)):
            raise ValueError(
                f"is in a time zone that is not known: {unknown}; use one of IANA's, like Europe/Berlin"
            )
    begins = _one(event, "DTSTART").dt
    if not isinstance(begins, date):
        raise ValueError("has no valid time as its start (DTSTART)")  # noqa: TRY004 (all of these are one kind of error)
    there = _zone_of(begins, zone)
    starts = _at(begins, there).replace(tzinfo=None)
    if "DTEND" in event:
        ends = _one(event, "DTEND").dt
        if not isinstance(ends, date):
            raise ValueError("has no valid time as its end (DTEND)")
        return starts, _at(ends, there).astimezone(there).replace(tzinfo=None), there
    if "DURATION" in event:
        length = _one(event, "DURATION").dt
        if not isinstance(length, timedelta):
            raise ValueError("has no valid DURATION")
        return starts, starts + length, there
    if not isinstance(begins, datetime):
        return starts, starts + timedelta(days=1), there
    raise ValueError("has no end (DTEND or DURATION)")


def _unknown_zone(value: Any) -> str:
    """A zone name that the library does not know. It reads such a time as if it had no zone."""
    zone = getattr(value, "params", {}).get("TZID", "")
    return str(zone) if zone and getattr(value.dt, "tzinfo", None) is None else ""


def _one(event: Event, name: str) -> Any:
    """The event's only property of this name, as the library parsed it."""
    found = event.get(name)
    if found is None or isinstance(found, list):
        raise ValueError(f"has {'no' if found is None else 'several'} {name}")
    return found


def _zone_of(moment: date, zone: ZoneInfo) -> ZoneInfo:
    if not isinstance(moment, datetime) or moment.tzinfo is None:
        return zone
    if isinstance(moment.tzinfo, ZoneInfo):
        return moment.tzinfo
    if moment.tzinfo is UTC:
        return ZoneInfo("UTC")
    raise ValueError(
        f"is in the unknown time zone {moment.tzname()}; use an IANA time zone like Europe/Berlin"
    )


def _at(moment: date, zone: ZoneInfo) -> datetime:
    """A day begins at 00:00. A time without a zone is in `zone`."""
    if not isinstance(moment, datetime):
        moment = datetime.combine(moment, time())
    return moment if moment.tzinfo else moment.replace(tzinfo=zone)
