"""A static site of 1,000 files and 200 MB: planned, uploaded, and released again with five changed files.

The adapter runs in this process on the engine's S3, which is one process too, so the times are those of a slow S3.
"""

from __future__ import annotations

import hashlib
import io
import random
import tempfile
import time
import zipfile
from collections.abc import Mapping
from pathlib import Path

from tagship.model.errors import LockLost
from tagship.model.release import Artifact, PinnedObject
from tagship.targets.kind import Artifacts, Move
from tagship.targets.static_site import SITE, StaticSiteTarget
from tagship.targets.static_site_adapter import StaticSite
from tools.bench.sync import Synced
from tools.bench.table import COUNT, SECONDS, Figure, Part, say
from tools.stack import ACCOUNT, REGION, ROOT, Engine, LocalError

FILES, BYTES, CHANGED = 1_000, 200_000, 5
RIVAL = "what aws s3 sync does (s3transfer, 10 threads), and an invalidation"
SETTLES_SECONDS = 300
"""The longest time that the target may take to make a candidate, in seconds."""
_BUCKET, _FUNCTION = "bench-site", "bench-releases"
_TEMPLATE = ROOT / "examples" / "static-site" / "template.yaml"


def measure(engine: Engine, bucket: str, *, runs: int) -> list[Part]:
    """A first release, and then one for each run.

    Raises LocalError if a candidate is not ready in time.
    """
    say(f"a site of {FILES} files, {FILES * BYTES // 1_000_000} MB")
    _install(engine)
    chance = random.Random(7)  # noqa: S311 (no secret)
    files = {"index.html": b"<h1>bench</h1>"} | {_path(at): chance.randbytes(BYTES) for at in range(1, FILES)}
    with tempfile.TemporaryDirectory() as folder:
        rival = Synced.prepared(engine, Path(folder))
        rival.write(files)
        first, synced = _Released(engine, bucket, files, number=1), [rival.seconds()]
        again = []
        for number in range(2, runs + 2):
            for at in chance.sample(range(1, FILES, 2), CHANGED):
                files[_path(at)] = chance.randbytes(BYTES)
            again.append(_Released(engine, bucket, files, number=number))
            rival.write(files)
            synced.append(rival.seconds())
    figures = [
        Figure(what="plan", unit=SECONDS, runs=[each.planned for each in (first, *again)]),
        _held("the first release's files are there, verified", [first]),
        Figure(what=f"the same by {RIVAL}", unit=SECONDS, runs=synced[:1]),
        _held(f"a release with {CHANGED} changed files, kept next to the old one", again),
        Figure(what="the same by sync, in place of the old one", unit=SECONDS, runs=synced[1:]),
        Figure(what="calls that took", unit=COUNT, runs=[each.calls for each in (first, *again)]),
        Figure(what="all traffic moves", unit=SECONDS, runs=[each.moved for each in (first, *again)]),
    ]
    return [Part(title="A static site of 200 MB", figures=figures)]


class _Released:
    """One release: seconds for its plan, its uploads and its move, and its number of upload calls."""

    def __init__(self, engine: Engine, bucket: str, files: Mapping[str, bytes], *, number: int) -> None:
        tag = f"v1.{number}.0"
        target = _target(engine, tag)
        artifacts = _upload(engine, bucket, files, tag)
        began = time.monotonic()
        change = target.plan(artifacts, {}, weighted=False)
        self.planned, self.calls, began = time.monotonic() - began, 0, time.monotonic()
        prepared = None
        while prepared is None or prepared.candidate is None:
            if time.monotonic() - began > SETTLES_SECONDS:
                raise LocalError(f"The site is not there after {SETTLES_SECONDS} s.")
            prepared, self.calls = target.prepare(artifacts, change.candidate, lambda _: None), self.calls + 1
        self.prepared, began = time.monotonic() - began, time.monotonic()
        etag = change.baseline.get("etag", "") if change.baseline else ""
        move = Move(
            baseline=change.baseline, candidate=prepared.candidate, percent=100, etag=etag, fence=number
        )
        try:
            target.set_weight(move)
        except LockLost as error:
            raise LocalError("Another run of the bench is on this engine.") from error
        self.moved = time.monotonic() - began


def _held(what: str, released: list[_Released]) -> Figure:
    return Figure(what=what, unit=SECONDS, runs=[each.prepared for each in released]).below(SETTLES_SECONDS)


def _path(at: int) -> str:
    """Half of the files have a hash in their name."""
    return f"images/{at}.webp" if at % 2 else f"assets/chunk-{at:07x}a1.js"


def _install(engine: Engine) -> None:
    template = Path(_TEMPLATE).read_text(encoding="utf-8")
    cloudformation = engine.client("cloudformation")
    name = [{"ParameterKey": "Name", "ParameterValue": "bench"}]
    cloudformation.create_stack(StackName="bench-site", TemplateBody=template, Parameters=name)
    cloudformation.get_waiter("stack_create_complete").wait(
        StackName="bench-site", WaiterConfig={"Delay": 1, "MaxAttempts": 60}
    )


def _target(engine: Engine, tag: str) -> StaticSite:
    spec = StaticSiteTarget(
        type="static-site",
        bucket=_BUCKET,
        function=_FUNCTION,
        account=ACCOUNT,
        region=REGION,
        role=f"arn:aws:iam::{ACCOUNT}:role/tagship-app-bench",
        externalId="tagship-bench",
        hashed=("assets/",),
    )
    s3, cloudfront = engine.client("s3"), engine.client("cloudfront")
    return StaticSite(application="bench", tag=tag, spec=spec, s3=s3, cloudfront=cloudfront)


def _upload(engine: Engine, bucket: str, files: Mapping[str, bytes], tag: str) -> Artifacts:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        for path, content in files.items():
            archive.writestr(zipfile.ZipInfo(path), content)
    body, key = packed.getvalue(), f"bench/{tag}/site.zip"
    version = engine.client("s3").put_object(Bucket=bucket, Key=key, Body=body)["VersionId"]
    artifact = Artifact(name=SITE, file="site.zip", sha256=hashlib.sha256(body).hexdigest(), size=len(body))
    return {SITE: (artifact, PinnedObject(bucket=bucket, key=key, versionId=version, size=len(body)))}
