"""What each function needs to start in AWS's own runtime, compared with a bare one that imports boto3 and makes one client.

The SAM CLI's wheel carries AWS's Runtime Interface Emulator; with AWS's runtime client it runs a built function with no
Docker. It says how long the init phase took, and the kernel how much memory the process ever had. Every start is a new
process, and a bare one is started right before each of ours, so that both see the same machine.
"""

from __future__ import annotations

import json
import re
import shutil
import time
from collections import defaultdict
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, cast

from tagship.approval.link import LinkSigner
from tagship.ledger import approvals, releases
from tagship.ledger.table import Ledger, timestamp
from tagship.model.records import NewRelease, NewRequest
from tagship_cli.actions.previews import sample
from tools.bench.memory import children_of, peak_of
from tools.bench.table import MEBIBYTES, MILLISECONDS, TIMES, Figure, Part, say
from tools.emulator import Emulated, emulated, what_the_runtime_brings
from tools.stack import BUILD, ROOT, Engine, LocalError

BARE = "a bare function"
_BARE_CODE = """
import os

import boto3

client = boto3.client("dynamodb")


def handler(event, context):
    key = {"pk": {"S": "nothing"}, "sk": {"S": "nothing"}}
    return "Item" in client.get_item(TableName=os.environ["TAGSHIP_LEDGER_TABLE"], Key=key)
"""
_INIT = re.compile(r"INIT REPORT\(durationMs: ([\d.]+)\)")
MOST = 1.2
"""The limit: how many times as much as the bare function another may need."""
WARM = 0.05
"""The limit in seconds for the approval page in a warm process."""
_VISITS = 20
"""Requests to the page in each run; they take almost no time."""


def measure(engine: Engine, stack_name: str, *, bucket: str, runs: int) -> list[Part]:
    """Every function of the deployed stack, cold.

    Raises LocalError when one does not start.
    """
    functions, events = Functions.prepared(engine, stack_name), _Events(bucket)
    ours = [name for name in functions.variables if name != BARE]
    pairs: dict[str, list[_Pair]] = defaultdict(list)
    for number in range(runs + 1):
        say(f"cold starts, round {number} of {runs}" if number else "cold starts, to warm up")
        for name in ours:
            bare, start = (functions.start(each, events.for_(each)) for each in (BARE, name))
            if number:
                pairs[name].append((bare, start))
    every = [pair for each in pairs.values() for pair in each]
    return [
        _against(
            "A cold start in AWS's runtime: the init phase, that is Python and the imports",
            Figure(what=BARE, unit=MILLISECONDS, runs=[bare.init for bare, _ in every]),
            {name: [start.init / bare.init for bare, start in each] for name, each in pairs.items()},
        ),
        Part(
            title="… until its first answer, with its first client and its first look at the ledger",
            figures=[
                Figure(what=BARE, unit=MILLISECONDS, runs=[bare.answer for bare, _ in every]),
                Figure(what="all functions", unit=MILLISECONDS, runs=[start.answer for _, start in every]),
            ],
        ),
        _against(
            "… and the memory that it has had at its highest",
            Figure(what=BARE, unit=MEBIBYTES, runs=[bare.peak for bare, _ in every]),
            {name: [start.peak / bare.peak for bare, start in each] for name, each in pairs.items()},
        ),
        _page(functions, engine, runs=runs),
    ]


class _Events:
    """Events about an application that the ledger does not know: each function looks it up, and ends."""

    def __init__(self, bucket: str) -> None:
        stream, alarm = _sample("ledger-stream"), _sample("alarm-state-change")
        message = {"application": "bench", "fact": "0", "channel": "bus"}
        queued = {
            "messageId": "1",
            "body": json.dumps(message),
            "receiptHandle": "none",
            "attributes": {
                "ApproximateReceiveCount": "1",
                "MessageGroupId": "bus-bench",
                "MessageDeduplicationId": "1",
            },
        }
        self._of_the_flow = _of_the_flow(bucket)
        self._beside_it = {
            "ApprovalPageFunction": _sample("approval-page"),
            "BroadcastFunction": stream,
            "NotifyFunction": {"Records": [queued]},
            "PreserveFunction": stream,
            "SuperviseFunction": _sample("execution-status-change"),
            "WatchFunction": alarm,
        }

    def for_(self, name: str) -> dict[str, Any]:
        return self._beside_it.get(name, self._of_the_flow)


