"""JudgeHealth: what the checks say together, and how much of the budget is left."""

from __future__ import annotations

from datetime import datetime

from tagship.health.verdict import CheckResult, judge
from tagship.ledger.table import Fact
from tagship.runtime import Event, Runtime, name_of, step
from tagship.words import cause_in_words


@step
def handler(event: Event, runtime: Runtime) -> Event:
    """`{verdict, why, secondsLeft}`; every check's numbers go to the ledger."""
    release, subject = event["release"], event["subject"]
    results = [
        {name: result[name] for name in ("check", "verdict", "numbers")}
        | {"why": cause_in_words(result["why"])}
        for result in event["results"]
    ]
    # A check that could not answer does not say when it began.
    began = [result["began"] for result in event["results"] if "began" in result]
    verdict = judge([CheckResult.from_dict(result) for result in results])
    fact = Fact(
        application=release["application"],
        tag=release["tag"],
        attempt=release["attempt"],
        name="Health Checked",
        key=f"{subject} {event['step']} {name_of(event['execution'])}",
        execution=event["execution"],
        data={
            "subject": subject,
            "step": event["step"],
            "verdict": verdict.verdict,
            "why": verdict.why,
            "checks": results,
            "durations": {"HealthDuration": min(began)} if began else {},
        },
    )
    runtime.ledger.record(fact)
    left = datetime.fromisoformat(event["deadline"]) - runtime.now()
    return {
        "verdict": verdict.verdict,
        "why": f"{release['application']} {release['tag']}: {verdict.why}",
        "secondsLeft": int(left.total_seconds()),
    }
