"""The site's bucket: each release's own folder, the hashed files that all releases share, and the file lists.

No release changes or deletes what was written. So an earlier release can be restored, and an open browser tab finds its
files.
"""

from __future__ import annotations

import base64
import hashlib
import io
import json
import time
import zipfile
from collections import deque
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass
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
class Bucket:
    """One site's bucket, for one release. `title` names the release in errors."""

    client: S3Client
    name: str
    title: str
    clock: Callable[[], float] = time.monotonic

    # ---- reading ---------------------------------------------------------------------------------------------------

    def listing(self, site: str, *, missing: type[TagshipError]) -> Files:
        """The files of a completely uploaded release. Raises `missing` if it is not complete."""
        found = self._json(f"{LISTINGS}{site}.json")
        if found is None:
            raise missing(f"{self.title}: the list of files of {self._release(site)} no longer exists.")
        return _files(found)

    def files_of(self, key: str) -> Files:
        """The files in a file list; empty if there is no list."""
        return _files(self._json(key) or {})

    def verify(self, site: str, *, hashed: str, missing: type[TagshipError]) -> Files:
        """The files of a release, after checking that all are in its folder with the right size. Raises `missing` if
        not.

        Hashed files are not checked here: they are in the folder that all releases share, where nothing is deleted.
        """
        files = self.listing(site, missing=missing)
        if wrong := self._wrong(site, files, hashed):
            raise missing(f"{self.title}: {self._release(site)} is not what was uploaded: {wrong}.")
        return files

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

    def _wrong(self, site: str, files: Files, hashed: str) -> str:
        own = {path: file.size for path, file in files.items() if not is_hashed(path, hashed)}
        there = self.sizes(f"{RELEASES}{site}/")
        odd = sorted(path for path in own.keys() | there.keys() if own.get(path) != there.get(path))
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

    def fill(
        self, site: str, pinned: PinnedObject, *, digest: str, hashed: str, against: str, seconds: float
    ) -> bool:
        """Uploads missing files in parallel. Returns False if `seconds` were not enough; the next call continues.

        `against` is the release that the plan was compared with. S3 checks each file's SHA-256. When all are uploaded,
        their number and sizes are checked again, and only then is the release's file list written.

        Raises PlanChanged, TargetInvalid.
        """
        ends, part = self.clock() + seconds, f"{LISTINGS}{site}.part.json"
        before = _files(self._json(f"{LISTINGS}{against}.json") or {}) if against else {}
        there, shared = self.sizes(f"{RELEASES}{site}/"), self.sizes(IMMUTABLE)
        done = {
            path: file
            for path, file in _files(self._json(part) or {}).items()
            if (shared if is_hashed(path, hashed) else there).get(path) == file.size
        }
        try:
            with zipfile.ZipFile(self.opened(pinned)) as archive:
                complete = self._upload(
                    site, archive, done, before, shared, hashed=hashed, against=against, ends=ends
                )
        except UNREADABLE as error:
            raise TargetInvalid(
                f"{self.title}: the package cannot be unpacked: {plain(str(error))}. No traffic was moved."
            ) from error
        if complete and (wrong := self._wrong(site, done, hashed)):
            raise TargetInvalid(
                f"{self.title}: {self._release(site)} is not what was uploaded: {wrong}. No traffic was moved."
            )
        self._keep(f"{LISTINGS}{site}.json" if complete else part, digest, done)
        return complete

    def _upload(
        self,
        site: str,
        archive: zipfile.ZipFile,
        done: dict[str, File],
        before: Files,
        shared: Mapping[str, int],
        *,
        hashed: str,
        against: str,
        ends: float,
    ) -> bool:
        uploads: deque[tuple[str, File, Future[None]]] = deque()

        def settle() -> None:
            path, file, upload = uploads.popleft()
            upload.result()
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
                known = before.get(path)
                if known and file.looks_like(known) and file.sha256 != known.sha256:
                    raise PlanChanged(
                        f"{self.title}: {plain(path)} was made to look unchanged, but its content differs. No "
                        "traffic was moved. Find out who built this release."
                    )
                unchanged = known is not None and known.sha256 == file.sha256
                if is_hashed(path, hashed):
                    if unchanged and shared.get(path) == file.size:
                        done[path] = file
                        continue
                    upload = pool.submit(self._share, path, file, body)
                else:
                    source = f"{RELEASES}{against}/{path}" if unchanged and file.size >= _COPIED_BYTES else ""
                    upload = pool.submit(self._own, f"{RELEASES}{site}/{path}", path, file, body, source)
                uploads.append((path, file, upload))
                while (
                    len(uploads) > 2 * _AT_ONCE or sum(it.size for _, it, _ in uploads) > _MOST_WAITING_BYTES
                ):
                    settle()
            while uploads:
                settle()
        return len(done) == len(entries(archive))

    def _share(self, path: str, file: File, body: bytes) -> None:
        """Uploads a hashed file, once for all releases; never overwrites it."""
        key = IMMUTABLE + path
        try:
            self._put(key, body, file, headers_of(path, hashed=True), new=True)
        except ClientError as error:
            if code_of(error) not in ("PreconditionFailed", "ConditionalRequestConflict"):
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

    def _keep(self, key: str, digest: str, files: Files) -> None:
        listed = {path: asdict(file) for path, file in sorted(files.items())}
        body = json.dumps({"digest": digest, "files": listed}, separators=(",", ":")).encode()
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


def _files(listing: Mapping[str, Any]) -> dict[str, File]:
    return {path: File(**file) for path, file in listing.get("files", {}).items()}


def _base64(sha256: str) -> str:
    return base64.b64encode(bytes.fromhex(sha256)).decode()
