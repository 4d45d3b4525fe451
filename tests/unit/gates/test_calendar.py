"""The calendar gate: what can be deployed now, what waits, and what passes anyway."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from tagship.gates import Verdict, calendar
from tagship.model.documents import as_document, read_application
from tagship.model.schedule import EVERY_APPLICATION, Freeze
from tests.unit.builders import application, manifest
from tests.unit.gates.cases import NOW, case

OPEN = "Mon-Thu 09:00-16:00 Europe/Berlin"
"""NOW is a Monday, 10:45 in Berlin."""
CLOSED = "Tue 09:00-16:00 Europe/Berlin"


def configured(**gates):
    document = as_document(read_application(application(gates=gates)))
    return {"version": 3, "document": document, "problems": []}


def frozen(*, hours: float = 2, scope: str = "storefront", reason: str = "the sale") -> Freeze:
    return Freeze(
        id="one",
        application=scope,
        reason=reason,
        author="arn:aws:iam::000000000000:user/ana",
        starts=NOW - timedelta(hours=1),
        ends=NOW + timedelta(hours=hours),
    )


def judged(*freezes: Freeze, emergency: str = "", now: datetime = NOW, **gates):
    return calendar.check(
        case(
            now=now,
            freezes=freezes,
            configuration=configured(**gates),
            manifest=manifest(notes="", parameters={}, emergency=emergency),
        )
    )


@pytest.mark.parametrize(
    "gates, why",
    [
        ({}, "No windows are configured, and nothing is frozen."),
        ({"windows": [OPEN]}, f"A window is open ({OPEN}), and nothing is frozen."),
        ({"windows": [CLOSED, OPEN]}, f"A window is open ({CLOSED}, {OPEN}), and nothing is frozen."),
    ],
)
def test_an_open_calendar_passes(gates, why):
    result = judged(**gates)
    assert (result.gate, result.verdict, result.why, result.warning) == ("calendar", Verdict.PASSED, why, "")


def test_a_past_or_future_freeze_blocks_nobody():
    assert judged(frozen(hours=-0.5)).verdict is Verdict.PASSED
    assert judged(frozen(), now=NOW - timedelta(hours=2)).verdict is Verdict.PASSED


@pytest.mark.parametrize("scope, whose", [("storefront", "storefront"), (EVERY_APPLICATION, "Everything")])
def test_a_frozen_application_fails_with_who_why_and_when_it_ends(scope, whose):
    result = judged(frozen(scope=scope))
    assert result.verdict is Verdict.FAILED
    assert result.why == (
        f"{whose} is frozen until Mon 23 Nov 2026, 11:45 UTC by arn:aws:iam::000000000000:user/ana: the sale. "
        "It may be deployed from Mon 23 Nov 2026, 11:45 UTC."
    )
    assert result.remedy == (
        "Retry the release then, or publish a new tag as an emergency (--emergency). To let releases wait by "
        "themselves, set gates.whenClosed: wait."
    )


def test_outside_every_window_it_fails_with_the_next_opening():
    result = judged(windows=[CLOSED])
    assert result.why == (
        f"No window is open ({CLOSED}). It may be deployed from Tue 24 Nov 2026, 09:00 CET (08:00 UTC)."
    )
    assert result.verdict is Verdict.FAILED


def test_a_waiting_release_passes_and_approvers_see_when_traffic_moves():
    result = judged(frozen(hours=25), windows=[CLOSED], whenClosed="wait")
    assert result.verdict is Verdict.PASSED
    assert result.warning == (
        "After approval, traffic moves no sooner than Tue 24 Nov 2026, 11:45 CET (10:45 UTC). "
        "storefront is frozen until Tue 24 Nov 2026, 11:45 CET (10:45 UTC) by arn:aws:iam::000000000000:user/ana: the sale. "
        f"No window is open ({CLOSED})."
    )


@pytest.mark.parametrize("when_closed", ["fail", "wait"])
@pytest.mark.parametrize("hours, waits", [(7 * 24, True), (7 * 24 + 0.1, False)])
def test_nobody_waits_longer_than_a_week(when_closed, hours, waits):
    result = judged(frozen(hours=hours), whenClosed=when_closed)
    assert (result.verdict is Verdict.PASSED) is (waits and when_closed == "wait")
    assert ("not be deployed within the next 7 days" in result.why) is not waits


@pytest.mark.parametrize("gates", [{}, {"windows": [CLOSED]}, {"windows": [CLOSED], "whenClosed": "wait"}])
def test_an_emergency_passes_and_says_so_first(gates):
    result = judged(frozen(hours=24 * 30), emergency=" Nobody can pay. ", **gates)
    assert result.verdict is Verdict.PASSED
    assert result.warning.startswith(
        "EMERGENCY, declared by dana@example.com: everyone who may decide must approve. "
        "Reason: Nobody can pay. It ignores: "
    )
    assert "the sale" in result.warning
    assert result.warning.endswith(f"It ignores: {result.why}")


def test_an_emergency_without_obstacles_says_that_it_would_pass():
    result = judged(emergency="Nobody can pay.")
    assert result.verdict is Verdict.PASSED
    assert result.why == "Nothing blocks it now."
    assert result.warning.endswith(
        "Reason: Nobody can pay. It ignores any freeze or closed window until it is deployed."
    )


@pytest.mark.parametrize(
    "missing",
    [
        {"manifest": None, "problems": ["is not JSON"]},
        {"configuration": {"version": 1, "document": None, "problems": ["is not JSON"]}},
    ],
    ids=["manifest", "configuration"],
)
def test_an_unreadable_calendar_does_not_pass(missing):
    assert calendar.check(case(**missing)).verdict is Verdict.ERROR


def test_a_window_follows_its_own_zone_in_summer_and_winter():
    summer, winter = datetime(2026, 7, 20, 7, 30, tzinfo=UTC), datetime(2026, 1, 19, 7, 30, tzinfo=UTC)
    assert judged(windows=[OPEN], now=summer).verdict is Verdict.PASSED
    assert judged(windows=[OPEN], now=winter).verdict is Verdict.FAILED
