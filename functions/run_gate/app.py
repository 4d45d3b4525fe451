"""RunGate: one gate, or those that only compute together, once, on what was pinned."""

from __future__ import annotations

from functools import partial

from tagship import gates
from tagship.gates import Case
from tagship.ledger import freezes, releases
from tagship.runtime import Event, Runtime, step
from tagship.targets import target_of


@step
def handler(event: Event, runtime: Runtime) -> Event:
    """`{results}`, each `{gate, verdict, why, remedy, warning, seen, cause}`.

    Raises CandidateNotReady while somebody else changes the target, AwsUnavailable.
    """
    release = event["release"]
    record = releases.get(runtime.ledger, release["application"], release["tag"])
    case = Case.of(
        record,
        current=releases.current(runtime.ledger, release["application"]),
        now=runtime.now(),
        settings=runtime.settings,
        client=runtime.aws.client,
        role=partial(runtime.client_as, tag=release["tag"], execution=event["execution"]),
        look_at=target_of,
        freezes=lambda: freezes.standing(runtime.ledger, release["application"]),
    )
    return {"results": gates.run(event["gate"], case)}
