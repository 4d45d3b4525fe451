"""Fault 14: during a freeze or outside every window no traffic moves, and nobody waits longer than configured."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from tagship import runtime
from tagship.ledger import freezes
from tagship.model import schedule
from tagship.model.schedule import EVERY_APPLICATION, Freeze
from tests.flow.harness import World, error_named, wait_for

WAITS = {"whenClosed": "wait"}
DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")


def freeze(
    world: World, *, seconds: float, application: str = "storefront", reason: str = "the sale"
) -> Freeze:
    now = runtime.utc_now()
    made = Freeze(
        id=f"{now.timestamp()}",
        application=application,
        reason=reason,
        author="ana",
        starts=now,
        ends=now + timedelta(seconds=seconds),
    )
    assert freezes.freeze(world.ledger, made)[1]
    return made


def another_day() -> str:
    """A window that does not open today, nor within the hours around."""
    return f"{DAYS[(datetime.now(UTC).weekday() + 3) % 7]} 00:00-24:00 UTC"


def looking_often(patch: pytest.MonkeyPatch, seconds: float = 0.3) -> None:
    """Instead of every 15 minutes."""
    patch.setattr(schedule, "LOOK_AGAIN", timedelta(seconds=seconds))


def waiting(world: World, tag: str, *, serving: str = "1") -> str:
    """A release that is approved and waits."""
    arn = world.start(world.upload(tag))
    world.decide(arn)
    wait_for(lambda: world.record(tag).get("phase") == "window" or None, f"{tag} to wait")
    assert world.alias() == (serving, {})
    return arn


def lift(world: World, *made: Freeze) -> None:
    for each in made:
        assert freezes.unfreeze(world.ledger, each, author="bo", reason="it is over")


def assert_nothing_changed(world: World) -> None:
    assert world.alias() == ("1", {})
    assert "tag" not in world.holder()


def test_a_release_outside_its_window_ends_at_the_gate_and_a_later_tag_passes(world: World) -> None:
    for number, application in enumerate(["storefront", EVERY_APPLICATION]):
        made = freeze(world, seconds=3600, application=application)
        ended = world.release(f"v0.1.{number}", decide="")
        assert (ended.status, ended.error) == ("FAILED", "ReleaseInvalid")
        assert "is frozen until" in ended.cause and "by ana: the sale." in ended.cause
        assert f"from {schedule.in_words(made.ends)}." in ended.cause
        lift(world, made)
    world.configure(gates={"windows": [another_day()]})
    ended = world.release("v0.2.0", decide="")
    assert ended.error == "ReleaseInvalid" and f"No window is open ({another_day()})" in ended.cause
    world.configure(stage="staging")
    ended = world.release("v0.3.0", decide="")
    assert (
        ended.error == "ReleaseInvalid"
        and "is for stage staging, but this is stage production" in ended.cause
    )
    assert_nothing_changed(world)
    world.configure(stage="production")
    assert world.release("v1.0.0").status == "SUCCEEDED"


def test_a_freeze_after_approval_stops_a_release_that_does_not_wait(world: World) -> None:
    arn = world.start(world.upload("v1.0.0"))
    world.link(arn)
    freeze(world, seconds=3600)
    world.decide(arn)
    ended = world.ended(arn)
    assert ended.error == "ReleaseInvalid" and "by ana: the sale." in ended.cause
    assert_nothing_changed(world)


def test_a_waiting_release_is_deployed_when_the_freeze_ends(world: World) -> None:
    world.configure(gates=WAITS)
    made: list[Freeze] = []

    def just_frozen(event: dict[str, object]) -> object:
        made.append(freeze(world, seconds=2))
        return world.handlers["recheck_release"](event, None)

    world.plant("recheck_release", just_frozen)
    ended = world.release("v1.0.0")
    assert ended.status == "SUCCEEDED"
    assert ended.entered.count("RecheckRelease") == 2
    facts = {fact["name"]: fact for fact in world.ledger.facts_of("storefront", "v1.0.0")}
    assert "the sale" in facts["Deployment Delayed"]["data"]["why"]
    assert datetime.fromisoformat(facts["Deployment Started"]["at"]) >= made[0].ends


def test_a_waiting_release_sees_new_and_lifted_freezes_but_does_not_wait_forever(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    looking_often(monkeypatch)
    world.configure(gates=WAITS)
    first = freeze(world, seconds=3600)
    arn = waiting(world, "v1.0.0")
    second = freeze(world, seconds=7200, reason="the audit")
    delayed = "Deployment Delayed"
    wait_for(lambda: True if world.facts("v1.0.0").count(delayed) == 2 else None, "the second reason")
    lift(world, first, second)
    assert world.ended(arn).status == "SUCCEEDED"
    third = freeze(world, seconds=3600)
    arn = waiting(world, "v1.1.0", serving="2")
    too_long = freeze(world, seconds=8 * 86_400, reason="for ever")
    ended = world.ended(arn)
    assert ended.error == "ReleaseInvalid" and "A release waits at most 7 days" in ended.cause
    assert "tag" not in world.holder() and world.alias() == ("2", {})
    ended = world.release("v1.2.0", decide="")
    assert ended.error == "ReleaseInvalid" and "within the next 7 days" in ended.cause
    lift(world, third, too_long)


def test_a_newer_release_replaces_a_waiting_one_which_can_no_longer_change_anything(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It wakes up when the calendar is open, and its own approval is still valid."""
    looking_often(monkeypatch, seconds=1)
    world.configure(gates=WAITS)
    made = freeze(world, seconds=3600)
    asleep = waiting(world, "v1.1.0")
    older = world.start(world.upload("v1.0.0"))
    assert world.link(older) and world.record("v1.1.0")["status"] == "RUNNING", (
        "an older one takes nobody's place"
    )
    newer = world.start(world.upload("v1.2.0"))
    wait_for(lambda: True if world.record("v1.1.0")["status"] == "SUPERSEDED" else None, "the newer one")
    assert world.ended(older).error == "ReleaseSuperseded"
    lift(world, made)
    ended = world.ended(asleep)
    assert (ended.error, ended.cause) == ("ReleaseSuperseded", "Superseded by storefront v1.2.0.")
    assert world.alias() == ("1", {})
    world.decide(newer)
    assert world.ended(newer).status == "SUCCEEDED"


