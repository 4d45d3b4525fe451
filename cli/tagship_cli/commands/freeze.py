"""tagship freeze and tagship unfreeze: block new releases of one or all applications in a stage for a limited time."""

from __future__ import annotations

import hashlib
import sys
from datetime import datetime, timedelta
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

import click

from tagship.text.words import count, listed
from tagship_cli import options
from tagship_cli.failures import Failed, trying
from tagship_cli.place import Place, in_a_place
from tagship_cli.views import screen

if TYPE_CHECKING:
    from tagship.model.recurrence import Recurrence
    from tagship.model.schedule import Freeze
    from tagship_cli.actions.ics import Read

LONGEST = timedelta(days=366)
"""Limits a freeze, because a mistyped year would freeze almost forever."""
_MOST_CHARACTERS = 500
_PREVIEW = 10
"""The limit for a repeating freeze."""


_scope_options = options.together(
    click.argument("application", required=False),
    click.option("--all", "everything", is_flag=True, help="All applications of the stage."),
    in_a_place,
    options.as_json,
)


@click.command(
    epilog="""\b
Examples:
  tagship freeze storefront --until PT4H --reason "the sale" --stage production
  tagship freeze --all --from 2026-12-23 --until 2027-01-04T08:00 --reason "the holidays"
\b
Every December, and the last two days of each quarter:
  tagship freeze --all --repeat "FREQ=YEARLY;BYMONTH=12;BYMONTHDAY=1" --days 31 --reason "Christmas trade"
  tagship freeze --all --repeat "FREQ=MONTHLY;BYMONTH=3,6,9,12;BYMONTHDAY=-2" --days 2 --reason "closing"
\b
All events of a calendar file, after a preview. If an event is no longer in the file, its freeze is lifted:
  tagship freeze --all --from-ics closing.ics --zone Europe/Berlin
\b
A time without a zone is in this machine's time zone; a day means 00:00 on that day. Running the command again with
the same end and reason changes nothing. For a freeze that repeats, the command shows its next ten times."""
)
@click.option(
    "--until",
    metavar="TIME",
    help="When the freeze ends: a time like 2026-12-24T18:00, or a duration like PT4H.",
)
@click.option("--from", "since", metavar="TIME", help="When the freeze begins.  [default: now]")
@click.option(
    "--repeat",
    metavar="RULE",
    help="Instead of --until: the days on which the freeze begins, as an iCalendar recurrence rule (RRULE).",
)
@click.option(
    "--days",
    type=click.IntRange(1, 92),
    default=1,
    show_default=True,
    help="With --repeat: how many days the freeze lasts each time.",
)
@click.option(
    "--zone",
    default="UTC",
    show_default=True,
    help="With --repeat: the time zone of these days. With --from-ics: the time zone of events without one.",
)
@click.option(
    "--from-ics",
    type=click.Path(dir_okay=False),
    metavar="FILE",
    help="Freeze for each event of an iCalendar file. If an event is no longer in it, its freeze is lifted.",
)
@click.option("--yes", "-y", is_flag=True, help="With --from-ics: freeze without a confirmation prompt.")
@click.option("--reason", metavar="TEXT", help="Why. People whose release is blocked read this.")
@_scope_options
def freeze(
    *,
    place: Place,
    application: str | None,
    everything: bool,
    until: str | None,
    since: str | None,
    repeat: str | None,
    days: int,
    zone: str,
    from_ics: str | None,
    yes: bool,
    reason: str | None,
    as_json: bool,
) -> None:
    """Block new releases: while an application is frozen, no traffic moves to a new release of it.

    A release whose traffic has begun to move continues, and a freeze never stops a rollback. Every freeze has an end, or
    repeats until it is lifted.
    """
    from tagship_cli.views import overview

    if from_ics:
        if given := [
            name
            for name, value in (("until", until), ("from", since), ("repeat", repeat), ("reason", reason))
            if value
        ]:
            raise click.UsageError(f"--{given[0]} cannot be used with --from-ics: the events define it.")
        scope = _scope(application, everything=everything)
        _from_ics(place, scope, from_ics, zone=zone, yes=yes, as_json=as_json)
        return
    again = None
    if reason is None:
        raise click.UsageError("Missing option '--reason'.")
    if (until is None) == (repeat is None):
        raise click.UsageError("Set --until, or set --repeat for a freeze that repeats.")
    if until is not None:
        starts, ends = _once(place.now, since, until)
    else:
        again = _again(place.now, since, repeat or "", days, zone)
        starts, ends = again.next(place.now) or (place.now, place.now)
    reason, scope = _reason(reason), _scope(application, everything=everything)
    if not everything:
        _refuse_unknown(place, scope)
    wanted = _wanted(scope, reason, _author(place), starts, ends, again)
    made, is_new = _made(place, wanted)
    if as_json:
        screen.result({"stage": place.stage, "new": is_new, **overview.freeze_as_dict(made)})
        return
    lift = f"tagship unfreeze {'--all' if everything else scope} --reason '…'{place.flags()}"
    screen.say(
        *lines_of(made, place),
        "" if is_new else screen.dim("It is already frozen with this end and reason. Nothing was written."),
        f"Lift it early: {lift}",
    )


