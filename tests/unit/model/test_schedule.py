"""When an application may be deployed, in local time, including daylight saving changes."""

from __future__ import annotations

import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from tagship.model import schedule
from tagship.model.application import Gates
from tagship.model.schedule import EVERY_APPLICATION, Freeze, Leave, window

BERLIN = "Europe/Berlin"
DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
ZONES = (
    BERLIN,
    "UTC",
    "America/New_York",
    "Australia/Lord_Howe",  # half an hour
    "Asia/Beirut",  # at midnight
    "America/Sao_Paulo",
    "Asia/Kathmandu",
    "Africa/Casablanca",  # back for Ramadan
    "Pacific/Apia",  # a whole day was skipped at the end of 2011
)


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def berlin(text: str, fold: int = 0) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(BERLIN), fold=fold).astimezone(UTC)


def frozen(starts: str, ends: str, application: str = "storefront") -> Freeze:
    return Freeze(
        id="one",
        application=application,
        reason="the sale",
        author="ana",
        starts=utc(starts),
        ends=utc(ends),
    )


@pytest.mark.parametrize(
    "text, days",
    [
        ("Mon 09:00-10:00 UTC", {0}),
        ("Mon-Fri 09:00-10:00 UTC", {0, 1, 2, 3, 4}),
        ("Sat,Sun 09:00-10:00 UTC", {5, 6}),
        ("Mon-Wed,Fri 09:00-10:00 UTC", {0, 1, 2, 4}),
        ("Fri-Mon 09:00-10:00 UTC", {4, 5, 6, 0}),
        ("Sun-Sun 09:00-10:00 UTC", {6}),
    ],
)
def test_days_can_be_single_days_ranges_and_lists(text: str, days: set[int]) -> None:
    assert window(text).days == days


@pytest.mark.parametrize(
    "text, why",
    [
        ("Mon 9:00-10:00 UTC", "must be days, times and a time zone"),
        ("Mon 09:00-10:00", "must be days, times and a time zone"),
        ("09:00-10:00 UTC", "must be days, times and a time zone"),
        ("Monday 09:00-10:00 UTC", "must be days, times and a time zone"),
        ("Mon-Wed-Fri 09:00-10:00 UTC", "must be days, times and a time zone"),
        ("Mon 24:00-10:00 UTC", "must be days, times and a time zone"),
        ("Mon 09:00-24:01 UTC", "must be days, times and a time zone"),
        ("Mon 09:00-09:00 UTC", "^opens and closes at the same time; for a whole day, use 00:00-24:00$"),
        ("Mon 09:00-10:00 Europe/Berlim", "not a time zone; did you mean Europe/Berlin?"),
        ("Mon 09:00-10:00 Europe", "not a time zone"),
        ("Mon 09:00-10:00 a/b/c/d", "^a/b/c/d is not a time zone; use one like Europe/Berlin or UTC$"),
        ("Mon 09:00-10:00 ../etc", "must be days, times and a time zone"),
        ("Mon 09:00-10:00 Etc/../passwd", "must be days, times and a time zone"),
        ("Mon 09:00-10:00 a/b//c", "not a time zone"),
        # zones that some machines have, and others not or differently
        ("Mon 09:00-10:00 localtime", "^localtime is not a time zone; use one like Europe/Berlin or UTC$"),
        ("Mon 09:00-10:00 Factory", "^Factory is not a time zone"),
        ("Mon 09:00-10:00 posix/Europe/Berlin", "not a time zone; did you mean Europe/Berlin?"),
    ],
)
def test_an_invalid_window_is_refused_with_an_example(text: str, why: str) -> None:
    with pytest.raises(ValueError, match=why.replace("?", r"\?")):
        window(text)


