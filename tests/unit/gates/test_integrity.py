"""The integrity gate compares bytes with the manifest, using S3's checksum where it can be trusted."""

from __future__ import annotations

import base64
import hashlib

import pytest
from botocore.exceptions import ClientError, IncompleteReadError

from tagship.gates import Verdict, integrity
from tagship.model.errors import AwsUnavailable
from tests.unit.builders import CODE, manifest, record, sha256
from tests.unit.gates.cases import FakeS3, case
from tests.unit.tables import aws_error

KEY = "releases/storefront/v1.4.0/storefront.zip"
COMPOSITE = {
    "ChecksumSHA256": base64.b64encode(hashlib.sha256(CODE).digest()).decode() + "-3",
    "ChecksumType": "COMPOSITE",
}


def s3_with(content: bytes = CODE, *, checksum: dict[str, str] | None = None) -> FakeS3:
    s3 = FakeS3(objects={(KEY, "7"): content})
    if checksum is not None:
        s3.checksums[KEY] = checksum
    return s3


def test_s3s_checksum_is_used_without_reading_the_object():
    s3 = s3_with()
    result = integrity.check(case(s3=s3))
    assert (result.gate, result.verdict) == ("integrity", Verdict.PASSED)
    assert result.why == "Size and SHA-256 of 1 artifact match (from S3's checksum)."
    assert s3.asked == [("attributes", KEY, "7")]


@pytest.mark.parametrize(
    "checksum",
    [
        {},
        COMPOSITE,
        COMPOSITE | {"ChecksumType": "FULL_OBJECT"},
        {"ChecksumSHA256": base64.b64encode(b"\0" * 32).decode(), "ChecksumType": "COMPOSITE"},
        {"ChecksumCRC64NVME": "AAAAAAAAAAA=", "ChecksumType": "FULL_OBJECT"},
    ],
    ids=["none", "composite", "parts", "composite without parts", "another algorithm"],
)
def test_without_a_digest_of_the_whole_object_it_is_read_and_hashed(checksum):
    s3 = s3_with(checksum=checksum)
    result = integrity.check(case(s3=s3))
    assert (result.verdict, result.why) == (
        Verdict.PASSED,
        "Size and SHA-256 of 1 artifact match (1 of 1 read in full).",
    )
    assert s3.read == [KEY]


def test_every_artifact_is_checked_and_counted():
    names = ("one.zip", "two.zip")
    s3 = FakeS3(objects={(name, "7"): CODE for name in names})
    s3.checksums |= {"one.zip": {}}
    looked_at = case(
        s3=s3,
        manifest=manifest(
            artifacts=[{"name": n, "file": n, "sha256": sha256(CODE), "size": len(CODE)} for n in names]
        ),
        objects={name: record()["objects"]["storefront.zip"] | {"key": name} for name in names},
    )
    result = integrity.check(looked_at)
    assert result.why == "Size and SHA-256 of 2 artifacts match (1 of 2 read in full)."
    assert s3.read == ["one.zip"]


def test_a_checksum_without_a_type_covers_the_whole_object():
    """S3 names the type since 2024; what was uploaded before has none."""
    s3 = s3_with(checksum={"ChecksumSHA256": base64.b64encode(hashlib.sha256(CODE).digest()).decode()})
    assert integrity.check(case(s3=s3)).verdict is Verdict.PASSED
    assert s3.read == []


def test_a_large_object_is_read_in_blocks():
    content = bytes(range(256)) * 400
    artifact = {"name": "function", "file": "storefront.zip", "sha256": sha256(content), "size": len(content)}
    pinned = record()["objects"]["storefront.zip"] | {"size": len(content)}
    s3 = s3_with(content, checksum={})
    result = integrity.check(
        case(s3=s3, manifest=manifest(artifacts=[artifact]), objects={"storefront.zip": pinned})
    )
    assert result.verdict is Verdict.PASSED
    assert s3.chunk_sizes == [1024 * 1024]


