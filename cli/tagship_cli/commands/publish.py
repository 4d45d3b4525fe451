"""tagship publish: upload a release to the bucket, which starts it."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

import click

from tagship_cli import options
from tagship_cli.actions.signing import sign_options
from tagship_cli.failures import AwsRefused, Failed
from tagship_cli.place import Place, in_a_place
from tagship_cli.views import screen

if TYPE_CHECKING:
    from tagship_cli.actions.checking import Before
    from tagship_cli.actions.publishing import ExtraFile, Folder, Found, Release
    from tagship_cli.actions.source import Source


@click.command(
    epilog="""\b
Examples:
  tagship publish --application storefront --tag v1.4.0 --artifact function=build/storefront.zip \\
      --stage production
  tagship publish --application storefront --tag v1.4.0 --artifact function=build/storefront.zip \\
      --notes-file CHANGES.md --dry-run
  tagship publish --application storefront --tag v1.4.0 --artifact function=build/storefront.zip \\
      --sign alias/tagship-release-signing --stage production
\b
In CI, the commit and the repository come from the environment; elsewhere, from git.
You can run the command again with the same files: files that are already there are not uploaded again."""
)
@click.option(
    "--application", required=True, metavar="NAME", help="The application's name, as in its application.yaml."
)
@click.option(
    "--tag",
    required=True,
    metavar="TAG",
    help="The git tag. It ends in a version, like v1.4.0 or storefront/v1.4.0. A version can be used only once.",
)
@options.artifacts
@click.option("--bucket", metavar="NAME", help="The release bucket.  [default: the stack's bucket]")
@click.option("--notes", metavar="TEXT", help="What approvers should know.")
@click.option(
    "--notes-file",
    type=click.File("r", encoding="utf-8"),
    metavar="FILE",
    help="Read the notes from a file, or from standard input (-).",
)
@click.option(
    "--parameter",
    "parameters",
    multiple=True,
    metavar="KEY=VALUE",
    help="A parameter for the target. Can be repeated.",
)
@click.option(
    "--commit",
    envvar=["GITHUB_SHA", "CI_COMMIT_SHA", "BITBUCKET_COMMIT"],
    show_envvar=True,
    metavar="SHA",
    help="The commit that the artifacts were built from.  [default: git's HEAD]",
)
@click.option(
    "--repository",
    envvar=["GITHUB_REPOSITORY", "CI_PROJECT_PATH", "BITBUCKET_REPO_FULL_NAME"],
    show_envvar=True,
    metavar="OWNER/NAME",
    help="The repository of the commit.  [default: git's origin]",
)
@click.option(
    "--author",
    envvar=["GITLAB_USER_EMAIL"],
    show_envvar=True,
    metavar="ADDRESS",
    help="The mail address of the release's author.  [default: the commit's author]",
)
@click.option(
    "--emergency",
    metavar="TEXT",
    help="Why the release can't wait. An emergency ignores freezes and windows, and every approver must approve.",
)
@click.option(
    "--rollback-unsafe",
    metavar="TEXT",
    help="Why the previous version can't run after this release, such as a migration. Tagship then never rolls back itself.",
)
@sign_options("release.json")
@click.option("--dry-run", is_flag=True, help="Show what would be uploaded, without uploading it.")
@in_a_place
@options.as_json
def publish(
    *,
    place: Place,
    application: str,
    tag: str,
    artifacts: tuple[str, ...],
    bucket: str | None,
    notes: str | None,
    notes_file: Any,
    parameters: tuple[str, ...],
    commit: str | None,
    repository: str | None,
    author: str | None,
    emergency: str | None,
    rollback_unsafe: str | None,
    key: str | None,
    algorithm: str,
    dry_run: bool,
    as_json: bool,
) -> None:
    """Upload a release: artifacts first, release.json last.

    Uploading release.json starts the release. The command checks everything before it uploads anything, and it never
    overwrites a file: you can use a tag only once.
    """
    from tagship_cli.actions.checking import ended_before, refuse_what_gates_would
    from tagship_cli.actions.guarding import unapproved
    from tagship_cli.actions.publishing import File, Folder, Release, named_file
    from tagship_cli.actions.source import changes_since_the_last_tag, from_git

    if notes is not None and notes_file is not None:
        raise click.UsageError("Give --notes or --notes-file, not both.")
    if emergency is not None and not emergency.strip():
        raise click.UsageError("--emergency: state why the release can't wait; approvers read this first.")
    if rollback_unsafe is not None and not rollback_unsafe.strip():
        raise click.UsageError("--rollback-unsafe: state why; approvers read this first.")
    pairs = dict(pair(parameter) for parameter in parameters)
    named = [named_file(artifact) for artifact in artifacts]
    tag = tag.removeprefix("refs/tags/")  # as CI's variables have it
    source = from_git(Path.cwd(), commit=commit or "", tag=tag)
    tag, ref = _version_of(tag)
    fields: dict[str, Any] = {
        "schemaVersion": 1,
        "application": application,
        "tag": tag,
        **_known(
            commit=source.commit,
            repository=repository or source.repository,
            author=author or source.author,
        ),
        "createdAt": place.now.strftime("%Y-%m-%dT%H:%M:%SZ"),
        "notes": _read_notes(notes_file) if notes_file is not None else notes or "",
    }
    fields |= {"parameters": pairs} if pairs else {}
    fields |= {"rollbackUnsafe": rollback_unsafe} if rollback_unsafe is not None else {}
    fields |= {"ref": ref} if ref else {}
    changes = changes_since_the_last_tag(
        Path.cwd(), commit=fields["commit"], tag=ref or tag, environment=os.environ
    )
    fields |= {"changes": changes} if changes else {}
    fields |= {"emergency": emergency} if emergency is not None else {}
    release = Release.of(fields, [File.measured(name, path) for name, path in named])
    folder = Folder(s3=place.client("s3"), bucket=bucket or _bucket(place), release=release)
    refuse_what_gates_would(place, release)
    found = folder.look()
    extra_files = _signature(folder, found, place, key="" if dry_run else key, algorithm=algorithm)
    unguarded = unapproved(place, application)
    warnings = [*_warnings(source, release), *([str(unguarded)] if unguarded else [])]
    screen.complain(*(screen.wary(f"Note: {warning}") for warning in warnings))
    if not as_json:
        screen.say(_headline(folder.release, place, dry_run=dry_run))
    outcomes: list[dict[str, object]] = []

    def on_object(name: str, size: int, outcome: str) -> None:
        outcomes.append({"file": name, "size": size, "outcome": outcome})
        if not as_json:
            screen.say(f"  {name:<32} {_bytes(size):>9}  {outcome}")

    new = folder.would_upload(found, on_object) if dry_run else folder.upload(found, on_object, extra_files)
    before = None if new else ended_before(place, folder.release)
    if as_json:
        screen.result(_result(folder, place, outcomes, before, new=new, dry_run=dry_run))
    elif before is None or not before.is_bad:
        screen.say(*_goodbye(folder, place, before, new=new, dry_run=dry_run))
    if before is not None and before.is_bad:
        raise before.failure(folder.release, place)


def _signature(
    folder: Folder, found: Found, place: Place, *, key: str | None, algorithm: str
) -> tuple[ExtraFile, ...]:
    """Signs before anything is uploaded, so that a refused key leaves nothing behind."""
    from tagship_cli.actions.publishing import ExtraFile
    from tagship_cli.actions.signing import signed

    if found.published or folder.signed_before() or not key:
        return ()
    release = folder.release
    raw = signed(place.client("kms"), release.body, key=key, algorithm=algorithm)
    return (ExtraFile.signature(raw, release),)


def _bucket(place: Place) -> str:
    """The stack's bucket. CI, which may only upload, names it with --bucket instead."""
    try:
        return place.output("ReleaseBucketName")
    except AwsRefused as error:
        raise AwsRefused(f"{error.message}\nWith --bucket, the command does not need the stack.") from error


