"""The embedded engine as a process, and Tagship's own stack on it, built and deployed by the real SAM CLI.

The demo, `tagship local` and the tests all start it here. An engine gets its own port, its own folder and a clean
environment: nothing of the host's AWS configuration or secrets reaches it or the functions that it runs.
"""

from __future__ import annotations

import atexit
import contextlib
import fcntl
import hashlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import tomllib
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import boto3
from botocore.config import Config

ROOT = Path(__file__).resolve().parent.parent
STATE = ROOT / ".tagship"
"""The folder where running engines are registered, and where builds wait for each other."""
STAYING = STATE / "engine"
ENGINE_BIN = ROOT / ".venv-engine" / "bin"
BUILD = ROOT / ".aws-sam" / "build"
SOURCES = ("template.yaml", "functions", "layers/tagship", "layers/signin", "statemachine")

_NODE = [str(Path(found).parent)] if (found := shutil.which("node")) else []
"""The path of Node.js, which the engine uses for CloudFront functions; nothing else needs it."""

ACCOUNT = "000000000000"
REGION = "us-east-1"
START_SECONDS = 60
STAGE = "development"
CAPABILITIES = ["CAPABILITY_IAM", "CAPABILITY_NAMED_IAM", "CAPABILITY_AUTO_EXPAND"]


