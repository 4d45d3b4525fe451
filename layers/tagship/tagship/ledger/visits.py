"""Counts visits to the approval page.

Nothing in the table is ever deleted, so the counters are bounded instead: each restarts every minute, and addresses share
them by the beginning of their digest. Addresses that share a counter are counted together, but nobody loses a decision:
bad links of an address use one of 65,536 counters, and forms are counted with the link that they came on.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import datetime
from ipaddress import IPv4Address, ip_address, ip_network

from tagship.ledger.table import Ledger


def bad_links(ledger: Ledger, source_ip: str, *, now: datetime) -> int:
    """The number of visits from this address in this minute, including this one."""
    return ledger.count(f"VISITS#{_digest(_caller(source_ip), 4)}", "REFUSED", period=_minute(now))


def forms(ledger: Ledger, approval_id: str, approver: str, source_ip: str, *, now: datetime) -> int:
    """The number of forms on this approver's link from this address in this minute, including this one."""
    key = f"FORMS#{_digest(approver, 12)}#{_digest(_caller(source_ip), 2)}"
    return ledger.count(f"APPROVAL#{approval_id}", key, period=_minute(now), seldom=True)


def refused(ledger: Ledger, approval_id: str, reason: str) -> int:
    """How often links of this approval were refused for this reason, in total, including this time.

    Not in the approval's own partition: requests that anyone can send must not slow down an approver's decision.
    """
    return ledger.count(f"REFUSALS#{approval_id}", f"REFUSED#{reason}")


@dataclass(slots=True, kw_only=True)
class Allowance:
    """A limit per minute for one process; it restarts every minute."""

    a_minute: int = 30
    _minute: str = ""
    _taken: int = 0

    def takes(self, now: datetime) -> bool:
        """Whether this one is within the limit."""
        if self._minute != _minute(now):
            self._minute, self._taken = _minute(now), 0
        self._taken += 1
        return self._taken <= self.a_minute


def _caller(source_ip: str) -> str:
    """The address; for IPv6 its /64, because one machine has a whole /64 (RFC 4291, section 2.5.4)."""
    try:
        found = ip_address(source_ip)
    except ValueError:
        return source_ip
    if isinstance(found, IPv4Address) or found.ipv4_mapped:
        return source_ip
    return str(ip_network((found, 64), strict=False))


def _minute(now: datetime) -> str:
    return now.strftime("%Y-%m-%dT%H:%M")


def _digest(text: str, characters: int) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:characters]
