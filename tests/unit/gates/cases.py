"""A release before the gates, with what is different about it; and an S3 that counts what is read."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from tagship.gates import Case
from tagship.settings import Settings
from tests.unit.builders import application, configured, record
from tests.unit.tables import aws_error


@dataclass
class FakeBody:
    """A stream that gives itself in small pieces and never as a whole."""

    content: bytes
    chunk_sizes: list[int]
    fails_with: Exception | None = None

    def iter_chunks(self, size: int) -> Iterator[bytes]:
        self.chunk_sizes.append(size)
        for start in range(0, len(self.content), 3):
            yield self.content[start : start + 3]
        if self.fails_with:
            raise self.fails_with


@dataclass
class FakeS3:
    """Objects by key and version, and the checksum that S3 keeps of each; whatever is asked for is written down."""

    objects: dict[tuple[str, str], bytes] = field(default_factory=dict)
    checksums: dict[str, dict[str, str]] = field(default_factory=dict)
    """By key; an object without one has the checksum that one PUT with `ChecksumSHA256` leaves."""
    fails_with: Exception | None = None
    cut_off: Exception | None = None
    asked: list[tuple[str, str, str]] = field(default_factory=list)
    chunk_sizes: list[int] = field(default_factory=list)

    def get_object_attributes(
        self, *, Bucket: str, Key: str, VersionId: str, ObjectAttributes: list[str]
    ) -> Any:
        assert (Bucket, ObjectAttributes) == ("releases", ["Checksum"])
        content = self._find("attributes", Key, VersionId)
        stored = base64.b64encode(hashlib.sha256(content).digest()).decode()
        checksum = self.checksums.get(Key, {"ChecksumSHA256": stored, "ChecksumType": "FULL_OBJECT"})
        return {"Checksum": checksum} if checksum else {}

    def get_object(self, *, Bucket: str, Key: str, VersionId: str) -> Any:
        assert Bucket == "releases"
        return {"Body": FakeBody(self._find("read", Key, VersionId), self.chunk_sizes, self.cut_off)}

    @property
    def read(self) -> list[str]:
        """The keys of the objects whose bytes were fetched."""
        return [key for what, key, _ in self.asked if what == "read"]

    def _find(self, what: str, key: str, version: str) -> bytes:
        self.asked.append((what, key, version))
        if self.fails_with:
            raise self.fails_with
        if (key, version) not in self.objects:
            raise aws_error("NoSuchVersion", status=404)
        return self.objects[key, version]


NOW = datetime(2026, 11, 23, 9, 45, tzinfo=UTC)


def gated(**gates: Any) -> dict[str, Any]:
    """For a record: a configuration that asks for this."""
    return configured(application(gates=gates))


def case(
    *, production: str | None = None, s3: Any = None, kms: Any = None, now: datetime = NOW, **changes: Any
) -> Case:
    """A release as the ledger hands it to a gate."""
    return Case.of(
        record(**changes),
        production=production,
        now=now,
        settings=Settings(stage="production", ledger_table="ledger"),
        client={"s3": s3, "kms": kms}.__getitem__,
    )
