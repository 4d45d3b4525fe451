"""tagship calendar and freeze --from-ics: exports can be imported, and unusable events are refused with a reason."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime, timedelta
from itertools import islice
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from dateutil.rrule import rrulestr  # type: ignore[import-untyped]
from hypothesis import given, settings
from hypothesis import strategies as st
from icalendar import Calendar

from tagship.ledger import freezes
from tagship.model.recurrence import recurrence
from tagship.model.schedule import Freeze, window
from tagship_cli.actions import ics

NOW = datetime(2026, 11, 23, 14, 5, tzinfo=UTC)
ZONES = ["UTC", "Europe/Berlin", "America/New_York", "Asia/Kolkata"]
RULES = [
    "FREQ=YEARLY;BYMONTH=12;BYMONTHDAY=1",
    "FREQ=MONTHLY;BYMONTH=3,6,9,12;BYMONTHDAY=-2",
    "FREQ=WEEKLY;INTERVAL=2;BYDAY=MO",
    "FREQ=MONTHLY;BYDAY=-1FR",
    "FREQ=WEEKLY;BYDAY=SA;COUNT=5",
    "FREQ=WEEKLY;BYDAY=SU;UNTIL=20270301T000000",
    "FREQ=DAILY;INTERVAL=10",
]


def a_freeze(**fields: Any) -> Freeze:
    defaults = {"id": "1a2b3c4d", "application": "storefront", "reason": "the sale", "author": "kim"}
    return Freeze(**{"starts": NOW, "ends": NOW + timedelta(hours=4), **defaults, **fields})


def out(*found: Freeze, windows: tuple[str, ...] = ()) -> str:
    return ics.written(
        [window(text) for text in windows], found, application="storefront", stage="production", now=NOW
    )


text = st.text(
    st.characters(
        min_codepoint=32, max_codepoint=0x2FFF, exclude_categories=["Cc", "Cs", "Cn", "Zl", "Zp", "Zs"]
    ),
    min_size=1,
    max_size=300,
)


@settings(max_examples=40)
@given(
    st.lists(text, min_size=1, max_size=3).map(" ".join),
    st.integers(-3, 300).map(lambda days: NOW + timedelta(days=days)),
    st.timedeltas(timedelta(days=4), timedelta(days=60)).map(
        lambda it: timedelta(seconds=int(it.total_seconds()))
    ),
)
def test_an_exported_freeze_is_imported_unchanged(reason: str, starts: datetime, lasts: timedelta) -> None:
    known = a_freeze(reason=reason, starts=starts, ends=starts + lasts)
    found = ics.read(out(known).encode(), now=NOW, zone="Asia/Tokyo")
    assert (found.refused, found.skipped) == ([], [])
    (came,) = found.freezes
    assert (came.reason, came.starts, came.ends) == (" ".join(reason.split()), known.starts, known.ends)


@settings(max_examples=60)
@given(
    st.sampled_from(RULES),
    st.sampled_from(ZONES),
    st.integers(0, 60).map(lambda days: date(2026, 11, 1) + timedelta(days=days)),
    st.integers(1, 6),
)
def test_a_repeating_freeze_keeps_all_its_occurrences(rule: str, zone: str, first: date, days: int) -> None:
    again = recurrence(rule, zone=zone, first=first, days=days)
    starts, ends = again.next(NOW) or (NOW, NOW)
    if ends <= NOW:
        return
    found = ics.read(out(a_freeze(again=again, starts=starts, ends=ends)).encode(), now=NOW, zone="UTC")
    assert found.refused == []
    (came,) = found.freezes
    assert came.again is not None
    assert (came.again.zone, came.again.days) == (zone, days)
    assert list(islice(came.again.times(NOW), 12)) == list(islice(again.times(NOW), 12))


@pytest.mark.parametrize("zone", ZONES)
def test_another_program_finds_the_same_occurrences(zone: str) -> None:
    """Computed from the rule and the zone directly, without Tagship's code."""
    again = recurrence(
        "FREQ=WEEKLY;BYDAY=SA;UNTIL=20270501T000000", zone=zone, first=date(2026, 11, 1), days=2
    )
    starts, ends = again.next(NOW) or (NOW, NOW)
    (event,) = Calendar.from_ical(out(a_freeze(again=again, starts=starts, ends=ends))).walk("VEVENT")
    begins = event["DTSTART"].dt
    assert event["DURATION"].dt == timedelta(days=2), "two days, also when the clock is moved"
    rule = rrulestr(event["RRULE"].to_ical().decode(), dtstart=begins)
    theirs = [it.astimezone(UTC) for it in rule if it.astimezone(UTC) >= starts]
    assert theirs == [it for it, _ in again.times(NOW)]