@pytest.mark.parametrize("checksum", [None, {}], ids=["by its checksum", "by its bytes"])
def test_other_bytes_of_the_same_size_are_refused_with_both_digests(checksum):
    """Fault 8."""
    other = CODE[::-1]
    result = integrity.check(case(s3=s3_with(other, checksum=checksum)))
    assert (result.verdict, result.why) == (
        Verdict.FAILED,
        f"storefront.zip has SHA-256 {sha256(other)}; the manifest says {sha256(CODE)}.",
    )
    assert "under a new tag" in result.remedy


def test_a_wrong_size_is_refused_before_any_call():
    """Fault 8."""
    s3 = s3_with()
    pinned = record()["objects"]["storefront.zip"] | {"size": 3}
    result = integrity.check(case(s3=s3, objects={"storefront.zip": pinned}))
    assert (result.verdict, result.why) == (
        Verdict.FAILED,
        f"storefront.zip has 3 bytes; the manifest says {len(CODE)}.",
    )
    assert s3.asked == []


def test_a_missing_file_is_refused():
    """Fault 3."""
    result = integrity.check(case(s3=s3_with(), objects={}))
    assert (result.verdict, result.why) == (Verdict.FAILED, "storefront.zip is missing.")
    assert result.cause == "manifest"


def test_the_pinned_version_is_checked_even_after_a_later_upload():
    """Fault 4."""
    s3 = s3_with()
    s3.objects[KEY, "8"] = b"overwritten after it was read"
    assert integrity.check(case(s3=s3)).verdict is Verdict.PASSED
    assert {version for _, _, version in s3.asked} == {"7"}


@pytest.mark.parametrize("wrong", [0, 1, 2])
def test_every_artifact_is_checked_and_the_differing_one_is_named(wrong):
    contents = [b"first", b"second", b"third"]
    artifacts = [
        {"name": f"part {n}", "file": f"part-{n}.zip", "sha256": sha256(content), "size": len(content)}
        for n, content in enumerate(contents)
    ]
    objects = {
        f"part-{n}.zip": {
            "bucket": "releases",
            "key": f"part-{n}.zip",
            "versionId": "1",
            "size": len(content),
        }
        for n, content in enumerate(contents)
    }
    s3 = FakeS3(objects={(f"part-{n}.zip", "1"): content for n, content in enumerate(contents)})
    release = {"manifest": manifest(artifacts=artifacts), "objects": objects, "s3": s3}
    assert integrity.check(case(**release)).why == (
        "Size and SHA-256 of 3 artifacts match (from S3's checksum)."
    )
    s3.objects[f"part-{wrong}.zip", "1"] = contents[wrong][::-1]
    assert integrity.check(case(**release)).why.startswith(f"part-{wrong}.zip has SHA-256")


def test_without_a_manifest_nothing_passes():
    result = integrity.check(case(manifest=None, problems=["is not JSON"]))
    assert result.verdict is Verdict.ERROR
    assert "the release or its configuration cannot be read" in result.why


@pytest.mark.parametrize(
    "s3",
    [
        FakeS3(fails_with=aws_error("SlowDown", status=503)),
        FakeS3(
            objects={(KEY, "7"): CODE},
            checksums={KEY: {}},
            cut_off=IncompleteReadError(actual_bytes=3, expected_bytes=len(CODE)),
        ),
    ],
    ids=["throttled", "cut off"],
)
def test_an_unavailable_s3_is_retried(s3):
    """Fault 12."""
    with pytest.raises(AwsUnavailable, match=rf"^(Asking S3 for the checksum of|Reading) {KEY}: "):
        integrity.check(case(s3=s3))


def test_a_version_deleted_meanwhile_does_not_pass():
    """Fault 11: the state machine counts what is raised as not passed."""
    with pytest.raises(ClientError, match="NoSuchVersion"):
        integrity.check(case(s3=FakeS3()))
