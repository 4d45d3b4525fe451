"""The evidence bucket: each piece is written once, and nobody can change it until its retention ends."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Mapping
from typing import TYPE_CHECKING

from botocore.exceptions import ClientError

from tagship.aws.calls import calling, code_of

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

_THERE_ALREADY = "PreconditionFailed"


def keep(evidence: Mapping[str, object], *, key: str, s3: S3Client, bucket: str) -> bool:
    """Writes it under its name; False if that exists already: the first one is kept.

    Raises AwsUnavailable if S3 did not accept it.
    """
    body = as_bytes(evidence)
    try:
        with calling(f"Keeping the evidence of {evidence['application']} {evidence['tag']}"):
            s3.put_object(
                Bucket=bucket,
                Key=key,
                Body=body,
                ContentType="application/json",
                ChecksumSHA256=base64.b64encode(hashlib.sha256(body).digest()).decode(),
                IfNoneMatch="*",
            )
    except ClientError as error:
        if code_of(error) == _THERE_ALREADY:
            return False
        raise
    return True


def as_bytes(evidence: Mapping[str, object]) -> bytes:
    """The same bytes for the same content."""
    return json.dumps(evidence, sort_keys=True, indent=1, ensure_ascii=False).encode() + b"\n"
