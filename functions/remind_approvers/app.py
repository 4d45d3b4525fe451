"""RemindApprovers: the wait timed out; remind the approvers who have not answered, or end the request."""

from __future__ import annotations

import functools

from tagship.approval.asking import request_now
from tagship.approval.request.delivery import answer_of
from tagship.approval.request.request import remind, seconds_left
from tagship.aws.clients import QUICK
from tagship.ledger import approvals, releases
from tagship.model.records import document_of
from tagship.runtime import Event, Runtime, step


@step
def handler(event: Event, runtime: Runtime) -> Event:
    """`{decision: "none", askSeconds, …}` while there is time, otherwise the decision."""
    release = event["release"]
    record = releases.get(runtime.ledger, release["application"], release["tag"])
    request = request_now(runtime.ledger, record["approval"])
    if request is None:
        raise LookupError(
            f"{release['application']} {release['tag']}: its approval request is not in the ledger."
        )
    left = seconds_left(request, runtime.now())
    if request["status"] == approvals.OPEN and left <= 0:
        why = f"{release['application']} {release['tag']}: nobody decided in time. Nothing was changed."
        request = approvals.close(
            runtime.ledger, request["id"], status="EXPIRED", why=why, execution=event["execution"]
        )
    if request["status"] != approvals.OPEN:
        return answer_of(request)
    remind(
        runtime.ledger,
        request,
        client=functools.partial(runtime.aws.client, config=QUICK),
        settings=runtime.settings,
        now=runtime.now(),
    )
    every = document_of(record)["approval"]["remindEvery"]
    return {
        "decision": "none",
        "askSeconds": max(1, min(every, left)),
        "by": [],
        "why": "Nobody has decided yet.",
    }
