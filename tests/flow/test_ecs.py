"""The same definitions and the same functions release to a service on ECS."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from tagship.targets import KINDS, ecs
from tagship.targets.ecs_service import EcsService
from tests.flow.harness import Ended, World, client_of, code_of, manifest_of
from tests.unit.targets.services import FakeEcs, task

ROLE = "arn:aws:iam::123456789012:role/tagship-app-storefront"
WEB = task()["containerDefinitions"][0]


def with_image(digit: str) -> dict[str, Any]:
    """A task definition whose image has this digest."""
    return task(containerDefinitions=[{**WEB, "image": f"web@sha256:{digit * 64}"}])


@pytest.fixture
def service(world: World, monkeypatch: pytest.MonkeyPatch) -> FakeEcs:
    """A service that runs a first revision; its smoke test knows the image `c` as the bad one."""
    fake = FakeEcs()
    fake.deploy(fake.register(task()))

    def make(*, client: Any, **given: Any) -> EcsService:
        return EcsService(ecs=fake, s3=client("s3"), **given)

    monkeypatch.setitem(KINDS, "ecs", replace(ecs.KIND, make=make))  # type: ignore[index]
    client_of("lambda").create_function(
        FunctionName="smoke",
        Runtime="python3.13",
        Role=ROLE,
        Handler="a.b",
        Code={"ZipFile": code_of("smoke")},
    )
    world.handlers["smoke"] = lambda *_: {
        "verdict": "unhealthy" if "c" * 64 in json.dumps(fake.definitions[fake.serves]) else "healthy"
    }
    world.configure(
        target=ecs.KIND.example,
        strategy={"type": "all-at-once"},
        health={"checks": [{"type": "custom", "function": "smoke"}]},
    )
    return fake


def release(world: World, tag: str, definition: Any, **how: Any) -> Ended:
    content = json.dumps(definition).encode()
    document = manifest_of(tag, content)
    document["artifacts"][0]["name"] = ecs.TASK
    return world.release(tag, code=content, manifest=document, **how)


def test_a_release_is_planned_approved_and_deployed(world: World, service: FakeEcs) -> None:
    assert release(world, "v1.0.0", with_image("b")).status == "SUCCEEDED"
    assert service.serves == "storefront:2"
    summary = world.record("v1.0.0")["plan"]["summary"]
    assert summary[0].endswith("storefront:1 → a new revision; ECS replaces 2 tasks (rolling).")
    assert summary[1].startswith("Container web, image: ")
    assert "task definition storefront:2" in world.type("history", "storefront", "--tag", "v1.0.0").output


def test_an_already_deployed_revision_needs_no_approval(world: World, service: FakeEcs) -> None:
    assert release(world, "v1.0.0", task(), decide="").status == "SUCCEEDED"
    assert service.writes == 0


def test_an_unhealthy_release_is_rolled_back(world: World, service: FakeEcs) -> None:
    assert release(world, "v1.0.0", with_image("c")).error == "ReleaseRolledBack"
    assert service.serves == "storefront:1"
    assert "tag" not in world.holder()


def test_a_deployment_that_ecs_abandons_is_rolled_back_with_its_reason(
    world: World, service: FakeEcs
) -> None:
    def gives_up(event: dict[str, Any]) -> Any:
        service.instant = False
        answer = world.handlers["shift_traffic"](event, None)
        service.give_up("tasks failed to start")
        service.instant = True
        return answer

    world.plant("shift_traffic", gives_up)
    assert release(world, "v1.0.0", with_image("b")).error == "ReleaseRolledBack"
    assert service.serves == "storefront:1"
    assert "tasks failed to start" in world.record("v1.0.0")["why"]


def test_an_image_without_a_digest_stops_at_the_gates(world: World, service: FakeEcs) -> None:
    """Fault 58."""
    unpinned = task(containerDefinitions=[{**WEB, "image": "web:latest"}])
    assert release(world, "v1.0.0", unpinned, decide="").error == "ReleaseInvalid"
    assert "not pinned by its digest" in world.record("v1.0.0")["why"]
    assert len(service.definitions) == 1


def test_a_manual_deployment_is_not_overwritten(world: World, service: FakeEcs) -> None:
    def by_hand(event: dict[str, Any]) -> Any:
        service.deploy(service.register(with_image("d")))
        return world.handlers["shift_traffic"](event, None)

    world.plant("shift_traffic", by_hand)
    assert release(world, "v1.0.0", with_image("b")).error == "ReleaseInvalid"
    assert service.serves == "storefront:3"
