"""tagship preview: show what people will receive from Tagship."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from tagship_cli import options
from tagship_cli.failures import Failed
from tagship_cli.place import STAGES
from tagship_cli.views import screen


@click.group(
    epilog="""\b
Examples:
  tagship preview approval application.yaml --html previews"""
)
def preview() -> None:
    """Preview what people will receive from Tagship."""


@preview.command(
    short_help="Preview the mails, Slack messages and pages of an approval.",
    epilog="""\b
Examples:
  tagship preview approval                                     the mail and the Slack message of a sample
  tagship preview approval application.yaml                    with your approvers, policy and traffic steps
  tagship preview approval application.yaml --html previews    everything, including every state of the page, as files""",
)
@click.argument(
    "file", required=False, type=click.Path(exists=True, dir_okay=False, path_type=Path), metavar="[FILE]"
)
@click.option(
    "--stage",
    type=click.Choice(STAGES),
    default=STAGES[-1],
    show_default=True,
    metavar="STAGE",
    help="The stage that the release is for.",
)
@click.option(
    "--html",
    type=click.Path(file_okay=False, path_type=Path),
    metavar="FOLDER",
    help="Write everything to this folder; open its index.html.",
)
@options.as_json
def approval(*, file: Path | None, stage: str, html: Path | None, as_json: bool) -> None:
    """Show what approvers will receive, for the application in FILE or a sample. Works offline; the links are not real."""
    from tagship_cli.actions import previews

    about: dict[str, Any] = {"stage": stage}
    if file:
        about = previews.of_application(_document(file), stage=stage)
    if html:
        written = previews.write_previews(html, **about)
        if as_json:
            screen.result({"files": [str(path) for path in written]})
        else:
            screen.say(f"{len(written)} files written. Open {html / 'index.html'}")
        return
    mail, message = previews.mails(**about)["approval"], previews.slack_messages(**about)["announcement"]
    if as_json:
        screen.result({"mail": {"subject": mail.subject, "text": mail.text}, "slack": message})
    else:
        screen.say(f"Subject: {mail.subject}", "", *mail.text.splitlines(), "", "Slack, in the channel:", "")
        screen.say(*json.dumps(message, indent=2, ensure_ascii=False).splitlines())


def _document(file: Path) -> dict[str, object]:
    """The application in a file, with its defaults.

    Raises Failed if the file is not valid, or not an application.
    """
    from tagship_cli.actions.documents import bytes_of, read

    document = read(str(file), bytes_of(file))
    if document.kind != "application" or document.whole is None:
        raise Failed(f"{file} is not a valid application.yaml. See why: tagship validate {file}")
    return document.whole
