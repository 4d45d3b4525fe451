"""The integrity gate on a small and on a large artifact, with and without a checksum that S3 has: each run in a new process.

As a program it is that process; its standard input says which object it judges.
"""

from __future__ import annotations

import base64
import hashlib
import json
import random
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any

from tagship.aws.clients import Aws
from tagship.gates import Case, Verdict, integrity
from tagship.model.release import Artifact, Manifest, PinnedObject
from tagship.settings import Settings
from tools.bench.memory import peak_of
from tools.bench.table import MEBIBYTES, MILLISECONDS, SPEED, Figure, Part, say
from tools.stack import ROOT, Engine, LocalError

_FILE = "artifact.bin"


SIZES = (16, 256)
"""MiB."""
FLAT = 8
"""By how many MiB the memory may grow for an artifact that is sixteen times as large."""


def measure(engine: Engine, bucket: str, *, runs: int) -> list[Part]:
    """Both sizes, read in full and from S3's checksum.

    Raises LocalError when the gate does not let one pass.
    """
    figures: list[Figure] = []
    for checksum in (False, True):
        how = "by S3's checksum" if checksum else "read in full"
        peaks = []
        for size in SIZES:
            say(f"the integrity gate: {size} MiB, {how}")
            uploaded = upload(engine, bucket, mebibytes=size, checksum=checksum)
            checks = [uploaded.check(engine) for _ in range(runs)]
            figures.append(_speed(f"{size} MiB, {how}", uploaded, checks, downloads=not checksum))
            peaks.append([each.peak for each in checks])
        small, large = [
            Figure(what=f"memory for {size} MiB, {how}", unit=MEBIBYTES, runs=peak)
            for size, peak in zip(SIZES, peaks, strict=True)
        ]
        figures += [small, large.at_most(small.median + FLAT, words=f"flat, within {FLAT} MiB")]
    return [Part(title="The integrity gate", figures=figures)]


@dataclass(frozen=True, slots=True, kw_only=True)
class Checked:
    """One run of the gate: its seconds, and the peak memory of its process in MiB."""

    seconds: float
    peak: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Uploaded:
    """An object, and the digest that the manifest gives it."""

    pinned: PinnedObject
    sha256: str

    def check(self, engine: Engine) -> Checked:
        """Runs the gate on it.

        Raises LocalError when the gate does not let it pass.
        """
        done = subprocess.run(
            [sys.executable, "-m", "tools.bench.gate"],
            env=engine.environment,
            cwd=ROOT,
            input=json.dumps(asdict(self)),
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise LocalError(
                f"The integrity gate did not pass {self.pinned.key}:\n{done.stdout}{done.stderr}"
            )
        return Checked(**json.loads(done.stdout))


def upload(engine: Engine, bucket: str, *, mebibytes: int, checksum: bool) -> Uploaded:
    """The same bytes each time, with or without the SHA-256 that `tagship publish` sends along."""
    body = random.Random(mebibytes).randbytes(1024**2) * mebibytes  # noqa: S311 (no secret)
    digest = hashlib.sha256(body)
    given = {"ChecksumSHA256": base64.b64encode(digest.digest()).decode()} if checksum else {}
    key = f"bench/{mebibytes}{'-with-checksum' if checksum else ''}/{_FILE}"
    version = engine.client("s3").put_object(Bucket=bucket, Key=key, Body=body, **given)["VersionId"]
    pinned = PinnedObject(bucket=bucket, key=key, versionId=version, size=len(body))
    return Uploaded(pinned=pinned, sha256=digest.hexdigest())


def _speed(what: str, uploaded: Uploaded, checks: Sequence[Checked], *, downloads: bool) -> Figure:
    if downloads:
        speeds = [uploaded.pinned.size / 1_000_000 / each.seconds for each in checks]
        return Figure(what=what, unit=SPEED, runs=speeds)
    return Figure(what=what, unit=MILLISECONDS, runs=[each.seconds for each in checks])


def main() -> int:
    """Judges one object, and prints what it took."""
    given: dict[str, Any] = json.load(sys.stdin)
    uploaded = Uploaded(pinned=PinnedObject(**given["pinned"]), sha256=given["sha256"])
    case = _case(uploaded, Aws().client("s3"))
    began = time.monotonic()
    result = integrity.check(case)
    seconds = time.monotonic() - began
    if result.verdict is not Verdict.PASSED:
        print(result.why)
        return 1
    print(json.dumps({"seconds": seconds, "peak": peak_of("self")}))
    return 0


def _case(uploaded: Uploaded, s3: Any) -> Case:
    artifact = Artifact(name="file", file=_FILE, sha256=uploaded.sha256, size=uploaded.pinned.size)
    manifest = Manifest(
        schemaVersion=1,
        application="bench",
        tag="v1.0.0",
        commit="0" * 40,
        repository="acme/bench",
        author="dana@example.com",
        createdAt="2026-11-22T10:00:00Z",
        artifacts=(artifact,),
    )
    return Case(
        application=manifest.application,
        tag=manifest.tag,
        manifest=manifest,
        problems=(),
        configuration=None,
        configuration_problems=(),
        objects={_FILE: uploaded.pinned},
        production=None,
        revision=None,
        digest="0" * 64,
        now=datetime.now(UTC),
        settings=Settings(stage="bench", ledger_table=""),
        client={"s3": s3}.__getitem__,
        role=_nobody,
        look_at=_nobody,
        ask_what_serves=_nobody,
        voters=_nobody,
        freezes=tuple,
    )


def _nobody(*_: Any, **__: Any) -> Any:
    raise AssertionError("this gate asks nobody's target")


if __name__ == "__main__":
    sys.exit(main())
