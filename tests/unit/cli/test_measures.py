"""DORA's four keys from facts: no data, one release, a rollback after success, two applications."""

from __future__ import annotations

import itertools
import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from tagship_cli.views import measures
from tagship_cli.views.measures import Span, Spread, Story

BEGIN = datetime(2026, 11, 1, tzinfo=UTC)
MONTH = Span(since=BEGIN, until=BEGIN + timedelta(days=30))
HOUR = 3600


def at(hours: float) -> str:
    return (BEGIN + timedelta(hours=hours)).isoformat()


def fact(
    name: str, hours: float, tag: str = "v1.0.0", *, application: str = "storefront", **data: Any
) -> dict[str, Any]:
    return {"name": name, "at": at(hours), "tag": tag, "attempt": 1, "application": application, "data": data}


def good(tag: str, hours: float, *, lead: float = 2, application: str = "storefront") -> list[dict[str, Any]]:
    """A release that is read, approved after an hour, and succeeds half an hour later."""
    end = hours + 1.5
    return [
        fact("Release Read", hours, tag, application=application),
        fact("Approval Granted", hours + 1, tag, application=application, askedAt=at(hours)),
        fact("Traffic Shifted", hours + 1.25, tag, application=application),
        fact(
            "Release Succeeded",
            end,
            tag,
            application=application,
            status="SUCCEEDED",
            durations={"LeadTime": at(end - lead)},
        ),
    ]


def bad(tag: str, hours: float) -> list[dict[str, Any]]:
    """A release that is rolled back a quarter of an hour after its failure was seen."""
    return [
        fact("Release Read", hours, tag),
        fact("Traffic Shifted", hours + 0.1, tag),
        fact("Rollback Triggered", hours + 0.25, tag),
        fact("Release Rolled Back", hours + 0.5, tag),
    ]


def of(*facts: dict[str, Any], span: Span = MONTH) -> measures.Keys:
    return measures.keys([measures.read(sorted(facts, key=lambda each: each["at"]))], span)


def test_without_releases_there_are_no_rates_and_no_times():
    found = of()
    assert (found.deployments, found.failed, found.failure_rate, found.per_day) == (0, 0, None, 0.0)
    assert found.lead == found.restore == found.approval == Spread(count=0, median=None, p90=None)
    assert found.endings == {}


def test_one_release_has_every_measure_except_time_to_restore():
    found = of(*good("v1.0.0", 10, lead=5))
    assert (found.deployments, found.failure_rate) == (1, 0.0)
    assert found.per_day == pytest.approx(1 / 30)
    assert found.lead == Spread(count=1, median=5 * HOUR, p90=5 * HOUR)
    assert found.approval == Spread(count=1, median=HOUR, p90=HOUR)
    assert found.restore.count == 0
    assert found.endings == {"SUCCEEDED": 1}


def test_a_rolled_back_release_is_a_failed_deployment_that_was_restored():
    found = of(*good("v1.0.0", 10), *bad("v1.1.0", 20))
    assert (found.deployments, found.failed, found.failure_rate) == (2, 1, 0.5)
    assert found.restore == Spread(count=1, median=900, p90=900)
    assert found.lead.count == 1
    assert found.endings == {"SUCCEEDED": 1, "ROLLED_BACK": 1}


def test_a_release_rolled_back_after_its_success_is_one_failed_deployment():
    found = of(
        *good("v1.0.0", 10),
        fact("Rollback Triggered", 100, "v1.0.0"),
        fact("Release Rolled Back", 101, "v1.0.0"),
    )
    assert (found.deployments, found.failed) == (1, 1)
    assert found.restore == Spread(count=1, median=HOUR, p90=HOUR)
    assert found.endings == {"SUCCEEDED": 1}


def test_a_failure_counts_when_it_was_deployed_and_its_recovery_when_it_recovered():
    facts = [
        *good("v1.0.0", 10),
        fact("Rollback Triggered", 100, "v1.0.0"),
        fact("Release Rolled Back", 101, "v1.0.0"),
    ]
    first = Span(since=BEGIN, until=BEGIN + timedelta(hours=50))
    second = Span(since=first.until, until=MONTH.until)
    assert (of(*facts, span=first).failed, of(*facts, span=first).restore.count) == (1, 0)
    assert (of(*facts, span=second).deployments, of(*facts, span=second).restore.count) == (0, 1)


