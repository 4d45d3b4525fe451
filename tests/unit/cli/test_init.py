"""init: a first configuration that is valid, a workflow for CI, and the next commands; nothing is ever overwritten."""

from __future__ import annotations

import json
import shlex
import subprocess
from pathlib import Path
from typing import Any

import boto3
import pytest
import yaml

from tagship.health import kinds
from tagship.model.documents import read_application
from tagship.targets import KINDS
from tagship_cli.actions import starting
from tagship_cli.commands import init
from tests.flow.harness import code_of
from tests.template.test_documents import parsed
from tests.unit.cli.conftest import REGION
from tests.unit.targets import toy

HERE = (
    "--type",
    "lambda",
    "--offline",
    "--account",
    "123456789012",
    "--region",
    "eu-central-1",
    "--approver",
    "ana@example.com",
)


def started(stage: Any, folder: Path, *more: str, given: str | None = None) -> Any:
    return stage.run("init", "greeter", "--folder", str(folder), *more, given=given)


def document(folder: Path) -> Any:
    return yaml.safe_load((folder / "application.yaml").read_text())


@pytest.mark.parametrize("check", kinds())
def test_its_output_is_valid_for_every_check(stage: Any, tmp_path: Path, check: str) -> None:
    kind = ("--type", "step-functions") if check == "outcomes" else ()  # which alone counts them
    result = started(stage, tmp_path, *HERE, *kind, "--check", check, "--stage", "staging")
    assert result.exit_code == 0, result.output
    assert stage.run("validate", str(tmp_path / "application.yaml")).exit_code == 0
    target = document(tmp_path)["target"]
    assert target["account"] == "123456789012"
    assert target["role"] == "arn:aws:iam::123456789012:role/tagship-app-greeter"
    assert target["externalId"] == "tagship-staging"
    assert "storefront" not in (tmp_path / "application.yaml").read_text()


@pytest.mark.parametrize("kind", KINDS)
def test_its_output_is_valid_for_every_kind(stage: Any, tmp_path: Path, kind: str) -> None:
    result = started(stage, tmp_path, *HERE, "--type", kind, "--url", "https://greeter.example.com/")
    assert result.exit_code == 0, result.output
    assert document(tmp_path)["target"]["type"] == kind
    read_application(document(tmp_path))


def test_several_functions_are_given_as_yaml_and_each_zip_is_named(stage: Any, tmp_path: Path) -> None:
    others = "others=[{function: greeter-worker, artifact: worker}, {function: greeter-mailer}]"
    options = ("--target", others, "--check", "lambda", "--stage", "staging")
    result = started(stage, tmp_path, *HERE, *options)
    assert result.exit_code == 0, result.output
    assert stage.run("validate", str(tmp_path / "application.yaml")).exit_code == 0
    assert [each["function"] for each in document(tmp_path)["target"]["others"]] == [
        "greeter-worker",
        "greeter-mailer",
    ]
    assert "--artifact worker=build/worker.zip --artifact function=build/greeter.zip" in result.output


def test_arns_in_a_kinds_example_use_the_given_account_and_region(stage: Any, tmp_path: Path) -> None:
    place = [
        "--account",
        "210987654321",
        "--region",
        "us-east-1",
        "--target",
        "executionRoles=arn:aws:iam::210987654321:role/a",
    ]
    started(
        stage, tmp_path, *HERE, "--type", "step-functions", *place, "--url", "https://greeter.example.com/"
    )
    target = document(tmp_path)["target"]
    assert target["executionRoles"] == ["arn:aws:iam::210987654321:role/a"]
    assert target["substitutions"]["Charge"] == (
        "arn:aws:lambda:us-east-1:210987654321:function:greeter-charge:live"
    )


def test_every_field_of_the_target_has_a_comment(stage: Any, tmp_path: Path) -> None:
    started(stage, tmp_path, *HERE, "--url", "https://greeter.example.com/")
    text = (tmp_path / "application.yaml").read_text()
    block = text.partition("target:\n")[2].partition("\n\n")[0]
    assert all(" # " in line for line in block.splitlines())
    assert text.endswith("\n")


