"""The release bucket: objects are pinned by version once, and afterwards read only in these versions."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from botocore.exceptions import ClientError

from tagship.aws.calls import calling, code_of
from tagship.model.errors import ReleaseUnreadable
from tagship.model.release import MANIFEST_BYTES, PinnedObject, folder_of

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client
    from mypy_boto3_s3.type_defs import HeadObjectRequestTypeDef

_AT_ONCE = 8
"""Objects that are looked at in parallel; a client has 10 connections."""
_MISSING = ("404", "NoSuchBucket", "NoSuchKey", "NoSuchVersion", "NotFound")


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadObject:
    """A pinned object's bytes (at most one byte more than a manifest may have) and their digest."""

    pinned: PinnedObject
    body: bytes
    digest: str


def read_manifest(s3: S3Client, *, bucket: str, key: str, version: str) -> ReadObject:
    """The manifest's bytes in this version, or in its newest version if the caller knows none.

    Raises ReleaseUnreadable if it does not exist.
    """
    request: HeadObjectRequestTypeDef = {"Bucket": bucket, "Key": key}
    if version:
        request["VersionId"] = version
    try:
        with calling(f"Reading {key}"):
            answer = s3.get_object(**request | {"Range": f"bytes=0-{MANIFEST_BYTES}"})
            found, body = answer["VersionId"], answer["Body"].read()
    except ClientError as error:
        if code_of(error) == "InvalidRange":  # an empty object has no first byte
            with calling(f"Looking at {key}"):
                found, body = s3.head_object(**request)["VersionId"], b""
        elif code_of(error) in _MISSING:
            raise ReleaseUnreadable(
                f"{key} does not exist in bucket {bucket}. Nothing was changed."
            ) from error
        else:
            raise
    pinned = PinnedObject(bucket=bucket, key=key, versionId=found, size=len(body))
    return ReadObject(pinned=pinned, body=body, digest=hashlib.sha256(body).hexdigest())


def pin(
    s3: S3Client, *, bucket: str, application: str, tag: str, files: Sequence[str]
) -> dict[str, PinnedObject]:
    """The newest version of each of a release's files; missing files are left out."""
    keys = {file: folder_of(application, tag) + file for file in files}
    with ThreadPoolExecutor(max_workers=_AT_ONCE) as pool:
        found = pool.map(partial(_newest, s3, bucket), keys.values())
        return {file: pinned for file, pinned in zip(keys, found, strict=True) if pinned}


def _newest(s3: S3Client, bucket: str, key: str) -> PinnedObject | None:
    try:
        with calling(f"Looking at {key}"):
            answer = s3.head_object(Bucket=bucket, Key=key)
    except ClientError as error:
        if code_of(error) in _MISSING:
            return None
        raise
    return PinnedObject(bucket=bucket, key=key, versionId=answer["VersionId"], size=answer["ContentLength"])
