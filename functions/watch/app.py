"""watch: an alarm has fired; if it belongs to a release that has just succeeded, roll that release back."""

from __future__ import annotations

from typing import Any

from tagship.runtime import Event, Runtime, step
from tagship.supervision.starting import named, roll_back
from tagship.supervision.watch import watched


@step
def handler(event: Event, runtime: Runtime) -> Event:
    """Takes CloudWatch's state-change event, or a topic's messages. The same event twice has an effect once."""

    def start(record: Event, **order: Any) -> bool:
        return roll_back(
            runtime.aws.client("stepfunctions"),
            runtime.settings.rollback_state_machine,
            record,
            name=named("alarm", record["application"], record["tag"], str(record["attempt"])),
            **order,
        )

    return {"did": watched(runtime.ledger, event, roll_back=start)}
