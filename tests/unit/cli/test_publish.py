"""publish: everything is checked first, artifacts are uploaded first, release.json last, and nothing is overwritten."""

from __future__ import annotations

import base64
import hashlib
import io
import json
import subprocess
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.response import StreamingBody
from botocore.stub import ANY, Stubber

from tagship.model.documents import read_manifest
from tagship.model.release import Status
from tagship_cli.actions.publishing import MOST_BYTES, File, Folder, Release, _next
from tagship_cli.actions.source import changes_since_the_last_tag, from_git, is_noreply
from tagship_cli.failures import AwsRefused, Failed

FOLDER = "releases/storefront/v1.4.0/"
CODE = b"PK\x05\x06" + bytes(18)
"""The smallest zip there is."""


@pytest.fixture
def code(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A build, in a folder that is no git repository."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    file = tmp_path / "storefront.zip"
    file.write_bytes(CODE)
    return file


@pytest.fixture
def arguments(code: Path, stage: Any) -> list[str]:
    stage.configure()
    return [
        *("publish", "--application", "storefront", "--tag", "v1.4.0"),
        *("--artifact", f"function={code}"),
        *("--commit", "8f1d5a0b6f3c4c3f8e0d2b7a9c1e5f60718293a4"),
        *("--repository", "acme/storefront", "--author", "dana@example.com"),
    ]


def objects(stage: Any) -> dict[str, bytes]:
    s3 = stage.client("s3")
    keys = [found["Key"] for found in s3.list_objects_v2(Bucket="releases").get("Contents", [])]
    return {key: s3.get_object(Bucket="releases", Key=key)["Body"].read() for key in keys}


def versions(stage: Any) -> int:
    return len(stage.client("s3").list_object_versions(Bucket="releases").get("Versions", []))


# ---- what is uploaded ----------------------------------------------------------------------------------------------


def test_a_release_is_uploaded_with_a_manifest_that_the_pipeline_accepts(
    stage: Any, arguments: list[str]
) -> None:
    result = stage.run(
        *arguments, "--notes", "Größer — besser", "--parameter", "Level=info", "--parameter", "A=b=c"
    )
    assert result.exit_code == 0, result.output
    found = objects(stage)
    manifest = read_manifest(found[f"{FOLDER}release.json"])
    assert found[f"{FOLDER}storefront.zip"] == CODE
    assert manifest.artifacts[0].sha256 == hashlib.sha256(CODE).hexdigest()
    assert manifest.artifacts[0].size == len(CODE)
    assert manifest.createdAt == "2026-11-23T14:05:00Z"
    assert manifest.notes == "Größer — besser"
    assert manifest.parameters == {"Level": "info", "A": "b=c"}


def test_it_lists_the_uploads_and_how_to_watch(stage: Any, arguments: list[str]) -> None:
    output = stage.run(*arguments).stdout
    assert output.splitlines()[0] == (
        "Publishing storefront v1.4.0 for development, from acme/storefront 8f1d5a0 by dana@example.com"
    )
    assert "storefront.zip                        22 B  uploaded" in output
    assert "Published at s3://releases/releases/storefront/v1.4.0/" in output
    assert "tagship watch storefront v1.4.0 --stage development" in output


def test_the_result_as_json(stage: Any, arguments: list[str]) -> None:
    document = json.loads(stage.run(*arguments, "--json").stdout)
    assert document["published"] is True
    assert document["publishedBefore"] is False
    assert document["address"] == "s3://releases/releases/storefront/v1.4.0/"
    assert [each["file"] for each in document["objects"]] == ["storefront.zip", "release.json"]
    assert document["manifest"]["tag"] == "v1.4.0"


def test_a_named_bucket_needs_no_stack(stage: Any, arguments: list[str]) -> None:
    stage.stage = "production"
    stage.configure()
    assert stage.run(*arguments, "--bucket", "releases", "--stage", "production").exit_code == 0
    assert f"{FOLDER}release.json" in objects(stage)


def test_without_a_stack_it_suggests_the_bucket_option(stage: Any, arguments: list[str]) -> None:
    result = stage.run(*arguments, "--stage", "production")
    assert result.exit_code == 3
    assert "There is no stack tagship-production" in result.stderr
    assert "With --bucket, the command does not need the stack." in result.stderr


def test_artifacts_are_uploaded_first_and_the_manifest_last(code: Path) -> None:
    other = code.with_name("schema.sql")
    other.write_bytes(b"sql")
    folder, stub = stubbed(release(code, other))
    missing = {"service_error_code": "404", "http_status_code": 404}
    stub.add_client_error("get_object", **missing)
    stub.add_client_error("head_object", **missing)
    stub.add_client_error("head_object", **missing)
    for file, body in ((code, CODE), (other, b"sql")):
        stub.add_response("put_object", {}, put(file.name, body))
    stub.add_response("put_object", {}, put("release.json", folder.release.body))
    with stub:
        assert folder.upload(folder.look(), lambda *_: None) is True
    stub.assert_no_pending_responses()


# ---- twice ---------------------------------------------------------------------------------------------------------


def test_publishing_again_changes_nothing_and_says_so(stage: Any, arguments: list[str]) -> None:
    stage.run(*arguments)
    before = versions(stage)
    stage.clock.pause(90)
    result = stage.run(*arguments)
    assert result.exit_code == 0
    assert "was already published with the same content; no new release starts" in result.stdout
    assert versions(stage) == before
    assert json.loads(stage.run(*arguments, "--json").stdout)["publishedBefore"] is True


@pytest.mark.parametrize(
    "ref, tag, pattern",
    [
        ("storefront/v1.4.0", "v1.4.0", "storefront/v*"),
        ("storefront@1.4.0-rc.1", "v1.4.0-rc.1", "storefront@*"),
        ("1.4.0", "v1.4.0", "*"),
        ("2026.01.05", "v2026.1.5", "2026.*"),
        ("@acme/storefront@1.4.0", "v1.4.0", "@acme/storefront@*"),
    ],
)
def test_a_monorepos_git_tag_is_kept_whole_and_its_version_is_the_tag(
    stage: Any, arguments: list[str], ref: str, tag: str, pattern: str
) -> None:
    """Fault 93."""
    stage.configure(gates={"tags": {"pattern": pattern}})
    arguments[arguments.index("v1.4.0")] = ref
    result = stage.run(*arguments)
    assert result.exit_code == 0, result.output
    body = stage.client("s3").get_object(Bucket="releases", Key=f"releases/storefront/{tag}/release.json")[
        "Body"
    ]
    read = read_manifest(body.read())
    assert (read.tag, read.ref, read.git_tag) == (tag, ref, ref)


def test_cis_full_name_of_a_tag_names_the_same_tag(stage: Any, arguments: list[str]) -> None:
    """Fault 93. In many CIs a variable has `refs/tags/v1.4.0`."""
    stage.configure(gates={"tags": {"pattern": "*"}})
    for given, name, ref in (("v1.4.0", "v1.4.0", ""), ("storefront/v1.4.1", "v1.4.1", "storefront/v1.4.1")):
        arguments[arguments.index("--tag") + 1] = f"refs/tags/{given}"
        result = stage.run(*arguments)
        assert result.exit_code == 0, result.output
        body = stage.client("s3").get_object(
            Bucket="releases", Key=f"releases/storefront/{name}/release.json"
        )["Body"]
        assert read_manifest(body.read()).ref == ref


def test_a_tag_that_the_application_does_not_accept_is_refused_before_the_upload(
    stage: Any, arguments: list[str]
) -> None:
    """Fault 93: another application's tag of the same repository."""
    stage.configure(gates={"tags": {"pattern": "storefront/v*"}})
    for ref in ("v1.4.0", "checkout/v1.4.0"):
        given = [ref if each == "v1.4.0" else each for each in arguments]
        refused = stage.run(*given)
        assert refused.exit_code == 1
        assert f"is released from git tags like storefront/v*, but this one is {ref}" in refused.stderr
    assert versions(stage) == 0


def test_an_interrupted_run_is_finished_by_the_next(stage: Any, arguments: list[str]) -> None:
    stage.client("s3").put_object(Bucket="releases", Key=f"{FOLDER}storefront.zip", Body=CODE)
    result = stage.run(*arguments)
    assert result.exit_code == 0
    assert "already there, with the same bytes" in result.stdout
    assert "Published" in result.stdout
    assert versions(stage) == 2


def test_a_partial_upload_of_another_build_does_not_use_the_tag(stage: Any, arguments: list[str]) -> None:
    """Fault 85: A tag is used once its release.json is there; what lies there can't be overwritten and is left alone."""
    stage.client("s3").put_object(Bucket="releases", Key=f"{FOLDER}storefront.zip", Body=b"another build")
    result = stage.run(*arguments)
    assert result.exit_code == 0, result.output
    found = objects(stage)
    (artifact,) = read_manifest(found[f"{FOLDER}release.json"]).artifacts
    assert artifact.file == f"storefront-{hashlib.sha256(CODE).hexdigest()[:12]}.zip"
    assert found[FOLDER + artifact.file] == CODE
    assert found[f"{FOLDER}storefront.zip"] == b"another build"
    again = stage.run(*arguments)
    assert again.exit_code == 0
    assert "was already published with the same content" in again.stdout
    assert versions(stage) == 3


def test_an_interrupted_rebuild_is_finished_by_the_next_run(stage: Any, arguments: list[str]) -> None:
    """Fault 85."""
    renamed = f"{FOLDER}storefront-{hashlib.sha256(CODE).hexdigest()[:12]}.zip"
    stage.client("s3").put_object(Bucket="releases", Key=f"{FOLDER}storefront.zip", Body=b"another build")
    stage.client("s3").put_object(Bucket="releases", Key=renamed, Body=CODE)
    assert stage.run(*arguments).exit_code == 0
    assert versions(stage) == 3


@pytest.mark.parametrize(
    "author",
    [
        "41898282+github-actions[bot]@users.noreply.github.com",
        "o'brien@example.com",
        "first.last+tag@example.com",
        "a!#$%&*/=?^_`{|}~-b@sub.example.com",
    ],
)
def test_every_address_that_mail_servers_accept_can_be_an_author(
    stage: Any, arguments: list[str], author: str
) -> None:
    """Fault 81."""
    result = stage.run(*arguments, "--author", author)
    assert result.exit_code == 0, result.output
    assert read_manifest(objects(stage)[f"{FOLDER}release.json"]).author == author
    assert ("is not a personal mail address" in result.stderr) is ("noreply" in author)


@pytest.mark.parametrize(
    "author", ["a b@example.com", "<a@example.com>", "a@b@example.com", "a,b@example.com"]
)
def test_an_invalid_address_is_no_author(stage: Any, arguments: list[str], author: str) -> None:
    assert stage.run(*arguments, "--author", author).exit_code == 1
    assert objects(stage) == {}


def test_a_used_tag_is_refused_with_the_differences(stage: Any, arguments: list[str], code: Path) -> None:
    stage.run(*arguments)
    code.write_bytes(CODE + b"!")
    result = stage.run(*arguments, "--notes", "again", "--commit", "a" * 40)
    assert result.exit_code == 1
    assert result.stderr == (
        "storefront v1.4.0 was already published on 2026-11-23T14:05:00Z with different content ("
        "commit 8f1d5a0 instead of aaaaaaa, a different value of notes and different artifacts), "
        "and a tag can be used only once. Nothing was uploaded.\n"
        "Publish a new tag, for example v1.4.1.\n"
    )
    assert versions(stage) == 2


def test_an_unreadable_manifest_uses_its_tag_too(stage: Any, arguments: list[str]) -> None:
    stage.client("s3").put_object(Bucket="releases", Key=f"{FOLDER}release.json", Body=b"\xff")
    result = stage.run(*arguments)
    assert result.exit_code == 1
    assert "its release.json can't be read" in result.stderr


# ---- what the stage knows ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "status", [Status.ROLLED_BACK, Status.INVALID, Status.REJECTED, Status.EXPIRED, Status.ABORTED]
)
def test_publishing_a_tag_that_ended_badly_again_fails_the_job(
    stage: Any, arguments: list[str], status: Status
) -> None:
    """Fault 94."""
    stage.run(*arguments)
    stage.release().locked().ended(status, "One check was unhealthy.")
    result = stage.run(*arguments)
    assert result.exit_code == 1
    assert (
        f"storefront v1.4.0 was already published and ended {status}: One check was unhealthy."
        in result.stderr
    )
    assert "Publish a new tag" in result.stderr
    outcome = stage.run(*arguments, "--json")
    assert outcome.exit_code == 1
    assert json.loads(outcome.stdout)["status"] == status


