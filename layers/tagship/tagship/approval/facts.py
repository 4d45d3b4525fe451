"""The facts that this room writes about a request."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

from tagship.ledger.approvals import fact_of
from tagship.ledger.table import Fact
from tagship.model.facts import FactKind
from tagship.model.records import RequestRecord

CHANNEL = "the channel"
"""The recipient of a message that is for everyone."""


def failure(request: RequestRecord, *, channel: str, failed: Mapping[str, str]) -> Fact:
    """The fact that a message about an approval was not accepted."""
    key = hashlib.sha256(repr((channel, sorted(failed.items()))).encode()).hexdigest()[:12]
    return fact_of(
        request, FactKind.APPROVAL_ERROR, key=key, data={"channel": channel, "failed": dict(failed)}
    )
