"""Uploads a release to the bucket: each artifact once, and release.json last."""

from __future__ import annotations

import hashlib
import json
import zipfile
from base64 import b64encode
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from botocore.exceptions import ClientError

from tagship.aws.calls import code_of
from tagship.model.documents import DocumentInvalid, read_manifest
from tagship.model.release import MANIFEST, SIGNATURE, Manifest, Tag, folder_of
from tagship.text.words import listed
from tagship_cli.failures import Failed, trying

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

MOST_BYTES = 5 * 1024**3
"""S3's limit for one PUT, in bytes. Each object is uploaded with one conditional PUT, so that none can be overwritten.
"""
_EXISTS = ("PreconditionFailed", "ConditionalRequestConflict", "412", "409")
_NOT_THERE = ("404", "NoSuchKey", "NotFound")
_CANT_TELL = ("403", "AccessDenied", "Forbidden")
_OTHER_BYTES = ("BadDigest", "XAmzContentSHA256Mismatch", "XAmzContentChecksumMismatch")


@dataclass(frozen=True, slots=True, kw_only=True)
class File:
    """One local artifact."""

    name: str
    path: Path
    size: int
    sha256: str
    stored: str = ""
    """Its file name in the release's folder, if its own name is taken."""

    @property
    def file(self) -> str:
        """Its file name in the release's folder."""
        return self.stored or self.path.name

    def by_content(self) -> File:
        """The same file with a name that contains its digest."""
        return replace(self, stored=f"{self.path.stem}-{self.sha256[:12]}{self.path.suffix}")

    @classmethod
    def measured(cls, name: str, path: Path) -> File:
        """Reads the file's size and SHA-256.

        Raises Failed for a file that is too large for one PUT, that can't be read, or that is named `.zip` and is not a
        zip: the gates would refuse it, and its tag would be used up.
        """
        try:
            size = path.stat().st_size
            if size > MOST_BYTES:
                raise Failed(
                    f"{path} has {size:,} bytes, but S3 accepts at most {MOST_BYTES:,} (5 GiB) in one PUT. "
                    f"Nothing was uploaded.\nSplit it into several artifacts."
                )
            if not size:
                raise Failed(f"{path} is empty. Nothing was uploaded.\nBuild it first, or name another file.")
            with path.open("rb") as content:
                digest = hashlib.file_digest(content, "sha256").hexdigest()
                broken = path.suffix.lower() == ".zip" and not zipfile.is_zipfile(content)
        except OSError as error:
            raise Failed(f"{path} can't be read: {error.strerror}. Nothing was uploaded.") from error
        if broken:
            raise Failed(
                f"{path} is not a zip file. Nothing was uploaded, and the tag is still free.\n"
                "Check what the build wrote into it, and package it again."
            )
        return cls(name=name, path=path, size=size, sha256=digest)


@dataclass(frozen=True, slots=True, kw_only=True)
class Release:
    """A valid manifest, its bytes, and the files in it."""

    manifest: Manifest
    body: bytes
    files: tuple[File, ...]

    @classmethod
    def of(cls, fields: Mapping[str, object], files: Sequence[File]) -> Release:
        """Raises Failed, with every problem, if it would not be a valid manifest."""
        artifacts = [
            {"name": file.name, "file": file.file, "sha256": file.sha256, "size": file.size} for file in files
        ]
        try:
            body = _written({**fields, "artifacts": artifacts})
            return cls(manifest=read_manifest(body), body=body, files=tuple(files))
        except DocumentInvalid as error:
            listing = "\n".join(f"  {problem}" for problem in error.problems)
            raise Failed(f"The release is not valid. Nothing was uploaded.\n{listing}") from error
        except UnicodeEncodeError as error:
            raise Failed(
                "The notes or parameters contain text that is not UTF-8. Nothing was uploaded."
            ) from error

    @property
    def title(self) -> str:
        """`storefront v1.4.0`."""
        return f"{self.manifest.application} {self.manifest.tag}"

    @property
    def digest(self) -> str:
        """SHA-256 of release.json, in hexadecimal. This is what gets signed."""
        return hashlib.sha256(self.body).hexdigest()

    def with_files(self, files: Sequence[File]) -> Release:
        """The same release with these file names."""
        if tuple(files) == self.files:
            return self
        return Release.of(json.loads(self.body), files)

    def made_at(self, time: str) -> Release:
        """The same release with another `createdAt`.

        Raises DocumentInvalid if it is not a time.
        """
        body = _written({**json.loads(self.body), "createdAt": time})
        return Release(manifest=read_manifest(body), body=body, files=self.files)


