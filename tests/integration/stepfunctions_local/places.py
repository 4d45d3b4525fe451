"""The three places where the same mocked integrations run.

The embedded engine and LocalStack's interpreter run everywhere; AWS's Step Functions Local runs where Docker answers.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import socket
import subprocess
import time
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import boto3
import yaml
from botocore.exceptions import BotoCoreError

from tests.template.definitions import MACHINES, ROOT, as_json, load, placeholders
from tools.stack import ACCOUNT, REGION, Engine

MOCKS = Path(__file__).parent / "mocks.json"
COMPOSE = ROOT / "compose.yaml"
INTERPRETER = Path(__file__).parent / "interpreter.py"
INTERPRETER_PYTHON = ROOT / ".venv-interpreter" / "bin" / "python"
SECONDS_TO_START = 120
SECONDS_TO_END = 60

Start = Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Scheduled:
    """One try of a task, with what it was scheduled with."""

    state: str
    visit: int
    """The tries of one visit of a state have the same number."""
    parameters: dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """How an execution ended, which states it entered, and every try of its tasks."""

    status: str
    error: str
    cause: str
    entered: tuple[str, ...]
    """The machine's own states. States inside its Maps are separate, because they run concurrently."""
    entered_inside: tuple[str, ...]
    scheduled: tuple[Scheduled, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Both definitions on one engine that mocks their integrations."""

    client: Any
    machines: dict[str, str] = field(default_factory=dict)
    shows_payloads: bool = False
    """Whether its history has what a task was scheduled with."""

    def install(self) -> None:
        """Creates both machines under the names that the mocks know."""
        for machine in MACHINES:
            made = self.client.create_state_machine(
                name=machine,
                definition=as_json(machine, _filled(machine)),
                roleArn=f"arn:aws:iam::{ACCOUNT}:role/machine",
            )
            self.machines[machine] = made["stateMachineArn"]

    def start(self, machine: str, case: str, given: Start, *, name: str = "") -> str:
        """Starts a case; answers with the execution."""
        arn: str = self.client.start_execution(
            stateMachineArn=f"{self.machines[machine]}#{case}", name=name or case, input=json.dumps(given)
        )["executionArn"]
        return arn

    def wait_until_it_enters(self, machine: str, execution: str, state: str) -> None:
        """Looks until the execution is in a state."""
        deadline = time.monotonic() + SECONDS_TO_END
        while state not in self.entered(machine, execution):
            assert time.monotonic() < deadline, f"{execution} never came to {state}"
            time.sleep(0.05)

    def ended(self, machine: str, execution: str) -> Ended:
        """Waits for the end."""
        deadline = time.monotonic() + SECONDS_TO_END
        while (found := self.client.describe_execution(executionArn=execution))["status"] == "RUNNING":
            assert time.monotonic() < deadline, f"{execution} does not end"
            time.sleep(0.05)
        return Ended(
            status=found["status"],
            error=found.get("error") or "",
            cause=found.get("cause") or "",
            entered=self.entered(machine, execution),
            entered_inside=self.entered(machine, execution, inside=True),
            scheduled=self.scheduled(execution),
        )

    def entered(self, machine: str, execution: str, *, inside: bool = False) -> tuple[str, ...]:
        """The states so far, in their order: the machine's own, or those inside its Maps."""
        outer = load(machine)["States"]
        names = [
            event["stateEnteredEventDetails"]["name"]
            for event in self._history(execution)
            if "stateEnteredEventDetails" in event
        ]
        return tuple(name for name in names if (name not in outer) == inside)

    def scheduled(self, execution: str) -> tuple[Scheduled, ...]:
        """Every try of a task, by the state whose entry comes before it."""
        visits: dict[int, int] = {}
        names: dict[int, str] = {}
        found = []
        for event in self._history(execution):
            number = event["id"]
            visits[number] = visits.get(event.get("previousEventId", 0), 0)
            if "stateEnteredEventDetails" in event:
                visits[number] = number
                names[number] = event["stateEnteredEventDetails"]["name"]
            if "taskScheduledEventDetails" in event:
                parameters = json.loads(event["taskScheduledEventDetails"].get("parameters", "{}"))
                visit = visits[number]
                found.append(Scheduled(state=names.get(visit, ""), visit=visit, parameters=parameters))
        return tuple(found)

    def _history(self, execution: str) -> list[dict[str, Any]]:
        events: list[dict[str, Any]] = self.client.get_execution_history(
            executionArn=execution, maxResults=1000
        )["events"]
        return events

    def run(
        self, machine: str, cases: Mapping[str, Start], *, named: Callable[[str], str] = str
    ) -> dict[str, Ended]:
        """All of these cases, four at a time; `named` gives an execution its name."""

        def one(case: str) -> tuple[str, Ended]:
            return case, self.ended(machine, self.start(machine, case, cases[case], name=named(case)))

        with ThreadPoolExecutor(4) as pool:
            return dict(pool.map(one, cases))


@contextlib.contextmanager
def embedded(folder: Path) -> Iterator[Place]:
    """On its own engine, because mocks apply to all executions of an engine."""
    engine = Engine.start(folder, options={"AUTH": "false"})
    try:
        configuration = {"stepfunctions._sfn_mock_config": json.loads(MOCKS.read_text())}
        request = urllib.request.Request(
            f"{engine.endpoint}/_ministack/config", data=json.dumps(configuration).encode(), method="POST"
        )
        with urllib.request.urlopen(request, timeout=10):
            pass
        place = Place(client=engine.client("stepfunctions"))
        place.install()
        yield place
    finally:
        engine.stop()


@contextlib.contextmanager
def interpreted(folder: Path, mocks: Path) -> Iterator[Place]:
    """On LocalStack's Step Functions provider, in its own process, which ends with this one."""
    assert INTERPRETER_PYTHON.exists(), "The second interpreter is not installed: run `make setup`."
    port = _free_port()
    environment = {
        "PATH": os.defpath,
        "HOME": str(folder),
        "TMPDIR": str(folder),
        "LANG": "C.UTF-8",
        "SERVICES": "stepfunctions",
        "STRICT_SERVICE_LOADING": "1",
        "GATEWAY_LISTEN": f"127.0.0.1:{port}",
        "DISABLE_EVENTS": "1",  # it reports nothing to its makers
        "SKIP_SSL_CERT_DOWNLOAD": "1",
        "DNS_ADDRESS": "0",
        "LS_LOG": "error",
        "FILESYSTEM_ROOT": str(folder),
        "LOCALSTACK_VOLUME_DIR": str(folder),
        "SFN_MOCK_CONFIG": str(mocks),
    }
    with (folder / "interpreter.log").open("wb") as log:
        process = subprocess.Popen(
            [INTERPRETER_PYTHON, INTERPRETER],
            env=environment,
            cwd=folder,
            stdin=subprocess.PIPE,
            stdout=log,
            stderr=subprocess.STDOUT,
        )
    try:
        yield _ready(
            port, lambda: (folder / "interpreter.log").read_text(errors="replace"), shows_payloads=True
        )
    finally:
        process.kill()
        process.communicate()


def docker_answers() -> bool:
    """Whether there is a Docker that runs containers, with its compose plugin."""
    if shutil.which("docker") is None:
        return False
    with contextlib.suppress(subprocess.TimeoutExpired):
        return all(
            subprocess.run(command, capture_output=True, timeout=20, check=False).returncode == 0
            for command in (["docker", "info"], ["docker", "compose", "version"])
        )
    return False


class NotToBeHad(Exception):
    """Docker answers, and its image of Step Functions Local can't be fetched."""


@contextlib.contextmanager
def in_docker() -> Iterator[Place]:
    """On Step Functions Local, started for these tests alone and removed after them.

    Raises NotToBeHad where the image is not here and can't be fetched.
    """
    port = _free_port()
    project = f"tagship-tests-{port}"
    compose = ["docker", "compose", "--file", str(COMPOSE), "--project-name", project]
    environment = os.environ | {"STEP_FUNCTIONS_LOCAL_PORT": str(port)}

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*compose, *arguments], env=environment, capture_output=True, text=True, check=False
        )

    (service,) = yaml.safe_load(COMPOSE.read_text())["services"].values()
    here = subprocess.run(["docker", "image", "inspect", service["image"]], capture_output=True, check=False)
    if here.returncode != 0 and (pulled := run("pull", "--quiet")).returncode != 0:
        raise NotToBeHad(pulled.stderr.strip()[-300:])
    try:
        up = run("up", "--detach")
        assert up.returncode == 0, f"Step Functions Local did not start: {up.stderr}"
        yield _ready(port, lambda: run("logs").stdout)
    finally:
        run("down", "--volumes", "--timeout", "1")


