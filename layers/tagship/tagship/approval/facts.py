"""What this room says of a request in the ledger."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

from tagship.ledger.table import Fact
from tagship.model.facts import FactKind
from tagship.model.records import RequestRecord

CHANNEL = "the channel"
"""Whom a message went to that is for all."""


def failure(request: RequestRecord, *, channel: str, failed: Mapping[str, str]) -> Fact:
    """The fact that a message about an approval was not taken."""
    key = hashlib.sha256(repr((channel, sorted(failed.items()))).encode()).hexdigest()[:12]
    return fact_of(
        request, FactKind.APPROVAL_ERROR, key=key, data={"channel": channel, "failed": dict(failed)}
    )


def fact_of(
    request: RequestRecord, name: FactKind, *, key: str, data: Mapping[str, object], who: str = "tagship"
) -> Fact:
    """A fact about a request; `key` sets it apart from others of its name."""
    return Fact(
        application=request["application"],
        tag=request["tag"],
        attempt=request["attempt"],
        name=name,
        key=key,
        who=who,
        execution=request["execution"],
        data={"approval": request["id"], **data},
    )