@pytest.mark.parametrize(
    "text, moment, is_open",
    [
        ("Mon-Thu 09:00-16:00 Europe/Berlin", berlin("2026-11-23T09:00"), True),
        ("Mon-Thu 09:00-16:00 Europe/Berlin", berlin("2026-11-23T08:59:59.999999"), False),
        ("Mon-Thu 09:00-16:00 Europe/Berlin", berlin("2026-11-23T15:59:59.999999"), True),
        ("Mon-Thu 09:00-16:00 Europe/Berlin", berlin("2026-11-23T16:00"), False),
        ("Mon-Thu 09:00-16:00 Europe/Berlin", berlin("2026-11-27T12:00"), False),
        # In summer the same window is an hour earlier for UTC.
        ("Mon 09:00-16:00 Europe/Berlin", utc("2026-07-20T07:00"), True),
        ("Mon 09:00-16:00 Europe/Berlin", utc("2026-01-19T07:59"), False),
        # Over midnight it belongs to the day on which it began.
        ("Fri 22:00-02:00 UTC", utc("2026-11-27T22:00"), True),
        ("Fri 22:00-02:00 UTC", utc("2026-11-28T01:59"), True),
        ("Fri 22:00-02:00 UTC", utc("2026-11-28T02:00"), False),
        ("Fri 22:00-02:00 UTC", utc("2026-11-27T01:00"), False),
        ("Sun 22:00-02:00 UTC", utc("2026-11-23T01:00"), True),
        ("Mon 00:00-24:00 UTC", utc("2026-11-23T23:59:59"), True),
        ("Mon 00:00-24:00 UTC", utc("2026-11-24T00:00"), False),
        # 29 March 2026, 02:00 → 03:00: what the clock skips is not there.
        ("Sun 02:00-03:00 Europe/Berlin", utc("2026-03-29T00:59:59"), False),
        ("Sun 02:00-03:00 Europe/Berlin", utc("2026-03-29T01:00"), False),
        ("Sun 02:30-04:00 Europe/Berlin", utc("2026-03-29T01:00"), True),
        # 25 October 2026, 03:00 → 02:00: what it shows twice is open twice, and closed between.
        ("Sun 02:30-04:00 Europe/Berlin", berlin("2026-10-25T02:30", fold=0), True),
        ("Sun 02:30-04:00 Europe/Berlin", berlin("2026-10-25T02:00", fold=1), False),
        ("Sun 02:30-04:00 Europe/Berlin", berlin("2026-10-25T02:30", fold=1), True),
    ],
)
def test_a_window_is_open_at_its_local_times(text: str, moment: datetime, is_open: bool) -> None:
    assert window(text).is_open(moment) is is_open


@pytest.mark.parametrize(
    "text, after, opens",
    [
        ("Mon-Thu 09:00-16:00 Europe/Berlin", berlin("2026-11-20T18:00"), berlin("2026-11-23T09:00")),
        ("Mon-Thu 09:00-16:00 Europe/Berlin", berlin("2026-11-23T10:00"), berlin("2026-11-23T10:00")),
        ("Mon 09:00-16:00 UTC", utc("2026-11-23T16:00"), utc("2026-11-30T09:00")),
        # From winter time into summer time: the same time on the wall is an hour earlier.
        ("Mon 09:00-16:00 Europe/Berlin", utc("2026-03-23T15:00"), utc("2026-03-30T07:00")),
        # The clock jumps into the window.
        ("Sun 02:30-04:00 Europe/Berlin", utc("2026-03-29T00:00"), utc("2026-03-29T01:00")),
        # It is skipped altogether, and there a week later.
        ("Sun 02:00-03:00 Europe/Berlin", utc("2026-03-29T00:00"), berlin("2026-04-05T02:00")),
        ("Sun 02:00-03:00 Europe/Berlin", berlin("2026-03-22T03:00"), berlin("2026-04-05T02:00")),
        # The clock is put back into a window that had closed.
        ("Sat 22:00-02:30 Europe/Berlin", berlin("2026-10-25T02:30"), berlin("2026-10-25T02:00", fold=1)),
        # It shows the opening twice: each of them is one.
        ("Sun 02:30-02:40 Europe/Berlin", utc("2026-10-24T12:00"), berlin("2026-10-25T02:30", fold=0)),
        ("Sun 02:30-02:40 Europe/Berlin", utc("2026-10-25T00:45"), berlin("2026-10-25T02:30", fold=1)),
        # Newfoundland put its clocks back at a minute past midnight, into the day before.
        ("Sat 23:30-23:45 America/St_Johns", utc("2010-11-07T02:30:30"), utc("2010-11-07T03:00")),
        # Whenever it is asked for, the clock jumps at its second.
        *(
            ("Sun 02:30-04:00 Europe/Berlin", utc(f"2026-03-28T12:00:0{second}"), utc("2026-03-29T01:00"))
            for second in range(5)
        ),
        # Samoa had no 30 December 2011, a Friday.
        ("Fri 09:00-10:00 Pacific/Apia", utc("2011-12-30T00:00"), utc("2012-01-05T19:00")),
    ],
)
def test_the_next_opening_is_in_local_time(text: str, after: datetime, opens: datetime) -> None:
    assert schedule.next_opening([window(text)], after) == opens


def test_a_window_on_no_day_never_opens() -> None:
    weekly = replace(window("Mon 09:00-16:00 UTC"), days=frozenset())
    assert schedule.next_opening([weekly], utc("2026-11-23T10:00")) is None
    assert schedule.opening([weekly], [], utc("2026-11-23T10:00")) is None


