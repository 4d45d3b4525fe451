"""local: a clear message without a checkout, and the engine's errors as failures; the engine has its own tests."""

from __future__ import annotations

import json
import shlex
import sys
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import boto3
import pytest
from moto import mock_aws

from tagship.model.release import parameter_name
from tests.template.test_documents import parsed
from tools.stack import LocalError, Mail
from tools.storefront import NAME, pack


@pytest.mark.parametrize("command", ["up", "demo", "mails", "down"])
def test_without_a_checkout_it_says_what_it_needs(
    stage: Any, monkeypatch: pytest.MonkeyPatch, command: str
) -> None:
    monkeypatch.setattr("tagship_cli.commands.local.checkout", lambda: None)
    result = stage.run("local", command)
    assert result.exit_code == 1
    assert "`tagship local` requires a checkout of Tagship's repository" in result.stderr


def test_a_missing_tool_is_reported_without_a_stack_trace(
    stage: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def lacking() -> None:
        raise LocalError("The embedded engine is not installed: run `make setup`.")

    monkeypatch.setattr("tools.stack.STATE", tmp_path)
    monkeypatch.setattr("tools.stack.build", lacking)
    result = stage.run("local", "up")
    assert result.exit_code == 1
    assert "run `make setup`" in result.stderr


@pytest.mark.parametrize("code", [0, 1])
def test_demo_passes_on_its_options_and_its_exit_code(
    stage: Any, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:

    given: dict[str, object] = {}

    def run(**options: object) -> int:
        given.update(options)
        return code

    monkeypatch.setattr("tools.demo.run", run)
    assert stage.run("local", "demo", "--step", "--target", "static-site").exit_code == code
    assert given == {"target": "static-site", "keep": False, "step": True}


def test_down_without_an_engine_says_so(stage: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("tools.stack.STATE", tmp_path)
    assert stage.run("local", "down").stdout == "No engine is running.\n"
    assert json.loads(stage.run("local", "down", "--json").stdout) == {"stopped": False}


def test_mails_shows_the_newest_of_a_person_without_control_characters(
    stage: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent = [
        Mail(
            to=to,
            subject=f"Approve storefront {tag}?",
            text=f"{tag}\x1b[31m\nhttps://link/{tag}\n",
            html="",
            at=0,
        )
        for tag in ("v1.0.0", "v1.1.0")
        for to in ("ana@example.com", "bo@example.com")
    ]
    monkeypatch.setattr("tools.stack.Engine.running", lambda _: SimpleNamespace(mails=lambda: sent))
    shown = stage.run("local", "mails", "ana@example.com", "-n", "1").stdout
    assert shown.startswith("To ana@example.com: Approve storefront v1.1.0?\n\nv1.1.0")
    assert "https://link/v1.1.0\n" in shown
    assert "v1.0.0" not in shown
    assert "\x1b" not in shown
    subjects = [
        mail["subject"] for mail in json.loads(stage.run("local", "mails", "-n", "9", "--json").stdout)
    ]
    assert subjects == [mail.subject for mail in sent]
    assert (
        stage.run("local", "mails", "chi@example.com").stdout == "No mail was sent to chi@example.com yet.\n"
    )


def test_mails_without_an_engine_names_the_command_that_starts_it(
    stage: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("tools.stack.STATE", tmp_path)
    result = stage.run("local", "mails")
    assert result.exit_code == 1
    assert result.stderr == "No engine is running.\nStart it: tagship local up\n"


def test_the_output_of_up_can_be_pasted_and_names_an_unused_tag(tmp_path: Path) -> None:
    """From the first line to the last: the program is on the PATH, and as many people approve as must."""
    from tagship_cli.commands.local import _around

    with mock_aws():
        engine = On(folder=tmp_path, endpoint="http://127.0.0.1:4566")
        s3 = engine.client("s3")
        s3.create_bucket(Bucket="releases")
        for name, outputs in (
            (
                NAME,
                {
                    "Url": "https://abc.lambda-url.us-east-1.on.aws/",
                    "DeploymentRoleArn": "arn:aws:iam::1:role/x",
                },
            ),
            ("tagship-development", {"ReleaseBucketName": "releases"}),
        ):
            template = {
                "Resources": {"T": {"Type": "AWS::SNS::Topic"}},
                "Outputs": {k: {"Value": v} for k, v in outputs.items()},
            }
            engine.client("cloudformation").create_stack(StackName=name, TemplateBody=json.dumps(template))
        engine.client("ssm").put_parameter(
            Name=parameter_name("development", NAME),
            Value=json.dumps(
                {"approval": {"approvers": ["ana@example.com", "bo@example.com"], "required": 2}}
            ),
            Type="String",
        )
        first = _around(engine, "development")
        s3.put_object(Bucket="releases", Key=f"releases/{NAME}/v1.9.0/release.json")
        again = _around(engine, "development")
    assert "--tag v1.0.0" in "".join(first)
    assert "--tag v1.10.0" in "".join(again)
    assert "See the mails, with their links: tagship local mails" in again
    lines = [line.strip().rpartition(": ")[2] for line in "\n".join(again).replace("\\\n", " ").splitlines()]
    assert f"export PATH={Path(sys.executable).parent}:$PATH" in lines
    typed = [shlex.split(line, comments=True)[1:] for line in lines if line.startswith("tagship ")]
    for words in typed:
        parsed(words)
    assert [words[0] for words in typed] == [
        "publish",
        "watch",
        "approve",
        "approve",
        "watch",
        "local",
        "local",
    ]
    assert len(typed[0][typed[0].index("--commit") + 1]) == 40
    (package,) = [word.partition("=")[2] for word in typed[0] if word.startswith("function=")]
    assert Path(package).read_bytes() == pack("v1.10.0")


@dataclass
class On:
    """The engine as `local up` sees it."""

    folder: Path
    endpoint: str

    def client(self, service: str) -> Any:
        return boto3.client(service, region_name="us-east-1")

    def function_url(self, address: str) -> str:
        return address
