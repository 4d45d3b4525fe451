"""tagship plan: show what a release would change, before anything is uploaded."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import click

from tagship_cli import options
from tagship_cli.failures import Failed
from tagship_cli.place import Place, in_a_place
from tagship_cli.views import screen

if TYPE_CHECKING:
    from tagship.model.application import Application
    from tagship_cli.actions.planning import Planned


@click.command(
    epilog="""\b
Examples:
  tagship plan --application storefront --artifact function=build/storefront.zip --stage production
  tagship plan --application storefront --artifact function=build/storefront.zip --markdown > plan.md
  tagship plan --application storefront --artifact function=build/storefront.zip --file application.yaml"""
)
@click.option("--application", required=True, metavar="NAME", help="The application.")
@options.artifacts
@click.option(
    "--parameter",
    "parameters",
    multiple=True,
    metavar="KEY=VALUE",
    help="A parameter for the target, as in `tagship publish`. Can be repeated.",
)
@click.option(
    "--file",
    type=click.Path(exists=True, dir_okay=False, readable=True),
    metavar="FILE",
    help="Use this configuration.  [default: the one that is stored for the stage]",
)
@click.option("--markdown", is_flag=True, help="Print Markdown, for a comment on a pull request.")
@in_a_place
@options.as_json
def plan(
    *,
    place: Place,
    application: str,
    artifacts: tuple[str, ...],
    parameters: tuple[str, ...],
    file: str | None,
    markdown: bool,
    as_json: bool,
) -> None:
    """Show what a release of these files would change and who would have to approve it. Uploads and changes nothing.

    The command reads the target with your own identity. It exits with 1 if a gate would stop the release.
    """
    from tagship_cli.actions.planning import as_markdown, planned
    from tagship_cli.actions.publishing import File, named_file
    from tagship_cli.commands.publish import pair

    if markdown and as_json:
        raise click.UsageError("Use either --markdown or --json, not both.")
    found = planned(
        place,
        _configuration(place, application, file),
        [File.measured(name, path) for name, path in map(named_file, artifacts)],
        dict(pair(each) for each in parameters),
    )
    found = replace(found, unapproved=_unapproved(place, application, file))
    if as_json:
        screen.result(found.as_dict())
    elif markdown:
        click.echo(as_markdown(found))
    else:
        screen.say(*_lines(found))
    if found.problems:
        raise click.exceptions.Exit(1)


def _configuration(place: Place, application: str, file: str | None) -> Application:
    from tagship_cli.actions import documents
    from tagship_cli.commands.apply import checked

    if file is not None:
        found = checked(documents.read(file, documents.bytes_of(file)))
        if found.application != application:
            raise Failed(
                f"{file} is the configuration of {found.application}, not of {application}. Nothing was planned."
            )
        return found
    return stored_configuration(place, application)


def _unapproved(place: Place, application: str, file: str | None) -> str:
    from tagship_cli.actions import documents
    from tagship_cli.actions.guarding import unapproved

    if file is None:
        return str(unapproved(place, application) or "")
    given = documents.read(file, documents.bytes_of(file))
    return str(unapproved(place, application, given.data, what=f"The configuration in {file}") or "")


def stored_configuration(place: Place, application: str) -> Application:
    """The stage's configuration; raises Failed if there is none, or if it is not valid."""
    from tagship.model.documents import DocumentInvalid, read_application
    from tagship_cli.actions import configuration

    stored = configuration.stored(place.client("ssm"), stage=place.stage, application=application)
    if not stored.version:
        raise Failed(
            f"{place.stage} has no application {application}. Nothing was changed.\n"
            f"Pass its configuration with --file, or store it: tagship apply application.yaml{place.flags()}"
        )
    try:
        return read_application(stored.data, stage=place.stage)
    except DocumentInvalid as error:
        raise Failed(
            f"The configuration of {application} in {place.stage} is not valid: {error}\n"
            f"Correct it: tagship apply application.yaml{place.flags()}"
        ) from error


def _lines(found: Planned) -> list[str]:
    title = f"{found.configuration.application} in {found.stage}"
    if found.change.nothingToChange:
        lines = [screen.bold(f"{title}: nothing would change")]
    else:
        lines = [screen.bold(f"{title}: changes that this release would make")]
    for each in found.change.summary:
        lines += screen.paragraph(each, indent=4, first="  - ")
    about = [
        ("deployed", found.runs or "nothing by Tagship yet"),
        ("traffic", "; then ".join(found.traffic)),
        ("approval", found.approval),
        ("package", found.package),
    ]
    lines.append("")
    for name, text in about:
        lines += screen.paragraph(text, indent=12, first=f"  {screen.dim(f'{name:<9}')} ")
    if found.unapproved:
        lines += screen.paragraph(found.unapproved, indent=4, first=f"  {screen.wary('!')} ")
    for each in found.warnings:
        lines += screen.paragraph(each, indent=4, first=f"  {screen.wary('!')} ")
    for each in found.problems:
        lines += screen.paragraph(each, indent=4, first=f"  {screen.bad('!')} ")
    return lines
