"""Checks of the stage's own stack: its deployment, and the messages in its queues."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from importlib.metadata import version as installed

from tagship_cli.actions.doctor.finding import Finding, Subject, ok, warning, wrong
from tagship_cli.failures import trying

LONGEST_NAME = 22
"""The longest stack name, in characters, for which CloudFormation does not shorten the functions' role names to 64
characters (IAM's limit). The applications' roles trust these names."""
MANY_NOTICES = 100
"""Waiting notices are normally sent within seconds; so many mean that a channel is down."""
_LEFT: Mapping[str, str] = {
    "DeadLetters": "uploads that started no release; runbooks/dead-letters.md",
    "NoticesSetAside": "notices that a channel refused permanently; runbooks/notices-set-aside.md",
    "BroadcastFailures": "ledger records that were not broadcast; runbooks/broadcast-failures.md",
}
"""By the queue's name in the template: what its messages are, and which document to read."""


def standing(subject: Subject) -> Iterator[Finding]:
    """Whether the stack is completely deployed, under a name that works."""
    name, status = subject.stack["StackName"], subject.stack["StackStatus"]
    if status in ("CREATE_COMPLETE", "UPDATE_COMPLETE"):
        yield ok("stack", f"{name} is {status}.")
    elif status.endswith("_IN_PROGRESS"):
        yield warning(
            "stack",
            f"{name} is {status}: a deployment is in progress.",
            "Run the check again when it has ended.",
        )
    elif status == "UPDATE_ROLLBACK_COMPLETE":
        yield warning(
            "stack",
            f"{name} is {status}: the last deployment failed, and CloudFormation restored the one before it.",
            f"Read why: aws cloudformation describe-stack-events --stack-name {name}",
        )
    else:
        yield wrong(
            "stack",
            f"{name} is {status}: {subject.stack.get('StackStatusReason', 'CloudFormation gives no reason')}",
            f"Read why: aws cloudformation describe-stack-events --stack-name {name}; then deploy it again.",
        )
    if len(name) > LONGEST_NAME:
        yield wrong(
            "stack",
            f"The name {name} has {len(name)} characters. With more than {LONGEST_NAME}, CloudFormation shortens the "
            "names of the functions' roles, and no application's role can be assumed.",
            "Deploy it under a shorter name: sam deploy --stack-name …",
        )


def drift(subject: Subject) -> Iterator[Finding]:
    """The result of CloudFormation's last drift detection."""
    name = subject.stack["StackName"]
    found = subject.stack.get("DriftInformation") or {}
    status, when = found.get("StackDriftStatus", "NOT_CHECKED"), found.get("LastCheckTimestamp")
    detect = f"aws cloudformation detect-stack-drift --stack-name {name}"
    if status == "DRIFTED":
        yield wrong(
            "stack",
            f"{name} has drifted (found {when:%Y-%m-%d %H:%M} UTC): someone changed it by hand.",
            f"See the changes: aws cloudformation describe-stack-resource-drifts --stack-name {name} "
            "--stack-resource-drift-status-filters MODIFIED DELETED; then deploy it again.",
        )
    elif status == "IN_SYNC":
        yield ok("stack", f"{name} has not drifted (checked {when:%Y-%m-%d %H:%M} UTC).")
    else:
        yield ok("stack", f"{name} has not been checked for drift yet. Check it: {detect}")


def version(subject: Subject) -> Iterator[Finding]:
    """Whether the stack and this command line have the same version."""
    here, there = installed("tagship"), subject.outputs.get("Version", "")
    if there == here:
        yield ok("stack", f"The stack and this command line are both Tagship {here}.")
        return
    yield warning(
        "stack",
        f"The stack has Tagship {there or 'in an older version'}, but this command line is {here}.",
        "Deploy this version of the stack, or install the command line of the stack's version.",
    )


def queues(subject: Subject) -> Iterator[Finding]:
    """Messages in the queues that need attention, and notices that are waiting."""
    sqs = subject.client("sqs")
    urls = _queues(subject)
    for logical, what in _LEFT.items():
        if logical not in urls:
            yield wrong("queues", f"The stack has no queue {logical}.", "Deploy it again.")
            continue
        count = _messages(sqs, urls[logical])
        if count:
            kind, runbook = what.split("; ")
            yield wrong("queues", f"{logical} holds {count}: {kind}.", f"Read docs/{runbook}")
        else:
            yield ok("queues", f"{logical} is empty.")
    waiting = _messages(sqs, urls["Notices"]) if "Notices" in urls else 0
    if waiting >= MANY_NOTICES:
        yield warning(
            "queues", f"{waiting} notices are waiting to be sent.", "Read docs/runbooks/notices-late.md"
        )
    else:
        yield ok("queues", f"Notices waiting to be sent: {waiting or 'none'}.")


def _queues(subject: Subject) -> dict[str, str]:
    with trying("Listing the stack's queues"):
        pages = (
            subject.client("cloudformation")
            .get_paginator("list_stack_resources")
            .paginate(StackName=subject.stack["StackName"])
        )
        return {
            found["LogicalResourceId"]: found["PhysicalResourceId"]
            for page in pages
            for found in page["StackResourceSummaries"]
            if found["ResourceType"] == "AWS::SQS::Queue"
        }


def _messages(sqs: object, url: str) -> int:
    with trying("Counting a queue's messages"):
        attributes = sqs.get_queue_attributes(  # type: ignore[attr-defined]
            QueueUrl=url,
            AttributeNames=["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"],
        )["Attributes"]
    return sum(int(value) for value in attributes.values())
