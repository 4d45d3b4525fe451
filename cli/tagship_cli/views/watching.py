"""Follows a release by reading the ledger repeatedly. It does not affect the release."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from tagship.approval.asking import request_now
from tagship.ledger import history, lock, releases
from tagship.ledger.table import timestamp
from tagship.model.errors import ApplicationUnknown, AwsUnavailable
from tagship.model.records import FactRecord, ReleaseRecord
from tagship.model.release import Status
from tagship_cli.failures import Failed, trying
from tagship_cli.place import Place
from tagship_cli.views import story, times
from tagship_cli.views.measures import LONGEST_RELEASE
from tagship_cli.views.story import Now

UNREAD_SECONDS = 180
"""How long to wait for an upload to be read, in seconds. It normally takes a few seconds."""
_MOVING, _WAITING, _LONGEST = 2.0, 5.0, 30.0
"""Seconds between two reads: while it moves, while it waits for people, and at most while AWS can't be reached."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """What is new since the previous read."""

    record: ReleaseRecord | None = None
    """None before the release was read, or while AWS can't be reached."""
    facts: tuple[FactRecord, ...] = ()
    now: Now | None = None
    """None once it has ended."""
    trouble: str = ""
    """Why there is nothing to see at the moment."""


class TimeOver(Exception):
    """The given time is over; the release continues."""


@dataclass(slots=True, kw_only=True)
class Watching:
    """Watches one release."""

    place: Place
    application: str
    tag: str
    seconds: int | None = None
    """How long to watch, in seconds; None for no limit."""
    _known: list[FactRecord] = field(default_factory=list)

    @classmethod
    def what_is_underway(cls, place: Place, application: str, *, seconds: int | None) -> Watching:
        """The release that holds the lock, else the newest that has not ended.

        Raises Failed if there is none.
        """
        with trying(f"Reading the ledger of {place.stage}"):
            holder = lock.holder(place.ledger, application)
            seen = history.recent(place.ledger, application, since=timestamp(place.now - LONGEST_RELEASE))
            tags = [
                record["tag"]
                for record in history.summaries(place.ledger, application, seen.touched)
                if record["status"] == Status.RUNNING
            ]
        if not tags:
            raise Failed(
                f"No release of {application!r} is in progress in {place.stage}.\nName a tag to wait for "
                f"it, or see past releases: tagship history {application}{place.flags()}"
            )
        tag = holder.tag if holder and holder.tag in tags else tags[0]
        return cls(place=place, application=application, tag=tag, seconds=seconds)

    def follow(self) -> Iterator[Look]:
        """Reads every few seconds until the release has ended.

        Raises TimeOver, and Failed if the upload is not read within the expected time.
        """
        began, troubles = self.place.now, 0
        while True:
            try:
                with trying(f"Reading the ledger of {self.place.stage} (the release continues)"):
                    look = self._look()
                troubles = 0
            except Failed as error:
                if not isinstance(error.__cause__, AwsUnavailable):
                    raise
                look, troubles = Look(trouble=str(error.__cause__)), troubles + 1
            yield look
            if look.record is not None and look.now is None:
                return
            self._pause(look, began, troubles)

    def _look(self) -> Look:
        ledger = self.place.ledger
        try:
            record = releases.get(ledger, self.application, self.tag)
        except ApplicationUnknown:
            return Look()
        # Read the release before its facts, so that the ending's fact is there once the release has ended.
        new = self._new_facts()
        self._known += new
        if record["status"] != Status.RUNNING and not story.going_back(
            [fact["name"] for fact in self._known]
        ):
            return Look(record=record, facts=tuple(new))
        request = request_now(ledger, approval) if (approval := story.asking(record)) else None
        holder = lock.holder(ledger, self.application)
        now = story.whereabouts(record, self._known, request, holder=holder, at=self.place.now)
        return Look(record=record, facts=tuple(new), now=now)

    def _new_facts(self) -> list[FactRecord]:
        ledger = self.place.ledger
        if not self._known:
            return ledger.facts_of(self.application, self.tag)
        after = int(self._known[-1]["seq"])
        return [
            fact for fact in ledger.facts_in_order(self.application, after=after) if fact["tag"] == self.tag
        ]

    def _pause(self, look: Look, began: datetime, troubles: int) -> None:
        now = self.place.now
        if self.seconds is not None and now >= began + timedelta(seconds=self.seconds):
            raise TimeOver
        unread = look.record is None and not look.trouble and not self._known
        if unread and now >= began + timedelta(seconds=UNREAD_SECONDS):
            raise Failed(
                f"{self.application} {self.tag} has not started after {times.span(UNREAD_SECONDS)}: it is "
                f"not in the ledger of {self.place.stage}.\nCheck that it was published to this stage: "
                f"`tagship publish` shows whether its release.json is there."
            )
        waiting = look.now is not None and look.now.phase in ("approval", "paused")
        seconds = min(_MOVING * 2**troubles, _LONGEST) if troubles else _WAITING if waiting else _MOVING
        if self.seconds is not None:
            seconds = min(seconds, max(0.0, self.seconds - (now - began).total_seconds()))
        self.place.world.pause(seconds)
