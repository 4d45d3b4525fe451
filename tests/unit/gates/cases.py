"""A release before the gates, with what is different about it; and an S3 that counts what is read."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from tagship.approval.quorum import voters
from tagship.gates import Case
from tagship.model.schedule import Freeze
from tagship.settings import Settings
from tagship.targets.kind import Finding
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


@dataclass
class FakeTarget:
    """A target's adapter that returns this, or raises the configured error."""

    stands: Finding = field(default_factory=lambda: Finding(said="storefront can be changed."))
    dry: Finding = field(default_factory=lambda: Finding(said="The upload passed its dry run."))
    restores: Finding | None = field(default_factory=lambda: Finding(said="version 1 of storefront"))
    raises: dict[str, Exception] = field(default_factory=dict)
    asked: list[Any] = field(default_factory=list)

    def check(self, current: Any) -> Finding:
        return self._asked("check", current, self.stands)

    def dry_run(self, artifacts: Any) -> Finding:
        return self._asked("dry_run", sorted(artifacts), self.dry)

    def look_into(self, artifacts: Any, opened: Any) -> tuple[str, list[str]]:
        return self._asked("look_into", sorted(artifacts), ("storefront.zip has 1 file.", []))

    def restorable(self, current: Any) -> Finding | None:
        return self._asked("restorable", current, self.restores)

    def _asked(self, what: str, about: Any, answer: Any) -> Any:
        self.asked.append((what, about))
        if what in self.raises:
            raise self.raises[what]
        return answer


@dataclass
class InRole:
    """Clients in the application's role, by service; or the error that assuming it raises."""

    clients: dict[str, Any] = field(default_factory=dict)
    refused: Exception | None = None
    asked: list[tuple[str, tuple[str, ...]]] = field(default_factory=list)
    """Each service, and what was to be done there."""
    configs: list[Any] = field(default_factory=list)
    """The configuration of each client."""

    def __call__(self, service: str, *, may: Any, config: Any = None) -> Any:
        self.configs.append(config)
        self.asked.append((service, tuple(action for right in may for action in right.actions)))
        if self.refused:
            raise self.refused
        return self.clients[service]


REVISION = {"id": "1", "digest": "d", "data": {"codeSha256": "b2xk"}}


def case(
    *,
    production: str | None = None,
    s3: Any = None,
    kms: Any = None,
    now: datetime = NOW,
    target: Any = None,
    in_role: InRole | None = None,
    freezes: Sequence[Freeze] = (),
    answers: Mapping[str, Any] | None = None,
    **changes: Any,
) -> Case:
    """A release as the ledger hands it to a gate."""

    def look_at(spec: Any, /, *, application: str, tag: str, client_as: Any, objects: Any) -> Any:
        client_as("lambda", may=())
        return target or FakeTarget()

    in_role = in_role or InRole()
    in_role.clients.setdefault("lambda", None)
    return Case.of(
        record(**changes),
        current={"tag": production, "revision": REVISION} if production else None,
        now=now,
        settings=Settings(stage="production", ledger_table="ledger"),
        client={"s3": s3, "kms": kms}.__getitem__,
        role=lambda configuration: in_role,
        look_at=look_at,
        freezes=lambda: freezes,
        voters=voters,
        ask_what_serves=lambda configuration, revision: answers or {},
    )
