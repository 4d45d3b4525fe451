"""promote: the very bytes that succeeded in one stage, to the next, with a statement that its gate believes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tagship.gates import GATES, Verdict
from tagship.intake.reading import read_release
from tagship.ledger import releases
from tagship.model.release import Status
from tagship_cli.failures import Failed
from tests.unit.cli.conftest import STACK
from tests.unit.cli.test_publish_signed import made_key, versioned
from tests.unit.gates.cases import case

FOLDER = "releases/storefront/v1.4.0/"
CODE = b"PK\x05\x06" + bytes(18)
SIGNING, PROMOTING = "alias/tagship-release-signing", "alias/tagship-promotion"
ARGUMENTS = ("promote", "storefront", "v1.4.0", "--from", "development", "--to", "production")
EVERYTHING = [
    "promotion.json",
    "promotion.json.sig",
    "release.json",
    "release.json.sig",
    "schema.sql",
    "storefront.zip",
]


@pytest.fixture
def stages(stage: Any) -> Any:
    """Development and production, and the keys that sign."""
    bucket = STACK["Resources"]["Bucket"]
    named = {**bucket, "Properties": {**bucket["Properties"], "BucketName": "production"}}
    template = {
        "Resources": {"Bucket": named},
        "Outputs": {"ReleaseBucketName": {"Value": {"Ref": "Bucket"}}},
    }
    stage.client("cloudformation").create_stack(
        StackName="tagship-production", TemplateBody=json.dumps(template)
    )
    for name in ("releases", "production"):
        versioned(stage, name)
    for alias in (SIGNING, PROMOTING):
        made_key(stage, alias)
    return stage


@pytest.fixture
def published(stages: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A signed release in development's bucket, with two artifacts."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    (tmp_path / "storefront.zip").write_bytes(CODE)
    (tmp_path / "schema.sql").write_bytes(b"sql")
    stages.configure()
    assert publish(stages).exit_code == 0
    return stages


@pytest.fixture
def succeeded(published: Any) -> Any:
    """… which has succeeded there."""
    claimed(published)
    ended(published, Status.SUCCEEDED)
    return published


def publish(stage: Any, *more: str) -> Any:
    return stage.run(
        *("publish", "--application", "storefront", "--tag", "v1.4.0", "--sign", SIGNING),
        *("--stage", "development"),
        *("--artifact", "function=storefront.zip", "--artifact", "schema=schema.sql"),
        *("--commit", "8f1d5a0b6f3c4c3f8e0d2b7a9c1e5f60718293a4"),
        *("--repository", "acme/storefront", "--author", "dana@example.com", *more),
    )


def read(stage: Any, bucket: str) -> dict[str, Any]:
    """As ReadRelease reads it."""
    return read_release(
        github_hosts=("api.github.com",),
        s3=stage.client("s3"),
        ssm=stage.client("ssm"),
        stage="development",
        bucket=bucket,
        key=FOLDER + "release.json",
        version="",
        execution="arn:aws:states:eu-central-1:123456789012:execution:release:v1.4.0",
    )


def claimed(stage: Any, **changes: Any) -> None:
    releases.claim(stage.ledger, read(stage, "releases") | changes)


def ended(stage: Any, status: Status) -> None:
    releases.end(
        stage.ledger,
        application="storefront",
        tag="v1.4.0",
        attempt=1,
        status=status,
        why="It is so",
        execution="arn",
    )


def versions(stage: Any) -> list[str]:
    """Every version of every object in production's bucket."""
    found = stage.client("s3").list_object_versions(Bucket="production").get("Versions", [])
    return sorted(each["Key"].removeprefix(FOLDER) for each in found)


def content(stage: Any, bucket: str, file: str) -> bytes:
    body: bytes = stage.client("s3").get_object(Bucket=bucket, Key=FOLDER + file)["Body"].read()
    return body


def judged(stage: Any, gate: str) -> Any:
    """The result of production's gate for the release in production's bucket."""
    gates = {
        "signature": {"key": SIGNING},
        "promotion": {"stage": "development", "key": PROMOTING},
    }
    stage.configure(gates=gates)
    found = read(stage, "production")
    return GATES[gate].check(case(s3=stage.client("s3"), kms=stage.client("kms"), **found))


