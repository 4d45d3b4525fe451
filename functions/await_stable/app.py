"""AwaitStable: check whether the target has applied the change; the state machine waits between two checks."""

from __future__ import annotations

from datetime import datetime

from tagship.deployment.locations import location_of, move_to
from tagship.deployment.settling import wait_or_refuse
from tagship.ledger.table import timestamp
from tagship.model.rollout import Baking
from tagship.runtime import Event, Runtime, step


@step
def handler(event: Event, runtime: Runtime) -> Event:
    """`{settled, wait, until, extended}`: the bake that begins now, or `wait` seconds until the next check.

    Raises NotStable if it has not settled by `settleBy` (0 percent: all traffic on the baseline).
    """
    release = runtime.release(event)
    move = move_to(event["percent"], location_of(release.record), fence=0)
    wait = wait_or_refuse(
        release.target().verify_weight(move),
        by=datetime.fromisoformat(event["settleBy"]),
        now=runtime.now(),
        what=f"{release.title}: {release.where}",
    )
    baking = Baking.begun(event["bake"], every=event["every"], now=runtime.now())
    return {
        "settled": not wait,
        "wait": wait or baking.wait,
        "until": timestamp(baking.until),
        "extended": baking.extended,
    }
