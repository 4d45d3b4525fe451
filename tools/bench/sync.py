"""The rival of a site: `aws s3 sync` and an invalidation, without Tagship, from a process that is already running.

The CLI's own transfer library uploads what has another size or is newer than the object, 10 files at a time, its default. So
nothing is checked, kept or written down, and every file is overwritten in place.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from boto3.s3.transfer import TransferConfig, create_transfer_manager

from tools.stack import Engine

_BUCKET = "bench-sync"


@dataclass(frozen=True, slots=True, kw_only=True)
class Synced:
    """A folder on this disk, and the bucket that it is synchronized to."""

    engine: Engine
    folder: Path

    @classmethod
    def prepared(cls, engine: Engine, folder: Path) -> Synced:
        """With an empty bucket."""
        engine.client("s3").create_bucket(Bucket=_BUCKET)
        return cls(engine=engine, folder=folder)

    def write(self, files: Mapping[str, bytes]) -> None:
        """Writes files as a build does: only changed files get a new modification time."""
        for path, content in files.items():
            file = self.folder / path
            if not file.exists() or file.read_bytes() != content:
                file.parent.mkdir(parents=True, exist_ok=True)
                file.write_bytes(content)

    def seconds(self) -> float:
        """How long one synchronization and one invalidation take."""
        began = time.monotonic()
        s3: Any = self.engine.client("s3")
        pages = s3.get_paginator("list_objects_v2").paginate(Bucket=_BUCKET)
        there = {each["Key"]: each for page in pages for each in page.get("Contents", ())}
        with create_transfer_manager(s3, TransferConfig(max_concurrency=10)) as manager:
            uploads = [
                manager.upload(str(file), _BUCKET, key)
                for file in sorted(self.folder.rglob("*"))
                if file.is_file() and _differs(file, there.get(key := str(file.relative_to(self.folder))))
            ]
            for upload in uploads:
                upload.result()
        cloudfront = self.engine.client("cloudfront")
        for distribution in cloudfront.list_distributions()["DistributionList"].get("Items", ()):
            paths = {"Quantity": 1, "Items": ["/*"]}
            batch: Any = {"Paths": paths, "CallerReference": uuid.uuid4().hex}
            cloudfront.create_invalidation(DistributionId=distribution["Id"], InvalidationBatch=batch)
        return time.monotonic() - began


def _differs(file: Path, found: Any) -> bool:
    state = file.stat()
    return (
        found is None or found["Size"] != state.st_size or found["LastModified"].timestamp() < state.st_mtime
    )
