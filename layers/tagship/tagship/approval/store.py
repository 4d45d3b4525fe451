"""The ledger, as the approval page uses it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal

from tagship.approval.asking import judged_by, request_now
from tagship.approval.errors import TooManyRequests
from tagship.approval.proof import Proof
from tagship.ledger import approvals, groups, visits
from tagship.ledger.table import Ledger
from tagship.model.facts import FactKind
from tagship.model.people import person
from tagship.model.records import RequestRecord

FORMS_A_MINUTE = 20
"""The limit for one link from one address. A person sends one form, or two."""
REFUSED_A_MINUTE = 30
"""The limit of invalid links from one address. A person has one, and tries it a few times."""


@dataclass(frozen=True, slots=True)
class Decided:
    """A recorded decision, and the request as it stands now."""

    record: RequestRecord


@dataclass(frozen=True, slots=True, kw_only=True)
class LedgerStore:
    """Reads requests, writes decisions, and records invalid links in the audit trail."""

    ledger: Ledger
    now: Callable[[], datetime]
    log: Any
    allowance: visits.Allowance = field(default_factory=visits.Allowance)
    """The number of unsigned presses that this process may still record."""

    def get(self, approval_id: str, /) -> RequestRecord | None:
        """The request, read consistently, without people who have left their group since the request was sent."""
        return request_now(self.ledger, approval_id, decides=True)

    def decide(
        self,
        approval_id: str,
        /,
        *,
        approver: str,
        decision: Literal["approve", "reject"],
        reason: str,
        identity: str = "",
        proof: Proof | None = None,
    ) -> Decided:
        """Records the decision in one conditional write. Raises AlreadyDecided, ApprovalClosed, ApprovalExpired."""
        decided = approvals.decide(
            self.ledger,
            approval_id,
            approver=approver,
            decision=decision,
            reason=reason,
            judge=judged_by(self.ledger),
            identity=identity,
            proof=proof.stored() if proof and decision == "approve" else None,
        )
        return Decided(groups.as_they_are(self.ledger, decided))

    def sent(self, approval_id: str, approver: str, source_ip: str, /) -> None:
        """Counts by link and address, so that one visitor can't use up the limit of another link or address.

        Raises TooManyRequests beyond `FORMS_A_MINUTE`.
        """
        now = self.now()
        if visits.forms(self.ledger, approval_id, person(approver), source_ip, now=now) > FORMS_A_MINUTE:
            raise TooManyRequests(retry_after=60 - now.second)

    def refused(self, approval_id: str, reason: str, source_ip: str, /) -> None:
        """Counts every refused link. The 1st, 10th, 100th … for the same reason writes a fact with the count.

        So 10,000 altered links are five facts, and none is lost.

        Raises TooManyRequests beyond `REFUSED_A_MINUTE` from one address.
        """
        now = self.now()
        if visits.bad_links(self.ledger, source_ip, now=now) > REFUSED_A_MINUTE:
            self._book(approval_id, "too many from one address", source_ip)
            raise TooManyRequests(retry_after=60 - now.second)
        self.log.warning(
            "A link was refused: %s", reason, extra={"approval": approval_id, "source": source_ip}
        )
        self._book(approval_id, reason, source_ip)

    def unsigned(self, approval_id: str, reason: str, source_ip: str, /) -> None:
        """Counts like an invalid link, but with one limit a minute for all addresses, because presses come from Slack's
        addresses.

        A press beyond the limit costs no write; only a log line reports it.
        """
        self.log.warning(
            "A press was refused: %s", reason, extra={"approval": approval_id, "source": source_ip}
        )
        if self.allowance.takes(self.now()):
            self._book(approval_id, reason, source_ip)

    def _book(self, approval_id: str, reason: str, source_ip: str) -> None:
        record = approvals.get(self.ledger, approval_id)
        if record is None:
            return
        count = visits.refused(self.ledger, approval_id, reason)
        if str(count).strip("0") == "1":
            self.ledger.record(
                approvals.fact_of(
                    record,
                    FactKind.LINK_REFUSED,
                    key=f"{reason} {count}",
                    who=source_ip,
                    data={"reason": reason, "count": count},
                )
            )
