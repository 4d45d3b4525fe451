"""Decides from the command line: the same rules, the same write and the same delivery as on the approval page."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

import click

from tagship.approval.asking import judged_by, request_now
from tagship.approval.identity import address_of, identity_of
from tagship.approval.proof import command_line_proof
from tagship.approval.quorum import decision_of, is_author, voters
from tagship.approval.request.delivery import deliver
from tagship.ledger import approvals, releases
from tagship.model.errors import (
    AlreadyDecided,
    ApprovalClosed,
    ApprovalExpired,
    AwsUnavailable,
    IdentityUnproven,
    TokenDead,
)
from tagship.model.people import is_claimed, person
from tagship.model.records import ReleaseRecord, RequestRecord
from tagship.text.words import listed
from tagship_cli.failures import AwsRefused, Failed, trying
from tagship_cli.place import Place

Decision = Literal["approve", "reject"]
PAST = {"approve": "approved", "reject": "rejected"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Caller:
    """The caller's identity, according to AWS."""

    arn: str
    address: str
    """The mail address in the role session's or user's name; empty if it is not one."""
    vouched: tuple[str, ...] = ()
    """Patterns of further identities whose names this stage trusts."""

    def identity(self, approver: str) -> str:
        """The identity that is recorded with the decision."""
        return identity_of(self.arn, approver, self.vouched)

    def proves(self, approver: str) -> bool:
        """Whether AWS confirms that the caller is this approver."""
        return not is_claimed(self.identity(approver))


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """A decision in the ledger."""

    request: RequestRecord
    approver: str
    caller: Caller
    again: bool
    """Whether the same person had made the same decision before."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ballot:
    """An open request, and the person who decides."""

    place: Place
    record: ReleaseRecord
    request: RequestRecord
    approver: str
    caller: Caller

    @classmethod
    def of(cls, place: Place, application: str, tag: str, *, claimed: str | None) -> Ballot:
        """Raises Failed if the release waits for nobody, or not for this person."""
        with trying(f"Reading the ledger of {place.stage}"):
            record = releases.get(place.ledger, application, tag)
            request = request_now(place.ledger, record["approval"]) if record.get("approval") else None
        if request is None:
            raise Failed(_not_asked(record))
        caller = replace(whoami(place), vouched=tuple(place.listed("ApproverIdentities")))
        return cls(
            place=place,
            record=record,
            request=request,
            approver=_voter(request, _address(caller, claimed)),
            caller=caller,
        )

    @property
    def title(self) -> str:
        """`storefront v1.4.0`."""
        return f"{self.record['application']} {self.record['tag']}"

    @property
    def own(self) -> str:
        """This person's earlier decision, or empty."""
        entry = decision_of(self.request, self.approver)
        return str(entry["decision"]) if entry else ""

    def refuse_if_settled(self, decision: Decision) -> None:
        """Raises Failed if the request is closed, or if this person decided differently before."""
        if self.own == decision:
            return
        if self.own:
            raise Failed(
                f"{self.approver} has already {PAST[self.own]} {self.title}, and a decision can't be "
                f"changed. Nothing was changed."
            )
        if self.request["status"] != approvals.OPEN:
            raise Failed(self._closed())

    def refuse_unless_proven(self, decision: Decision) -> None:
        """Raises Failed for an approval in production by someone whose identity AWS does not confirm."""
        if decision != "approve" or self.place.stage != "production" or self.caller.proves(self.approver):
            return
        raise Failed(
            f"AWS does not prove that you are {self.approver}. You are {self.caller.arn}, and anyone who "
            f"can assume a role chooses the session name. Nothing was changed.\n"
            "Approve on the page that your mail links to, use an IAM Identity Center identity, or ask the "
            "stack's owner to add yours to the parameter ApproverIdentities."
        )

    def decide(self, decision: Decision, reason: str) -> Outcome:
        """Records it and delivers it to the waiting execution.

        Raises Failed if it is too late, AwsRefused if the execution could not be notified.
        """
        self.refuse_if_settled(decision)
        self.refuse_unless_proven(decision)
        request = self.request if self.own else self._recorded(decision, reason)
        self._deliver()
        return Outcome(request=request, approver=self.approver, caller=self.caller, again=bool(self.own))

    def _recorded(self, decision: Decision, reason: str) -> RequestRecord:
        self._refuse_if_dead()
        proof = self._proof() if decision == "approve" else None
        with trying(f"Recording the decision on {self.title}"):
            try:
                return approvals.decide(
                    self.place.ledger,
                    self.request["id"],
                    approver=self.approver,
                    decision=decision,
                    reason=reason,
                    judge=judged_by(self.place.ledger),
                    identity=self.caller.identity(self.approver),
                    proof=proof,
                )
            except ApprovalExpired as error:
                raise Failed(f"{self.title}: the approval request expired. Nothing was changed.") from error
            except AlreadyDecided as error:
                raise Failed(f"{self.title}: {error} Nothing was changed.") from error
            except ApprovalClosed as error:
                raise Failed(self._closed()) from error
            except IdentityUnproven as error:
                raise Failed(str(error)) from error

    def _proof(self) -> dict[str, str | int]:
        """Created with the stack's decision key: without it, `RecheckRelease` would not count the approval."""
        with trying(f"Proving the approval of {self.title}. Nothing was changed"):
            return command_line_proof(
                self.place.client("kms"),
                self.place.output("DecisionKeyArn"),
                stage=self.place.stage,
                approval_id=self.request["id"],
                digest=self.request["digest"],
                approver=self.approver,
                identity=self.caller.identity(self.approver),
            ).stored()

    def _refuse_if_dead(self) -> None:
        """A decision that no execution receives would record an approval without a deployment."""
        with trying(f"Looking at the execution of {self.title}"):
            states = self.place.client("stepfunctions")
            known = states.describe_execution(executionArn=self.request["execution"])
        if known["status"] != "RUNNING":
            raise Failed(
                f"The execution of {self.title} is no longer running ({known['status']}): the decision would "
                "have no effect. Nothing was changed."
            )

    def _deliver(self) -> None:
        with trying(f"The decision on {self.title} is recorded. Sending it to the execution"):
            try:
                deliver(self.place.ledger, self.place.client("stepfunctions"), self.request["id"])
            except TokenDead:
                return  # it is between two waits, and finds the decision in the ledger at its next call
            except AwsUnavailable as error:
                raise AwsRefused(
                    f"{error}\nThe decision on {self.title} is recorded. Run the same command again to send "
                    f"it to the execution."
                ) from error

    def _closed(self) -> str:
        now = approvals.get(self.place.ledger, self.request["id"]) or self.request
        by = [entry["approver"] for entry in now["decisions"]]
        who = f" by {listed(by)}" if now["status"] in ("APPROVED", "REJECTED") and by else ""
        return f"{self.title} is already {now['status'].lower()}{who}, so nobody can decide on it. Nothing was changed."