def test_the_same_bytes_and_signature_arrive_and_pass_every_gate(succeeded: Any) -> None:
    result = succeeded.run(*ARGUMENTS, "--sign", PROMOTING)
    assert result.exit_code == 0, result.output
    assert versions(succeeded) == EVERYTHING
    for file in ("storefront.zip", "schema.sql", "release.json", "release.json.sig"):
        assert content(succeeded, "production", file) == content(succeeded, "releases", file)
    for gate in ("manifest", "integrity", "signature", "promotion"):
        assert judged(succeeded, gate).verdict is Verdict.PASSED, judged(succeeded, gate)
    assert "Promoting storefront v1.4.0 from development to production" in result.stdout
    assert "tagship watch storefront v1.4.0 --stage production" in result.stdout


def test_the_manifest_is_uploaded_last_and_the_statement_is_correct(succeeded: Any) -> None:
    document = json.loads(succeeded.run(*ARGUMENTS, "--sign", PROMOTING, "--json").stdout)
    assert [each["file"] for each in document["objects"]] == [
        *("storefront.zip", "schema.sql", "release.json.sig"),
        *("promotion.json", "promotion.json.sig", "release.json"),
    ]
    record = releases.get(succeeded.ledger, "storefront", "v1.4.0")
    said = json.loads(content(succeeded, "production", "promotion.json"))
    assert said == {
        "schemaVersion": 1,
        "application": "storefront",
        "tag": "v1.4.0",
        "digest": record["digest"],
        "fromStage": "development",
        "toStage": "production",
        "succeededAt": record["endedAt"],
        "promotedAt": "2026-11-23T14:05:00Z",
        "promotedBy": succeeded.client("sts").get_caller_identity()["Arn"],
    }
    assert (document["promoted"], document["digest"]) == (True, record["digest"])


def test_a_second_run_changes_nothing_and_says_so(succeeded: Any) -> None:
    succeeded.run(*ARGUMENTS, "--sign", PROMOTING)
    succeeded.clock.pause(90)
    result = succeeded.run(*ARGUMENTS, "--sign", PROMOTING)
    assert result.exit_code == 0
    assert "was already promoted to production; no new release starts" in result.stdout
    assert versions(succeeded) == EVERYTHING


@pytest.mark.parametrize(
    "after", ["schema.sql", "release.json.sig", "promotion.json", "promotion.json.sig", "release.json"]
)
def test_a_run_interrupted_at_any_point_is_finished_by_the_next(
    succeeded: Any, after: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from tagship_cli.actions.publishing import Folder

    put = Folder._put

    def die(folder: Any, file: str, *arguments: Any, **more: Any) -> None:
        put(folder, file, *arguments, **more)
        if file == after:
            raise Failed("the network is gone")

    with monkeypatch.context() as patch:
        patch.setattr(Folder, "_put", die)
        assert succeeded.run(*ARGUMENTS, "--sign", PROMOTING).exit_code == 1
    succeeded.clock.pause(3600)
    result = succeeded.run(*ARGUMENTS, "--sign", PROMOTING)
    assert result.exit_code == 0, result.output
    assert versions(succeeded) == EVERYTHING
    for gate in ("signature", "promotion"):
        assert judged(succeeded, gate).verdict is Verdict.PASSED, judged(succeeded, gate)


def test_a_statement_signed_by_another_key_is_not_accepted(succeeded: Any) -> None:
    """Fault 9: permission to publish in production and to sign releases is not enough to claim that staging succeeded."""
    succeeded.run(*ARGUMENTS, "--sign", SIGNING)
    assert judged(succeeded, "promotion").verdict is Verdict.FAILED


def test_without_a_key_there_is_no_statement(succeeded: Any) -> None:
    assert succeeded.run(*ARGUMENTS).exit_code == 0
    assert versions(succeeded) == [name for name in EVERYTHING if not name.startswith("promotion")]
    assert "was not promoted from development" in judged(succeeded, "promotion").why


# ---- what is refused -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "endings, why",
    [
        ((), "storefront v1.4.0 is still in progress in development."),
        ((Status.INVALID,), "storefront v1.4.0 ended INVALID in development: It is so. Nothing was copied."),
        ((Status.SUCCEEDED, Status.ROLLED_BACK), "storefront v1.4.0 ended ROLLED_BACK in development"),
    ],
    ids=["underway", "invalid", "rolled back since"],
)
def test_an_unsuccessful_release_is_not_promoted(
    published: Any, endings: tuple[Status, ...], why: str
) -> None:
    claimed(published)
    for status in endings:
        ended(published, status)
    result = published.run(*ARGUMENTS, "--sign", PROMOTING)
    assert result.exit_code == 1
    assert why in result.stderr
    assert versions(published) == []


