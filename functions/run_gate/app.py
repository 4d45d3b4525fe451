"""RunGate: one gate, once, on what was pinned."""

from __future__ import annotations

from tagship.gates import GATES, Case
from tagship.ledger import releases
from tagship.runtime import Event, Runtime, step


@step
def handler(event: Event, runtime: Runtime) -> Event:
    """`{gate, verdict, why, remedy, warning, seen}`."""
    release = event["release"]
    record = releases.get(runtime.ledger, release["application"], release["tag"])
    current = releases.current(runtime.ledger, release["application"])
    case = Case.of(
        record,
        production=current["tag"] if current else None,
        now=runtime.now(),
        settings=runtime.settings,
        client=runtime.aws.client,
    )
    return GATES[event["gate"]](case).as_dict()
