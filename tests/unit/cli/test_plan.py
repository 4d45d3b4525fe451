"""`tagship plan`: what a release would change, before it is uploaded; nothing is touched."""

from __future__ import annotations

import io
import json
import zipfile
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.unit.cli.conftest import Stage, application
from tests.unit.targets.functions import FakeLambda

FUNCTION = "arn:aws:lambda:eu-central-1:123456789012:function:storefront:$LATEST"


@pytest.fixture
def functions(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> FakeLambda:
    """The target, in the account that asks."""
    made = FakeLambda()
    made.latest["FunctionArn"] = FUNCTION
    client = stage.client("sts")
    monkeypatch.setattr(
        client, "get_caller_identity", lambda: {"Account": "123456789012", "Arn": "arn:aws:iam::1:user/me"}
    )
    from tagship_cli.place import Place

    real = Place.client
    monkeypatch.setattr(
        Place,
        "client",
        lambda self, service, **more: made if service == "lambda" else real(self, service, **more),
    )
    return made


@pytest.fixture
def package(tmp_path: Path) -> Path:
    return written(tmp_path / "storefront.zip", "index.py", "def handler(event, context):\n    return {}\n")


def written(path: Path, name: str, code: str) -> Path:
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w") as archive:
        entry = zipfile.ZipInfo(name)
        entry.external_attr = 0o644 << 16
        archive.writestr(entry, code)
    path.write_bytes(made.getvalue())
    return path


def asked(stage: Stage, package: Path, *more: str) -> Any:
    options = ("--application", "storefront", "--artifact", f"function={package}", "--stage", "development")
    return stage.run("plan", *options, *more)


def test_it_shows_what_would_change_how_traffic_moves_and_who_approves(
    stage: Stage, functions: FakeLambda, package: Path
) -> None:
    stage.configure()
    functions.latest["MemorySize"] = 512
    before = (dict(functions.versions), dict(functions.aliases))
    result = asked(stage, package)
    assert result.exit_code == 0, result.output
    assert "storefront in development: changes that this release would make" in result.output
    assert "  - Configuration: memory (MB) 256 → 512" in result.output
    assert "  - Code: " in result.output
    assert "10 % of traffic, bakes for 5 min; then 100 % of traffic" in result.output
    assert "2 of 3 approvers: ana@example.com, bo@example.com and chi@example.com" in result.output
    assert (functions.versions, functions.aliases) == before
    assert functions.writes == []


def test_a_package_that_can_not_start_is_exit_code_one(
    stage: Stage, functions: FakeLambda, tmp_path: Path
) -> None:
    stage.configure()
    result = asked(stage, written(tmp_path / "broken.zip", "other.py", "x = 1\n"))
    assert result.exit_code == 1
    assert "index" in result.output


def test_markdown_is_one_comment_in_which_nothing_of_the_values_is_markup(
    stage: Stage, functions: FakeLambda, package: Path
) -> None:
    stage.configure(approval={"approvers": ["ana_b@example.com", "bo@example.com"]})
    result = asked(stage, package, "--markdown")
    assert result.exit_code == 0, result.output
    first, *_ = result.output.splitlines()
    assert first == "### Tagship: storefront → development"
    assert "| deployed | nothing by Tagship yet |" in result.output
    assert "ana\\_b\\@example.com" in result.output


def test_a_configuration_that_is_not_applied_can_be_planned_with(
    stage: Stage, functions: FakeLambda, package: Path, tmp_path: Path
) -> None:
    file = tmp_path / "application.yaml"
    document = application(strategy={"type": "all-at-once"})
    file.write_text(yaml.safe_dump(document))
    result = asked(stage, package, "--file", str(file), "--json")
    assert result.exit_code == 0, result.output
    found = json.loads(result.stdout)
    assert [step["percent"] for step in found["steps"]] == [100]
    assert (found["application"], found["nothingToChange"], found["problems"]) == ("storefront", False, [])


def test_without_a_configuration_it_says_how_to_go_on(
    stage: Stage, functions: FakeLambda, package: Path
) -> None:
    result = asked(stage, package)
    assert result.exit_code == 1
    assert "development has no application storefront. Nothing was changed." in result.stderr


def test_a_target_in_another_account_needs_another_identity(
    stage: Stage, functions: FakeLambda, package: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stage.configure()
    monkeypatch.setattr(stage.client("sts"), "get_caller_identity", lambda: {"Account": "999999999999"})
    result = asked(stage, package)
    assert result.exit_code == 1
    assert (
        "You are signed in to account 999999999999, but the target of storefront is in 123456789012"
        in result.stderr
    )
