"""tagship status: what is deployed, what is in progress and who it is waiting on."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

import click

from tagship.model.records import CurrentRecord
from tagship.text.words import listed
from tagship_cli import options
from tagship_cli.failures import Failed
from tagship_cli.place import Place, in_a_place
from tagship_cli.views import screen

if TYPE_CHECKING:
    from tagship.model.schedule import Freeze
    from tagship_cli.views.overview import Last, Overview, Underway

_INDENT = 14


@click.command(
    epilog="""\b
Examples:
  tagship status                              every application of the stage
  tagship status storefront --stage production
  tagship status storefront --json"""
)
@click.argument("application", required=False)
@in_a_place
@options.as_json
def status(*, place: Place, application: str | None, as_json: bool) -> None:
    """Show what is deployed and since when, what is in progress and who it is waiting on.

    Without APPLICATION, show every application that is configured in the stage.
    """
    from tagship_cli.views import overview

    names = [application] if application else overview.applications(place)
    found = [overview.of(place, name) for name in names]
    if application and found[0].is_unknown:
        raise Failed(overview.unknown(application, place))
    if as_json:
        screen.result({"stage": place.stage, "applications": [each.as_dict() for each in found]})
        return
    if not found:
        screen.say(
            f"No application is configured in {place.stage}.",
            f"Configure one: tagship apply application.yaml{place.flags()}",
        )
    for number, each in enumerate(found):
        screen.say(*([""] if number else []), *status_lines(each, place, place.now))


def status_lines(each: Overview, place: Place, now: datetime) -> list[str]:
    """An application, so that its state is clear at a glance."""
    from tagship_cli.views import times

    lines = [f"{screen.bold(each.application)} in {place.stage}"]
    if each.current:
        since = times.since(times.moment(each.current["since"]), now)
        lines += _row(
            "deployed", f"{screen.bold(each.current['tag'])} since {since}", *_watched(each.current, now)
        )
    else:
        lines += _row("deployed", "nothing by Tagship yet")
    for underway in each.underway:
        lines += _underway(underway, place, now)
    if not each.underway:
        lines += _row("in progress", "nothing")
    lines += _lock(each, place, now)
    lines += _promotion(each, now)
    for freeze in each.freezes:
        lines += _frozen(freeze, now)
    if each.last is not None:
        lines += _last(each.last, each.application, place, now)
    if not each.configured:
        where = f"{place.stage}; apply one before you publish the next release"
        lines += _row("configured", screen.wary(f"no: there is no configuration in {where}"))
    return lines


def _watched(current: CurrentRecord, now: datetime) -> list[str]:
    """Until when an alarm can still roll it back."""
    from tagship_cli.views import times

    if not current.get("watchEnds") or (ends := times.moment(current["watchEnds"])) <= now:
        return []
    return [f"an alarm rolls it back automatically until {times.clock(ends)}, {times.until(ends, now)}"]


def _row(label: str, *texts: str) -> list[str]:
    return [f"  {label if number == 0 else '':<{_INDENT - 2}}{text}" for number, text in enumerate(texts)]


def _underway(underway: Underway, place: Place, now: datetime) -> list[str]:
    from tagship_cli.views import times

    release, where = underway.record, underway.now
    texts = [f"{screen.bold(release['tag'])} {screen.wary(where.text)}"]
    began = times.moment(release["readAt"])
    texts.append(f"started {times.since(began, now)}")
    if where.waits_for:
        texts.append(f"waiting for {screen.bold(listed(where.waits_for))}")
    if where.until:
        what = "expires" if where.phase in ("approval", "paused") else "until"
        texts.append(f"{what} {times.full(where.until)}, {times.until(where.until, now)}")
    if where.waits_for:
        title = screen.one_line(f"{release['application']} {release['tag']}")
        paused = where.phase == "paused"
        texts.append(
            f"continue: tagship resume {title}{place.flags()} --reason '…'"
            if paused
            else f"decide: tagship approve {title}{place.flags()}"
        )
    if underway.is_dead(now):
        rolls_back = underway.holder is not None and underway.holder.rollback
        then = "the sweep takes over within 15 minutes" if rolls_back else "the next release takes the lock"
        texts.append(screen.bad(f"its lease has expired, so its execution may have died; {then}"))
    return _row("in progress", *texts)


def _lock(each: Overview, place: Place, now: datetime) -> list[str]:
    from tagship_cli.views import times

    holder = each.holder
    if holder is None:
        return []
    if holder.kept:
        return _row(
            "lock",
            screen.bad(
                f"BLOCKED: {holder.tag} ended ROLLBACK_FAILED. No release can start until a person acts."
            ),
            f"what to do: tagship history {each.application} --tag {screen.clean(holder.tag)}{place.flags()}",
        )
    ends = times.until(times.moment(holder.leaseEnds), now)
    if not holder.upkeep:
        return _row("lock", f"held by {screen.clean(holder.tag)}, lease ends {ends}")
    since = times.since(times.moment(holder.since), now)
    text = f"held by {holder.who}, since {since}. Its lease ends {ends}. A rollback does not wait for it."
    return screen.paragraph(text, indent=_INDENT, first=_row("lock", "")[0])


def _promotion(each: Overview, now: datetime) -> list[str]:
    """When the current release is promoted, or what holds it."""
    from tagship_cli.views import times

    if (found := each.promotion) is None:
        return []
    due = times.moment(found.due)
    text = {
        "waiting": f"to {found.to} {times.full(due)}, {times.until(due, now)}",
        "due": f"to {found.to}: due, and starts within 15 minutes",
        "held": f"to {found.to}: held, because {found.why}",
        "refused": f"refused, to {found.to}: {found.why}",
    }[found.state]
    return screen.paragraph(text, indent=_INDENT, first=_row("promotion", "")[0])


def _frozen(freeze: Freeze, now: datetime) -> list[str]:
    from tagship.model.schedule import EVERY_APPLICATION
    from tagship_cli.views import times

    begins = f"from {times.full(freeze.starts)} " if freeze.starts > now else ""
    whom = ", like every application" if freeze.application == EVERY_APPLICATION else ""
    end = f"{begins}until {times.full(freeze.ends)}, {times.until(freeze.ends, now)}{whom}"
    about = screen.paragraph(f"{freeze.reason} ({freeze.author}, id {freeze.id})", indent=_INDENT)
    return [*_row("frozen", screen.wary(end)), *about]


def _last(last: Last, application: str, place: Place, now: datetime) -> list[str]:
    from tagship_cli.commands.history import coloured
    from tagship_cli.views import times

    ended = times.since(times.moment(last.at), now)
    lines = _row("last ended", f"{screen.bold(last.tag)} {coloured(last.status)} {ended}")
    if last.status == "SUCCEEDED":
        return lines
    title = screen.one_line(f"{application} --tag {last.tag}")
    return [
        *lines,
        *screen.paragraph(last.why, indent=_INDENT),
        *screen.paragraph(f"more: tagship history {title}{place.flags()}", indent=_INDENT),
    ]