@dataclass(frozen=True, slots=True, kw_only=True)
class ExtraFile:
    """A small object that is uploaded after the artifacts and before release.json."""

    file: str
    body: bytes
    metadata: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def signature(cls, raw: bytes, release: Release) -> ExtraFile:
        """`release.json.sig`. Its metadata names the release.json it signs, so that an interrupted upload continues
        with the same one."""
        made = {_OF: release.digest, _MADE: release.manifest.createdAt}
        return cls(file=SIGNATURE, body=raw, metadata=made)


_OF, _MADE = "manifest-sha256", "manifest-created-at"


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """What the release's folder already contains."""

    manifest: bytes | None
    """The bytes of release.json, if it exists."""
    files: frozenset[str]
    """The files that exist with the same bytes."""

    @property
    def published(self) -> bool:
        """Whether release.json exists."""
        return self.manifest is not None


UPLOADED, WOULD, THERE = "uploaded", "would be uploaded", "already there"
SAME = f"{THERE}, with the same bytes"

OnObject = Callable[[str, int, str], None]
"""Called for each object with its name, its size in bytes, and its outcome."""


@dataclass(slots=True, kw_only=True)
class Folder:
    """A release's folder in the bucket."""

    s3: S3Client
    bucket: str
    release: Release
    exact: bool = False
    """Whether release.json must keep its exact bytes: a promoted one was signed in another stage."""

    @property
    def address(self) -> str:
        """The folder's S3 address."""
        manifest = self.release.manifest
        return f"s3://{self.bucket}/{folder_of(manifest.application, manifest.tag)}"

    def look(self) -> Found:
        """Reads what exists already, and refuses everything that can't be uploaded before the upload starts.

        A tag is used once its release.json exists. Files from an interrupted upload of another build can't be
        overwritten, so a file whose name is taken is uploaded under a different name.

        Raises Failed if another release uses the tag, and if a file exists with other bytes while release.json must
        keep its bytes.
        """
        manifest = self._manifest_there()
        self.refuse_another(manifest)
        if manifest is not None:
            return Found(manifest=manifest, files=frozenset(file.file for file in self.release.files))
        there, files = set(), []
        for file in self.release.files:
            same, free = self._same(file), file
            if same is False and not self.exact:
                free = file.by_content()
                same = self._same(free)
            if same is False:
                raise self._differs(free.file, file.path)
            files.append(free)
            if same:
                there.add(free.file)
        self.release = self.release.with_files(files)
        return Found(manifest=None, files=frozenset(there))

    def signed_before(self) -> bool:
        """Whether an interrupted run has signed this release. If so, this run continues with that run's `createdAt`.

        A signature can't be overwritten and covers every byte of release.json, so release.json must be the same. Raises
        Failed if the signature is for another release.json.
        """
        with trying(f"Looking at {self.address}{SIGNATURE}"):
            try:
                found = self.s3.head_object(Bucket=self.bucket, Key=self._key(SIGNATURE))
            except ClientError as error:
                if code_of(error) in (*_NOT_THERE, *_CANT_TELL):
                    return False
                raise
        metadata = found.get("Metadata", {})
        try:
            release = self.release.made_at(metadata.get(_MADE, ""))
        except DocumentInvalid:
            release = self.release
        if metadata.get(_OF) != release.digest:
            raise self._differs(SIGNATURE, "this release's")
        self.release = release
        return True

    def read_extra(self, file: str) -> bytes | None:
        """A small object that exists already; None if it does not."""
        return self._read(file, f"Looking at {self.address}{file}")

    def upload(self, found: Found, on_object: OnObject, extra_files: Sequence[ExtraFile] = ()) -> bool:
        """Uploads what is missing, release.json last. Returns False if exactly this release was already published."""
        for file in self.release.files:
            new = file.file not in found.files and self._put_file(file)
            on_object(file.file, file.size, UPLOADED if new else SAME)
        for each in () if found.published else extra_files:
            on_object(each.file, len(each.body), UPLOADED if self._put_extra(each) else SAME)
        new = not found.published and self._put_manifest()
        on_object(MANIFEST, len(self.release.body), UPLOADED if new else THERE)
        return new

    def would_upload(self, found: Found, on_object: OnObject) -> bool:
        """Shows what `upload` would do."""
        for file in self.release.files:
            on_object(file.file, file.size, SAME if file.file in found.files else WOULD)
        on_object(MANIFEST, len(self.release.body), THERE if found.published else WOULD)
        return not found.published

    def refuse_another(self, there: bytes | None) -> None:
        """Raises Failed if the existing manifest is of another release."""
        if there is None:
            return
        known = _parsed(there)
        differences = list(_differences(known, _parsed(self.release.body)))
        if not differences:
            return
        published = f" on {known['createdAt']}" if isinstance(known.get("createdAt"), str) else ""
        raise Failed(
            f"{self.release.title} was already published{published} with different content "
            f"({listed(differences)}), and a tag can be used only once. Nothing was uploaded.\n"
            f"Publish a new tag, for example {_next(self.release.manifest.tag)}."
        )

    def _key(self, file: str) -> str:
        return folder_of(self.release.manifest.application, self.release.manifest.tag) + file

    def _manifest_there(self) -> bytes | None:
        return self._read(MANIFEST, f"Checking whether {self.address}{MANIFEST} exists")

    def _read(self, file: str, what: str) -> bytes | None:
        with trying(what):
            try:
                body: bytes = self.s3.get_object(Bucket=self.bucket, Key=self._key(file))["Body"].read()
            except ClientError as error:
                # Without permission to list the bucket, S3 answers 403 for a missing object. The PUT then decides.
                if code_of(error) in (*_NOT_THERE, *_CANT_TELL):
                    return None
                raise
        return body

    def _same(self, file: File) -> bool | None:
        """Whether the object has this file's bytes; None if there is no object."""
        key = self._key(file.file)
        with trying(f"Looking at {self.address}{file.file}"):
            try:
                found = self.s3.head_object(Bucket=self.bucket, Key=key, ChecksumMode="ENABLED")
            except ClientError as error:
                if code_of(error) in (*_NOT_THERE, *_CANT_TELL):
                    return None
                raise
            if found["ContentLength"] != file.size:
                return False
            checksum = str(found.get("ChecksumSHA256", ""))
            if checksum and "-" not in checksum:
                return checksum == _checksum(file.sha256)
            stored = self.s3.get_object(Bucket=self.bucket, Key=key)["Body"]
            return _digest(stored.iter_chunks(1024 * 1024)) == file.sha256

    def _put_file(self, file: File) -> bool:
        """Returns False if somebody has uploaded the same bytes meanwhile."""
        with trying(f"Uploading {file.path} to {self.address}{file.file}"):
            try:
                with file.path.open("rb") as content:
                    self._put(file.file, content, sha256=file.sha256)
                return True
            except OSError as error:
                raise Failed(f"{file.path} can't be read: {error.strerror}. {_UNPUBLISHED}") from error
            except ClientError as error:
                if code_of(error) in _OTHER_BYTES:
                    raise Failed(
                        f"{file.path} changed while it was uploaded. {_UNPUBLISHED}\nPublish again when the build is done."
                    ) from error
                if code_of(error) not in _EXISTS:
                    raise
        same = self._same(file)
        if same is None:
            raise Failed(
                f"Someone else is uploading {file.path} right now. {_UNPUBLISHED}\nPublish again in a moment."
            )
        if not same:
            raise self._differs(file.file, file.path)
        return False

    def _put_extra(self, each: ExtraFile) -> bool:
        """Returns False if the same bytes exist already."""
        with trying(f"Uploading {self.address}{each.file}"):
            try:
                self._put(
                    each.file,
                    each.body,
                    sha256=hashlib.sha256(each.body).hexdigest(),
                    Metadata=dict(each.metadata),
                )
                return True
            except ClientError as error:
                if code_of(error) not in _EXISTS:
                    raise
        if self.read_extra(each.file) != each.body:
            raise self._differs(each.file, "ours")
        return False

    def _put_manifest(self) -> bool:
        """Returns False if it exists. It may be ours, if the response to our PUT was lost."""
        with trying(f"Uploading {self.address}{MANIFEST}"):
            try:
                self._put(MANIFEST, self.release.body, sha256=hashlib.sha256(self.release.body).hexdigest())
                return True
            except ClientError as error:
                if code_of(error) not in _EXISTS:
                    raise
        there = self._manifest_there()
        if there == self.release.body:
            return True
        self.refuse_another(there)
        if there is None:
            raise Failed(
                f"{self.release.title} is already used, or someone else is publishing it right now. "
                f"{_UNPUBLISHED}"
            )
        return False

    def _put(self, file: str, body: Any, *, sha256: str, **more: Any) -> None:
        self.s3.put_object(
            Bucket=self.bucket,
            Key=self._key(file),
            Body=body,
            IfNoneMatch="*",
            ChecksumSHA256=_checksum(sha256),
            **more,
        )

    def _differs(self, file: str, ours: object) -> Failed:
        return Failed(
            f"{self.address}{file} already exists, with different bytes than {ours}. Nothing was "
            f"overwritten, and {self.release.title} was not published.\n"
            f"Publish a new tag, for example {_next(self.release.manifest.tag)}."
        )


