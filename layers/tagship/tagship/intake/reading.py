"""Turns an upload into the ledger's record of a release: everything pinned, nothing judged."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from typing import TYPE_CHECKING, cast

from tagship.intake import bucket as release_bucket
from tagship.intake import configuration
from tagship.ledger import releases
from tagship.model.documents import DocumentInvalid, as_document, read_manifest
from tagship.model.errors import ReleaseUnreadable
from tagship.model.records import ApprovedConfiguration, ConfigurationRecord, NewRelease, ReleaseRecord
from tagship.model.release import PROMOTION, PROMOTION_SIGNATURE, SIGNATURE, place_of
from tagship.text.plain import shorten
from tagship.text.words import first

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client
    from mypy_boto3_ssm import SSMClient

Guard = Callable[[str], ApprovedConfiguration | None]


def read_release(
    *,
    s3: S3Client,
    ssm: SSMClient,
    stage: str,
    bucket: str,
    key: str,
    version: str,
    execution: str,
    github_hosts: Sequence[str],
    guard: Guard | None = None,
    grouped: Callable[[ConfigurationRecord], ConfigurationRecord] = lambda found: found,
) -> NewRelease:
    """The record to claim. An invalid manifest is recorded as such: the gate `manifest` shows the author what is wrong.

    `guard` returns the configuration in force, in a stage where only that one counts; `grouped` adds the groups that it
    names.

    Raises ReleaseUnreadable if the upload names no application and tag.
    """
    try:
        application, tag = place_of(key)
    except ValueError as error:
        raise ReleaseUnreadable(f"{error}. Nothing was changed.") from error
    with ThreadPoolExecutor(1) as pool:
        reading = pool.submit(
            configuration.read, ssm, stage=stage, application=application, github_hosts=github_hosts
        )
        found = release_bucket.read_manifest(s3, bucket=bucket, key=key, version=version)
        configured = reading.result()
    if guard is not None:
        configured = configuration.guarded(
            configured, guard(application), stage=stage, application=application
        )
    manifest, problems = None, []
    objects = {}
    try:
        manifest = read_manifest(found.body)
        files = [*(artifact.file for artifact in manifest.artifacts), *_beside(configured)]
        objects = release_bucket.pin(s3, bucket=bucket, application=application, tag=tag, files=files)
    except DocumentInvalid as error:
        problems = [shorten(str(problem), 500) for problem in error.problems]
    record = {
        "application": application,
        "tag": tag,
        "stage": stage,
        "execution": execution,
        "digest": found.digest,
        "release": asdict(found.pinned),
        "manifest": as_document(manifest) if manifest else None,
        "problems": first(problems, 50),
        "objects": {file: asdict(pinned) for file, pinned in objects.items()},
        "configuration": grouped(configured),
        "phase": "gates",
    }
    return cast("NewRelease", record)


def _beside(configured: ConfigurationRecord) -> tuple[str, ...]:
    """Files to pin that are no artifacts. A signature is promoted with its release, whether or not this stage needs it."""
    gates = (configured["document"] or {}).get("gates") or {}
    return (SIGNATURE, PROMOTION, PROMOTION_SIGNATURE) if gates.get("promotion") else (SIGNATURE,)


def why_of(outcome: str, record: ReleaseRecord) -> str:
    """The outcome of claiming, in words."""
    release = f"{record['application']} {record['tag']}"
    return {
        "claimed": f"{release} was read and its objects are pinned.",
        "proposed": f"{release} was read and will be compared with the current configuration.",
        "unchanged": f"{release} is already the current configuration, with the same document.",
        "duplicate": (
            f"{release} was already read, with the same bytes, by {record['execution']}; nothing was done "
            "twice."
        ),
        "refused": (
            f"{release} was already used for different bytes: a tag can be used only once. Nothing was "
            "changed. Publish a new tag."
        ),
        "declined": (
            f"{release} cannot be retried: {releases.retry_refused(record) or 'another retry started first.'} "
            "Nothing was changed."
        ),
    }[outcome]
