"""RestoreBaseline: put back what served before, at once; it needs the ledger and the target, and nothing else."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from tagship.deployment.rollback import Order, bars_only, joined, leading_to, make_way, refuse, served
from tagship.ledger import lock, releases
from tagship.ledger.table import Item, timestamp
from tagship.model.application import Application
from tagship.model.errors import BaselineMissing, RollbackRefused
from tagship.model.facts import FactKind
from tagship.runtime import Event, Runtime, name_of, step
from tagship.targets import Target, target_of


@step
def handler(event: Event, runtime: Runtime) -> Event:
    """From `{application, tag, trigger, why}` to what was restored and how to ask whether it is healthy.

    Raises RollbackRefused for what is no rollback, RollbackUnderway while another one is at it, LockHeld while another
    release moves traffic, TargetMoved when somebody else changed the target, BaselineMissing.
    """
    order, execution = Order.from_dict(event["order"]), event["execution"]
    ledger, rollback = runtime.ledger, name_of(execution)
    record = releases.get(ledger, order.application, order.tag)
    waited = joined(ledger, order, record, execution=execution, rollback=rollback)
    if barred := bars_only(ledger, order, record, rollback=rollback, execution=execution):
        return _answer(runtime, record, what=barred, check=False)
    if waited:
        return _answer(runtime, record, what="Another rollback has put it back.", check=False)
    refuse(ledger, order, record)
    configuration = Application.from_dict(record["configuration"]["document"])
    target = target_of(
        configuration,
        tag=order.tag,
        client_as=runtime.client_as(configuration, tag=order.tag, execution=execution),
    )
    changes = leading_to(ledger, order, record)
    if changes:
        _prove(target, order, changes["plan"]["baseline"])
    make_way(ledger, order, record, execution=execution)
    fence = lock.acquire(
        ledger,
        application=order.application,
        tag=order.tag,
        attempt=record["attempt"],
        execution=execution,
        seconds=runtime.settings.rollback_seconds + lock.SPARE_SECONDS,
        taking_over=True,
        only_while=[
            releases.standing(
                ledger,
                application=order.application,
                tag=order.tag,
                attempt=record["attempt"],
                status=record["status"],
                execution=execution,
            )
        ],
    ).fence
    if order.trigger == "security":
        changes["barred"] = order.bar(runtime.now())
    told = {
        "trigger": order.trigger,
        "why": order.why,
        "percent": record.get("percent", 0),
        "seen": order.seen,
        "deadline": timestamp(runtime.now() + timedelta(seconds=runtime.settings.rollback_seconds)),
    }
    fact = order.fact(record, FactKind.ROLLBACK_TRIGGERED, rollback=rollback, execution=execution, **told)
    releases.turn_back(ledger, fact, **changes)
    record = record | changes
    plan = record["plan"]
    what = target.restore(
        baseline=plan["baseline"], candidate=plan["candidate"], replaced=plan.get("replaced"), fence=fence
    )
    _tell(runtime, order, record, what=what, rollback=rollback, execution=execution, fence=fence)
    return _answer(runtime, record, what=what, check=plan["baseline"] is not None)


def _prove(target: Target, order: Order, baseline: dict[str, Any]) -> None:
    """What is gone can't be gone back to: said before anything is changed."""
    try:
        target.held(baseline)
    except BaselineMissing as error:
        raise RollbackRefused(
            f"{order.title} can't go back to {order.to}: {error} Nothing was changed."
        ) from error


def _tell(
    runtime: Runtime, order: Order, record: Item, *, what: str, rollback: str, execution: str, fence: int
) -> None:
    triggered = runtime.ledger.fact(
        order.application, order.tag, record["attempt"], FactKind.ROLLBACK_TRIGGERED, rollback
    )
    assert triggered is not None
    asked = datetime.fromisoformat(triggered["at"])
    data = {
        "what": what,
        "baseline": record["plan"]["baseline"],
        "fence": fence,
        "served": served(runtime.ledger, record, runtime.now()),
        "seconds": max(0, round((runtime.now() - asked).total_seconds())),
    }
    runtime.ledger.record(
        order.fact(record, FactKind.BASELINE_RESTORED, rollback=rollback, execution=execution, **data)
    )


def _answer(runtime: Runtime, record: Item, *, what: str, check: bool) -> Event:
    configuration = Application.from_dict(record["configuration"]["document"])
    # The others look back, at what the candidate did.
    checks = [
        {"check": each.label(record["application"]), "index": index}
        for index, each in enumerate(configuration.health.checks)
        if check and not each.LOOKS_BACK
    ]
    return {
        "attempt": record["attempt"],
        "checks": checks,
        "what": what,
        "servesNow": (record.get("plan") or {}).get("from"),
        "nothingToCheck": not check,
        "deadline": timestamp(runtime.now() + timedelta(seconds=runtime.settings.rollback_seconds)),
    }
