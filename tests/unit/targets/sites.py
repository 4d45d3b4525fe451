"""A static site as AWS keeps one: a bucket that checks what is uploaded, and a CloudFront function with its two copies."""

from __future__ import annotations

import base64
import hashlib
import io
import itertools
import json
import threading
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from tagship.model.records import Revision
from tagship.model.release import Artifact, PinnedObject
from tagship.targets import static_site
from tagship.targets.kind import Artifacts, Prepared
from tagship.targets.static_site import StaticSiteTarget
from tagship.targets.static_site_adapter import StaticSite
from tagship.targets.static_site_function import Code, Serving
from tests.unit.tables import aws_error

SPEC = StaticSiteTarget(**{**static_site.KIND.example, "hashed": ("assets/",)})
PACKAGES = "releases"
OLD = {
    "index.html": b'<script src="/assets/app-Old.js"></script>',
    "about/index.html": b"about",
    "logo.png": b"a logo",
    "assets/app-Old.js": b"old",
    "vendor.3f2a9c0d.js": b"vendor",
}
NEW = {
    "index.html": b'<script src="/assets/app-New.js"></script>',
    "prices.html": b"prices",
    "logo.png": b"a logo",
    "assets/app-New.js": b"new",
    "vendor.3f2a9c0d.js": b"vendor",
}
NOTHING = 'const TAGSHIP = {"serves": []};\nfunction handler() { return { statusCode: 503 }; }\n'
ACTIONS = {
    "get_object": ("s3:GetObject",),
    "head_object": ("s3:GetObject",),
    "list_objects_v2": ("s3:ListBucket",),
    "put_object": ("s3:PutObject",),
    "copy_object": ("s3:GetObject", "s3:PutObject"),
    "get_function": ("cloudfront:GetFunction",),
    "describe_function": ("cloudfront:DescribeFunction",),
    "update_function": ("cloudfront:UpdateFunction",),
    "test_function": ("cloudfront:TestFunction",),
    "publish_function": ("cloudfront:PublishFunction",),
}


def pack(files: Mapping[str, bytes]) -> bytes:
    """A zip that is the same for the same files."""
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for path, content in files.items():
            archive.writestr(zipfile.ZipInfo(path), content)
    return packed.getvalue()


@dataclass
class Faults:
    """AWS refusals and concurrent actions of others, shared by a bucket and a function."""

    refused: tuple[str, Exception] | None = None
    others: Callable[[], object] | None = None
    loses: bool = False
    writes: int = 0
    calls: list[str] = field(default_factory=list)
    lock: threading.RLock = field(default_factory=threading.RLock)

    def called(self, operation: str, *actions: str) -> None:
        """Raises AWS's error for a missing permission."""
        self.calls.append(operation)
        if self.refused and self.refused[0] in (actions or ACTIONS[operation]):
            raise self.refused[1]

    def written[T](self, operation: str, write: Callable[[], T]) -> T:
        """One write: others act before it, and its response may be lost."""
        self.called(operation)
        with self.lock:
            others, self.others = self.others, None
        if others:
            others()
        with self.lock:
            answer = write()
            self.writes += operation != "update_function"  # nobody sees the edited copy
            return write() if self.loses else answer