def test_windows_are_weekly_in_their_own_zone_and_are_not_freezes() -> None:
    texts = ("Mon-Thu 09:00-16:00 Europe/Berlin", "Sat,Sun 22:00-02:00 UTC", "Fri 00:00-24:00 UTC")
    calendar = out(windows=texts)
    day, night, whole = Calendar.from_ical(calendar).walk("VEVENT")
    assert day["RRULE"].to_ical() == b"FREQ=WEEKLY;BYDAY=MO,TU,WE,TH"
    assert day["DTSTART"].dt == datetime(2026, 11, 23, 9, tzinfo=ZoneInfo("Europe/Berlin"))
    assert night["DTEND"].dt - night["DTSTART"].dt == timedelta(hours=4)
    assert whole["DTEND"].dt - whole["DTSTART"].dt == timedelta(hours=24)
    assert "BEGIN:VTIMEZONE\r\nTZID:Europe/Berlin" in calendar
    assert all(len(line.encode()) <= 75 for line in calendar.split("\r\n"))
    found = ics.read(calendar.encode(), now=NOW, zone="UTC")
    assert (found.freezes, len(found.skipped)) == ([], 3)


def test_a_reason_cannot_inject_calendar_content() -> None:
    hostile = "a;b,c\\n END:VEVENT BEGIN:VEVENT \\; d"
    (event,) = Calendar.from_ical(out(a_freeze(reason=hostile))).walk("VEVENT")
    assert str(event["SUMMARY"]) == hostile


def event(*lines: str) -> bytes:
    return "\r\n".join(
        [
            "BEGIN:VCALENDAR",
            "VERSION:2.0",
            "PRODID:x",
            "BEGIN:VEVENT",
            "UID:1",
            *lines,
            "END:VEVENT",
            "END:VCALENDAR",
            "",
        ]
    ).encode()


DAY = ("DTSTART;VALUE=DATE:20261224", "DTEND;VALUE=DATE:20261227")


@pytest.mark.parametrize(
    "lines, why",
    [
        (("SUMMARY:x", *DAY, "RRULE:FREQ=YEARLY", "EXDATE;VALUE=DATE:20271224"), "has EXDATE"),
        (("SUMMARY:x", *DAY, "RDATE;VALUE=DATE:20271224"), "has RDATE"),
        (("SUMMARY:x", *DAY, "RRULE:FREQ=YEARLY", "RRULE:FREQ=MONTHLY"), "has several RRULE"),
        (("SUMMARY:x", *DAY, "RRULE:FREQ=DAILY"), "repeats before its 3 days are over"),
        (("SUMMARY:x", *DAY, "RRULE:FREQ=HOURLY"), "repeats at most daily"),
        (DAY, "has no SUMMARY"),
        (("SUMMARY:x", "DTSTART:20261224T090000Z"), "has no end"),
        (("SUMMARY:x",), "has no DTSTART"),
        (("SUMMARY:x", "DTSTART:20261224T090000Z", "DTEND:20281224T090000Z"), "more than 366 days from now"),
        (("SUMMARY:x", "DTSTART:20261224T090000Z", "DTEND:20261223T090000Z"), "ends before it begins"),
        (
            ("SUMMARY:x", "DTSTART:20261224T090000Z", "DTEND:20261224T170000Z", "RRULE:FREQ=WEEKLY"),
            "begins at 00:00 and lasts 1 to 92 days",
        ),
    ],
)  # fmt: skip
def test_an_event_that_cannot_be_a_freeze_is_refused_with_a_reason(lines: tuple[str, ...], why: str) -> None:
    """Fault 130."""
    found = ics.read(event(*lines), now=NOW, zone="UTC")
    assert found.freezes == []
    assert why in found.refused[0], found.refused