_UNPUBLISHED = "The release was not published: its release.json was not uploaded."


def _written(document: Mapping[str, object]) -> bytes:
    return json.dumps(document, indent=2, ensure_ascii=False).encode() + b"\n"


def _checksum(sha256: str) -> str:
    return b64encode(bytes.fromhex(sha256)).decode()


def _digest(chunks: Iterator[bytes]) -> str:
    digest = hashlib.sha256()
    for chunk in chunks:
        digest.update(chunk)
    return digest.hexdigest()


def _parsed(body: bytes) -> dict[str, object]:
    try:
        data = json.loads(body)
    except ValueError:
        data = None
    return data if isinstance(data, dict) else {}


def _differences(known: Mapping[str, object], ours: Mapping[str, object]) -> Iterator[str]:
    """The fields in which two manifests differ, without `createdAt`."""
    if not known:
        yield "its release.json can't be read"
        return
    for name in dict.fromkeys((*known, *ours)):
        before, now = known.get(name), ours.get(name)
        if (
            name in ("createdAt", "changes") or before == now
        ):  # what git reports depends on the depth of the clone
            continue
        if name == "commit" and isinstance(before, str):
            yield f"commit {before[:7]} instead of {str(now)[:7]}"
        elif name == "artifacts":
            if _contents(before) != _contents(now):
                yield "different artifacts"
        else:
            yield f"a different value of {name}"


def _contents(artifacts: Any) -> Any:
    """The artifacts' contents, without their file names."""
    try:
        return sorted((each["name"], each["sha256"], each["size"]) for each in artifacts)
    except (TypeError, KeyError):
        return artifacts


def _next(tag: str) -> str:
    """An example of the next tag."""
    version = Tag.parse(tag).version
    return f"v{version.bump_prerelease() if version.prerelease else version.bump_patch()}"


def named_file(text: str) -> tuple[str, Path]:
    """Parses `name=path`.

    Raises click's BadParameter.
    """
    name, separator, path = text.partition("=")
    if not separator or not name or not path:
        raise click.BadParameter(f"{text!r} is not name=path, like function=build/storefront.zip")
    return name, Path(path)
