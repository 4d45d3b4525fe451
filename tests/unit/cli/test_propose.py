"""apply in a guarded stage: a change is proposed once, and the output names the approvers and the deadline."""

from __future__ import annotations

import json
from pathlib import Path
from secrets import token_bytes
from typing import Any

import pytest
import yaml

from tagship.approval.request.request import request_of
from tagship.deployment.binding import release_digest
from tagship.intake.proposing import Proposing
from tagship.ledger import approvals, configurations, groups, releases
from tagship_cli.actions.proposing import found
from tagship_cli.place import Place
from tests.unit.cli.conftest import NOW, Stage
from tests.unit.cli.test_apply import TEXT

EXECUTION = "arn:aws:states:eu-central-1:123456789012:execution:tagship-development-release:"
OWNER = "owner@example.com"


class Machine:
    """The release machine, as far as a proposal is claimed and people are asked; `ends` is how the execution fails."""

    def __init__(self, stage: Stage, ends: str = "") -> None:
        self.stage, self.ends = stage, ends
        self.started: list[Any] = []
        self.unchanged = False
        self.error = "ReleaseInvalid"

    def start_execution(self, *, stateMachineArn: str, input: str) -> dict[str, str]:  # noqa: A002 (AWS's own name)
        assert stateMachineArn == "arn:release"
        order = json.loads(input)["proposal"]
        self.started.append(order)
        execution = f"{EXECUTION}{len(self.started)}"
        if not self.ends:
            proposing = Proposing(
                ledger=self.stage.ledger,
                stage="development",
                owners=[OWNER],
                github_hosts=("api.github.com",),
                execution=execution,
                bind=release_digest,
            )
            outcome, record = proposing.claim(order)
            self.unchanged = outcome == "unchanged"
            if outcome == "proposed":
                request = request_of(record, now=self.stage.clock.now(), longest=604_800, random=token_bytes)
                approvals.request(self.stage.ledger, request, execution=execution)
        return {"executionArn": execution}

    def describe_execution(self, *, executionArn: str) -> dict[str, str]:
        if self.ends:
            return {"status": "FAILED", "error": self.error, "cause": self.ends}
        return {"status": "SUCCEEDED" if self.unchanged else "RUNNING"}


