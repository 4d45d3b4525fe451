"""supervise: an execution ended in a way that its own states could not handle; bring the release to one clear end."""

from __future__ import annotations

import functools

from tagship.ledger import releases
from tagship.model.errors import ApplicationUnknown
from tagship.model.release import place_of
from tagship.runtime import Event, Runtime, about, step
from tagship.supervision.ended import ended_in, release_ended, rollback_ended
from tagship.supervision.starting import roll_back, supervised


@step
def handler(event: Event, runtime: Runtime) -> Event:
    """From Step Functions' status-change event, of either machine; the same event twice does the same thing once."""
    ended, order = ended_in(event["detail"], runtime.aws.client("stepfunctions"))
    try:
        if "key" not in order:
            record = releases.get(runtime.ledger, order["application"], order["tag"])
            about(record, ended.execution)
            return rollback_ended(runtime.ledger, record, ended)
        application, tag = place_of(order["key"])
        record = releases.get(runtime.ledger, application, tag)
        about(record, ended.execution)
    except (ValueError, KeyError, TypeError, ApplicationUnknown) as error:
        return {"did": "nothing", "why": f"The execution has no release in the ledger: {error}"}
    start = functools.partial(
        roll_back,
        runtime.aws.client("stepfunctions"),
        runtime.settings.rollback_state_machine,
        name=supervised(ended.execution),
    )
    return release_ended(runtime.ledger, record, ended, roll_back=start)
