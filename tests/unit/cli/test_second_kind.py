"""The command line plans, publishes and checks a release to a kind of target that only tests know."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from botocore.config import Config

from tagship.targets import KINDS
from tagship_cli.place import Place
from tests.unit.cli.conftest import Stage, application
from tests.unit.targets import toy
from tests.unit.targets.test_toy_conformance import OLD, FakeS3, names

ACCOUNT = "123456789012"


@pytest.fixture(autouse=True)
def site(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """An application whose target is a pointer that names the old content."""
    with toy.two_kinds():
        s3, real = FakeS3(), Place.client
        names(s3, OLD)
        sts = stage.client("sts")
        monkeypatch.setattr(
            sts, "get_caller_identity", lambda: {"Account": ACCOUNT, "Arn": "arn:aws:iam::1:user/me"}
        )
        monkeypatch.setattr(
            Place,
            "client",
            lambda self, service, **more: s3 if service == "s3" and more else real(self, service, **more),
        )
        document = application() | {
            "target": dict(toy.KIND.example),
            "strategy": {"type": "all-at-once"},
            "health": {"checks": [{"type": "http", "url": "https://example.com/"}]},
        }
        stage.client("ssm").put_parameter(
            Name=f"/tagship/{stage.stage}/applications/storefront", Value=json.dumps(document), Type="String"
        )
        yield


def asked(stage: Stage, command: str, artifact: str, file: Path, *more: str) -> Any:
    options = ("--application", "storefront", "--artifact", f"{artifact}={file}", "--stage", "development")
    return stage.run(command, *options, *more)


@pytest.fixture
def content(tmp_path: Path) -> Path:
    path = tmp_path / "site.tar"
    path.write_bytes(b"new")
    return path


def test_a_plan_shows_the_kinds_summary(stage: Stage, content: Path) -> None:
    result = asked(stage, "plan", toy.CONTENT, content)
    assert result.exit_code == 0, result.output
    assert f"the pointer storefront-site/live.json: {OLD[:12]} → " in result.output
    assert "100 % of traffic" in result.output


def test_an_artifact_unknown_to_the_kind_is_refused_before_anything_is_uploaded(
    stage: Stage, content: Path
) -> None:
    source = (
        "--tag",
        "v1.0.0",
        "--commit",
        "8" * 40,
        "--repository",
        "acme/storefront",
        "--author",
        "dana@example.com",
    )
    for command, more in (("plan", ()), ("publish", source)):
        result = asked(stage, command, "function", content, *more)
        assert result.exit_code == 1, result.output
        assert "content" in result.output + result.stderr
        assert "pointer" in result.output + result.stderr


def test_a_kind_configures_its_clients_timeouts(stage: Stage, content: Path) -> None:
    def patient(*, client: Any, **given: Any) -> toy.Pointer:
        return toy.Pointer(client=client("s3", config=Config(read_timeout=7)), **given)

    with pytest.MonkeyPatch.context() as patch:  # undone before the toy kind itself is removed
        patch.setitem(KINDS, toy.KIND.name, replace(toy.KIND, make=patient))
        assert asked(stage, "plan", toy.CONTENT, content).exit_code == 0


def test_a_kind_without_retention_keeps_all_old_revisions(stage: Stage) -> None:
    result = stage.run("retention", "storefront", "--apply", "--yes")
    assert result.exit_code == 1
    assert "keeps every revision, so this command has nothing to delete" in result.stderr
