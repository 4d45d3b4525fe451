"""An operator takes back what production runs, with the command line, on the real stack."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from tests.integration.conftest import Pipeline


def rollback(pipeline: Pipeline, *options: str) -> subprocess.CompletedProcess[str]:
    """As an operator runs it."""
    return subprocess.run(
        [
            Path(sys.executable).with_name("tagship"),
            *("rollback", "storefront", "--stage", pipeline.stack.stage, "--yes"),
            *options,
        ],
        env=pipeline.stack.engine.environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


def test_an_operator_rolls_back_the_current_release(pipeline: Pipeline) -> None:
    first = pipeline.publish()
    pipeline.decide(first)
    pipeline.settled(first, "SUCCEEDED")
    before = pipeline.alias()
    second = pipeline.publish()
    pipeline.decide(second)
    pipeline.settled(second, "SUCCEEDED")
    done = rollback(pipeline, "--reason", "customers can't pay")
    assert done.returncode == 0, done.stderr
    assert f"storefront {second} is rolled back." in done.stdout
    assert pipeline.alias() == before
    pipeline.settled(second, "ROLLED_BACK")
    current = pipeline.item("CURRENT")
    assert current is not None
    assert current["tag"] == first
    triggered = next(fact for fact in pipeline.facts(second) if fact["name"] == "Rollback Triggered")
    assert triggered["data"]["why"] == "customers can't pay"
    assert triggered["who"].startswith("arn:aws:")

    again = rollback(pipeline, "--reason", "further back", "--json")
    assert again.returncode == 0, again.stderr
    assert json.loads(again.stdout)["tag"] == first


def test_a_rollback_without_a_reason_is_a_usage_error(pipeline: Pipeline) -> None:
    done = rollback(pipeline, "--reason", "  ")
    assert done.returncode == 2
    assert "state why" in done.stderr
