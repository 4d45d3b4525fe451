"""A pause inside the rollout: people are asked, the candidate is watched meanwhile, and only their answer moves traffic."""

from __future__ import annotations

from typing import Any

from tests.flow.harness import World, client_of, once_it_serves, wait_for
from tests.flow.test_ways import at_rest, fact_of

HEALTH = {"checks": [{"type": "lambda"}], "every": 1}
REASON = ("--reason", "looks odd")
SHORT = {"timeout": 60}
"""Health is looked at each second: a longer pause looks less often."""


def configured(world: World, *, pause: Any = SHORT, **changes: Any) -> None:
    """10 %, a pause, then all."""
    first = {"percent": 10, **({"pause": pause} if pause else {})}
    strategy = {"type": "steps", "steps": [first, {"percent": 100}]}
    world.configure(strategy=strategy, health=HEALTH, **changes)


def pause_of(world: World, tag: str = "v1.0.0") -> dict[str, Any]:
    return dict(world.record(tag).get("pause") or {})


def asked(world: World, arn: str, who: str = "ana@example.com", number: int = 1) -> str:
    """The link of the pause, once people have it."""

    def found() -> str | None:
        pause = pause_of(world)
        if pause.get("number") != number or pause.get("state") != "open":
            assert world.describe(arn)["status"] == "RUNNING"
            return None
        return next((link for link in world.links(who) if pause["request"] in link), None)

    return wait_for(found, "the link of the pause")


def paused(world: World) -> tuple[str, str]:
    """A release at 10 % that waits: its execution and the approver's link."""
    arn = world.start(world.upload("v1.0.0"))
    world.decide(arn)
    return arn, asked(world, arn)


def test_a_person_ends_the_pause_with_a_rollback_in_their_name(world: World) -> None:
    """Fault 138."""
    configured(world)
    arn, link = paused(world)
    world.press(link, decide="reject", reason="latency doubled")
    assert world.ended(arn).error == "ReleaseRolledBack"
    triggered = fact_of(world, "v1.0.0", "Rollback Triggered")
    assert triggered["who"] == "ana@example.com"
    assert triggered["data"]["trigger"] == "approver"
    assert "latency doubled" in triggered["data"]["why"]
    assert world.alias() == ("1", {})
    at_rest(world)


def test_a_candidate_that_falls_ill_in_the_pause_is_rolled_back_while_people_think(world: World) -> None:
    """Fault 141."""
    ill: list[str] = []
    world.health = once_it_serves(lambda version, event: {"healthy": version not in ill})
    configured(world)
    arn, link = paused(world)
    ill.append("2")
    assert world.ended(arn).error == "ReleaseRolledBack"
    assert fact_of(world, "v1.0.0", "Rollback Triggered")["data"]["trigger"] == "health"
    checked = fact_of(world, "v1.0.0", "Health Checked")
    assert "unhealthy" in [
        fact["data"]["verdict"]
        for fact in world.ledger.facts_of("storefront", "v1.0.0")
        if fact["name"] == "Health Checked"
    ], checked
    assert world.browse("GET", link)["statusCode"] == 409
    at_rest(world)


def test_an_answer_for_an_unhealthy_candidate_does_not_move_traffic(world: World) -> None:
    """Fault 141."""
    ill: list[str] = []
    world.health = once_it_serves(lambda version, event: {"healthy": version not in ill})
    configured(world, pause=True)  # a pause of an hour is looked at every 44 s: the answer ends the wait
    arn, _ = paused(world)
    ill.append("2")
    typed = world.type("resume", "storefront", "v1.0.0", *REASON)
    assert typed.exit_code == 0, typed.output
    assert world.ended(arn).error == "ReleaseRolledBack"
    assert world.facts("v1.0.0").count("Traffic Shifted") == 1
    at_rest(world)


def test_a_rollback_that_is_ordered_in_a_pause_takes_the_lock_and_ends_the_request(world: World) -> None:
    """Fault 139."""
    configured(world)
    arn, link = paused(world)
    order = {"application": "storefront", "tag": "v1.0.0", "trigger": "operator", "why": "slow", "by": "kim"}
    assert world.ended(world.start(order, "rollback")).status == "SUCCEEDED"
    assert world.ended(arn).error == "ReleaseRolledBack"
    assert world.alias() == ("1", {})
    assert world.browse("GET", link)["statusCode"] == 409
    assert world.type("resume", "storefront", "v1.0.0", *REASON).exit_code == 1
    at_rest(world)


def test_a_release_that_is_aborted_in_a_pause_comes_back(world: World) -> None:
    """Fault 139."""
    configured(world)
    arn, link = paused(world)
    client_of("stepfunctions").stop_execution(executionArn=arn)
    world.supervise(world.woken(arn))
    (back,) = world.rollbacks()
    assert back.status == "SUCCEEDED"
    assert world.record("v1.0.0")["status"] == "ABORTED"
    assert world.browse("GET", link)["statusCode"] == 409
    at_rest(world)


