"""tagship report: DORA's four keys and approval latency, by application, for a period."""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import click

from tagship_cli import options
from tagship_cli.failures import Failed
from tagship_cli.place import Place, in_a_place
from tagship_cli.views import screen
from tagship_cli.when import When

if TYPE_CHECKING:
    from tagship_cli.views.measures import Keys, Spread
    from tagship_cli.views.reporting import Report

DAYS = 30


@click.command(
    epilog="""\b
Examples:
  tagship report --stage production                                   every application, the last 30 days
  tagship report --application storefront --since 2026-07-01 --until 2026-10-01
  tagship report --since 90d --html report.html                       one page with charts, to pass on"""
)
@click.option(
    "--application",
    "-a",
    "names",
    multiple=True,
    metavar="NAME",
    help="Only this application. Can be repeated.",
)
@click.option(
    "--since",
    type=When(),
    metavar="WHEN",
    help=f"The start of the period: a day, a time or an age (12h, 30d).  [default: {DAYS}d]",
)
@click.option(
    "--until",
    type=When(),
    metavar="WHEN",
    help="The end of the period, exclusive, in the same forms.  [default: now]",
)
@options.as_html
@in_a_place
@options.as_json
def report(
    *,
    place: Place,
    names: tuple[str, ...],
    since: datetime | timedelta | None,
    until: datetime | timedelta | None,
    html: Path | None,
    as_json: bool,
) -> None:
    """Report deployment frequency, lead time, change failure rate, time to restore and approval latency.

    These are DORA's four keys, computed from the ledger's facts. docs/monitoring.md explains how.
    """
    from tagship_cli.views import overview, reporting
    from tagship_cli.views.measures import Span

    now = place.now
    span = Span(since=_moment(since or timedelta(days=DAYS), now), until=min(now, _moment(until, now)))
    if span.since >= span.until:
        raise click.UsageError("--since must be before --until, and before now.")
    applications = sorted(set(names)) or overview.applications(place)
    if not applications:
        raise Failed(f"No application is configured in {place.stage}, so there is nothing to report on.")
    made = reporting.make(place, applications, span)
    if html:
        from tagship_cli.pages.report import report_page

        _write(html, report_page(made))
    if as_json:
        screen.result(made.as_dict())
    else:
        screen.say(*summary_lines(made))
        if html:
            screen.say("", f"Page written: {screen.clean(str(html))}")


def _moment(given: datetime | timedelta | None, now: datetime) -> datetime:
    if given is None:
        return now
    return now - given if isinstance(given, timedelta) else given


def _write(path: Path, text: str) -> None:
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise Failed(f"{path} can't be written: {error.strerror}.") from error


def summary_lines(made: Report) -> list[str]:
    """A table with a line for each application, and one for all together."""
    from tagship_cli.views import times

    head = ("application", "deployments", "a day", "failed", "lead time", "restored in", "approved in")
    rows = [_row(name, found) for name, found in made.by_application.items()]
    if len(rows) > 1:
        rows.append(_row("together", made.together))
    lines = [
        f"{screen.bold(made.stage)} from {times.full(made.span.since)} until {times.full(made.span.until)}",
        "",
        *screen.table(head, rows),
        "",
        screen.dim(
            "failed: rolled back, or stopped after traffic had moved. Times are medians; the 90th "
            "percentile is in brackets."
        ),
    ]
    if made.together.unrestored:
        lines.append(
            screen.bad(f"Failures not restored yet: {made.together.unrestored}. See tagship status.")
        )
    return lines


def _row(name: str, found: Keys) -> tuple[str, ...]:
    rate = found.failure_rate
    return (
        screen.bold(screen.one_line(name, 40)),
        str(found.deployments),
        f"{found.per_day:.2f}",
        "–" if rate is None else f"{found.failed} ({rate:.0%})",
        _spread(found.lead),
        "not yet" if found.unrestored and found.restore.median is None else _spread(found.restore),
        _spread(found.approval),
    )


def _spread(found: Spread) -> str:
    from tagship_cli.views import times

    if found.median is None or found.p90 is None:
        return "–"
    return times.span(found.median) + (f" ({times.span(found.p90)})" if found.count > 1 else "")
