"""tagship apply: store an application's configuration or a group, after showing what changes."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import click

from tagship_cli import options
from tagship_cli.failures import Failed, trying
from tagship_cli.place import Place, in_a_place
from tagship_cli.views import screen

if TYPE_CHECKING:
    from tagship.model.application import Application
    from tagship.model.group import Group
    from tagship_cli.actions.configuration import Stored
    from tagship_cli.actions.documents import Document


@click.command(
    epilog="""\b
Examples:
  tagship apply application.yaml                      show the changes in development, ask, write
  tagship apply application.yaml --stage production
  tagship apply application.yaml --stage production --yes     without a prompt, for CI
  tagship apply platform.yaml --stage production              a group: {group: platform, members: [...]}
\b
In a guarded stage (production, unless its stack is configured otherwise), the command proposes the change, and the
approvers in the current configuration decide on it. It exits with 0 when they have been asked."""
)
@click.argument("file", type=click.Path(exists=True, dir_okay=False, readable=True), metavar="FILE")
@click.option("--yes", "-y", is_flag=True, help="Write or propose without a confirmation prompt.")
@click.option(
    "--emergency",
    metavar="TEXT",
    help="In a guarded stage: why the change can't wait. It ignores freezes, and every approver must approve.",
)
@click.option(
    "--ask-owners",
    "owners",
    metavar="TEXT",
    help="In a guarded stage: why the stack's owners must decide instead of the current approvers, for example because "
    "they have left. All of the owners must approve.",
)
@in_a_place
@options.as_json
def apply(
    *, place: Place, file: str, yes: bool, emergency: str | None, owners: str | None, as_json: bool
) -> None:
    """Store an application's configuration or a group of approvers, or propose it if the stage guards configurations.

    Shows how it differs from the current configuration, asks you to confirm, and writes or proposes it. A release that is in
    progress continues with the configuration that it started with.
    """
    from tagship.model.group import Group
    from tagship.model.proposal import WHY_CHARACTERS, scope_of
    from tagship_cli.actions import documents
    from tagship_cli.actions.checking import refuse_unmet_rules, refuse_what_the_stage_cannot

    reasons = {"--emergency": emergency, "--ask-owners": owners}
    for option, reason in reasons.items():
        if reason is not None and not reason.strip():
            raise click.UsageError(f"{option}: state why; approvers read this first.")
        options.refuse_a_long_text(option, (reason or "").strip(), most=WHY_CHARACTERS)
    raw = documents.bytes_of(file)
    document = documents.read(file, raw)
    parsed = _valid(document)
    _refuse_of_another_stage(document, parsed, place)
    _valid(documents.read(file, raw, stage=place.stage))
    place.refuse_a_long_name()
    if isinstance(parsed, Group):
        name = scope_of(parsed.group)
    else:
        name = parsed.application
        refuse_what_the_stage_cannot(place, parsed)
        refuse_unmet_rules(place, parsed)
    if place.guards_configuration:
        from tagship_cli.commands.propose import propose

        propose(
            place,
            name,
            document.data,
            ask=lambda: _ask(name, place, yes=yes, verb="Propose"),
            emergency=(emergency or "").strip(),
            owners=(owners or "").strip(),
            as_json=as_json,
        )
    elif given := [option for option, reason in reasons.items() if reason is not None]:
        raise click.UsageError(
            f"{given[0]}: {place.stage} does not guard configurations, so the change needs no approval."
        )
    elif isinstance(parsed, Group):
        _write_group(place, parsed.group, document.data, yes=yes, as_json=as_json)
    else:
        _write(place, name, document.data, yes=yes, as_json=as_json)


def _write(place: Place, application: str, data: object, *, yes: bool, as_json: bool) -> None:
    from tagship_cli.actions import configuration

    ssm = place.client("ssm")
    stored = configuration.stored(ssm, stage=place.stage, application=application)
    difference = configuration.difference(stored, data)
    if not as_json:
        screen.say(*shown(difference, stored, place))
    version = stored.version
    if difference:
        _ask(application, place, yes=yes)
        with trying("Looking up your AWS identity"):
            who = place.client("sts").get_caller_identity()["Arn"]
        version = configuration.write(ssm, stored, data, who=who)
    if as_json:
        screen.result(_result(place, stored, version, difference))
    elif difference:
        screen.say(*_goodbye(stored, version, application, place))


def _write_group(place: Place, group: str, data: object, *, yes: bool, as_json: bool) -> None:
    """Groups are stored in the ledger, like freezes."""
    from tagship.ledger import groups
    from tagship_cli.actions import configuration, proposing

    stored = proposing.stored_group(place, group)
    difference = configuration.difference(stored, data)
    if not as_json:
        screen.say(*shown(difference, stored, place))
    if difference:
        _ask(f"group {group}", place, yes=yes)
        with trying("Looking up your AWS identity"):
            who = place.client("sts").get_caller_identity()["Arn"]
        with trying(f"Changing the group {group} of {place.stage}"):
            groups.store(place.ledger, group, data, before=stored.digest, who=who)  # type: ignore[arg-type]
    if as_json:
        screen.result(
            {"stage": place.stage, "group": group, "changed": bool(difference), "difference": difference}
        )
    elif difference:
        screen.say(
            f"{screen.good('Written')}: the group {group} of {place.stage}. The next release is decided by these members."
        )


def checked(document: Document) -> Application:
    """The configuration; raises Failed, with every problem, if the file is not a valid configuration."""
    from tagship.model.application import Application as Configuration

    found = _valid(document)
    if not isinstance(found, Configuration):
        raise Failed(f"{document.name} is a group, not an application's configuration. Nothing was written.")
    return found


def _valid(document: Document) -> Application | Group:
    """The configuration or group; raises Failed if the file is neither, or not valid."""
    from tagship.model.application import Application as Configuration
    from tagship.model.group import Group
    from tagship_cli.commands.validate import finding_lines, warning_lines

    if document.findings:
        screen.say(*finding_lines(document))
        raise Failed(f"{document.name} does not validate. Nothing was written.")
    screen.complain(*warning_lines(document))
    if not isinstance(document.noun, Configuration | Group):
        raise Failed(
            f"{document.name} is a release manifest, not an application's configuration. Nothing was "
            f"written.\nTo upload a release, use `tagship publish`."
        )
    return document.noun


def _refuse_of_another_stage(document: Document, application: Application | Group, place: Place) -> None:
    if application.stage not in (None, place.stage):
        raise Failed(
            f"{document.name} is for the stage {application.stage}, but this is {place.stage}. Nothing was "
            f"written.\n"
            f"Apply it there: tagship apply {document.name} --stage {application.stage}"
        )


def shown(difference: list[str], stored: Stored, place: Place) -> list[str]:
    """The changes, in colour."""
    if not difference:
        same = f"{stored.name} already has this content (version {stored.version}). Nothing was written."
        return [f"{screen.good('No change')}: {same}"]
    head = f"{stored.name} " + (
        f"would change (version {stored.version})" if stored.version else f"is new in {place.stage}"
    )
    colours = {"+": screen.good, "-": screen.bad, "@": screen.dim}
    return [screen.bold(head), *(colours.get(line[:1], screen.clean)(line) for line in difference)]


def _ask(application: str, place: Place, *, yes: bool, verb: str = "Write") -> None:
    if yes:
        return
    if not _can_ask():
        raise click.UsageError(
            "This is not a terminal, so nobody can confirm. Use --yes. Nothing was written."
        )
    if not click.confirm(f"{verb} this configuration for {application} in {place.stage}?", err=True):
        raise Failed("Nothing was written.")


def _can_ask() -> bool:
    """Whether somebody is at a terminal."""
    return sys.stdin.isatty()


def _goodbye(stored: Stored, version: int, application: str, place: Place) -> list[str]:
    lines = [f"{screen.good('Written')} as version {version} of {stored.name}. The next release uses it."]
    if version != stored.version + 1:
        lines.append(
            screen.wary(
                f"Somebody else wrote version {version - 1} at the same moment, and your version overwrote "
                f"it. Run `tagship apply` again to check that {application} in {place.stage} is correct."
            )
        )
    return lines


def _result(place: Place, stored: Stored, version: int, difference: list[str]) -> dict[str, object]:
    return {
        "stage": place.stage,
        "parameter": stored.name,
        "changed": bool(difference),
        "before": stored.version or None,
        "version": version,
        "difference": difference,
    }
