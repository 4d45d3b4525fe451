"""Whether a rollout pauses after the current step, in the eyes of the step that judges its health."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from tagship.model.pausing import Halt, paused_seconds
from tagship.model.records import ReleaseRecord


@dataclass(frozen=True, slots=True, kw_only=True)
class Pausing:
    """The pause between the current step and the next one, if there is one, and the time that people have had so far."""

    halt: Halt | None = None
    seconds: int = 0
    """They do not count as deployment time."""
    mark: str = ""
    """Distinguishes the facts about health during and after a pause from those of the step's own bake."""

    @classmethod
    def of(cls, record: ReleaseRecord, deployment: Mapping[str, Any], now: datetime) -> Pausing:
        """From the ledger, which has people's orders and answers; the state machine has only the steps."""
        shift = int(deployment["next"])
        halt = Halt.before_the_next_step(
            record, step=deployment["steps"][shift - 1], shift=shift, count=deployment["count"]
        )
        known = record.get("pause")
        begun = known and known["before"] == shift and "since" in known
        return cls(
            halt=halt,
            seconds=paused_seconds(record, now),
            mark=f"pause {known['number']} " if known and begun else "",
        )

    def seconds_left(self, deployment: Mapping[str, Any], now: datetime) -> int:
        """Of the deployment's budget, in which people's time does not count."""
        return int((datetime.fromisoformat(deployment["deadline"]) - now).total_seconds()) + self.seconds

    @property
    def asked(self) -> bool:
        """Whether people are asked now."""
        return self.halt is not None and self.halt.asked

    def holding(self, *, done: bool) -> Halt | None:
        """The pause that holds the rollout now: it begins when the step is `done`, and then stays until people answer."""
        halt = self.halt
        return halt if halt and (done or halt.until is not None or halt.rejected) else None
