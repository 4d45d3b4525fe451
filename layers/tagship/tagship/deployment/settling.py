"""Waiting until a target has settled: by a deadline, never by a count of tries."""

from __future__ import annotations

from datetime import datetime, timedelta

from tagship.model.errors import NotStable

AFTER_SETTLING_SECONDS = 428
"""What a rollback may still take at worst once it has settled (tests/template/test_budgets.py adds it up)."""


def settle_by(seconds: int, *, now: datetime, latest: datetime | None = None) -> datetime:
    """When a target must have settled: after its kind's `seconds`, and not after `latest`."""
    by = now + timedelta(seconds=seconds)
    return min(by, latest) if latest else by


def wait_or_refuse(wait: int, *, by: datetime, now: datetime, what: str) -> int:
    """Seconds until the next look, 0 when the target has settled.

    Raises NotStable when it has not, and its time is over.
    """
    if not wait:
        return 0
    left = int((by - now).total_seconds())
    if left <= 0:
        raise NotStable(f"{what} did not become stable in time.")
    return min(wait, max(left, 1))


def rollback_settle_by(
    kind_seconds: int, *, rollback_seconds: int, started: datetime, now: datetime
) -> datetime:
    """When a restored baseline must have settled, so that its health can still be checked within the budget.

    Of a rollback that began at `started`: what restoring took is not left for settling, and what it did not take is.
    """
    latest = started + timedelta(seconds=rollback_seconds - AFTER_SETTLING_SECONDS)
    return settle_by(kind_seconds, now=now, latest=latest)
