"""A release is read as it is: everything pinned, nothing judged, and what is no manifest recorded as such."""

from __future__ import annotations

import json

import pytest

from tagship.intake.reading import read_release
from tagship.model.documents import as_document, read_manifest
from tagship.model.errors import ReleaseUnreadable
from tests.unit.builders import CODE, EXECUTION, application, manifest, record, sha256
from tests.unit.intake.uploads import FakeBucket, FakeParameters

FOLDER = "releases/storefront/v1.4.0/"


@pytest.fixture
def s3() -> FakeBucket:
    bucket = FakeBucket()
    bucket.upload(FOLDER + "storefront.zip", CODE)
    return bucket


@pytest.fixture
def ssm() -> FakeParameters:
    parameters = FakeParameters()
    parameters.put("/tagship/production/applications/storefront", json.dumps(application()))
    return parameters


def read(s3, ssm, document=None, *, key=FOLDER + "release.json"):
    body = document if isinstance(document, bytes) else json.dumps(document or manifest()).encode()
    version = s3.upload(FOLDER + "release.json", body)
    return read_release(
        github_hosts=("api.github.com",),
        s3=s3,
        ssm=ssm,
        stage="production",
        bucket="releases",
        key=key,
        version=version,
        execution=EXECUTION,
    )


def test_a_good_release_is_read_with_everything_later_steps_need(s3, ssm):
    body = json.dumps(manifest()).encode()
    found = read(s3, ssm)
    assert found | {"configuration": {}, "objects": {}} == record(
        digest=sha256(body),
        release={"bucket": "releases", "key": FOLDER + "release.json", "versionId": "1", "size": len(body)},
        manifest=as_document(read_manifest(body)),
        objects={},
        configuration={},
    )
    assert found["objects"]["storefront.zip"] == {
        "bucket": "releases",
        "key": FOLDER + "storefront.zip",
        "versionId": "1",
        "size": len(CODE),
    }
    assert (found["configuration"]["version"], found["configuration"]["problems"]) == (1, [])


@pytest.mark.parametrize(
    "key",
    [
        "releases/storefront/latest/release.json",
        "releases/../v1.4.0/release.json",
        "somewhere/release.json",
    ],
)
def test_an_upload_outside_a_release_is_unreadable(s3, ssm, key):
    with pytest.raises(ReleaseUnreadable, match="Nothing was changed"):
        read(s3, ssm, key=key)


@pytest.mark.parametrize(
    "document, problem",
    [
        (b"no json", "is not JSON: Expecting value in line 1, column 1"),
        (b"", "is not JSON: Expecting value in line 1, column 1"),
        (b"x" * 270_000, "is larger than 256 KiB"),
        (manifest(tag="latest"), "tag: must be v and a semantic version, like v1.4.0 or v2.0.0-rc.1"),
    ],
    ids=["text", "empty", "huge", "a field"],
)
def test_an_invalid_manifest_is_recorded_and_pins_nothing(s3, ssm, document, problem):
    """Fault 7: its gate reports the problem to the author."""
    found = read(s3, ssm, document)
    assert (found["manifest"], found["problems"], found["objects"]) == (None, [problem], {})
    assert found["digest"]


def test_recorded_problems_are_limited_to_what_an_item_can_hold(s3, ssm):
    found = read(s3, ssm, manifest(**{f"{'x' * 600}{number}": 1 for number in range(80)}))
    assert len(found["problems"]) == 50
    assert found["problems"][-1] == "… and 31 more"
    assert max(map(len, found["problems"])) <= 500


def test_another_releases_manifest_is_read_for_its_gate_to_refuse(s3, ssm):
    found = read(s3, ssm, manifest(application="basket"))
    assert (found["application"], found["manifest"]["application"]) == ("storefront", "basket")


def test_an_unconfigured_application_is_read_for_its_gate_to_refuse(s3):
    found = read(s3, FakeParameters())
    assert found["configuration"]["document"] is None


def test_a_missing_file_is_not_pinned(ssm):
    """Fault 3."""
    assert read(FakeBucket(), ssm)["objects"] == {}


def test_files_next_to_the_manifest_are_pinned_with_it(s3, ssm):
    """Fault 4: a signature that is uploaded, or overwritten, after the release was read is not the release's."""
    gates = {"promotion": {"stage": "staging", "key": "alias/tagship-promotion"}}
    ssm.put("/tagship/production/applications/storefront", json.dumps(application(gates=gates)))
    for name in ("release.json.sig", "promotion.json", "promotion.json.sig", "something else"):
        s3.upload(FOLDER + name, name.encode())
    found = read(s3, ssm)
    s3.upload(FOLDER + "release.json.sig", b"another")
    assert {name: pinned["versionId"] for name, pinned in found["objects"].items()} == {
        "storefront.zip": "1",
        "release.json.sig": "1",
        "promotion.json": "1",
        "promotion.json.sig": "1",
    }
    assert found["objects"]["release.json.sig"]["size"] == len("release.json.sig")


def test_a_promotion_is_read_only_where_a_gate_asks_for_it(s3, ssm):
    """A signature is always pinned: another stage that this release is promoted to may ask for it."""
    for name in ("release.json.sig", "promotion.json", "promotion.json.sig"):
        s3.upload(FOLDER + name, name.encode())
    assert read(s3, ssm)["objects"].keys() == {"storefront.zip", "release.json.sig"}
