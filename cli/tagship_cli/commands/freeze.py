"""tagship freeze and tagship unfreeze: keep releases of an application, or of all, out of a stage for a time."""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

import click

from tagship.text.words import listed
from tagship_cli.failures import Failed, trying
from tagship_cli.place import Place, as_json, in_a_place
from tagship_cli.views import screen

if TYPE_CHECKING:
    from tagship.model.schedule import Freeze

LONGEST = timedelta(days=366)
"""A year that was mistyped would freeze for ever."""
_MOST_CHARACTERS = 500


def _scope_options(command: Callable[..., Any]) -> Callable[..., Any]:
    @click.argument("application", required=False)
    @click.option("--all", "everything", is_flag=True, help="Every application of the stage.")
    @in_a_place
    @as_json
    @functools.wraps(command)
    def with_options(**given: Any) -> Any:
        return command(**given)

    return with_options


@click.command(
    epilog="""\b
Examples:
  tagship freeze storefront --until PT4H --reason "the sale" --stage production
  tagship freeze --all --from 2026-12-23 --until 2027-01-04T08:00 --reason "the holidays"
\b
A time without a zone is meant by this machine's clock, a day by its first moment. A second run with the same
end and reason does nothing."""
)
@click.option("--until", required=True, metavar="TIME", help="When it ends: 2026-12-24T18:00, or in PT4H.")
@click.option("--from", "since", metavar="TIME", help="When it begins.  [default: now]")
@click.option("--reason", required=True, metavar="TEXT", help="Why; whoever is stopped by it reads it.")
@_scope_options
def freeze(
    *,
    place: Place,
    application: str | None,
    everything: bool,
    until: str,
    since: str | None,
    reason: str,
    as_json: bool,
) -> None:
    """Keep releases out: no traffic moves to a new release while an application is frozen.

    What has begun to move goes on, and rollbacks are never stopped. A freeze always has an end.
    """
    from tagship.ledger import freezes
    from tagship.model.schedule import Freeze
    from tagship_cli.views import overview, times

    now = place.now
    starts = times.asked(since, now, "--from") if since else now
    ends = times.asked(until, now, "--until")
    if ends <= max(starts, now):
        raise click.UsageError(f"--until: {times.full(ends)} is not later than now and the beginning.")
    if ends > now + LONGEST:
        raise click.UsageError(f"--until: {times.full(ends)} is more than {LONGEST.days} days from now.")
    reason, scope = _reason(reason), _scope(application, everything=everything)
    if not everything:
        _refuse_unknown(place, scope)
    author = _author(place)
    wanted = Freeze(
        id=_id(scope, reason, author, starts, ends),
        application=scope,
        reason=reason,
        author=author,
        starts=starts.replace(microsecond=starts.microsecond // 1000 * 1000),  # as the ledger writes times
        ends=ends.replace(microsecond=ends.microsecond // 1000 * 1000),
    )
    with trying(f"Freezing {_whom(scope)} in {place.stage}"):
        made, is_new = freezes.freeze(place.ledger, wanted)
    if as_json:
        screen.result({"stage": place.stage, "new": is_new, **overview.freeze_as_dict(made)})
        return
    lift = f"tagship unfreeze {'--all' if everything else scope}"
    screen.say(
        *told(made, place),
        "" if is_new else screen.dim("It was frozen before, with this end and reason: nothing was written."),
        f"Lift it sooner: {lift} --reason '…'{place.flags()}",
    )


@click.command(
    epilog="""\b
Examples:
  tagship unfreeze storefront --reason "the sale is over" --stage production
  tagship unfreeze --all --id 3f9a2c41 --reason "the audit took a day less"
\b
Where several freezes stand, --id says which one: another one may have been made for another reason."""
)
@click.option("--id", "freeze_id", metavar="ID", help="Which freeze, as `tagship status` shows it.")
@click.option("--reason", required=True, metavar="TEXT", help="Why; it stands in the ledger.")
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
    """End a freeze before its time. A release that waits for it goes on within 15 minutes.

    A freeze of all applications is lifted for all of them, with --all.
    """
    from tagship.ledger import freezes
    from tagship.model.schedule import EVERY_APPLICATION
    from tagship_cli.views import overview

    reason, scope = _reason(reason), _scope(application, everything=everything)
    with trying(f"Reading the ledger of {place.stage}"):
        known = [each for each in freezes.of(place.ledger, scope) if freeze_id in (None, each.id)]
        of_all = [] if everything else list(freezes.of(place.ledger, EVERY_APPLICATION))
    if not known and freeze_id:
        raise Failed(f"No freeze {freeze_id} of {_whom(scope)} stands in {place.stage}. Nothing was changed.")
    if not known and of_all:
        raise Failed(
            f"{scope} has no freeze of its own, but every application of {place.stage} is frozen: {of_all[0].reason}\n"
            f"That is lifted for all: tagship unfreeze --all --reason '…'{place.flags()}"
        )
    if len(known) > 1:
        ids = listed(f"{each.id} ({each.reason})" for each in known)
        raise Failed(
            f"{len(known)} freezes of {_whom(scope)} stand in {place.stage}: {ids}. Nothing was changed.\n"
            "Say which one with --id."
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
        screen.say(f"{_whom(scope)} is not frozen in {place.stage}: there is nothing to lift.")
    for each in lifted:
        screen.say(f"{screen.good('Lifted')}: {screen.clean(each.reason)} ({each.id})")
    for each in of_all:
        screen.say(screen.wary("It stays frozen, as every application is:"), *told(each, place))


def told(freeze: Freeze, place: Place) -> list[str]:
    """A freeze, for people."""
    from tagship_cli.views import times

    begins = f"from {times.full(freeze.starts)} " if freeze.starts > place.now else ""
    end = f"until {times.full(freeze.ends)}, {times.until(freeze.ends, place.now)}"
    return [
        f"{screen.wary(f'{_whom(freeze.application)} in {place.stage} is frozen')} {begins}{end}",
        *screen.paragraph(f"{freeze.reason} ({freeze.author}, id {freeze.id})", indent=2),
    ]


def _scope(application: str | None, *, everything: bool) -> str:
    from tagship.model.schedule import EVERY_APPLICATION

    if everything == bool(application):
        raise click.UsageError("Name an application, or give --all for every one of the stage.")
    return application or EVERY_APPLICATION


def _whom(scope: str) -> str:
    from tagship.model.schedule import EVERY_APPLICATION

    return "every application" if scope == EVERY_APPLICATION else scope


def _reason(reason: str) -> str:
    reason = reason.strip()
    if not reason:
        raise click.UsageError("--reason: say why, for whoever is stopped by it or reads it later.")
    if len(reason) > _MOST_CHARACTERS:
        raise click.UsageError(f"--reason: has {len(reason)} characters, and may have {_MOST_CHARACTERS}.")
    return reason


def _refuse_unknown(place: Place, application: str) -> None:
    """A name that was mistyped would freeze nothing, and nobody would know."""
    from tagship_cli.views import overview

    if not overview.is_configured(place, application):
        raise Failed(f"{overview.unknown(application, place)}\nNothing was frozen.")


def _author(place: Place) -> str:
    from tagship_cli.actions.deciding import whoami

    return whoami(place).arn


def _id(scope: str, reason: str, author: str, starts: datetime, ends: datetime) -> str:
    source = repr((scope, reason, author, starts, ends))
    return hashlib.sha256(source.encode()).hexdigest()[:8]
