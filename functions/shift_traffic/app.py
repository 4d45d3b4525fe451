"""ShiftTraffic: send the candidate its next share of traffic."""

from __future__ import annotations

from tagship.deployment.settling import settle_by
from tagship.deployment.shifting import shift
from tagship.ledger import lock
from tagship.ledger.table import fact_key, timestamp
from tagship.model.facts import FactKind
from tagship.model.rollout import Baking, longest_step, look_every
from tagship.runtime import Event, Runtime, step


@step
def handler(event: Event, runtime: Runtime) -> Event:
    """The step that was made, the next one, and until when the target must have settled; `settled`: it has, and `wait` and
    `until` are of the bake that begins now.

    Raises PauseOrdered, LockLost, TargetMoved and CredentialsRefused; in these cases this attempt has moved nothing.
    """
    release, deployment, settings = runtime.release(event), event["deployment"], runtime.settings
    index, fence = deployment["next"], deployment["fence"]
    key = f"{index:03}"
    release.read_ahead(fact_key(release.tag, release.attempt, FactKind.TRAFFIC_SHIFTED, key))
    percent, bake = deployment["steps"][index]["percent"], deployment["steps"][index]["bake"]
    every = look_every(release.configuration.health, deployment_seconds=settings.deployment_seconds)
    settle_seconds = release.kind.settle_seconds
    step_seconds = longest_step(bake, every=every, health_seconds=settings.health_seconds) + settle_seconds
    data = {"percent": percent, "bake": bake, "step": index + 1, "of": deployment["count"], "fence": fence}
    settled = shift(
        release.ledger,
        release.target,
        release.record,
        release.fact(FactKind.TRAFFIC_SHIFTED, key=key, data=data),
        percent=percent,
        step=index,
        fence=fence,
        seconds=lock.lease(step_seconds, settings.rollback_seconds),
        looks=release.kind.settles_at_once,
    )
    baking = Baking.begun(bake, every=every, now=runtime.now())
    following = [each["needs"] for each in deployment["steps"][index + 1 :]]
    return {
        "fence": fence,
        "steps": deployment["steps"],
        "count": deployment["count"],
        "deadline": deployment["deadline"],
        "step": f"{index + 1} of {deployment['count']}",
        "next": index + 1,
        "percent": percent,
        "bake": bake,
        "every": every,
        "nextNeeds": following[0] if following else 0,
        "followingNeed": sum(following),
        "settleBy": timestamp(settle_by(settle_seconds, now=runtime.now())),
        "settled": settled,
        "wait": baking.wait if settled else 0,
        "until": timestamp(baking.until),
        "extended": baking.extended,
    }