def _ready(port: int, log: Callable[[], str], *, shows_payloads: bool = False) -> Place:
    """Waits until the engine answers on this port, then creates both machines there."""
    session: Any = boto3.session.Session()
    client = session.client(
        "stepfunctions",
        endpoint_url=f"http://127.0.0.1:{port}",
        region_name=REGION,
        aws_access_key_id="test",
        aws_secret_access_key="test",
    )
    deadline = time.monotonic() + SECONDS_TO_START
    while not _serves(client):
        assert time.monotonic() < deadline, f"The engine does not answer: {log()}"
        time.sleep(0.2)
    place = Place(client=client, shows_payloads=shows_payloads)
    place.install()
    return place


def _serves(client: Any) -> bool:
    try:
        client.list_state_machines()
    except BotoCoreError:
        return False
    return True


def _filled(machine: str) -> dict[str, str | int]:
    """No function or machine has these names, so any task that is not mocked would fail."""
    return {name: 60 if name.endswith("Seconds") else _arn(name) for name in placeholders(machine)}


def _arn(name: str) -> str:
    if name.endswith("StateMachineArn"):
        return f"arn:aws:states:{REGION}:123456789012:stateMachine:rollback"
    return f"arn:aws:lambda:{REGION}:123456789012:function:{name.removesuffix('Arn')}"


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