class FakeS3:
    """One bucket, and the pinned packages beside it."""

    def __init__(self, faults: Faults) -> None:
        self.faults = faults
        self.objects: dict[str, bytes] = {}
        self.headers: dict[str, dict[str, str]] = {}
        self.packages: dict[str, bytes] = {}

    def get_object(self, *, Bucket: str, Key: str, VersionId: str = "", Range: str = "") -> dict[str, Any]:
        pinned = Bucket == PACKAGES
        self.faults.called("get_object", "s3:GetObjectVersion" if pinned else "s3:GetObject")
        found = (self.packages if pinned else self.objects).get(Key)
        if found is None:
            raise aws_error("NoSuchKey", status=404)
        if Range:
            start, end = map(int, Range.removeprefix("bytes=").split("-"))
            found = found[start : end + 1]
        return {"Body": io.BytesIO(found)}

    def head_object(self, *, Bucket: str, Key: str, ChecksumMode: str) -> dict[str, str]:
        assert (Bucket, ChecksumMode) == (SPEC.bucket, "ENABLED")
        self.faults.called("head_object")
        if Key not in self.objects:
            raise aws_error("404", status=404)
        return {"ChecksumSHA256": _checksum(self.objects[Key])}

    def list_objects_v2(self, *, Bucket: str, Prefix: str, ContinuationToken: str = "") -> dict[str, Any]:
        """Three keys a page, so that pages are turned."""
        assert Bucket == SPEC.bucket
        self.faults.called("list_objects_v2")
        keys = sorted(key for key in self.objects if key.startswith(Prefix) and key > ContinuationToken)
        page = [{"Key": key, "Size": len(self.objects[key])} for key in keys[:3]]
        more = {"IsTruncated": True, "NextContinuationToken": keys[2]} if len(keys) > 3 else {}
        return {"Contents": page, "IsTruncated": False, **more}

    def put_object(
        self,
        *,
        Bucket: str,
        Key: str,
        Body: bytes,
        ChecksumAlgorithm: str,
        ChecksumSHA256: str,
        IfNoneMatch: str = "",
        **headers: str,
    ) -> None:
        assert (Bucket, ChecksumAlgorithm) == (SPEC.bucket, "SHA256")

        def write() -> None:
            if _checksum(Body) != ChecksumSHA256:
                raise aws_error("BadDigest")
            if IfNoneMatch and Key in self.objects:
                raise aws_error("PreconditionFailed", status=412)
            self.objects[Key], self.headers[Key] = Body, headers

        self.faults.written("put_object", write)

    def delete_objects(self, *, Bucket: str, Delete: dict[str, Any]) -> dict[str, Any]:
        assert Bucket == SPEC.bucket
        self.faults.called("delete_objects", "s3:DeleteObject")
        for each in Delete["Objects"]:
            self.objects.pop(each["Key"], None)
        return {}

    def copy_object(
        self, *, Bucket: str, Key: str, CopySource: dict[str, str], **more: str
    ) -> dict[str, Any]:
        def write() -> dict[str, Any]:
            if CopySource["Key"] not in self.objects:
                raise aws_error("NoSuchKey", status=404)
            self.objects[Key] = self.objects[CopySource["Key"]]
            self.headers[Key] = {name: more[name] for name in ("ContentType", "CacheControl")}
            return {"CopyObjectResult": {"ChecksumSHA256": _checksum(self.objects[Key])}}

        return self.faults.written("copy_object", write)


