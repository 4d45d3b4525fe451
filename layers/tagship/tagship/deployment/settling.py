"""Waits until a target has settled: until a deadline, never for a number of attempts."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from botocore.exceptions import ClientError

from tagship.model.errors import NotStable, TagshipError
from tagship.targets.kind import Move, Traffic

AFTER_SETTLING_SECONDS = 428
"""The longest that a rollback can take after it has settled (tests/template/test_budgets.py adds it up)."""


def settle_by(seconds: int, *, now: datetime, latest: datetime | None = None) -> datetime:
    """When a target must have settled: after its kind's `seconds`, but not after `latest`."""
    by = now + timedelta(seconds=seconds)
    return min(by, latest) if latest else by


def wait_or_refuse(wait: int, *, by: datetime, now: datetime, what: str) -> int:
    """Seconds until the next check; 0 when the target has settled.

    Raises NotStable if it has not, and its time is over.
    """
    if not wait:
        return 0
    left = int((by - now).total_seconds())
    if left <= 0:
        raise NotStable(f"{what} did not become stable in time.")
    return min(wait, max(left, 1))


def has_settled(target: Traffic, move: Move) -> bool:
    """Whether the target has applied the move. Any problem is left to `AwaitStable`, which looks again and raises it."""
    try:
        return target.verify_weight(move) == 0
    except (TagshipError, ClientError):
        return False


def refuse_late(deployment: Mapping[str, Any], *, now: datetime, title: str) -> None:
    """Raises NotStable if the remaining bakes no longer fit into the deployment's remaining time.

    Traffic would only move to be rolled back.
    """
    left = int((datetime.fromisoformat(deployment["deadline"]) - now).total_seconds())
    bakes = sum(step["bake"] for step in deployment["steps"])
    if bakes > left:
        raise NotStable(
            f"{title}: the candidate was ready too late. Its steps bake for {bakes} s, but only {max(left, 0)} s of the "
            "deployment's time are left. No traffic was moved. Publish a new tag, or shorten the strategy's bakes."
        )


def rollback_settle_by(
    kind_seconds: int, *, rollback_seconds: int, started: datetime, now: datetime
) -> datetime:
    """When a restored baseline must have settled, so that its health can still be checked within the budget.

    The rollback began at `started`; the less time restoring took, the more is left for settling.
    """
    latest = started + timedelta(seconds=rollback_seconds - AFTER_SETTLING_SECONDS)
    return settle_by(kind_seconds, now=now, latest=latest)