def test_publishing_a_running_or_successful_tag_again_passes_and_says_so(
    stage: Any, arguments: list[str]
) -> None:
    stage.run(*arguments)
    made = stage.release()
    assert "no new release starts. Its status is RUNNING." in stage.run(*arguments).stdout
    made.succeeded()
    result = stage.run(*arguments)
    assert result.exit_code == 0
    assert "no new release starts. Its status is SUCCEEDED." in result.stdout


def test_without_access_to_the_ledger_the_outcome_is_reported_as_unknown(
    stage: Any, arguments: list[str]
) -> None:
    stage.run(*arguments)
    stage.client("dynamodb").delete_table(TableName="ledger")
    result = stage.run(*arguments)
    assert result.exit_code == 0
    assert "Your identity can't read its status." in result.stdout


def test_an_unconfigured_application_is_refused_before_the_upload(stage: Any, arguments: list[str]) -> None:
    result = stage.run(*["greter" if it == "storefront" else it for it in arguments])
    assert result.exit_code == 1
    assert "There is no configuration of 'greter' in development" in result.stderr
    assert "tagship apply application.yaml --stage development" in result.stderr
    assert objects(stage) == {}


def test_a_release_without_the_zip_of_another_function_is_refused_before_the_upload(
    stage: Any, arguments: list[str]
) -> None:
    others = [{"function": "storefront-worker", "artifact": "worker"}]
    document = stage.configure()
    stage.configure(target=document["target"] | {"others": others})
    result = stage.run(*arguments)
    assert result.exit_code == 1
    assert "requires an artifact named worker (the code of storefront-worker, as a zip)" in result.stderr
    assert "--artifact worker=PATH" in result.stderr
    assert objects(stage) == {}


