"""Specific to ECS services: comparing task definitions, deployments that ECS abandons, unconditional writes."""

from __future__ import annotations

import io
import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from copy import deepcopy
from typing import IO, Any

import pytest

from tagship.model.errors import (
    BaselineMissing,
    CandidateNotReady,
    LockLost,
    NotStable,
    PlanChanged,
    TargetInvalid,
    TargetMoved,
)
from tagship.model.release import PinnedObject
from tagship.targets import ecs, ecs_task
from tests.unit.targets.conformance import FENCE, NEWER, Release
from tests.unit.targets.services import SERVICE, task
from tests.unit.targets.test_ecs_conformance import KEY, SPEC, ServiceBench

WEB = task()["containerDefinitions"][0]


@pytest.fixture
def bench() -> ServiceBench:
    return ServiceBench()


def brings(bench: ServiceBench, definition: Any) -> None:
    """The release brings this one."""
    bench.ecs.objects[KEY] = definition if isinstance(definition, bytes) else json.dumps(definition).encode()


def looked_into(bench: ServiceBench) -> tuple[str, list[str]]:
    @contextmanager
    def opened(pinned: PinnedObject) -> Iterator[IO[bytes]]:
        yield io.BytesIO(bench.ecs.objects[pinned.key])

    said, problems = bench.target().look_into(bench.artifacts, opened)
    return said, list(problems)


# ---- the task definition --------------------------------------------------------------------------------------------


def test_a_valid_task_definition_is_confirmed(bench: ServiceBench) -> None:
    assert looked_into(bench) == ("task.json defines 1 containers, each pinned by its digest.", [])


@pytest.mark.parametrize(
    "definition, said",
    [
        (b"{", "not JSON"),
        (b"[" * 100_000, "larger|not JSON"),
        (b"[]", "not a JSON object"),
        (b" " * (ecs_task.MOST_BYTES + 1), "64 KB"),
        ({"family": "storefront"}, "containerDefinitions"),
        (task(containerDefinition=[]), "containerDefinition"),
        (task(cpu=256), "cpu"),
        (task(family="other"), "family is other"),
        (task(containerDefinitions=[{**WEB, "image": "web:latest"}]), "not pinned by its digest"),
        (task(containerDefinitions=[{**WEB, "image": "web@sha256:abc"}]), "not pinned by its digest"),
        (task(taskRoleArn="arn:aws:iam::123456789012:role/admin"), "not among the target's taskRoles"),
        (task(memory=None) | {"memory": ""}, "Fargate needs cpu and memory"),
        (task(networkMode="bridge"), "awsvpc"),
    ],
)
def test_a_task_definition_that_ecs_would_refuse_is_refused_before_approval(
    bench: ServiceBench, definition: Any, said: str
) -> None:
    """Fault 58, among others."""
    brings(bench, definition)
    _, problems = looked_into(bench)
    assert re.search(said, " ".join(problems))
    with pytest.raises(TargetInvalid, match=said):
        bench.target().plan(bench.artifacts, {}, weighted=False)
    assert bench.writes() == 0


def test_the_output_of_describe_is_accepted(bench: ServiceBench) -> None:
    (registered,) = bench.ecs.definitions.values()
    brings(bench, {"taskDefinition": deepcopy(registered), "tags": []})
    assert bench.target().plan(bench.artifacts, {}, weighted=False).nothingToChange


def test_ecs_defaults_are_no_difference() -> None:
    filled = task(
        containerDefinitions=[
            {
                **WEB,
                "essential": True,
                "cpu": 0,
                "mountPoints": [],
                "portMappings": [{"containerPort": 8080, "hostPort": 8080, "protocol": "tcp"}],
            }
        ],
        placementConstraints=[],
        status="ACTIVE",
        requiresAttributes=[{"name": "ecs.capability.task-eni"}],
    )
    assert ecs_task.digest_of(filled) == ecs_task.digest_of(task())
    assert ecs_task.differences(task(), filled) == []


