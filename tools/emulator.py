"""AWS's Lambda Runtime Interface Emulator, from the SAM CLI's wheel, with AWS's own runtime client; no Docker.

A built function runs with exactly what it has in AWS: its own folder, the built layer, the runtime's packages (boto3),
and the variables from the template. Python's `-S` hides the packages of the tests' environment, so a package that is
missing from the layer is missing here too.
"""

from __future__ import annotations

import contextlib
import json
import os
import platform
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tools.reference import template
from tools.stack import BUILD, ENGINE_BIN, LocalError

SECONDS_TO_START = 60
SECONDS_TO_ANSWER = 60
_PACKAGES = Path("lib", "python3.13", "site-packages")
_ARCHITECTURES = {"x86_64": "x86_64", "aarch64": "arm64"}
# The packages in AWS's Python runtime: its own client, and boto3 with its dependencies.
_IN_THE_RUNTIME = (
    "awslambdaric",
    "runtime_client*.so",
    "simplejson",
    "snapshot_restore_py.py",
    "boto3",
    "botocore",
    "s3transfer",
    "jmespath",
    "dateutil",
    "six.py",
    "urllib3",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """The result of one invocation."""

    payload: Any

    @property
    def error(self) -> str:
        """The real errorType, which Retry and Catch are compared with; empty if it succeeded."""
        return str(self.payload.get("errorType", "")) if isinstance(self.payload, dict) else ""

    @property
    def message(self) -> str:
        """What went wrong, in words."""
        return str(self.payload.get("errorMessage", ""))


@dataclass(frozen=True, slots=True, kw_only=True)
class Emulated:
    """One function in AWS's runtime."""

    name: str
    port: int
    process: int
    """The emulator's process id; the function's process is its child."""
    written: Path

    def invoke(self, event: Mapping[str, Any]) -> Answer:
        """Invokes the function as Lambda would; the first invocation is a cold start."""
        address = f"http://127.0.0.1:{self.port}/2015-03-31/functions/function/invocations"
        request = urllib.request.Request(address, data=json.dumps(event).encode(), method="POST")
        with urllib.request.urlopen(request, timeout=SECONDS_TO_ANSWER) as answer:
            return Answer(payload=json.load(answer))

    def log(self) -> str:
        """Everything that the function and its runtime have printed."""
        return self.written.read_text(errors="replace")

    def log_lines(self) -> list[dict[str, Any]]:
        """The structured lines of the log."""
        return [json.loads(line) for line in self.log().splitlines() if line.startswith("{")]


def what_the_runtime_brings(folder: Path) -> Path:
    """A folder of links to exactly the packages that AWS's runtime has."""
    packages = Path(sys.prefix) / _PACKAGES
    for pattern in _IN_THE_RUNTIME:
        (package,) = packages.glob(pattern)
        (folder / package.name).symlink_to(package)
    return folder


def _layers(name: str, code: Path) -> list[Path]:
    """The built layers of a function: the shared one, and those that the template gives it alone."""
    stack = template()
    shared = stack["Globals"]["Function"]["Layers"]
    own = stack["Resources"].get(name, {}).get("Properties", {}).get("Layers", [])
    return [code / layer / "python" for layer in (*shared, *own)]


@contextlib.contextmanager
def emulated(
    name: str,
    *,
    brought: Path,
    folder: Path,
    variables: Mapping[str, str],
    code: Path = BUILD,
) -> Iterator[Emulated]:
    """Runs a built function of the template, by its logical name, until the block ends.

    `code` contains it, together with the built layer.

    Raises LocalError if AWS's emulator does not run on this machine, or not with this function.
    """
    task, (port, api), log = code / name, _free_ports(2), folder / f"{name}.log"
    environment = {
        "PATH": os.defpath,
        "HOME": str(folder),
        "LANG": "C.UTF-8",
        "PYTHONDONTWRITEBYTECODE": "1",  # in AWS the folders are read-only
        "PYTHONPATH": os.pathsep.join(map(str, (task, *_layers(name, code), brought))),
        "LAMBDA_TASK_ROOT": str(task),
        "AWS_LAMBDA_FUNCTION_NAME": name,
        **variables,
    }
    command: list[str | Path] = [
        *(_program(), "--runtime-interface-emulator-address", f"127.0.0.1:{port}"),
        *("--runtime-api-address", f"127.0.0.1:{api}"),
        *(sys.executable, "-S", "-m", "awslambdaric", "app.handler"),
    ]
    with log.open("wb") as written:
        process = subprocess.Popen(
            command,
            cwd=task,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=written,
            stderr=subprocess.STDOUT,
        )
    function = Emulated(name=name, port=port, process=process.pid, written=log)
    try:
        _wait_until_it_listens(process, function)
        yield function
    finally:
        process.terminate()
        try:
            process.wait(timeout=5)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _program() -> Path:
    """AWS's emulator.

    Raises LocalError if there is none for this machine.
    """
    rapid = ENGINE_BIN.parent / _PACKAGES / "samcli" / "local" / "rapid"
    program = rapid / f"aws-lambda-rie-{_ARCHITECTURES.get(platform.machine())}"
    if platform.system() != "Linux" or not program.exists():
        raise LocalError(
            f"AWS's Lambda emulator does not run on {platform.system()} on {platform.machine()}; it takes Linux."
        )
    return program


def _wait_until_it_listens(process: subprocess.Popen[bytes], function: Emulated) -> None:
    deadline = time.monotonic() + SECONDS_TO_START
    while process.poll() is None and time.monotonic() < deadline:
        with (
            contextlib.suppress(OSError),
            socket.create_connection(("127.0.0.1", function.port), timeout=1),
        ):
            return
        time.sleep(0.02)
    raise LocalError(f"AWS's emulator of {function.name} does not answer:\n{function.log()}")


def _free_ports(count: int) -> list[int]:
    with contextlib.ExitStack() as stack:
        probes = [stack.enter_context(socket.socket()) for _ in range(count)]
        for probe in probes:
            probe.bind(("127.0.0.1", 0))
        return [int(probe.getsockname()[1]) for probe in probes]
