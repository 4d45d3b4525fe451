"""JudgeHealth: combine the checks' verdicts, decide how the bake continues, and compute the remaining budget."""

from __future__ import annotations

from datetime import datetime

from tagship.health.judging import fact_of, in_words, judged
from tagship.health.verdict import Verdict
from tagship.ledger.table import timestamp
from tagship.model.rollout import Baking
from tagship.runtime import Event, Runtime, name_of, step


@step
def handler(event: Event, runtime: Runtime) -> Event:
    """`{verdict, why, secondsLeft, wait, until, extended}`; the numbers of a result that matters go to the ledger.

    If no check can test a restored baseline, the verdict is `unanswered`.
    """
    release, deployment, now = event["release"], event["deployment"], runtime.now()
    subject, execution = event["subject"], event["execution"]
    results = in_words(event["results"])
    verdict, unknown = judged(runtime.ledger, release, results, subject=subject)
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
        fact = fact_of(
            release,
            verdict,
            results,
            subject=subject,
            step=deployment["step"],
            goes_on=goes_on,
            until=baking.until if goes_on and baking.extended and not before.extended else None,
            # A check that could not answer does not report its start time.
            began=[result["began"] for result in event["results"] if "began" in result],
            execution=execution,
            key=name_of(execution),
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
