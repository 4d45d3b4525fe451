"""Copies a release's bytes to the next stage's bucket: each artifact once, and release.json last.

Every object is written with If-None-Match, so nothing is ever overwritten: the second writer finds the first one's
object.
"""

from __future__ import annotations

import hashlib
import tempfile
from base64 import b64encode
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import IO, TYPE_CHECKING

from botocore.exceptions import ClientError

from tagship.aws.calls import calling, code_of
from tagship.aws.rights import Right
from tagship.gates import statement
from tagship.gates.reading import Unreadable
from tagship.gates.statement import Statement
from tagship.model.application import Promote
from tagship.model.errors import AwsUnavailable
from tagship.model.records import ReleaseRecord, manifest_of
from tagship.model.release import (
    MANIFEST,
    PROMOTION,
    PROMOTION_SIGNATURE,
    SIGNATURE,
    Manifest,
    PinnedObject,
    folder_of,
)

if TYPE_CHECKING:
    from mypy_boto3_kms import KMSClient
    from mypy_boto3_s3 import S3Client

MOST_BYTES = 450 * 1024**2
"""The size limit of one artifact in bytes. It passes through the function's /tmp, which has 512 MB."""
_CHUNK = 1024 * 1024
_SMALL = 1024 * 1024
"""More bytes than a release.json or a promotion can have. A larger object there is a different one, and is not read
whole."""
_EXISTS = ("PreconditionFailed", "412")
_NOT_THERE = ("404", "NoSuchKey", "NotFound", "403", "AccessDenied", "Forbidden")
"""S3 answers 403 instead of 404 to a role without s3:ListBucket, so both may mean that nothing is there. The PUT decides."""


class NotPromoted(Exception):
    """It can't be promoted, and a retry won't help; the message says why."""


def rights(promote: Promote, record: ReleaseRecord) -> tuple[Right, ...]:
    """The permissions of the session in the next stage: write this one release, read what exists, and sign with a key."""
    partition = promote.role.split(":")[1]
    folder = folder_of(record["application"], record["tag"])
    upload = Right(
        name="UploadOneRelease",
        actions=("s3:PutObject", "s3:GetObject"),
        on=(f"arn:{partition}:s3:::{promote.bucket}/{folder}*",),
    )
    sign = Right(
        name="SignPromotion",
        actions=("kms:Sign",),
        on=(f"arn:{partition}:kms:{promote.region}:{promote.account}:key/*",),
    )
    return (upload, sign) if promote.key else (upload,)