def test_a_person_can_stop_a_release_that_waits_for_its_window_without_the_lock(world: World) -> None:
    world.configure(gates=WAITS)
    freeze(world, seconds=3600)
    arn = waiting(world, "v1.0.0")
    assert "tag" not in world.holder(), "a fix may go first"
    world.stop(arn)
    world.supervise(world.ended(arn))
    assert world.record("v1.0.0")["status"] == "ABORTED"
    assert_nothing_changed(world)


def test_a_started_step_continues_during_a_later_freeze(world: World) -> None:
    world.configure(gates=WAITS)

    def works_and_is_not_heard(event: dict[str, object]) -> object:
        world.handlers["recheck_release"](event, None)
        freeze(world, seconds=3600)
        raise error_named("AwsUnavailable", "the answer was lost")

    world.plant("recheck_release", works_and_is_not_heard)
    assert world.release("v1.0.0").status == "SUCCEEDED"
    assert "Deployment Delayed" not in world.facts("v1.0.0")


def test_an_emergency_passes_a_freeze_if_everybody_approves_and_is_recorded(world: World) -> None:
    world.configure(
        approval={"approvers": ["ana@example.com", "bo@example.com", "dana@example.com"], "required": 1},
        gates={"windows": [another_day()]},
    )
    freeze(world, seconds=3600)
    arn = world.start(world.upload("v1.0.0", emergency="nobody can pay"))
    first = world.link(arn)
    assert first is not None
    page = world.browse("GET", first)["body"]
    assert page.index(
        "EMERGENCY, declared by dana@example.com: everyone who may decide must approve. Reason: nobody can pay"
    ) < page.index("What changes")
    assert "the sale" in page
    assert "0 of 2 approvals so far" in page, "all who may decide: the author is none of them"
    world.press(first, decide="approve")
    assert world.describe(arn)["status"] == "RUNNING" and world.alias() == ("1", {})
    world.decide(arn, who="bo@example.com")
    assert world.ended(arn).status == "SUCCEEDED"
    facts = {fact["name"]: fact["data"] for fact in world.ledger.facts_of("storefront", "v1.0.0")}
    assert facts["Calendar Overridden"]["why"] == "nobody can pay"
    assert facts["Calendar Overridden"]["author"] == "dana@example.com"
    assert "the sale" in facts["Calendar Overridden"]["closed"]


def test_an_emergency_that_does_not_continue_has_passed_no_freeze(world: World) -> None:
    freeze(world, seconds=3600)
    arn = world.start(world.upload("v1.0.0", emergency="nobody can pay"))
    world.link(arn)
    third = world.publish_by_hand()
    world.move_by_hand(third)
    for who in ("ana@example.com", "bo@example.com"):
        world.decide(arn, who=who)
    assert "changed by someone else" in world.ended(arn).cause
    assert "Calendar Overridden" not in world.facts("v1.0.0")
    assert world.alias() == (third, {})


def test_a_configuration_change_during_a_release_affects_only_the_next_one(world: World) -> None:
    arn = world.start(world.upload("v1.0.0"))
    world.link(arn)
    world.configure(gates={"windows": [another_day()]}, approval={"approvers": ["bo@example.com"]})
    world.decide(arn)
    assert world.ended(arn).status == "SUCCEEDED"
    assert world.record("v1.0.0")["configuration"]["version"] == 1
    assert world.release("v1.1.0", decide="").error == "ReleaseInvalid"
    assert world.record("v1.1.0")["configuration"]["version"] == 2
