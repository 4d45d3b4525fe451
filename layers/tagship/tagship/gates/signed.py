"""Verifies a signature over a SHA-256 with KMS. Not a gate itself: two gates use it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from botocore.exceptions import ClientError

from tagship.aws.calls import calling, code_of, message_of
from tagship.model.application import Promotion, Signature
from tagship.model.release import PinnedObject

if TYPE_CHECKING:
    from mypy_boto3_kms import KMSClient
    from mypy_boto3_s3 import S3Client

_BYTES = 1024
"""An RSA signature of 4096 bits has 512 bytes, one by ECDSA at most 72."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """Why a signature is not valid, and what to do."""

    why: str
    remedy: str


def refusal(
    s3: S3Client,
    kms: KMSClient,
    *,
    of: str,
    signature: PinnedObject,
    digest: str,
    rules: Signature | Promotion,
) -> Refusal | None:
    """None for a valid signature by the configured key over `digest` (SHA-256 in hexadecimal); `of` is the file's name.

    Raises AwsUnavailable if S3 or KMS is unavailable.
    """
    if not 0 < signature.size <= _BYTES:
        return Refusal(
            why=f"{of}.sig is not a signature: it has {signature.size} bytes.",
            remedy="Upload the raw signature, as --sign does. Then publish a new tag.",
        )
    with calling(f"Reading {signature.key}"):
        body = s3.get_object(Bucket=signature.bucket, Key=signature.key, VersionId=signature.versionId)[
            "Body"
        ]
        raw = b"".join(body.iter_chunks(_BYTES))
    try:
        with calling(f"Verifying {signature.key} with {rules.key}"):
            answer = kms.verify(
                KeyId=rules.key,
                Message=bytes.fromhex(digest),
                MessageType="DIGEST",
                Signature=raw,
                SigningAlgorithm=rules.algorithm,
            )
    except ClientError as error:
        known = _REFUSALS.get(code_of(error))
        if known is None:
            raise
        why, remedy = known
        details = {"of": of, "key": rules.key, "algorithm": rules.algorithm, "aws": message_of(error)}
        return Refusal(why=why.format(**details), remedy=remedy.format(**details))
    if answer.get("SignatureValid") is not True:
        why, remedy = _REFUSALS["KMSInvalidSignatureException"]
        return Refusal(why=why.format(of=of, key=rules.key, algorithm=rules.algorithm), remedy=remedy)
    return None


_CONFIGURED = "Name a key that exists, is enabled and can sign with {algorithm}. Then retry the release."
_REFUSALS = {
    "KMSInvalidSignatureException": (
        "{of}.sig is not a signature of this {of} by {key} with {algorithm}.",
        "Sign with that key and algorithm, then publish a new tag. If both are right, find out who wrote the file.",
    ),
    "NotFoundException": ("Key {key} does not exist.", _CONFIGURED),
    "DisabledException": ("Key {key} is disabled.", _CONFIGURED),
    "KMSInvalidStateException": ("Key {key} cannot be used in its current state: {aws}", _CONFIGURED),
    "InvalidKeyUsageException": ("Key {key} cannot sign with {algorithm}: {aws}", _CONFIGURED),
    "UnsupportedOperationException": ("Key {key} cannot sign with {algorithm}: {aws}", _CONFIGURED),
    "ValidationException": ("Key {key} cannot sign with {algorithm}: {aws}", _CONFIGURED),
    "AccessDeniedException": (
        "The gate is not allowed to use key {key}: {aws}",
        "Allow kms:Verify for this stack's account in the key's policy. Then retry the release.",
    ),
}
"""By AWS's error code: what a person can fix. Any other error is raised unchanged, and counts as not passed."""
