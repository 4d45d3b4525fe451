"""The acceptance run's site: a real account, or the embedded engine, which tests the program itself."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import boto3

from tools import people
from tools.stack import (
    ACCOUNT,
    BUILD,
    CAPABILITIES,
    ENGINE_BIN,
    REGION,
    ROOT,
    Engine,
    LocalError,
    build,
    deploy,
    outputs,
)

STAGE = "development"
STACK = f"tagship-{STAGE}"
SETTINGS = {"EvidenceRetentionDays": "1", "EvidenceLockMode": "GOVERNANCE", "LogRetentionDays": "1"}
"""Settings that allow everything to be removed afterwards."""


class Site(Protocol):
    """An account, or its replacement."""

    name: str
    account: str
    region: str
    stack: str
    approver: str
    is_real: bool

    def client(self, service: str) -> Any:
        """A client of this account and region."""

    def deploy(self) -> dict[str, str]:
        """Deploys the stage; returns its outputs."""

    def url(self, address: str) -> str:
        """A function's address as it is reached from here."""

    def link(self, *, application: str, tag: str) -> str | None:
        """The approver's link; None if nobody can read the mail."""

    def decide(self, decision: str, *, application: str, tag: str, reason: str) -> None:
        """Decides on the command line. Raises LocalError with its output."""

    def close(self) -> None:
        """Stops what the run itself has started."""


@dataclass(slots=True)
class OnEngine:
    """The embedded engine, started for this run alone."""

    name: str = "the embedded engine"
    account: str = ACCOUNT
    region: str = REGION
    stack: str = STACK
    approver: str = "ana@example.com"
    is_real: bool = False
    engine: Engine = field(init=False)

    def __post_init__(self) -> None:
        self.engine = Engine.start(Path(tempfile.mkdtemp(prefix="tagship-acceptance-")))

    def client(self, service: str) -> Any:
        """The engine's client."""
        return self.engine.client(service)

    def deploy(self) -> dict[str, str]:
        """Deploys like the demo."""
        return deploy(self.engine, stage=STAGE, overrides=SETTINGS)

    def url(self, address: str) -> str:
        """The engine serves it on loopback."""
        return self.engine.function_url(address)

    def link(self, *, application: str, tag: str) -> str | None:
        """From the engine's own mails."""
        mail = people.newest_to(self.engine.mails(), who=self.approver, application=application, tag=tag)
        return people.link_in(mail) if mail else None

    def decide(self, decision: str, *, application: str, tag: str, reason: str) -> None:
        """With the engine's environment."""
        _decide(self, decision, application, tag, reason, environment=self.engine.environment)

    def close(self) -> None:
        """Stops the engine."""
        self.engine.stop(forget=True)


@dataclass(slots=True, kw_only=True)
class InAccount:
    """A real account, with a profile. `ask` asks the person who runs it; without one, nobody is asked."""

    profile: str
    region: str
    stack: str
    approver: str
    sender: str
    ask: Callable[[str], str] | None = None
    is_real: bool = True
    name: str = ""
    account: str = ""
    _session: Any = None
    _clients: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._session = boto3.session.Session(profile_name=self.profile, region_name=self.region)
        self.account = self.client("sts").get_caller_identity()["Account"]
        self.name = f"account {self.account}, {self.region}"

    def client(self, service: str) -> Any:
        """The profile's client."""
        if service not in self._clients:
            self._clients[service] = self._session.client(service)
        return self._clients[service]

    def deploy(self) -> dict[str, str]:
        """With the SAM CLI, as in the README. Raises LocalError with the end of its output."""
        build()
        given = {"Stage": STAGE, "SenderAddress": self.sender, **SETTINGS}
        done = subprocess.run(
            [
                *(
                    ENGINE_BIN / "sam",
                    "deploy",
                    "--template-file",
                    BUILD / "template.yaml",
                    "--stack-name",
                    self.stack,
                ),
                *(
                    "--region",
                    self.region,
                    "--capabilities",
                    *CAPABILITIES,
                    "--resolve-s3",
                    "--no-confirm-changeset",
                ),
                *(
                    "--no-fail-on-empty-changeset",
                    "--parameter-overrides",
                    *(f"{key}={value}" for key, value in given.items()),
                ),
            ],
            env=self._environment() | {"SAM_CLI_TELEMETRY": "0"},
            cwd=ROOT,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        if done.returncode != 0:
            raise LocalError(
                "`sam deploy` failed. The end of what it said:\n" + "\n".join(done.stdout.splitlines()[-40:])
            )
        return outputs(self, self.stack)

    def url(self, address: str) -> str:
        """Unchanged."""
        return address.rstrip("/")

    def link(self, *, application: str, tag: str) -> str | None:
        """A person is asked to read the mail and paste the link."""
        if self.ask is None:
            return None
        return (
            self.ask(
                f"Paste the link that {self.approver} got about {application} {tag} (empty: go on without): "
            )
            or None
        )

    def decide(self, decision: str, *, application: str, tag: str, reason: str) -> None:
        """With the profile's identity."""
        _decide(self, decision, application, tag, reason, environment=self._environment())

    def close(self) -> None:
        """Nothing was started."""

    def _environment(self) -> dict[str, str]:
        return dict(os.environ) | {"AWS_PROFILE": self.profile, "AWS_REGION": self.region}


def _decide(
    site: Site, decision: str, application: str, tag: str, reason: str, *, environment: Mapping[str, str]
) -> None:
    done = subprocess.run(
        [
            *(Path(sys.executable).with_name("tagship"), decision, application, tag, "--as", site.approver),
            *("--reason", reason, "--yes", "--stage", STAGE, "--stack", site.stack),
        ],
        env=dict(environment),
        cwd=ROOT,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        raise LocalError(f"`tagship {decision}` failed ({done.returncode}):\n{done.stdout}{done.stderr}")
