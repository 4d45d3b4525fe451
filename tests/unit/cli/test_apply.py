"""apply: validates, shows what changes, asks, and writes it with who wrote it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import boto3
import pytest
import yaml
from botocore.stub import ANY, Stubber

from tagship_cli.actions.configuration import Stored, difference, versions, write
from tagship_cli.failures import Failed
from tests.unit.cli.conftest import NOW, STACK

NAME = "/tagship/development/applications/storefront"
TEXT = """application: storefront
target:
  type: lambda
  function: storefront
  account: "123456789012"
  region: eu-central-1
  role: arn:aws:iam::123456789012:role/tagship-app-storefront
  externalId: tagship-development
approval:
  approvers: [ana@example.com, bo@example.com]
health:
  checks:
    - type: lambda
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    file = tmp_path / "application.yaml"
    file.write_text(TEXT)
    return file


def parameter(stage: Any) -> dict[str, Any]:
    found: dict[str, Any] = stage.client("ssm").describe_parameters()["Parameters"][0]
    return found | {"Value": stage.client("ssm").get_parameter(Name=NAME)["Parameter"]["Value"]}


def test_a_first_configuration_is_stored_unchanged(stage: Any, file: Path) -> None:
    result = stage.run("apply", str(file), "--yes")
    assert result.exit_code == 0, result.output
    found = parameter(stage)
    assert json.loads(found["Value"]) == yaml.safe_load(TEXT)
    assert found["Tier"] == "Intelligent-Tiering"
    assert found["Description"].startswith("Written with tagship apply by arn:aws:sts::123456789012:")
    assert f"{NAME} is new in development" in result.stdout
    assert "+application: storefront" in result.stdout
    assert f"Written as version 1 of {NAME}" in result.stdout


def test_a_change_is_shown_as_a_diff_and_stored_as_the_next_version(stage: Any, file: Path) -> None:
    stage.run("apply", str(file), "--yes")
    file.write_text(TEXT.replace("[ana@example.com, bo@example.com]", "[ana@example.com]"))
    result = stage.run("apply", str(file), "--yes")
    assert result.exit_code == 0
    assert f"--- {NAME} (version 1)\n+++ {NAME} (new)\n" in result.stdout
    assert "-  - bo@example.com\n" in result.stdout
    assert "-  - ana@example.com" not in result.stdout
    assert "as version 2" in result.stdout
    assert parameter(stage)["Version"] == 2


def test_history_shows_who_changed_it_and_when(stage: Any, file: Path) -> None:
    stage.run("apply", str(file), "--yes")
    file.write_text(TEXT.replace("[ana@example.com, bo@example.com]", "[ana@example.com]"))
    stage.run("apply", str(file), "--yes")
    rows = stage.run("history", "storefront", "--configuration").stdout.splitlines()
    assert rows[0].split()[:2] == ["version", "written"]
    assert [row.split()[0] for row in rows[1:]] == ["2", "1"]
    document = json.loads(stage.run("history", "storefront", "--configuration", "--json").stdout)
    assert [each["version"] for each in document["versions"]] == [2, 1]
    assert stage.run("history", "shop", "--configuration").exit_code == 1
    assert stage.run("history", "shop", "--configuration", "--tag", "v1.0.0").exit_code == 2


def test_a_versions_author_is_the_identity_aws_recorded() -> None:
    ssm = boto3.client("ssm")
    written = [
        {
            "Version": number,
            "LastModifiedDate": NOW,
            "LastModifiedUser": f"arn:aws:iam::123456789012:user/{who}",
        }
        for number, who in ((1, "ana"), (2, "bo"))
    ]
    with Stubber(ssm) as stubbed:
        stubbed.add_response("get_parameter_history", {"Parameters": written}, {"Name": NAME})
        found = versions(ssm, stage="development", application="storefront")
    assert [(each.version, each.by.rpartition("/")[2]) for each in found] == [(2, "bo"), (1, "ana")]


