"""tagship rollback: put back what served before a release, by the rollback state machine."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import click

from cli import screen
from cli.failures import Failed, trying
from cli.place import Place, as_json, in_a_place

if TYPE_CHECKING:
    from tagship.ledger.table import Item

LOOK_SECONDS = 1.0


@click.command(
    epilog="""\b
Examples:
  tagship rollback storefront --reason "customers can't pay"
  tagship rollback storefront --reason "the alias is in order again" --stage production --yes
\b
Nobody is asked to approve; your identity and the reason are recorded. Ends with 0 when the baseline serves all
traffic again and is healthy, with 1 when not. Stopping to wait (Ctrl-C) leaves the rollback alone."""
)
@click.argument("application")
@click.option(
    "--reason", required=True, metavar="TEXT", help="Why; it stands in the ledger and in every notice."
)
@click.option("--yes", "-y", is_flag=True, help="Roll back without being asked first.")
@in_a_place
@as_json
def rollback(*, place: Place, application: str, reason: str, yes: bool, as_json: bool) -> None:
    """Take back the release that production runs, or the one whose rollback failed.

    What is on its way is taken back too. A rollback that failed is made once more: when the target is in order, that
    frees the application.
    """
    from cli.deciding import whoami

    reason = reason.strip()
    if not reason:
        raise click.UsageError("--reason: say why, for whoever reads it later.")
    record = _what_to_take_back(place, application)
    title = f"{application} {record['tag']}"
    caller = whoami(place)
    if not yes and sys.stdin.isatty():
        screen.complain(*_question(record, place, caller.arn))
        if not click.confirm(f"Roll {screen.clean(title)} back?", err=True):
            raise Failed("Nothing was changed.")
    order = {
        "application": application,
        "tag": record["tag"],
        "trigger": "operator",
        "why": reason,
        "by": caller.arn,
    }
    with trying(f"Starting the rollback of {title}"):
        execution = place.client("stepfunctions").start_execution(
            stateMachineArn=place.output("RollbackStateMachineArn"), input=json.dumps(order)
        )["executionArn"]
    if not as_json:
        screen.say(f"The rollback of {screen.bold(title)} has begun.", screen.dim(execution))
    ended = _ended(place, execution, title)
    if ended is None:
        raise click.exceptions.Exit(1)
    if as_json:
        screen.result(
            {
                "application": application,
                "tag": record["tag"],
                "stage": place.stage,
                "execution": execution,
                "status": ended["status"],
                "error": ended.get("error", ""),
                "cause": ended.get("cause", ""),
            }
        )
    if ended["status"] != "SUCCEEDED":
        raise Failed(
            f"The rollback of {title} ended {ended.get('error') or ended['status']}.\n{ended.get('cause', '')}"
        )
    if not as_json:
        restored = json.loads(ended["output"])["restored"]["what"]
        screen.say(screen.good(f"{title} is rolled back."), *screen.paragraph(restored))


def _what_to_take_back(place: Place, application: str) -> Item:
    """The release that holds the lock, or else what production runs.

    Raises Failed when there is neither.
    """
    from tagship.ledger import lock, releases

    with trying(f"Reading the ledger of {place.stage}"):
        holder = lock.holder(place.ledger, application)
        current = releases.current(place.ledger, application)
        tag = holder.tag if holder else current["tag"] if current else None
        if tag is None:
            raise Failed(
                f"Production runs no release of {application} in {place.stage}, so there is nothing to take back."
            )
        record = releases.get(place.ledger, application, tag)
        refused = releases.roll_back_refused(place.ledger, record)
    if refused:
        raise Failed(
            f"{application} {tag} can't be rolled back: {refused} Nothing was changed.\n"
            "To stop a release before any traffic has moved, stop its execution in the console."
        )
    return record


def _question(record: Item, place: Place, identity: str) -> list[str]:
    before = record["plan"]["from"]
    serves = f"{before} serves again" if before else "what served before Tagship's first release serves again"
    what = screen.bold(f"{record['application']} {record['tag']}")
    return [
        f"{what} in {place.stage}, now {record['status']}: {screen.clean(serves)}.",
        f"  You are {screen.clean(identity)}.",
    ]


def _ended(place: Place, execution: str, title: str) -> dict[str, Any] | None:
    """The rollback's execution when it has ended; None when the person has seen enough."""
    try:
        for found in _looks(place, execution, title):
            if found["status"] != "RUNNING":
                return found
    except KeyboardInterrupt:
        screen.complain(f"Stopped waiting; the rollback goes on by itself. Its execution: {execution}")
    return None


def _looks(place: Place, execution: str, title: str) -> Iterator[dict[str, Any]]:
    states = place.client("stepfunctions")
    while True:
        with trying(f"Looking at the rollback of {title}, which goes on by itself"):
            found: dict[str, Any] = states.describe_execution(executionArn=execution)
        yield found
        place.world.pause(LOOK_SECONDS)
