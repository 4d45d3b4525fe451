"""A rollout that waits for a person: how often, how long, and how its health is watched meanwhile."""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from tagship.model.records import PauseRecord, PauseTerms, ReleaseRecord, StepData

if TYPE_CHECKING:
    from tagship.model.application import Health

MOST_PAUSES = 4
"""How often one attempt of a release can pause, whether its strategy or an operator wants it."""
PAUSED_LOOK_EVENTS = 18
"""What a look at health adds to an execution's history while the rollout is paused."""
EVENTS_FOR_PAUSES = 6_000
"""A quarter of the events, for all pauses of an attempt together."""
ANSWER_SECONDS = 60
"""How long the step that reads an answer may take; it answers itself at once."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Halt:
    """A pause that stands between this step and the next one."""

    number: int
    """Which pause of the attempt it is."""
    timeout: int
    """Seconds that people have."""
    until: datetime | None
    """When their time is over; None before they are asked."""
    rejected: bool
    """Somebody, or the time-out, has decided that the release is rolled back."""

    @classmethod
    def before_the_next_step(
        cls, record: ReleaseRecord, *, step: StepData, shift: int, count: int
    ) -> Halt | None:
        """The pause before the traffic shift with this index; None if there is none, or it has been continued."""
        if shift >= count:
            return None
        known = record.get("pause")
        if known and known["before"] == shift:
            if known["state"] == "continued":
                return None
            if known["state"] != "withdrawn":  # else what the strategy says applies again
                return cls._known(known)
        terms = step.get("pause")
        return cls._new(terms, number=known["number"] + 1 if known else 1) if terms else None

    @classmethod
    def _known(cls, pause: PauseRecord) -> Halt:
        until = pause.get("until")
        return cls(
            number=pause["number"],
            timeout=pause["timeout"],
            until=datetime.fromisoformat(until) if until else None,
            rejected=pause["state"] == "rejected",
        )

    @classmethod
    def _new(cls, terms: PauseTerms, *, number: int) -> Halt:
        return cls(number=number, timeout=terms["timeout"], until=None, rejected=False)

    @property
    def asked(self) -> bool:
        """Whether people are asked, and have not answered."""
        return self.until is not None and not self.rejected

    def look_in(self, health: Health, *, now: datetime) -> int:
        """Seconds until health is looked at again; people's answer ends this wait at once."""
        every = look_every_while_paused(health, timeout=self.timeout)
        left = math.ceil((self.until - now).total_seconds()) if self.until else self.timeout
        return ANSWER_SECONDS if self.rejected or left <= 0 else min(every, left)


def look_every_while_paused(health: Health, *, timeout: int) -> int:
    """Seconds between two looks of a pause that lasts so long at most: as `look_every`, with the history's room for it."""
    return max(health.every, math.ceil(timeout * PAUSED_LOOK_EVENTS * MOST_PAUSES / EVENTS_FOR_PAUSES))


def paused_seconds(record: ReleaseRecord, now: datetime) -> int:
    """How long a release has waited for people in pauses so far; this time is not part of the deployment's budget."""
    pause, before = record.get("pause"), record.get("pausedSeconds", 0)
    if pause is None or pause["state"] != "open":
        return before
    return before + max(0, int((now - datetime.fromisoformat(pause["since"])).total_seconds()))
