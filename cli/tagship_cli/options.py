"""Options that several commands share, and a helper that combines several click decorators."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import click

Command = Callable[..., object]
"""A click command function."""
Option = Callable[[Command], Command]


def together(*options: Option) -> Option:
    """Combines these decorators into one; the help lists the options in this order."""

    def decorated(command: Command) -> Command:
        for option in reversed(options):
            command = option(command)
        return command

    return decorated


def refuse_a_long_text(option: str, text: str, *, most: int) -> None:
    """Raises click's UsageError: what a person gives is recorded whole or not at all."""
    if len(text) > most:
        raise click.UsageError(
            f"{option}: has {len(text):,} characters; at most {most:,} are allowed. Nothing was changed."
        )


as_json: Option = click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
as_html: Option = click.option(
    "--html",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Write a self-contained HTML page.",
)
artifacts: Option = click.option(
    "--artifact",
    "artifacts",
    multiple=True,
    required=True,
    metavar="NAME=PATH",
    help="A file, under the name that the target expects (see the examples). Can be repeated.",
)
