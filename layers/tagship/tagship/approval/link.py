"""The personal link: a reference and a MAC, and no readable data.

KMS makes the MAC, so no function ever holds the key: the sender's role can only generate MACs, the page's only verify
them. It covers a canonical message of purpose, approval, approver, stage, digest and expiry. The token is 48 bytes in
64 characters of base64url; 48 divides by three, so there is no padding and there are no spare bits, and every character
matters.

    1 version | 4 key | 6 approver | 5 expiry, seconds since 1970 | 32 MAC
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Literal, Protocol

from tagship.approval.errors import LinkInvalid
from tagship.model.errors import CredentialsRefused, TagshipError
from tagship.model.people import person
from tagship.model.records import RequestRecord

PURPOSE = "approval-link/1"
BUTTONS = "the buttons in a channel"
"""Used instead of an approver: the token behind a channel's buttons opens no page. It proves that someone pressed one."""
GRACE = timedelta(days=7)
"""How long a link outlives its approval, so that late visitors see the outcome instead of "not valid"."""

_VERSION = 1
_TOKEN = re.compile(r"[A-Za-z0-9_-]{64}")
_ALGORITHM: Literal["HMAC_SHA_256"] = "HMAC_SHA_256"


class _NotGenuine(LinkInvalid):
    """KMS's error for a MAC of another key or message."""


_REFUSALS: dict[str, type[TagshipError]] = {
    "KMSInvalidMacException": _NotGenuine,
    # disabling a key invalidates its links
    "DisabledException": LinkInvalid,
    "KMSInvalidStateException": LinkInvalid,
    "NotFoundException": LinkInvalid,
    "AccessDeniedException": CredentialsRefused,
}


class MacMaker(Protocol):
    """The one KMS call that the sender of links needs."""

    def generate_mac(
        self, *, KeyId: str, MacAlgorithm: Literal["HMAC_SHA_256"], Message: bytes
    ) -> Mapping[str, Any]: ...


class MacChecker(Protocol):
    """The one KMS call that the page needs."""

    def verify_mac(
        self, *, KeyId: str, MacAlgorithm: Literal["HMAC_SHA_256"], Message: bytes, Mac: bytes
    ) -> Mapping[str, Any]: ...


@dataclass(frozen=True, slots=True)
class Token:
    """The content of a token; the MAC is excluded from any `repr` that may reach a log."""

    key: str
    approver: bytes
    expires: int
    mac: bytes

    def __repr__(self) -> str:
        return f"Token(key={self.key!r}, expires={self.expires})"

    @classmethod
    def parse(cls, text: str) -> Token:
        """Parses the only valid spelling of a token.

        Raises:
            LinkInvalid: it is anything else.
        """
        if not _TOKEN.fullmatch(text):
            raise LinkInvalid("malformed")
        raw = base64.urlsafe_b64decode(text)
        if raw[0] != _VERSION:
            raise LinkInvalid("malformed")
        return cls(key=raw[1:5].hex(), approver=raw[5:11], expires=int.from_bytes(raw[11:16]), mac=raw[16:])

    def __str__(self) -> str:
        head = bytes([_VERSION]) + bytes.fromhex(self.key) + self.approver + self.expires.to_bytes(5)
        return base64.urlsafe_b64encode(head + self.mac).decode()


def key_ref(key_id: str) -> str:
    """A key's short name in a link. It is the same for the key's id and its ARN, so each side may know either.

    Not for a key's alias in KMS: an alias can move to another key, and links would then name a key that did not sign
    them.
    """
    return hashlib.sha256(key_id.rpartition(":key/")[2].encode()).hexdigest()[:8]


def known_keys(*key_ids: str) -> dict[str, str]:
    """The keys whose links are accepted, by their short names: the current one first, then those whose links are still
    valid.
    """
    keys = {key_ref(key_id): key_id for key_id in key_ids}
    if len(keys) != len({key_id.rpartition(":key/")[2] for key_id in key_ids}):
        raise ValueError("two of these keys have the same short name; replace one of them")
    return keys


def approval_url(base_url: str, approval_id: str, token: str) -> str:
    """The address of an approver's link."""
    return f"{base_url.rstrip('/')}/approvals/{approval_id}?t={token}"


