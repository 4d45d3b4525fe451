"""The combined verdict of the checks, for a candidate or a restored baseline, and its form in the ledger."""

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
    """The verdict, and whether the health of a restored baseline is unknown."""
    found = [CheckResult.from_dict(result) for result in results]
    if subject != "baseline":
        return judge(found), False
    record = releases.get(ledger, release["application"], release["tag"])
    gates = record.get("gates") or ()
    seen = next((gate.get("seen") or {} for gate in gates if gate["gate"] == "baseline"), {})
    # A release other than the previous one: the gate did not run the checks on that one.
    answered = {} if "replaced" in (record.get("plan") or {}) else seen.get("answers", {})
    return judge_restored(found, answered=answered)


def in_words(results: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The checks' results from the state machine; a check that failed itself has AWS's cause."""
    return [
        {"check": check, "verdict": result["verdict"], "numbers": result["numbers"]}
        | {"why": cause_in_words(result["why"])}
        for result in results
        for check in result.get("checks", [result["check"]])
    ]


def shortly(results: Sequence[Mapping[str, Any]]) -> list[dict[str, str]]:
    """Each check's `{check, verdict, why}`, for people who read it."""
    return [{name: str(result[name]) for name in ("check", "verdict", "why")} for result in in_words(results)]


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
