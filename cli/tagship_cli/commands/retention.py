"""tagship retention: show which old revisions the policy no longer keeps, and delete them."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from typing import TYPE_CHECKING, Any

import click

from tagship.text.words import count, size
from tagship_cli import options
from tagship_cli.actions.steering import confirm
from tagship_cli.failures import Failed, trying
from tagship_cli.place import Place, in_a_place
from tagship_cli.views import screen

if TYPE_CHECKING:
    from tagship.deployment.retention import Done, Fate


@click.command(
    epilog="""\b
Examples:
  tagship retention storefront --stage production             show what would be deleted, and why the rest is kept
  tagship retention storefront --apply --stage production     show it, ask, and delete
  tagship retention storefront --apply --yes --target-profile shop --stage production
\b
The command reads and deletes with your own identity: the role that Tagship assumes for releases can't delete
revisions. A release that starts in the meantime waits. A rollback does not wait: it stops the deletion. Exits with 1 if a
revision could not be deleted."""
)
@click.argument("application")
@click.option(
    "--apply", "applied", is_flag=True, help="Delete these revisions. Without --apply, nothing is deleted."
)
@click.option("--yes", "-y", is_flag=True, help="Delete without a confirmation prompt.")
@click.option(
    "--target-profile",
    metavar="NAME",
    help="The AWS profile for the target's account.  [default: --profile]",
)
@in_a_place
@options.as_json
def retention(
    *,
    place: Place,
    application: str,
    applied: bool,
    yes: bool,
    target_profile: str | None,
    as_json: bool,
) -> None:
    """Show which old revisions the application's retention policy no longer keeps; with --apply, delete them.

    The policy is `retention` in application.yaml; without a policy, nothing is deleted. The command never deletes a
    revision that serves traffic, that a rollback would restore, that a release in progress needs, or that something
    else still points to.
    """
    from tagship_cli.actions.retaining import Retaining

    found = Retaining.of(place, application, target_profile=target_profile)
    if applied:
        found.refuse_unapproved()
    with trying(f"Looking up the old revisions of {found.where}"):
        fates = found.look()
    going = [fate for fate in fates if not fate.stays]
    if not as_json:
        screen.say(*_lines(found, fates))
    done: list[Done] = []
    if applied and going:
        confirm(
            f"Delete {_count(len(going))} of {screen.clean(application)} for good?",
            *([] if not as_json else [f"  {fate.stored.name}" for fate in going]),
            f"  You are {screen.clean(found.who)}.",
            yes=yes,
        )
        with trying(f"Deleting old revisions of {application}"), closing(found.apply(fates)) as deleting:
            for each in deleting:
                done.append(each)
                if not as_json:
                    screen.say(*_outcome(each))
    if as_json:
        screen.result(_as_dict(found, fates, done, applied=applied))
    elif not applied and going:
        screen.say(
            "", f"Nothing was deleted. To delete: tagship retention {application} --apply{place.flags()}"
        )
    if refused := [each for each in done if each.refused]:
        raise Failed(f"{len(refused)} of {_count(len(going))} could not be deleted. The others were.")


def _lines(found: Any, fates: Sequence[Fate]) -> list[str]:
    going = [fate for fate in fates if not fate.stays]
    policy = found.configuration.retention
    numbers = f"{_count(len(going))} to delete, {_count(len(fates) - len(going))} to keep"
    title = f"{found.application} in {found.stage}: {numbers}"
    text = (
        f"Policy: keep the newest {policy.releases} successful releases, and all revisions of the last {policy.days} days."
        if policy
        else "No policy: application.yaml has no `retention`, so nothing is deleted."
    )
    lines = [screen.bold(title), *screen.paragraph(text), ""]
    lines += [row for fate in [*going, *(each for each in fates if each.stays)] for row in _row(fate)]
    freed = sum(fate.stored.size for fate in going)
    return [*lines, *(["", f"Deleting frees {size(freed)}."] if freed else [])]


def _row(fate: Fate) -> list[str]:
    tags = ", ".join(fate.releases[:3]) + (", …" if len(fate.releases) > 3 else "")
    what = f"{fate.stored.name} ({tags})" if tags else fate.stored.name
    if fate.stays:
        return screen.paragraph(f"{what}: {fate.stays}", indent=10, first=f"  {screen.good('keep')}    ")
    return screen.paragraph(what, indent=10, first=f"  {screen.bad('delete')}  ")


def _outcome(done: Done) -> list[str]:
    name = done.fate.stored.name
    if done.refused:
        return screen.paragraph(done.refused, indent=4, first=f"  {screen.bad('!')} {name}: ")
    return [f"  {screen.good('deleted')} {name}"]


def _as_dict(found: Any, fates: Sequence[Fate], done: Sequence[Done], *, applied: bool) -> dict[str, object]:
    outcomes = {each.fate.stored.name: each.refused or "deleted" for each in done}
    return {
        "application": found.application,
        "stage": found.stage,
        "target": found.where,
        "applied": applied,
        "keep": [
            {"name": fate.stored.name, "releases": fate.releases, "why": fate.stays}
            for fate in fates
            if fate.stays
        ],
        "delete": [
            {
                "name": fate.stored.name,
                "releases": fate.releases,
                "bytes": fate.stored.size,
                "outcome": outcomes.get(fate.stored.name, ""),
            }
            for fate in fates
            if not fate.stays
        ],
    }


def _count(number: int) -> str:
    return count(number, "revision")