def test_an_artifact_unknown_to_the_target_is_refused_before_the_upload(
    stage: Any, arguments: list[str], code: Path
) -> None:
    result = stage.run(*[it.replace("function=", "code=") for it in arguments])
    assert result.exit_code == 1
    assert (
        "requires an artifact named function (the function's code, as a zip); this release has code"
        in result.stderr
    )
    assert "--artifact function=PATH" in result.stderr
    assert objects(stage) == {}


# ---- races and refusals --------------------------------------------------------------------------------------------


def release(*files: Path) -> Release:
    fields = {
        "schemaVersion": 1,
        "application": "storefront",
        "tag": "v1.4.0",
        "commit": "a" * 40,
        "repository": "acme/storefront",
        "author": "dana@example.com",
        "createdAt": "2026-11-23T14:05:00Z",
    }
    return Release.of(fields, [File.measured(file.stem, file) for file in files])


def stubbed(of: Release) -> tuple[Folder, Stubber]:
    s3 = boto3.client("s3", region_name="eu-central-1")
    return Folder(s3=s3, bucket="releases", release=of), Stubber(s3)


def put(file: str, body: bytes) -> dict[str, Any]:
    """Exactly what a PUT must say: made once, and with its checksum."""
    return {
        "Bucket": "releases",
        "Key": f"{FOLDER}{file}",
        "Body": ANY,
        "IfNoneMatch": "*",
        "ChecksumSHA256": base64.b64encode(hashlib.sha256(body).digest()).decode(),
    }


