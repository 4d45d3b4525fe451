"""tagship retry: start a tag again after an ending that left production unchanged, or start one that was never read."""

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
  tagship retry storefront v1.4.0 --reason "the approvers were on holiday"
  tagship retry storefront v1.4.0 --reason "its upload was never read" --stage production --yes
\b
The retry uses the same manifest, byte for byte, and the current configuration. Gates and approval are repeated.
Your identity and the reason are recorded. Exits with 0 when the release has started again, otherwise with 1."""
)
@click.argument("application")
@click.argument("tag")
@reason_option
@click.option("--yes", "-y", is_flag=True, help="Start without a confirmation prompt.")
@in_a_place
@options.as_json
def retry(*, place: Place, application: str, tag: str, reason: str, yes: bool, as_json: bool) -> None:
    """Start a release again, with a new attempt number.

    Possible after INVALID, EXPIRED, REJECTED, SUPERSEDED, ROLLED_BACK and ABORTED. If the release was uploaded but never
    read, this is its first attempt.
    """
    from tagship.ledger import releases
    from tagship_cli.actions.deciding import whoami

    record = _known(place, application, tag)
    if record and (refused := releases.retry_refused(record)):
        raise Failed(f"{application} {tag} can't be retried: {refused} Nothing was changed.")
    attempt = record["attempt"] + 1 if record else 1
    caller = whoami(place)
    title = f"{application} {tag}"
    was = f"It ended {record['status']}: {record.get('why', '')}" if record else "It has not been read yet."
    confirm(
        f"Start {screen.clean(title)} again?",
        f"{screen.bold(title)} in {place.stage}, attempt {attempt}. {screen.clean(was)}",
        f"  You are {screen.clean(caller.arn)}.",
        yes=yes,
    )
    order = _order(place, application, tag, record) | {
        "retry": {"attempt": attempt, "by": caller.arn, "why": reason}
    }
    with trying(f"Starting {title}"):
        execution = place.client("stepfunctions").start_execution(
            stateMachineArn=place.output("ReleaseStateMachineArn"), input=json.dumps(order)
        )["executionArn"]
    _begun(place, application, tag, execution)
    if as_json:
        screen.result(
            {
                "application": application,
                "tag": tag,
                "stage": place.stage,
                "attempt": attempt,
                "execution": execution,
            }
        )
        return
    screen.say(
        screen.good(f"{title} has started again, attempt {attempt}."),
        f"Watch it: tagship watch {screen.one_line(title)}{place.flags()}",
        screen.dim(execution),
    )


def _known(place: Place, application: str, tag: str) -> ReleaseRecord | None:
    from tagship.ledger import releases
    from tagship.model.errors import ApplicationUnknown

    with trying(f"Reading the ledger of {place.stage}"):
        try:
            return releases.get(place.ledger, application, tag)
        except ApplicationUnknown:
            return None


def _order(place: Place, application: str, tag: str, record: ReleaseRecord | None) -> dict[str, object]:
    """Uses the manifest version that was read before; the newest version if none was."""
    from tagship.model.release import MANIFEST, folder_of

    if record:
        pinned = record["release"]
        return {"bucket": pinned["bucket"], "key": pinned["key"], "versionId": pinned["versionId"]}
    key = folder_of(application, tag) + MANIFEST
    return {"bucket": place.output("ReleaseBucketName"), "key": key, "versionId": ""}


def _begun(place: Place, application: str, tag: str, execution: str) -> None:
    """Waits until the new attempt is in the ledger.

    Raises Failed if the execution has ended without it.
    """
    states = place.client("stepfunctions")

    def look() -> dict[str, object] | None:
        found: dict[str, object] = states.describe_execution(executionArn=execution)
        record = _known(place, application, tag)
        if record and record["execution"] == execution:
            return {}
        return found if found["status"] != "RUNNING" else None

    ended = looks(
        place,
        look,
        what=f"Waiting for {application} {tag} to start",
        stopped=f"No longer waiting. The release continues in the execution {execution}",
    )
    if ended:
        raise Failed(
            f"{application} {tag} did not start: "
            f"{ended.get('error') or ended['status']}.\n{ended.get('cause', '')}"
        )
