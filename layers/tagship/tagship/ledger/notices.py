"""What was told to whom: so that a notice which is tried again is not told again, and a release's notices stay together."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from tagship.ledger.table import Item, Ledger, Refused, application_key


def address(fact: Mapping[str, Any]) -> str:
    """Where a fact of the stream stands among its application's, for `fact_at`."""
    return str(fact["sk"])


def fact_at(ledger: Ledger, application: str, address: str) -> Item | None:
    """The fact that stands at an address of the table, as a message names it."""
    return ledger.get(application_key(application), address)


def was_told(ledger: Ledger, fact: Mapping[str, Any], channel: str) -> bool:
    """Whether this channel has taken this fact before."""
    return ledger.get(application_key(fact["application"]), _key(fact, channel)) is not None


def told(ledger: Ledger, fact: Mapping[str, Any], channel: str) -> None:
    """Writes that the channel has taken it; a second time changes nothing."""
    _once(ledger, fact["application"], _key(fact, channel), at=fact["at"])


def thread(ledger: Ledger, fact: Mapping[str, Any], channel: str) -> str:
    """What holds a release's notices in this channel together: the first one's own name there; empty before there is one."""
    item = ledger.get(application_key(fact["application"]), _thread_key(fact, channel))
    return str(item["thread"]) if item else ""


def begin_thread(ledger: Ledger, fact: Mapping[str, Any], channel: str, name: str) -> None:
    """Keeps the first one's name; the one that stands, stands."""
    _once(ledger, fact["application"], _thread_key(fact, channel), thread=name)


def _once(ledger: Ledger, application: str, key: str, **attributes: Any) -> None:
    change = ledger.update(
        application_key(application), key, only_if="attribute_not_exists(pk)", kind="notice", **attributes
    )
    with suppress(Refused):  # it stands already
        ledger.write(change)


def _key(fact: Mapping[str, Any], channel: str) -> str:
    return f"NOTICE#{channel}#{address(fact)}"


def _thread_key(fact: Mapping[str, Any], channel: str) -> str:
    return f"THREAD#{channel}#{fact['tag']}#{fact['attempt']:04}"
