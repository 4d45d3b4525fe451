"""The proof of an approval: stored next to it in the ledger, and verified again before anything is deployed.

The public page can write decisions, and DynamoDB's permissions cannot distinguish a real one from a forged one. But the
page cannot create a MAC. So each approval keeps its MAC, and `RecheckRelease` verifies it with KMS again:

- of a personal link: `RequestApproval` sent this approver a link for this request, and it was used
- of a channel's buttons: someone pressed one; Slack and the page say that it was the approver
- of the command line: whoever decided can use the stack's decision key, which no function can

A proof is worthless to anyone who reads it: it is valid for one approver of one request, who has already decided. No fact
contains it, and so no event, notice, log or evidence does.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from tagship.approval.errors import LinkInvalid
from tagship.approval.link import BUTTONS, MacChecker, MacMaker, Token, is_genuine, link_message
from tagship.model.people import person
from tagship.model.records import Decision

LINK, SLACK, COMMAND_LINE = "link", "slack", "command line"
PURPOSE = "command-line-approval/1"


@dataclass(frozen=True, slots=True, kw_only=True)
class Proof:
    """A MAC, and the part of its message that is not in the request."""

    kind: str
    mac: bytes = field(repr=False)
    key: str = ""
    """The short name of a link key."""
    expires: int = 0
    """For a link: seconds since 1970."""

    @classmethod
    def of_token(cls, kind: str, token: Token) -> Proof:
        """For a link, or for a channel's buttons."""
        return cls(kind=kind, mac=token.mac, key=token.key, expires=token.expires)

    @classmethod
    def read(cls, stored: Mapping[str, Any]) -> Proof | None:
        """From the ledger; None if it is invalid: anyone who can write the item can write anything."""
        try:
            return cls(
                kind=str(stored["kind"]),
                mac=bytes.fromhex(stored["mac"]),
                key=str(stored["key"]),
                expires=int(stored["expires"]),
            )
        except (KeyError, TypeError, ValueError, ArithmeticError):
            return None

    def stored(self) -> dict[str, str | int]:
        """For the ledger."""
        return {"kind": self.kind, "mac": self.mac.hex(), "key": self.key, "expires": self.expires}


@dataclass(frozen=True, slots=True, kw_only=True)
class Notary:
    """Verifies proofs; its role has only `kms:VerifyMac`."""

    kms: MacChecker
    link_keys: Mapping[str, str]
    """By their short names."""
    decision_key: str
    stage: str

    def vouches(self, proof: Proof | None, *, approval_id: str, digest: str, vote: Decision) -> bool:
        """Whether the MAC is genuine, and belongs to this approver's approval of this digest.

        Raises:
            AwsUnavailable: KMS throttled the call or could not be reached.
            CredentialsRefused: the role cannot use the key.
        """
        approver = str(vote["approver"])
        if proof is None:
            return False
        if proof.kind == COMMAND_LINE:
            key = self.decision_key
            identity = str(vote.get("identity") or "")
            message = _command_line_message(approval_id, approver, self.stage, digest, identity)
        elif proof.kind in (LINK, SLACK):
            key = self.link_keys.get(proof.key, "")
            whose = approver if proof.kind == LINK else BUTTONS
            message = link_message(approval_id, whose, self.stage, digest, proof.expires)
        else:
            return False
        try:
            return bool(key) and is_genuine(self.kms, key, message, proof.mac)
        except LinkInvalid:
            return False


def command_line_proof(
    kms: MacMaker, key: str, *, stage: str, approval_id: str, digest: str, approver: str, identity: str
) -> Proof:
    """Created by an identity that has `kms:GenerateMac` with the stack's decision key.

    Raises AwsUnavailable, and any other error of KMS unchanged.
    """
    from tagship.aws.calls import calling

    message = _command_line_message(approval_id, approver, stage, digest, identity)
    with calling(f"Proving the approval of {approver}"):
        answer = kms.generate_mac(KeyId=key, MacAlgorithm="HMAC_SHA_256", Message=message)
    return Proof(kind=COMMAND_LINE, mac=answer["Mac"])


def _command_line_message(approval_id: str, approver: str, stage: str, digest: str, identity: str) -> bytes:
    fields = {
        "purpose": PURPOSE,
        "approval": approval_id,
        "approver": person(approver),
        "stage": stage,
        "digest": digest,
        "identity": identity,
    }
    return json.dumps(fields, sort_keys=True, separators=(",", ":")).encode()
