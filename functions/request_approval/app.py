"""RequestApproval: open the request, release the lock, record which task waits, and send each approver a personal link."""

from __future__ import annotations

import functools
from typing import cast

from tagship.approval.request.delivery import deliver
from tagship.approval.request.proposals import only_newest
from tagship.approval.request.request import request_of, send_links
from tagship.aws.clients import QUICK
from tagship.ledger import approvals, releases
from tagship.ledger.table import HEAD
from tagship.model.records import ReleaseKey
from tagship.runtime import Event, Runtime, step


@step
def handler(event: Event, runtime: Runtime) -> Event:
    """Returns nothing: the state machine waits for the approvers.

    Raises NoChannelReached if no approver could be notified, LockLost if the release has ended or lost its lock.
    """
    release, stepfunctions = event["release"], runtime.aws.client("stepfunctions")
    ledger = runtime.ledger
    releases.read_ahead(ledger, release["application"], release["tag"], HEAD)
    record = releases.of_attempt(ledger, cast("ReleaseKey", release))
    new_request = request_of(
        record, now=runtime.now(), longest=runtime.settings.approval_seconds, random=runtime.random
    )
    request = approvals.request(
        ledger,
        new_request,
        execution=event["execution"],
        fence=event["lock"]["fence"],
        token=event["taskToken"],
    )
    request = only_newest(ledger, stepfunctions, request)
    if request["status"] != approvals.OPEN:
        deliver(ledger, stepfunctions, request["id"])
        return {}
    send_links(
        ledger,
        request,
        client=functools.partial(runtime.aws.client, config=QUICK),
        settings=runtime.settings,
        now=runtime.now(),
    )
    return {}