@pytest.mark.parametrize(
    "raw, why",
    [
        (b"hello", "is not a calendar"),
        (b"BEGIN:VCALENDAR\r\nEND:VCALENDAR\r\n", "has no events"),
        (b"x" * (ics.MOST_BYTES + 1), "is larger than 1024 KiB"),
        (b"\xff\xfe", "is not a calendar"),
    ],
)
def test_a_file_that_is_not_a_calendar_is_refused(raw: bytes, why: str) -> None:
    with pytest.raises(ics.NotACalendar, match=why):
        ics.read(raw, now=NOW, zone="UTC")


def test_a_day_is_a_day_in_the_named_zone_and_past_or_cancelled_events_are_skipped() -> None:
    (holidays,) = ics.read(event("SUMMARY:x", *DAY), now=NOW, zone="Europe/Berlin").freezes
    assert holidays.starts == datetime(2026, 12, 23, 23, tzinfo=UTC)
    assert holidays.ends - holidays.starts == timedelta(days=3)
    over = event("SUMMARY:x", "DTSTART;VALUE=DATE:20251224")
    assert ics.read(over, now=NOW, zone="UTC").skipped == ["x: it is over"]
    cancelled = event("SUMMARY:x", *DAY, "STATUS:CANCELLED")
    assert ics.read(cancelled, now=NOW, zone="UTC").skipped == ["x: it is cancelled"]


# ---- the commands --------------------------------------------------------------------------------------------------


def test_a_calendar_is_shown_before_it_is_applied_and_applying_it_again_changes_nothing(
    stage: Any, tmp_path: Path
) -> None:
    file = tmp_path / "closing.ics"
    file.write_bytes(
        event("SUMMARY:Closing of the books", *DAY, "RRULE:FREQ=YEARLY;BYMONTH=12;BYMONTHDAY=24")
    )
    asked = stage.run("freeze", "--all", "--from-ics", str(file))
    assert asked.exit_code == 2 and "Nothing was changed" in asked.output
    assert "Closing of the books" in asked.stdout and "It repeats" in asked.stdout
    assert list(freezes.of(stage.ledger, "*")) == []
    done = stage.run("freeze", "--all", "--from-ics", str(file), "--yes")
    assert "Freezes recorded: 1 new, 0 as before." in done.stdout, done.output
    again = json.loads(stage.run("freeze", "--all", "--from-ics", str(file), "--yes", "--json").stdout)
    assert [each["new"] for each in again["freezes"]] == [False]
    (known,) = freezes.of(stage.ledger, "*")
    assert known.reason == "Closing of the books" and known.again is not None


def test_a_freeze_whose_event_is_gone_is_lifted_after_it_was_shown_and_no_other(
    stage: Any, tmp_path: Path
) -> None:
    """Fault 130: it came from that file, in that scope. What a person froze stays, whatever the calendar says."""
    stage.configure()
    file, other = tmp_path / "closing.ics", tmp_path / "holidays.ics"
    file.write_bytes(event("SUMMARY:stays", *DAY) + event("SUMMARY:goes", *DAY))
    other.write_bytes(event("SUMMARY:elsewhere", *DAY))
    stage.run("freeze", "--all", "--until", "2026-12-28T00:00:00Z", "--reason", "by hand")
    for scope, name in (("--all", file), ("--all", other), ("storefront", file)):
        assert stage.run("freeze", scope, "--from-ics", str(name), "--yes").exit_code == 0
    file.write_bytes(event("SUMMARY:stays", *DAY) + event("SUMMARY:goes", *DAY, "STATUS:CANCELLED"))
    asked = stage.run("freeze", "--all", "--from-ics", str(file))
    assert asked.exit_code == 2 and "Nothing was changed" in asked.output
    assert "To be lifted, because its event is no longer in closing.ics: goes" in " ".join(
        asked.stdout.split()
    )
    assert len(list(freezes.of(stage.ledger, "*"))) == 4
    done = stage.run("freeze", "--all", "--from-ics", str(file), "--yes", "--json")
    assert [each["reason"] for each in json.loads(done.stdout)["lifted"]] == ["goes"]
    left = {each.reason: each.calendar for each in freezes.of(stage.ledger, "*")}
    assert left == {"by hand": "", "stays": "closing.ics", "elsewhere": "holidays.ics"}
    assert len(list(freezes.of(stage.ledger, "storefront"))) == 2
    (fact,) = [it for it in stage.ledger.facts_in_order("*") if it["name"] == "Unfrozen"]
    assert fact["data"]["why"] == "Its event is no longer in closing.ics."
    file.write_bytes(event("SUMMARY:stays", *DAY) + event("SUMMARY:goes", *DAY))
    back = json.loads(stage.run("freeze", "--all", "--from-ics", str(file), "--yes", "--json").stdout)
    assert [(each["reason"], each["new"]) for each in back["freezes"]] == [("stays", False), ("goes", True)]
    assert "goes" in {each.reason for each in freezes.of(stage.ledger, "*")}, "a lifted freeze can come again"