def test_a_paused_step_waits_for_one_answer_despite_a_sweep_and_a_newer_release(world: World) -> None:
    """Faults 138 and 139: twins, a late answer, a sweep and a newer release leave one answer and one shift."""
    configured(world, pause=True, approval={"approvers": ["ana@example.com", "bo@example.com"]})
    arn, link = paused(world)
    other = asked(world, arn, "bo@example.com")
    assert "Paused at 10 % of traffic" in world.browse("GET", other)["body"]
    world.later("sweep", {}, hours=2)  # nothing else runs meanwhile: the next look is 44 s away
    newer = world.start(world.upload("v1.1.0"))
    wait_for(lambda: "Release Read" in world.facts("v1.1.0") or None, "the newer one")
    assert world.alias()[1] == {"2": 0.1}
    assert pause_of(world)["state"] == "open" and world.rollbacks() == []
    assert world.holder()["tag"] == "v1.0.0" and "Lock Acquired" not in world.facts("v1.1.0")
    assert world.press(link, decide="approve")["statusCode"] == 200
    assert world.browse("GET", other)["statusCode"] == 409
    ended = world.ended(arn)
    assert (ended.status, world.alias()) == ("SUCCEEDED", ("2", {}))
    assert world.press_blindly(link)["statusCode"] in (200, 409), (
        "the same answer twice, or one that is too late"
    )
    facts = world.facts("v1.0.0")
    assert facts.count("Rollout Resumed") == 1 and facts.count("Traffic Shifted") == 2
    assert fact_of(world, "v1.0.0", "Rollout Resumed")["who"] == "ana@example.com"
    client_of("stepfunctions").stop_execution(executionArn=newer)


def test_people_are_reminded_in_a_pause_as_before_an_approval(world: World) -> None:
    configured(world, approval={"approvers": ["ana@example.com"], "remindEvery": 1, "expires": 200})
    arn, link = paused(world)
    request = pause_of(world)["request"]

    def again() -> list[Any] | None:
        found = [mail for mail in world.mails("ana@example.com") if request in mail.body]
        return found if len(found) > 1 else None

    reminder = wait_for(again, "a reminder")[1]
    assert reminder.subject.startswith("Reminder: continue storefront v1.0.0 in ")
    wait_for(lambda: "Approvers Reminded" in world.facts("v1.0.0") or None, "the fact about it")
    world.press(link, decide="approve")
    assert world.ended(arn).status == "SUCCEEDED"


def test_without_an_answer_the_release_is_rolled_back(world: World) -> None:
    """Fault 140."""
    configured(world, pause={"timeout": 1})
    assert world.release("v1.0.0").error == "ReleaseRolledBack"
    assert world.alias() == ("1", {})
    assert fact_of(world, "v1.0.0", "Pause Expired")["data"]["then"] == "rollback"
    assert fact_of(world, "v1.0.0", "Rollback Triggered")["data"]["trigger"] == "deadline"
    assert world.browse("GET", world.links("ana@example.com")[-1])["statusCode"] == 410
    at_rest(world)


def test_an_operators_pause_holds_back_the_very_next_step(world: World) -> None:
    """Fault 142: ordered after the verdict and before the shift."""
    configured(world, pause=None)

    def ordered_just_before(event: dict[str, Any]) -> Any:
        if event["deployment"]["next"] == 1:
            typed = world.type("pause", "storefront", *REASON)
            assert typed.exit_code == 0 and "before 100 %" in typed.output
            again = world.type("pause", "storefront", "v1.0.0", "--reason", "twice")
            assert again.exit_code == 0 and "Nothing was changed" in again.output
        return world.handlers["shift_traffic"](event, None)

    world.plant("shift_traffic", ordered_just_before, times=2)
    arn = world.start(world.upload("v1.0.0"))
    world.decide(arn)
    asked(world, arn)
    assert world.alias()[1] == {"2": 0.1}
    assert "is paused at 10 % of traffic" in world.type("status", "storefront").output
    assert "looks odd" in world.type("show", "storefront", "v1.0.0").output
    resumed = world.type("resume", "storefront", "--reason", "a load test")
    assert resumed.exit_code == 0, resumed.output
    assert world.ended(arn).status == "SUCCEEDED"
    facts = world.facts("v1.0.0")
    assert [facts.count(name) for name in ("Pause Ordered", "Rollout Paused", "Rollout Resumed")] == [1, 1, 1]
    assert fact_of(world, "v1.0.0", "Rollout Resumed")["who"].startswith("arn:aws:")
    at_rest(world)
    for command in ("pause", "resume"):
        late = world.type(command, "storefront", *REASON)
        assert late.exit_code == 1 and "No release of storefront" in late.stderr


def test_a_pause_is_cancelled_before_it_begins_and_refused_after_the_last_step_began(
    world: World,
) -> None:
    """Fault 142."""
    configured(world, pause=None)
    said: list[str] = []

    def after_each_step(event: dict[str, Any]) -> Any:
        answer = world.handlers["shift_traffic"](event, None)
        if event["deployment"]["next"] == 0:
            assert world.type("pause", "storefront", *REASON).exit_code == 0
            said.extend(world.type("resume", "storefront", *REASON).output for _ in range(2))
        else:
            said.append(world.type("pause", "storefront", *REASON).stderr)
        return answer

    world.plant("shift_traffic", after_each_step, times=2)
    assert world.release("v1.0.0").status == "SUCCEEDED"
    for words, output in zip(
        ("cancelled before it began", "resumed before", "has begun its last step"), said, strict=True
    ):
        assert words in output
    assert "Rollout Paused" not in world.facts("v1.0.0")