def _headline(release: Release, place: Place, *, dry_run: bool) -> str:
    manifest = release.manifest
    ref = f" (git tag {manifest.ref})" if manifest.ref else ""
    origin = screen.clean(f"{manifest.repository} {manifest.commit[:7]}{ref} by {manifest.author}")
    return f"{'Would publish' if dry_run else 'Publishing'} {screen.bold(release.title)} for {place.stage}, from {origin}"


def _goodbye(folder: Folder, place: Place, before: Before | None, *, new: bool, dry_run: bool) -> list[str]:
    title = folder.release.title
    watch = f"tagship watch {title}{place.flags()}"
    if not new:
        stands = f" Its status is {before.status}." if before else " Your identity can't read its status."
        return [
            screen.wary(
                f"{title} was already published with the same content; no new release starts.{stands}"
            ),
            f"See its outcome: {watch}",
        ]
    if dry_run:
        body = screen.clean(folder.release.body.decode()).rstrip("\n")
        return [
            "release.json would contain:",
            *body.split("\n"),
            screen.wary("Dry run: nothing was uploaded."),
        ]
    return [f"{screen.good('Published')} at {screen.clean(folder.address)}", f"Watch it: {watch}"]


def _result(
    folder: Folder,
    place: Place,
    outcomes: list[dict[str, object]],
    before: Before | None,
    *,
    new: bool,
    dry_run: bool,
) -> dict[str, object]:
    manifest = folder.release.manifest
    return {
        "application": manifest.application,
        "tag": manifest.tag,
        "stage": place.stage,
        "address": folder.address,
        "dryRun": dry_run,
        "published": new and not dry_run,
        "publishedBefore": not new,
        "status": before.status if before else None,
        "objects": outcomes,
        "manifest": json.loads(folder.release.body),
    }