def test_a_calendar_without_an_event_to_come_lifts_nothing(stage: Any, tmp_path: Path) -> None:
    """Fault 130: an export that went wrong must not open everything."""
    file = tmp_path / "closing.ics"
    file.write_bytes(event("SUMMARY:x", *DAY))
    assert stage.run("freeze", "--all", "--from-ics", str(file), "--yes").exit_code == 0
    file.write_bytes(event("SUMMARY:x", *DAY, "STATUS:CANCELLED"))
    result = stage.run("freeze", "--all", "--from-ics", str(file), "--yes")
    assert result.exit_code == 1
    assert "closing.ics has no event to come, so 1 freeze from it would be lifted" in result.output
    assert "tagship unfreeze --all" in result.output
    assert len(list(freezes.of(stage.ledger, "*"))) == 1


def test_one_invalid_event_prevents_all_freezes(stage: Any, tmp_path: Path) -> None:
    """Fault 130."""
    file = tmp_path / "mixed.ics"
    good, bad = event("SUMMARY:good", *DAY), event("SUMMARY:bad", *DAY, "RRULE:FREQ=DAILY")
    file.write_bytes(good + bad)
    result = stage.run("freeze", "--all", "--from-ics", str(file), "--yes")
    assert result.exit_code == 1
    assert "bad: its rule (RRULE) repeats before its 3 days are over" in result.output
    assert list(freezes.of(stage.ledger, "*")) == []
    both = stage.run("freeze", "--all", "--from-ics", str(file), "--reason", "x")
    assert both.exit_code == 2 and "--reason cannot be used with --from-ics" in both.output


def test_the_calendar_of_an_application_is_shown_and_printed(stage: Any) -> None:
    stage.configure(gates={"windows": ["Mon-Thu 09:00-16:00 Europe/Berlin"]})
    stage.run("freeze", "storefront", "--until", "PT4H", "--reason", "the sale")
    shown = stage.run("calendar", "storefront").stdout
    assert "window Mon-Thu 09:00-16:00 Europe/Berlin" in shown and "the sale" in shown
    printed = stage.run("calendar", "storefront", "--ics").stdout
    assert [str(it["SUMMARY"]) for it in Calendar.from_ical(printed).walk("VEVENT")] == [
        f"storefront: window for {stage.stage}",
        "the sale",
    ]
    document = json.loads(stage.run("calendar", "storefront", "--json").stdout)
    assert (len(document["windows"]), len(document["freezes"])) == (1, 1)


@pytest.mark.parametrize(
    "times, problem",
    [
        ("DTSTART;TZID=Nowhere/Town:20261201T000000", "time zone that is not known: Nowhere/Town"),
        ("DTSTART;VALUE=DATE:00010101\r\nRRULE:FREQ=DAILY", "begins in a year that no calendar has"),
        ("DTSTART:20261201T000000Z\r\nDURATION:P99999999W", "out of range"),
    ],
)
def test_an_unknown_zone_or_time_is_refused(times: str, problem: str) -> None:
    """A freeze at another hour would be worse than none, because somebody relies on it."""
    event = f"BEGIN:VEVENT\r\nUID:1\r\nSUMMARY:sale\r\n{times}\r\nEND:VEVENT\r\n"
    raw = f"BEGIN:VCALENDAR\r\nVERSION:2.0\r\n{event}END:VCALENDAR\r\n".encode()
    found = ics.read(raw, now=NOW, zone="UTC")
    assert not found.freezes
    assert problem in found.refused[0]
