"""Checks around an upload: the configuration before it, and the outcome of a tag that was already published."""

from __future__ import annotations

from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING

from tagship.model.documents import DocumentInvalid, read_application
from tagship.text.words import listed
from tagship_cli.failures import AwsRefused, Failed

if TYPE_CHECKING:
    from tagship.model.application import Application
    from tagship_cli.actions.publishing import Release
    from tagship_cli.place import Place


@dataclass(frozen=True, slots=True, kw_only=True)
class Before:
    """The state of a tag that was published before."""

    status: str
    why: str

    @property
    def is_bad(self) -> bool:
        """It ended without success."""
        return self.status not in ("RUNNING", "SUCCEEDED")

    def failure(self, release: Release, place: Place) -> Failed:
        """How it ended, for a job that publishes it again."""
        why = f": {self.why.rstrip('.')}." if self.why else "."
        return Failed(
            f"{release.title} was already published and ended {self.status}{why} No new release "
            f"starts.\nPublish a new tag, or start this one again: tagship retry "
            f"{release.title}{place.flags()} --reason '…'"
        )


def ended_before(place: Place, release: Release) -> Before | None:
    """Its state in the ledger; None if this identity cannot read it, or the release was not read yet."""
    from tagship.ledger import releases
    from tagship.model.errors import ApplicationUnknown
    from tagship_cli.failures import trying

    manifest = release.manifest
    try:
        with trying(f"Reading the ledger of {place.stage}"):
            record = releases.get(place.ledger, manifest.application, manifest.tag)
    except (AwsRefused, Failed) as refused:
        if isinstance(refused, AwsRefused) or isinstance(refused.__cause__, ApplicationUnknown):
            return None
        raise
    return Before(status=str(record["status"]), why=str(record.get("why", "")))


def refuse_what_gates_would(place: Place, release: Release) -> None:
    """Raises Failed if the stored configuration would make the release fail; does nothing if this identity cannot read
    it.
    """
    configuration = _configuration(place, release.manifest.application)
    if configuration is None:
        return
    from tagship.targets import kind_of

    pattern, git_tag = configuration.gates.tags.pattern, release.manifest.git_tag
    if not fnmatchcase(git_tag, pattern):
        raise Failed(
            f"{configuration.application} is released from git tags like {pattern}, but this one is {git_tag}. "
            "Nothing was uploaded.\nGive the full tag with --tag, or change gates.tags.pattern in "
            "application.yaml."
        )
    kind = kind_of(configuration.target)
    named = {artifact.name for artifact in release.manifest.artifacts}
    missing = {name: what for name, what in kind.brings(configuration.target).items() if name not in named}
    if missing:
        expected = " and ".join(f"{name} ({what})" for name, what in missing.items())
        raise Failed(
            f"{configuration.application} has a target of type {kind.name}, which requires an artifact "
            f"named {expected}; this release has {', '.join(sorted(named))}. Nothing was uploaded.\n"
            f"Name the artifact: --artifact {next(iter(missing))}=PATH"
        )


def refuse_what_the_stage_cannot(place: Place, configuration: Application) -> None:
    """Raises Failed, with every problem, for a target that this stage's stack does not deploy to.

    Does nothing if no stack is deployed yet.
    """
    stack = place.found()
    if stack is None:
        return
    target = configuration.target
    given = {each["ParameterKey"]: each["ParameterValue"] for each in stack.get("Parameters", [])}
    pattern = given.get("TargetRolePattern", "*")
    own = stack["StackId"].split(":")[4]
    accounts = [each.strip() for each in given.get("AllowedAccountIds", "").split(",") if each.strip()] or [
        own
    ]
    problems = []
    if target.region != place.region_name:
        problems.append(
            f"target.region is {target.region}, but the stack {place.stack} is in {place.region_name}"
        )
    if not fnmatchcase(target.role, pattern):
        problems.append(
            f"target.role is {target.role}, but the stack may assume only {pattern} (TargetRolePattern)"
        )
    if target.account not in accounts:
        problems.append(
            f"target.account is {target.account}, but the stack deploys only to {listed(accounts)} "
            "(AllowedAccountIds)"
        )
    if problems:
        listing = "\n".join(f"  {problem}" for problem in problems)
        raise Failed(
            f"{place.stage} cannot deploy {configuration.application} with this configuration. Nothing was "
            f"written.\n{listing}\nCorrect the configuration, or check --stage, --region and --profile."
        )


def refuse_unmet_rules(place: Place, configuration: Application) -> None:
    """Raises Failed if the stage lacks a group that the rules name, or if nobody could meet the rules with its groups."""
    from tagship.intake.configuration import groups_in, with_groups
    from tagship.model.documents import as_document
    from tagship_cli.failures import trying

    document = as_document(configuration)
    if not groups_in(document):
        return
    with trying(f"Reading the groups of {place.stage}"):
        found = with_groups(
            {"version": 0, "document": document, "problems": []},
            place.ledger,
            guarded=place.guards_configuration,
        )
    if found["problems"]:
        listing = "\n".join(f"  {problem}" for problem in found["problems"])
        raise Failed(
            f"Nobody could approve releases of {configuration.application} in {place.stage}. Nothing was "
            f"written.\n{listing}"
        )


def _configuration(place: Place, application: str) -> Application | None:
    """The stored configuration; None if this identity cannot read it.

    Raises Failed for an application that the stage does not know, and for an invalid configuration.
    """
    from tagship_cli.actions.configuration import stored

    try:
        found = stored(place.client("ssm"), stage=place.stage, application=application)
    except AwsRefused:
        return None
    if not found.version:
        raise Failed(
            f"There is no configuration of {application!r} in {place.stage}, so the release would end "
            f"INVALID. Nothing was uploaded.\nCheck --application and --stage, or store it: tagship apply "
            f"application.yaml{place.flags()}"
        )
    try:
        return read_application(found.data, stage=place.stage)
    except DocumentInvalid as error:
        listing = "\n".join(f"  {problem}" for problem in error.problems)
        raise Failed(
            f"The configuration of {application} in {place.stage} is not valid, so the release would end "
            f"INVALID. Nothing was uploaded.\n{listing}\nCorrect it: tagship apply "
            f"application.yaml{place.flags()}"
        ) from error