class LinkSigner:
    """Creates links; its role has only `kms:GenerateMac`."""

    def __init__(self, kms: MacMaker, key_id: str, *, stage: str) -> None:
        self._kms = kms
        self._key_id = key_id
        self._stage = stage

    def token(self, approval_id: str, approver: str, digest: str, expires_at: datetime) -> str:
        """The token of one approver's link. Let it outlive the approval by `GRACE`.

        Raises:
            AwsUnavailable: KMS throttled the call or could not be reached.
            CredentialsRefused: the role may not use the key.
        """
        expires = int(expires_at.timestamp())
        message = link_message(approval_id, approver, self._stage, digest, expires)
        from tagship.aws.calls import calling

        with calling(f"Signing a link for approval {approval_id}", AccessDeniedException=CredentialsRefused):
            answer = self._kms.generate_mac(KeyId=self._key_id, MacAlgorithm=_ALGORITHM, Message=message)
        reference = _approver_ref(approval_id, approver)
        return str(Token(key=key_ref(self._key_id), approver=reference, expires=expires, mac=answer["Mac"]))


class LinkVerifier:
    """Verifies links; its role has only `kms:VerifyMac`."""

    def __init__(self, kms: MacChecker, keys: Mapping[str, str], *, stage: str) -> None:
        self._kms = kms
        self._keys = keys
        self._stage = stage

    def verify(self, token: str, record: RequestRecord | None, now: datetime) -> str:
        """The approver of this link, in the record's spelling.

        A well-formed token costs one KMS call whether or not the approval or the approver exists, so that the response
        time reveals nothing.

        Raises:
            LinkInvalid: it is not this approval's, or no longer valid.
            AwsUnavailable: KMS throttled the call or could not be reached.
            CredentialsRefused: the role may not use the key.
        """
        return self._whose(token, record, now, record["approvers"] if record else ())

    def verify_buttons(self, token: str, record: RequestRecord, now: datetime) -> Token:
        """The token behind a channel's buttons. Raises as `verify` does."""
        self._whose(token, record, now, (BUTTONS,))
        return Token.parse(token)

    def _whose(self, token: str, record: RequestRecord | None, now: datetime, among: Iterable[str]) -> str:
        claim = Token.parse(token)
        key_id = self._keys.get(claim.key)
        if key_id is None:
            raise LinkInvalid("unknown key")
        approver = _approver_of(claim, record["id"], among) if record else None
        known = record or {"id": "", "digest": ""}
        message = link_message(known["id"], approver or "", self._stage, known["digest"], claim.expires)
        genuine = is_genuine(self._kms, key_id, message, claim.mac)
        if record is None:
            raise LinkInvalid("unknown approval")
        if approver is None:
            raise LinkInvalid("not an approver of this")
        if not genuine:
            raise LinkInvalid("altered")
        if record["stage"] != self._stage:
            raise LinkInvalid("another stage's")
        if now.timestamp() >= claim.expires:
            raise LinkInvalid("expired")
        return approver


def is_genuine(kms: MacChecker, key_id: str, message: bytes, mac: bytes) -> bool:
    """Whether this key made the MAC of this message.

    Raises:
        LinkInvalid: the key is out of use.
        AwsUnavailable: KMS throttled the call or could not be reached.
        CredentialsRefused: the role may not use the key.
    """
    from tagship.aws.calls import calling

    try:
        with calling("Checking an approval's link or other proof", **_REFUSALS):
            answer = kms.verify_mac(KeyId=key_id, MacAlgorithm=_ALGORITHM, Message=message, Mac=mac)
    except _NotGenuine:
        return False
    return answer.get("MacValid") is True


def link_message(approval_id: str, approver: str, stage: str, digest: str, expires: int) -> bytes:
    """The canonical form that is signed: JSON with sorted keys, so that no field can run into the next one."""
    fields = {
        "purpose": PURPOSE,
        "approval": approval_id,
        "approver": person(approver),
        "stage": stage,
        "digest": digest,
        "expires": expires,
    }
    return json.dumps(fields, sort_keys=True, separators=(",", ":")).encode()


def _approver_ref(approval_id: str, approver: str) -> bytes:
    """Six bytes that identify one approver of one approval and reveal nothing about the mailbox."""
    return hashlib.sha256(json.dumps(["approver-ref/1", approval_id, person(approver)]).encode()).digest()[:6]


def _approver_of(claim: Token, approval_id: str, among: Iterable[str]) -> str | None:
    return next(
        (approver for approver in among if _approver_ref(approval_id, approver) == claim.approver), None
    )
