"""Times that come again, by the calendar on the wall."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from itertools import islice, pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tagship.model.recurrence import Recurrence, recurrence

DECEMBER = "FREQ=YEARLY;BYMONTH=12;BYMONTHDAY=1"
QUARTERS = "FREQ=MONTHLY;BYMONTH=3,6,9,12;BYMONTHDAY=-2"
TODAY = date(2026, 11, 23)


def made(rule: str, *, zone: str = "UTC", days: int = 1, first: date = TODAY) -> Recurrence:
    return recurrence(rule, zone=zone, first=first, days=days)


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def test_every_december() -> None:
    december = made(DECEMBER, days=31)
    assert december.next(utc("2026-11-23")) == (utc("2026-12-01"), utc("2027-01-01"))
    assert december.next(utc("2026-12-24T12:00")) == (utc("2026-12-01"), utc("2027-01-01"))
    assert december.next(utc("2027-01-01")) == (utc("2027-12-01"), utc("2028-01-01"))


def test_the_last_two_days_of_each_quarter() -> None:
    days = [starts for starts, _ in islice(made(QUARTERS, days=2).times(utc("2026-11-23")), 5)]
    assert days == [utc(it) for it in ("2026-12-30", "2027-03-30", "2027-06-29", "2027-09-29", "2027-12-30")]


def test_a_day_is_a_day_in_its_zone_even_when_clocks_change() -> None:
    weekly = made("FREQ=WEEKLY;BYDAY=SU", zone="Europe/Berlin", first=date(2027, 3, 27))
    starts, ends = weekly.next(utc("2027-03-27")) or (None, None)
    assert (starts, ends) == (utc("2027-03-27T23:00"), utc("2027-03-28T22:00"))


def test_it_does_not_start_before_its_first_day() -> None:
    daily = made("FREQ=WEEKLY;BYDAY=MO", first=date(2027, 1, 1))
    assert daily.next(utc("2026-11-23")) == (utc("2027-01-04"), utc("2027-01-05"))


def test_an_ended_rule_has_no_more_occurrences() -> None:
    assert made("FREQ=YEARLY;BYMONTH=12;BYMONTHDAY=1;COUNT=1").next(utc("2027-01-01")) is None
    assert made("RRULE:freq=yearly;bymonth=12;bymonthday=1").rule == DECEMBER


@pytest.mark.parametrize(
    "rule, days, said",
    [
        ("", 1, "iCalendar rule"),
        ("every december", 1, "iCalendar rule"),
        ("FREQ=HOURLY", 1, "at most daily"),
        ("FREQ=SECONDLY;BYMONTH=12", 1, "at most daily"),
        ("BYMONTH=12", 1, "iCalendar rule"),
        ("FREQ=YEARLY;BYMONTH=13", 1, "no date in|not an iCalendar rule"),
        ("FREQ=YEARLY;NONSENSE=1", 1, "not an iCalendar rule"),
        ("FREQ=YEARLY;BYMONTH=2;BYMONTHDAY=30", 1, "no date in"),
        ("FREQ=YEARLY;INTERVAL=50;BYMONTH=1;BYMONTHDAY=1", 1, "has no date in the next three years"),
        ("FREQ=DAILY", 1, "repeats before"),
        ("FREQ=WEEKLY;BYDAY=MO", 7, "repeats before"),
        ("FREQ=YEARLY;DTSTART=20260101", 1, "not an iCalendar rule"),
        ("FREQ=YEARLY\nDTSTART:20260101", 1, "iCalendar rule"),
        ("FREQ=YEARLY;BYMONTH=" + "1," * 200 + "1", 1, "iCalendar rule"),
    ],
)
def test_an_invalid_or_endless_rule_is_refused(rule: str, days: int, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        made(rule, days=days)


@given(
    hours=st.integers(0, 24 * 1500),
    rule=st.sampled_from([DECEMBER, QUARTERS, "FREQ=WEEKLY;BYDAY=FR", "FREQ=MONTHLY;BYDAY=-1FR"]),
    days=st.integers(1, 6),
    zone=st.sampled_from(["UTC", "Europe/Berlin", "America/St_Johns", "Pacific/Apia"]),
)
def test_the_next_occurrence_is_the_current_or_the_first_future_one(
    hours: int, rule: str, days: int, zone: str
) -> None:
    at = utc("2026-11-23") + timedelta(hours=hours)
    found = list(islice(made(rule, days=days, zone=zone).times(at), 4))
    assert found[0][1] > at
    assert all(
        timedelta(hours=-1) <= ends - starts - timedelta(days=days) <= timedelta(hours=1)
        for starts, ends in found
    )
    assert all(before[1] < after[0] for before, after in pairwise(found))
    every = list(islice(made(rule, days=days, zone=zone).times(utc("2026-11-23")), 400))
    assert found[0] == next(it for it in every if it[1] > at)
