"""The same definitions and the same functions release a state machine's definition behind an alias."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from tagship.targets import KINDS, step_functions
from tagship.targets.step_functions_machine import StateMachine
from tests.flow.harness import Ended, World, client_of, code_of, manifest_of, wait_for
from tests.unit.targets.machines import FakeStates, definition

GOOD, BROKEN = definition(after="Notify"), definition(after="Broken")


@pytest.fixture
def states(world: World, monkeypatch: pytest.MonkeyPatch) -> FakeStates:
    """A state machine whose alias runs version 1; its smoke test knows the definition with `Broken` as the bad one."""
    fake: Any = FakeStates()
    fake.point({fake.publish(): 100})

    def make(*, client: Any, **given: Any) -> StateMachine:
        fake.now = datetime.now(UTC)
        return StateMachine(states=fake, trying=fake, s3=client("s3"), **given)

    monkeypatch.setitem(KINDS, "step-functions", replace(step_functions.KIND, make=make))  # type: ignore[index]
    client_of("lambda").create_function(
        FunctionName="smoke",
        Runtime="python3.13",
        Role=step_functions.KIND.example["role"],
        Handler="a.b",
        Code={"ZipFile": code_of("smoke")},
    )

    def smoke(event: dict[str, Any], _: object) -> dict[str, str]:
        broken = "Broken" in fake.versions[event["version"]]["definition"]
        # With traffic alone: before any, the synthetic execution decides.
        return {"verdict": "unhealthy" if broken and event["percent"] else "healthy"}

    world.handlers["smoke"] = smoke
    world.configure(
        target=step_functions.KIND.example,
        strategy={"type": "canary", "percent": 10, "bake": 0},
        health={"checks": [{"type": "custom", "function": "smoke"}]},
    )
    states: FakeStates = fake
    return states


def release(world: World, tag: str, document: Any, **how: Any) -> Ended:
    content = json.dumps(document).encode()
    manifest = manifest_of(tag, content)
    manifest["artifacts"][0]["name"] = step_functions.DEFINITION
    return world.release(tag, code=content, manifest=manifest, **how)


def routes(states: FakeStates) -> dict[str, int]:
    found: dict[str, int] = states.aliases["live"]["routes"]
    return found


def test_a_release_is_planned_approved_tried_and_moved_in_steps(world: World, states: FakeStates) -> None:
    """Faults 118, 119 and 121."""
    seen = []

    def looks(event: dict[str, Any]) -> Any:
        answer = world.handlers["shift_traffic"](event, None)
        seen.append(dict(routes(states)))
        return answer

    states.begin("nightly", startDate=datetime.now(UTC))
    loose = {"Type": "Task", "Resource": "arn:aws:lambda:eu-central-1:1:function:loose", "End": True}
    world.plant("shift_traffic", looks)
    assert release(world, "v1.0.0", definition(after="Notify", Loose=loose)).status == "SUCCEEDED"
    assert (seen[0], routes(states)) == ({"1": 90, "2": 10}, {"2": 100})
    plan = world.record("v1.0.0")["plan"]
    assert plan["summary"][0].endswith("the alias live of storefront: version 1 → a new version")
    assert "Loose calls loose without a version or an alias" in plan["warnings"][0]
    (mail, *_) = world.mails("ana@example.com")
    assert "not through the alias" in mail.body
    assert states.executions[0]["name"].startswith("tagship-v1.0.0-2-")
    assert "version 2" in world.type("history", "storefront", "--tag", "v1.0.0").output


def test_an_unhealthy_release_is_rolled_back_and_lists_what_cannot_be_undone(
    world: World, states: FakeStates
) -> None:
    """Faults 61 and 123."""

    def orders(event: dict[str, Any]) -> Any:
        answer = world.handlers["shift_traffic"](event, None)
        states.begin("order-7", version="2", alias="live")
        return answer

    world.plant("shift_traffic", orders)
    assert release(world, "v1.0.0", BROKEN).error == "ReleaseRolledBack"
    assert routes(states) == {"1": 100}
    assert "tag" not in world.holder()
    said = world.type("history", "storefront", "--tag", "v1.0.0").output
    assert "1 execution is still running on version 2" in " ".join(said.split())
    assert "order-7" in said


def test_a_rejected_release_was_never_published(world: World, states: FakeStates) -> None:
    assert release(world, "v1.0.0", GOOD, decide="reject", reason="Not today").error == "ReleaseRejected"
    assert (states.writes, list(states.versions)) == (0, ["1"])


def test_a_manual_change_is_not_overwritten(world: World, states: FakeStates) -> None:
    def by_hand(event: dict[str, Any]) -> Any:
        states.change(definition=json.dumps(definition(after="ByHand")))
        states.point({states.publish(): 100})
        return world.handlers["shift_traffic"](event, None)

    world.plant("shift_traffic", by_hand)
    assert release(world, "v1.0.0", GOOD).error == "ReleaseInvalid"
    assert routes(states) == {"3": 100}


def test_a_release_stopped_in_the_middle_is_rolled_back(world: World, states: FakeStates) -> None:
    world.stopping("judge_health")
    ended = release(world, "v1.0.0", GOOD)
    assert (ended.status, routes(states)) == ("ABORTED", {"1": 90, "2": 10})
    assert world.supervise(ended)["did"] == "rollback"
    wait_for(lambda: True if world.record("v1.0.0")["status"] == "ABORTED" else None, "the ending")
    assert routes(states) == {"1": 100}
