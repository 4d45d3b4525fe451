"""A second kind of target, which only tests know: an object in S3 that names the content which serves.

It shows what a new kind takes: what is here, and one line for it where `targets` lists the kinds.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Annotated, Any, Literal

import annotated_types as at
import pytest
from botocore.exceptions import ClientError

from tagship.aws.calls import REFUSED_CREDENTIALS, calling, code_of
from tagship.aws.rights import Right, partition_of
from tagship.model import application, documents, fields
from tagship.model.errors import (
    BaselineMissing,
    CredentialsRefused,
    LockLost,
    NotStable,
    TagshipError,
    TargetInvalid,
    TargetMoved,
)
from tagship.model.fields import ACCOUNT, CONFIG, EXTERNAL_ID, REGION, ROLE
from tagship.model.records import Revision
from tagship.targets import KINDS, specs
from tagship.targets.kind import Artifacts, Change, Finding, Kind, Made, Move, Opened, Prepared, Subject

CONTENT = "content"


@dataclass(frozen=True, slots=True, kw_only=True)
class PointerTarget:
    """An object in S3 that names the content which serves."""

    __pydantic_config__ = CONFIG

    type: Literal["pointer"]
    """The kind of target."""
    bucket: Annotated[str, at.MaxLen(63)]
    """The bucket that it lies in."""
    key: Annotated[str, at.MaxLen(500)]
    """The pointer's key; what it names lies below."""
    account: Annotated[str, ACCOUNT]
    """The target's AWS account, 12 digits in quotes."""
    region: Annotated[str, REGION]
    """The target's AWS region."""
    role: Annotated[str, ROLE]
    """The role that Tagship assumes for every call to the target."""
    externalId: Annotated[str, EXTERNAL_ID]
    """The external ID that the role's trust policy requires."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pointer:
    """One pointer, for one release."""

    application: str
    tag: str
    spec: PointerTarget
    client: Any

    # ---- Preflight

    def check(self, current: Revision | None) -> Finding:
        found = self._read()
        if current and (found is None or found["serves"] != current["id"]):
            raise self._moved()
        return Finding(said=f"{self._name} can be moved.")

    def dry_run(self, artifacts: Artifacts) -> Finding:
        self._content(artifacts)
        return Finding(said="")

    def look_into(self, artifacts: Artifacts, _opened: Opened, /) -> tuple[str, Sequence[str]]:
        self._content(artifacts)
        return "Any content can be named.", []

    def restorable(self, _current: Revision | None, /) -> Finding | None:
        found = self._read()
        if found is None:
            return None
        self._exists(found["serves"])
        return Finding(said=_described(self.spec, _revision(found["serves"])))

    # ---- Deployer

    def plan(self, artifacts: Artifacts, _parameters: Mapping[str, str], /, *, weighted: bool) -> Change:
        assert not weighted, "a strategy with shares was refused with the configuration"
        digest, found = self._content(artifacts), self._read()
        baseline = _revision(found["serves"], etag=found["etag"]) if found else None
        same = baseline is not None and baseline["digest"] == digest
        return Change(
            baseline=baseline,
            candidate=baseline if same and baseline else {"id": "", "digest": digest, "data": {}},
            nothingToChange=same,
            summary=[f"{self._name}: {found['serves'][:12] if found else 'nothing'} → {digest[:12]}"],
        )

    def prepare(self, artifacts: Artifacts, candidate: Revision, made: Made) -> Prepared:
        _, pinned = artifacts[CONTENT]
        made(_revision(candidate["digest"]))
        with calling(f"{self._release}: copying the content", **REFUSED_CREDENTIALS):
            self.client.copy_object(
                Bucket=self.spec.bucket,
                Key=self._at(candidate["digest"]),
                CopySource={"Bucket": pinned.bucket, "Key": pinned.key, "VersionId": pinned.versionId},
            )
        return Prepared(candidate=_revision(candidate["digest"]))

    # ---- Traffic

    def verify_unchanged(self, move: Move) -> None:
        self._stands(self._read(), move)
        self._candidate_exists(move)

    def set_weight(self, move: Move) -> str:
        found = self._read()
        if self._stands(found, move):
            return str((found or {})["etag"])
        self._candidate_exists(move)
        return self._write(_wanted(move), move.etag, move.fence)

    def verify_weight(self, move: Move) -> int:
        found = self._read()
        if found is None or found["serves"] != _wanted(move):
            raise self._moved()
        return 0

    # ---- Restorer

    def exists(self, revision: Revision) -> None:
        self._exists(revision["id"])

    def serving(self) -> Revision | None:
        found = self._read()
        return _revision(found["serves"]) if found else None

    def restore(
        self,
        *,
        baseline: Revision | None,
        candidate: Revision | None,
        fence: int,
        replaced: Revision | None = None,
    ) -> str:
        found = self._read()
        if found:
            self._refuse_older(found, fence)
            if found["serves"] not in {each["id"] for each in (baseline, candidate, replaced) if each}:
                raise self._moved()
        if baseline is None:
            if found:
                with calling(f"{self._release}: removing {self._name}", **REFUSED_CREDENTIALS):
                    self.client.delete_object(Bucket=self.spec.bucket, Key=self.spec.key)
            return f"{self._name} was removed again: nothing served traffic before this release."
        self._exists(baseline["id"])
        if not found or (found["serves"], found["fence"]) != (baseline["id"], fence):
            try:
                self._write(baseline["id"], found["etag"] if found else "", fence)
            except TargetMoved as error:  # another one wrote between our look and our write
                raise NotStable(str(error)) from error
        return f"{self._name} names {baseline['id'][:12]} again."

    # ---- S3

    def _read(self) -> dict[str, Any] | None:
        try:
            with calling(f"{self._release}: reading {self._name}", **REFUSED_CREDENTIALS):
                answer = self.client.get_object(Bucket=self.spec.bucket, Key=self.spec.key)
        except ClientError as error:
            if code_of(error) == "NoSuchKey":
                return None
            raise
        return {"fence": 0, **json.loads(answer["Body"].read()), "etag": answer["ETag"]}

    def _write(self, serves: str, etag: str, fence: int) -> str:
        """One write, refused by S3 if the pointer is not the one that was looked at."""
        refused = {**REFUSED_CREDENTIALS, "PreconditionFailed": TargetMoved}
        condition = {"IfMatch": etag} if etag else {"IfNoneMatch": "*"}
        body = json.dumps({"serves": serves, "fence": fence, "by": self._release}).encode()
        try:
            with calling(f"{self._release}: moving {self._name}", **refused):
                answer = self.client.put_object(
                    Bucket=self.spec.bucket, Key=self.spec.key, Body=body, **condition
                )
                return str(answer["ETag"])
        except TargetMoved:  # an answer that was lost is asked again behind our back, and meets its own write
            found = self._read()
            if found and (found["serves"], found["fence"]) == (serves, fence):
                return str(found["etag"])
            raise

    def _exists(self, digest: str, *, missing: type[TagshipError] = BaselineMissing) -> None:
        refused = {
            **REFUSED_CREDENTIALS,
            "403": CredentialsRefused,
            "404": missing,
        }  # a HEAD has no more to say
        with calling(f"{self._release}: looking at the content {digest[:12]}", **refused):
            self.client.head_object(Bucket=self.spec.bucket, Key=self._at(digest))

    def _candidate_exists(self, move: Move) -> None:
        if move.candidate["id"]:
            self._exists(move.candidate["id"], missing=TargetInvalid)

    def _stands(self, found: Mapping[str, Any] | None, move: Move) -> bool:
        """Whether an earlier try has moved it already."""
        if found and (found["serves"], found["fence"]) == (_wanted(move), move.fence):
            return True
        if found:
            self._refuse_older(found, move.fence)
        if (found["etag"] if found else "") != move.etag:
            raise self._moved()
        return False

    def _refuse_older(self, found: Mapping[str, Any], fence: int) -> None:
        if found["fence"] > fence:
            raise LockLost(f"{self._release}: {self._name} was moved under a newer fencing number.")

    def _content(self, artifacts: Artifacts) -> str:
        if CONTENT not in artifacts:
            raise TargetInvalid(f"{self._release}: a pointer needs an artifact named {CONTENT!r}.")
        return artifacts[CONTENT][0].sha256

    def _at(self, digest: str) -> str:
        return f"{self.spec.key}.d/{digest}"

    def _moved(self) -> TargetMoved:
        return TargetMoved(f"{self._release}: {self._name} was moved by somebody else.")

    @property
    def _release(self) -> str:
        return f"{self.application} {self.tag}"

    @property
    def _name(self) -> str:
        return f"the pointer {self.spec.bucket}/{self.spec.key}"


def _revision(digest: str, **etag: str) -> Revision:
    return {"id": digest, "digest": digest, "data": {}, **etag}  # type: ignore[typeddict-item]


def _wanted(move: Move) -> str:
    return move.candidate["id"] if move.percent or move.baseline is None else move.baseline["id"]


def _make(*, client: Callable[[str], Any], **given: Any) -> Pointer:
    return Pointer(client=client("s3"), **given)


def _rights(spec: PointerTarget, *, objects: Iterable[str]) -> tuple[Right, ...]:
    pointer, sources = f"arn:{partition_of(spec)}:s3:::{spec.bucket}/{spec.key}", tuple(objects)
    actions = ("s3:GetObject", "s3:PutObject", "s3:DeleteObject")
    moving = Right(name="MoveThePointer", actions=actions, on=(pointer, f"{pointer}.d/*"))
    reading = Right(name="ReadThePinnedContent", actions=("s3:GetObjectVersion",), on=sources)
    return (moving, reading) if sources else (moving,)


def _subject(_: PointerTarget, revision: Revision | None) -> Subject:
    return Subject(names={"version": revision["id"] if revision else ""})


def _described(_: PointerTarget, revision: Revision | None) -> str:
    return f"content {revision['id'][:12]}" if revision and revision["id"] else ""


def _where(spec: PointerTarget) -> str:
    return f"the pointer {spec.bucket}/{spec.key} (account {spec.account}, {spec.region})"


KIND = Kind(
    name="pointer",
    spec=PointerTarget,
    example={
        "type": "pointer",
        "bucket": "storefront-site",
        "key": "live.json",
        "account": "123456789012",
        "region": "eu-central-1",
        "role": "arn:aws:iam::123456789012:role/tagship-app-storefront",
        "externalId": "tagship-production",
    },
    artifacts={CONTENT: "what the pointer will name"},
    weighted=False,
    step_seconds=15,
    settle_seconds=60,
    make=_make,
    rights=_rights,
    subject=_subject,
    describe=_described,
    where=_where,
)


@contextmanager
def two_kinds() -> Iterator[None]:
    """Tagship as it would be with one more line in `targets`."""
    read = (documents._adapter, documents._part, documents._field_names, fields.hints_of)
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(KINDS, KIND.name, KIND)
        patch.setattr(application, "TargetSpec", specs(KINDS.values()))
        for kept in read:
            kept.cache_clear()
        yield
    for kept in read:
        kept.cache_clear()
