"""RestoreBaseline: put back what served before, at once; it needs the ledger and the target, and nothing else."""

from __future__ import annotations

from datetime import timedelta

from tagship.application import Application, check_name
from tagship.ledger import lock, releases
from tagship.ledger.table import Fact, timestamp
from tagship.runtime import Event, Runtime, step
from tagship.targets import target_of
from tagship.words import cause_in_words


@step
def handler(event: Event, runtime: Runtime) -> Event:
    """From `{application, tag, trigger, why}` to what was restored and how to ask whether it is healthy.

    Raises LockHeld while another release has the lock, TargetMoved when somebody else changed the target, BaselineMissing.
    """
    application, tag = event["application"], event["tag"]
    record = releases.get(runtime.ledger, application, tag)
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
    told = {
        "trigger": event["trigger"],
        "why": cause_in_words(event["why"]),
        "percent": record.get("percent", 0),
    }
    fact = Fact(
        application=application,
        tag=tag,
        attempt=record["attempt"],
        name="Rollback Triggered",
        execution=event["execution"],
        data=told,
    )
    runtime.ledger.record(fact)
    target = target_of(configuration, tag=tag, client_as=runtime.aws.client_as)
    plan = record["plan"]
    what = target.restore(baseline=plan["baseline"], candidate=plan["candidate"], fence=fence)
    runtime.ledger.record(
        Fact(
            application=application,
            tag=tag,
            attempt=record["attempt"],
            name="Baseline Restored",
            execution=event["execution"],
            data={"what": what, "baseline": plan["baseline"], "fence": fence},
        )
    )
    checks = configuration.health.checks if plan["baseline"] else ()
    return {
        "attempt": record["attempt"],
        "checks": [check_name(check, application) for check in checks],
        "what": what,
        "servesNow": plan["from"],
        "nothingServed": plan["baseline"] is None,
        "deadline": timestamp(runtime.now() + timedelta(seconds=runtime.settings.rollback_seconds)),
    }
