"""Reads JSON from untrusted authors, for the gates that need it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from tagship.aws.calls import calling
from tagship.model.release import PinnedObject

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

_CHUNK = 64 * 1024


class Unreadable(ValueError):
    """It is invalid; says why, in harmless words."""


def read(s3: S3Client, pinned: PinnedObject, *, most: int) -> bytes:
    """A small object in its pinned version.

    Raises Unreadable for more than `most` bytes, without reading them; AwsUnavailable if S3 is unavailable.
    """
    if pinned.size > most:
        raise Unreadable(f"it has {pinned.size} bytes; the limit is {most}")
    with calling(f"Reading {pinned.key}"):
        body = s3.get_object(Bucket=pinned.bucket, Key=pinned.key, VersionId=pinned.versionId)["Body"]
        return b"".join(body.iter_chunks(_CHUNK))


def parsed(raw: bytes) -> Mapping[str, object]:
    """One JSON object in UTF-8, without duplicate names.

    Raises Unreadable, and nothing else.
    """
    try:
        data = json.loads(raw.decode(), object_pairs_hook=_once)
    except RecursionError as error:
        raise Unreadable("it is nested too deeply") from error
    except Unreadable:
        raise
    except ValueError as error:  # no JSON, no UTF-8, or a number of thousands of digits
        raise Unreadable("it is not JSON") from error
    if not isinstance(data, dict):
        raise Unreadable("it is not a JSON object")
    return data


def member(data: Any, *path: str) -> Any:
    """The value at this path, or None."""
    for name in path:
        if not isinstance(data, dict):
            return None
        data = data.get(name)
    return data


def text(data: object, *path: str) -> str:
    """The text at this path.

    Raises Unreadable if there is none.
    """
    value = member(data, *path)
    if not isinstance(value, str) or not value:
        raise Unreadable(f"it lacks the text field {'.'.join(path)}")
    return value


def _once(pairs: list[tuple[str, object]]) -> dict[str, object]:
    result = dict(pairs)
    if len(result) < len(pairs):
        raise Unreadable("it has a duplicate name in one object")
    return result