@pytest.mark.parametrize("here", ["Asia/Tokyo", "America/Los_Angeles"])
def test_the_machines_zone_does_not_matter(monkeypatch: pytest.MonkeyPatch, here: str) -> None:
    with monkeypatch.context() as patch:
        patch.setenv("TZ", here)
        time.tzset()
        try:
            weekly = [window("Sun 02:30-04:00 Europe/Berlin")]
            opens = schedule.next_opening(weekly, utc("2026-03-28T12:00"))
            text = schedule.in_words(utc("2026-03-28T23:30"), weekly)
        finally:
            patch.undo()
            time.tzset()
    assert opens is not None and (opens, opens.utcoffset()) == (utc("2026-03-29T01:00"), timedelta(0))
    assert text == "Sun 29 Mar 2026, 00:30 CET (Sat 23:30 UTC)"


# ---- whatever windows, wherever, whenever --------------------------------------------------------------------------


@st.composite
def windows(draw: st.DrawFn) -> str:
    days = ",".join(draw(st.lists(st.sampled_from(DAYS), min_size=1, max_size=3)))
    opens, closes = draw(st.integers(0, 1439)), draw(st.integers(0, 1440))
    assume(opens != closes)
    zone = draw(st.sampled_from(ZONES))
    return f"{days} {opens // 60:02}:{opens % 60:02}-{closes // 60:02}:{closes % 60:02} {zone}"


CHANGES = [utc("2026-03-29T01:00"), utc("2026-10-25T01:00"), utc("2026-11-01T06:00"), utc("2011-12-30T10:00")]
moments = st.one_of(
    st.builds(
        lambda change, minutes: change + timedelta(minutes=minutes),
        st.sampled_from(CHANGES),
        st.integers(-12_000, 3_000),
    ),
    st.integers(1_262_304_000, 2_114_380_800).map(lambda seconds: datetime.fromtimestamp(seconds, UTC)),
)


