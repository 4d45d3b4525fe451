"""tagship history: list an application's releases and their outcomes, or show one release's timeline."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import Any

import click

from tagship.model.records import FactRecord, ReleaseRecord
from tagship_cli import options
from tagship_cli.failures import Failed, trying
from tagship_cli.place import Place, in_a_place
from tagship_cli.views import screen
from tagship_cli.when import When

STATUSES = (
    *(
        "RUNNING",
        "SUCCEEDED",
        "INVALID",
        "REJECTED",
        "EXPIRED",
        "SUPERSEDED",
        "ROLLED_BACK",
        "ROLLBACK_FAILED",
        "ABORTED",
    ),
)


@click.command(
    epilog="""\b
Examples:
  tagship history storefront                  the last 20 releases
  tagship history storefront --tag v1.4.0     everything that happened to one release
  tagship history storefront --status ROLLED_BACK --since 90d
  tagship history storefront --limit 100 --json
  tagship history storefront --configuration  who changed its configuration, and when"""
)
@click.argument("application")
@click.option("--tag", metavar="TAG", help="Show one release as a timeline.")
@click.option(
    "--configuration",
    is_flag=True,
    help="Show the versions of its configuration instead, and who wrote them.",
)
@click.option(
    "--limit",
    type=click.IntRange(1),
    default=20,
    show_default=True,
    help="How many releases to show, newest first.",
)
@click.option(
    "--status",
    "statuses",
    multiple=True,
    type=click.Choice(STATUSES, case_sensitive=False),
    metavar="STATUS",
    help="Only releases with this status, or RUNNING. Can be repeated.",
)
@click.option("--author", metavar="ADDRESS", help="Only releases by this author.")
@click.option(
    "--since",
    type=When(),
    metavar="WHEN",
    help="Only releases that started after this: a day, a time or an age (12h, 30d).",
)
@in_a_place
@options.as_json
def history(
    *,
    place: Place,
    application: str,
    tag: str | None,
    configuration: bool,
    limit: int,
    as_json: bool,
    **filters: Any,
) -> None:
    """List an application's releases: the outcome of each, when, how long it took, and why.

    With --tag, show one release's facts from its upload to its ending, and what to do now.
    """
    if tag and configuration:
        raise click.UsageError("Use either --tag or --configuration, not both.")
    if configuration:
        _versions(place, application, limit, as_json=as_json)
    elif tag:
        _one(place, application, tag, as_json=as_json)
    else:
        _all(place, application, Filters(limit=limit, **filters), as_json=as_json)


@dataclass(frozen=True, slots=True, kw_only=True)
class Filters:
    """A filter for releases."""

    limit: int
    statuses: tuple[str, ...]
    author: str | None
    since: datetime | timedelta | None

    def has(self, record: ReleaseRecord) -> bool:
        """Whether the release matches."""
        by = self.author is None or author_of(record).casefold() == self.author.casefold()
        return by and (not self.statuses or record["status"] in self.statuses)

    def oldest(self, now: datetime) -> str:
        """The oldest time, in the ledger's format; empty for no limit."""
        from tagship.ledger.table import timestamp

        if self.since is None:
            return ""
        moment = now - self.since if isinstance(self.since, timedelta) else self.since
        return timestamp(moment.astimezone(UTC))


def _one(place: Place, application: str, tag: str, *, as_json: bool) -> None:
    from tagship.ledger import releases

    with trying(f"Reading the ledger of {place.stage}"):
        record = releases.get(place.ledger, application, tag)
        facts = place.ledger.facts_of(application, tag)
    if as_json:
        screen.result({**summary(record, place.now), "facts": [plain(fact) for fact in facts]})
    else:
        screen.say(*timeline(record, facts, place))


def _all(place: Place, application: str, filters: Filters, *, as_json: bool) -> None:
    from tagship.ledger import history

    with trying(f"Reading the ledger of {place.stage}"):
        releases = history.newest(place.ledger, application, since=filters.oldest(place.now))
        found = list(islice(filter(filters.has, releases), filters.limit + 1))
        if not found and next(history.newest(place.ledger, application), None) is None:
            raise Failed(f"No release of {application!r} is in the ledger of stage {place.stage}.")
    if as_json:
        summaries = [summary(record, place.now) for record in found[: filters.limit]]
        screen.result({"application": application, "stage": place.stage, "releases": summaries})
    else:
        screen.say(*_list(application, found, filters.limit, place))


