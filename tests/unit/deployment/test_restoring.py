"""A rollback of which AWS refuses the write, although the baseline serves all traffic."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tagship.deployment.restoring import LAST_WRITE_SECONDS, PATIENCE_SECONDS, already_restored
from tagship.model.errors import AwsUnavailable, TargetInvalid
from tagship.model.records import Revision

BEGUN = datetime(2026, 11, 23, 14, 5, tzinfo=UTC)
REFUSED = AwsUnavailable("storefront v1.4.0: moving the alias: an update is in progress")
BASELINE: Revision = {"id": "1", "digest": "", "data": {}}


class Clock:
    """Stands in for the ledger, of which only the clock is used."""

    def __init__(self, after: float) -> None:
        self.after, self.paused = after, 0.0

    def now(self) -> datetime:
        return BEGUN + timedelta(seconds=self.after)

    def pause(self, seconds: float) -> None:
        self.paused += seconds


class Target:
    """A target that serves this version, or raises an error when it is read."""

    def __init__(self, serves: str | Exception = "1") -> None:
        self.serves = serves

    def serving(self) -> Revision | None:
        if isinstance(self.serves, Exception):
            raise self.serves
        return {**BASELINE, "id": self.serves} if self.serves else None


def restored(clock: Clock, target: Target, baseline: Revision | None = BASELINE) -> str:
    ledger: Any = clock
    reads: Any = target
    return already_restored(ledger, reads, baseline, REFUSED, begun=BEGUN)


@pytest.mark.parametrize("after, paused", [(15, 7), (21.5, 0.5), (40, 0)])
def test_it_is_restored_once_no_call_of_the_release_can_still_write(after: float, paused: float) -> None:
    """Fault 95."""
    clock = Clock(after)
    assert restored(clock, Target()) == (
        "it already serves all traffic, so nothing had to be moved. AWS refused to write it again. "
        "storefront v1.4.0: moving the alias: an update is in progress"
    )
    assert clock.paused == paused


def test_before_that_it_is_tried_again() -> None:
    clock = Clock(LAST_WRITE_SECONDS - PATIENCE_SECONDS - 1)
    with pytest.raises(AwsUnavailable, match="an update is in progress"):
        restored(clock, Target())
    assert not clock.paused


@pytest.mark.parametrize("serves", ["2", "", TargetInvalid("traffic is split"), AwsUnavailable("throttled")])
def test_unless_the_baseline_is_seen_to_serve_all_traffic_the_refusal_counts(serves: str | Exception) -> None:
    with pytest.raises(AwsUnavailable, match="an update is in progress"):
        restored(Clock(15), Target(serves))


def test_without_a_baseline_the_refusal_counts() -> None:
    with pytest.raises(AwsUnavailable, match="an update is in progress"):
        restored(Clock(15), Target(), None)