@click.command(
    epilog="""\b
Examples:
  tagship unfreeze storefront --reason "the sale is over" --stage production
  tagship unfreeze --all --id 3f9a2c41 --reason "the audit took a day less"
\b
If there are several freezes, choose one with --id: each may have a different reason."""
)
@click.option("--id", "freeze_id", metavar="ID", help="The id of the freeze, as `tagship status` shows it.")
@click.option("--reason", required=True, metavar="TEXT", help="Why. The ledger records the reason.")
@_scope_options
def unfreeze(
    *,
    place: Place,
    application: str | None,
    everything: bool,
    freeze_id: str | None,
    reason: str,
    as_json: bool,
) -> None:
    """Lift a freeze early. A release that waits for the freeze to end continues within 15 minutes.

    To lift a freeze of all applications, use --all.
    """
    from tagship.ledger import freezes
    from tagship.model.schedule import EVERY_APPLICATION
    from tagship_cli.views import overview

    reason, scope = _reason(reason), _scope(application, everything=everything)
    with trying(f"Reading the ledger of {place.stage}"):
        known = [each for each in freezes.of(place.ledger, scope) if freeze_id in (None, each.id)]
        of_all = [] if everything else list(freezes.of(place.ledger, EVERY_APPLICATION))
    if not known and freeze_id:
        raise Failed(
            f"There is no freeze {freeze_id} of {_whom(scope)} in {place.stage}. Nothing was changed."
        )
    if not known and of_all:
        raise Failed(
            f"{scope} has no freeze of its own, but every application of {place.stage} is frozen: {of_all[0].reason}\n"
            f"To lift it for all: tagship unfreeze --all --reason '…'{place.flags()}"
        )
    if len(known) > 1:
        ids = listed(f"{each.id} ({each.reason})" for each in known)
        raise Failed(
            f"{_whom(scope)} has {len(known)} freezes in {place.stage}: {ids}. Nothing was changed.\nChoose "
            f"one with --id."
        )
    author = _author(place)
    with trying(f"Lifting the freeze of {_whom(scope)} in {place.stage}"):
        lifted = [
            each for each in known if freezes.unfreeze(place.ledger, each, author=author, reason=reason)
        ]
    if as_json:
        screen.result({"stage": place.stage, "lifted": [overview.freeze_as_dict(each) for each in lifted]})
        return
    if not lifted:
        screen.say(f"{_whom(scope)} is not frozen in {place.stage}; there is nothing to lift.")
    for each in lifted:
        screen.say(f"{screen.good('Lifted')}: {screen.clean(each.reason)} ({each.id})")
    for each in of_all:
        screen.say(screen.wary("It is still frozen, because every application is:"), *lines_of(each, place))


def lines_of(freeze: Freeze, place: Place) -> list[str]:
    """A freeze in words."""
    from tagship_cli.views import times

    begins = f"from {times.full(freeze.starts)} " if freeze.starts > place.now else ""
    end = f"until {times.full(freeze.ends)}, {times.until(freeze.ends, place.now)}"
    origin = f", from {freeze.calendar}" if freeze.calendar else ""
    return [
        f"{screen.wary(f'{_whom(freeze.application)} in {place.stage} is frozen')} {begins}{end}",
        *screen.paragraph(f"{freeze.reason} ({freeze.author}, id {freeze.id}{origin})", indent=2),
        *_preview(freeze, place.now),
    ]


