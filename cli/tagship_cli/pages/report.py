"""Self-contained pages: no scripts, no external content, and every value escaped."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path

from jinja2 import Environment
from markupsafe import Markup

from tagship.story.narrator import mood_of
from tagship.text.rendering import environment
from tagship.text.words import count
from tagship_cli.views import charts, times
from tagship_cli.views.charts import Series
from tagship_cli.views.measures import Keys, Spread
from tagship_cli.views.reporting import Report

_TEMPLATES = Path(__file__).parent / "templates"


@cache
def _environment() -> Environment:
    return environment(_TEMPLATES, style=drawn((_TEMPLATES / "page.css").read_text("utf-8")))


def rendered(template: str, **values: object) -> str:
    """Renders one page."""
    return _environment().get_template(template).render(**values)


def drawn(text: str) -> Markup:
    """Markup that this program itself made, with all text in it escaped."""
    return Markup(text)  # noqa: S704 - charts.py and picture.py escape what they are given


# ---- the report ----------------------------------------------------------------------------------------------------


def report_page(made: Report) -> str:
    """The four keys, with charts over time."""
    found = made.together
    return rendered(
        "report.html",
        stage=made.stage,
        since=times.full(made.span.since),
        until=times.full(made.span.until),
        made=times.full(made.made),
        keys=_keys(found),
        unrestored=found.unrestored,
        charts=_charts(made.parts),
        columns=("deployments", "a day", "failed", "lead time", "restored in", "approved in"),
        rows=[_row(name, each) for name, each in made.by_application.items()],
        endings=[(status, mood_of(status).value, number) for status, number in sorted(found.endings.items())],
    )


def _keys(found: Keys) -> list[dict[str, str]]:
    rate = found.failure_rate
    return [
        {
            "name": "Deployments",
            "value": str(found.deployments),
            "more": f"{found.per_day:.2f} a day",
        },
        {"name": "Lead time", "value": _median(found.lead), "more": _nine_of_ten(found.lead, "deployment")},
        {
            "name": "Change failure rate",
            "value": "–" if rate is None else f"{rate:.1%}",
            "more": f"{found.failed} of {count(found.deployments, 'deployment')}",
        },
        {
            "name": "Time to restore",
            "value": _restored(found),
            "more": _nine_of_ten(found.restore, "failure restored", "failures restored"),
        },
        {
            "name": "Approval latency",
            "value": _median(found.approval),
            "more": _nine_of_ten(found.approval, "decision"),
        },
    ]


def _charts(parts: list[Keys]) -> list[dict[str, object]]:
    labels = [f"{part.span.since.astimezone():%d %b}" for part in parts]
    every = {1: "day", 7: "week", 28: "four weeks"}.get(round(parts[0].span.days), "part")

    def spread(title: str, empty: str, of: Callable[[Keys], Spread]) -> dict[str, object]:
        medians = [of(part).median for part in parts]
        known = [each for each in medians if each is not None]
        if not known:
            return {"title": title, "legend": (), "svg": "", "empty": empty}
        unit, seconds = unit_of(max(known))
        values = [None if each is None else each / seconds for each in medians]
        series = [Series(name=title, style="plain", values=values)]
        svg = charts.dots(title, labels, series, unit=f" {unit}")
        return {
            "title": f"{title}, median by {every}, in {unit}",
            "legend": (),
            "svg": drawn(svg),
            "empty": "",
        }

    rates = [None if part.failure_rate is None else part.failure_rate * 100 for part in parts]
    deployments = [
        Series(name="good", style="good", values=[part.deployments - part.failed for part in parts]),
        Series(name="failed", style="bad", values=[part.failed for part in parts]),
    ]
    title = "Deployments"
    return [
        {
            "empty": "Nothing was deployed in this time.",
            "title": f"{title} by {every}",
            "legend": (("good", "good"), ("bad", "failed")),
            "svg": drawn(charts.bars(title, labels, deployments))
            if any(p.deployments for p in parts)
            else "",
        },
        {
            "empty": "Nothing was deployed in this time, so there is no rate.",
            "title": f"Change failure rate by {every}, in percent",
            "legend": (),
            "svg": drawn(
                charts.dots(
                    "Change failure rate",
                    labels,
                    [Series(name="Change failure rate", style="bad", values=rates)],
                    unit=" %",
                )
            )
            if any(rate is not None for rate in rates)
            else "",
        },
        spread("Lead time", "No deployment succeeded in this time.", lambda part: part.lead),
        spread("Time to restore", "No failure was restored in this time.", lambda part: part.restore),
        spread("Approval latency", "No request was decided in this time.", lambda part: part.approval),
    ]


_UNITS = (("seconds", 1), ("minutes", 60), ("hours", 3600), ("days", 86_400))


def unit_of(most: float) -> tuple[str, int]:
    """The largest unit in which the largest value (seconds) is at least two, and its length in seconds."""
    return next((each for each in reversed(_UNITS) if most >= 2 * each[1]), _UNITS[0])


def _row(name: str, found: Keys) -> tuple[str, ...]:
    rate = found.failure_rate
    return (
        name,
        str(found.deployments),
        f"{found.per_day:.2f}",
        "–" if rate is None else f"{found.failed} ({rate:.0%})",
        _median(found.lead),
        _restored(found),
        _median(found.approval),
    )


def _restored(found: Keys) -> str:
    return "not yet" if found.unrestored and found.restore.median is None else _median(found.restore)


def _median(found: Spread) -> str:
    return "–" if found.median is None else times.span(found.median)


def _nine_of_ten(found: Spread, what: str, several: str = "") -> str:
    if found.p90 is None:
        return f"no {what}"
    return f"90th percentile: {times.span(found.p90)}; {count(found.count, what, several)}"