def test_optional_parts_in_comments_are_valid_too(stage: Any, tmp_path: Path) -> None:
    started(stage, tmp_path, *HERE, "--url", "https://greeter.example.com/")
    lines = (tmp_path / "application.yaml").read_text().splitlines()
    head = next(number for number, line in enumerate(lines) if line.startswith("# Optional settings"))
    offered = [line.removeprefix("# ") for line in lines[head + 1 :]]
    found = read_application(yaml.safe_load("\n".join([*lines[:head], *offered])))
    assert found.gates.windows
    assert found.notifications.emails


def test_another_kind_asks_for_its_own_fields_and_moves_at_once(stage: Any, tmp_path: Path) -> None:
    """Nothing here knows one kind of target."""
    with toy.two_kinds():
        starting._descriptions.cache_clear()
        options = (*HERE, "--type", "pointer", "--target", "bucket=sites", "--target", "key=greeter")
        result = started(stage, tmp_path, *options, "--url", "https://greeter.example.com/", "--ci", "github")
        assert result.exit_code == 0, result.output
        read_application(document(tmp_path))
    assert document(tmp_path)["target"]["bucket"] == "sites"
    assert document(tmp_path)["strategy"] == {"type": "all-at-once"}
    workflow = (tmp_path / starting.WORKFLOWS["github"]).read_text()
    assert f"--artifact {toy.CONTENT}=build/greeter.zip" in workflow


@pytest.mark.parametrize("there", ["application.yaml", ".github/workflows/tagship.yaml"])
def test_nothing_is_overwritten_and_nothing_else_is_written(stage: Any, tmp_path: Path, there: str) -> None:
    (tmp_path / there).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / there).write_text("mine")
    result = started(stage, tmp_path, *HERE, "--check", "metric", "--ci", "github")
    assert result.exit_code == 1
    assert f"{there} already exists. Nothing was written." in result.stderr
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == [tmp_path / there]
    assert (tmp_path / there).read_text() == "mine"


@pytest.mark.parametrize(
    "made, origin, ci",
    [
        (".github/x", "", "github"),
        ("", "git@github.com:acme/greeter.git", "github"),
        (".gitlab-ci.yml", "", "gitlab"),
        ("", "https://gitlab.example.com/acme/greeter.git", "gitlab"),
        ("", "", ""),
    ],
)
def test_it_detects_the_ci_system(tmp_path: Path, made: str, origin: str, ci: str) -> None:
    if made:
        (tmp_path / made).parent.mkdir(exist_ok=True)
        (tmp_path / made).touch()
    assert starting.ci_of(tmp_path, origin) == ci


def test_name_and_repository_come_from_git(stage: Any, tmp_path: Path) -> None:
    for words in (("init", "-q"), ("remote", "add", "origin", "git@github.com:acme/greeter.git")):
        subprocess.run(["git", "-C", str(tmp_path), *words], check=True)
    result = stage.run("init", "--folder", str(tmp_path), *HERE, "--check", "metric", "--json")
    answer = json.loads(result.stdout)
    assert answer["written"] == ["application.yaml", ".github/workflows/tagship.yaml"]
    assert "--github acme/greeter" in answer["next"][2]
    assert document(tmp_path)["application"] == "greeter"


