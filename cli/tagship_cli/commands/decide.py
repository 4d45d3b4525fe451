"""tagship approve and tagship reject: a decision with the caller's own IAM identity instead of a mailed link."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import click

from tagship.model.proposal import is_proposal
from tagship.text.words import count, listed
from tagship_cli import options
from tagship_cli.failures import Failed
from tagship_cli.place import Place, in_a_place
from tagship_cli.views import screen

if TYPE_CHECKING:
    from tagship_cli.actions.deciding import Ballot, Decision, Outcome


_decision_options = options.together(
    click.argument("application"),
    click.argument("tag"),
    click.option(
        "--as",
        "claimed",
        metavar="ADDRESS",
        help="Your approver address.  [default: your role's session name, if it is a mail address]",
    ),
    click.option("--yes", "-y", is_flag=True, help="Decide without a confirmation prompt."),
    in_a_place,
    options.as_json,
)


@click.command(
    epilog="""\b
Examples:
  tagship approve storefront v1.4.0 --stage production
  tagship approve storefront v1.4.0 --as ana@example.com --reason "looked at the plan"
\b
On a terminal, the command shows what you approve and asks you to confirm. The ledger records your IAM identity with
the decision."""
)
@click.option(
    "--reason", default="", metavar="TEXT", help="A comment on your decision; some applications require one."
)
@_decision_options
def approve(**given: Any) -> None:
    """Approve a release that is waiting for approval.

    The approval page's rules apply: only the named approvers can decide, once each. The author can decide only if the
    application allows it.
    """
    _decide("approve", **given)


@click.command(
    epilog="""\b
Examples:
  tagship reject storefront v1.4.0 --reason "the migration is missing" --stage production"""
)
@click.option(
    "--reason",
    default="",
    metavar="TEXT",
    help="Why you reject the release, so that the author knows what to change.  [required]",
)
@_decision_options
def reject(**given: Any) -> None:
    """Reject a release that is waiting for approval. One rejection ends the release; nothing is changed.

    The approval page's rules apply: only the named approvers can decide, and a rejection requires a reason.
    """
    _decide("reject", **given)


def _decide(
    decision: Decision,
    *,
    place: Place,
    application: str,
    tag: str,
    claimed: str | None,
    reason: str,
    yes: bool,
    as_json: bool,
) -> None:
    from tagship_cli.actions.deciding import Ballot

    ballot = Ballot.of(place, application, tag, claimed=claimed)
    reason = _reason(decision, reason, ballot)
    ballot.refuse_if_settled(decision)
    ballot.refuse_unless_proven(decision)
    if not yes and not ballot.own and _can_ask():
        screen.complain(*_question(ballot))
        if not click.confirm(f"{decision.capitalize()} {screen.clean(ballot.title)}?", err=True):
            raise Failed("No decision was recorded.")
    outcome = ballot.decide(decision, reason)
    if as_json:
        screen.result(_result(ballot, outcome, decision))
    else:
        screen.say(*_outcome_lines(ballot, outcome, decision))


def _reason(decision: Decision, reason: str, ballot: Ballot) -> str:
    """Raises click's UsageError for a reason that the approval page would refuse too."""
    from tagship.approval.page.form import Form, reason_problem

    reason = reason.replace("\r\n", "\n").replace("\r", "\n").strip()
    if problem := reason_problem(Form(decision=decision, reason=reason, value=""), ballot.request):
        raise click.UsageError(f"--reason: {problem}")
    return reason


def _can_ask() -> bool:
    """Whether somebody is at a terminal."""
    return sys.stdin.isatty()


def _question(ballot: Ballot) -> list[str]:
    """What the approval page shows, shortened for a terminal."""
    from tagship_cli.views import times

    request = ballot.request
    was = "in force" if is_proposal(request["tag"]) else "deployed"
    origin = f", where {request['fromTag']} is {was} now" if request.get("fromTag") else ""
    lines = [
        f"{screen.bold(ballot.title)} in {request['stage']}{screen.clean(origin)}",
        *screen.paragraph(
            f"{request['repository']} {request.get('ref') or ''} {request['commit']} by {request['author']}".strip(),
            indent=2,
        ),
    ]
    for sentence in (*request["plan"]["summary"], *request["warnings"]):
        lines += screen.paragraph(sentence, indent=4, first="  - ")
    if request["notes"]:
        lines += ["  Notes:", *screen.paragraph(request["notes"], indent=4)]
    expires = times.moment(request["expiresAt"])
    lines.append(f"  Expires {times.full(expires)}, {times.until(expires, ballot.place.now)}.")
    lines.append(f"  You decide as {screen.bold(ballot.approver)}, {screen.clean(ballot.caller.arn)}.")
    if not ballot.caller.proves(ballot.approver):
        lines.append(
            screen.wary(
                "  AWS does not prove that you are this person; the ledger records the address as claimed."
            )
        )
    return lines


def _outcome_lines(ballot: Ballot, outcome: Outcome, decision: Decision) -> list[str]:
    from tagship.approval.quorum import approvals, awaited, needed
    from tagship_cli.actions.deciding import PAST
    from tagship_cli.views.story import rules

    request, paint = outcome.request, screen.good if decision == "approve" else screen.wary
    had = "had already " if outcome.again else ""
    lines = [f"{screen.clean(outcome.approver)} {had}{paint(PAST[decision])} {screen.bold(ballot.title)}."]
    watch = f"tagship watch {screen.clean(ballot.title)}{ballot.place.flags()}"
    if request["status"] == "OPEN":
        lines.append(
            f"{approvals(request)} of {count(needed(request), 'approval')} so far. Still waiting for "
            f"{screen.clean(listed(awaited(request)))}."
        )
        lines += [f"  {screen.clean(each)}" for each in rules(request)]
    elif ballot.record["status"] != "RUNNING":
        lines += [
            f"It ended {ballot.record['status']}. Nothing was changed.",
            f"See its outcome: {watch}",
        ]
    elif request["status"] == "APPROVED":
        then = "the change comes into force" if is_proposal(request["tag"]) else "the deployment starts"
        lines += [f"All required approvals are given: {then}.", f"Watch it: {watch}"]
    else:
        what = "proposal" if is_proposal(request["tag"]) else "release"
        lines.append(f"The {what} ends here. Nothing was changed.")
    return lines


def _result(ballot: Ballot, outcome: Outcome, decision: Decision) -> dict[str, Any]:
    from tagship.approval.quorum import approvals, awaited, needed

    request = outcome.request
    return {
        "application": ballot.record["application"],
        "tag": ballot.record["tag"],
        "stage": ballot.place.stage,
        "decision": decision,
        "approver": outcome.approver,
        "identity": outcome.caller.arn,
        "proven": outcome.caller.proves(outcome.approver),
        "again": outcome.again,
        "status": request["status"],
        "approvals": approvals(request),
        "required": needed(request),
        "waitsFor": awaited(request) if request["status"] == "OPEN" else [],
    }
