"""JudgeHealth: what the checks say together, how the bake goes on, and how much of the budget is left."""

from __future__ import annotations

from datetime import datetime

from tagship.health.verdict import CheckResult, Verdict, judge, judge_restored
from tagship.ledger import releases
from tagship.ledger.table import Fact, timestamp
from tagship.model.facts import FactKind
from tagship.model.rollout import Baking
from tagship.runtime import Event, Runtime, name_of, step
from tagship.text.words import cause_in_words


@step
def handler(event: Event, runtime: Runtime) -> Event:
    """`{verdict, why, secondsLeft, wait, until, extended}`; the numbers of a look that says something go to the ledger.

    Of a restored baseline that no check can ask, the verdict is `unanswered`.
    """
    release, deployment, now = event["release"], event["deployment"], runtime.now()
    results = [
        {name: result[name] for name in ("check", "verdict", "numbers")}
        | {"why": cause_in_words(result["why"])}
        for result in event["results"]
    ]
    verdict, unknown = _judged(runtime, event, [CheckResult.from_dict(result) for result in results])
    left = int((datetime.fromisoformat(deployment["deadline"]) - now).total_seconds())
    before = Baking.from_dict(event["baking"], now=now)
    baking = before.looked(
        clear=verdict.verdict is not Verdict.INCONCLUSIVE,
        ends=verdict.verdict in (Verdict.UNHEALTHY, Verdict.ERROR),
        bake=deployment["bake"],
        every=deployment["every"],
        spare=left - deployment["followingNeed"],
        now=now,
    )
    goes_on = baking.wait > 0
    if not goes_on or verdict.verdict is not Verdict.HEALTHY:
        extends = goes_on and baking.extended and not before.extended
        # A check that could not answer does not say when it began.
        began = [result["began"] for result in event["results"] if "began" in result]
        fact = Fact(
            application=release["application"],
            tag=release["tag"],
            attempt=release["attempt"],
            name=FactKind.HEALTH_CHECKED,
            key=_key(
                event["subject"], deployment["step"], event["execution"], goes_on=goes_on, extends=extends
            ),
            execution=event["execution"],
            data={
                "subject": event["subject"],
                "step": deployment["step"],
                "verdict": verdict.verdict,
                "why": verdict.why,
                "checks": results,
                "goesOn": goes_on,
                "until": timestamp(baking.until) if extends else None,
                "durations": {"HealthDuration": min(began)} if began else {},
            },
        )
        runtime.ledger.record(fact)
    return {
        "verdict": "unanswered" if unknown else verdict.verdict,
        "why": f"{release['application']} {release['tag']}: {verdict.why}",
        "secondsLeft": left,
        "wait": baking.wait,
        "until": timestamp(baking.until),
        "extended": baking.extended,
    }


def _judged(runtime: Runtime, event: Event, results: list[CheckResult]) -> tuple[CheckResult, bool]:
    """The verdict, and whether it leaves open how a restored baseline is."""
    if event["subject"] != "baseline":
        return judge(results), False
    record = releases.get(runtime.ledger, event["release"]["application"], event["release"]["tag"])
    seen = next(
        (gate.get("seen") or {} for gate in record.get("gates") or () if gate["gate"] == "baseline"), {}
    )
    # Another release than the one before it: the gate did not ask that one.
    answered = {} if "replaced" in (record.get("plan") or {}) else seen.get("answers", {})
    return judge_restored(results, answered=answered)


def _key(subject: str, step_name: str, execution: str, *, goes_on: bool, extends: bool) -> str:
    """One fact for a step's last look, one for the look that made its bake longer, one for all others that were unclear."""
    which = "" if not goes_on else "extended " if extends else "unclear "
    return f"{subject} {step_name} {which}{name_of(execution)}"
