"""ShiftTraffic: give the candidate its next share of the traffic."""

from __future__ import annotations

from tagship.ledger import lock, releases
from tagship.ledger.table import Fact, timestamp
from tagship.model.application import Application
from tagship.model.facts import FactKind
from tagship.model.rollout import longest_step, look_every
from tagship.runtime import Event, Runtime, step
from tagship.targets import target_of


@step
def handler(event: Event, runtime: Runtime) -> Event:
    """Which step it was, what comes next, and the state of the target that the next shift expects.

    Raises LockLost, TargetMoved and CredentialsRefused; then this try has moved nothing.
    """
    release, deployment, fence = event["release"], event["deployment"], event["lock"]["fence"]
    application, tag = release["application"], release["tag"]
    index = deployment["next"]
    percent, bake = deployment["steps"][index]["percent"], deployment["steps"][index]["bake"]
    record, settings = releases.get(runtime.ledger, application, tag), runtime.settings
    configuration = Application.from_dict(record["configuration"]["document"])
    every = look_every(configuration.health, deployment_seconds=settings.deployment_seconds)
    target = target_of(
        configuration,
        tag=tag,
        client_as=runtime.client_as(configuration, tag=tag, execution=event["execution"]),
    )
    lock.renew(
        runtime.ledger,
        application=application,
        fence=fence,
        seconds=longest_step(bake, every=every, health_seconds=settings.health_seconds)
        + settings.rollback_seconds
        + lock.SPARE_SECONDS,
    )
    plan, attempt = record["plan"], release["attempt"]
    act = {
        "baseline": plan["baseline"],
        "candidate": plan["candidate"],
        "percent": percent,
        "expected": deployment["expected"],
        "fence": fence,
    }
    target.unmoved(**act)
    releases.moving(runtime.ledger, application=application, tag=tag, attempt=attempt)
    expected = target.shift(**act)
    fact = Fact(
        application=application,
        tag=tag,
        attempt=attempt,
        name=FactKind.TRAFFIC_SHIFTED,
        key=f"{index:03}",
        execution=event["execution"],
        data={"percent": percent, "bake": bake, "step": index + 1, "of": deployment["count"], "fence": fence},
    )
    releases.mark(runtime.ledger, fact, percent=percent, shiftedAt=timestamp(runtime.now()))
    following = [step["needs"] for step in deployment["steps"][index + 1 :]]
    return {
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
        "expected": expected,
    }
