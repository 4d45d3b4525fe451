"""supervise: an execution ended in a way that its own states could not handle; bring the release to one clear end."""

from __future__ import annotations

import json

from botocore.exceptions import ClientError

from tagship.calls import calling, code_of
from tagship.errors import ApplicationUnknown
from tagship.ledger import approvals, lock, releases
from tagship.release import Status, place_of
from tagship.runtime import Event, Runtime, name_of, step


@step
def handler(event: Event, runtime: Runtime) -> Event:
    """From Step Functions' status-change event, of either machine; the same event twice does the same thing once."""
    detail = event["detail"]
    order = json.loads(detail["input"])
    try:
        if "key" not in order:
            record = releases.get(runtime.ledger, order["application"], order["tag"])
            return _rollback_ended(runtime, record, detail)
        application, tag = place_of(order["key"])
        return _release_ended(runtime, releases.get(runtime.ledger, application, tag), detail)
    except (ValueError, KeyError, TypeError, ApplicationUnknown) as error:
        return {"did": "nothing", "why": f"The execution has no release in the ledger: {error}"}


def _release_ended(runtime: Runtime, record: Event, detail: Event) -> Event:
    release = f"{record['application']} {record['tag']}"
    if record["execution"] != detail["executionArn"] or record["status"] != Status.RUNNING:
        return {"did": "nothing", "why": f"{release} ended {record['status']}, or is another execution's."}
    aborted = detail["status"] == "ABORTED"
    how = "was stopped by a person" if aborted else f"ended {detail['status']} without an ending of its own"
    why = f"{release}: the execution {how}."
    if record.get("moved"):
        _roll_back(runtime, record, trigger="abort" if aborted else "supervisor", why=why)
        return {"did": "rollback", "why": why}
    if record.get("approval"):
        approvals.close(runtime.ledger, record["approval"], status="CLOSED", why=why)
    releases.end(
        runtime.ledger,
        application=record["application"],
        tag=record["tag"],
        status=Status.ABORTED if aborted else Status.of_error(detail.get("error")) or Status.INVALID,
        why=f"{why} Nothing was changed.",
        execution=detail["executionArn"],
        who="supervisor",
    )
    return {"did": "ended", "why": why}


def _rollback_ended(runtime: Runtime, record: Event, detail: Event) -> Event:
    """A rollback that began took the lock; one that has written its ending has freed it, or keeps it for a person."""
    release = f"{record['application']} {record['tag']}"
    holder = lock.holder(runtime.ledger, record["application"])
    if holder is None or holder.execution != detail["executionArn"] or holder.kept:
        return {"did": "nothing", "why": f"The rollback of {release} did not begin, or has its ending."}
    why = (
        f"The rollback of {release} ended {detail['status']} before it was done. What serves is not known. "
        "Look at the target, and roll it back once more."
    )
    releases.end(
        runtime.ledger,
        application=record["application"],
        tag=record["tag"],
        status=Status.ROLLBACK_FAILED,
        why=why,
        execution=detail["executionArn"],
        who="supervisor",
    )
    return {"did": "ended", "why": why}


def _roll_back(runtime: Runtime, record: Event, *, trigger: str, why: str) -> None:
    """The name makes it once: a second start of the same rollback is the first one."""
    told = {"trigger": trigger, "why": why, "by": "supervisor"}
    order = {"application": record["application"], "tag": record["tag"], **told}
    name = f"supervised-{name_of(record['execution'])}"[:80]
    try:
        with calling(f"Starting the rollback of {record['application']} {record['tag']}"):
            runtime.aws.client("stepfunctions").start_execution(
                stateMachineArn=runtime.settings.rollback_state_machine, name=name, input=json.dumps(order)
            )
    except ClientError as error:
        if code_of(error) != "ExecutionAlreadyExists":
            raise
