"""tagship abort: stop a release that is in progress; traffic that has moved is restored."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import click

from tagship_cli import options
from tagship_cli.actions.steering import confirm, looks, reason_option
from tagship_cli.failures import Failed, trying
from tagship_cli.place import Place, in_a_place
from tagship_cli.views import screen

if TYPE_CHECKING:
    from tagship.model.records import ReleaseRecord


@click.command(
    epilog="""\b
Examples:
  tagship abort storefront v1.4.0 --reason "the wrong branch was tagged"
  tagship abort storefront v1.4.0 --reason "an incident elsewhere" --stage production --yes
\b
Does the same as "Stop execution" in the console, and records your identity and the reason in the ledger. If traffic
has moved, Tagship restores the baseline. Exits with 0 when the release ends ABORTED, with 1 on any other outcome.
Ctrl-C stops only the waiting; the release still ends."""
)
@click.argument("application")
@click.argument("tag")
@reason_option
@click.option("--yes", "-y", is_flag=True, help="Stop the release without a confirmation prompt.")
@in_a_place
@options.as_json
def abort(*, place: Place, application: str, tag: str, reason: str, yes: bool, as_json: bool) -> None:
    """Stop a release that is in progress, and wait until it has ended."""
    from tagship.ledger import releases
    from tagship_cli.actions.deciding import whoami

    record = _on_its_way(place, application, tag)
    caller = whoami(place)
    title = f"{application} {tag}"
    comes = "its baseline will be restored" if record.get("moved") else "no traffic has moved yet"
    if record.get("moved") and (unsafe := releases.unsafe_to_roll_back(record)):
        comes = f"traffic has moved, and its rollback is unsafe, so nothing will be restored: {unsafe}"
    confirm(
        f"Stop {screen.clean(title)}?",
        f"{screen.bold(title)} in {place.stage} is in progress; {comes}.",
        f"  You are {screen.clean(caller.arn)}.",
        yes=yes,
    )
    with trying(f"Stopping {title}"):
        place.client("stepfunctions").stop_execution(
            executionArn=record["execution"],
            error="ReleaseAborted",
            cause=json.dumps({"by": caller.arn, "why": reason}),
        )
    if not as_json:
        screen.say(
            f"{screen.bold(title)} is stopped. Waiting for its outcome.", screen.dim(record["execution"])
        )
    ended = _ended(place, record)
    if as_json:
        screen.result(
            {
                "application": application,
                "tag": tag,
                "stage": place.stage,
                "attempt": record["attempt"],
                "execution": record["execution"],
                "status": ended["status"],
                "why": ended.get("why", ""),
            }
        )
    if ended["status"] != "ABORTED":
        raise Failed(f"{title} ended {ended['status']}.\n{ended.get('why', '')}")
    if not as_json:
        screen.say(screen.good(f"{title} is ABORTED."), *screen.paragraph(ended["why"]))


def _on_its_way(place: Place, application: str, tag: str) -> ReleaseRecord:
    """Raises Failed for a release that has ended, and for one that is being rolled back, because a rollback must not be
    stopped."""
    from tagship.ledger import lock, releases

    with trying(f"Reading the ledger of {place.stage}"):
        record = releases.get(place.ledger, application, tag)
        holder = lock.holder(place.ledger, application)
    title = f"{application} {tag}"
    if record["status"] != "RUNNING":
        raise Failed(f"{title} has already ended {record['status']}. Nothing was changed.")
    if holder and holder.tag == tag and holder.rolls_back(place.now):
        raise Failed(
            f"{title} is already being rolled back, and a rollback can't be stopped. Nothing was changed.\n"
            f"Watch it: tagship watch {screen.one_line(title)}{place.flags()}"
        )
    return record


def _ended(place: Place, record: ReleaseRecord) -> ReleaseRecord:
    from tagship.ledger import releases

    title = f"{record['application']} {record['tag']}"

    def look() -> ReleaseRecord | None:
        found = releases.get(place.ledger, record["application"], record["tag"])
        return found if (found["status"], found["attempt"]) != ("RUNNING", record["attempt"]) else None

    return looks(
        place,
        look,
        what=f"Waiting for the outcome of {title}",
        stopped=f"No longer waiting. {title} is stopped, and its outcome will be recorded automatically.",
    )
