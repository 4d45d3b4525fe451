"""Which channel has accepted which fact, so that a retried notice is not sent twice, and the thread of each release's
notices.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, cast

from tagship.ledger import releases
from tagship.ledger.table import Ledger, Refused, application_key, timestamp
from tagship.model.records import FactRecord

_FACT = "FACT#"
OPENING_SECONDS = 20
"""How long one sender may take to open a thread: longer than one attempt to reach a channel."""


def address(fact: FactRecord) -> str:
    """The position of a fact of the stream among its application's, for `fact_at`."""
    return str(fact["sk"])


def read_ahead(ledger: Ledger, application: str, address: str, channel: str) -> None:
    """Reads with one request the fact at an address, its release, and whether this channel has accepted it."""
    tag = address.split("#")[1] if address.startswith(_FACT) else ""
    releases.read_ahead(ledger, application, tag, address, _notice_key(address, channel))


def fact_at(ledger: Ledger, application: str, address: str) -> FactRecord | None:
    """The fact at an address in the table, as a message contains it."""
    return cast("FactRecord | None", ledger.get(application_key(application), address))


def was_sent(ledger: Ledger, fact: FactRecord, channel: str) -> bool:
    """Whether this channel has accepted this fact before."""
    return ledger.get(application_key(fact["application"]), _key(fact, channel)) is not None


def record_sent(ledger: Ledger, fact: FactRecord, channel: str) -> None:
    """Records that the channel has accepted it; a second call changes nothing."""
    change = ledger.update(
        application_key(fact["application"]),
        _key(fact, channel),
        only_if="attribute_not_exists(pk)",
        kind="notice",
        at=fact["at"],
    )
    with suppress(Refused):  # it is recorded already
        ledger.write(change)


@dataclass(frozen=True, slots=True, kw_only=True)
class Thread:
    """The thread of an attempt's notices in one channel: the first message's own name there."""

    ledger: Ledger
    release: Mapping[str, Any]
    """Its application, tag and attempt; every fact has them too."""
    channel: str
    """The channel, if there are several on one service."""

    def name(self) -> str:
        """Empty before there is one."""
        item = self.ledger.get(*self._place())
        return str(item.get("thread", "")) if item else ""

    def taken(self) -> bool:
        """Whether the caller may open the thread; until that expires, nobody else may."""
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
        """Stores the thread's name, unless there is one. Without a name, the next sender may open the thread at once."""
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
    return _notice_key(address(fact), channel)


def _notice_key(address: str, channel: str) -> str:
    return f"NOTICE#{channel}#{address}"
