"""publish --sign: signed before anything is uploaded, the signature before release.json, and once."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest

from tagship.gates.signed import refusal
from tagship.model.application import Signature
from tagship.model.release import PinnedObject
from tagship_cli.failures import Failed

FOLDER = "releases/storefront/v1.4.0/"
KEY = "alias/tagship-release-signing"


@pytest.fixture
def arguments(stage: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    stage.configure()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    (tmp_path / "storefront.zip").write_bytes(b"PK\x05\x06" + bytes(18))
    return [
        *(
            "publish",
            "--application",
            "storefront",
            "--tag",
            "v1.4.0",
            "--artifact",
            "function=storefront.zip",
        ),
        *("--commit", "8f1d5a0b6f3c4c3f8e0d2b7a9c1e5f60718293a4"),
        *("--repository", "acme/storefront", "--author", "dana@example.com"),
    ]


@pytest.fixture
def key(stage: Any) -> str:
    versioned(stage, "releases")
    return made_key(stage, KEY)


def versioned(stage: Any, bucket: str) -> None:
    """moto's CloudFormation leaves it out."""
    stage.client("s3").put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})


def made_key(stage: Any, alias: str, spec: str = "ECC_NIST_P256") -> str:
    kms = stage.client("kms")
    made = kms.create_key(KeySpec=spec, KeyUsage="SIGN_VERIFY")["KeyMetadata"]["KeyId"]
    kms.create_alias(AliasName=alias, TargetKeyId=made)
    return alias


def uploaded(stage: Any) -> list[str]:
    """Every version of every object, in the order in which they were written."""
    found = stage.client("s3").list_object_versions(Bucket="releases").get("Versions", [])
    return [each["Key"].removeprefix(FOLDER) for each in found]


def content(stage: Any, file: str) -> bytes:
    body: bytes = stage.client("s3").get_object(Bucket="releases", Key=FOLDER + file)["Body"].read()
    return body


def refused(stage: Any, alias: str, algorithm: Any = "ECDSA_SHA_256") -> Any:
    """The gate's result for the upload."""
    size = len(content(stage, "release.json.sig"))
    version = stage.client("s3").head_object(Bucket="releases", Key=FOLDER + "release.json.sig")["VersionId"]
    return refusal(
        stage.client("s3"),
        stage.client("kms"),
        of="release.json",
        signature=PinnedObject(
            bucket="releases", key=FOLDER + "release.json.sig", versionId=version, size=size
        ),
        digest=hashlib.sha256(content(stage, "release.json")).hexdigest(),
        rules=Signature(key=alias, algorithm=algorithm),
    )


@pytest.fixture
def interrupted(stage: Any, arguments: list[str], key: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A run that died after the signature was there and before release.json was."""

    def die(folder: Any) -> bool:
        raise Failed("the network is gone")

    with monkeypatch.context() as patch:
        patch.setattr("tagship_cli.actions.publishing.Folder._put_manifest", die)
        assert stage.run(*arguments, "--sign", key).exit_code == 1
    assert sorted(uploaded(stage)) == ["release.json.sig", "storefront.zip"]
    stage.clock.pause(3600)


def test_the_signature_has_the_gates_format_and_is_uploaded_before_the_manifest(
    stage: Any, arguments: list[str], key: str
) -> None:
    document = json.loads(stage.run(*arguments, "--sign", key, "--json").stdout)
    assert [each["file"] for each in document["objects"]] == [
        "storefront.zip",
        "release.json.sig",
        "release.json",
    ]
    assert refused(stage, key) is None


def test_another_keys_signature_is_refused(stage: Any, arguments: list[str], key: str) -> None:
    """Fault 9."""
    stage.run(*arguments, "--sign", made_key(stage, "alias/tagship-other"))
    assert "is not a signature of this release.json by" in refused(stage, key).why


@pytest.mark.usefixtures("key")
def test_an_rsa_key_signs_with_its_algorithm(stage: Any, arguments: list[str]) -> None:
    key = made_key(stage, "alias/tagship-rsa", "RSA_2048")
    result = stage.run(*arguments, "--sign", key, "--algorithm", "RSASSA_PSS_SHA_256")
    assert result.exit_code == 0, result.output
    assert refused(stage, key, "RSASSA_PSS_SHA_256") is None


def test_a_key_that_cannot_sign_leaves_nothing_behind(stage: Any, arguments: list[str]) -> None:
    result = stage.run(*arguments, "--sign", "alias/tagship-nowhere")
    assert result.exit_code == 3
    assert (
        "Signing with alias/tagship-nowhere (nothing has been uploaded yet): AWS refused (NotFoundException)"
        in result.stderr
    )
    assert uploaded(stage) == []


def test_a_dry_run_signs_nothing(stage: Any, arguments: list[str]) -> None:
    assert stage.run(*arguments, "--sign", "alias/tagship-nowhere", "--dry-run").exit_code == 0


def test_signing_again_changes_nothing(stage: Any, arguments: list[str], key: str) -> None:
    stage.run(*arguments, "--sign", key)
    before = uploaded(stage)
    stage.clock.pause(90)
    assert "was already published" in stage.run(*arguments, "--sign", key).stdout
    assert uploaded(stage) == before


@pytest.mark.usefixtures("interrupted")
@pytest.mark.parametrize("again", [("--sign", KEY), ()], ids=["signing", "not signing"])
def test_an_interrupted_run_is_finished_with_the_manifest_that_it_signed(
    stage: Any, arguments: list[str], again: tuple[str, ...]
) -> None:
    result = stage.run(*arguments, *again)
    assert result.exit_code == 0, result.output
    assert sorted(uploaded(stage)) == ["release.json", "release.json.sig", "storefront.zip"]
    assert refused(stage, KEY) is None
    assert json.loads(content(stage, "release.json"))["createdAt"] == "2026-11-23T14:05:00Z"


@pytest.mark.usefixtures("interrupted")
def test_a_signature_of_another_manifest_uses_the_tag(stage: Any, arguments: list[str]) -> None:
    """Fault 5."""
    result = stage.run(*arguments, "--sign", KEY, "--notes", "something else")
    assert result.exit_code == 1
    assert "release.json.sig already exists, with different bytes than this release's." in result.stderr
    assert "Publish a new tag, for example v1.4.1." in result.stderr
    assert "release.json" not in uploaded(stage)


def test_a_signature_without_its_manifests_data_uses_the_tag(
    stage: Any, arguments: list[str], key: str
) -> None:
    stage.client("s3").put_object(Bucket="releases", Key=FOLDER + "release.json.sig", Body=b"anything")
    assert stage.run(*arguments, "--sign", key).exit_code == 1
    assert uploaded(stage) == ["release.json.sig"]
