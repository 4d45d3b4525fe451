"""What was told to whom: so that a notice which is tried again is not told again, and a release's notices stay together."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, cast

from tagship.ledger.table import Ledger, Refused, application_key, timestamp
from tagship.model.records import FactRecord

OPENING_SECONDS = 20
"""How long the opening of a thread is one sender's: longer than one try to reach a channel takes."""


def address(fact: FactRecord) -> str:
    """Where a fact of the stream stands among its application's, for `fact_at`."""
    return str(fact["sk"])


def fact_at(ledger: Ledger, application: str, address: str) -> FactRecord | None:
    """The fact that stands at an address of the table, as a message names it."""
    return cast("FactRecord | None", ledger.get(application_key(application), address))


def was_told(ledger: Ledger, fact: FactRecord, channel: str) -> bool:
    """Whether this channel has taken this fact before."""
    return ledger.get(application_key(fact["application"]), _key(fact, channel)) is not None


def told(ledger: Ledger, fact: FactRecord, channel: str) -> None:
    """Writes that the channel has taken it; a second time changes nothing."""
    change = ledger.update(
        application_key(fact["application"]),
        _key(fact, channel),
        only_if="attribute_not_exists(pk)",
        kind="notice",
        at=fact["at"],
    )
    with suppress(Refused):  # it stands already
        ledger.write(change)


@dataclass(frozen=True, slots=True, kw_only=True)
class Thread:
    """What holds a release's notices in one channel together, for an attempt: the first one's own name there."""

    ledger: Ledger
    release: Mapping[str, Any]
    """Its application, tag and attempt; a fact says them too."""
    channel: str
    """Of several on one service, which."""

    def name(self) -> str:
        """Empty before there is one."""
        item = self.ledger.get(*self._place())
        return str(item.get("thread", "")) if item else ""

    def taken(self) -> bool:
        """Whether the opening is the caller's; for so long, nobody else gets it."""
        now = self.ledger.now()
        change = self.ledger.update(
            *self._place(),
            only_if="attribute_not_exists(#thread) AND (attribute_not_exists(#until) OR #until < :now)",
            values={":now": timestamp(now)},
            until=timestamp(now + timedelta(seconds=OPENING_SECONDS)),
            kind="notice",
        )
        try:
            self.ledger.write(change)
        except Refused:
            return False
        return True

    def begun(self, name: str) -> None:
        """Keeps the name; the one that stands, stands. With none, whoever comes next may open the thread at once."""
        attributes: dict[str, Any] = {"thread": name} if name else {}
        change = self.ledger.update(
            *self._place(), only_if="attribute_not_exists(#thread)", remove=("until",), **attributes
        )
        with suppress(Refused):
            self.ledger.write(change)

    def _place(self) -> tuple[str, str]:
        tag, attempt = self.release["tag"], self.release["attempt"]
        return application_key(self.release["application"]), f"THREAD#{self.channel}#{tag}#{attempt:04}"


def _key(fact: FactRecord, channel: str) -> str:
    return f"NOTICE#{channel}#{address(fact)}"
