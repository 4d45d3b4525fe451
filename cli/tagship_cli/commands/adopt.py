"""tagship adopt: what serves, although no release brought it there, becomes what production runs."""

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
  tagship adopt storefront --reason "…" --yes --stage production      without asking, for a program
\b
Your own identity looks at the target, and writes the ledger. Nothing in the target is changed."""
)
@click.argument("application")
@reason_option
@click.option("--yes", "-y", is_flag=True, help="Adopt without asking.")
@in_a_place
@options.as_json
def adopt(*, place: Place, application: str, reason: str, yes: bool, as_json: bool) -> None:
    """Make what serves the baseline, after somebody changed the target by hand.

    Until then the gates refuse every release, because a rollback would restore something else than what serves. It is
    recorded with your reason, and the readers of the application's notices are notified. After a rollback that failed
    because the target was changed, it also frees the application.
    """
    from tagship.ledger import adoption, releases
    from tagship.model.errors import AdoptionRefused
    from tagship_cli.actions.deciding import whoami
    from tagship_cli.actions.planning import looked_at
    from tagship_cli.commands.plan import stored_configuration

    configuration = stored_configuration(place, application)
    target, where = looked_at(place, configuration, tag="what serves")
    with trying(f"Looking at {where}"):
        serving = target.serving()
    if serving is None:
        raise Failed(f"{where} does not exist, so nothing serves that could be adopted. Nothing was changed.")
    with trying(f"Reading what {application} runs"):
        current = releases.current(place.ledger, application)
    before = f"{current['tag']} ({current['revision']['id']})" if current else "nothing that Tagship deployed"
    caller = whoami(place)
    serves = screen.clean(serving["id"])
    confirm(
        f"Adopt what serves as the baseline of {screen.clean(application)}?",
        f"{screen.bold(where)} in {place.stage} serves {serves}; by the ledger it is {screen.clean(before)}.",
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
