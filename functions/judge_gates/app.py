"""JudgeGates: one failed gate is enough."""

from __future__ import annotations

from tagship.gates.gate import judge
from tagship.ledger import lock, releases
from tagship.ledger.table import Fact
from tagship.runtime import Event, Runtime, step
from tagship.text.words import cause_in_words


@step
def handler(event: Event, runtime: Runtime) -> Event:
    """`{passed, why}`, and every gate's answer in the ledger."""
    release = event["release"]
    results = [{**result, "why": cause_in_words(result["why"])} for result in event["results"]]
    passed, why = judge(results)
    fact = Fact(
        application=release["application"],
        tag=release["tag"],
        attempt=release["attempt"],
        name="Gates Passed" if passed else "Gates Failed",
        execution=event["execution"],
        data={
            "results": results,
            "why": why,
            "durations": _durations(runtime, release),
        },
    )
    releases.mark(runtime.ledger, fact, gates=results, phase="planning")
    return {"passed": passed, "why": f"{release['application']} {release['tag']}: {why}"}


def _durations(runtime: Runtime, release: Event) -> Event:
    """Since the gates could begin: what a release waited for the lock before is not theirs."""
    holder = lock.holder(runtime.ledger, release["application"])
    if holder is None or holder.tag != release["tag"]:
        return {}
    return releases.since(runtime.ledger, release, key=str(holder.fence), ValidationDuration="Lock Acquired")
