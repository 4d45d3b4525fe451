"""How often somebody came to the approval page: counters, and the only items that are ever forgotten."""

from __future__ import annotations

import hashlib
from datetime import datetime

from tagship.ledger.table import Ledger

_KEPT_SECONDS = 3600


def this_minute(ledger: Ledger, what: str, *, now: datetime) -> int:
    """How often this has been counted in this minute, this time included. DynamoDB forgets the item after an hour."""
    kept_until = int(now.timestamp()) + _KEPT_SECONDS
    name = hashlib.sha256(what.encode()).hexdigest()[:32]
    return ledger.count(f"VISITS#{name}", _minute(now), kept_until=kept_until)


def refused(ledger: Ledger, approval_id: str, reason: str) -> int:
    """How often links of this approval were refused for this reason, this time included; kept with the approval."""
    return ledger.count(f"APPROVAL#{approval_id}", f"REFUSED#{reason}")


def _minute(now: datetime) -> str:
    return now.strftime("%Y-%m-%dT%H:%M")