def whoami(place: Place) -> Caller:
    """The identity of the person who runs this command."""
    with trying("Looking up your AWS identity"):
        arn = str(place.client("sts").get_caller_identity()["Arn"])
    return Caller(arn=arn, address=address_of(arn))


def _address(caller: Caller, claimed: str | None) -> str:
    """Raises click's UsageError if it is unknown, or if someone whose identity contains an address claims another one."""
    if claimed and caller.address and person(claimed) != person(caller.address):
        raise click.UsageError(
            f"You are signed in as {caller.address}, so you can't decide as {claimed}. Nothing was changed."
        )
    address = claimed or caller.address
    if not address:
        raise click.UsageError(
            f"You are {caller.arn}, which contains no mail address. Name your approver address with --as."
        )
    return address


def _voter(request: RequestRecord, address: str) -> str:
    """The approver as the request spells them: one person has one vote.

    Raises Failed for someone who was not asked, and for the author.
    """
    title = f"{request['application']} {request['tag']}"
    counting = voters(request)
    voter = next((each for each in counting if person(each) == person(address)), None)
    if voter is not None:
        return voter
    if is_author(request, address):
        raise Failed(
            f"{address} is the author of {title}, and the author can't decide on it. Nothing was "
            f"changed.\nThese approvers can: {listed(counting)}."
        )
    if any(person(who) == person(address) for who in request.get("left") or ()):
        raise Failed(
            f"{address} left the group whose members approve {title}, so the decision no longer counts. Nothing was "
            f"changed.\nThese approvers can: {listed(counting)}."
        )
    raise Failed(
        f"{address} is not an approver of {title}. Nothing was changed.\nThe approvers are {listed(counting)}."
    )


def _not_asked(record: ReleaseRecord) -> str:
    title = f"{record['application']} {record['tag']}"
    if record["status"] == "RUNNING":
        phase = record.get("phase", "beginning")
        return f"{title} is not waiting for approval yet; its current phase is {phase}. Nothing was changed."
    return f"{title} ended {record['status']} before approval was requested. Nothing was changed."
