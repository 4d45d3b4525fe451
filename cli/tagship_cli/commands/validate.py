"""tagship validate: check documents before they leave this machine."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from tagship.text.words import count
from tagship_cli import options
from tagship_cli.views import screen

if TYPE_CHECKING:
    from tagship_cli.actions.documents import Document, Finding

_HERE = ("application.yaml", "application.yml", "release.json")
_KINDS = {
    "release": "a release's manifest",
    "application": "an application's configuration",
    "group": "a group",
}


@click.command(
    epilog="""\b
Examples:
  tagship validate                              the files in this directory
  tagship validate application.yaml release.json
  tagship validate application.yaml --show-defaults
  git show HEAD:application.yaml | tagship validate -"""
)
@click.argument(
    "files",
    nargs=-1,
    type=click.Path(exists=True, dir_okay=False, readable=True, allow_dash=True),
    metavar="[FILE]...",
)
@click.option("--show-defaults", is_flag=True, help="Print each document with all defaults filled in.")
@options.as_json
def validate(*, files: tuple[str, ...], show_defaults: bool, as_json: bool) -> None:
    """Check release.json, application.yaml and groups, offline.

    Reports every problem at once, with its file, line and field. Detects the kind of each file from its content.
    """
    from tagship_cli.actions.documents import bytes_of, read

    names = files or tuple(name for name in _HERE if Path(name).is_file())
    if not names:
        raise click.UsageError(f"This directory has no {_HERE[0]} and no {_HERE[2]}. Name a file.")
    documents = [read(name if name != "-" else "standard input", bytes_of(name)) for name in names]
    if as_json:
        screen.result(_result(documents, show_defaults=show_defaults))
    else:
        for document in documents:
            screen.say(*finding_lines(document, show_defaults=show_defaults))
    if any(document.findings for document in documents):
        if not as_json:
            screen.complain(screen.bad(_summary(documents)))
        raise click.exceptions.Exit(1)


def finding_lines(document: Document, *, show_defaults: bool = False) -> list[str]:
    """A document's findings, in the format that editors can jump to; or a line that says that it has none."""
    if document.noun is None:
        return [
            f"{screen.clean(document.name)}:{finding.line}: "
            + (f"{screen.bold(finding.field)}: " if finding.field else "")
            + screen.clean(finding.message)
            for finding in document.findings
        ]
    about = getattr(document.noun, "group", "") or document.noun.application  # type: ignore[union-attr]
    about += f" {document.noun.tag}" if hasattr(document.noun, "tag") else ""
    kind = _KINDS[document.kind]
    lines = [
        f"{screen.clean(document.name)}: {screen.good('valid')}, {kind} ({screen.clean(about)})",
        *warning_lines(document),
    ]
    if show_defaults and document.kind == "release":
        lines += screen.clean(json.dumps(document.whole, indent=2, ensure_ascii=False)).split("\n")
    elif show_defaults:
        lines += screen.in_yaml(document.whole).split("\n")
    return lines


def warning_lines(document: Document) -> list[str]:
    """What may be wrong, in the format that editors can jump to."""
    return [
        f"{screen.clean(document.name)}:{each.line}: {screen.wary('warning')}: {screen.clean(str(each))}"
        for each in document.warnings
    ]


def _summary(documents: list[Document]) -> str:
    problems = sum(len(document.findings) for document in documents)
    files = sum(bool(document.findings) for document in documents)
    return f"{count(problems, 'problem')} in {files} of {count(len(documents), 'file')}."


def _plain(findings: Sequence[Finding]) -> list[dict[str, object]]:
    return [{"line": each.line, "field": each.field, "message": each.message} for each in findings]


def _result(documents: list[Document], *, show_defaults: bool) -> dict[str, object]:
    return {
        "valid": not any(document.findings for document in documents),
        "files": [
            {
                "file": document.name,
                "kind": document.kind or None,
                "valid": not document.findings,
                "problems": _plain(document.findings),
                "warnings": _plain(document.warnings),
            }
            | ({"document": document.whole} if show_defaults else {})
            for document in documents
        ],
    }
