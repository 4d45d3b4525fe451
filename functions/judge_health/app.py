"""JudgeHealth: combine the checks' verdicts, decide how the bake continues, and compute the remaining budget."""

from __future__ import annotations

from tagship.deployment.pausing import Pausing
from tagship.health.judging import fact_of, in_words, judged
from tagship.health.verdict import Verdict
from tagship.ledger.table import timestamp
from tagship.model.rollout import Baking
from tagship.runtime import Event, Runtime, name_of, step


@step
def handler(event: Event, runtime: Runtime) -> Event:
    """`{verdict, why, secondsLeft, wait, until, extended, pauses, lookIn}`; numbers that matter go to the ledger.

    If no check can test a restored baseline, the verdict is `unanswered`.
    """
    release, deployment, subject = event["release"], event["deployment"], event["subject"]
    now, read, results = runtime.now(), runtime.release(event), in_words(event["results"])
    read.read_ahead()
    verdict, unknown = judged(read.ledger, release, results, subject=subject)
    healthy = verdict.verdict is Verdict.HEALTHY
    pausing = Pausing() if subject == "baseline" else Pausing.of(read.record, deployment, now)
    left, before = pausing.seconds_left(deployment, now), Baking.from_dict(event["baking"], now=now)
    baking = before.looked(
        clear=pausing.asked or verdict.verdict is not Verdict.INCONCLUSIVE,
        ends=verdict.ends_a_bake,
        bake=deployment["bake"],
        every=deployment["every"],
        spare=left - deployment["followingNeed"],
        now=now,
    )
    done = healthy and not baking.wait and left >= deployment.get("nextNeeds", 0)
    halt = None if verdict.ends_a_bake else pausing.holding(done=done)
    goes_on = baking.wait > 0 or (halt is not None and halt.asked)
    if not goes_on or not healthy:
        fact = fact_of(
            release,
            verdict,
            results,
            subject=subject,
            step=deployment["step"],
            goes_on=goes_on,
            until=baking.until if goes_on and baking.extended and not before.extended else None,
            began=[result["began"] for result in event["results"] if "began" in result],  # an error has none
            execution=event["execution"],
            key=pausing.mark + name_of(event["execution"]),
        )
        read.ledger.record(fact)
    return {
        "verdict": "unanswered" if unknown else verdict.verdict,
        "why": f"{release['application']} {release['tag']}: {verdict.why}",
        "secondsLeft": left,
        "wait": baking.wait,
        "until": timestamp(baking.until),
        "extended": baking.extended,
        "pauses": halt is not None,
        "lookIn": halt.look_in(read.configuration.health, now=now) if halt else 0,
    }