def _wanted(
    scope: str,
    reason: str,
    author: str,
    starts: datetime,
    ends: datetime,
    again: Recurrence | None,
    *,
    calendar: str = "",
) -> Freeze:
    from tagship.model.schedule import Freeze

    return Freeze(
        id=_id(scope, reason, author, starts, ends, again),
        application=scope,
        reason=reason,
        author=author,
        starts=starts.replace(
            microsecond=starts.microsecond // 1000 * 1000
        ),  # times in the ledger have milliseconds
        ends=ends.replace(microsecond=ends.microsecond // 1000 * 1000),
        again=again,
        calendar=calendar,
    )


def _made(place: Place, wanted: Freeze) -> tuple[Freeze, bool]:
    from tagship.ledger import freezes

    with trying(f"Freezing {_whom(wanted.application)} in {place.stage}"):
        return freezes.freeze(place.ledger, wanted)


def _events(file: str, *, now: datetime, zone: str) -> Read:
    """Raises Failed for a file that can't be read, and for events that can't be represented as a freeze."""
    from tagship_cli.actions import ics

    _there(zone)
    try:
        with Path(file).open("rb") as content:
            raw = content.read(ics.MOST_BYTES + 1)
        found = ics.read(raw, now=now, zone=zone)
    except OSError as error:
        raise Failed(f"{file} can't be read: {error.strerror}. Nothing was frozen.") from error
    except ics.NotACalendar as error:
        raise Failed(f"{file} {screen.one_line(str(error), 300)}. Nothing was frozen.") from error
    if found.refused:
        listing = "\n".join(f"  {screen.one_line(each, 300)}" for each in found.refused)
        raise Failed(
            f"{file}: {len(found.refused)} of its events cannot become a freeze. Nothing was frozen.\n{listing}"
        )
    return found


def _from_ics(place: Place, scope: str, file: str, *, zone: str, yes: bool, as_json: bool) -> None:
    """Adds all events of the calendar or none, and then lifts the freezes from this file whose events are gone.

    Events that can't be represented are refused before anything is changed.
    """
    from tagship.ledger import freezes
    from tagship.model.schedule import EVERY_APPLICATION
    from tagship_cli.views import overview

    found = _events(file, now=place.now, zone=zone)
    if scope != EVERY_APPLICATION:
        _refuse_unknown(place, scope)
    author = _author(place)
    name = Path(file).name
    wanted = [
        _wanted(scope, each.reason, author, each.starts, each.ends, each.again, calendar=name)
        for each in found.freezes
    ]
    gone = _gone(place, scope, wanted, calendar=name)
    if not as_json:
        for each in wanted:
            screen.say(*lines_of(each, place))
        for skipped in found.skipped:
            screen.say(screen.dim(f"Skipped: {screen.one_line(skipped, 300)}"))
        for each in gone:
            text = f"To be lifted, because its event is no longer in {name}: {each.reason} (id {each.id})"
            screen.say(*screen.paragraph(text))
    if (wanted or gone) and not yes:
        if as_json or not sys.stdin.isatty():
            raise click.UsageError(
                "This is not a terminal, so nobody can confirm. Use --yes. Nothing was changed."
            )
        lift = f", and lift {count(len(gone), 'freeze')}" if gone else ""
        click.confirm(f"Freeze {_whom(scope)} in {place.stage} at these times{lift}?", abort=True)
    made = [_made(place, each) for each in wanted]  # first, so that an event that has moved leaves no gap
    with trying(f"Lifting freezes of {_whom(scope)} in {place.stage}"):
        why = f"Its event is no longer in {name}."
        lifted = [each for each in gone if freezes.unfreeze(place.ledger, each, author=author, reason=why)]
    if as_json:
        screen.result(
            {
                "stage": place.stage,
                "freezes": [{"new": is_new, **overview.freeze_as_dict(each)} for each, is_new in made],
                "lifted": [overview.freeze_as_dict(each) for each in lifted],
                "skipped": list(found.skipped),
            }
        )
        return
    new = sum(is_new for _, is_new in made)
    others = f", {len(lifted)} lifted" if lifted else ""
    screen.say(f"{screen.good('Freezes recorded')}: {new} new, {len(made) - new} as before{others}.")


def _gone(place: Place, scope: str, wanted: list[Freeze], *, calendar: str) -> list[Freeze]:
    """Freezes that came from this file, and whose events it no longer has.

    Raises Failed if it has no event to come at all: an export that went wrong must not open everything.
    """
    from tagship.ledger import freezes
    from tagship.model.schedule import EVERY_APPLICATION

    with trying(f"Reading the ledger of {place.stage}"):
        known = [each for each in freezes.of(place.ledger, scope) if each.calendar == calendar]
    gone = [each for each in known if not any(freezes.is_same(each, it) for it in wanted)]
    if gone and not wanted:
        lift = (
            f"tagship unfreeze {'--all' if scope == EVERY_APPLICATION else scope} --reason '…'{place.flags()}"
        )
        raise Failed(
            f"{calendar} has no event to come, so {count(len(gone), 'freeze')} from it would be lifted. Nothing "
            "was changed.\n"
            f"If that is right, lift each: {lift}"
        )
    return gone


def _preview(freeze: Freeze, now: datetime) -> list[str]:
    """The next ten occurrences of a repeating freeze."""
    from tagship_cli.views import times

    if freeze.again is None:
        return []
    return [
        f"  It repeats ({freeze.again.rule}, {freeze.again.zone}). The next times:",
        *(
            f"    {times.short(starts)} – {times.short(ends)}"
            for starts, ends in islice(freeze.again.times(now), _PREVIEW)
        ),
    ]


def _once(now: datetime, since: str | None, until: str) -> tuple[datetime, datetime]:
    from tagship_cli.views import times

    starts = times.parse(since, now, "--from") if since else now
    ends = times.parse(until, now, "--until")
    if ends <= max(starts, now):
        raise click.UsageError(f"--until: {times.full(ends)} must be later than now and later than --from.")
    if ends > now + LONGEST:
        raise click.UsageError(f"--until: {times.full(ends)} is more than {LONGEST.days} days from now.")
    return starts, ends


def _again(now: datetime, since: str | None, rule: str, days: int, zone: str) -> Recurrence:
    from tagship.model.recurrence import recurrence
    from tagship_cli.views import times

    there = _there(zone)
    first = (times.parse(since, now, "--from") if since else now).astimezone(there).date()
    try:
        return recurrence(rule, zone=zone, first=first, days=days)
    except ValueError as error:
        raise click.UsageError(f"--repeat: {error}.") from error


def _there(zone: str) -> ZoneInfo:
    from tagship.model.schedule import time_zone

    try:
        return time_zone(zone)
    except ValueError as error:
        raise click.UsageError(f"--zone: {zone!r} is not a time zone; use one like Europe/Berlin.") from error


def _scope(application: str | None, *, everything: bool) -> str:
    from tagship.model.schedule import EVERY_APPLICATION

    if everything == bool(application):
        raise click.UsageError("Name an application, or use --all for all applications of the stage.")
    return application or EVERY_APPLICATION


def _whom(scope: str) -> str:
    from tagship.model.schedule import EVERY_APPLICATION

    return "every application" if scope == EVERY_APPLICATION else scope


def _reason(reason: str) -> str:
    reason = reason.strip()
    if not reason:
        raise click.UsageError(
            "--reason: state why, for people whose release is blocked and for later readers."
        )
    options.refuse_a_long_text("--reason", reason, most=_MOST_CHARACTERS)
    return reason


def _refuse_unknown(place: Place, application: str) -> None:
    """Refuses a mistyped name, which would freeze nothing without anybody noticing."""
    from tagship_cli.views import overview

    if not overview.is_configured(place, application):
        raise Failed(f"{overview.unknown(application, place)}\nNothing was frozen.")


def _author(place: Place) -> str:
    from tagship_cli.actions.deciding import whoami

    return whoami(place).arn


def _id(
    scope: str, reason: str, author: str, starts: datetime, ends: datetime, again: Recurrence | None
) -> str:
    source = repr((scope, reason, author, starts, ends, again))
    return hashlib.sha256(source.encode()).hexdigest()[:8]
