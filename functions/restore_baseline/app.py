"""RestoreBaseline: put back what served before, at once; it needs the ledger and the target, and nothing else."""

from __future__ import annotations

from datetime import timedelta

from tagship.application import ASKS_ITSELF, Application, check_name
from tagship.errors import RollbackRefused
from tagship.ledger import lock, releases
from tagship.ledger.table import Fact, timestamp
from tagship.runtime import Event, Runtime, name_of, step
from tagship.targets import target_of
from tagship.words import cause_in_words

_ORDER = ("application", "tag", "trigger", "why")


@step
def handler(event: Event, runtime: Runtime) -> Event:
    """From `{application, tag, trigger, why}` to what was restored and how to ask whether it is healthy.

    Raises RollbackRefused for what is no rollback, LockHeld while another release has the lock, TargetMoved when somebody
    else changed the target, BaselineMissing.
    """
    order = event["order"]
    if not all(isinstance(order.get(name), str) for name in _ORDER):
        raise RollbackRefused(
            f"A rollback is ordered with the texts {', '.join(_ORDER)}. Nothing was changed."
        )
    application, tag = order["application"], order["tag"]
    record = releases.get(runtime.ledger, application, tag)
    if refused := releases.roll_back_refused(runtime.ledger, record):
        raise RollbackRefused(f"{application} {tag} can't be rolled back: {refused} Nothing was changed.")
    configuration = Application.from_dict(record["configuration"]["document"])
    fence = lock.acquire(
        runtime.ledger,
        application=application,
        tag=tag,
        attempt=record["attempt"],
        execution=event["execution"],
        seconds=runtime.settings.rollback_seconds + lock.SPARE_SECONDS,
        taking_over=True,
    ).fence
    rollback = name_of(event["execution"])
    told = {
        "trigger": order["trigger"],
        "why": cause_in_words(order["why"]),
        "percent": record.get("percent", 0),
    }
    fact = Fact(
        application=application,
        tag=tag,
        attempt=record["attempt"],
        name="Rollback Triggered",
        key=rollback,
        who=str(order.get("by", "tagship")),
        execution=event["execution"],
        data=told,
    )
    runtime.ledger.record(fact)
    target = target_of(
        configuration,
        tag=tag,
        client_as=runtime.client_as(configuration, tag=tag, execution=event["execution"]),
    )
    plan = record["plan"]
    what = target.restore(baseline=plan["baseline"], candidate=plan["candidate"], fence=fence)
    runtime.ledger.record(
        Fact(
            application=application,
            tag=tag,
            attempt=record["attempt"],
            name="Baseline Restored",
            key=rollback,
            execution=event["execution"],
            data={"what": what, "baseline": plan["baseline"], "fence": fence},
        )
    )
    # The others look back, at what the candidate did.
    checks = [
        {"check": check_name(check, application), "index": index}
        for index, check in enumerate(configuration.health.checks)
        if check.type in ASKS_ITSELF
    ]
    return {
        "attempt": record["attempt"],
        "checks": checks,
        "what": what,
        "servesNow": plan["from"],
        "nothingServed": plan["baseline"] is None,
        "deadline": timestamp(runtime.now() + timedelta(seconds=runtime.settings.rollback_seconds)),
    }
