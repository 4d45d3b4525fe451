"""Several releases wait at once: the first approved goes first, and approvals of an outdated plan do not count."""

from __future__ import annotations

from typing import Any

import pytest

from tagship.ledger import approvals
from tests.flow.harness import Ended, World, once_it_serves, wait_for

ANA = "ana@example.com"


def asked(world: World, tag: str, **fields: Any) -> tuple[str, str]:
    """A release that waits for people: its execution, and the link that its approver got."""
    arn = world.start(world.upload(tag, **fields))
    link = world.link(arn)
    assert link, world.ended(arn)
    return arn, link


def asked_again(world: World, arn: str, before: str) -> str:
    """The link of the next plan."""
    return wait_for(
        lambda: link if (link := world.link(arn)) not in (before, None) else None, "the next link"
    )


def deliver_end(world: World, ended: Ended) -> list[str]:
    """Delivers the event of a successful execution, and runs what follows."""
    detail = {"status": ended.status, "input": world.describe(ended.arn)["input"]}
    return list(world.handlers["sweep"]({"detail": detail}, None)["did"])


def names(world: World, tag: str, *kinds: str) -> list[str]:
    return [name for name in world.facts(tag) if name in kinds]


def current(world: World) -> str:
    item = world.ledger.get("APPLICATION#storefront", "CURRENT")
    assert item is not None
    return str(item["tag"])


def test_a_fix_overtakes_a_waiting_release_which_is_planned_and_requested_again(world: World) -> None:
    """Fault 83."""
    waiting, old = asked(world, "v2.0.0")
    assert "tag" not in world.holder(), "who waits for people holds no lock"
    fix = world.release("v1.4.1")
    assert fix.status == "SUCCEEDED", fix
    assert current(world) == "v1.4.1"

    assert deliver_end(world, fix) == [
        "storefront v2.0.0: its plan is outdated, and its execution was notified"
    ]
    assert deliver_end(world, fix) == [], "the same event once more"
    new = asked_again(world, waiting, old)
    page = world.browse("GET", old)
    assert page["statusCode"] == 409
    assert "is planned again" in page["body"] and "v1.4.1 was deployed first" in page["body"]
    assert world.press_blindly(old)["statusCode"] == 409
    body = world.mails(ANA)[-1].body
    assert "PLANNED AGAIN: v1.4.1 was deployed first" in body and "v1.4.1" in world.browse("GET", new)["body"]
    assert world.record("v2.0.0")["plan"]["from"] == "v1.4.1"

    world.press(new, decide="approve")
    ended = world.ended(waiting)
    assert ended.status == "SUCCEEDED", ended
    assert current(world) == "v2.0.0" and world.alias() == ("3", {})
    again = ["Gates Passed", "Deployment Planned", "Approval Requested"]
    assert names(world, "v2.0.0", *again, "Plan Outdated") == [*again, "Plan Outdated", *again]


def test_an_approval_does_not_count_if_a_fix_was_deployed_and_rolled_back_meanwhile(world: World) -> None:
    """v2.0.0 is approved while the fix is being deployed: it waits for the lock and finds that its plan is outdated."""
    waiting, old = asked(world, "v2.0.0")
    world.health = once_it_serves(lambda version, _: {"healthy": version != "2"})

    def meanwhile(event: dict[str, Any]) -> Any:
        world.press(old, decide="approve")
        return world.handlers["shift_traffic"](event, None)

    world.plant("shift_traffic", meanwhile)
    assert world.release("v1.4.1").error == "ReleaseRolledBack"
    new = asked_again(world, waiting, old)
    assert "v1.4.1 was rolled back" in world.record("v2.0.0")["outdated"]
    assert "is planned again" in world.browse("GET", old)["body"]
    world.press(new, decide="reject", reason="not after that")
    assert world.ended(waiting).error == "ReleaseRejected"
    assert world.alias() == ("1", {})


def test_a_release_that_waits_behind_a_newer_deployed_one_is_superseded(world: World) -> None:
    """Fault 83. Never a downgrade, even if it was approved at the same moment."""
    newer, link = asked(world, "v2.0.0")
    older, own = asked(world, "v1.4.1")

    def meanwhile(event: dict[str, Any]) -> Any:
        world.press(own, decide="approve")
        return world.handlers["shift_traffic"](event, None)

    world.plant("shift_traffic", meanwhile)
    world.press(link, decide="approve")
    assert world.ended(newer).status == "SUCCEEDED"
    assert world.ended(older).error == "ReleaseSuperseded"
    assert "the newer v2.0.0 was deployed first" in world.record("v1.4.1")["why"]
    assert current(world) == "v2.0.0" and world.alias() == ("2", {})


def test_a_release_that_is_overtaken_repeatedly_ends_superseded(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(approvals, "MOST_PLANNINGS", 1)
    waiting, _ = asked(world, "v2.0.0")
    deliver_end(world, world.release("v1.4.1"))
    ended = world.ended(waiting)
    assert (
        ended.error == "ReleaseSuperseded" and "each time another release was deployed first" in ended.cause
    )
