"""integrity: every artifact, in its pinned version, has the size and SHA-256 that the manifest states.

If the uploader sent a checksum for the whole object in one PUT, S3 returns it without a download. A multipart upload's
SHA-256 is a digest of digests (`COMPOSITE`), so such an object is read and hashed, with constant memory.
"""

from __future__ import annotations

import base64
import hashlib
from typing import TYPE_CHECKING

from tagship.aws.calls import calling
from tagship.gates.gate import Case, Gate, GateResult, failed, passed, unanswered
from tagship.model.release import Artifact, PinnedObject

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

_NAME = "integrity"
_REMEDY = (
    "Publish the same files under a new tag. If it happens again, check who can write to the release bucket."
)
_CHUNK = 1024 * 1024


def check(case: Case) -> GateResult:
    """Checks every artifact, and reports the first that differs.

    Raises AwsUnavailable if S3 is unavailable.
    """
    if case.manifest is None:
        return unanswered(_NAME)
    s3 = case.client("s3")
    read = 0
    for artifact in case.manifest.artifacts:
        pinned = case.objects.get(artifact.file)
        if pinned is None:
            return failed(_NAME, f"{artifact.file} is missing.", _REMEDY, cause="manifest")
        if pinned.size != artifact.size:
            return failed(
                _NAME, f"{artifact.file} has {pinned.size} bytes; the manifest says {artifact.size}.", _REMEDY
            )
        digest = _stored_digest(s3, pinned)
        if digest is None:
            digest = _read_digest(s3, pinned)
            read += 1
        if digest != artifact.sha256:
            return failed(_NAME, _differs(artifact, digest), _REMEDY)
    count = len(case.manifest.artifacts)
    how = "from S3's checksum" if not read else f"{read} of {count} read in full"
    return passed(_NAME, f"Size and SHA-256 of {count} artifact{'s' if count > 1 else ''} match ({how}).")


def _stored_digest(s3: S3Client, pinned: PinnedObject) -> str | None:
    with calling(f"Asking S3 for the checksum of {pinned.key}"):
        answer = s3.get_object_attributes(
            Bucket=pinned.bucket, Key=pinned.key, VersionId=pinned.versionId, ObjectAttributes=["Checksum"]
        )
    checksum = answer.get("Checksum", {})
    stored = checksum.get("ChecksumSHA256")
    if not stored or "-" in stored or checksum.get("ChecksumType", "FULL_OBJECT") != "FULL_OBJECT":
        return None
    return base64.b64decode(stored).hex()


def _read_digest(s3: S3Client, pinned: PinnedObject) -> str:
    digest = hashlib.sha256()
    with calling(f"Reading {pinned.key}"):
        body = s3.get_object(Bucket=pinned.bucket, Key=pinned.key, VersionId=pinned.versionId)["Body"]
        for chunk in body.iter_chunks(_CHUNK):
            digest.update(chunk)
    return digest.hexdigest()


def _differs(artifact: Artifact, digest: str) -> str:
    return f"{artifact.file} has SHA-256 {digest}; the manifest says {artifact.sha256}."


GATE = Gate(name=_NAME, check=check, shares=True, reads_artifacts=True)
