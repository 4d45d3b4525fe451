"""tagship report: a table, JSON, and one page that needs nothing else."""

from __future__ import annotations

import json
import re
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tagship.model.release import Status
from tagship_cli.pages.report import unit_of
from tagship_cli.views import charts
from tagship_cli.views.charts import Series


def some_releases(stage: Any) -> None:
    stage.configure()
    stage.clock.time -= timedelta(days=3)
    stage.release("v1.4.0").succeeded()
    stage.clock.time += timedelta(days=1)
    stage.release("v1.5.0").waiting().started().shifted(1).going_back()
    stage.clock.time += timedelta(minutes=4)
    stage.release("v1.6.0").gated(failing="tag").ended(Status.INVALID)
    stage.clock.time += timedelta(minutes=1)


def test_it_counts_from_the_ledger(stage: Any) -> None:
    some_releases(stage)
    document = json.loads(stage.run("report", "--since", "7d", "--json").stdout)
    together = document["together"]
    assert (together["deployments"], together["changeFailureRate"], together["notRestored"]) == (1, 0.0, 1)
    assert together["endings"] == {"INVALID": 1, "SUCCEEDED": 1}
    assert document["applications"] == {"storefront": together}
    assert [part["deployments"] for part in document["parts"]] == [0, 0, 0, 0, 0, 1, 0]
    shown = stage.run("report", "--since", "7d").stdout
    assert re.search(r"storefront +1 +0\.14 +0 \(0%\)", shown), shown
    assert "Failures not restored yet: 1." in shown
    assert "not yet" in shown
    assert stage.run("report", "--until", "60d").exit_code == 2
    later = json.loads(stage.run("report", "--since", "2026-11-01", "--until", "2026-11-10", "--json").stdout)
    assert later["together"]["deployments"] == 0


def test_the_page_is_self_contained_and_escapes_all_text(stage: Any, tmp_path: Path) -> None:
    some_releases(stage)
    file = tmp_path / "report.html"
    result = stage.run(
        "report", "--application", "storefront", "--application", "<b>shop", "--html", str(file)
    )
    assert result.exit_code == 0, result.output
    page = file.read_text()
    assert not re.search(r"<script|src=|href=|url\(|@import", page)
    assert "default-src &#39;none&#39;" in page or "default-src 'none'" in page
    assert "<b>shop" not in page and "&lt;b&gt;shop" in page
    assert page.count("<svg") == 3
    assert "No failure was restored in this time." in page


def test_an_empty_month_says_so(stage: Any, tmp_path: Path) -> None:
    file = tmp_path / "report.html"
    assert stage.run("report", "--application", "storefront", "--html", str(file)).exit_code == 0
    page = file.read_text()
    assert "so there is nothing to measure" in page
    assert "<svg" not in page


def test_without_any_configured_application_it_says_so(stage: Any) -> None:
    assert stage.run("report").exit_code == 1


@pytest.mark.parametrize("when", ["soon", "3x", "2026-13-01", "d"])
def test_an_invalid_time_is_a_usage_error(stage: Any, when: str) -> None:
    result = stage.run("report", "--since", when)
    assert result.exit_code == 2
    assert "neither a day" in result.stderr


# ---- charts --------------------------------------------------------------------------------------------------------


def test_a_chart_has_a_text_alternative():
    drawn = charts.bars(
        "Deployments",
        ["a", "<b>"],
        [Series(name="good", style="good", values=[3, 0]), Series(name="failed", style="bad", values=[1, 2])],
    )
    assert 'aria-label="Deployments. good: a 3; failed: a 1, &lt;b&gt; 2"' in drawn
    assert drawn.count("<rect") == 3
    assert "<b>" not in drawn


def test_a_line_skips_missing_values_and_shows_its_limit():
    drawn = charts.dots(
        "Rate", ["a", "b", "c"], [Series(name="rate", style="bad", values=[5, None, 20])], limit=10
    )
    assert drawn.count("<circle") == 2
    assert drawn.count('class="limit"') == 1


@pytest.mark.parametrize(
    "most, lines", [(0, ["0", "1"]), (3, ["0", "1", "2", "3"]), (37, ["0", "10", "20", "30", "40"])]
)
def test_the_scale_has_round_numbers(most, lines):
    drawn = charts.bars("x", ["a"], [Series(name="n", style="good", values=[most])])
    assert re.findall(r'text-anchor="end">([\d.]+)<', drawn) == lines


@given(st.floats(min_value=1e-6, max_value=1e7))
def test_no_two_lines_of_a_chart_have_the_same_label(most):
    drawn = charts.dots("x", ["a"], [Series(name="n", style="plain", values=[most])])
    lines = re.findall(r'text-anchor="end">([\d.]+)<', drawn)
    assert len(lines) == len(set(lines)) > 1
    assert lines == sorted(lines, key=float)


@pytest.mark.parametrize(
    "seconds, unit",
    [
        (0, "seconds"),
        (0.4, "seconds"),
        (119, "seconds"),
        (120, "minutes"),
        (7199, "minutes"),
        (7200, "hours"),
        (172_800, "days"),
    ],
)
def test_the_unit_follows_the_values(seconds, unit):
    assert unit_of(seconds)[0] == unit
