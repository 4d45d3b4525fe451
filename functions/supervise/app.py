"""supervise: an execution ended in a way that its own states could not handle; record one clear outcome for the release."""

from __future__ import annotations

import functools

from tagship.runtime import Event, Runtime, about, step
from tagship.supervision.ended import brought_to_an_end, ended_in, record_of
from tagship.supervision.starting import roll_back, supervised


@step
def handler(event: Event, runtime: Runtime) -> Event:
    """Takes Step Functions' status-change event of either machine. The same event twice has an effect once.

    Raises EventNotUnderstood: Lambda keeps the event for a person.
    """
    stepfunctions = runtime.aws.client("stepfunctions")
    ended, order = ended_in(event.get("detail"), stepfunctions)
    record = record_of(runtime.ledger, order)
    about(record or {}, ended.execution)
    machine, name = runtime.settings.rollback_state_machine, supervised(ended.execution)
    start = functools.partial(roll_back, stepfunctions, machine, name=name)
    return brought_to_an_end(runtime.ledger, record, ended, order, roll_back=start)