@pytest.mark.parametrize(
    "change, said",
    [
        (
            ("eu-central-1", "eu-north-1"),
            "target.region is eu-north-1, but the stack tagship-development is in",
        ),
        (
            ("tagship-app-storefront", "storefront"),
            "role/storefront, but the stack may assume only arn:aws:iam::*:role/tagship-app-*",
        ),
        (
            ("123456789012", "999999999999"),
            "target.account is 999999999999, but the stack deploys only to 123456789012",
        ),
    ],
)
def test_a_target_that_the_stack_does_not_deploy_to_is_refused(
    stage: Any, file: Path, change: tuple[str, str], said: str
) -> None:
    stack = {
        **STACK,
        "Parameters": {
            "TargetRolePattern": {"Type": "String", "Default": "arn:aws:iam::*:role/tagship-app-*"}
        },
    }
    stage.client("cloudformation").update_stack(
        StackName="tagship-development", TemplateBody=json.dumps(stack)
    )
    assert stage.run("apply", str(file), "--yes").exit_code == 0
    file.write_text(TEXT.replace(*change))
    result = stage.run("apply", str(file), "--yes")
    assert result.exit_code == 1
    assert said in result.stderr
    assert parameter(stage)["Version"] == 1


def test_a_configuration_for_another_stage_is_refused(stage: Any, file: Path) -> None:
    file.write_text(TEXT + "stage: production\n")
    result = stage.run("apply", str(file), "--yes")
    assert result.exit_code == 1
    assert "is for the stage production, but this is development. Nothing was written." in result.stderr
    assert stage.client("ssm").describe_parameters()["Parameters"] == []
    assert stage.run("apply", str(file), "--yes", "--stage", "production").exit_code == 0


TEN_LINES = """application: storefront
target:
  type: lambda
  function: storefront
  account: "123456789012"
  region: eu-central-1
  role: arn:aws:iam::123456789012:role/tagship-app-storefront
  externalId: tagship-development
approval: {approvers: [ana@example.com, bo@example.com]}
health: {checks: [{type: lambda}]}
"""


def test_ten_lines_are_a_sensible_application(stage: Any, file: Path) -> None:
    assert len(TEN_LINES.splitlines()) == 10
    file.write_text(TEN_LINES)
    assert stage.run("apply", str(file), "--yes").exit_code == 0
    shown = stage.run("validate", str(file), "--show-defaults").stdout
    whole = yaml.safe_load(shown.partition("\n")[2])
    assert whole["strategy"] == {"type": "canary", "percent": 10, "bake": 300}
    assert (whole["approval"]["required"], whole["approval"]["expires"]) == (1, 14_400)
    assert whole["gates"]["tags"] == {"pattern": "v*", "preReleases": False}
    assert (whole["gates"]["windows"], whole["gates"]["whenClosed"]) == ([], "fail")


def test_an_unchanged_configuration_writes_nothing_and_says_so(stage: Any, file: Path) -> None:
    stage.run("apply", str(file), "--yes")
    document = yaml.safe_load(TEXT)
    file.write_text("# another comment, another order\n" + yaml.safe_dump(document, sort_keys=True))
    result = stage.run("apply", str(file))
    assert result.exit_code == 0
    assert "No change" in result.stdout
    assert parameter(stage)["Version"] == 1


def test_an_invalid_file_is_refused_with_line_numbers(stage: Any, file: Path) -> None:
    file.write_text(TEXT.replace("type: lambda\n  function", "type: lambda\n  functoin"))
    result = stage.run("apply", str(file), "--yes")
    assert result.exit_code == 1
    assert f"{file}:4: target.functoin: is not a field here; did you mean 'function'?" in result.stdout
    assert "does not validate. Nothing was written." in result.stderr
    assert stage.client("ssm").describe_parameters()["Parameters"] == []


def test_a_manifest_cannot_be_applied(stage: Any, tmp_path: Path) -> None:
    from tagship_cli.actions.schema import EXAMPLES

    file = tmp_path / "release.json"
    file.write_text(json.dumps(EXAMPLES["release"]))
    result = stage.run("apply", str(file), "--yes")
    assert result.exit_code == 1
    assert "use `tagship publish`" in result.stderr


