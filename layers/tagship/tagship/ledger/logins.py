"""Sign-ins of approvers: one fact for each, and the session that begins with it."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from tagship.ledger.table import Fact, Item, Ledger, Refused, approval_key, timestamp
from tagship.model.facts import FactKind


def get(ledger: Ledger, approval_id: str, session: str) -> Item | None:
    """A session with the hash of its cookie's secret, expired or not."""
    return ledger.get(approval_key(approval_id), f"LOGIN#{session}")


def opened(
    ledger: Ledger,
    approval: Mapping[str, Any],
    *,
    session: str,
    secret: str,
    approver: str,
    identity: str,
    until: datetime,
) -> bool:
    """Opens a session and thereby uses up the sign-in that it is named after; False if that was used before.

    `secret` is already hashed; `identity` is the provider's name for the person.
    """
    fact = Fact(
        application=approval["application"],
        tag=approval["tag"],
        attempt=approval["attempt"],
        name=FactKind.APPROVER_SIGNED_IN,
        key=session,
        who=approver,
        execution=str(approval.get("execution", "")),
        data={"approval": approval["id"], "identity": identity},
    )
    item = {
        "pk": approval_key(approval["id"]),
        "sk": f"LOGIN#{session}",
        "kind": "login",
        "approver": approver,
        "identity": identity,
        "secret": secret,
        "until": timestamp(until),
    }
    try:
        return ledger.record(fact, ledger.put(item, only_if="attribute_not_exists(pk)"))
    except Refused:
        return False