@pytest.fixture
def machine(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> Machine:
    made = Machine(stage)
    described, client = Place._described, Place.client
    guarded = {"ConfigurationGuarded": "true", "ReleaseStateMachineArn": "arn:release"}
    monkeypatch.setattr(Place, "_described", lambda place: described(place) | guarded)
    monkeypatch.setattr(
        Place, "client", lambda place, name: made if name == "stepfunctions" else client(place, name)
    )
    return made


@pytest.fixture
def file(tmp_path: Path) -> Path:
    file = tmp_path / "application.yaml"
    file.write_text(TEXT)
    return file


def put_into_force(stage: Stage) -> None:
    made = releases.get(stage.ledger, "storefront", "configuration-1")
    assert configurations.approve(stage.ledger, made, approvers=(OWNER,), execution=made["execution"])
    stage.client("ssm").put_parameter(
        Name="/tagship/development/applications/storefront",
        Value=json.dumps(yaml.safe_load(TEXT)),
        Type="String",
        Overwrite=True,
    )


def test_the_first_configuration_is_proposed_to_the_stacks_owner(
    stage: Stage, machine: Machine, file: Path
) -> None:
    result = stage.run("apply", str(file), "--yes")
    assert result.exit_code == 0, result.output
    assert "+application: storefront" in result.stdout
    assert (
        "Proposed as storefront configuration-1. It needs 1 approval of owner@example.com." in result.stdout
    )
    assert "tagship watch storefront configuration-1 --stage development" in result.stdout
    (order,) = machine.started
    assert order["document"] == yaml.safe_load(TEXT)
    assert (order["tag"], order["emergency"]) == ("configuration-1", "")
    assert stage.client("ssm").describe_parameters()["Parameters"] == [], "nothing was written"


def test_a_change_is_compared_with_the_current_configuration_and_waits_for_its_approvers(
    stage: Stage, machine: Machine, file: Path
) -> None:
    stage.run("apply", str(file), "--yes")
    put_into_force(stage)
    file.write_text(TEXT.replace("[ana@example.com, bo@example.com]", "[mallory@example.com]"))
    result = stage.run("apply", str(file), "--yes", "--emergency", "the key was lost")
    assert result.exit_code == 0, result.output
    assert "as approved, configuration-1 (version 1)" in result.stdout
    assert "+  - mallory@example.com" in result.stdout
    assert "It needs 2 approvals of ana@example.com and bo@example.com." in result.stdout
    assert machine.started[1]["emergency"] == "the key was lost"


def test_a_waiting_proposal_is_not_proposed_twice(stage: Stage, machine: Machine, file: Path) -> None:
    stage.run("apply", str(file), "--yes")
    result = stage.run("apply", str(file), "--yes")
    assert result.exit_code == 0, result.output
    assert "storefront configuration-1 already proposes the same change" in result.stdout
    assert "It needs 1 approval of owner@example.com." in result.stdout
    assert len(machine.started) == 1


def test_the_current_configuration_is_not_proposed(stage: Stage, machine: Machine, file: Path) -> None:
    stage.run("apply", str(file), "--yes")
    put_into_force(stage)
    result = stage.run("apply", str(file), "--yes")
    assert result.exit_code == 0
    assert "already has this content. Nothing was proposed." in result.stdout
    assert len(machine.started) == 1


def test_a_parameter_changed_outside_tagship_is_named_and_restored(
    stage: Stage, machine: Machine, file: Path
) -> None:
    stage.run("apply", str(file), "--yes")
    put_into_force(stage)
    stage.client("ssm").put_parameter(
        Name="/tagship/development/applications/storefront", Value="{}", Type="String", Overwrite=True
    )
    result = stage.run("apply", str(file), "--yes")
    assert result.exit_code == 0, result.output
    assert "was changed outside of Tagship" in result.stdout
    assert "Restored: Parameter Store has the approved configuration again." in result.stdout


def test_json_says_who_it_waits_for(stage: Stage, machine: Machine, file: Path) -> None:
    document = json.loads(stage.run("apply", str(file), "--yes", "--json").stdout)
    assert document["proposal"] == "configuration-1"
    assert (document["status"], document["waitsFor"], document["changed"]) == ("RUNNING", [OWNER], True)
    assert document["expiresAt"] > NOW.isoformat()


def test_a_refused_proposal_says_why(stage: Stage, machine: Machine, file: Path) -> None:
    machine.ends = "set the stack's parameter ConfigurationOwners"
    result = stage.run("apply", str(file), "--yes")
    assert result.exit_code == 1
    assert "was not proposed: set the stack's parameter ConfigurationOwners" in result.stderr


def test_the_stacks_owners_get_the_request_if_the_approvers_have_left(
    stage: Stage, machine: Machine, file: Path
) -> None:
    stage.run("apply", str(file), "--yes")
    put_into_force(stage)
    file.write_text(TEXT.replace("[ana@example.com, bo@example.com]", "[chi@example.com]"))
    result = stage.run("apply", str(file), "--yes", "--ask-owners", "ana and bo have left")
    assert result.exit_code == 0, result.output
    assert "It needs 1 approval of owner@example.com." in result.stdout
    assert machine.started[1]["owners"] == "ana and bo have left"


def test_a_concurrent_proposal_is_reported(stage: Stage, machine: Machine, file: Path) -> None:
    machine.ends, machine.error = "it was read before", "TagAlreadyUsed"
    result = stage.run("apply", str(file), "--yes")
    assert result.exit_code == 1
    assert "was proposed by someone else at the same time" in result.stderr


def test_a_duplicate_proposal_says_where_the_first_one_waits(
    stage: Stage, machine: Machine, file: Path
) -> None:
    """Two people run the same command at once: one execution duplicates the other and ends at once."""
    stage.run("apply", str(file), "--yes")
    machine.unchanged = True
    twin = found(Place(named_stage="development"), "storefront", "configuration-1", f"{EXECUTION}twin")
    assert (twin.tag, twin.execution) == ("configuration-1", f"{EXECUTION}1")
    assert twin.request is not None


def test_without_a_terminal_or_yes_nothing_is_proposed(stage: Stage, machine: Machine, file: Path) -> None:
    assert stage.run("apply", str(file)).exit_code == 2
    assert machine.started == []


def test_an_emergency_needs_a_reason_and_a_guarded_stage(stage: Stage, file: Path) -> None:
    assert stage.run("apply", str(file), "--yes", "--emergency", " ").exit_code == 2
    for option in ("--emergency", "--ask-owners"):
        result = stage.run("apply", str(file), "--yes", option, "x" * 501)
        assert result.exit_code == 2
        assert f"{option}: has 501 characters; at most 500 are allowed. Nothing was changed." in result.stderr
    result = stage.run("apply", str(file), "--yes", "--emergency", "now")
    assert result.exit_code == 2
    assert "does not guard configurations" in result.stderr


# ---- groups --------------------------------------------------------------------------------------------------------


def test_a_group_is_first_proposed_to_the_owners_and_then_to_its_members(
    stage: Stage, machine: Machine, tmp_path: Path
) -> None:
    file = tmp_path / "platform.yaml"
    file.write_text("group: platform\nmembers: [ana@example.com, bo@example.com]\n")
    result = stage.run("apply", str(file), "--yes")
    assert result.exit_code == 0, result.output
    assert (
        "Proposed as group.platform configuration-1. It needs 1 approval of owner@example.com."
        in result.stdout
    )
    made = releases.get(stage.ledger, "group.platform", "configuration-1")
    configurations.approve(stage.ledger, made, approvers=(OWNER,), execution="e")
    assert "No change" in stage.run("apply", str(file), "--yes").stdout
    file.write_text("group: platform\nmembers: [ana@example.com]\n")
    result = stage.run("apply", str(file), "--yes")
    assert "-- bo@example.com" in result.stdout
    assert "It needs 1 approval of ana@example.com and bo@example.com." in result.stdout
    shown = stage.run("show", "group.platform", "configuration-2")
    assert shown.exit_code == 0, shown.output
    assert "members: removes bo@example.com" in shown.stdout


def test_a_group_stored_before_the_stage_was_guarded_is_proposed_even_if_unchanged(
    stage: Stage, machine: Machine, tmp_path: Path
) -> None:
    file, data = tmp_path / "platform.yaml", {"group": "platform", "members": ["ana@example.com"]}
    file.write_text(yaml.safe_dump(data))
    groups.store(stage.ledger, "platform", data, before="", who="arn:one")
    result = stage.run("apply", str(file), "--yes")
    assert result.exit_code == 0, result.output
    assert "The group platform was never approved" in " ".join(result.stdout.split())
    assert "It needs 1 approval of owner@example.com." in result.stdout


def test_rules_with_a_missing_group_are_not_proposed(stage: Stage, machine: Machine, file: Path) -> None:
    file.write_text(
        TEXT.replace("approvers: [ana@example.com, bo@example.com]", "rules: [{group: platform}]")
    )
    result = stage.run("apply", str(file), "--yes")
    assert result.exit_code == 1
    assert "there is no group platform; apply it first" in result.stderr
    assert machine.started == []
