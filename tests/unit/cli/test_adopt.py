"""adopt: what serves after a change by hand becomes the baseline, with a reason; nothing in the target is touched."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tagship.ledger import releases
from tests.unit.cli.conftest import Stage
from tests.unit.cli.test_plan import functions
from tests.unit.targets.functions import FakeLambda

__all__ = ["functions"]


def adopt(stage: Stage, *more: str) -> Any:
    return stage.run("adopt", "storefront", "--reason", "kim moved it at night", *more)


@pytest.fixture
def moved(stage: Stage, functions: FakeLambda) -> FakeLambda:
    """Production ran v1.4.0, and somebody moved the alias at night."""
    stage.configure()
    stage.release("v1.4.0").succeeded()
    functions.point(functions.by_hand())
    return functions


def test_the_serving_version_becomes_the_current_release(stage: Stage, moved: FakeLambda) -> None:
    """Fault 92."""
    result = adopt(stage, "--yes")
    assert result.exit_code == 0, result.output
    assert "storefront now runs 2, which no release deployed." in result.stdout
    current = releases.current(stage.ledger, "storefront")
    assert current is not None
    assert (current["revision"]["id"], current["adopted"]["why"]) == ("2", "kim moved it at night")
    assert moved.writes == []
    again = adopt(stage, "--yes")
    assert again.exit_code == 1
    assert "that is what serves" in again.stderr


def test_the_result_as_json(stage: Stage, moved: FakeLambda) -> None:
    result = adopt(stage, "--yes", "--json")
    assert json.loads(result.stdout) | {"before": ""} == {
        "application": "storefront",
        "stage": "development",
        "serves": "2",
        "tag": None,
        "before": "",
    }


def test_split_traffic_and_a_missing_alias_are_not_adopted(stage: Stage, moved: FakeLambda) -> None:
    moved.point("1", weights={"2": 0.5})
    refused = adopt(stage, "--yes")
    assert refused.exit_code != 0
    assert "Send all its traffic to one published version first" in refused.stderr
    moved.aliases.clear()
    gone = adopt(stage, "--yes")
    assert gone.exit_code == 1
    assert "there is nothing to adopt" in gone.stderr


def test_a_missing_configuration_and_an_empty_reason_are_refused(stage: Stage) -> None:
    assert adopt(stage, "--yes").exit_code == 1
    assert stage.run("adopt", "storefront", "--reason", " ").exit_code == 2