def test_each_difference_is_a_line_dangerous_ones_first_without_variable_values() -> None:
    after = task(
        cpu="512",
        taskRoleArn="arn:aws:iam::123456789012:role/storefront-execution",
        ephemeralStorage={"sizeInGiB": 40},
        enableFaultInjection=True,
        containerDefinitions=[
            {
                **WEB,
                "image": f"web@sha256:{'b' * 64}",
                "privileged": True,
                "environment": [{"name": "LEVEL", "value": "hunter2"}, {"name": "NEW", "value": "hunter2"}],
                "secrets": [
                    {"name": "KEY", "valueFrom": "arn:aws:ssm:eu-central-1:123456789012:parameter/key"}
                ],
                "command": ["serve"],
                "logConfiguration": {"logDriver": "splunk", "options": {"splunk-token": "hunter2"}},
            },
            {**WEB, "name": "sidecar"},
        ],
    )
    lines = ecs_task.differences(task(), after)
    assert lines[0].startswith("Task role: ")
    assert [line.split(":")[0] for line in lines] == [
        "Task role",
        "CPU of the task",
        "Ephemeral storage",
        "Container sidecar",
        "Container web, secrets new",
        "Container web, environment new",
        "Container web, environment changed",
        "Container web, privileged",
        "Container web, command",
        "Container web, image",
        "Container web, logConfiguration",
        "enableFaultInjection",
    ]
    assert "hunter2" not in " ".join(lines)
    assert ecs_task.differences(after, task())[3] == "Container sidecar: removed."


def test_a_registered_revision_that_differs_from_the_request_gets_no_traffic(bench: ServiceBench) -> None:
    release = Release(bench)
    release.prepare()
    bench.ecs.definitions[release.candidate["id"]]["cpu"] = "4096"
    with pytest.raises(PlanChanged):
        release.prepare()


def test_a_pinned_task_definition_that_differs_is_not_registered(bench: ServiceBench) -> None:
    release = Release(bench)
    brings(bench, task(cpu="512", memory="1024"))
    with pytest.raises(PlanChanged):
        release.prepare()
    assert len(bench.ecs.definitions) == 1


def test_an_outdated_list_is_read_again(bench: ServiceBench, monkeypatch: pytest.MonkeyPatch) -> None:
    """ListTaskDefinitions is eventually consistent."""
    release = Release(bench)
    monkeypatch.setattr(bench.ecs, "list_task_definitions", lambda **_: {"taskDefinitionArns": []})
    assert release.target.prepare(bench.artifacts, release.candidate, release.made.append).wait > 0
    monkeypatch.undo()
    release.prepare()
    assert release.candidate["id"] == "storefront:2"


# ---- the service ----------------------------------------------------------------------------------------------------


def test_a_service_that_tagship_cannot_deploy_is_refused_at_the_gate(bench: ServiceBench) -> None:
    bench.ecs.controller = "CODE_DEPLOY"
    with pytest.raises(TargetInvalid, match="deployed by CODE_DEPLOY"):
        bench.target().check(None)


def test_a_service_without_tasks_is_inconclusive_and_refused(bench: ServiceBench) -> None:
    """Fault 57."""
    bench.ecs.desired = 0
    with pytest.raises(TargetInvalid, match="desired count of 0"):
        bench.target().check(None)


def test_other_peoples_deployments_are_not_overridden(bench: ServiceBench) -> None:
    bench.unsettle()
    bench.drift()
    with pytest.raises(CandidateNotReady, match="someone else"):
        bench.target().check(None)
    with pytest.raises(TargetInvalid, match="being deployed"):
        bench.target().serving()


def test_a_service_without_a_circuit_breaker_is_a_warning(bench: ServiceBench) -> None:
    bench.ecs.breaker = {"enable": True, "rollback": False}
    assert "circuit breaker" in bench.target().check(None).warning


def test_a_missing_service_is_an_invalid_target(bench: ServiceBench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bench.ecs, "describe_services", lambda **_: {"services": [], "failures": [{}]})
    with pytest.raises(TargetInvalid, match="service storefront is not active"):
        bench.target().check(None)


def test_another_services_record_is_no_drift(bench: ServiceBench) -> None:
    other = {"id": "storefront:99", "digest": "", "data": {"of": SERVICE.replace("shop", "old")}}
    assert "can be changed" in bench.target().check(other).said  # type: ignore[arg-type]


# ---- a deployment that ECS gives up ---------------------------------------------------------------------------------


@pytest.fixture
def moving(bench: ServiceBench) -> Release:
    """A release that ECS is deploying."""
    release = Release(bench)
    release.prepare()
    bench.unsettle()
    release.set_weight(100)
    return release