@dataclass(frozen=True, slots=True, kw_only=True)
class Handover:
    """One release, from the bucket of its stage to the bucket of the next."""

    record: ReleaseRecord
    promote: Promote
    source: S3Client
    destination: S3Client
    kms: KMSClient
    """The bucket of the next stage."""

    @property
    def address(self) -> str:
        """The destination's address."""
        return f"s3://{self.promote.bucket}/{self._folder}"

    def arrived(self) -> bool:
        """Whether exactly this release.json exists there. Raises NotPromoted if there is another one, AwsUnavailable."""
        there = self._there(MANIFEST)
        if there is not None and hashlib.sha256(there).hexdigest() != self.record["digest"]:
            raise NotPromoted(
                f"the tag was already published in {self.promote.to}, with a different {MANIFEST}"
            )
        return there is not None

    def prepare(self, *, now: datetime) -> None:
        """Copies everything that is missing, except release.json. Raises NotPromoted, AwsUnavailable."""
        manifest = Manifest.from_dict(manifest_of(self.record))
        for artifact in manifest.artifacts:
            if artifact.size > MOST_BYTES:
                raise NotPromoted(
                    f"{artifact.file} has {artifact.size} bytes; Tagship promotes files of at most {MOST_BYTES} by itself"
                )
            self._copy(artifact.file, sha256=artifact.sha256)
        if SIGNATURE in self.record["objects"]:
            self._copy(SIGNATURE)
        if self.promote.key:
            self._state(now)

    def publish(self) -> None:
        """Writes release.json, which starts the release there. Raises NotPromoted, AwsUnavailable."""
        self._copy_pinned(
            MANIFEST, PinnedObject.from_dict(self.record["release"]), sha256=self.record["digest"]
        )

    @property
    def _folder(self) -> str:
        return folder_of(self.record["application"], self.record["tag"])

    def _copy(self, file: str, *, sha256: str = "") -> None:
        self._copy_pinned(file, PinnedObject.from_dict(self.record["objects"][file]), sha256=sha256)

    def _copy_pinned(self, file: str, pinned: PinnedObject, *, sha256: str) -> None:
        """Copies the version that was released here. `sha256`, in hexadecimal, is the ledger's, if it has one."""
        with tempfile.TemporaryFile() as content:
            digest = hashlib.sha256()
            for chunk in self._chunks(pinned):
                digest.update(chunk)
                content.write(chunk)
            if sha256 and digest.hexdigest() != sha256:
                raise NotPromoted(f"{file} no longer has the bytes that were released here")
            content.seek(0)
            self._put(file, content, sha256=digest.hexdigest())

    def _chunks(self, pinned: PinnedObject) -> Iterator[bytes]:
        with calling(f"Reading {pinned.key}"):
            yield from self.source.get_object(
                Bucket=pinned.bucket, Key=pinned.key, VersionId=pinned.versionId
            )["Body"].iter_chunks(_CHUNK)

    def _put(self, file: str, content: IO[bytes] | bytes, *, sha256: str) -> None:
        try:
            with calling(f"Uploading {self.address}{file}"):
                self.destination.put_object(
                    Bucket=self.promote.bucket,
                    Key=self._folder + file,
                    Body=content,
                    IfNoneMatch="*",
                    ChecksumSHA256=b64encode(bytes.fromhex(sha256)).decode(),
                )
            return
        except ClientError as error:
            if code_of(error) not in _EXISTS:
                raise
        there = self._sha256(file)
        if there is None:
            raise AwsUnavailable(f"Someone else is uploading {self.address}{file} right now.")
        if there != sha256:
            raise NotPromoted(f"{self.address}{file} already exists with different bytes")

    def _state(self, now: datetime) -> None:
        """Writes `promotion.json` and its signature. After an interrupted run, it continues with the existing ones."""
        ours = Statement(
            application=self.record["application"],
            tag=self.record["tag"],
            digest=self.record["digest"],
            fromStage=self.record["stage"],
            toStage=self.promote.to,
            succeededAt=self.record["endedAt"],
            promotedAt=now.strftime("%Y-%m-%dT%H:%M:%SZ"),
            promotedBy=self.promote.role,
        )
        raw = self._there(PROMOTION)
        if raw is None:
            raw = ours.raw
            self._put(PROMOTION, raw, sha256=hashlib.sha256(raw).hexdigest())
        else:
            try:
                same = ours.says_the_same(Statement.read(raw[: statement.BYTES]))
            except Unreadable:
                same = False
            if not same:
                raise NotPromoted(f"{self.address}{PROMOTION} already exists with a different statement")
        if self._there(PROMOTION_SIGNATURE) is None:
            signature = self._signed(raw)
            self._put(PROMOTION_SIGNATURE, signature, sha256=hashlib.sha256(signature).hexdigest())

    def _signed(self, raw: bytes) -> bytes:
        assert self.promote.key
        with calling(f"Signing with {self.promote.key}"):
            signature: bytes = self.kms.sign(
                KeyId=self.promote.key,
                Message=hashlib.sha256(raw).digest(),
                MessageType="DIGEST",
                SigningAlgorithm=self.promote.algorithm,
            )["Signature"]
        return signature

    def _there(self, file: str) -> bytes | None:
        """A small object of the next stage; only the beginning of a large one."""
        try:
            with calling(f"Looking at {self.address}{file}"):
                found = self.destination.get_object(Bucket=self.promote.bucket, Key=self._folder + file)
                return found["Body"].read(_SMALL + 1)
        except ClientError as error:
            if code_of(error) in _NOT_THERE:
                return None
            raise

    def _sha256(self, file: str) -> str | None:
        """SHA-256 of the existing object's bytes; empty if it is larger than anything we would write."""
        try:
            with calling(f"Looking at {self.address}{file}"):
                found = self.destination.get_object(Bucket=self.promote.bucket, Key=self._folder + file)
                if found["ContentLength"] > MOST_BYTES:
                    return ""
                digest = hashlib.sha256()
                for chunk in found["Body"].iter_chunks(_CHUNK):
                    digest.update(chunk)
                return digest.hexdigest()
        except ClientError as error:
            if code_of(error) in _NOT_THERE:
                return None
            raise
