"""Output for people: control characters made visible, coloured only on a terminal; or one JSON document for programs."""

from __future__ import annotations

import json
import re
import shutil
import sys
import textwrap
from collections.abc import Iterable, Sequence

import click

from tagship.text.plain import line, visible

_NO_WIDTH = 10_000
_COLOUR = re.compile(r"(\x1b\[[0-9;]*m)")
"""The escape sequences that a terminal may obey. Everything else is cleaned again, which does not change clean text."""

clean = visible
"""Cleans other people's text: control and invisible characters are shown as ⟨U+001B⟩."""
one_line = line


def bold(text: object) -> str:
    """The subject of a line."""
    return click.style(clean(str(text)), bold=True)


def dim(text: object) -> str:
    """Secondary text."""
    return click.style(clean(str(text)), dim=True)


def good(text: object) -> str:
    """Success."""
    return click.style(clean(str(text)), fg="green")


def bad(text: object) -> str:
    """Failure."""
    return click.style(clean(str(text)), fg="red", bold=True)


def wary(text: object) -> str:
    """A warning, or somebody is needed."""
    return click.style(clean(str(text)), fg="yellow")


def in_yaml(data: object) -> str:
    """Without YAML aliases (`*id001`): CloudFormation does not accept them, and they are hard to read."""
    import yaml

    class Whole(yaml.SafeDumper):
        def ignore_aliases(self, _: object) -> bool:
            return True

    return clean(yaml.dump(data, Dumper=Whole, sort_keys=False, allow_unicode=True, width=1000).rstrip("\n"))


def say(*lines: str) -> None:
    """Prints to standard output."""
    for each in lines or ("",):
        click.echo(_harmless(each))


def complain(*lines: str) -> None:
    """Prints to standard error."""
    for each in lines:
        click.echo(_harmless(each), err=True)


def result(document: object) -> None:
    """Prints one JSON document to standard output, with control characters escaped."""
    click.echo(json.dumps(document, indent=2))


def on_terminal() -> bool:
    """Whether standard output is a terminal."""
    return sys.stdout.isatty()


def width() -> int:
    """The width of a line; unlimited for a pipe."""
    return shutil.get_terminal_size((100, 24)).columns if on_terminal() else _NO_WIDTH


def paragraph(text: object, *, indent: int = 0, first: str = "") -> list[str]:
    """Other people's text, wrapped to the terminal and indented. `first` appears in the first line's indentation."""
    room = max(30, width() - indent)
    lines = [part for each in clean(str(text)).split("\n") for part in _folded(each, room) or [""]]
    margin = " " * indent
    return [(first.ljust(indent) if number == 0 else margin) + each for number, each in enumerate(lines)]


def _folded(text: str, room: int) -> list[str]:
    """Keeps addresses and names whole, so that they can be copied."""
    return textwrap.wrap(text, room, break_long_words=False, break_on_hyphens=False)


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    """Columns under their headings. The last column takes the remaining width. Cells may be coloured."""
    all_rows = [[dim(name) for name in head], *[list(row) for row in rows]]
    widths = [max(len(click.unstyle(row[column])) for row in all_rows) for column in range(len(head) - 1)]
    room = max(20, width() - sum(widths) - 2 * len(widths))
    lines = []
    for row in all_rows:
        cells = [
            cell + " " * (width_ - len(click.unstyle(cell)))
            for cell, width_ in zip(row, widths, strict=False)
        ]
        last = row[-1] if len(click.unstyle(row[-1])) <= room else line(click.unstyle(row[-1]), room)
        lines.append("  ".join([*cells, last]).rstrip())
    return lines


def _harmless(text: str) -> str:
    return "".join(part if _COLOUR.fullmatch(part) else clean(part) for part in _COLOUR.split(text))


class Live:
    """Permanent lines, and on a terminal one changing line below them."""

    def __init__(self) -> None:
        self._shown = False

    def say(self, *lines: str) -> None:
        """Prints permanent lines."""
        self.clear()
        say(*lines)

    def status(self, text: str) -> None:
        """Shows the changing line; a pipe does not get it."""
        if on_terminal():
            self.clear()
            click.echo(dim(line(text, max(20, width() - 3))), nl=False)
            self._shown = True

    def clear(self) -> None:
        """Removes the changing line."""
        if self._shown:
            sys.stdout.write("\r\x1b[2K")
            sys.stdout.flush()
            self._shown = False
