"""local: a clear word where there is no checkout, and what the engine says as a failure; the engine has its own tests."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tools.stack import LocalError


@pytest.mark.parametrize("command", ["up", "demo", "down"])
def test_without_a_checkout_it_says_what_it_needs(
    stage: Any, monkeypatch: pytest.MonkeyPatch, command: str
) -> None:
    monkeypatch.setattr("tagship_cli.commands.local.checkout", lambda: None)
    result = stage.run("local", command)
    assert result.exit_code == 1
    assert "`tagship local` requires a checkout of Tagship's repository" in result.stderr


def test_what_this_machine_lacks_is_told_and_not_traced(
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
def test_demo_hands_on_its_options_and_how_it_ended(
    stage: Any, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:

    given: dict[str, bool] = {}

    def run(**options: bool) -> int:
        given.update(options)
        return code

    monkeypatch.setattr("tools.demo.run", run)
    assert stage.run("local", "demo", "--step").exit_code == code
    assert given == {"keep": False, "step": True}


def test_down_without_an_engine_says_so(stage: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("tools.stack.STATE", tmp_path)
    assert stage.run("local", "down").stdout == "No engine is running.\n"
    assert json.loads(stage.run("local", "down", "--json").stdout) == {"stopped": False}
