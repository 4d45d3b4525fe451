"""What the checks say together, of a candidate or of a restored baseline, and how the ledger has it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from tagship.health.verdict import CheckResult, judge, judge_restored
from tagship.ledger import releases
from tagship.ledger.table import Fact, Ledger, timestamp
from tagship.model.facts import FactKind
from tagship.model.records import ReleaseKey
from tagship.text.words import cause_in_words


def judged(
    ledger: Ledger, release: ReleaseKey, results: Sequence[Mapping[str, object]], *, subject: str
) -> tuple[CheckResult, bool]:
    """The verdict, and whether it leaves open how a restored baseline is."""
    found = [CheckResult.from_dict(result) for result in results]
    if subject != "baseline":
        return judge(found), False
    record = releases.get(ledger, release["application"], release["tag"])
    gates = record.get("gates") or ()
    seen = next((gate.get("seen") or {} for gate in gates if gate["gate"] == "baseline"), {})
    # Another release than the one before it: the gate did not ask that one.
    answered = {} if "replaced" in (record.get("plan") or {}) else seen.get("answers", {})
    return judge_restored(found, answered=answered)


def in_words(results: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The checks' results as the state machine gives them.

    Where no answer came from CheckHealth at all, it gives one with AWS's cause, for each of the `checks` that were asked.
    """
    return [
        {"check": check, "verdict": result["verdict"], "numbers": result["numbers"]}
        | {"why": cause_in_words(result["why"])}
        for result in results
        for check in result.get("checks", [result["check"]])
    ]


def fact_of(
    release: ReleaseKey,
    verdict: CheckResult,
    results: Sequence[Mapping[str, object]],
    *,
    subject: str,
    step: str,
    goes_on: bool,
    until: datetime | None,
    began: Sequence[str],
    execution: str,
    key: str,
) -> Fact:
    """A look that says something. One fact for a step's last look, one for the look that made its bake longer, and one for
    all others that were unclear; `until` is when the longer bake ends, `key` names the execution."""
    which = "" if not goes_on else "extended " if until else "unclear "
    return Fact(
        application=release["application"],
        tag=release["tag"],
        attempt=release["attempt"],
        name=FactKind.HEALTH_CHECKED,
        key=f"{subject} {step} {which}{key}",
        execution=execution,
        data={
            "subject": subject,
            "step": step,
            "verdict": verdict.verdict,
            "why": verdict.why,
            "checks": results,
            "goesOn": goes_on,
            "until": timestamp(until) if until else None,
            "durations": {"HealthDuration": min(began)} if began else {},
        },
    )
