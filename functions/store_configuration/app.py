"""StoreConfiguration: put the approved configuration change in force and store it in Parameter Store."""

from __future__ import annotations

from functools import partial

from tagship.approval.recount import notary_of, prove_decisions
from tagship.deployment import configuring
from tagship.runtime import Event, Runtime, step


@step
def handler(event: Event, runtime: Runtime) -> Event:
    """The configuration in force.

    Raises PlanChanged if it was not approved, ApprovalUnproven if the facts do not show the approval, CalendarClosed
    during a freeze, LockLost if another configuration came into force.
    """
    release = runtime.release(event)
    configuring.store(
        runtime.ledger,
        runtime.aws.client("ssm"),
        release.record,
        execution=event["execution"],
        prove=partial(prove_decisions, notary=notary_of(runtime.settings, runtime.aws.client("kms"))),
    )
    return {"inForce": release.tag}
