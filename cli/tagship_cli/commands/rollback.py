"""tagship rollback: restore the release before, with the rollback state machine."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import click

from tagship_cli import options
from tagship_cli.actions.steering import confirm, execution_ended, reason_option
from tagship_cli.failures import Failed, trying
from tagship_cli.place import Place, in_a_place
from tagship_cli.views import screen

if TYPE_CHECKING:
    from tagship.model.records import ReleaseRecord

_BACK = ("ROLLED_BACK", "ABORTED")
"""The statuses of a release that was rolled back."""


@click.command(
    epilog="""\b
Examples:
  tagship rollback storefront --reason "customers can't pay"
  tagship rollback storefront --to v1.2.0 --reason "v1.3.0 has it too"
  tagship rollback storefront --security --reason "it logs card numbers"
  tagship rollback storefront v1.4.0 --security --reason "it does too"    bar a release that was already rolled back
\b
A rollback needs no approval; your identity and the reason are recorded. Exits with 0 when the baseline serves all
traffic again and is healthy, otherwise with 1. If the release is already being rolled back, the command waits for
that rollback. Ctrl-C stops only the waiting; the rollback continues."""
)
@click.argument("application")
@click.argument("tag", required=False)
@reason_option
@click.option(
    "--to",
    metavar="TAG",
    help="Roll back to this earlier release. It must have succeeded, and its version must still exist.",
)
@click.option("--security", is_flag=True, help="Also bar the release: it can never be deployed again.")
@click.option("--yes", "-y", is_flag=True, help="Roll back without a confirmation prompt.")
@in_a_place
@options.as_json
def rollback(
    *,
    place: Place,
    application: str,
    tag: str | None,
    reason: str,
    to: str | None,
    security: bool,
    yes: bool,
    as_json: bool,
) -> None:
    """Roll back the deployed release, or the one whose rollback failed.

    If a release in progress already has traffic, the command rolls back that release instead. It also repeats a
    failed rollback: this releases the lock once the target is fixed. With TAG, it rolls back that release or nothing. With
    --security, TAG can also be a release that was already rolled back.
    """
    from tagship_cli.actions.deciding import whoami

    record = _named(place, application, tag, to, security=security) or _what_to_take_back(place, application)
    if tag not in (None, record["tag"]):
        raise Failed(
            f"{application} {tag} is not the release to roll back. The command would roll back {record['tag']}, which "
            f"is {record['status']}. Nothing was changed."
        )
    if to:
        _refuse_unless_it_leads(place, record, to)
    title = f"{application} {record['tag']}"
    caller = whoami(place)
    confirm(
        f"Roll back {screen.clean(title)}?",
        *_question(record, place, caller.arn, to, security=security),
        yes=yes,
    )
    order = {
        "application": application,
        "tag": record["tag"],
        "attempt": record["attempt"],
        "trigger": "security" if security else "operator",
        "why": reason,
        "by": caller.arn,
    } | ({"to": to} if to else {})
    with trying(f"Starting the rollback of {title}"):
        execution = place.client("stepfunctions").start_execution(
            stateMachineArn=place.output("RollbackStateMachineArn"), input=json.dumps(order)
        )["executionArn"]
    if not as_json:
        screen.say(f"Rolling back {screen.bold(title)}.", screen.dim(execution))
    ended = execution_ended(place, execution, title, what="rollback")
    if as_json:
        screen.result(
            {
                "application": application,
                "tag": record["tag"],
                "attempt": record["attempt"],
                "stage": place.stage,
                "execution": execution,
                "status": ended["status"],
                "error": ended.get("error", ""),
                "cause": ended.get("cause", ""),
            }
        )
    if ended["status"] != "SUCCEEDED":
        raise Failed(
            f"The rollback of {title} ended {ended.get('error') or ended['status']}.\n{ended.get('cause', '')}"
        )
    if not as_json:
        restored = json.loads(ended["output"])["restored"]["what"]
        screen.say(
            screen.good(f"{title} is rolled back."), *screen.paragraph(restored[:1].upper() + restored[1:])
        )


def _named(
    place: Place, application: str, tag: str | None, to: str | None, *, security: bool
) -> ReleaseRecord | None:
    """The release that was already rolled back and should be blocked; None if there is something to roll back."""
    from tagship.ledger import releases

    if tag is None or to or not security:
        return None
    with trying(f"Reading the ledger of {place.stage}"):
        record = releases.get(place.ledger, application, tag)
    return record if record["status"] in _BACK else None


def _what_to_take_back(place: Place, application: str) -> ReleaseRecord:
    """The release in progress that has traffic, or the one whose rollback failed; otherwise the deployed release.

    A waiting release that holds the lock is not chosen, because rolling back the deployed release ends it.

    Raises Failed if there is neither.
    """
    from tagship.ledger import lock, releases

    with trying(f"Reading the ledger of {place.stage}"):
        holder = lock.holder(place.ledger, application)
        current = releases.current(place.ledger, application)
        held = releases.get(place.ledger, application, holder.tag) if holder else None
        record = held if held and (held["status"] != "RUNNING" or held.get("moved")) else None
        if record is None and current is not None:
            record = releases.get(place.ledger, application, current["tag"])
        if record is None and held is not None:
            raise Failed(
                f"{application} {held['tag']} has moved no traffic yet, and no release is deployed before "
                f"it, so there is nothing to roll back. Nothing was changed.\n"
                f"Stop it: tagship abort {screen.one_line(application)} {screen.one_line(held['tag'])}{place.flags()}"
            )
        if record is None:
            raise Failed(
                f"No release of {application} is deployed in {place.stage}, so there is nothing to roll back."
            )
        refused = releases.roll_back_refused(place.ledger, record)
    if refused:
        raise Failed(f"{application} {record['tag']} cannot be rolled back: {refused} Nothing was changed.")
    return record


def _refuse_unless_it_leads(place: Place, record: ReleaseRecord, to: str) -> None:
    """Refuses what the state machine would refuse, before the prompt; only the machine checks that the version exists."""
    from tagship.ledger import releases

    with trying(f"Reading the ledger of {place.stage}"):
        other = releases.get(place.ledger, record["application"], to)
        refused = releases.go_back_refused(record, other)
    if refused:
        raise Failed(
            f"{record['application']} {record['tag']} cannot be rolled back to {to}: {refused} Nothing was changed."
        )


def _question(
    record: ReleaseRecord, place: Place, identity: str, to: str | None, *, security: bool
) -> list[str]:
    from tagship.ledger import releases

    what, unsafe = (
        screen.bold(f"{record['application']} {record['tag']}"),
        releases.unsafe_to_roll_back(record),
    )
    return [
        f"{what} in {place.stage}, now {record['status']}: {screen.clean(_then(record, to))}.",
        *([f"  {screen.bad('ITS ROLLBACK IS UNSAFE: ' + screen.one_line(unsafe))}"] if unsafe else []),
        *([f"  {screen.bad(record['tag'] + ' can never be deployed again.')}"] if security else []),
        f"  You are {screen.clean(identity)}.",
    ]


def _then(record: ReleaseRecord, to: str | None) -> str:
    if record["status"] in _BACK:
        return "it was already rolled back, so no traffic moves"
    before = to or record["plan"]["from"]
    return (
        f"{before} will serve all traffic again"
        if before
        else "the version from before Tagship's first release will serve again"
    )
