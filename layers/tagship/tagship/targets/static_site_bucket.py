"""The site's bucket: each release's own folder, the hashed files that all releases share, and the file lists.

A release reads files that have not changed from the folder of an earlier one, its base. No release changes or deletes
what was written. So an earlier release can be restored, and an open browser tab finds its files.
"""

from __future__ import annotations

import base64
import hashlib
import io
import json
import time
import zipfile
from collections import deque
from collections.abc import Callable, Mapping, Set
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from tagship.aws.calls import REFUSED_CREDENTIALS, calling, code_of
from tagship.model.errors import CredentialsRefused, PlanChanged, TagshipError, TargetInvalid
from tagship.model.release import PinnedObject
from tagship.targets.archive import UNREADABLE, plain
from tagship.targets.static_site import IMMUTABLE, LISTINGS, RELEASES
from tagship.targets.static_site_package import File, Files, Headers, entries, headers_of, is_hashed

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client
    from mypy_boto3_s3.type_defs import ListObjectsV2RequestTypeDef, PutObjectRequestTypeDef

_AT_ONCE = 10
"""The number of connections in a boto3 client's pool."""
_MOST_WAITING_BYTES = 128 * 1024 * 1024
_COPIED_BYTES = 64 * 1024
"""From this size in bytes, S3 copies an unchanged file. Below it, a copy takes as long as an upload."""
_BLOCK = 8 * 1024 * 1024
_HEAD = {"403": CredentialsRefused}
"""A HEAD response has no error code other than its status."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Listing:
    """A release's files, and which of them are in the folder of its base. The base has all its files in its own."""

    site: str
    files: Files
    base: str = ""
    differs: Set[str] = frozenset()

    def folder(self, path: str) -> str:
        """The release whose folder has this path."""
        return self.base if self.base and path not in self.differs else self.site

    def own(self, folder: str, hashed: str) -> Files:
        """The files that are expected in the folder of this release, without the hashed ones."""
        return {
            path: file
            for path, file in self.files.items()
            if not is_hashed(path, hashed) and self.folder(path) == folder
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Upload:
    """What `fill` has to do for one release."""

    site: str
    digest: str
    hashed: str
    against: str
    """The release that the plan was compared with; empty if nothing serves."""
    base: str
    differs: Set[str]

    def from_base(self, path: str) -> bool:
        """Whether this release reads the path from the folder of its base."""
        return bool(self.base) and path not in self.differs and not is_hashed(path, self.hashed)

    @property
    def listing(self) -> str:
        """The key of the list of files of the complete release."""
        return f"{LISTINGS}{self.site}.json"

    @property
    def part(self) -> str:
        """The key of the list of files that have been uploaded so far."""
        return f"{LISTINGS}{self.site}.part.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class _There:
    """What the bucket has when an upload begins or continues."""

    before: Listing
    """The files of the release that the plan was compared with."""
    base: Files
    shared: Mapping[str, int]
    done: dict[str, File] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Bucket:
    """One site's bucket, for one release. `title` names the release in errors."""

    client: S3Client
    name: str
    title: str
    clock: Callable[[], float] = time.monotonic

    # ---- reading ---------------------------------------------------------------------------------------------------

    def listing(self, site: str, *, missing: type[TagshipError]) -> Listing:
        """The files of a completely uploaded release. Raises `missing` if it is not complete."""
        found = self._json(f"{LISTINGS}{site}.json")
        if found is None:
            raise missing(f"{self.title}: the list of files of {self._release(site)} no longer exists.")
        return _listing(site, found)

    def listed(self, site: str, key: str) -> Listing:
        """A file list, of a complete release or of a part; without files if there is no list."""
        return _listing(site, self._json(key) or {})

    def verify(
        self, site: str, *, hashed: str, base: str, differs: Set[str], missing: type[TagshipError]
    ) -> Files:
        """The files of a release, after checking that all are in its folder or its base's, with the right size. Raises
        `missing` if not.

        Hashed files are not checked here: they are in the folder that all releases share, where nothing is deleted.
        """
        listing = self.listing(site, missing=missing)
        if (listing.base, listing.differs) != (base, differs):
            raise missing(
                f"{self.title}: {self._release(site)} was uploaded to be read with another base than the one recorded."
            )
        if wrong := self._wrong(listing, hashed):
            raise missing(f"{self.title}: {self._release(site)} is not what was uploaded: {wrong}.")
        return listing.files

    def verify_hashed(self, files: Files, *, hashed: str, missing: type[TagshipError]) -> None:
        """Raises `missing` if a hashed file is gone or has another size."""
        shared = self.sizes(IMMUTABLE)
        gone = [
            path for path, file in files.items() if is_hashed(path, hashed) and shared.get(path) != file.size
        ]
        if gone:
            raise missing(
                f"{self.title}: {IMMUTABLE}{plain(gone[0])} in {self.name} is not what was uploaded."
            )

    def _wrong(self, listing: Listing, hashed: str) -> str:
        """In words. The folder of the base has files that this release has replaced; its own has no others."""
        own = {path: file.size for path, file in listing.own(listing.site, hashed).items()}
        there = self.sizes(f"{RELEASES}{listing.site}/")
        odd = sorted(path for path in own.keys() | there.keys() if own.get(path) != there.get(path))
        if listing.base and not odd:
            own = {path: file.size for path, file in listing.own(listing.base, hashed).items()}
            there = self.sizes(f"{RELEASES}{listing.base}/")
            odd = sorted(path for path in own if own[path] != there.get(path))
        if not odd:
            return ""
        what = (
            "is missing"
            if odd[0] not in there
            else "has another size"
            if odd[0] in own
            else "does not belong to it"
        )
        return f"{plain(odd[0])} {what}" + (f", and {len(odd) - 1} more" if odd[1:] else "")

    # ---- uploading -------------------------------------------------------------------------------------------------

    def fill(self, upload: Upload, pinned: PinnedObject, *, seconds: float) -> bool:
        """Uploads missing files in parallel. Returns False if `seconds` were not enough; the next call continues.

        All files of the package are read and compared by their SHA-256, also those that the base has. S3 checks each
        uploaded file's SHA-256. When all are there, their number and sizes are checked again, and only then is the
        release's file list written.

        Raises PlanChanged, TargetInvalid.
        """
        ends, there = self.clock() + seconds, self._there(upload)
        try:
            with zipfile.ZipFile(self.opened(pinned)) as archive:
                complete = self._upload(upload, archive, there, ends=ends)
        except UNREADABLE as error:
            raise TargetInvalid(
                f"{self.title}: the package cannot be unpacked: {plain(str(error))}. No traffic was moved."
            ) from error
        listing = Listing(site=upload.site, files=there.done, base=upload.base, differs=upload.differs)
        if complete and (wrong := self._wrong(listing, upload.hashed)):
            raise TargetInvalid(
                f"{self.title}: {self._release(upload.site)} is not what was uploaded: {wrong}. No traffic was moved."
            )
        self._keep(upload.listing if complete else upload.part, upload.digest, listing)
        return complete

    def _there(self, upload: Upload) -> _There:
        against, base = upload.against, upload.base
        before = self.listed(against, f"{LISTINGS}{against}.json") if against else Listing(site="", files={})
        full = self.listed(base, f"{LISTINGS}{base}.json") if base and base != against else before
        own, shared = self.sizes(f"{RELEASES}{upload.site}/"), self.sizes(IMMUTABLE)
        part = self.listed(upload.site, upload.part)
        return _There(
            before=before,
            base=full.files if base else {},
            shared=shared,
            done={
                path: file
                for path, file in part.files.items()
                if (shared if is_hashed(path, upload.hashed) else own).get(path) == file.size
                or (upload.from_base(path) and full.files.get(path) == file)
            },
        )

    def _upload(self, upload: Upload, archive: zipfile.ZipFile, there: _There, *, ends: float) -> bool:
        done, uploads = there.done, deque[tuple[str, File, Future[None]]]()

        def settle() -> None:
            path, file, uploaded = uploads.popleft()
            uploaded.result()
            done[path] = file

        with ThreadPoolExecutor(_AT_ONCE) as pool:
            for entry in entries(archive):
                path = entry.filename
                if path in done:
                    continue
                if self.clock() >= ends:
                    break
                body = archive.read(entry)
                file = File(size=len(body), crc=entry.CRC, sha256=hashlib.sha256(body).hexdigest())
                if self._is_there(upload, path, file, there):
                    done[path] = file
                    continue
                if is_hashed(path, upload.hashed):
                    uploaded = pool.submit(self._share, path, file, body)
                else:
                    key, source = f"{RELEASES}{upload.site}/{path}", _source(path, file, there.before)
                    uploaded = pool.submit(self._own, key, path, file, body, source)
                uploads.append((path, file, uploaded))
                while (
                    len(uploads) > 2 * _AT_ONCE or sum(it.size for _, it, _ in uploads) > _MOST_WAITING_BYTES
                ):
                    settle()
            while uploads:
                settle()
        return len(done) == len(entries(archive))

    def _is_there(self, upload: Upload, path: str, file: File, there: _There) -> bool:
        """Whether this release reads it from where it is: the shared folder, or its base's."""
        from_base = upload.from_base(path)
        for known in (there.before.files.get(path), there.base.get(path) if from_base else None):
            if known and file.looks_like(known) and file.sha256 != known.sha256:
                raise PlanChanged(
                    f"{self.title}: {plain(path)} was made to look unchanged, but its content differs. No "
                    "traffic was moved. Find out who built this release."
                )
        if from_base and there.base.get(path) != file:
            raise PlanChanged(
                f"{self.title}: {plain(path)} is not in site {upload.base}, which the plan reads it from. No traffic "
                "was moved. Publish a new tag to plan and approve it again."
            )
        return from_base or (
            is_hashed(path, upload.hashed)
            and there.before.files.get(path) == file
            and there.shared.get(path) == file.size
        )

    def _share(self, path: str, file: File, body: bytes) -> None:
        """Uploads a hashed file, once for all releases; never overwrites it."""
        key = IMMUTABLE + path
        try:
            self._put(key, body, file, headers_of(path, hashed=True), new=True)
        except ClientError as error:
            if code_of(error) != "PreconditionFailed":
                raise
            if self._sha256(key) != file.sha256:
                raise TargetInvalid(
                    f"{self.title}: {plain(path)}: target.hashed or the name says that the name contains a hash, so "
                    "browsers cache the file for a year, but an earlier release has different content under that name. No "
                    "traffic was moved. Give it a name that changes with its content, then publish a new tag."
                ) from error

    def _own(self, key: str, path: str, file: File, body: bytes, source: str) -> None:
        """Uploads a file that belongs to this release only. S3 copies a large one that has not changed."""
        headers = headers_of(path, hashed=False)
        if not source or not self._copied(key, source, file, headers):
            self._put(key, body, file, headers)

    def _copied(self, key: str, source: str, file: File, headers: Headers) -> bool:
        try:
            with self._calling(f"copying {plain(source)}"):
                answer = self.client.copy_object(
                    Bucket=self.name,
                    Key=key,
                    CopySource={"Bucket": self.name, "Key": source},
                    MetadataDirective="REPLACE",
                    TaggingDirective="REPLACE",
                    ChecksumAlgorithm="SHA256",
                    **headers,
                )
        except ClientError as error:
            if code_of(error) == "NoSuchKey":
                return False
            raise
        return bool(answer["CopyObjectResult"].get("ChecksumSHA256") == _base64(file.sha256))

    def _keep(self, key: str, digest: str, listing: Listing) -> None:
        listed = {path: asdict(file) for path, file in sorted(listing.files.items())}
        document = {
            "digest": digest,
            "base": listing.base,
            "differs": sorted(listing.differs),
            "files": listed,
        }
        body = json.dumps(document, separators=(",", ":")).encode()
        file = File(size=len(body), crc=0, sha256=hashlib.sha256(body).hexdigest())
        self._put(key, body, file, headers_of("list.json", hashed=False))

    # ---- S3 --------------------------------------------------------------------------------------------------------

    def opened(self, pinned: PinnedObject) -> io.BufferedReader:
        """A pinned object, read in blocks on demand."""
        with self._calling(f"reading {pinned.key}"):
            return io.BufferedReader(_Ranged(self, pinned), _BLOCK)

    def read(self, pinned: PinnedObject, start: int, length: int) -> bytes:
        """A range of a pinned object."""
        with self._calling(f"reading {pinned.key}"):
            answer = self.client.get_object(
                Bucket=pinned.bucket,
                Key=pinned.key,
                VersionId=pinned.versionId,
                Range=f"bytes={start}-{start + length - 1}",
            )
            body: bytes = answer["Body"].read()
            return body

    def _put(self, key: str, body: bytes, file: File, headers: Headers, *, new: bool = False) -> None:
        """`new`: fail if the key exists."""
        request: PutObjectRequestTypeDef = {
            "Bucket": self.name,
            "Key": key,
            "Body": body,
            "ChecksumAlgorithm": "SHA256",
            "ChecksumSHA256": _base64(file.sha256),
            "ContentType": headers["ContentType"],
            "CacheControl": headers["CacheControl"],
        }
        if new:
            request["IfNoneMatch"] = "*"
        with self._calling(f"uploading {plain(key)}"):
            self.client.put_object(**request)

    def _json(self, key: str) -> dict[str, Any] | None:
        try:
            with self._calling(f"reading {key}"):
                body = self.client.get_object(Bucket=self.name, Key=key)["Body"].read()
        except ClientError as error:
            if code_of(error) == "NoSuchKey":
                return None
            raise
        found: dict[str, Any] = json.loads(body)
        return found

    def sizes(self, folder: str) -> dict[str, int]:
        """The sizes in bytes of all objects in a folder, by their path in it."""
        found: dict[str, int] = {}
        request: ListObjectsV2RequestTypeDef = {"Bucket": self.name, "Prefix": folder}
        while True:
            with self._calling(f"listing {folder}"):
                page = self.client.list_objects_v2(**request)
            found |= {it["Key"].removeprefix(folder): it["Size"] for it in page.get("Contents", ())}
            if not page.get("IsTruncated"):
                return found
            request["ContinuationToken"] = page["NextContinuationToken"]

    def _sha256(self, key: str) -> str:
        """An object's SHA-256 as S3 verified it; empty if there is none."""
        try:
            with self._calling(f"looking at {plain(key)}", **_HEAD):
                answer = self.client.head_object(Bucket=self.name, Key=key, ChecksumMode="ENABLED")
        except ClientError as error:
            if code_of(error) in ("404", "NoSuchKey"):
                return ""
            raise
        return base64.b64decode(answer.get("ChecksumSHA256", "")).hex()

    def _calling(self, what: str, **refusals: type[TagshipError]) -> AbstractContextManager[None]:
        refused = {**REFUSED_CREDENTIALS, "NoSuchBucket": TargetInvalid, **refusals}
        return calling(f"{self.title}: {what} (bucket {self.name})", **refused)

    def _release(self, site: str) -> str:
        return f"{RELEASES}{site}/ in {self.name}"


class _Ranged(io.RawIOBase):
    """A pinned object as a seekable file."""

    def __init__(self, bucket: Bucket, pinned: PinnedObject) -> None:
        self._bucket, self._pinned, self._at = bucket, pinned, 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        start = {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._pinned.size}[whence]
        self._at = max(0, start + offset)
        return self._at

    def tell(self) -> int:
        return self._at

    def readinto(self, buffer: Any) -> int:
        length = min(len(buffer), self._pinned.size - self._at)
        if length <= 0:
            return 0
        piece = self._bucket.read(self._pinned, self._at, length)
        buffer[: len(piece)] = piece
        self._at += len(piece)
        return len(piece)


def _source(path: str, file: File, before: Listing) -> str:
    """The key that S3 can copy the file from; empty if it is new, changed, or small."""
    if file.size < _COPIED_BYTES or before.files.get(path) != file:
        return ""
    return f"{RELEASES}{before.folder(path)}/{path}"


def _listing(site: str, found: Mapping[str, Any]) -> Listing:
    """Lists of an earlier Tagship name no base."""
    return Listing(
        site=site,
        files={path: File(**file) for path, file in found.get("files", {}).items()},
        base=found.get("base", ""),
        differs=frozenset(found.get("differs", ())),
    )


def _base64(sha256: str) -> str:
    return base64.b64encode(bytes.fromhex(sha256)).decode()
