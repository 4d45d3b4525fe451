"""tagship rollback: put back what served before a release, by the rollback state machine."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import click

from tagship_cli.actions.steering import confirm, execution_ended, reason_option
from tagship_cli.failures import Failed, trying
from tagship_cli.place import Place, as_json, in_a_place
from tagship_cli.views import screen

if TYPE_CHECKING:
    from tagship.model.records import ReleaseRecord

_BACK = ("ROLLED_BACK", "ABORTED")
"""How a release stands that was taken back."""


@click.command(
    epilog="""\b
Examples:
  tagship rollback storefront --reason "customers can't pay"
  tagship rollback storefront --to v1.2.0 --reason "v1.3.0 has it too"
  tagship rollback storefront --security --reason "it logs card numbers"
  tagship rollback storefront v1.4.0 --security --reason "it did, too"       one that was taken back before
\b
Nobody is asked to approve; your identity and the reason are recorded. Ends with 0 when the baseline serves all
traffic again and is healthy, with 1 when not. If the release is being rolled back already, this waits for that end.
Stopping to wait (Ctrl-C) leaves the rollback alone."""
)
@click.argument("application")
@click.argument("tag", required=False)
@reason_option
@click.option(
    "--to", metavar="TAG", help="Further back: a release that succeeded and whose version still exists."
)
@click.option(
    "--security", is_flag=True, help="What is taken back is never deployed again: its tag can't be retried."
)
@click.option("--yes", "-y", is_flag=True, help="Roll back without being asked first.")
@in_a_place
@as_json
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
    """Take back the release that production runs, or the one whose rollback failed.

    What is on its way and has traffic is taken back instead. A rollback that failed is made once more: when the target is in
    order, that frees the application. Say the TAG and it is that release, or none; with --security it may be one that was
    taken back before.
    """
    from tagship_cli.actions.deciding import whoami

    record = _named(place, application, tag, to, security=security) or _what_to_take_back(place, application)
    if tag not in (None, record["tag"]):
        raise Failed(
            f"{application} {tag} is not what would be taken back: that is {record['tag']}, {record['status']}. "
            "Nothing was changed."
        )
    if to:
        _refuse_unless_it_leads(place, record, to)
    title = f"{application} {record['tag']}"
    caller = whoami(place)
    confirm(
        f"Roll {screen.clean(title)} back?",
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
        screen.say(f"The rollback of {screen.bold(title)} has begun.", screen.dim(execution))
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
        screen.say(screen.good(f"{title} is rolled back."), *screen.paragraph(restored))


def _named(
    place: Place, application: str, tag: str | None, to: str | None, *, security: bool
) -> ReleaseRecord | None:
    """The release that was taken back before, and is to be barred; None where there is something to take back."""
    from tagship.ledger import releases

    if tag is None or to or not security:
        return None
    with trying(f"Reading the ledger of {place.stage}"):
        record = releases.get(place.ledger, application, tag)
    return record if record["status"] in _BACK else None


def _what_to_take_back(place: Place, application: str) -> ReleaseRecord:
    """What has traffic and is on its way, or failed to go back; else what production runs.

    A release that has the lock and waits is let be: the rollback of what production runs ends it by itself.

    Raises Failed when there is neither.
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
                f"{application} {held['tag']} has moved no traffic yet, and production runs no release before it: there is "
                "nothing to take back. Nothing was changed.\n"
                f"Stop it: tagship abort {screen.one_line(application)} {screen.one_line(held['tag'])}{place.flags()}"
            )
        if record is None:
            raise Failed(
                f"Production runs no release of {application} in {place.stage}, so there is nothing to take back."
            )
        refused = releases.roll_back_refused(place.ledger, record)
    if refused:
        raise Failed(f"{application} {record['tag']} can't be rolled back: {refused} Nothing was changed.")
    return record


def _refuse_unless_it_leads(place: Place, record: ReleaseRecord, to: str) -> None:
    """What the machine will say, before anybody is asked; whether the version still exists, it asks the target itself."""
    from tagship.ledger import releases

    with trying(f"Reading the ledger of {place.stage}"):
        other = releases.get(place.ledger, record["application"], to)
        refused = releases.go_back_refused(record, other)
    if refused:
        raise Failed(
            f"{record['application']} {record['tag']} can't go back to {to}: {refused} Nothing was changed."
        )


def _question(
    record: ReleaseRecord, place: Place, identity: str, to: str | None, *, security: bool
) -> list[str]:
    what = screen.bold(f"{record['application']} {record['tag']}")
    return [
        f"{what} in {place.stage}, now {record['status']}: {screen.clean(_then(record, to))}.",
        *([f"  {screen.bad(record['tag'] + ' is never deployed again.')}"] if security else []),
        f"  You are {screen.clean(identity)}.",
    ]


def _then(record: ReleaseRecord, to: str | None) -> str:
    if record["status"] in _BACK:
        return "it was taken back before, so nothing moves"
    before = to or record["plan"]["from"]
    return f"{before} serves again" if before else "what served before Tagship's first release serves again"
