"""groups: each group with its members, and the applications that need them."""

from __future__ import annotations

import json

from tagship.ledger import groups
from tests.unit.cli.conftest import Stage

OPS = "arn:aws:iam::123456789012:user/ops"


def store(stage: Stage, name: str, *members: str, required: int = 1) -> None:
    document = {"group": name, "members": list(members), "required": required}
    groups.store(stage.ledger, name, document, before="", who=OPS)


def test_each_group_shows_its_members_and_the_required_approvals_by_application(stage: Stage) -> None:
    store(stage, "platform", "ana@example.com", "bo@example.com", required=2)
    rules = [{"group": "platform", "required": 2}, {"group": "legal"}]
    stage.configure(approval={"approvers": [], "required": 1, "rules": rules})
    stage.configure(application="warehouse", approval={"approvers": [], "required": 1, "rules": rules[:1]})
    result = stage.run("groups")
    assert result.exit_code == 0, result.output
    shown = " ".join(result.stdout.split())
    assert "platform in development members ana@example.com and bo@example.com" in shown
    assert "used by storefront (2 must approve) and warehouse (2 must approve)" in shown
    assert "legal in development missing not applied" in shown
    found = json.loads(stage.run("groups", "--json").stdout)["groups"]
    assert [(each["group"], each["applied"], each["usedBy"]) for each in found] == [
        ("legal", False, {"storefront": 1}),
        ("platform", True, {"storefront": 2, "warehouse": 2}),
    ]
    assert (found[1]["members"], found[1]["required"]) == (["ana@example.com", "bo@example.com"], 2)
    assert (found[1]["since"][:16], found[1]["by"]) == ("2026-11-23T14:05", [OPS])


def test_a_group_that_no_application_uses_is_shown(stage: Stage) -> None:
    stage.configure()
    assert "No application in development names a group" in stage.run("groups").stdout
    store(stage, "platform", "ana@example.com")
    assert "used by     no application" in stage.run("groups", "platform").stdout
    result = stage.run("groups", "legal")
    assert result.exit_code == 1
    assert "development has no group legal, and no application names one." in result.stderr


def test_an_application_with_an_invalid_configuration_is_named(stage: Stage) -> None:
    stage.client("ssm").put_parameter(
        Name="/tagship/development/applications/storefront", Value="{}", Type="String"
    )
    result = stage.run("groups")
    assert result.exit_code == 0, result.output
    assert "storefront is not included: its configuration is not valid." in result.output
