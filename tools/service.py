"""The sample service of examples/ecs on the embedded engine: installed, configured, and published tag by tag.

The engine keeps services and tasks and runs no containers. So one small server on this machine answers as the images of the
running tasks would.
"""

from __future__ import annotations

import hashlib
import http.server
import itertools
import json
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from tools.stack import ACCOUNT, ROOT, Engine
from tools.team import Team
from tools.traffic import NOBODY, Answer, asked

HOME = ROOT / "examples" / "ecs"
NAME, CLUSTER, TASKS = "catalog", "shop", 2
BEFORE = "v0.9.0"
"""What runs before the first release."""
ROLES = tuple(f"arn:aws:iam::{ACCOUNT}:role/{NAME}-{role}" for role in ("task", "execution"))
"""The roles that the example's tasks use."""
_VERSION = "x-catalog-version"


@dataclass(frozen=True, slots=True, kw_only=True)
class Service:
    """The service as its team and its customers see it."""

    engine: Engine
    stage: str
    front: http.server.ThreadingHTTPServer = field(repr=False)
    images: dict[str, str]
    """The tag of each image, by its digest."""
    broken: set[str]
    """The tags whose image answers with errors."""
    name: str = NAME

    @classmethod
    def install(cls, engine: Engine, *, stage: str, **_: object) -> Service:
        """Creates the cluster, the task's roles, and the service with the tasks of an older version."""
        ecs = engine.client("ecs")
        create_roles(engine)
        ecs.create_cluster(clusterName=CLUSTER)
        images, broken = {digest_of(BEFORE): BEFORE}, set[str]()
        ecs.register_task_definition(**task(BEFORE))
        ecs.create_service(
            cluster=CLUSTER,
            serviceName=NAME,
            taskDefinition=f"{NAME}:1",
            desiredCount=TASKS,
            launchType="FARGATE",
            networkConfiguration={"awsvpcConfiguration": {"subnets": ["subnet-1"]}},
            deploymentConfiguration={"deploymentCircuitBreaker": {"enable": True, "rollback": True}},
        )
        front = _front(lambda: running(engine, images), broken)
        return cls(engine=engine, stage=stage, front=front, images=images, broken=broken)

    @property
    def url(self) -> str:
        """Where the tasks answer."""
        return f"http://127.0.0.1:{self.front.server_address[1]}"

    def close(self) -> None:
        """Nothing answers any longer."""
        self.front.shutdown()
        self.front.server_close()

    def configure(self, **changes: Any) -> dict[str, Any]:
        """Stores its application.yaml with this engine's addresses, and deploys the role that it needs."""
        document = self._team.document(taskRoles=list(ROLES))
        # one small machine does all the work here, so an answer may take its time; there is no load balancer with alarms
        check = {"url": f"{self.url}/health", "maxLatencyMs": 10_000, "timeoutSeconds": 10}
        document["health"] = {"checks": [{"type": "http", **check}]}
        return self._team.configure(document, changes)

    def publish(self, tag: str, *, broken: bool = False, notes: str = "") -> None:
        """Publishes a task definition with the version's image."""
        self.images[digest_of(tag)] = tag
        if broken:
            self.broken.add(tag)
        file = self._team.folder / "task.json"
        file.write_text(json.dumps(task(tag), indent=2))
        self._team.publish(tag, artifact="task-definition", file=file, notes=notes)

    def standing(self) -> str:
        """What the service runs, in words."""
        (found,) = self.engine.client("ecs").describe_services(cluster=CLUSTER, services=[NAME])["services"]
        return str(found["taskDefinition"]).rpartition("/")[2]

    def ask(self, _number: int) -> Answer:
        """One customer's request."""
        return asked(self.url, said_by=lambda headers, _: headers.get(_VERSION, NOBODY))

    @property
    def _team(self) -> Team:
        return Team(engine=self.engine, stage=self.stage, application=NAME, home=HOME)


def create_roles(engine: Engine) -> None:
    """Creates the roles that the example's tasks use."""
    trust = {
        "Effect": "Allow",
        "Principal": {"Service": "ecs-tasks.amazonaws.com"},
        "Action": "sts:AssumeRole",
    }
    for role in ROLES:
        engine.client("iam").create_role(
            RoleName=role.rpartition("/")[2],
            AssumeRolePolicyDocument=json.dumps({"Version": "2012-10-17", "Statement": [trust]}),
        )


def digest_of(tag: str) -> str:
    """The digest of a version's image."""
    return f"sha256:{hashlib.sha256(tag.encode()).hexdigest()}"


def task(tag: str) -> dict[str, Any]:
    """The example's task definition with a version's image and this engine's roles."""
    text = (HOME / "task.json").read_text().replace("123456789012", ACCOUNT)
    document: dict[str, Any] = json.loads(text)
    (container,) = document["containerDefinitions"]
    container["image"] = f"{container['image'].partition('@')[0]}@{digest_of(tag)}"
    return document


def running(engine: Engine, images: Mapping[str, str]) -> list[str]:
    """The versions of the service's running tasks. Raises OSError where none runs."""
    ecs = engine.client("ecs")
    try:
        arns = ecs.list_tasks(cluster=CLUSTER, serviceName=NAME, desiredStatus="RUNNING")["taskArns"]
        tasks = ecs.describe_tasks(cluster=CLUSTER, tasks=arns)["tasks"] if arns else []
    except (ClientError, BotoCoreError) as error:
        raise OSError(str(error)) from error
    found = [
        images[container["image"].partition("@")[2]]
        for each in tasks
        if each["lastStatus"] == "RUNNING"
        for container in each["containers"]
    ]
    if not found:
        raise OSError(f"no task of {NAME} runs")
    return found


def _front(versions: Any, broken: set[str]) -> http.server.ThreadingHTTPServer:
    """The load balancer and the tasks behind it, in turn. /health is well while every running task is."""
    turns = itertools.count()

    class Front(http.server.BaseHTTPRequestHandler):
        """One request."""

        def do_GET(self) -> None:
            try:
                found = versions()
            except OSError:
                found = [""]
            answers = found[next(turns) % len(found)]
            bad = set(found) if self.path == "/health" else {answers}
            self.send_response(503 if not answers else 500 if bad & broken else 200)
            self.send_header(_VERSION, answers or NOBODY)
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            """Nobody reads it."""

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Front)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server
