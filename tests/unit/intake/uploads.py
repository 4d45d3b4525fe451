"""A versioned bucket and a Parameter Store in memory, for the intake's tests."""

from __future__ import annotations

import io
import re
from dataclasses import dataclass, field
from typing import Any

from tests.unit.tables import aws_error


@dataclass
class FakeBucket:
    """Every upload of a key is a new version; a deleted key has its versions all the same."""

    versions: dict[str, list[bytes]] = field(default_factory=dict)
    deleted: set[str] = field(default_factory=set)
    fails_with: Exception | None = None
    given: list[int] = field(default_factory=list)
    """How many bytes each answer had."""

    def upload(self, key: str, content: bytes) -> str:
        self.versions.setdefault(key, []).append(content)
        return str(len(self.versions[key]))

    def get_object(self, *, Bucket: str, Key: str, Range: str, VersionId: str = "") -> dict[str, Any]:
        version, content = self._find(Key, VersionId)
        match = re.fullmatch(r"bytes=0-(\d+)", Range)
        assert match
        if not content:
            raise aws_error("InvalidRange", status=416)
        part = content[: int(match[1]) + 1]
        self.given.append(len(part))
        return {"VersionId": version, "Body": io.BytesIO(part)}

    def head_object(self, *, Bucket: str, Key: str, VersionId: str = "") -> dict[str, Any]:
        version, content = self._find(Key, VersionId)
        return {"VersionId": version, "ContentLength": len(content)}

    def _find(self, key: str, version: str) -> tuple[str, bytes]:
        if self.fails_with:
            raise self.fails_with
        known = self.versions.get(key, [])
        if not known or (not version and key in self.deleted):
            raise aws_error("NoSuchKey", status=404)
        if version and int(version) > len(known):
            raise aws_error("NoSuchVersion", status=404)
        number = int(version) if version else len(known)
        return str(number), known[number - 1]


@dataclass
class FakeParameters:
    """Parameter Store; a parameter's version counts its writes."""

    values: dict[str, list[str]] = field(default_factory=dict)
    fails_with: Exception | None = None

    def put(self, name: str, value: str) -> None:
        self.values.setdefault(name, []).append(value)

    def get_parameter(self, *, Name: str, WithDecryption: bool) -> dict[str, Any]:
        if self.fails_with:
            raise self.fails_with
        if Name not in self.values:
            raise aws_error("ParameterNotFound")
        return {"Parameter": {"Value": self.values[Name][-1], "Version": len(self.values[Name])}}