def test_without_a_terminal_it_requires_yes_and_writes_nothing(stage: Any, file: Path) -> None:
    result = stage.run("apply", str(file))
    assert result.exit_code == 2
    assert "This is not a terminal, so nobody can confirm. Use --yes. Nothing was written." in result.stderr
    assert stage.client("ssm").describe_parameters()["Parameters"] == []


@pytest.mark.parametrize("answer, code, written", [("y\n", 0, 1), ("n\n", 1, 0), ("\n", 1, 0)])
def test_on_a_terminal_it_asks_before_writing(
    stage: Any, file: Path, monkeypatch: pytest.MonkeyPatch, answer: str, code: int, written: int
) -> None:
    monkeypatch.setattr("tagship_cli.commands.apply._can_ask", lambda: True)
    result = stage.run("apply", str(file), given=answer)
    assert result.exit_code == code
    assert "Write this configuration for storefront in development?" in result.stderr
    assert len(stage.client("ssm").describe_parameters()["Parameters"]) == written


def test_each_stage_has_its_own_configuration(stage: Any, file: Path) -> None:
    stage.run("apply", str(file), "--yes", "--stage", "production")
    names = [found["Name"] for found in stage.client("ssm").describe_parameters()["Parameters"]]
    assert names == ["/tagship/production/applications/storefront"]


def test_the_result_as_json(stage: Any, file: Path) -> None:
    document = json.loads(stage.run("apply", str(file), "--yes", "--json").stdout)
    assert {name: document[name] for name in ("stage", "parameter", "changed", "before", "version")} == {
        "stage": "development",
        "parameter": NAME,
        "changed": True,
        "before": None,
        "version": 1,
    }
    assert json.loads(stage.run("apply", str(file), "--json").stdout)["changed"] is False


def test_a_stored_value_that_is_not_json_is_shown_unchanged(stage: Any, file: Path) -> None:
    stage.client("ssm").put_parameter(Name=NAME, Value="by \x1b[31mhand", Type="String")
    result = stage.run("apply", str(file), "--yes")
    assert "-by ⟨U+001B⟩[31mhand" in result.stdout
    assert json.loads(parameter(stage)["Value"])["application"] == "storefront"


def test_a_different_order_is_no_difference_but_a_different_value_is() -> None:
    before = Stored(
        name=NAME, version=1, text="{}", data={"b": {"y": 1, "x": [{"q": 1, "p": 2}]}, "a": 1, "gone": 1}
    )
    lines = difference(before, {"a": 1, "b": {"x": [{"p": 2, "q": 3}], "y": 1}})
    assert [line for line in lines if line[0] in "+-"][2:] == ["-    q: 1", "+    q: 3", "-gone: 1"]


def test_a_configuration_too_large_for_parameter_store_is_refused_before_it_is_sent() -> None:
    ssm = boto3.client("ssm", region_name="eu-central-1")
    with Stubber(ssm), pytest.raises(Failed, match="Parameter Store accepts at most 8,192"):
        write(ssm, Stored(name=NAME), {"x": "ü" * 4100}, who="me")


def test_a_concurrent_first_configuration_is_not_overwritten() -> None:
    ssm = boto3.client("ssm", region_name="eu-central-1")
    stub = Stubber(ssm)
    stub.add_client_error(
        "put_parameter", "ParameterAlreadyExists", expected_params=ANY_PUT | {"Overwrite": False}
    )
    with stub, pytest.raises(Failed, match="Someone else changed"):
        write(ssm, Stored(name=NAME), {"a": 1}, who="me")


ANY_PUT = {"Name": NAME, "Value": ANY, "Type": "String", "Tier": "Intelligent-Tiering", "Description": ANY}


def test_a_concurrent_write_is_noticed(stage: Any, file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stage.run("apply", str(file), "--yes")
    file.write_text(TEXT.replace("storefront\n  account", "other\n  account"))

    def another_first(*_: Any, **__: Any) -> None:
        stage.client("ssm").put_parameter(Name=NAME, Value="{}", Type="String", Overwrite=True)

    monkeypatch.setattr("tagship_cli.commands.apply._ask", another_first)
    result = stage.run("apply", str(file))
    assert "Somebody else wrote version 2 at the same moment, and your version overwrote it" in result.stdout
