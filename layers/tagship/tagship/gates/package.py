"""package: the uploaded package can start, as far as its files show. None of its code is run."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import IO

from tagship.aws.calls import calling
from tagship.gates.gate import Case, Gate, GateResult, failed, passed, refused, unanswered
from tagship.model.errors import FinalError
from tagship.model.release import PinnedObject

_NAME = "package"
_CHUNK = 1024 * 1024
_MOST_BYTES = 300 * 1024 * 1024
"""The space on a function's disk that is left for one file, in bytes; no code package is larger."""


def check(case: Case) -> GateResult:
    """The target's kind defines what a valid package is.

    Raises AwsUnavailable if S3 or the target is unavailable.
    """
    if case.configuration is None or case.manifest is None:
        return unanswered(_NAME)

    @contextmanager
    def opened(pinned: PinnedObject) -> Iterator[IO[bytes]]:
        with tempfile.TemporaryFile() as file:
            if pinned.size <= _MOST_BYTES:
                with calling(f"Reading {pinned.key}"):
                    body = case.client("s3").get_object(
                        Bucket=pinned.bucket, Key=pinned.key, VersionId=pinned.versionId
                    )["Body"]
                    for chunk in body.iter_chunks(_CHUNK):
                        file.write(chunk)
            file.seek(0)
            yield file

    try:
        words, problems = case.target.look_into(case.artifacts, opened)
    except FinalError as error:
        return replace(refused(_NAME, error, "Fix what the target gate names."), cause="target")
    if problems:
        return failed(_NAME, " ".join(problems), "Fix the package, then publish a new tag.")
    return passed(_NAME, words)


GATE = Gate(name=_NAME, check=check, shares=True, reads_artifacts=True)