@pytest.mark.parametrize(
    "facts",
    [
        [fact("Release Read", 1), fact("Release Invalid", 2)],
        [fact("Release Read", 1), fact("Release Aborted", 2)],
        [fact("Release Read", 1), fact("Release Succeeded", 2, durations={"LeadTime": at(1)})],
        [fact("Release Read", 1), fact("Traffic Shifted", 2)],
    ],
    ids=["invalid", "stopped before", "nothing to change", "on its way"],
)
def test_a_release_without_traffic_or_ending_is_no_deployment(facts):
    assert of(*facts).deployments == 0


def test_a_stop_after_traffic_moved_is_a_failed_deployment():
    found = of(fact("Traffic Shifted", 1), fact("Rollback Triggered", 2), fact("Release Aborted", 2.5))
    assert (found.deployments, found.failed, found.restore.median) == (1, 1, 0.5 * HOUR)


def test_a_failed_rollback_ends_when_a_later_one_succeeds():
    found = of(
        *bad("v1.1.0", 20)[:3],
        fact("Rollback Failed", 21, "v1.1.0"),
        fact("Rollback Triggered", 22, "v1.1.0"),
        fact("Release Rolled Back", 23.25, "v1.1.0"),
    )
    assert (found.deployments, found.failed, found.unrestored) == (1, 1, 0)
    assert found.restore == Spread(count=1, median=3 * HOUR, p90=3 * HOUR)


def test_a_failed_rollback_ends_when_the_next_release_succeeds():
    found = of(*bad("v1.1.0", 20)[:3], fact("Rollback Failed", 21, "v1.1.0"), *good("v1.2.0", 30))
    assert (found.deployments, found.failed, found.unrestored) == (2, 1, 0)
    assert found.restore.median == pytest.approx(11.25 * HOUR)


def test_an_unrecovered_failure_is_reported():
    found = of(*bad("v1.1.0", 20)[:3], fact("Rollback Failed", 21, "v1.1.0"))
    assert (found.unrestored, found.restore.count) == (1, 0)


def test_two_applications_are_counted_separately_and_together():
    one = measures.read(good("v1.0.0", 10, lead=2))
    other = measures.read(
        good("v7.0.0", 11, lead=4, application="shop") + good("v7.1.0", 50, application="shop")
    )
    assert measures.keys([one], MONTH).deployments == 1
    assert measures.keys([other], MONTH).deployments == 2
    together = measures.keys([one, other], MONTH)
    assert (together.deployments, together.lead.median) == (3, 2 * HOUR)


def test_another_attempt_of_the_same_tag_is_its_own_deployment():
    again = [each | {"attempt": 2} for each in good("v1.0.0", 40)]
    assert of(*bad("v1.0.0", 10), *again).deployments == 2


def test_the_lookback_covers_the_longest_execution():
    release = (Path(__file__).parents[3] / "statemachine" / "release.asl.yaml").read_text()
    (seconds,) = re.findall(r"^TimeoutSeconds: (\d+)$", release, re.MULTILINE)
    assert timedelta(seconds=int(seconds)) < measures.LONGEST_RELEASE


def test_the_end_of_a_period_is_excluded():
    facts = good("v1.0.0", 10)
    ended = BEGIN + timedelta(hours=11.5)
    assert of(*facts, span=Span(since=BEGIN, until=ended)).deployments == 0
    assert of(*facts, span=Span(since=ended, until=MONTH.until)).deployments == 1


def test_facts_of_another_version_are_ignored_where_they_lack_fields():
    story = measures.read(
        [fact("Approval Granted", 1), fact("Traffic Shifted", 1), fact("Release Succeeded", 2)]
    )
    assert (story.decisions, story.deployments[0].lead) == ([], None)
    assert measures.read([]) == Story()


@pytest.mark.parametrize(
    "values, spread",
    [
        ([5.0], Spread(count=1, median=5, p90=5)),
        ([1.0, 3.0], Spread(count=2, median=2, p90=3)),
        ([float(n) for n in range(1, 11)], Spread(count=10, median=5.5, p90=9)),
        ([float(n) for n in range(1, 12)], Spread(count=11, median=6, p90=10)),
    ],
)
def test_ninety_percent_of_values_are_at_or_below_the_second_number(values, spread):
    assert Spread.of(reversed(values)) == spread


@pytest.mark.parametrize(
    "days, parts, length", [(7, 7, 1), (31, 31, 1), (32, 5, 7), (250, 36, 7), (400, 15, 28)]
)
def test_a_period_is_split_into_parts_that_cover_it(days, parts, length):
    span = Span(since=BEGIN, until=BEGIN + timedelta(days=days))
    cut = span.parts()
    assert (len(cut), cut[0].days) == (parts, length)
    assert (cut[0].since, cut[-1].until) == (span.since, span.until)
    assert all(before.until == after.since for before, after in itertools.pairwise(cut))
