"""Groups and rules: who is asked, who changes a group, and who no longer counts."""

from __future__ import annotations

from typing import Any

from tagship import runtime
from tagship.ledger import configurations, groups
from tagship.ledger.table import digest_of
from tests.flow.harness import STAGE, World
from tests.flow.harness import world as make_world

OWNER = "owner@example.com"
ANA, BO, CHI, MALLORY = "ana@example.com", "bo@example.com", "chi@example.com", "mallory@example.com"
RULES = [{"group": "platform", "required": 1}, {"approvers": [CHI], "required": 1}]
PLATFORM = {"group": "platform", "members": [ANA, BO]}


def propose(world: World, number: int, proposal: dict[str, Any], by: str) -> str:
    order = {
        "application": "group.platform",
        "tag": f"configuration-{number}",
        "document": proposal,
        "by": by,
    }
    return world.start({"proposal": order | {"emergency": ""}})  # type: ignore[dict-item]


def members(world: World) -> list[str]:
    found = configurations.in_force(world.ledger, "group.platform")
    assert found is not None
    return list(found["document"]["members"])


def test_the_owners_create_a_group_and_its_current_members_decide_on_its_changes() -> None:
    """Fault 128."""
    with make_world() as world:
        world.patch.setenv("TAGSHIP_GUARDS_CONFIGURATION", "true")
        world.patch.setenv("TAGSHIP_CONFIGURATION_OWNERS", OWNER)
        runtime._runtime.cache_clear()
        first = propose(world, 1, PLATFORM, by=BO)
        world.decide(first, who=OWNER)
        ended = world.ended(first)
        assert ended.status == "SUCCEEDED", ended.cause
        arn = propose(world, 2, {**PLATFORM, "members": [MALLORY]}, by=MALLORY)
        link = world.link(arn, who=ANA)
        assert link
        assert world.mails(MALLORY) == []
        shown = world.browse("GET", link)["body"]
        assert "This changes who may approve for every application whose rules name this group." in shown
        assert "members: adds mallory@example.com" in shown
        assert members(world) == [ANA, BO]
        world.press(link, decide="approve")
        assert world.ended(arn).status == "SUCCEEDED"
        assert members(world) == [MALLORY]


def test_each_rule_must_be_met_and_people_who_left_the_group_no_longer_count(tmp_path: Any) -> None:
    """Faults 127 and 129. The page, the mail and `show` say which rule still needs whom."""
    file = tmp_path / "platform.yaml"
    file.write_text("group: platform\nmembers: [ana@example.com, bo@example.com]\n")
    with make_world() as world:
        result = world.type("apply", str(file), "--yes", "--stage", STAGE)
        assert result.exit_code == 0, result.output
        assert "Written: the group platform" in result.stdout
        assert "No change" in world.type("apply", str(file), "--yes", "--stage", STAGE).stdout
        world.configure(approval={"rules": RULES})
        arn = world.start(world.upload("v1.0.0"))
        world.decide(arn, who=BO)
        link = world.link(arn, who=CHI)
        assert link
        shown = world.browse("GET", link)["body"]
        assert "1 of 2 approvals" in shown
        assert "<bdi>group platform</bdi>: 1 of 1 (<bdi>bo@example.com</bdi>)" in shown
        assert "1 more needed, of <bdi>chi@example.com</bdi>" in shown
        groups.store(
            world.ledger,
            "platform",
            {**PLATFORM, "members": [ANA]},
            before=digest_of(PLATFORM),
            who="arn:one",
        )
        shown = world.browse("GET", link)["body"]
        assert '<bdi>bo@example.com</bdi> <span class="quiet">left the group after being asked' in shown
        assert "<bdi>group platform</bdi>: 0 of 1" in shown
        gone = world.browse("GET", world.links(BO)[-1])["body"]
        assert "You are no longer asked" in gone
        world.decide(arn, who=CHI)
        result = world.type("show", "storefront", "v1.0.0")
        said = " ".join(result.stdout.split())
        assert "group platform: 0 of 1; waiting for ana@example.com" in said
        assert "bo@example.com left the group after being asked" in said
        world.decide(arn, who=ANA)
        assert world.ended(arn).status == "SUCCEEDED"
        assert "Each rule must be met" in world.mails(ANA)[0].body
        changed = world.ledger.facts_of("group.platform", "")
        assert [(fact["name"], fact["data"]["members"]) for fact in changed] == [
            ("Group Changed", [ANA, BO]),
            ("Group Changed", [ANA]),
        ]
