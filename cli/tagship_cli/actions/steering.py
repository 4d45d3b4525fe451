"""Shared by the commands that intervene: a reason, an identity, a confirmation, and waiting for the outcome."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from typing import Any

import click

from tagship_cli.failures import Failed, trying
from tagship_cli.options import Option, refuse_a_long_text
from tagship_cli.place import Place
from tagship_cli.views import screen

LOOK_SECONDS = 1.0


def _said(_context: click.Context, _parameter: click.Parameter, value: str) -> str:
    from tagship.model.release import WHY_CHARACTERS

    if not value.strip():
        raise click.UsageError("--reason: state why, for people who read it later.")
    refuse_a_long_text("--reason", value.strip(), most=WHY_CHARACTERS)
    return value.strip()


reason_option: Option = click.option(
    "--reason",
    required=True,
    metavar="TEXT",
    callback=_said,
    help="Why. The reason appears in the ledger and in every notice.",
)


def confirm(question: str, *lines: str, yes: bool) -> None:
    """Asks for confirmation on a terminal, unless --yes was given.

    Raises Failed if the person declines.
    """
    if yes or not sys.stdin.isatty():
        return
    screen.complain(*lines)
    if not click.confirm(question, err=True):
        raise Failed("Nothing was changed.")


def looks[T](place: Place, look: Callable[[], T | None], *, what: str, stopped: str) -> T:
    """Calls `look` every second until it returns something. Ctrl-C prints `stopped` and exits with 1; it changes
    nothing."""
    try:
        return next(_looks(place, look, what))
    except KeyboardInterrupt:
        screen.complain(stopped)
        raise click.exceptions.Exit(1) from None


def _looks[T](place: Place, look: Callable[[], T | None], what: str) -> Iterator[T]:
    while True:
        with trying(what):
            found = look()
        if found is not None:
            yield found
        place.world.pause(LOOK_SECONDS)


def execution_ended(place: Place, execution: str, title: str, *, what: str) -> dict[str, Any]:
    """Waits for an execution to end; returns its description."""
    states = place.client("stepfunctions")

    def look() -> dict[str, object] | None:
        found: dict[str, object] = states.describe_execution(executionArn=execution)
        return found if found["status"] != "RUNNING" else None

    return looks(
        place,
        look,
        what=f"Following the {what} of {title}, which continues without this command",
        stopped=f"No longer waiting. The {what} continues in the execution {execution}",
    )
