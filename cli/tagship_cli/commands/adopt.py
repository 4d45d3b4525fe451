"""tagship adopt: record the version that serves traffic as the current one, although no release deployed it."""

from __future__ import annotations

from typing import Any

import click

from tagship_cli import options
from tagship_cli.actions.steering import confirm, reason_option
from tagship_cli.failures import Failed, trying
from tagship_cli.place import Place, in_a_place
from tagship_cli.views import screen


@click.command(
    epilog="""\b
Examples:
  tagship adopt storefront --reason "kim moved all traffic by hand at night" --stage production
  tagship adopt storefront --reason "…" --yes --stage production      without a prompt, for scripts
\b
The command reads the target and writes the ledger with your own identity. It changes nothing in the target."""
)
@click.argument("application")
@reason_option
@click.option("--yes", "-y", is_flag=True, help="Adopt without a confirmation prompt.")
@in_a_place
@options.as_json
def adopt(*, place: Place, application: str, reason: str, yes: bool, as_json: bool) -> None:
    """Make the version that serves traffic the baseline, after someone changed the target by hand.

    Until you adopt it, the gates refuse every release, because a rollback would restore a different version. The ledger
    records your reason, and the application's notification channels report it. If a rollback failed because someone
    changed the target, adopting also releases the lock.
    """
    from tagship.ledger import adoption, releases
    from tagship.model.errors import AdoptionRefused
    from tagship_cli.actions.deciding import whoami
    from tagship_cli.actions.planning import looked_at
    from tagship_cli.commands.plan import stored_configuration

    configuration = stored_configuration(place, application)
    target, where = looked_at(place, configuration)
    with trying(f"Looking at {where}"):
        serving = target.serving()
    if serving is None:
        raise Failed(f"{where} does not exist, so there is nothing to adopt. Nothing was changed.")
    with trying(f"Reading the current version of {application}"):
        current = releases.current(place.ledger, application)
    before = f"{current['tag']} ({current['revision']['id']})" if current else "nothing that Tagship deployed"
    caller = whoami(place)
    serves = screen.clean(serving["id"])
    confirm(
        f"Adopt this version as the baseline of {screen.clean(application)}?",
        f"{screen.bold(where)} in {place.stage} serves {serves}; the ledger has {screen.clean(before)}.",
        f"  You are {screen.clean(caller.arn)}.",
        yes=yes,
    )
    try:
        with trying(f"Writing the ledger of {place.stage}"):
            adopted: Any = adoption.adopt(place.ledger, application, serving, who=caller.arn, why=reason)
    except AdoptionRefused as refused:
        raise Failed(str(refused)) from refused
    foreign = adopted["adopted"]["foreign"]
    if as_json:
        screen.result(
            {
                "application": application,
                "stage": place.stage,
                "serves": serving["id"],
                "tag": None if foreign else adopted["tag"],
                "before": before,
            }
        )
        return
    whose = "which no release deployed" if foreign else f"which is {adopted['tag']}"
    screen.say(
        screen.good(f"{application} now runs {serving['id']}, {whose}."),
        "The next release uses it as its baseline. Nothing in the target was changed.",
    )