class LocalError(Exception):
    """A problem with this machine; the message says what to do."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Mail:
    """A mail that the stack sent, as its reader gets it."""

    to: str
    subject: str
    text: str
    html: str
    at: float


@dataclass(slots=True)
class Engine:
    """One running engine. It belongs to the program that started it, and ends with it unless `stay` is set."""

    port: int
    pid: int
    folder: Path
    _process: subprocess.Popen[bytes] | None = field(default=None, repr=False)
    _clients: dict[str, Any] = field(default_factory=dict, repr=False)

    @classmethod
    def start(
        cls,
        folder: Path,
        *,
        stay: bool = False,
        stock: bool = False,
        tasks: int = 0,
        options: Mapping[str, str] | None = None,
    ) -> Engine:
        """Starts an engine.

        `stay`: it outlives this program. `stock`: MiniStack without our corrections. `options` are MiniStack's own.
        `tasks` limits how many tasks of state machines may call functions at a time; 0 is unlimited.

        Raises LocalError, with the end of its log, if it does not answer in time.
        """
        if not (ENGINE_BIN / "python").exists():
            raise LocalError("The embedded engine is not installed: run `make setup`.")
        (folder / "tmp").mkdir(parents=True, exist_ok=True)
        port = _free_port()
        command: list[str | Path] = [ENGINE_BIN / "python", ROOT / "tools" / "engine.py"]
        if stock:
            command = [ENGINE_BIN / "ministack"]
        elif not stay:
            command.append("--with-parent")
        if tasks:
            command.append(f"--tasks={tasks}")
        with (folder / "engine.log").open("ab") as log:
            process = subprocess.Popen(
                command,
                env=_environment(folder) | _engine_options(folder, port) | dict(options or {}),
                cwd=folder,
                stdin=subprocess.DEVNULL if stay or stock else subprocess.PIPE,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        engine = cls(port=port, pid=process.pid, folder=folder, _process=process)
        try:
            engine._wait_until_ready()
            if stay:
                (folder / "engine.json").write_text(json.dumps({"port": port, "pid": process.pid}))
        except BaseException:  # otherwise nobody would know the engine and stop it
            engine.stop()
            raise
        if not stay:
            atexit.register(engine.stop)
        return engine

    @classmethod
    def running(cls, folder: Path) -> Engine | None:
        """The engine that stays running in this folder, if it still answers."""
        try:
            written = json.loads((folder / "engine.json").read_text())
        except FileNotFoundError:
            return None
        engine = cls(port=written["port"], pid=written["pid"], folder=folder)
        return engine if engine.answers() else None

    @property
    def endpoint(self) -> str:
        """The value for AWS_ENDPOINT_URL."""
        return f"http://127.0.0.1:{self.port}"

    def client(self, service: str) -> Any:
        """A boto3 client of the engine, without this machine's AWS configuration."""
        if service not in self._clients:
            session: Any = boto3.session.Session()
            self._clients[service] = session.client(
                service,
                endpoint_url=self.endpoint,
                region_name=REGION,
                aws_access_key_id=ACCOUNT,
                aws_secret_access_key="test",  # noqa: S106 (the engine's, on loopback)
                config=Config(retries={"mode": "standard", "max_attempts": 3}, max_pool_connections=32),
            )
        return self._clients[service]

    @property
    def environment(self) -> dict[str, str]:
        """The environment for a program that uses the engine: from this machine, only the PATH."""
        return _environment(self.folder) | {"AWS_ENDPOINT_URL": self.endpoint}

    def tagship(self, *arguments: str | Path, folder: Path) -> None:
        """Runs the command line in a folder, like a team's CI.

        Raises LocalError, with its output, if it fails.
        """
        done = subprocess.run(
            [Path(sys.executable).with_name("tagship"), *arguments],
            env=self.environment,
            cwd=folder,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode != 0:
            raise LocalError(
                f"`tagship {arguments[0]}` failed ({done.returncode}):\n{done.stdout}{done.stderr}"
            )

    def function_url(self, address: str) -> str:
        """The engine's address for a function URL (https://<id>.lambda-url.<region>.on.aws/)."""
        identity = address.removeprefix("https://").split(".", 1)[0]
        return f"{self.endpoint}/_aws/lambda-url/{identity}"

    def mails(self) -> list[Mail]:
        """Every mail that was sent, oldest first."""
        with urllib.request.urlopen(f"{self.endpoint}/_ministack/ses/messages", timeout=10) as answer:
            accounts = json.load(answer)["messages"]
        return [
            Mail(
                to=", ".join(sent["To"]),
                subject=sent["Subject"],
                text=sent["BodyText"] or "",
                html=sent["BodyHtml"] or "",
                at=sent["Timestamp"],
            )
            for sent in accounts.get(ACCOUNT, [])
        ]

    def answers(self) -> bool:
        """Whether it answers."""
        try:
            with urllib.request.urlopen(f"{self.endpoint}/_ministack/health", timeout=2) as answer:
                return bool(answer.status == 200)
        except (urllib.error.URLError, OSError):
            return False

    def reset(self) -> None:
        """Deletes everything in it; it continues to run."""
        request = urllib.request.Request(f"{self.endpoint}/_ministack/reset", method="POST")
        with urllib.request.urlopen(request, timeout=30):
            pass

    def stop(self, *, forget: bool = False) -> None:
        """Stops it and its functions, and removes their files except the log, or including it."""
        atexit.unregister(self.stop)
        _end(self.pid, self._process)
        (self.folder / "engine.json").unlink(missing_ok=True)
        # The layers and S3's objects are thousands of files, which need not be waited for.
        gone = self.folder if forget else self.folder / "tmp"
        # A function that is just ending may still write, so leftovers are removed a second later.
        removes = 'rm -rf "$1" || { sleep 1; rm -rf "$1"; }'
        subprocess.Popen(
            ["/bin/sh", "-c", removes, "sh", gone], start_new_session=True, stderr=subprocess.DEVNULL
        )

    def log(self, lines: int = 20) -> str:
        """The end of the log of the engine and its functions."""
        return "\n".join((self.folder / "engine.log").read_text(errors="replace").splitlines()[-lines:])

    def _wait_until_ready(self) -> None:
        deadline = time.monotonic() + START_SECONDS
        while not self.answers():
            ended = self._process is not None and self._process.poll() is not None
            if ended or time.monotonic() > deadline:
                what = "ended" if ended else f"did not answer within {START_SECONDS} seconds"
                raise LocalError(f"The embedded engine {what}. The end of its log:\n{self.log()}")
            time.sleep(0.05)


_STAMP = BUILD.parent / "sources"


def is_built() -> bool:
    """Whether no source has changed since `sam build` last ran."""
    return (BUILD / "template.yaml").exists() and _STAMP.exists() and _STAMP.read_text() == _fingerprint()


def build() -> None:
    """Runs `sam build` if a source has changed since the last build."""
    STATE.mkdir(exist_ok=True)
    with _alone(STATE / "build.lock"):
        if is_built():
            return
        now = _fingerprint()
        _STAMP.unlink(missing_ok=True)  # an interrupted build does not count
        sam("build", "--cached", "--parallel", "--build-dir", BUILD)
        _STAMP.write_text(now)


def deploy(
    engine: Engine, *, stage: str = STAGE, overrides: Mapping[str, str] | None = None
) -> dict[str, str]:
    """Builds and deploys Tagship; returns the stack's outputs.

    The approval page is served at the engine's own address, which is known only once its function exists, so the stack
    is updated once after its creation.
    """
    build()
    name = f"tagship-{stage}"
    parameters = {
        **_parameters_of(stage),
        "HealthAllowedNetworks": "127.0.0.0/8",
        "LookBackSeconds": "0",  # alarms are set by hand here, and metrics exist at once
        "SlackHosts": "127.0.0.1",
        "ConfigurationOwners": "owner@example.com",
        "GuardConfiguration": "never",  # configurations change all the time here, and nobody is there to approve them
        "GitHubHosts": "127.0.0.1",
        "SenderAddress": "tagship@example.com",
        **(overrides or {}),
    }
    sam(
        "deploy",
        *("--config-env", stage),
        *("--template-file", BUILD / "template.yaml"),
        *("--stack-name", name),
        *("--region", REGION),
        *("--capabilities", *CAPABILITIES),
        *("--resolve-s3", "--no-confirm-changeset", "--no-fail-on-empty-changeset", "--no-progressbar"),
        *("--parameter-overrides", *(f"{key}={value}" for key, value in parameters.items() if value != "")),
        engine=engine,
    )
    _verify_sender(engine, parameters["SenderAddress"])
    _serve_page_at(engine, name, parameters.get("ApprovalBaseUrl", ""))
    made = outputs(engine, name)
    for bucket in ("ReleaseBucketName", "EvidenceBucketName"):
        _allow_without_tls(engine, made[bucket])
    return made


class WithClients(Protocol):
    """The engine, or an account."""

    def client(self, service: str) -> Any:
        """A client of a service there."""


def outputs(where: WithClients, name: str) -> dict[str, str]:
    """A stack's outputs, by name."""
    stack = where.client("cloudformation").describe_stacks(StackName=name)["Stacks"][0]
    return {output["OutputKey"]: output["OutputValue"] for output in stack.get("Outputs", [])}


def _verify_sender(engine: Engine, address: str) -> None:
    """What the owner of an address does once on AWS. The engine separates the identities of SES's two APIs: mail is
    sent by the first, and `tagship doctor` reads the second."""
    engine.client("ses").verify_email_identity(EmailAddress=address)
    engine.client("sesv2").create_email_identity(EmailIdentity=address)


def _serve_page_at(engine: Engine, name: str, base_url: str) -> None:
    """Updates the stack with the page's address, unless it has it already. The default is the engine's own."""
    cloudformation = engine.client("cloudformation")
    wanted = base_url or engine.function_url(outputs(engine, name)["ApprovalFunctionUrl"])
    known = cloudformation.describe_stacks(StackName=name)["Stacks"][0]["Parameters"]
    values = {parameter["ParameterKey"]: parameter["ParameterValue"] for parameter in known}
    if values["ApprovalBaseUrl"] == wanted:
        return
    kept = [{"ParameterKey": key, "UsePreviousValue": True} for key in values if key != "ApprovalBaseUrl"]
    cloudformation.update_stack(
        StackName=name,
        UsePreviousTemplate=True,
        Capabilities=CAPABILITIES,
        Parameters=[*kept, {"ParameterKey": "ApprovalBaseUrl", "ParameterValue": wanted}],
    )
    cloudformation.get_waiter("stack_update_complete").wait(
        StackName=name, WaiterConfig={"Delay": 1, "MaxAttempts": 120}
    )


def _allow_without_tls(engine: Engine, bucket: str) -> None:
    """Removes the TLS requirement from the bucket's policy, because the engine has no TLS on loopback."""
    s3 = engine.client("s3")
    policy = json.loads(s3.get_bucket_policy(Bucket=bucket)["Policy"])
    policy["Statement"] = [
        each for each in policy["Statement"] if "aws:SecureTransport" not in json.dumps(each)
    ]
    s3.put_bucket_policy(Bucket=bucket, Policy=json.dumps(policy))


def _environment(folder: Path) -> dict[str, str]:
    """The environment for a program of the engine: from this machine, only the PATH."""
    return {
        "PATH": ":".join((str(ENGINE_BIN), os.defpath, *_NODE)),
        "HOME": str(folder),
        "TMPDIR": str(folder / "tmp"),
        "LANG": "C.UTF-8",
        "AWS_ACCESS_KEY_ID": ACCOUNT,
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_REGION": REGION,
        "AWS_DEFAULT_REGION": REGION,
        "AWS_EC2_METADATA_DISABLED": "true",
    }


def _engine_options(folder: Path, port: int) -> dict[str, str]:
    return {
        "GATEWAY_PORT": str(port),
        "BIND_HOST": "127.0.0.1",
        "LAMBDA_EXECUTOR": "local",
        "IOT_MTLS_ENABLED": "0",
        "AUTH": "true",
        "STATE_DIR": str(folder / "tmp" / "state"),
        "S3_DATA_DIR": str(folder / "tmp" / "s3"),
    }


def sam(*arguments: str | Path, engine: Engine | None = None) -> None:
    """Runs SAM. A build gets the variables that pip may need; a deployment gets none of this machine's."""
    if engine:
        environment = engine.environment
    else:
        environment = {key: value for key, value in os.environ.items() if not key.startswith("AWS_")}
        environment["PATH"] = f"{ENGINE_BIN}:{environment.get('PATH', os.defpath)}"
    process = subprocess.Popen(
        [ENGINE_BIN / "sam", *arguments],
        env=environment | {"SAM_CLI_TELEMETRY": "0"},
        cwd=ROOT,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        process_group=0,  # it starts pip and others, which must end with it
    )
    try:
        output, _ = process.communicate()
    except BaseException:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        raise
    if process.returncode != 0:
        tail = "\n".join(output.splitlines()[-40:])
        raise LocalError(f"`sam {arguments[0]}` failed. The end of what it said:\n{tail}")


def _parameters_of(stage: str) -> dict[str, str]:
    """A stage's settings in samconfig.toml. The command line would replace them all, so they are passed on."""
    configuration = tomllib.loads((ROOT / "samconfig.toml").read_text())
    written = (
        configuration.get(stage, {}).get("deploy", {}).get("parameters", {}).get("parameter_overrides", [])
    )
    pairs = written.split() if isinstance(written, str) else written
    return {key: value.strip('"') for key, _, value in (pair.partition("=") for pair in pairs)}


def _fingerprint() -> str:
    digest = hashlib.sha256()
    for source in SOURCES:
        path = ROOT / source
        files = sorted(path.rglob("*")) if path.is_dir() else [path]
        for file in files:
            if file.is_file() and "__pycache__" not in file.parts:
                digest.update(f"{file.relative_to(ROOT)}\0".encode())
                digest.update(hashlib.sha256(file.read_bytes()).digest())
    return digest.hexdigest()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextlib.contextmanager
def _alone(path: Path) -> Iterator[None]:
    with path.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _end(pid: int, process: subprocess.Popen[bytes] | None) -> None:
    """Stops the engine gracefully, then kills what is left of it and its functions."""
    for each in (signal.SIGTERM, signal.SIGKILL):
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(pid, each)
        deadline = time.monotonic() + 5
        while time.monotonic() < deadline:
            if not _alive(pid) if process is None else process.poll() is not None:
                break
            time.sleep(0.05)


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True
