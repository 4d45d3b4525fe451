"""The suite of every kind of target holds one that is nothing like a function, too."""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Callable
from typing import Any

from tagship.model.records import Revision
from tagship.model.release import Artifact, PinnedObject
from tagship.targets.kind import Artifacts
from tests.unit.tables import aws_error
from tests.unit.targets import toy
from tests.unit.targets.conformance import Beginning, Bench, Release

SPEC = toy.PointerTarget(**toy.KIND.example)
OLD, NEW, BY_HAND = (hashlib.sha256(content).hexdigest() for content in (b"old", b"new", b"by hand"))
ACTIONS = {
    "get_object": ("s3:GetObject",),
    "head_object": ("s3:GetObject",),
    "put_object": ("s3:PutObject",),
    "copy_object": ("s3:PutObject", "s3:GetObjectVersion"),
    "delete_object": ("s3:DeleteObject",),
}


class FakeS3:
    """One bucket, with the conditions on a write that S3 knows."""

    def __init__(self) -> None:
        self.objects: dict[str, bytes] = {}
        self.writes = 0
        self.refused: tuple[str, Exception] | None = None
        self.others: Callable[[], object] | None = None
        self.loses = False

    def get_object(self, *, Bucket: str, Key: str) -> dict[str, Any]:
        body = self._looked_at("get_object", Key, "NoSuchKey")
        return {"Body": io.BytesIO(body), "ETag": hashlib.md5(body).hexdigest()}

    def head_object(self, *, Bucket: str, Key: str) -> None:
        self._looked_at("head_object", Key, "404")

    def put_object(self, *, Bucket: str, Key: str, Body: bytes, **condition: str) -> dict[str, str]:
        def write() -> dict[str, str]:
            body = self.objects.get(Key)
            there = hashlib.md5(body).hexdigest() if body is not None else None
            if condition.get("IfMatch", there) != there or (body is not None and "IfNoneMatch" in condition):
                raise aws_error("PreconditionFailed", status=412)
            self.objects[Key] = Body
            return {"ETag": hashlib.md5(Body).hexdigest()}

        return self._written("put_object", write)

    def copy_object(self, *, Bucket: str, Key: str, CopySource: dict[str, str]) -> None:
        self._written("copy_object", lambda: self.objects.update({Key: CopySource["Key"].encode()}))

    def delete_object(self, *, Bucket: str, Key: str) -> None:
        self._written("delete_object", lambda: self.objects.pop(Key, None))

    def _called(self, operation: str) -> None:
        if self.refused and self.refused[0] in ACTIONS[operation]:
            raise self.refused[1]

    def _looked_at(self, operation: str, key: str, missing: str) -> bytes:
        self._called(operation)
        if key not in self.objects:
            raise aws_error(missing, status=404)
        return self.objects[key]

    def _written[T](self, operation: str, write: Callable[[], T]) -> T:
        self._called(operation)
        if others := self.others:
            self.others = None
            others()
        answer = write()
        self.writes += 1
        return write() if self.loses else answer


def names(s3: FakeS3, digest: str) -> None:
    """Somebody makes the pointer name this content."""
    s3.objects |= {f"{SPEC.key}.d/{digest}": b"", SPEC.key: json.dumps({"serves": digest}).encode()}


class PointerBench:
    """A pointer that names the old content."""

    kind, spec = toy.KIND, SPEC
    actions = ("s3:DeleteObject", "s3:GetObject", "s3:GetObjectVersion", "s3:PutObject")

    def __init__(self) -> None:
        self.s3 = FakeS3()
        names(self.s3, OLD)
        pinned = PinnedObject(
            bucket="releases", key="releases/storefront/v1.4.0/site.zip", versionId="7", size=3
        )
        artifact = Artifact(name=toy.CONTENT, file="site.zip", sha256=NEW, size=3)
        self.artifacts: Artifacts = {toy.CONTENT: (artifact, pinned)}

    def target(self) -> toy.Pointer:
        return toy.Pointer(application="storefront", tag="v1.4.0", spec=SPEC, client=self.s3)

    def state(self) -> Any:
        return dict(self.s3.objects)

    def shares(self) -> dict[str, int]:
        pointer = self.s3.objects.get(SPEC.key)
        return {json.loads(pointer)["serves"]: 100} if pointer else {}

    def writes(self) -> int:
        return self.s3.writes

    def empty(self) -> None:
        del self.s3.objects[SPEC.key]

    def drift(self) -> None:
        names(self.s3, BY_HAND)

    def delete(self, revision: Revision) -> None:
        del self.s3.objects[f"{SPEC.key}.d/{revision['id']}"]

    def settle(self) -> None:
        """It has settled."""

    def before_write(self, others: Callable[[], object]) -> None:
        self.s3.others = others

    def lose_answers(self) -> None:
        self.s3.loses = True

    def refuse(self, action: str, *, throttled: bool = False) -> None:
        error = aws_error("SlowDown", status=503) if throttled else aws_error("AccessDenied", status=403)
        self.s3.refused = (action, error)

    def allow(self) -> None:
        self.s3.refused = None


class TestPointer(Beginning):
    """A pointer in S3."""

    def make(self) -> Bench:
        return PointerBench()

    def test_its_permissions_match_its_calls(self, bench: Bench) -> None:
        rights = toy.KIND.rights(SPEC, objects=["arn:aws:s3:::releases/*"])
        assert {action for right in rights for action in right.actions} == set(bench.actions)
        assert {action for actions in ACTIONS.values() for action in actions} == set(bench.actions)
        assert Release(bench).change.candidate["digest"] == NEW
