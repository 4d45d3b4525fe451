"""A roll of a service on ECS: Tagship's adapter until the service is stable, and a script's calls for the same.

The engine runs no containers: it has a task running as soon as ECS would start it. So these are the times of the calls,
and not of a pull of an image or a health check of a load balancer, which take minutes on AWS.
"""

from __future__ import annotations

import hashlib
import json
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

from tagship.model.release import Artifact, PinnedObject
from tagship.targets.ecs import TASK, EcsTarget
from tagship.targets.ecs_service import EcsService
from tagship.targets.kind import Artifacts, Move
from tools.bench.rival import aws, run_script, version_of
from tools.bench.table import COUNT, SECONDS, Figure, Part, say
from tools.service import BEFORE, ROLES, create_roles, task
from tools.stack import ACCOUNT, REGION, Engine, LocalError

SCRIPT = Path(__file__).with_name("service.sh")
PATIENCE_SECONDS = 120
_CLUSTER, _TASKS = "bench", 2
_OURS, _BY_CALLS, _BY_SCRIPT = "ours", "by-calls", "by-script"
_ROLE = f"arn:aws:iam::{ACCOUNT}:role/tagship-app-bench"


def measure(engine: Engine, bucket: str, *, runs: int) -> list[Part]:
    """One release to warm up, and then one for each run, each by Tagship and by hand.

    Raises LocalError if a service is not stable in its time, or a command of the script fails.
    """
    say("a service on ECS")
    command = aws()
    _install(engine)
    measured: dict[str, list[float]] = {}
    for number in range(runs + 1):
        found = _released(engine, bucket, number)
        found["calls by hand"], found["made by hand"] = _by_calls(engine, number)
        if command:
            found["script"] = _by_script(engine, number)
        if number:
            for what, value in found.items():
                measured.setdefault(what, []).append(value)
    figures = [
        Figure(what="plan: Tagship's calls until approvers can read it", unit=SECONDS, runs=measured["plan"]),
        Figure(
            what="roll: Tagship registers, rechecks, updates, and sees it stable",
            unit=SECONDS,
            runs=measured["roll"],
        ),
        Figure(
            what="the same by hand: register, update, one look at a stable service",
            unit=SECONDS,
            runs=measured["calls by hand"],
        ),
        *(
            [
                Figure(
                    what=f"the same as a script of aws commands ({version_of(command)})",
                    unit=SECONDS,
                    runs=measured["script"],
                )
            ]
            if command
            else []
        ),
        Figure(what="calls to AWS for the plan", unit=COUNT, runs=measured["calls of the plan"]),
        Figure(what="calls to AWS for the roll", unit=COUNT, runs=measured["calls of the roll"]),
        Figure(what="calls to AWS by hand", unit=COUNT, runs=measured["made by hand"]),
    ]
    return [Part(title=f"{_TASKS} tasks of a service on ECS replaced, without containers", figures=figures)]


def _install(engine: Engine) -> None:
    ecs = engine.client("ecs")
    create_roles(engine)
    ecs.create_cluster(clusterName=_CLUSTER)
    for name in (_OURS, _BY_CALLS, _BY_SCRIPT):
        ecs.register_task_definition(**_task(name, BEFORE))
        ecs.create_service(
            cluster=_CLUSTER,
            serviceName=name,
            taskDefinition=name,
            desiredCount=_TASKS,
            launchType="FARGATE",
            networkConfiguration={"awsvpcConfiguration": {"subnets": ["subnet-1"]}},
        )


def _task(service: str, tag: str) -> dict[str, Any]:
    return {**task(tag), "family": service}


def _released(engine: Engine, bucket: str, number: int) -> dict[str, float]:
    """Seconds and calls of the plan and of the roll, as the steps of a release make them."""
    spec = EcsTarget(
        type="ecs",
        cluster=_CLUSTER,
        service=_OURS,
        account=ACCOUNT,
        region=REGION,
        role=_ROLE,
        externalId="tagship-bench",
        taskRoles=ROLES,
    )
    tag = f"v1.{number}.0"
    ecs, s3 = engine.client("ecs"), engine.client("s3")
    artifacts = _uploaded(engine, bucket, tag)
    calls = _Calls(ecs, s3)
    target = EcsService(application="bench", tag=tag, spec=spec, ecs=ecs, s3=s3)
    began = time.monotonic()
    change = target.plan(artifacts, {}, weighted=False)
    plan, planned, began = time.monotonic() - began, calls.taken(), time.monotonic()
    assert change.baseline is not None
    candidate = target.prepare(artifacts, change.candidate, lambda _: None).candidate
    if candidate is None:
        raise LocalError(f"The task definition of {tag} is not registered.")
    etag = change.baseline["etag"]
    move = Move(baseline=change.baseline, candidate=candidate, percent=100, etag=etag, fence=number + 1)
    target.verify_unchanged(move)
    target.set_weight(move)
    while target.verify_weight(move):
        if time.monotonic() - began > PATIENCE_SECONDS:
            raise LocalError(f"The service {_OURS} is not stable after {PATIENCE_SECONDS} s.")
        time.sleep(0.05)
    roll = time.monotonic() - began
    return {
        "plan": plan,
        "roll": roll,
        "calls of the plan": planned,
        "calls of the roll": calls.taken(),
    }


def _by_calls(engine: Engine, number: int) -> tuple[float, int]:
    """Seconds and calls of what a script does, from this process."""
    ecs: Any = engine.client("ecs")
    calls, request = _Calls(ecs), _task(_BY_CALLS, f"v1.{number}.0")
    began = time.monotonic()
    made = ecs.register_task_definition(**request)["taskDefinition"]["taskDefinitionArn"]
    ecs.update_service(cluster=_CLUSTER, service=_BY_CALLS, taskDefinition=made)
    ecs.get_waiter("services_stable").wait(
        cluster=_CLUSTER, services=[_BY_CALLS], WaiterConfig={"Delay": 1, "MaxAttempts": PATIENCE_SECONDS}
    )
    return time.monotonic() - began, calls.taken()


def _by_script(engine: Engine, number: int) -> float:
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "task.json")
        file.write_text(json.dumps(_task(_BY_SCRIPT, f"v1.{number}.0")))
        took, _ = run_script(engine, SCRIPT, _CLUSTER, _BY_SCRIPT, file)
    return took


class _Calls:
    """Counts the calls of clients, since it was made or last asked."""

    def __init__(self, *clients: Any) -> None:
        self._made: Counter[str] = Counter()
        for number, client in enumerate(clients):
            client.meta.events.register("before-call", self._called, unique_id=f"bench-{id(self)}-{number}")

    def _called(self, *, event_name: str, **_: Any) -> None:
        self._made[event_name] += 1

    def taken(self) -> int:
        """How many; then it starts again."""
        made, self._made = self._made.total(), Counter()
        return made


def _uploaded(engine: Engine, bucket: str, tag: str) -> Artifacts:
    body, key = json.dumps(_task(_OURS, tag)).encode(), f"bench/service/{tag}/task.json"
    version = engine.client("s3").put_object(Bucket=bucket, Key=key, Body=body)["VersionId"]
    artifact = Artifact(name=TASK, file="task.json", sha256=hashlib.sha256(body).hexdigest(), size=len(body))
    return {TASK: (artifact, PinnedObject(bucket=bucket, key=key, versionId=version, size=len(body)))}