def _sample(name: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((ROOT / "events" / f"{name}.json").read_text())
    return found


def _of_the_flow(bucket: str) -> dict[str, Any]:
    about = {"application": "bench", "tag": "v1.0.0", "attempt": 1}
    step = {"percent": 100, "bake": 0, "needs": 15}
    deadline = "2030-01-01T00:00:00.000Z"
    upload = {"bucket": bucket, "key": "releases/bench/v1.0.0/release.json"}
    return {
        **about,
        "release": about,
        "order": {**about, **upload, "trigger": "operator", "why": "measured"},
        "execution": "arn:aws:states:us-east-1:000000000000:execution:tagship-production-release:bench",
        "lock": {"fence": 1, "planning": 1},
        "gate": "tag",
        "results": [],
        "planning": 1,
        "taskToken": "token",
        "deployment": {
            "fence": 1,
            "steps": [step],
            "count": 1,
            "next": 0,
            "deadline": deadline,
            "step": "1 of 1",
            "bake": 0,
            "every": 15,
            "followingNeed": 0,
        },
        "baking": {"until": "", "extended": False},
        "percent": 100,
        "check": "lambda",
        "index": 0,
        "subject": "candidate",
        "step": "1 of 1",
        "deadline": deadline,
        "ending": {"status": "INVALID", "cause": "measured"},
    }


def _page(functions: Functions, engine: Engine, *, runs: int) -> Part:
    """The approval page in a process that has answered before: what an approver waits for when somebody was there already.

    Raises LocalError when it shows no form.
    """
    name = "ApprovalPageFunction"
    event = _opened(engine, functions.variables[name])
    seconds = []
    with functions.running(name) as page:
        for number in range(runs * _VISITS + 1):
            before = time.monotonic()
            answer = page.invoke(event).payload
            if number:
                seconds.append(time.monotonic() - before)
            if answer.get("statusCode") != 200 or "<form" not in answer["body"]:
                raise LocalError(f"The approval page did not show the request: {answer}\n{page.log()}")
    shown = Figure(what="link checked, request read, page made", unit=MILLISECONDS, runs=seconds)
    return Part(title="The approval page, warm", figures=[shown.below(WARM)])


def _opened(engine: Engine, variables: Mapping[str, str]) -> dict[str, Any]:
    """What a browser asks for with the link of an open request; the request is the one of `tagship preview approval`."""
    stage = variables["TAGSHIP_STAGE"]
    ledger = Ledger(
        client=engine.client("dynamodb"),
        table=variables["TAGSHIP_LEDGER_TABLE"],
        stage=stage,
        now=lambda: datetime.now(UTC),
    )
    expires = ledger.now() + timedelta(hours=4)
    about = {"application": "bench", "tag": "v1.0.0", "execution": "bench"}
    request = sample(**about, stage=stage, expiresAt=timestamp(expires))
    read = {"digest": "", "manifest": {}, "configuration": {"document": {}}, "phase": "gates"}
    releases.claim(ledger, cast("NewRelease", {**about, **read}))
    approvals.request(ledger, cast("NewRequest", request), execution="bench")
    signer = LinkSigner(engine.client("kms"), variables["TAGSHIP_LINK_KEY"], stage=stage)
    token = signer.token(request["id"], request["approvers"][0], request["digest"], expires)
    path = f"/approvals/{request['id']}"
    event = _sample("approval-page") | {"rawPath": path, "rawQueryString": f"t={token}"}
    event["requestContext"]["http"]["path"] = path
    return event


def _against(title: str, bare: Figure, runs: Mapping[str, Sequence[float]]) -> Part:
    """`runs`: how many times as much as the bare one before it each start needed, by function."""
    times = [Figure(what=name, unit=TIMES, runs=values).at_most(MOST) for name, values in runs.items()]
    return Part(title=title, figures=[bare, *times])


@dataclass(frozen=True, slots=True, kw_only=True)
class Start:
    """One cold start."""

    init: float
    """Seconds of the init phase: Python, the imports, and what else runs at import."""
    answer: float
    """Seconds from the invocation to its answer, the init phase among them."""
    peak: float
    """MiB, after that."""


_Pair = tuple[Start, Start]
"""A bare function's start, and the start of one of ours right after it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Functions:
    """The functions as they were built, with the settings of the deployed ones."""

    folder: Path
    endpoint: Mapping[str, str]
    variables: Mapping[str, Mapping[str, str]]
    """The settings of each function, by its logical name."""

    @classmethod
    def prepared(cls, engine: Engine, stack_name: str) -> Functions:
        """Copies the build, so that no other build changes it; adds the bare function and the runtime's packages."""
        folder = engine.folder / "tmp" / "functions"  # goes with the engine
        shutil.copytree(BUILD, folder)
        (folder / BARE).mkdir()
        (folder / BARE / "app.py").write_text(_BARE_CODE)
        (folder / "runtime").mkdir()
        what_the_runtime_brings(folder / "runtime")
        lambdas = engine.client("lambda")
        resources = engine.client("cloudformation").describe_stack_resources(StackName=stack_name)
        deployed = {
            resource["LogicalResourceId"]: lambdas.get_function_configuration(
                FunctionName=resource["PhysicalResourceId"]
            )
            for resource in resources["StackResources"]
            if resource["ResourceType"] == "AWS::Lambda::Function"
        }
        variables = {name: known["Environment"]["Variables"] for name, known in sorted(deployed.items())}
        return cls(
            folder=folder,
            endpoint=engine.environment,
            variables={BARE: next(iter(variables.values())), **variables},
        )

    def running(self, name: str) -> AbstractContextManager[Emulated]:
        """One function in AWS's runtime, until the block ends; its first answer is a cold one."""
        return emulated(
            name,
            brought=self.folder / "runtime",
            folder=self.folder,
            variables={**self.endpoint, **self.variables[name]},
            code=self.folder,
        )

    def start(self, name: str, event: Mapping[str, Any]) -> Start:
        """One function, cold, and one event.

        Raises LocalError when it does not answer.
        """
        with self.running(name) as function:
            before = time.monotonic()
            function.invoke(event)  # whatever it answers: these events are made to be read, not to be obeyed
            answer = time.monotonic() - before
            (runtime,) = children_of(function.process)
            init = _INIT.search(function.log())
            if not init:
                raise LocalError(
                    f"AWS's emulator did not say how long {name} took to start:\n{function.log()}"
                )
            return Start(init=float(init[1]) / 1000, answer=answer, peak=peak_of(runtime))
