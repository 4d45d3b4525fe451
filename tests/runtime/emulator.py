"""AWS's Lambda Runtime Interface Emulator, which the SAM CLI's wheel carries, with AWS's own runtime client; no Docker.

A built function runs with what it has in AWS and nothing else: its own folder, the built layer, what AWS's runtime brings
(boto3), and the variables that the template gives it. Python's `-S` keeps the packages of the tests' environment away, so a
package that the layer forgot is missing here as it would be there.
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

from local.stack import BUILD, ENGINE_BIN

SECONDS_TO_START = 30
SECONDS_TO_ANSWER = 60
_ARCHITECTURE = {"x86_64": "x86_64", "aarch64": "arm64"}[platform.machine()]
PROGRAM = (
    ENGINE_BIN.parent / f"lib/python3.13/site-packages/samcli/local/rapid/aws-lambda-rie-{_ARCHITECTURE}"
)
# What is in AWS's Python runtime beside Python: its own client, and boto3 with what that needs.
IN_THE_RUNTIME = (
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
    """What one invocation came to."""

    payload: Any

    @property
    def error(self) -> str:
        """The true errorType, which is what Retry and Catch are matched with; empty where it answered."""
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
    written: Path

    def invoke(self, event: Mapping[str, Any]) -> Answer:
        """As Lambda would; the first time is a cold start."""
        address = f"http://127.0.0.1:{self.port}/2015-03-31/functions/function/invocations"
        request = urllib.request.Request(address, data=json.dumps(event).encode(), method="POST")
        with urllib.request.urlopen(request, timeout=SECONDS_TO_ANSWER) as answer:
            return Answer(payload=json.load(answer))

    def log(self) -> str:
        """All that the function and its runtime have printed."""
        return self.written.read_text(errors="replace")

    def log_lines(self) -> list[dict[str, Any]]:
        """The structured lines among it."""
        return [json.loads(line) for line in self.log().splitlines() if line.startswith("{")]


def what_the_runtime_brings(folder: Path) -> Path:
    """A folder of links to the packages that AWS has, and to no other."""
    packages = next(Path(path) for path in sys.path if path.endswith("site-packages"))
    for pattern in IN_THE_RUNTIME:
        (package,) = packages.glob(pattern)
        (folder / package.name).symlink_to(package)
    return folder


@contextlib.contextmanager
def emulated(name: str, *, brought: Path, folder: Path, variables: Mapping[str, str]) -> Iterator[Emulated]:
    """A built function of the template, by its logical name, until the block ends."""
    task = BUILD / name
    port, api = _free_ports(2)
    function = Emulated(name=name, port=port, written=folder / f"{name}.log")
    environment = {
        "PATH": os.defpath,
        "HOME": str(folder),
        "LANG": "C.UTF-8",
        "PYTHONDONTWRITEBYTECODE": "1",
        "PYTHONPATH": os.pathsep.join(map(str, (task, BUILD / "Layer" / "python", brought))),
        "LAMBDA_TASK_ROOT": str(task),
        "AWS_LAMBDA_FUNCTION_NAME": name,
        **variables,
    }
    with function.written.open("wb") as log:
        process = subprocess.Popen(
            [
                PROGRAM,
                *("--runtime-interface-emulator-address", f"127.0.0.1:{port}"),
                *("--runtime-api-address", f"127.0.0.1:{api}"),
                *(sys.executable, "-S", "-m", "awslambdaric", "app.handler"),
            ],
            cwd=task,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
        )
    try:
        _wait_until_it_listens(port, process, function)
        yield function
    finally:
        process.terminate()
        try:
            process.wait(timeout=5)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _wait_until_it_listens(port: int, process: subprocess.Popen[bytes], function: Emulated) -> None:
    deadline = time.monotonic() + SECONDS_TO_START
    while True:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
            return
        assert process.poll() is None, f"the emulator of {function.name} ended:\n{function.log()}"
        assert time.monotonic() < deadline, (
            f"the emulator of {function.name} does not answer:\n{function.log()}"
        )
        time.sleep(0.02)


def _free_ports(count: int) -> list[int]:
    with contextlib.ExitStack() as stack:
        probes = [stack.enter_context(socket.socket()) for _ in range(count)]
        for probe in probes:
            probe.bind(("127.0.0.1", 0))
        return [int(probe.getsockname()[1]) for probe in probes]