def _warnings(source: Source, release: Release) -> list[str]:
    from tagship_cli.actions.source import is_noreply

    warnings = list(source.warnings)
    if release.manifest.emergency:
        warnings.append(
            "Emergency: the release ignores freezes and windows, and everyone who can decide must approve."
        )
    if is_noreply(release.manifest.author):
        warnings.append(
            f"The author {release.manifest.author} is not a personal mail address, so Tagship could not "
            f"detect an author who approves their own release. Set --author to the address of the person who wrote it."
        )
    return warnings


def _read_notes(file: TextIO) -> str:
    """The notes, or as many as show that they are too long. Raises Failed if they are not text."""
    from tagship.model.release import NOTES_CHARACTERS

    try:
        return file.read(NOTES_CHARACTERS + 1)
    except (OSError, UnicodeDecodeError) as error:
        why = "is not UTF-8 text" if isinstance(error, ValueError) else f"can't be read: {error.strerror}"
        raise Failed(f"--notes-file: {file.name} {why}. Nothing was uploaded.") from error


def _version_of(given: str) -> tuple[str, str]:
    """The release's tag, and the full git tag if it differs. The manifest refuses a tag without a version."""
    from tagship.model.release import Tag

    try:
        tag = str(Tag.of_git(given))
    except ValueError:
        return given, ""
    return tag, "" if tag == given else given


def _known(**source: str) -> dict[str, str]:
    """The given source. Raises UsageError with all values that neither an option, git nor the environment provides."""
    if missing := [name for name, value in source.items() if not value]:
        raise click.UsageError(
            f"Missing: {', '.join(missing)}. Neither git nor the environment provides this. "
            f"Set {', '.join(f'--{name}' for name in missing)}."
        )
    return source


def pair(text: str, *, option: str = "--parameter") -> tuple[str, str]:
    """Parses `KEY=VALUE`. Raises click's BadParameter."""
    key, separator, value = text.partition("=")
    if not separator or not key:
        raise click.BadParameter(f"{text!r} is not KEY=VALUE", param_hint=option)
    return key, value


def _bytes(size: int) -> str:
    """`12.1 MB`."""
    amount, units = float(size), ["B", "KB", "MB", "GB"]
    while amount >= 1000 and len(units) > 1:
        amount /= 1000
        units.pop(0)
    return f"{amount:.0f} {units[0]}" if units[0] == "B" else f"{amount:.1f} {units[0]}"