def test_the_suggested_next_commands_are_valid(
    stage: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for ci in ("github", "gitlab", "none"):
        folder = tmp_path / ci
        folder.mkdir()
        document = json.loads(started(stage, folder, *HERE, "--check", "metric", "--ci", ci, "--json").stdout)
        monkeypatch.chdir(folder)
        assert len(document["next"]) == 3
        for words in map(shlex.split, document["next"]):
            assert "--stage" in words
            parsed(words[1:])


def test_on_a_terminal_it_asks_for_what_it_cannot_detect(
    stage: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(init, "can_ask", lambda: True)
    given = "greeter\nproduction\nlambda\n123456789012\nhello\nana@example.com, bo@example.com\nhttps://greeter.example.com/\n"
    result = stage.run(
        "init", "--folder", str(tmp_path), "--offline", "--region", "eu-central-1", given=given
    )
    assert result.exit_code == 0, result.output
    found = document(tmp_path)
    assert found["target"]["function"] == "hello"
    assert found["approval"]["approvers"] == ["ana@example.com", "bo@example.com"]
    assert found["health"]["checks"] == [{"type": "http", "url": "https://greeter.example.com/"}]


@pytest.mark.parametrize("lacks", ["--type", "--account", "--region", "--approver", "--check"])
def test_without_a_terminal_it_names_the_missing_option(stage: Any, tmp_path: Path, lacks: str) -> None:
    options = {
        "--type": "lambda",
        "--account": "123456789012",
        "--region": "eu-central-1",
        "--approver": "ana@example.com",
        "--check": "metric",
    }
    given = [word for pair in options.items() if pair[0] != lacks for word in pair]
    result = stage.run(
        "init", "greeter", "--folder", str(tmp_path), "--offline", *given, env={"AWS_REGION": ""}
    )
    assert result.exit_code == 2
    assert lacks in result.stderr
    assert list(tmp_path.iterdir()) == []


def test_answers_that_make_an_invalid_configuration_are_reported_and_nothing_is_written(
    stage: Any, tmp_path: Path
) -> None:
    result = started(stage, tmp_path, *HERE, "--approver", "bo", "--check", "metric")
    assert result.exit_code == 1
    assert "approval.approvers[1]: must be a plain mail address" in result.stderr
    assert list(tmp_path.iterdir()) == []


def test_it_examines_the_existing_target(stage: Any, tmp_path: Path) -> None:
    """The account comes from AWS, and the target is checked as by the gate."""
    result = started(
        stage, tmp_path, "--type", "lambda", "--approver", "ana@example.com", "--check", "metric"
    )
    assert result.exit_code == 0, result.output
    assert document(tmp_path)["target"]["account"] == boto3.client("sts").get_caller_identity()["Account"]
    said = " ".join(result.stdout.split())
    assert "It can't take a release yet: greeter: there is no function greeter in account" in said


def test_it_says_that_a_new_function_has_no_traffic_yet(stage: Any, tmp_path: Path) -> None:
    made = boto3.client("iam").create_role(RoleName="greeter", AssumeRolePolicyDocument="{}")
    boto3.client("lambda", region_name=REGION).create_function(
        FunctionName="greeter",
        Runtime="python3.13",
        Handler="index.handler",
        Role=made["Role"]["Arn"],
        Code={"ZipFile": code_of("greeter")},
    )
    result = started(
        stage, tmp_path, "--type", "lambda", "--approver", "ana@example.com", "--check", "metric"
    )
    assert "Looked at the alias live of greeter" in result.stdout
    assert "nothing was released there yet. greeter can be changed." in result.stdout
    assert "No workflow was written." in result.stdout


# ---- the workflows -------------------------------------------------------------------------------------------------


def test_the_gitlab_workflow_runs_for_tags_and_publishes(stage: Any, tmp_path: Path) -> None:
    started(
        stage,
        tmp_path,
        *HERE,
        "--check",
        "metric",
        "--ci",
        "gitlab",
        "--artifact",
        "function=out/my greeter.zip",
    )
    publish = yaml.safe_load((tmp_path / starting.WORKFLOWS["gitlab"]).read_text())["publish"]
    assert publish["rules"] == [{"if": "$CI_COMMIT_TAG =~ /^v.*$/"}]
    assert publish["id_tokens"] == {"AWS_TOKEN": {"aud": "tagship-production"}}
    words = shlex.split(publish["script"][-1])
    assert words[0] == "tagship"
    assert "function=out/my greeter.zip" in words
    parsed(words[1:])