def gotten(body: bytes) -> dict[str, Any]:
    return {"Body": StreamingBody(io.BytesIO(body), len(body))}


def look_at_nothing(stub: Stubber) -> None:
    stub.add_client_error("get_object", "NoSuchKey", http_status_code=404)
    stub.add_client_error("head_object", "404", http_status_code=404)


def upload(folder: Folder) -> bool:
    return folder.upload(folder.look(), lambda *_: None)


def test_an_identity_that_cannot_list_the_bucket_can_still_publish(code: Path) -> None:
    folder, stub = stubbed(release(code))
    stub.add_client_error("get_object", "AccessDenied", http_status_code=403)
    stub.add_client_error("head_object", "403", http_status_code=403)
    stub.add_response("put_object", {}, put("storefront.zip", CODE))
    stub.add_response("put_object", {}, put("release.json", folder.release.body))
    with stub:
        assert upload(folder) is True


def test_s3s_checksum_avoids_a_download(code: Path) -> None:
    folder, stub = stubbed(release(code))
    stub.add_client_error("get_object", "NoSuchKey", http_status_code=404)
    checksum = base64.b64encode(hashlib.sha256(CODE).digest()).decode()
    stub.add_response("head_object", {"ContentLength": len(CODE), "ChecksumSHA256": checksum})
    stub.add_response("put_object", {}, put("release.json", folder.release.body))
    with stub:
        assert upload(folder) is True


def test_a_multipart_checksum_is_not_used(code: Path) -> None:
    folder, stub = stubbed(release(code))
    stub.add_client_error("get_object", "NoSuchKey", http_status_code=404)
    stub.add_response("head_object", {"ContentLength": len(CODE), "ChecksumSHA256": "AAAA-2"})
    stub.add_response("get_object", gotten(CODE))
    stub.add_response("put_object", {}, put("release.json", folder.release.body))
    with stub:
        assert upload(folder) is True


def test_the_same_artifact_uploaded_concurrently_is_accepted(code: Path) -> None:
    folder, stub = stubbed(release(code))
    look_at_nothing(stub)
    stub.add_client_error("put_object", "PreconditionFailed", http_status_code=412)
    stub.add_response("head_object", {"ContentLength": len(CODE)})
    stub.add_response("get_object", gotten(CODE))
    stub.add_response("put_object", {}, put("release.json", folder.release.body))
    with stub:
        assert upload(folder) is True


def test_another_artifact_uploaded_concurrently_is_refused(code: Path) -> None:
    folder, stub = stubbed(release(code))
    look_at_nothing(stub)
    stub.add_client_error("put_object", "PreconditionFailed", http_status_code=412)
    stub.add_response("head_object", {"ContentLength": len(CODE) + 1})
    with stub, pytest.raises(Failed, match="with different bytes"):
        upload(folder)


def test_an_unfinished_concurrent_upload_is_reported(code: Path) -> None:
    folder, stub = stubbed(release(code))
    look_at_nothing(stub)
    stub.add_client_error("put_object", "ConditionalRequestConflict", http_status_code=409)
    stub.add_client_error("head_object", "404", http_status_code=404)
    with stub, pytest.raises(Failed, match="Someone else is uploading"):
        upload(folder)


def test_our_manifest_is_recognized_if_its_response_was_lost(code: Path) -> None:
    folder, stub = stubbed(release(code))
    look_at_nothing(stub)
    stub.add_response("put_object", {}, put("storefront.zip", CODE))
    stub.add_client_error("put_object", "PreconditionFailed", http_status_code=412)
    stub.add_response("get_object", gotten(folder.release.body))
    with stub:
        assert upload(folder) is True