class FakeCloudFront:
    """One function. An update changes the edited copy alone; publishing makes it the one that serves."""

    def __init__(self, faults: Faults | None = None, code: str = NOTHING) -> None:
        self.faults = faults or Faults()
        self.etags = (f"E{number}" for number in itertools.count(1))
        self.copies = dict.fromkeys(("LIVE", "DEVELOPMENT"), code)
        self.etag = next(self.etags)
        self.status = "DEPLOYED"
        self.error = ""
        """CloudFront's error for code that it can't run."""
        self.slow = False
        self.served = code
        """The published code."""
        self.renames = True
        """Whether publishing changes the ETag of the edited copy too: AWS does not say, so both must do."""

    def get_function(self, *, Name: str, Stage: str) -> dict[str, Any]:
        self.faults.called("get_function")
        code = self.copies[Stage].encode()
        return {"FunctionCode": io.BytesIO(code), "ETag": self.etag if Stage == "DEVELOPMENT" else "ELIVE"}

    def describe_function(self, *, Name: str, Stage: str) -> dict[str, Any]:
        assert Stage == "LIVE"
        self.faults.called("describe_function")
        return {"FunctionSummary": {"Status": self.status}, "ETag": "ELIVE"}

    def update_function(
        self, *, Name: str, IfMatch: str, FunctionConfig: dict[str, str], FunctionCode: bytes
    ) -> None:
        assert set(FunctionConfig) == {"Comment", "Runtime"}

        def write() -> None:
            self._matches(IfMatch)
            self.copies["DEVELOPMENT"], self.etag = FunctionCode.decode(), next(self.etags)

        self.faults.written("update_function", write)

    def test_function(self, *, Name: str, IfMatch: str, Stage: str, EventObject: bytes) -> dict[str, Any]:
        """The response for a request that selects a release; Node.js tests the real code elsewhere."""
        assert Stage == "DEVELOPMENT"
        self.faults.called("test_function")
        self._matches(IfMatch)
        asked = json.loads(EventObject)["request"]["headers"]["x-tagship-release"]["value"]
        code = Code.read(self.copies["DEVELOPMENT"])
        (release,) = [it for it in code.serves if it.id == asked] if code else []
        output = {"request": {"uri": f"/releases/{release.folder('index.html')}/index.html"}}
        return {"TestResult": {"FunctionErrorMessage": self.error, "FunctionOutput": json.dumps(output)}}

    def publish_function(self, *, Name: str, IfMatch: str) -> None:
        def write() -> None:
            self._matches(IfMatch)
            self.copies["LIVE"] = self.copies["DEVELOPMENT"]
            self.status = "IN_PROGRESS" if self.slow else "DEPLOYED"
            self.served = self.served if self.slow else self.copies["LIVE"]
            if self.renames:
                self.etag = next(self.etags)

        self.faults.written("publish_function", write)

    def by_hand(self, code: str, *, publish: bool = True) -> None:
        """Somebody edits the function in the console."""
        self.copies["DEVELOPMENT"], self.etag = code, next(self.etags)
        if publish:
            self.copies["LIVE"] = self.served = code

    def settle(self) -> None:
        """All edge locations have what was published."""
        self.status, self.served = "DEPLOYED", self.copies["LIVE"]

    def _matches(self, etag: str) -> None:
        if etag != self.etag:
            raise aws_error("PreconditionFailed", status=412)


@dataclass
class Site:
    """A site that serves nothing yet, in memory."""

    faults: Faults = field(default_factory=Faults)
    s3: FakeS3 = field(init=False)
    cloudfront: FakeCloudFront = field(init=False)

    def __post_init__(self) -> None:
        self.s3, self.cloudfront = FakeS3(self.faults), FakeCloudFront(self.faults)

    def target(self, tag: str = "v1.4.0", spec: StaticSiteTarget = SPEC) -> StaticSite:
        """The adapter, for one release."""
        return StaticSite(
            application="storefront", tag=tag, spec=spec, s3=self.s3, cloudfront=self.cloudfront
        )

    def upload(self, files: Mapping[str, bytes], tag: str = "v1.4.0") -> Artifacts:
        """A release's package, as `tagship publish` uploads it."""
        body, key = pack(files), f"releases/storefront/{tag}/site.zip"
        self.s3.packages[key] = body
        artifact = Artifact(
            name=static_site.SITE, file="site.zip", sha256=hashlib.sha256(body).hexdigest(), size=len(body)
        )
        pinned = PinnedObject(bucket=PACKAGES, key=key, versionId="7", size=len(body))
        return {static_site.SITE: (artifact, pinned)}

    def serve(self, files: Mapping[str, bytes], tag: str = "v1.3.0") -> Revision:
        """A release of the past, which serves alone."""
        artifacts, target = self.upload(files, tag), self.target(tag)
        prepared: Prepared = target.prepare(artifacts, target._planned(artifacts["site"][0]), lambda _: None)
        assert prepared.candidate
        self.cloudfront.by_hand(serving(prepared.candidate))
        return prepared.candidate


def serving(*revisions: Revision, fence: int = 0) -> str:
    """The function's code when these serve, with the same shares."""
    serves = tuple(Serving.of(revision, 100 // len(revisions)) for revision in revisions)
    return Code(application="storefront", tag="v1.3.0", fence=fence, serves=serves).text()


def _checksum(body: bytes) -> str:
    return base64.b64encode(hashlib.sha256(body).digest()).decode()
