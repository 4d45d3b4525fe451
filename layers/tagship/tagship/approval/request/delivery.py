"""Delivers a recorded decision to the state machine that waits for it; anyone may do this, any number of times."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from botocore.exceptions import ClientError

from tagship.aws.calls import calling, code_of
from tagship.ledger import approvals
from tagship.ledger.table import Ledger
from tagship.model.errors import TokenDead
from tagship.model.records import RequestRecord
from tagship.text.times import moment

if TYPE_CHECKING:
    from mypy_boto3_stepfunctions import SFNClient

_DEAD = ("TaskDoesNotExist", "TaskTimedOut", "InvalidToken")


def answer_of(request: RequestRecord) -> dict[str, object]:
    """The state machine's input after a decision: `{decision, askSeconds, by, why}`."""
    decisions = request["decisions"]
    deciding = [entry for entry in decisions if entry["decision"] == "reject"] or decisions
    decision = request["status"].lower()
    why = str(request.get("closedBy") or "")
    if not why:
        answers = [
            entry["approver"] + (f" ({entry['reason']})" if entry["reason"] else "") for entry in deciding
        ]
        why = f"{request['application']} {request['tag']} was {decision} by {', '.join(answers)}."
    time = moment(request["expiresAt"]) - moment(request["askedAt"])
    return {
        "decision": decision,
        # for a request that is asked again, on another plan
        "askSeconds": max(1, min(int(request.get("remindEvery") or 0), round(time.total_seconds()))),
        "by": [entry["approver"] for entry in deciding],
        "why": why,
    }


def answer_in_a_pause(request: RequestRecord) -> dict[str, object]:
    """The state machine's input after a pause: `{decision, trigger, by, why}`.

    The decision is `continue` or `rollback`; the rest is by whom and why a rollback is triggered.
    """
    rejected = [entry for entry in request["decisions"] if entry["decision"] == "reject"]
    title, percent = f"{request['application']} {request['tag']}", request["pause"]["percent"]
    why = str(request.get("closedBy") or f"{title}: the pause has ended.")
    for entry in rejected[:1]:
        why = f"{title}: {entry['approver']} ended the pause at {percent} % of traffic: {entry['reason']}"
    return {
        "decision": "continue" if approvals.continues(request) else "rollback",
        "trigger": "approver" if rejected else "deadline",
        "by": rejected[0]["approver"] if rejected else request["execution"],
        "why": why,
    }


def waits(stepfunctions: SFNClient, request: RequestRecord) -> bool:
    """Whether the release's execution still waits for the decision."""
    with calling("Looking at the execution that waits"):
        answer = stepfunctions.describe_execution(executionArn=request["execution"])
    return str(answer["status"]) == "RUNNING"


def go_on(stepfunctions: SFNClient, token: str) -> None:
    """Answers the task of a pause that was cancelled; does nothing if it no longer waits: it looks again then."""
    try:
        with calling("Continuing the rollout"):
            stepfunctions.send_task_success(taskToken=token, output=json.dumps({"decision": "continue"}))
    except ClientError as error:
        if code_of(error) not in _DEAD:
            raise


def deliver(ledger: Ledger, stepfunctions: SFNClient, approval_id: str) -> None:
    """Answers the waiting task with the decision; does nothing while the request is open, or if this was done before.

    Raises TokenDead if the execution no longer waits on this token; if it asks again, it gets the answer then.
    """
    request, token = approvals.with_task_token(ledger, approval_id)
    if request is None or request["status"] == approvals.OPEN or request.get("delivered"):
        return
    answer = answer_in_a_pause(request) if "pause" in request else answer_of(request)
    try:
        with calling(f"Telling the execution of {request['application']} {request['tag']}"):
            stepfunctions.send_task_success(taskToken=token, output=json.dumps(answer))
    except ClientError as error:
        if code_of(error) in _DEAD:
            raise TokenDead(
                f"{request['application']} {request['tag']}: the execution is not waiting for this answer."
            ) from error
        raise
    approvals.delivered(ledger, approval_id)