@given(texts=st.lists(windows(), min_size=1, max_size=3), at=moments)
@settings(max_examples=100)
def test_the_next_opening_is_open_with_nothing_open_before_and_always_within_two_weeks(
    texts: list[str], at: datetime
) -> None:
    given_windows = [window(text) for text in texts]
    opens = schedule.next_opening(given_windows, at)
    assert opens is not None
    assert at <= opens <= at + timedelta(days=14, hours=1)
    assert schedule.is_open(given_windows, opens)
    if opens > at:
        before = opens - timedelta(microseconds=1)
        assert not schedule.is_open(given_windows, before)
        # checking every minute between would take too long: a sample, and the last hours completely
        for part in range(200):
            assert not schedule.is_open(given_windows, at + (opens - at) * part / 200)
        for minutes in range(1, min(120, int((opens - at).total_seconds() // 60))):
            assert not schedule.is_open(given_windows, opens - timedelta(minutes=minutes))


@given(text=windows(), at=moments)
@settings(max_examples=100)
def test_a_window_is_open_exactly_at_its_local_times(text: str, at: datetime) -> None:
    days, times, zone = text.split(" ")
    opens, closes = times.split("-")
    clock = at.astimezone(ZoneInfo(zone))
    shown = f"{clock:%H:%M}"
    today, yesterday = DAYS[clock.weekday()], DAYS[clock.weekday() - 1]
    listed = days.split(",")
    if opens < closes:
        expected = today in listed and opens <= shown < closes
    else:
        expected = (today in listed and shown >= opens) or (yesterday in listed and shown < closes)
    assert window(text).is_open(at) is expected


@given(text=st.text(max_size=60))
def test_no_text_raises_another_error(text: str) -> None:
    try:
        window(text)
    except ValueError as error:
        assert str(error)  # noqa: PT017


# ---- freezes -------------------------------------------------------------------------------------------------------


def test_without_windows_and_freezes_it_is_always_open() -> None:
    found = schedule.standing([], [], utc("2026-11-23T10:00"))
    assert found.is_open and found.opens == utc("2026-11-23T10:00")
    assert schedule.why_closed([], found) == ""


def test_a_freeze_includes_its_start_and_excludes_its_end() -> None:
    freeze = frozen("2026-11-23T10:00", "2026-11-23T12:00")
    held = [
        schedule.standing([], [freeze], utc(f"2026-11-23T{clock}")).is_open
        for clock in ("09:59:59", "10:00", "11:59:59", "12:00")
    ]
    assert held == [True, False, False, True]


def test_the_next_opening_is_in_the_first_window_after_every_freeze() -> None:
    weekly = [window("Mon-Thu 09:00-16:00 UTC")]
    freezes = [
        frozen("2026-11-23T00:00", "2026-11-24T12:00"),
        frozen("2026-11-24T11:00", "2026-11-24T18:00"),  # ends after the window has closed
        frozen("2026-11-25T08:00", "2026-11-25T10:30", EVERY_APPLICATION),  # covers that opening
    ]
    found = schedule.standing(weekly, freezes, utc("2026-11-23T10:00"))
    assert not found.is_open and found.in_window
    assert found.opens == utc("2026-11-25T10:30")


def test_the_reason_for_being_closed_names_freeze_author_reason_and_windows() -> None:
    weekly = [window("Mon-Thu 09:00-16:00 Europe/Berlin"), window("Sat 09:00-10:00 UTC")]
    freezes = [
        frozen("2026-11-20T00:00", "2026-11-23T23:30"),
        replace(frozen("2026-11-20T00:00", "2026-11-21T00:00", "*"), reason="...the X."),
    ]
    found = schedule.standing(weekly, freezes, utc("2026-11-20T20:00"))
    assert schedule.why_closed(weekly, found) == (
        "storefront is frozen until Tue 24 Nov 2026, 00:30 CET (Mon 23:30 UTC) by ana: the sale. "
        "Everything is frozen until Sat 21 Nov 2026, 01:00 CET (00:00 UTC) by ana: ...the X. "
        "No window is open (Mon-Thu 09:00-16:00 Europe/Berlin, Sat 09:00-10:00 UTC)."
    )


def test_without_a_window_times_are_in_utc() -> None:
    assert schedule.in_words(berlin("2026-11-23T09:00")) == "Mon 23 Nov 2026, 08:00 UTC"


@given(
    text=windows(),
    at=moments,
    spans=st.lists(st.tuples(st.integers(-3000, 10_000), st.integers(1, 10_000)), max_size=4),
)
@settings(max_examples=60)
def test_the_next_opening_after_freezes_is_open_and_not_frozen(
    text: str, at: datetime, spans: list[tuple[int, int]]
) -> None:
    freezes = [
        Freeze(
            id=str(number),
            application="storefront",
            reason="r",
            author="a",
            starts=at + timedelta(minutes=starts),
            ends=at + timedelta(minutes=starts + lasts),
        )
        for number, (starts, lasts) in enumerate(spans)
    ]
    opens = schedule.opening([window(text)], freezes, at)
    assert opens is not None and opens >= at
    assert schedule.standing([window(text)], freezes, opens).is_open
    assert schedule.standing([window(text)], freezes, at).is_open is (opens == at)


FRIDAY, MONDAY = utc("2026-11-27T12:00"), utc("2026-11-30T09:00")
WINDOWS = Gates(windows=("Mon-Thu 09:00-16:00 UTC",))
WAITING = Gates(windows=WINDOWS.windows, whenClosed="wait")
LOOK = int(schedule.LOOK_AGAIN.total_seconds())


@pytest.mark.parametrize(
    "rules, at, since, emergency, expected",
    [
        (Gates(), FRIDAY, None, False, Leave()),
        (WINDOWS, MONDAY, None, False, Leave()),
        (WINDOWS, MONDAY, None, True, Leave()),
        (WINDOWS, FRIDAY, None, True, Leave(closed="No window")),
        (WINDOWS, FRIDAY, None, False, Leave(closed="No window", refused=True)),
        (WAITING, FRIDAY, None, False, Leave(closed="No window", wait=LOOK, opens=MONDAY)),
        (
            WAITING,
            MONDAY - timedelta(seconds=90),
            None,
            False,
            Leave(closed="No window", wait=90, opens=MONDAY),
        ),
        (
            WAITING,
            FRIDAY,
            MONDAY - schedule.LONGEST_WAIT,
            False,
            Leave(closed="No window", wait=LOOK, opens=MONDAY),
        ),
        (
            WAITING,
            FRIDAY,
            MONDAY - schedule.LONGEST_WAIT - timedelta(seconds=1),
            False,
            Leave(
                closed="No window is open (Mon-Thu 09:00-16:00 UTC). A release waits at most 7",
                refused=True,
            ),
        ),
    ],
)
def test_an_approved_release_continues_waits_or_ends(
    rules: Gates, at: datetime, since: datetime | None, emergency: bool, expected: Leave
) -> None:
    found = schedule.leave(rules, [], at, since=since, emergency=emergency)
    assert found.closed.startswith(expected.closed) and bool(found.closed) == bool(expected.closed)
    assert replace(found, closed=expected.closed) == expected


def test_a_freeze_closes_an_open_window_until_it_ends() -> None:
    short, long = (
        frozen("2026-11-30T09:00", "2026-11-30T09:05"),
        frozen("2026-11-30T09:00", "2026-12-10T00:00"),
    )
    waits = schedule.leave(WAITING, [short], MONDAY, since=None, emergency=False)
    assert (waits.wait, waits.opens) == (300, short.ends) and "the sale" in waits.closed
    assert schedule.leave(WAITING, [long], MONDAY, since=None, emergency=False).refused