def test_an_unknown_release_is_not_promoted(published: Any) -> None:
    result = published.run(*ARGUMENTS)
    assert result.exit_code == 1
    assert "Release storefront v1.4.0 is not in the ledger" in result.stderr


@pytest.mark.parametrize("wrong", ["digest", "manifest"])
def test_bytes_that_differ_from_the_ledger_are_not_uploaded(published: Any, wrong: str) -> None:
    """Fault 8."""
    record = read(published, "releases")
    record["manifest"]["artifacts"][1]["sha256"] = "0" * 64
    claimed(published, **{wrong: {"digest": "0" * 64, "manifest": record["manifest"]}[wrong]})
    ended(published, Status.SUCCEEDED)
    result = published.run(*ARGUMENTS, "--sign", PROMOTING)
    assert result.exit_code == 1
    assert "no longer has the bytes that were released there. Nothing was copied." in result.stderr
    assert versions(published) == []


def test_the_released_object_version_is_copied_even_after_a_later_upload(succeeded: Any) -> None:
    """Fault 4."""
    for file in ("storefront.zip", "release.json", "release.json.sig"):
        succeeded.client("s3").put_object(Bucket="releases", Key=FOLDER + file, Body=b"overwritten")
    assert succeeded.run(*ARGUMENTS, "--sign", PROMOTING).exit_code == 0
    assert content(succeeded, "production", "storefront.zip") == CODE
    assert judged(succeeded, "signature").verdict is Verdict.PASSED


def test_a_tag_with_other_content_in_the_next_stage_is_refused(succeeded: Any) -> None:
    """Fault 5."""
    succeeded.clock.pause(60)
    assert publish(succeeded, "--bucket", "production").exit_code == 0
    result = succeeded.run(*ARGUMENTS, "--sign", PROMOTING)
    assert result.exit_code == 1
    assert "was published in production separately, with a different release.json" in result.stderr


def test_an_existing_statement_about_something_else_is_not_signed(succeeded: Any) -> None:
    """Fault 5."""
    succeeded.run(*ARGUMENTS, "--sign", PROMOTING)
    s3 = succeeded.client("s3")
    said = content(succeeded, "production", "promotion.json")
    for file in ("release.json", "promotion.json", "promotion.json.sig"):
        s3.delete_object(Bucket="production", Key=FOLDER + file)
    s3.put_object(
        Bucket="production", Key=FOLDER + "promotion.json", Body=said.replace(b"development", b"staging")
    )
    result = succeeded.run(*ARGUMENTS, "--sign", PROMOTING)
    assert result.exit_code == 1
    assert "promotion.json already exists, with a different statement." in result.stderr


def test_a_key_that_cannot_sign_leaves_nothing_behind(succeeded: Any) -> None:
    assert succeeded.run(*ARGUMENTS, "--sign", "alias/tagship-nowhere").exit_code == 3
    assert versions(succeeded) == []


def test_a_stage_cannot_be_promoted_to_itself(stages: Any) -> None:
    result = stages.run("promote", "storefront", "v1.4.0", "--from", "staging", "--to", "staging")
    assert result.exit_code == 2
    assert "--from and --to must differ; both are staging." in result.stderr


def test_each_stage_is_reached_with_its_own_stack_region_and_profile(
    succeeded: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from tagship_cli import place

    asked, session = [], place.new_session

    def noted(*, profile_name: str | None, region_name: str | None) -> Any:
        asked.append((profile_name, region_name))
        return session(profile_name=None, region_name=None)

    monkeypatch.setattr("tagship_cli.place.new_session", noted)
    result = succeeded.run(
        *("--region", "eu-west-1", *ARGUMENTS, "--from-profile", "one", "--to-profile", "two"),
        *("--to-region", "eu-north-1", "--to-stack", "tagship-production"),
    )
    assert result.exit_code == 0, result.output
    assert asked == [("one", "eu-west-1"), ("two", "eu-north-1")]
    assert "--stage production --region eu-north-1 --profile two" in result.stdout