def test_a_manifest_published_concurrently_uses_the_tag(code: Path) -> None:
    folder, stub = stubbed(release(code))
    look_at_nothing(stub)
    stub.add_response("put_object", {}, put("storefront.zip", CODE))
    stub.add_client_error("put_object", "ConditionalRequestConflict", http_status_code=409)
    stub.add_response(
        "get_object", gotten(folder.release.body.replace(b'"a.', b'"b.').replace(b"a" * 40, b"b" * 40))
    )
    with stub, pytest.raises(Failed, match="a tag can be used only once"):
        upload(folder)


def test_an_unreadable_manifest_is_not_taken_for_ours(code: Path) -> None:
    folder, stub = stubbed(release(code))
    look_at_nothing(stub)
    stub.add_response("put_object", {}, put("storefront.zip", CODE))
    stub.add_client_error("put_object", "PreconditionFailed", http_status_code=412)
    stub.add_client_error("get_object", "AccessDenied", http_status_code=403)
    with stub, pytest.raises(Failed, match="is already used, or someone else is publishing it"):
        upload(folder)


def test_a_file_that_changes_during_the_upload_is_not_published(code: Path) -> None:
    folder, stub = stubbed(release(code))
    look_at_nothing(stub)
    stub.add_client_error("put_object", "BadDigest", http_status_code=400)
    with stub, pytest.raises(Failed, match="changed while it was uploaded"):
        upload(folder)


def test_a_refused_upload_says_what_was_attempted_what_aws_answered_and_what_to_do(code: Path) -> None:
    folder, stub = stubbed(release(code))
    look_at_nothing(stub)
    stub.add_client_error("put_object", "AccessDenied", "not authorized", http_status_code=403)
    with stub, pytest.raises(AwsRefused) as refused:
        upload(folder)
    message = refused.value.message
    assert (
        f"Uploading {code} to s3://releases/{FOLDER}storefront.zip: AWS refused (AccessDenied): not authorized."
        in message
    )
    assert "Your identity can't do this (PutObject)" in message


def test_a_missing_bucket_is_reported_as_refused_by_aws(stage: Any, arguments: list[str]) -> None:
    result = stage.run(*arguments, "--bucket", "nowhere-at-all")
    assert result.exit_code == 3
    assert "AWS refused (NoSuchBucket)" in result.stderr


# ---- before anything is uploaded -----------------------------------------------------------------------------------


def test_a_file_too_large_for_one_put_is_refused_before_it_is_read(
    stage: Any, arguments: list[str], code: Path
) -> None:
    with code.open("wb") as large:
        large.truncate(MOST_BYTES + 1)
    result = stage.run(*arguments)
    assert result.exit_code == 1
    assert "has 5,368,709,121 bytes, but S3 accepts at most 5,368,709,120 (5 GiB) in one PUT" in result.stderr
    assert versions(stage) == 0


@pytest.mark.parametrize(
    "change, expected",
    [
        (("--tag", "v1.4"), "tag: must be v and a semantic version"),
        (("--application", "Storefront"), "application: must be a lower-case letter"),
        (("--commit", "abc"), "commit: must be 40 lower-case hexadecimal digits"),
        (("--author", "Dana"), "author: must be a plain mail address"),
        (("--notes", "x" * 40_001), "notes: should have at most 40000 characters"),
    ],
)
def test_an_invalid_manifest_names_the_field_and_nothing_is_uploaded(
    stage: Any, arguments: list[str], change: tuple[str, str], expected: str
) -> None:
    result = stage.run(*arguments, *change)
    assert result.exit_code == 1
    assert "The release is not valid. Nothing was uploaded." in result.stderr
    assert expected in result.stderr
    assert versions(stage) == 0


def test_all_problems_of_a_manifest_are_reported_at_once(stage: Any, arguments: list[str]) -> None:
    output = stage.run(*arguments, "--author", "Dana", "--commit", "abc").stderr
    assert "author:" in output
    assert "commit:" in output


@pytest.mark.parametrize(
    "change, code_, expected",
    [
        (("--artifact", "storefront.zip"), 2, "is not name=path"),
        (("--artifact", "function="), 2, "is not name=path"),
        (("--artifact", "x=nowhere.zip"), 1, "nowhere.zip can't be read: No such file or directory"),
        (("--artifact", "x=."), 1, "can't be read: Is a directory"),
        (("--artifact", "function=storefront.zip"), 1, "artifacts[1].name: contains 'function' twice"),
        (("--artifact", "release=release.json"), 1, "artifacts[1].file: must be a plain file name"),
        (("--artifact", "empty=empty.zip"), 1, "empty.zip is empty"),
        (("--artifact", "broken=broken.zip"), 1, "broken.zip is not a zip file"),
        (("--parameter", "novalue"), 2, "is not KEY=VALUE"),
        (("--notes", "a", "--notes-file", "notes.md"), 2, "not both"),
        (("--stage", "moon"), 2, "is not one of 'development', 'staging', 'production'"),
    ],
)
def test_wrong_usage_is_reported_before_any_aws_call(
    code: Path, arguments: list[str], change: tuple[str, ...], code_: int, expected: str, stage: Any
) -> None:
    code.with_name("empty.zip").touch()
    code.with_name("broken.zip").write_bytes(b"<html>404 Not Found</html>")
    code.with_name("release.json").write_text("{}")
    code.with_name("notes.md").write_text("notes")
    result = stage.run(*arguments, *change)
    assert result.exit_code == code_
    assert expected in result.stderr
    assert versions(stage) == 0


