"""The rival: the same release and rollback with a plain script of `aws` commands, on its own function.

Every command starts a Python process. So the same calls are timed again from one running process with boto3: no program
that makes them can be faster.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tools.bench.releases import PERCENT, Releasing
from tools.stack import Engine, LocalError
from tools.storefront import NAME, pack

SCRIPT = Path(__file__).with_name("rival.sh")
_ALIAS = "live"
_ASKED = json.dumps({"source": "tagship", "check": "health"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Rival:
    """A function that is released without Tagship."""

    releasing: Releasing
    function: str

    @classmethod
    def prepared(cls, releasing: Releasing, function: str) -> Rival:
        """Creates a function with an alias, like the storefront's."""
        lambdas = releasing.engine.client("lambda")
        lambdas.create_function(
            FunctionName=function,
            Runtime="python3.13",
            Role=lambdas.get_function_configuration(FunctionName=NAME)["Role"],
            Handler="index.handler",
            Code={"ZipFile": pack("v0.0.0")},
        )
        lambdas.get_waiter("function_active_v2").wait(FunctionName=function, WaiterConfig={"Delay": 1})
        version = lambdas.publish_version(FunctionName=function)["Version"]
        lambdas.create_alias(FunctionName=function, Name=_ALIAS, FunctionVersion=version)
        return cls(releasing=releasing, function=function)

    def by_script(self, tag: str, *, broken: bool = False) -> float:
        """Seconds: the whole script for a good version, its rollback after the failed check for a broken one.

        Raises LocalError if a command fails.
        """
        key = self._uploaded(tag, broken=broken)
        took, output = run_script(
            self.releasing.engine,
            SCRIPT,
            self.function,
            _ALIAS,
            self.releasing.stack["ReleaseBucketName"],
            key,
        )
        if not broken:
            return took
        failed, restored = map(float, output.split())
        return restored - failed

    def by_calls(self, tag: str, *, broken: bool = False) -> float:
        """The same, in this process."""
        key = self._uploaded(tag, broken=broken)
        lambdas: Any = self.releasing.engine.client("lambda")
        began = time.monotonic()
        lambdas.update_function_code(
            FunctionName=self.function, S3Bucket=self.releasing.stack["ReleaseBucketName"], S3Key=key
        )
        lambdas.get_waiter("function_updated").wait(FunctionName=self.function, WaiterConfig={"Delay": 1})
        candidate = lambdas.publish_version(FunctionName=self.function)["Version"]
        self._route({candidate: PERCENT / 100})
        answer = lambdas.invoke(FunctionName=self.function, Qualifier=candidate, Payload=_ASKED)
        if json.load(answer["Payload"])["healthy"]:
            self._route({}, FunctionVersion=candidate)
        else:
            began = time.monotonic()
            self._route({})
        return time.monotonic() - began

    def _route(self, weights: dict[str, float], **version: str) -> None:
        self.releasing.engine.client("lambda").update_alias(
            FunctionName=self.function,
            Name=_ALIAS,
            RoutingConfig={"AdditionalVersionWeights": weights},
            **version,
        )

    def _uploaded(self, tag: str, *, broken: bool) -> str:
        key = f"{self.function}/{tag}.zip"
        self.releasing.upload_code(key, tag, broken=broken)
        return key


def run_script(engine: Engine, *command: str | Path) -> tuple[float, str]:
    """Runs a script of `aws` commands on the engine. Returns its seconds and its output.

    Raises LocalError if it failed.
    """
    program = aws()
    path = f"{program.parent}:{os.defpath}" if program else os.defpath
    began = time.monotonic()
    done = subprocess.run(
        command,
        env=engine.environment | {"PATH": path, "AWS_PAGER": ""},
        cwd=engine.folder,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    took = time.monotonic() - began
    if done.returncode:
        raise LocalError(f"The script of `aws` commands failed:\n{done.stderr}")
    return took, done.stdout


def aws() -> Path | None:
    """The `aws` on the PATH; if that is a version manager's shim, the program itself, because the shim takes extra
    time."""
    found = shutil.which("aws")
    if found and Path(found).parent.name == "shims":
        manager = Path(found).parent.parent.name.strip(".")  # .pyenv, .asdf
        found = _said(manager, "which", "aws")
    return Path(found) if found and _said(found, "--version") else None


def version_of(program: Path) -> str:
    """`aws-cli/2.31.1`."""
    return _said(program, "--version").split()[0]


def _said(*command: str | Path) -> str:
    """A program's output; empty if it is missing or failed."""
    try:
        done = subprocess.run(command, cwd=Path.home(), capture_output=True, text=True, check=False)
    except OSError:
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""
