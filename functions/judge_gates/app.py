"""JudgeGates: one failed gate stops the release."""

from __future__ import annotations

from tagship import gates
from tagship.gates.gate import judge
from tagship.ledger import lock, releases
from tagship.ledger.table import Fact, of_planning
from tagship.model.application import Application
from tagship.model.facts import FactKind
from tagship.model.records import GateRecord, ReleaseKey
from tagship.runtime import Event, Runtime, step
from tagship.text.words import cause_in_words


@step
def handler(event: Event, runtime: Runtime) -> Event:
    """`{passed, why}`; the ledger gets every gate's result, and which gates were not configured."""
    release = event["release"]
    record = releases.get(runtime.ledger, release["application"], release["tag"])
    document = record["configuration"]["document"]
    configuration = Application.from_dict(document) if document else None
    results: list[GateRecord] = [
        {**result, "why": cause_in_words(result["why"])}
        for result in gates.answers(event["results"], configuration)
    ]
    unasked = [result.as_dict() for result in gates.unasked(configuration)]
    passed, why = judge(results, unasked=[result["gate"] for result in unasked])
    fact = Fact(
        application=release["application"],
        tag=release["tag"],
        attempt=release["attempt"],
        name=FactKind.GATES_PASSED if passed else FactKind.GATES_FAILED,
        key=of_planning(event["planning"]),
        execution=event["execution"],
        data={
            "results": [*results, *unasked],
            "why": why,
            "durations": _durations(runtime, release),
        },
    )
    releases.mark(runtime.ledger, fact, gates=[*results, *unasked], phase="planning")
    return {"passed": passed, "why": f"{release['application']} {release['tag']}: {why}"}


def _durations(runtime: Runtime, release: Event) -> Event:
    """Seconds since the gates could begin; the time that the release waited for the lock before does not count."""
    holder = lock.holder(runtime.ledger, release["application"])
    if holder is None or holder.tag != release["tag"]:
        return {}
    return releases.since(
        runtime.ledger,
        ReleaseKey(application=release["application"], tag=release["tag"], attempt=release["attempt"]),
        key=str(holder.fence),
        ValidationDuration=FactKind.LOCK_ACQUIRED,
    )
