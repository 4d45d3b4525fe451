"""tagship audit: verify that an application's history was not changed, and export it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from tagship.text.words import count, listed
from tagship_cli import options
from tagship_cli.failures import Failed
from tagship_cli.place import Place, in_a_place
from tagship_cli.views import screen

if TYPE_CHECKING:
    from tagship_cli.actions.auditing import Checked

_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)


@click.group(
    epilog="""\b
Examples:
  tagship audit verify storefront --stage production
  tagship audit export storefront -o storefront.json"""
)
def audit() -> None:
    """Verify that an application's history was not changed, and export it."""


@audit.command(
    short_help="Verify a chain of facts, and name its first broken link.",
    epilog="""\b
Examples:
  tagship audit verify storefront --stage production      the ledger's chain, compared with all evidence
  tagship audit verify --bundle 0000000123-4f2a….json      one piece of evidence, offline
  tagship audit verify --file storefront.json             an export, offline
\b
Exits with 0 when every link holds. Exits with 1 when a link is broken (the first is named), when evidence was hidden,
or when a release ended more than an hour ago and has no evidence.""",
)
@click.argument("application", required=False)
@click.option(
    "--bundle",
    type=_FILE,
    metavar="FILE",
    help="The evidence of one release's ending, from the evidence bucket.",
)
@click.option(
    "--file", "export_file", type=_FILE, metavar="FILE", help="A file that `tagship audit export` wrote."
)
@in_a_place
@options.as_json
def verify(
    *, place: Place, application: str | None, bundle: Path | None, export_file: Path | None, as_json: bool
) -> None:
    """Verify a chain of facts, and name the first one that is missing, altered, reordered, rewritten or hidden.

    Each fact contains the digest of the fact before it. The command also compares the ledger's chain with the evidence of
    every release's ending, which nobody can change, so it also detects a chain that was rewritten as a whole.
    """
    from tagship_cli.actions import auditing

    if sum(given is not None for given in (application, bundle, export_file)) != 1:
        raise click.UsageError("Name an application, or use either --bundle or --file.")
    if bundle:
        checked = auditing.check_bundle(bundle)
    elif export_file:
        checked = auditing.check_export(export_file)
    else:
        checked = auditing.check_ledger(place, str(application))
    if as_json:
        screen.result(checked.as_dict())
    else:
        screen.say(*_result_lines(checked))
    if checked.broken:
        raise click.exceptions.Exit(1)


def _result_lines(checked: Checked) -> list[str]:
    what = screen.one_line(f"{checked.application}, {checked.what}", 200)
    facts = count(checked.facts, "fact")
    if checked.broken:
        broken = checked.broken
        return [
            f"{screen.bad('BROKEN')}: {screen.bold(what)}, {facts}",
            *screen.paragraph(screen.clean(f"{broken.kind} at fact {broken.seq}: {broken.what}"), indent=2),
            *(_listed("Hidden in the evidence bucket:", checked.hidden) if checked.hidden else ()),
            *screen.paragraph("What to do: docs/audit.md, “If a link is broken”.", indent=2),
        ]
    against = f", compared with {count(checked.anchors, 'piece')} of evidence" if checked.anchors else ""
    lines = [f"{screen.good('whole')}: {screen.bold(what)}, {facts}{against}"]
    if checked.without_evidence:
        lines += _listed("There is no evidence yet of", checked.without_evidence)
    if checked.not_checked:
        lines += screen.paragraph(checked.not_checked, indent=2)
    return lines


def _listed(what: str, names: Sequence[str]) -> list[str]:
    more = len(names) - 10
    text = f"{what} {listed(names[:10])}{f' and {more} more' if more > 0 else ''}."
    return screen.paragraph(screen.clean(text), indent=2)


@audit.command(
    short_help="Write an application's facts to a file.",
    epilog="""\b
Examples:
  tagship audit export storefront -o storefront.json --stage production
  tagship audit export storefront --tag v1.4.0 -o storefront-v1.4.0.json""",
)
@click.argument("application")
@click.option("--tag", metavar="TAG", help="The facts of one release, instead of all.")
@click.option(
    "--output",
    "-o",
    required=True,
    metavar="FILE",
    type=click.Path(dir_okay=False, path_type=Path),
    help="The file to write. The command never overwrites an existing file.",
)
@in_a_place
@options.as_json
def export(*, place: Place, application: str, tag: str | None, output: Path, as_json: bool) -> None:
    """Write an application's facts to a file, exactly as the ledger has them, so that you can verify them anywhere."""
    from tagship_cli.actions import auditing

    document = auditing.export(place, application, tag)
    try:
        with output.open("x", encoding="utf-8") as file:
            file.writelines(auditing.written(document))
    except OSError as error:
        raise Failed(f"{output} can't be written: {error.strerror}. Nothing was overwritten.") from error
    number = len(document["facts"])
    if as_json:
        click.echo(json.dumps({"file": str(output), "facts": number, "head": document["head"]}, indent=2))
    else:
        screen.say(
            f"{count(number, 'fact')} written to {screen.clean(str(output))}.",
            f"Check it anywhere: tagship audit verify --file {screen.clean(str(output))}",
        )
