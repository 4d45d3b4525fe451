"""notify: tell the team's channel what became of a request for approval."""

from __future__ import annotations

from tagship.approval.outcome import follow
from tagship.aws import QUICK
from tagship.ledger import approvals
from tagship.runtime import Event, Runtime, step


@step
def handler(event: Event, runtime: Runtime) -> Event:
    """From a fact on the bus, which is the request's end, to one message.

    Raises ChannelUnavailable when it may be taken later: Lambda asks again, and then keeps the event in the queue.
    """
    fact = event["detail"]
    request = approvals.get(runtime.ledger, fact["data"]["approval"])
    if request is not None and request.get("slack"):
        secrets = runtime.aws.client("secretsmanager", config=QUICK)
        hosts = runtime.settings.slack_hosts
        follow(runtime.ledger, request, fact, secrets=secrets, hosts=hosts, now=runtime.now())
    return {}