def test_a_dry_run_shows_the_manifest_and_uploads_nothing(stage: Any, arguments: list[str]) -> None:
    result = stage.run(*arguments, "--dry-run")
    assert result.exit_code == 0
    assert "Would publish storefront v1.4.0" in result.stdout
    assert '"sha256": "' + hashlib.sha256(CODE).hexdigest() in result.stdout
    assert "Dry run: nothing was uploaded" in result.stdout
    assert versions(stage) == 0


def test_a_dry_run_finds_a_used_tag(stage: Any, arguments: list[str]) -> None:
    stage.run(*arguments)
    assert "was already published" in stage.run(*arguments, "--dry-run").stdout
    assert stage.run(*arguments, "--notes", "other", "--dry-run").exit_code == 1


def test_the_reason_for_an_unsafe_rollback_is_in_the_manifest(stage: Any, arguments: list[str]) -> None:
    """Fault 103."""
    assert stage.run(*arguments, "--rollback-unsafe", " ").exit_code == 2
    result = stage.run(*arguments, "--rollback-unsafe", "Migration 42 drops a column.")
    assert result.exit_code == 0, result.output
    assert (
        read_manifest(objects(stage)[f"{FOLDER}release.json"]).rollbackUnsafe
        == "Migration 42 drops a column."
    )


def test_an_emergency_is_in_the_manifest_and_shown(stage: Any, arguments: list[str]) -> None:
    result = stage.run(*arguments, "--emergency", "nobody can pay", "--json")
    assert json.loads(result.stdout)["manifest"]["emergency"] == "nobody can pay"
    assert "everyone who can decide must approve" in result.stderr
    assert stage.run(*arguments, "--emergency", " ").exit_code == 2


def test_notes_can_come_from_a_file(stage: Any, arguments: list[str], code: Path) -> None:
    code.with_name("notes.md").write_text("- one\n- two\n")
    stage.run(*arguments, "--notes-file", "notes.md")
    assert read_manifest(objects(stage)[f"{FOLDER}release.json"]).notes == "- one\n- two\n"


def test_control_characters_in_notes_are_shown_and_not_obeyed(stage: Any, arguments: list[str]) -> None:
    output = stage.run(*arguments, "--dry-run", "--notes", "a\u202eb", color=True).output
    assert "\u202e" not in output
    assert "a⟨U+202E⟩b" in output


# ---- the source of a release ---------------------------------------------------------------------------------------


