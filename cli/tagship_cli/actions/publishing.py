"""A release on its way into the bucket: the artifacts first, each once, and release.json last."""

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
"""S3's limit for one PUT; a release's objects are written by one PUT each, so that none can be overwritten."""
_EXISTS = ("PreconditionFailed", "ConditionalRequestConflict", "412", "409")
_NOT_THERE = ("404", "NoSuchKey", "NotFound")
_CANT_TELL = ("403", "AccessDenied", "Forbidden")
_OTHER_BYTES = ("BadDigest", "XAmzContentSHA256Mismatch", "XAmzContentChecksumMismatch")


@dataclass(frozen=True, slots=True, kw_only=True)
class File:
    """One artifact on this machine."""

    name: str
    path: Path
    size: int
    sha256: str
    stored: str = ""
    """Its name beside the manifest, where its own name is taken."""

    @property
    def file(self) -> str:
        """What it is called beside the manifest."""
        return self.stored or self.path.name

    def by_content(self) -> File:
        """The same file under a name that only these bytes have."""
        return replace(self, stored=f"{self.path.stem}-{self.sha256[:12]}{self.path.suffix}")

    @classmethod
    def measured(cls, name: str, path: Path) -> File:
        """Size and SHA-256, read in pieces.

        Raises Failed for a file that S3 does not accept in one PUT, for one that can't be read, and for a `.zip`
        that is no zip file: the gates would refuse it, and its tag would be used up.
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
    """A manifest that is valid, its bytes, and the files that it names."""

    manifest: Manifest
    body: bytes
    files: tuple[File, ...]

    @classmethod
    def of(cls, fields: Mapping[str, object], files: Sequence[File]) -> Release:
        """Raises Failed, with every problem, when it would not be a valid manifest."""
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
        """SHA-256 of release.json, in hexadecimal: what is signed."""
        return hashlib.sha256(self.body).hexdigest()

    def with_files(self, files: Sequence[File]) -> Release:
        """The same release with these names of its files."""
        if tuple(files) == self.files:
            return self
        return Release.of(json.loads(self.body), files)

    def made_at(self, time: str) -> Release:
        """The same release with another `createdAt`.

        Raises DocumentInvalid for what is no time.
        """
        body = _written({**json.loads(self.body), "createdAt": time})
        return Release(manifest=read_manifest(body), body=body, files=self.files)


@dataclass(frozen=True, slots=True, kw_only=True)
class Beside:
    """A small object that goes up after the artifacts and before release.json."""

    file: str
    body: bytes
    metadata: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def signature(cls, raw: bytes, release: Release) -> Beside:
        """`release.json.sig`. It says of which release.json it is: after an interruption the same one must follow it."""
        made = {_OF: release.digest, _MADE: release.manifest.createdAt}
        return cls(file=SIGNATURE, body=raw, metadata=made)


_OF, _MADE = "manifest-sha256", "manifest-created-at"


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """What the folder has of a release."""

    manifest: bytes | None
    """Its release.json, if it is there."""
    files: frozenset[str]
    """Its files that are there, with the same bytes."""

    @property
    def published(self) -> bool:
        """Whether its release.json is there."""
        return self.manifest is not None


UPLOADED, WOULD, THERE = "uploaded", "would be uploaded", "already there"
SAME = f"{THERE}, with the same bytes"

Told = Callable[[str, int, str], None]
"""Is told of each object: its name, its size, and what became of it."""


@dataclass(slots=True, kw_only=True)
class Folder:
    """A release's folder in the bucket."""

    s3: S3Client
    bucket: str
    release: Release
    exact: bool = False
    """Whether release.json must stay byte for byte: a promotion's was signed elsewhere."""

    @property
    def address(self) -> str:
        """Where it is."""
        manifest = self.release.manifest
        return f"s3://{self.bucket}/{folder_of(manifest.application, manifest.tag)}"

    def look(self) -> Found:
        """What is there already; everything that would be refused is refused here, before anything is uploaded.

        A tag is used once its release.json is there. What an interrupted upload of another build has left can't be
        overwritten, so a file whose name is taken goes up under a name of its own.

        Raises Failed for a tag that is used by another release, and for a file that is there with other bytes where
        release.json must stay as it is.
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
        """Whether a run that was interrupted has signed this release; from here on it is made when that run made it.

        A signature can't be overwritten, and it is over every byte of release.json: so the same one must follow it.
        Raises Failed where the signature is of another release.json.
        """
        with trying(f"Looking at {self.address}{SIGNATURE}"):
            try:
                found = self.s3.head_object(Bucket=self.bucket, Key=self._key(SIGNATURE))
            except ClientError as error:
                if code_of(error) in (*_NOT_THERE, *_CANT_TELL):
                    return False
                raise
        said = found.get("Metadata", {})
        try:
            release = self.release.made_at(said.get(_MADE, ""))
        except DocumentInvalid:
            release = self.release
        if said.get(_OF) != release.digest:
            raise self._differs(SIGNATURE, "this release's")
        self.release = release
        return True

    def beside(self, file: str) -> bytes | None:
        """A small object that is there already."""
        return self._read(file, f"Looking at {self.address}{file}")

    def upload(self, found: Found, told: Told, beside: Sequence[Beside] = ()) -> bool:
        """Writes what is not there; release.json last. False when this very release was published before."""
        for file in self.release.files:
            new = file.file not in found.files and self._put_file(file)
            told(file.file, file.size, UPLOADED if new else SAME)
        for each in () if found.published else beside:
            told(each.file, len(each.body), UPLOADED if self._put_beside(each) else SAME)
        new = not found.published and self._put_manifest()
        told(MANIFEST, len(self.release.body), UPLOADED if new else THERE)
        return new

    def would_upload(self, found: Found, told: Told) -> bool:
        """What `upload` would do."""
        for file in self.release.files:
            told(file.file, file.size, SAME if file.file in found.files else WOULD)
        told(MANIFEST, len(self.release.body), THERE if found.published else WOULD)
        return not found.published

    def refuse_another(self, there: bytes | None) -> None:
        """Raises Failed when the manifest that is there is of another release than ours."""
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
                # Who may not list the bucket is refused instead of told that nothing is there; the PUT has the last word.
                if code_of(error) in (*_NOT_THERE, *_CANT_TELL):
                    return None
                raise
        return body

    def _same(self, file: File) -> bool | None:
        """Whether the object has this file's bytes; None where there is no object."""
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
        """False when somebody uploaded the same bytes meanwhile."""
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

    def _put_beside(self, each: Beside) -> bool:
        """False when the same bytes are there."""
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
        if self.beside(each.file) != each.body:
            raise self._differs(each.file, "ours")
        return False

    def _put_manifest(self) -> bool:
        """False when it is there; ours may have arrived although the answer to it was lost."""
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
    """In which fields two manifests differ; when they were made does not count."""
    if not known:
        yield "its release.json can't be read"
        return
    for name in dict.fromkeys((*known, *ours)):
        before, now = known.get(name), ours.get(name)
        if (
            name in ("createdAt", "changes") or before == now
        ):  # what git knows depends on how deep the clone is
            continue
        if name == "commit" and isinstance(before, str):
            yield f"commit {before[:7]} instead of {str(now)[:7]}"
        elif name == "artifacts":
            if _contents(before) != _contents(now):
                yield "different artifacts"
        else:
            yield f"a different value of {name}"


def _contents(artifacts: Any) -> Any:
    """What artifacts are, whatever their files are called."""
    try:
        return sorted((each["name"], each["sha256"], each["size"]) for each in artifacts)
    except (TypeError, KeyError):
        return artifacts


def _next(tag: str) -> str:
    """The tag after this one, as an example."""
    version = Tag.parse(tag).version
    return f"v{version.bump_prerelease() if version.prerelease else version.bump_patch()}"


def named_file(text: str) -> tuple[str, Path]:
    """From `name=path`.

    Raises click's BadParameter.
    """
    name, separator, path = text.partition("=")
    if not separator or not name or not path:
        raise click.BadParameter(f"{text!r} is not name=path, like function=build/storefront.zip")
    return name, Path(path)