def test_a_deployment_rolled_back_by_the_circuit_breaker_is_reported_with_its_reason(
    bench: ServiceBench, moving: Release
) -> None:
    bench.ecs.give_up("tasks failed to start")
    with pytest.raises(TargetInvalid, match=r"ECS gave up deploying storefront:2.*tasks failed to start"):
        moving.target.verify_weight(moving.move(100))
    assert "already" in moving.restore()


def test_a_deployment_that_is_rolling_back_has_failed(bench: ServiceBench, moving: Release) -> None:
    bench.ecs.records[-1] |= {"status": "ROLLBACK_IN_PROGRESS", "statusReason": "an alarm"}
    with pytest.raises(TargetInvalid, match="an alarm"):
        moving.target.verify_weight(moving.move(100))
    assert "being rolled back" in moving.restore()


def test_a_failed_deployment_without_a_rollback_has_failed(bench: ServiceBench, moving: Release) -> None:
    bench.ecs.records[-1]["status"] = "STOPPED"
    bench.ecs.deployments[0] |= {"rolloutState": "FAILED", "rolloutStateReason": "no capacity"}
    with pytest.raises(TargetInvalid, match="no capacity"):
        moving.target.verify_weight(moving.move(100))


def test_a_service_with_missing_tasks_has_not_settled(bench: ServiceBench, moving: Release) -> None:
    bench.settle()
    bench.ecs.deployments[0]["runningCount"] = 1
    assert moving.target.verify_weight(moving.move(100)) > 0


def test_a_service_scaled_to_zero_shows_nothing(bench: ServiceBench, moving: Release) -> None:
    bench.settle()
    bench.ecs.desired = 0
    with pytest.raises(TargetInvalid, match="scaled to 0 tasks"):
        moving.target.verify_weight(moving.move(100))


def test_a_deployment_that_ended_before_it_was_stopped_is_read_again(
    bench: ServiceBench, moving: Release
) -> None:
    bench.ecs.tags[SERVICE][f"tagship:fence:{NEWER}"] = "marked"
    bench.before_write(lambda: bench.ecs.records[-1].update(status="SUCCESSFUL"))
    with pytest.raises(NotStable):
        moving.restore()
    assert "is being restored to storefront:1" in moving.restore()
    bench.settle()
    assert bench.shares() == moving.expected(0)


# ---- without a precondition -----------------------------------------------------------------------------------------


def test_a_manual_deployment_at_the_last_moment_is_reverted(bench: ServiceBench) -> None:
    """After the last look: ECS takes our write, and its answer shows what it replaced."""
    release = Release(bench)
    release.prepare()
    bench.ecs.tags[SERVICE][f"tagship:fence:{FENCE}"] = "marked"
    bench.unsettle()
    bench.before_write(bench.drift)
    with pytest.raises(TargetMoved, match="Tagship undid"):
        release.set_weight(100)
    bench.settle()
    assert bench.shares() == {"storefront:3": 100}


def test_a_newer_number_at_the_last_moment_reverts_the_move(bench: ServiceBench) -> None:
    release = Release(bench)
    release.prepare()
    bench.ecs.tags[SERVICE][f"tagship:fence:{FENCE}"] = "marked"
    bench.before_write(release.restore)
    with pytest.raises(LockLost):
        release.set_weight(100)
    bench.settle()
    assert bench.shares() == release.expected(0)


def test_outdated_fencing_numbers_are_removed(bench: ServiceBench) -> None:
    """A resource of ECS has at most fifty tags."""
    release = Release(bench)
    release.prepare()
    release.set_weight(100)
    release.restore()
    assert [key for key in bench.ecs.tags[SERVICE] if "fence" in key] == [f"tagship:fence:{NEWER}"]


def test_without_a_baseline_nothing_can_be_restored(bench: ServiceBench) -> None:
    with pytest.raises(BaselineMissing):
        bench.target().restore(baseline=None, candidate=None, fence=NEWER)


def test_roles_can_be_passed_only_if_the_target_names_some() -> None:
    bare = ecs.EcsTarget(**{**ecs.KIND.example, "taskRoles": ()})
    assert not [right for right in ecs.KIND.rights(bare, objects=()) if "iam:PassRole" in right.actions]
    (passing,) = [right for right in ecs.KIND.rights(SPEC, objects=()) if "iam:PassRole" in right.actions]
    assert (passing.on, passing.passed_to) == (SPEC.taskRoles, "ecs-tasks.amazonaws.com")
