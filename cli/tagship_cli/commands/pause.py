"""tagship pause and tagship resume: hold a rollout at its current share of the traffic, and let it go on."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import click

from tagship_cli import options
from tagship_cli.actions.steering import reason_option
from tagship_cli.failures import trying
from tagship_cli.place import Place, in_a_place
from tagship_cli.views import screen

if TYPE_CHECKING:
    from tagship.model.records import PauseRecord, ReleaseRecord

LONGEST = 43_200
"""Seconds; the same as in `application.yaml`."""


def _seconds(_context: click.Context, _parameter: click.Parameter, value: str) -> int:
    from tagship.model.fields import seconds

    try:
        found = seconds(int(value) if value.isdecimal() else value)
    except ValueError as error:
        raise click.UsageError(f"--timeout: {error}.") from error
    if not isinstance(found, int) or not 1 <= found <= LONGEST:
        raise click.UsageError("--timeout must be at most 12 hours, like PT30M.")
    return found


@click.command(
    epilog="""\b
Examples:
  tagship pause storefront --reason "error rate looks odd, checking the logs"
  tagship pause storefront v1.4.0 --reason "lunch" --timeout PT30M --on-timeout continue --stage production
\b
The current step ends first; then the release stays at its share of the traffic and Tagship asks the approvers. Health is
checked the whole time: an unhealthy release is rolled back, paused or not. `tagship resume` continues it, `tagship rollback`
rolls it back. Exits with 1 if no release is being deployed, or its last step has begun."""
)
@click.argument("application")
@click.argument("tag", required=False)
@reason_option
@click.option(
    "--timeout",
    default="PT1H",
    metavar="DURATION",
    callback=_seconds,
    show_default=True,
    help="How long to wait for an answer, at most 12 hours.",
)
@click.option(
    "--on-timeout",
    type=click.Choice(["rollback", "continue"]),
    default="rollback",
    show_default=True,
    help="What happens if nobody answers in time.",
)
@in_a_place
@options.as_json
def pause(
    *,
    place: Place,
    application: str,
    tag: str | None,
    reason: str,
    timeout: int,
    on_timeout: Literal["rollback", "continue"],
    as_json: bool,
) -> None:
    """Pause the rollout of a release before its next traffic step.

    Without TAG, the command uses the release that is being deployed. If it is paused already, nothing changes.
    """
    from tagship.ledger import pauses
    from tagship.model.errors import ApprovalClosed
    from tagship_cli.actions.deciding import whoami
    from tagship_cli.actions.pausing import on_its_way
    from tagship_cli.failures import Failed

    record, caller = on_its_way(place, application, tag), whoami(place)
    before = record.get("pause")
    with trying(f"Pausing {application} {record['tag']}"):
        try:
            ordered = pauses.order(
                place.ledger,
                record,
                {"timeout": timeout, "onTimeout": on_timeout},
                who=caller.arn,
                why=reason,
            )
        except ApprovalClosed as refused:
            raise Failed(f"{refused} Nothing was changed.") from refused
    again = before is not None and before["number"] == ordered["number"]
    if as_json:
        screen.result({**_result(place, record, ordered), "again": again})
        return
    screen.say(*_told(place, record, ordered, again=again))


@click.command(
    epilog="""\b
Examples:
  tagship resume storefront --reason "the errors were a load test"
  tagship resume storefront v1.4.0 --reason "looks good" --stage production
\b
Health is checked once more first: only a healthy release continues. Exits with 1 if the release is not paused."""
)
@click.argument("application")
@click.argument("tag", required=False)
@reason_option
@in_a_place
@options.as_json
def resume(*, place: Place, application: str, tag: str | None, reason: str, as_json: bool) -> None:
    """Continue a paused rollout, or cancel a pause that has not begun.

    Without TAG, the command uses the release that is being deployed. If it was resumed before, nothing changes.
    """
    from tagship_cli.actions.deciding import whoami
    from tagship_cli.actions.pausing import on_its_way, resumed, step_after, step_before

    record, changed = resumed(place, on_its_way(place, application, tag), who=whoami(place).arn, why=reason)
    ended = record.get("pause")
    assert ended is not None
    if as_json:
        screen.result({**_result(place, record, ended), "again": not changed})
        return
    title, now = screen.bold(f"{application} {record['tag']}"), step_before(record, ended)["percent"]
    if not changed:
        screen.say(
            f"{title} was resumed before, by {screen.clean(ended.get('endedBy', ''))}. Nothing was changed."
        )
        return
    if ended["state"] == "withdrawn":
        screen.say(f"{title} does not pause at {now} %: the pause was cancelled before it began.")
        return
    screen.say(
        screen.good(f"{application} {record['tag']} continues from {now} %."),
        f"Health is checked first; if it is healthy, {step_after(record, ended)['percent']} % follows.",
        f"Watch it: tagship watch {screen.one_line(f'{application} {record["tag"]}')}{place.flags()}",
    )


def _told(place: Place, record: ReleaseRecord, ordered: PauseRecord, *, again: bool) -> list[str]:
    from tagship_cli.actions.pausing import step_after, step_before
    from tagship_cli.views import times

    title = f"{record['application']} {record['tag']}"
    now, then = step_before(record, ordered)["percent"], step_after(record, ordered)["percent"]
    if again:
        who = f" by {screen.clean(ordered['by'])}" if ordered["by"] else ", as its strategy says"
        what = f"is paused at {now} %" if ordered["state"] == "open" else f"pauses at {now} %"
        return [f"{screen.bold(title)} {what}{who}. Nothing was changed."]
    does = "it is rolled back" if ordered["onTimeout"] == "rollback" else "it continues if it is healthy"
    return [
        screen.wary(f"{title} pauses at {now} % of traffic, before {then} %."),
        f"It takes effect when the step of {now} % has baked and is healthy; then the approvers are asked.",
        f"Without an answer within {times.span(ordered['timeout'])}, {does}.",
        f"Continue: tagship resume {screen.one_line(title)} --reason '…'{place.flags()}",
        f"Roll back: tagship rollback {screen.one_line(record['application'])} --reason '…'{place.flags()}",
    ]


def _result(place: Place, record: ReleaseRecord, known: PauseRecord) -> dict[str, object]:
    from tagship_cli.actions.pausing import step_after, step_before

    return {
        "application": record["application"],
        "tag": record["tag"],
        "stage": place.stage,
        "attempt": record["attempt"],
        "pause": known["number"],
        "state": known["state"],
        "percent": step_before(record, known)["percent"],
        "nextPercent": step_after(record, known)["percent"],
        "timeout": known["timeout"],
        "onTimeout": known["onTimeout"],
        "until": known.get("until"),
    }
