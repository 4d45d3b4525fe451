"""publish and plan report what a guarded stage would refuse before anything is uploaded."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from botocore.client import BaseClient

from tagship.ledger import configurations, groups, releases
from tagship_cli.actions.guarding import compared
from tests.unit.cli.conftest import Stage
from tests.unit.cli.test_apply import TEXT
from tests.unit.cli.test_plan import asked, functions, package
from tests.unit.cli.test_propose import Machine, file, machine, put_into_force
from tests.unit.cli.test_publish import arguments, code
from tests.unit.tables import aws_error

__all__ = ["arguments", "code", "file", "functions", "machine", "package"]

NONE_YET = "No configuration of storefront is approved in development yet, so its releases end INVALID."
PROPOSE = "Propose it: tagship apply application.yaml --stage development"
WAITS = "configuration-1 waits for approval: tagship approve storefront configuration-1 --stage development"


def flat(text: str) -> str:
    return " ".join(text.split())


def test_publish_warns_that_nothing_is_approved_yet_and_publishes(
    stage: Any, machine: Machine, arguments: list[str]
) -> None:
    result = stage.run(*arguments)
    assert result.exit_code == 0, result.output
    assert f"Note: {NONE_YET} {PROPOSE}" in flat(result.stderr)


def test_a_waiting_proposal_is_reported_and_an_approved_one_is_not(
    stage: Any, machine: Machine, file: Path
) -> None:
    stage.run("apply", str(file), "--yes")
    data = yaml.safe_load(TEXT)
    found = compared(stage.ledger, "storefront", data, flags=" --stage development")
    assert str(found) == f"{NONE_YET} {WAITS}"
    put_into_force(stage)
    assert compared(stage.ledger, "storefront", data, flags="") is None


def test_publish_warns_that_the_stored_configuration_is_not_the_approved_one(
    stage: Any, machine: Machine, file: Path, arguments: list[str]
) -> None:
    stage.run("apply", str(file), "--yes")
    made = releases.get(stage.ledger, "storefront", "configuration-1")
    configurations.approve(stage.ledger, made, approvers=("owner@example.com",), execution="e")
    result = stage.run(*arguments, "--dry-run")
    differs = "The stored configuration of storefront differs from configuration-1, which was approved in development"
    assert f"Note: {differs}, so its releases end INVALID. {PROPOSE}" in flat(result.stderr)


@pytest.mark.parametrize("output", ["", "--markdown", "--json"])
def test_plan_gives_the_warning_in_each_format(
    stage: Any, machine: Machine, functions: Any, package: Path, monkeypatch: Any, output: str
) -> None:
    stage.configure()
    result = asked(stage, package, *filter(None, [output]))
    assert result.exit_code == 0, result.output
    document = json.loads(result.stdout)["unapproved"] if output == "--json" else result.stdout
    assert NONE_YET in flat(document)


@pytest.mark.parametrize("operation", ["GetParameter", "GetItem", "Query"])
def test_an_identity_that_can_only_upload_gets_no_warning_and_is_not_stopped(
    stage: Stage, machine: Machine, arguments: list[str], monkeypatch: pytest.MonkeyPatch, operation: str
) -> None:
    ask = BaseClient._make_api_call

    def refusing(client: Any, name: str, parameters: Any) -> Any:
        if name == operation:
            raise aws_error("AccessDeniedException", status=403)
        return ask(client, name, parameters)

    monkeypatch.setattr(BaseClient, "_make_api_call", refusing)
    result = stage.run(*arguments, "--dry-run")
    assert result.exit_code == 0, result.output
    assert "approved" not in result.stderr


def test_retention_deletes_nothing_under_an_unapproved_policy(
    stage: Any, machine: Machine, functions: Any
) -> None:
    stage.configure(retention={})
    result = stage.run("retention", "storefront", "--apply", "--yes", "--stage", "development")
    assert result.exit_code == 1
    assert f"Nothing was deleted: {NONE_YET} {PROPOSE}" in flat(result.stderr)


def test_a_missing_or_unapproved_group_is_reported_before_publishing(
    stage: Any, machine: Machine, file: Path
) -> None:
    """Fault 128."""
    data = yaml.safe_load(TEXT) | {"approval": {"rules": [{"group": "platform"}]}}
    made = {"pk": "APPLICATION#storefront", "sk": "CONFIGURATION", "tag": "configuration-1", "document": data}
    change = stage.ledger.put(made)["Put"]
    stage.ledger.client.put_item(TableName=change["TableName"], Item=change["Item"])
    found = compared(stage.ledger, "storefront", data, flags=" --stage development")
    assert "there is no group platform" in str(found)
    groups.store(
        stage.ledger, "platform", {"group": "platform", "members": ["ana@example.com"]}, before="", who="x"
    )
    found = compared(stage.ledger, "storefront", data, flags=" --stage development")
    assert "the group platform was never approved" in str(found)