def _versions(place: Place, application: str, limit: int, *, as_json: bool) -> None:
    from tagship.ledger.table import timestamp
    from tagship_cli.actions.configuration import versions
    from tagship_cli.views import times

    found = versions(place.client("ssm"), stage=place.stage, application=application)[:limit]
    if not found:
        raise Failed(f"There is no configuration of {application!r} in {place.stage}.")
    if as_json:
        listed = [
            {"version": each.version, "at": timestamp(each.at.astimezone(UTC)), "by": each.by}
            for each in found
        ]
        screen.result({"application": application, "stage": place.stage, "versions": listed})
        return
    rows = [(str(each.version), times.short(each.at), screen.clean(each.by)) for each in found]
    screen.say(*screen.table(("version", f"written ({times.zone(place.now)})", "by"), rows))


def summary(record: ReleaseRecord, now: datetime) -> dict[str, object]:
    """A release for programs."""
    from tagship_cli.views import story

    manifest, plan = record.get("manifest"), record.get("plan")
    return {
        "application": record["application"],
        "tag": record["tag"],
        "attempt": record["attempt"],
        "stage": record["stage"],
        "status": record["status"],
        "why": record.get("why", ""),
        "began": record["readAt"],
        "ended": record.get("endedAt"),
        "seconds": round(story.took(record, now), 3),
        "author": author_of(record),
        "commit": manifest["commit"] if manifest else "",
        "from": plan["from"] if plan else None,
        "execution": record["execution"],
    }


def author_of(record: ReleaseRecord) -> str:
    """Its author; empty if the manifest can't be read, because then the summary has none."""
    manifest = record.get("manifest")
    return manifest["author"] if manifest else ""


def coloured(status: str) -> str:
    """A status in its colour."""
    from tagship.story.narrator import Mood, mood_of

    paint = {Mood.GOOD: screen.good, Mood.BAD: screen.bad, Mood.WARY: screen.wary}
    return paint.get(mood_of(status), screen.bold)(status)


def timeline(record: ReleaseRecord, facts: Sequence[FactRecord], place: Place) -> list[str]:
    """One release's timeline."""
    from tagship_cli.views import story, times
    from tagship_cli.views.telling import fact_lines, headline, verdict

    began = times.moment(record["readAt"])
    lines = [*headline(record, place), screen.dim(f"{times.day(began)}, times in {times.zone(began)}")]
    before = began
    for fact in facts:
        lines += fact_lines(fact, before=before)
        before = times.moment(fact["at"])
    if record["status"] == "RUNNING":
        lines += [
            "",
            f"Watch it: tagship watch {record['application']} {screen.one_line(record['tag'])}{place.flags()}",
        ]
    else:
        lines += ["", *verdict(record, times.span(story.took(record, place.now)))]
    return lines


def _list(application: str, found: list[ReleaseRecord], limit: int, place: Place) -> list[str]:
    from tagship_cli.views import story, times

    now = place.now
    rows = [
        (
            screen.bold(screen.one_line(record["tag"], 40)),
            coloured(record["status"]),
            times.short(times.moment(record["readAt"])),
            times.span(story.took(record, now)),
            screen.one_line(author_of(record), 40),
        )
        for record in found[:limit]
    ]
    reasons = [screen.one_line(record.get("why") or "in progress", 1000) for record in found[:limit]]
    zone = times.zone(now)
    lines = [
        f"{screen.bold(application)} in {place.stage}, newest first; times in {zone}",
        *_with_reasons(("tag", "status", "began", "took", "author"), rows, reasons),
    ]
    if not found:
        lines.append(screen.dim("No release matches."))
    if len(found) > limit:
        lines.append(screen.dim(f"There are older releases: use --limit {limit * 5} to see more."))
    return lines


def _with_reasons(
    head: Sequence[str], rows: Sequence[Sequence[str]], reasons: Sequence[str]
) -> Iterator[str]:
    """On a terminal, the reason is the last column, cut off where the line ends. In a file or a log, it has its own line."""
    if screen.on_terminal():
        yield from screen.table((*head, "why"), [(*row, why) for row, why in zip(rows, reasons, strict=True)])
        return
    first, *others = screen.table(head, rows)
    yield first
    for line, why in zip(others, reasons, strict=True):
        yield from (line, f"    {why}")


def plain(fact: FactRecord) -> dict[str, object]:
    """A fact for programs."""
    return {name: fact[name] for name in ("seq", "at", "name", "who", "attempt", "execution", "data")}
