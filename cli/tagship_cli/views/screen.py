"""What people read: harmless, coloured on a terminal only, and one JSON document where a program asked for it."""

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
"""What a terminal may obey; everything else is cleaned once more, which changes nothing if every text was cleaned."""

clean = visible
"""Other people's text: what a terminal would obey, or can't show, is shown as what it is (⟨U+001B⟩)."""
one_line = line


def bold(text: object) -> str:
    """What a line is about."""
    return click.style(clean(str(text)), bold=True)


def dim(text: object) -> str:
    """What one may skip."""
    return click.style(clean(str(text)), dim=True)


def good(text: object) -> str:
    """It went well."""
    return click.style(clean(str(text)), fg="green")


def bad(text: object) -> str:
    """It did not."""
    return click.style(clean(str(text)), fg="red", bold=True)


def wary(text: object) -> str:
    """Somebody should look, or is waited for."""
    return click.style(clean(str(text)), fg="yellow")


def in_yaml(data: object) -> str:
    """Every part written out where it stands: CloudFormation takes no aliases (`*id001`), and they read badly anyway."""
    import yaml

    class Whole(yaml.SafeDumper):
        def ignore_aliases(self, _: object) -> bool:
            return True

    return clean(yaml.dump(data, Dumper=Whole, sort_keys=False, allow_unicode=True, width=1000).rstrip("\n"))


def say(*lines: str) -> None:
    """On standard output."""
    for each in lines or ("",):
        click.echo(_harmless(each))


def complain(*lines: str) -> None:
    """On standard error."""
    for each in lines:
        click.echo(_harmless(each), err=True)


def result(document: object) -> None:
    """One JSON document on standard output; control characters are escaped in it."""
    click.echo(json.dumps(document, indent=2))


def on_terminal() -> bool:
    """Whether a person sees standard output as it is written."""
    return sys.stdout.isatty()


def width() -> int:
    """How much fits into a line; a pipe has room for everything."""
    return shutil.get_terminal_size((100, 24)).columns if on_terminal() else _NO_WIDTH


def paragraph(text: object, *, indent: int = 0, first: str = "") -> list[str]:
    """Other people's text, folded to the terminal, every line of it indented; `first` stands in the indentation."""
    room = max(30, width() - indent)
    lines = [part for each in clean(str(text)).split("\n") for part in _folded(each, room) or [""]]
    margin = " " * indent
    return [(first.ljust(indent) if number == 0 else margin) + each for number, each in enumerate(lines)]


def _folded(text: str, room: int) -> list[str]:
    """Addresses and names stay whole, so that they can be copied."""
    return textwrap.wrap(text, room, break_long_words=False, break_on_hyphens=False)


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    """Columns under their names; the last one takes what room is left. Cells may be coloured."""
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
    """Lines that stay, and below them, on a terminal only, one that changes."""

    def __init__(self) -> None:
        self._shown = False

    def say(self, *lines: str) -> None:
        """Lines that stay."""
        self.clear()
        say(*lines)

    def status(self, text: str) -> None:
        """The line that changes; a pipe does not get it."""
        if on_terminal():
            self.clear()
            click.echo(dim(line(text, max(20, width() - 3))), nl=False)
            self._shown = True

    def clear(self) -> None:
        """Takes the changing line away."""
        if self._shown:
            sys.stdout.write("\r\x1b[2K")
            sys.stdout.flush()
            self._shown = False