@pytest.fixture
def repository(stage: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A git repository with one commit, checked out and clean."""
    stage.configure()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", "/dev/null")
    for name in ("GITHUB_SERVER_URL", "GITHUB_REPOSITORY", "CI_PROJECT_URL"):
        monkeypatch.delenv(name, raising=False)
    (tmp_path / "storefront.zip").write_bytes(CODE)
    for command in (
        "init --quiet",
        "config user.email dana@example.com",
        "config user.name Dana",
        "remote add origin git@github.com:acme/storefront.git",
        "add .",
        "commit --quiet -m one",
    ):
        git(tmp_path, command)
    return tmp_path


def git(folder: Path, command: str) -> str:
    return subprocess.run(
        ["git", *command.split()], cwd=folder, check=True, capture_output=True, text=True
    ).stdout.strip()


GIVEN = ("publish", "--application", "storefront", "--tag", "v1.4.0", "--artifact", "function=storefront.zip")


def test_commit_repository_and_author_come_from_git(stage: Any, repository: Path) -> None:
    result = stage.run(*GIVEN)
    assert result.exit_code == 0, result.output
    manifest = read_manifest(objects(stage)[f"{FOLDER}release.json"])
    assert manifest.commit == git(repository, "rev-parse HEAD")
    assert (manifest.repository, manifest.author) == ("acme/storefront", "dana@example.com")
    assert result.stderr == ""


def test_cis_environment_overrides_git_and_options_override_both(stage: Any, repository: Path) -> None:
    env = {"GITHUB_SHA": "b" * 40, "GITHUB_REPOSITORY": "other/place", "GITLAB_USER_EMAIL": "ci@example.com"}
    document = json.loads(stage.run(*GIVEN, "--dry-run", "--json", env=env).stdout)["manifest"]
    assert (document["commit"], document["repository"], document["author"]) == (
        "b" * 40,
        "other/place",
        "ci@example.com",
    )
    document = json.loads(stage.run(*GIVEN, "--dry-run", "--json", "--commit", "c" * 40, env=env).stdout)[
        "manifest"
    ]
    assert document["commit"] == "c" * 40


def test_git_expands_a_short_commit(repository: Path) -> None:
    full = git(repository, "rev-parse HEAD")
    assert from_git(repository, commit=full[:8], tag="v1.4.0").commit == full


def test_without_git_and_ci_every_missing_option_is_listed_at_once(stage: Any, code: Path) -> None:
    result = stage.run(*GIVEN, "--author", "dana@example.com")
    assert result.exit_code == 2
    assert "Missing: commit, repository. Neither git nor the environment provides this." in result.stderr
    assert "Set --commit, --repository." in result.stderr


def test_uncommitted_changes_are_reported(stage: Any, repository: Path) -> None:
    (repository / "storefront.zip").write_bytes(CODE + b"!")
    assert "The working tree has changes that are not in commit" in stage.run(*GIVEN, "--dry-run").stderr


def test_a_git_tag_on_another_commit_is_reported(repository: Path) -> None:
    git(repository, "tag v1.4.0")
    assert from_git(repository, commit="", tag="v1.4.0").warnings == ()
    git(repository, "commit --allow-empty --quiet -m two")
    assert "The git tag v1.4.0 points to" in from_git(repository, commit="", tag="v1.4.0").warnings[0]


@pytest.mark.parametrize(
    "url, repository_",
    [
        ("https://github.com/acme/storefront", "acme/storefront"),
        ("https://user:secret@example.com/group/acme/store.front.git", "acme/store.front"),
        ("ssh://git@example.com:22/acme/storefront.git/", "acme/storefront"),
        ("/srv/git/acme/storefront", "acme/storefront"),
        ("storefront", ""),
    ],
)
def test_the_repository_is_owner_and_name_of_the_origin(repository: Path, url: str, repository_: str) -> None:
    git(repository, f"remote set-url origin {url}")
    assert from_git(repository, commit="", tag="v1.4.0").repository == repository_


def test_a_tag_that_looks_like_an_option_is_not_used_as_one(repository: Path) -> None:
    assert from_git(repository, commit="--all", tag="--all").commit == "--all"


@pytest.mark.parametrize(
    "address, noreply",
    [
        ("12345+dana@users.noreply.github.com", True),
        ("noreply@example.com", True),
        ("no-reply@example.com", True),
        ("dana@example.com", False),
        ("norepl@example.com", False),
    ],
)
def test_an_unrecognizable_author_is_reported(address: str, noreply: bool) -> None:
    assert is_noreply(address) is noreply


def test_a_noreply_author_is_reported_with_the_consequence(stage: Any, arguments: list[str]) -> None:
    """Fault 81."""
    output = stage.run(*arguments, "--author", "1+dana@users.noreply.github.com").stderr
    assert "Tagship could not detect an author who approves their own release. Set --author to" in output


@pytest.mark.parametrize(
    "tag, after", [("v1.4.0", "v1.4.1"), ("v2.0.0-rc.1", "v2.0.0-rc.2"), ("v1.0.0+b", "v1.0.1")]
)
def test_the_suggested_next_tag_is_valid(tag: str, after: str) -> None:
    assert _next(tag) == after


# ---- what changed --------------------------------------------------------------------------------------------------


@pytest.fixture
def history(repository: Path) -> Path:
    """Two tags of one application, one of another, and three commits since."""
    for command in (
        "tag v1.3.1",
        "commit --allow-empty --quiet -m two",
        "tag v1.3.2",
        "tag other/v9.0.0",
        "commit --allow-empty --quiet -m three",
        "tag storefront/v1.3.0",
        "tag latest",
        "commit --allow-empty --quiet -m four",
        "tag v1.4.0",
    ):
        git(repository, command)
    return repository


def test_a_release_contains_the_commits_since_the_previous_tag(stage: Any, history: Path) -> None:
    assert stage.run(*GIVEN).exit_code == 0
    changes = read_manifest(objects(stage)[f"{FOLDER}release.json"]).changes
    assert changes is not None
    assert (changes.since, changes.count) == ("v1.3.2", 2)
    assert [(each.subject, each.author) for each in changes.commits] == [("four", "Dana"), ("three", "Dana")]
    assert changes.commits[0].commit == git(history, "rev-parse HEAD")
    assert changes.compare == "https://github.com/acme/storefront/compare/v1.3.2...v1.4.0"


@pytest.mark.parametrize(
    "tag, since",
    [("v1.4.0", "v1.3.2"), ("storefront/v1.4.0", "storefront/v1.3.0"), ("other/v9.1.0", "other/v9.0.0")],
)
def test_in_a_monorepo_only_tags_of_the_same_application_count(history: Path, tag: str, since: str) -> None:
    found = changes_since_the_last_tag(
        history, commit=git(history, "rev-parse HEAD"), tag=tag, environment={}
    )
    assert found is not None
    assert found["since"] == since


@pytest.mark.parametrize(
    "environment, compare",
    [
        (
            {"GITHUB_SERVER_URL": "https://git.example.com", "GITHUB_REPOSITORY": "acme/storefront"},
            "https://git.example.com/acme/storefront/compare/v1.3.2...v1.4.0",
        ),
        (
            {"CI_PROJECT_URL": "https://gitlab.example.com/acme/shop/storefront"},
            "https://gitlab.example.com/acme/shop/storefront/-/compare/v1.3.2...v1.4.0",
        ),
        ({"CI_PROJECT_URL": "http://gitlab.internal/acme/storefront"}, None),
    ],
)
def test_the_comparison_link_comes_from_ci(
    history: Path, environment: dict[str, str], compare: str | None
) -> None:
    found = changes_since_the_last_tag(
        history, commit=git(history, "rev-parse HEAD"), tag="v1.4.0", environment=environment
    )
    assert found is not None
    assert found.get("compare") == compare


def test_many_long_commits_are_counted_and_shortened(history: Path) -> None:
    for number in range(35):
        git(history, f"commit --allow-empty --quiet -m {number}{'x' * 300}")
    found = changes_since_the_last_tag(
        history, commit=git(history, "rev-parse HEAD"), tag="v1.4.1", environment={}
    )
    assert found is not None
    assert (found["since"], found["count"], len(found["commits"])) == ("v1.4.0", 35, 30)
    assert {len(each["subject"]) for each in found["commits"]} == {200}


@pytest.mark.parametrize(
    "before, tag, since",
    [
        ("storefront-2026.10", "storefront-2026.11", "storefront-2026.10"),
        ("2026.09", "2026.10", "2026.09"),
        ("@acme/storefront@1.3.0", "@acme/storefront@1.4.0", "@acme/storefront@1.3.0"),
        ("v2.0.0-rc.1", "v2.0.0-rc.2", "v2.0.0-rc.1"),
        ("v2.0.0-rc.1", "v2.0.0", "v1.4.0"),  # not the release candidates, which production never had
        ("web-v2.0.0-rc.1", "web-v2.0.0", None),
        ("v1.5.0=x", "v1.6.0", None),  # a name that no release has
    ],
)
def test_the_previous_tag_is_the_one_that_people_mean(
    history: Path, before: str, tag: str, since: str | None
) -> None:
    for command in (f"commit --allow-empty -qm {before}", f"tag {before}", "commit --allow-empty -qm next"):
        git(history, command)
    found = changes_since_the_last_tag(
        history, commit=git(history, "rev-parse HEAD"), tag=tag, environment={}
    )
    assert (found or {}).get("since") == since


@pytest.mark.parametrize("hidden", ["\x1f", "\x0c", "\x85", "\u2028", "\x1e", "\r"])
def test_no_character_hides_a_commit_from_approvers(history: Path, hidden: str) -> None:
    """Fault 52."""
    subject = f"fix{hidden}drop the table"
    subprocess.run(
        ["git", "commit", "--allow-empty", "--quiet", "--cleanup=verbatim", "-m", subject],
        cwd=history,
        check=True,
    )
    found = changes_since_the_last_tag(
        history, commit=git(history, "rev-parse HEAD"), tag="v1.4.1", environment={}
    )
    assert found is not None
    assert [each["subject"] for each in found["commits"]] == [subject]


def test_a_commit_in_another_encoding_is_listed(history: Path) -> None:
    """Fault 52. Its bytes are not UTF-8, whatever its author's machine said."""
    subprocess.run(
        ["git", "-c", "i18n.commitEncoding=none", "commit", "--allow-empty", "--quiet", "-F", "-"],
        cwd=history,
        check=True,
        input=b"caf\xe9",
    )
    found = changes_since_the_last_tag(
        history, commit=git(history, "rev-parse HEAD"), tag="v1.4.1", environment={}
    )
    assert found is not None
    assert [each["subject"] for each in found["commits"]] == ["caf\ufffd"]


def test_without_a_previous_tag_there_are_no_commits(repository: Path) -> None:
    commit = git(repository, "rev-parse HEAD")
    assert changes_since_the_last_tag(repository, commit=commit, tag="v1.0.0", environment={}) is None
    assert changes_since_the_last_tag(repository, commit="0" * 40, tag="v1.0.0", environment={}) is None


def test_a_repeated_job_with_a_shallower_clone_publishes_the_same(stage: Any, history: Path) -> None:
    assert stage.run(*GIVEN).exit_code == 0
    git(history, "tag -d v1.3.2")
    result = stage.run(*GIVEN)
    assert result.exit_code == 0, result.output
    assert "was already published with the same content" in result.stdout
