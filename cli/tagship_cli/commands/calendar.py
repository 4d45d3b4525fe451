"""tagship calendar: when an application may be deployed, on screen or as a calendar for other programs."""

from __future__ import annotations

import click

from tagship_cli import options
from tagship_cli.failures import trying
from tagship_cli.place import Place, in_a_place
from tagship_cli.views import screen


@click.command(
    epilog="""\b
Examples:
  tagship calendar storefront --stage production
  tagship calendar storefront --stage production --ics > storefront.ics      for any calendar program"""
)
@click.argument("application")
@click.option(
    "--ics",
    is_flag=True,
    help="Print iCalendar (RFC 5545): windows and freezes, including those that repeat.",
)
@in_a_place
@options.as_json
def calendar(*, place: Place, application: str, ics: bool, as_json: bool) -> None:
    """Show when an application may be deployed: its windows, its freezes, and the freezes of all applications."""
    from tagship.ledger import freezes
    from tagship.model import schedule
    from tagship_cli.actions.ics import written
    from tagship_cli.commands.freeze import lines_of
    from tagship_cli.commands.plan import stored_configuration
    from tagship_cli.views import overview

    if ics and as_json:
        raise click.UsageError("Use either --ics or --json, not both.")
    rules = stored_configuration(place, application).gates
    with trying(f"Reading the ledger of {place.stage}"):
        found = freezes.standing(place.ledger, application)
    if as_json:
        screen.result(
            {
                "application": application,
                "stage": place.stage,
                "windows": list(rules.windows),
                "freezes": [overview.freeze_as_dict(each) for each in found],
            }
        )
        return
    windows = [schedule.window(text) for text in rules.windows]
    if ics:
        text = written(windows, found, application=application, stage=place.stage, now=place.now)
        click.echo(text, nl=False)
        return
    screen.say(
        screen.bold(f"{application} in {place.stage}"),
        *(f"  window {screen.clean(each)}" for each in rules.windows or ("at any time",)),
    )
    for each in found:
        screen.say("", *lines_of(each, place))
