"""Objects are pinned in the version that was found; a manifest is read only up to its size limit."""

from __future__ import annotations

from threading import Barrier

import pytest
from botocore.exceptions import ClientError

from tagship.intake.bucket import pin, read_manifest
from tagship.model.errors import AwsUnavailable, ReleaseUnreadable
from tagship.model.release import MANIFEST_BYTES, PinnedObject
from tests.unit.builders import sha256
from tests.unit.intake.uploads import FakeBucket
from tests.unit.tables import aws_error

KEY = "releases/storefront/v1.4.0/release.json"


def read(s3, version=""):
    return read_manifest(s3, bucket="releases", key=KEY, version=version)


def pinned(s3, *files):
    return pin(s3, bucket="releases", application="storefront", tag="v1.4.0", files=files)


@pytest.fixture
def s3() -> FakeBucket:
    bucket = FakeBucket()
    bucket.upload(KEY, b"first")
    bucket.upload(KEY, b"second")
    return bucket


def test_the_events_object_version_is_read_even_after_a_later_upload(s3):
    """Fault 4."""
    found = read(s3, "1")
    assert (found.body, found.digest) == (b"first", sha256(b"first"))
    assert found.pinned == PinnedObject(bucket="releases", key=KEY, versionId="1", size=5)


def test_without_a_version_the_newest_is_read_and_pinned(s3):
    """Fault 2: a retry knows none."""
    found = read(s3)
    assert (found.body, found.pinned.versionId) == (b"second", "2")


def test_only_as_much_of_a_huge_manifest_is_read_as_shows_that_it_is_too_large(s3):
    """Fault 7."""
    version = s3.upload(KEY, b"x" * 10_000_000)
    assert len(read(s3, version).body) == MANIFEST_BYTES + 1
    assert s3.given == [MANIFEST_BYTES + 1]


def test_a_manifest_of_maximum_size_is_read_whole(s3):
    version = s3.upload(KEY, b"x" * MANIFEST_BYTES)
    assert len(read(s3, version).body) == MANIFEST_BYTES


def test_an_empty_manifest_is_read_as_empty(s3):
    version = s3.upload(KEY, b"")
    found = read(s3, version)
    assert (found.body, found.digest, found.pinned.versionId, found.pinned.size) == (
        b"",
        sha256(b""),
        version,
        0,
    )


@pytest.mark.parametrize("version", ["", "7"])
def test_a_missing_manifest_cannot_be_read(version):
    with pytest.raises(
        ReleaseUnreadable, match=f"{KEY} does not exist in bucket releases. Nothing was changed."
    ):
        read(FakeBucket(versions={KEY: [b"x"] if version else []}), version)


def test_a_bucket_that_does_not_exist_is_reported(s3):
    s3.fails_with = aws_error("NoSuchBucket", status=404)
    with pytest.raises(ReleaseUnreadable, match="does not exist in bucket releases"):
        read(s3)


def test_the_newest_versions_of_artifacts_are_pinned(s3):
    s3.upload("releases/storefront/v1.4.0/storefront.zip", b"12345")
    s3.upload("releases/storefront/v1.4.0/storefront.zip", b"1234567")
    assert pinned(s3, "storefront.zip") == {
        "storefront.zip": PinnedObject(
            bucket="releases", key="releases/storefront/v1.4.0/storefront.zip", versionId="2", size=7
        )
    }


def test_a_missing_file_is_left_out_for_its_gate_to_report(s3):
    """Fault 3."""
    s3.upload("releases/storefront/v1.4.0/there.zip", b"1")
    s3.upload("releases/storefront/v1.4.0/deleted.zip", b"1")
    s3.deleted.add("releases/storefront/v1.4.0/deleted.zip")
    assert list(pinned(s3, "there.zip", "missing.zip", "deleted.zip")) == ["there.zip"]


def test_another_releases_file_is_not_found(s3):
    """Fault 10."""
    s3.upload("releases/basket/v1.4.0/storefront.zip", b"1")
    assert pinned(s3, "storefront.zip") == {}


@pytest.mark.parametrize("ask", [read, lambda s3: pinned(s3, "storefront.zip")], ids=["manifest", "artifact"])
def test_an_unavailable_bucket_is_retried(s3, ask):
    """Fault 39."""
    s3.fails_with = aws_error("SlowDown", status=503)
    with pytest.raises(AwsUnavailable):
        ask(s3)


@pytest.mark.parametrize("ask", [read, lambda s3: pinned(s3, "storefront.zip")], ids=["manifest", "artifact"])
def test_a_forbidden_bucket_is_not_reported_as_a_missing_file(s3, ask):
    s3.fails_with = aws_error("AccessDenied", status=403)
    with pytest.raises(ClientError, match="AccessDenied"):
        ask(s3)


def test_all_files_are_looked_at_in_parallel(s3, monkeypatch):
    """Each look is a round trip, and people wait for the mail."""
    together, files = Barrier(3, timeout=10), ["a.zip", "b.zip", "missing.zip"]
    for file in files[:2]:
        s3.upload(f"releases/storefront/v1.4.0/{file}", b"code")
    look = s3.head_object

    def look_with_all_others(**request):
        together.wait()
        return look(**request)

    monkeypatch.setattr(s3, "head_object", look_with_all_others)
    assert list(pinned(s3, *files)) == ["a.zip", "b.zip"]
