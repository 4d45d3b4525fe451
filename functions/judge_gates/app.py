"""JudgeGates: one failed gate stops the release."""

from __future__ import annotations

from tagship import gates
from tagship.gates.gate import judge
from tagship.ledger import releases
from tagship.ledger.table import HEAD, Fact, fact_key, of_planning
from tagship.model.application import Application
from tagship.model.facts import FactKind
from tagship.model.records import GateRecord
from tagship.runtime import Event, Runtime, step
from tagship.text.words import cause_in_words


@step
def handler(event: Event, runtime: Runtime) -> Event:
    """`{passed, why}`; the ledger gets every gate's result, and which gates were not configured."""
    release, ledger = event["release"], runtime.ledger
    locked = fact_key(release["tag"], release["attempt"], FactKind.LOCK_ACQUIRED, key=str(event["fence"]))
    releases.read_ahead(ledger, release["application"], release["tag"], HEAD, locked)
    record = releases.get(ledger, release["application"], release["tag"])
    document = record["configuration"]["document"]
    configuration = Application.from_dict(document) if document else None
    results: list[GateRecord] = [
        {**result, "why": cause_in_words(result["why"])}
        for result in gates.answers(event["results"], configuration)
    ]
    unused = [result.as_dict() for result in gates.unused(configuration)]
    passed, why = judge(results, unused=[result["gate"] for result in unused])
    fact = Fact(
        application=release["application"],
        tag=release["tag"],
        attempt=release["attempt"],
        name=FactKind.GATES_PASSED if passed else FactKind.GATES_FAILED,
        key=of_planning(event["planning"]),
        execution=event["execution"],
        data={
            "results": [*results, *unused],
            "why": why,
            # The time that the release waited for the lock before does not count.
            "durations": releases.since(
                ledger, release, key=str(event["fence"]), ValidationDuration=FactKind.LOCK_ACQUIRED
            ),
        },
    )
    releases.mark(ledger, fact, gates=[*results, *unused], phase="planning")
    return {"passed": passed, "why": f"{release['application']} {release['tag']}: {why}"}
