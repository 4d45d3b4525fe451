"""Two functions of one application on the deployed stack, from the upload to the ending. A queue on an alias follows it."""

from __future__ import annotations

import io
import json
import zipfile
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.conftest import Stack
from tests.integration.conftest import wait_for
from tests.integration.samples import Released
from tools import people
from tools.stack import ACCOUNT, REGION, Engine
from tools.team import Team

NAME, WORKER = "tickets", "tickets-worker"
BEFORE = "v1.0.0"
"""What serves before the first release."""
APPROVER = "ana@example.com"
CODE = """
def handler(event, context):
    if event.get("check") == "health":
        return {{"healthy": not ({broken} and event["percent"])}}
    for record in event.get("Records", ()):
        print("{tag} handled", record["body"])
    return {{"tag": "{tag}"}}
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tickets:
    """The CI of an API and its worker; each release has a zip for each."""

    team: Team

    def publish(self, tag: str, *, broken: bool = False) -> None:
        """Only the worker of a broken release is broken, and only with traffic."""
        files = {name: self.team.folder / f"{name}.zip" for name in (NAME, WORKER)}
        for name, file in files.items():
            file.write_bytes(zipped(tag, broken=broken and name == WORKER))
        worker = ("--artifact", f"worker={files[WORKER]}")
        self.team.publish(tag, *worker, artifact="function", file=files[NAME], notes="")


@dataclass(slots=True, kw_only=True)
class Pair(Released):
    """Both functions, and the queue that calls the worker's alias."""

    queue: str
    sent: int = 0

    def serving(self) -> dict[str, tuple[str, dict[str, float]]]:
        """Each alias's version, and the weights of others."""
        found = {}
        for name in (NAME, WORKER):
            alias = self.stack.client("lambda").get_alias(FunctionName=name, Name="live")
            weights = (alias.get("RoutingConfig") or {}).get("AdditionalVersionWeights") or {}
            found[name] = (alias["FunctionVersion"], weights)
        return found

    def handled_by(self) -> set[str]:
        """The releases that handle the next messages of the queue."""
        bodies = [f"order {self.sent + number}" for number in (1, 2)]
        self.sent += len(bodies)
        for body in bodies:
            self.stack.client("sqs").send_message(QueueUrl=self.queue, MessageBody=body)

        def found() -> set[str] | None:
            lines = [
                line for line in self._lines() if any(line.endswith(f"handled {body}") for body in bodies)
            ]
            return {line.split()[0] for line in lines} if len(lines) == len(bodies) else None

        return wait_for(found, "messages that were handled")

    def _lines(self) -> list[str]:
        found = self.stack.client("logs").filter_log_events(logGroupName=f"/aws/lambda/{WORKER}")["events"]
        return [line.strip() for event in found for line in event["message"].splitlines()]


@pytest.fixture(scope="module")
def pair(stack: Stack) -> Pair:
    """Both functions at version 1 behind `live`, with the role that the command line prints."""
    engine = stack.engine
    made(engine)
    queue = trigger(engine, NAME, on="live")
    trigger(engine, f"{NAME}-old", on="1")
    team = Team(engine=engine, stage=stack.stage, application=NAME, home=Path())
    target = {
        "type": "lambda",
        "function": NAME,
        "others": [{"function": WORKER, "artifact": "worker"}],
        "account": ACCOUNT,
        "region": REGION,
        "role": f"arn:aws:iam::{ACCOUNT}:role/tagship-app-{NAME}",
        "externalId": f"tagship-{stack.stage}",
    }
    document = {
        "application": NAME,
        "target": target,
        "strategy": {"type": "canary", "percent": 50, "bake": 1},
        "approval": {"approvers": [APPROVER], "required": 1, "expires": 600, "remindEvery": 600},
        "health": {"checks": [{"type": "lambda"}], "every": 1},
    }
    team.configure(document, {})
    return Pair(stack=stack, application=NAME, ci=Tickets(team=team), queue=queue)


def test_both_functions_and_the_workers_queue_follow_a_good_release(pair: Pair) -> None:
    """Fault 143."""
    assert pair.handled_by() == {BEFORE}
    people.decide(pair.publish("v1.1.0"), decision="approve")
    good = pair.ended("v1.1.0")
    assert good["status"] == "SUCCEEDED", good.get("why")
    assert good["plan"]["summary"][0] == f"2 functions move together, in this order: {NAME}, then {WORKER}"
    assert pair.serving() == {NAME: ("2", {}), WORKER: ("2", {})}
    assert pair.handled_by() == {"v1.1.0"}


def test_a_broken_worker_takes_both_functions_and_the_queue_back(pair: Pair) -> None:
    """Faults 91 and 143."""
    before, handling = pair.serving(), pair.handled_by()
    people.decide(pair.publish("v1.2.0", broken=True), decision="approve")
    broken = pair.ended("v1.2.0")
    assert broken["status"] == "ROLLED_BACK", broken.get("why")
    assert WORKER in broken["why"]
    assert f"a trigger from arn:aws:sqs:{REGION}:{ACCOUNT}:{NAME}-old on version 1" in json.dumps(
        broken["gates"]
    )
    assert (pair.serving(), pair.handled_by()) == (before, handling)


def made(engine: Engine) -> None:
    """Both functions, as their team deployed them."""
    trust = {"Effect": "Allow", "Principal": {"Service": "lambda.amazonaws.com"}, "Action": "sts:AssumeRole"}
    role = engine.client("iam").create_role(
        RoleName=NAME, AssumeRolePolicyDocument=json.dumps({"Version": "2012-10-17", "Statement": [trust]})
    )
    functions = engine.client("lambda")
    engine.client("logs").create_log_group(logGroupName=f"/aws/lambda/{WORKER}")
    for name in (NAME, WORKER):
        functions.create_function(
            FunctionName=name,
            Runtime="python3.13",
            Role=role["Role"]["Arn"],
            Handler="index.handler",
            Code={"ZipFile": zipped(BEFORE)},
            Timeout=10,
            Publish=True,
        )
        functions.create_alias(FunctionName=name, Name="live", FunctionVersion="1")


def trigger(engine: Engine, queue: str, *, on: str) -> str:
    """A queue that calls an alias or a version of the worker; returns its address."""
    url = engine.client("sqs").create_queue(QueueName=queue)["QueueUrl"]
    engine.client("lambda").create_event_source_mapping(
        EventSourceArn=f"arn:aws:sqs:{REGION}:{ACCOUNT}:{queue}", FunctionName=f"{WORKER}:{on}"
    )
    return str(url)


def zipped(tag: str, *, broken: bool = False) -> bytes:
    """One function's code."""
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        entry = zipfile.ZipInfo("index.py")
        entry.external_attr = 0o644 << 16  # Lambda's own user reads it
        archive.writestr(entry, CODE.format(tag=tag, broken=broken))
    return packed.getvalue()
