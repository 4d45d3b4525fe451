"""The page's view of the ledger."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from tagship.approval.quorum import Record, outcome
from tagship.ledger import approvals
from tagship.ledger.table import Fact, Ledger, timestamp


@dataclass(frozen=True, slots=True)
class Decided:
    """A decision that was written, in the request as it stands now."""

    record: Record


@dataclass(frozen=True, slots=True, kw_only=True)
class LedgerStore:
    """Reads requests, writes decisions, and keeps in the audit who came with a link that is not valid."""

    ledger: Ledger
    now: Callable[[], datetime]
    log: Any

    def get(self, approval_id: str, /) -> Record | None:
        """The request, read consistently."""
        return approvals.get(self.ledger, approval_id)

    def decide(
        self,
        approval_id: str,
        /,
        *,
        approver: str,
        decision: Literal["approve", "reject"],
        reason: str,
        identity: str = "",
    ) -> Decided:
        """One conditional write; raises AlreadyDecided, ApprovalClosed, ApprovalExpired."""
        return Decided(
            approvals.decide(
                self.ledger,
                approval_id,
                approver=approver,
                decision=decision,
                reason=reason,
                judge=outcome,
                identity=identity,
            )
        )

    def refused(self, approval_id: str, reason: str, source_ip: str, /) -> None:
        """A line in the log always; a fact once a minute for each reason, so that a guesser can't flood the ledger."""
        self.log.warning(
            "A link was refused: %s", reason, extra={"approval": approval_id, "source": source_ip}
        )
        record = approvals.get(self.ledger, approval_id)
        if record is None:
            return
        fact = Fact(
            application=record["application"],
            tag=record["tag"],
            attempt=record["attempt"],
            name="Link Refused",
            key=f"{timestamp(self.now())[:16]} {reason}",
            who=source_ip,
            execution=record["execution"],
            data={"approval": approval_id, "reason": reason},
        )
        self.ledger.record(fact)
