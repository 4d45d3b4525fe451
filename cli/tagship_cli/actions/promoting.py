"""A successful release of one stage, from that stage's ledger, and the statement that promotes it to the next stage."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tagship.gates.reading import Unreadable
from tagship.gates.statement import Statement
from tagship.ledger import releases
from tagship.model.records import ReleaseRecord, manifest_of
from tagship.model.release import (
    MANIFEST,
    PROMOTION,
    PROMOTION_SIGNATURE,
    SIGNATURE,
    Manifest,
    PinnedObject,
    Status,
)
from tagship_cli.actions.publishing import ExtraFile, File, Folder, Release
from tagship_cli.actions.signing import signed
from tagship_cli.failures import Failed, trying
from tagship_cli.place import Place

_CHUNK = 1024 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """A release that succeeded in a stage."""

    place: Place
    record: ReleaseRecord

    @classmethod
    def of(cls, place: Place, application: str, tag: str) -> Origin:
        """Raises Failed for a release that did not end SUCCEEDED there, or no longer counts as such."""
        with trying(f"Reading the ledger of {place.stage}"):
            record = releases.get(place.ledger, application, tag)
        if record["status"] != Status.SUCCEEDED:
            is_underway = record["status"] == Status.RUNNING
            ended = "is still in progress" if is_underway else f"ended {record['status']}"
            why = f": {record['why'].rstrip('.')}." if record.get("why") else "."
            raise Failed(
                f"{application} {tag} {ended} in {place.stage}{why} Nothing was copied.\nOnly a release "
                f"that succeeded can be promoted."
            )
        return cls(place=place, record=record)

    def fetched(self, folder: Path) -> Release:
        """Downloads every artifact and release.json into this folder, in the released versions; every byte is verified.

        Raises Failed if the bucket has different bytes from the ledger.
        """
        manifest = Manifest.from_dict(manifest_of(self.record))
        body = b"".join(self._chunks(PinnedObject.from_dict(self.record["release"])))
        if hashlib.sha256(body).hexdigest() != self.record["digest"]:
            raise self._other_bytes(MANIFEST)
        files = tuple(self._file(artifact.name, artifact.file, folder) for artifact in manifest.artifacts)
        for artifact, file in zip(manifest.artifacts, files, strict=True):
            if file.sha256 != artifact.sha256:
                raise self._other_bytes(artifact.file)
        return Release(manifest=manifest, body=body, files=files)

    def signature(self) -> tuple[ExtraFile, ...]:
        """Its `release.json.sig`, if it had one when it was released."""
        pinned = self.record["objects"].get(SIGNATURE)
        if pinned is None:
            return ()
        return (ExtraFile(file=SIGNATURE, body=b"".join(self._chunks(PinnedObject.from_dict(pinned)))),)

    def _file(self, name: str, file: str, folder: Path) -> File:
        path = folder / file
        pinned = PinnedObject.from_dict(self.record["objects"][file])
        try:
            with path.open("wb") as content:
                for chunk in self._chunks(pinned):
                    content.write(chunk)
        except OSError as error:
            raise Failed(f"{path} can't be written: {error.strerror}. Nothing was copied.") from error
        return File.measured(name, path)

    def _chunks(self, pinned: PinnedObject) -> Any:
        with trying(f"Reading s3://{pinned.bucket}/{pinned.key}"):
            body = self.place.client("s3").get_object(
                Bucket=pinned.bucket, Key=pinned.key, VersionId=pinned.versionId
            )["Body"]
            yield from body.iter_chunks(_CHUNK)

    def _other_bytes(self, file: str) -> Failed:
        return Failed(
            f"{file} in {self.place.stage} no longer has the bytes that were released there. Nothing was "
            f"copied.\nFind out who can write to that bucket."
        )


def statement(
    origin: Origin, folder: Folder, destination: Place, *, key: str, algorithm: str
) -> tuple[ExtraFile, ...]:
    """Creates `promotion.json` and its signature, unless an interrupted run has left them.

    Raises Failed if a different statement exists.
    """
    manifest = folder.release.manifest
    with trying("Looking up your AWS identity"):
        who = destination.client("sts").get_caller_identity()["Arn"]
    ours = Statement(
        application=manifest.application,
        tag=manifest.tag,
        digest=folder.release.digest,
        fromStage=origin.place.stage,
        toStage=destination.stage,
        succeededAt=origin.record["endedAt"],
        promotedAt=destination.now.strftime("%Y-%m-%dT%H:%M:%SZ"),
        promotedBy=who,
    )
    there = folder.read_extra(PROMOTION)
    if there is not None and not _same(there, ours):
        raise Failed(
            f"{folder.address}{PROMOTION} already exists, with a different statement. Nothing was "
            f"overwritten, and {folder.release.title} was not promoted.\nRelease a new tag."
        )
    raw = ours.raw if there is None else there
    written = ExtraFile(file=PROMOTION, body=raw)
    if there is not None and folder.read_extra(PROMOTION_SIGNATURE) is not None:
        return (written,)
    raw_signature = signed(destination.client("kms"), raw, key=key, algorithm=algorithm)
    return (written, ExtraFile(file=PROMOTION_SIGNATURE, body=raw_signature))


def _same(there: bytes, ours: Statement) -> bool:
    try:
        return ours.says_the_same(Statement.read(there))
    except Unreadable:
        return False
