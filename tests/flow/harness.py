"""Both real definitions and the real handlers in one process, on moto's interpreter, with faults planted by tests.

Gaps of moto 5.2.5 are filled in memory: a function's exception keeps its name, an invoked version is known, an alias
has a `RevisionId` that counts, transactions are isolated, a nested execution's members have the right case, and pauses
between retries are shortened (tests/template/test_budgets.py adds them up instead).
"""

from __future__ import annotations

import base64
import functools
import hashlib
import importlib.util
import io
import json
import os
import re
import threading
import time
import uuid
import zipfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from datetime import timedelta
from email import message_from_string
from email.policy import default
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast
from urllib.parse import unquote

import boto3
import pytest
import yaml
from botocore.awsrequest import AWSPreparedRequest, AWSResponse
from botocore.client import BaseClient
from botocore.exceptions import ClientError
from click.testing import CliRunner, Result
from moto import mock_aws
from moto.awslambda.exceptions import LambdaClientError
from moto.awslambda.models import LambdaAlias, LambdaFunction
from moto.awslambda.responses import LambdaResponse
from moto.awslambda_simple.models import LambdaSimpleBackend
from moto.core import DEFAULT_ACCOUNT_ID
from moto.core.botocore_stubber import MockRawResponse
from moto.dynamodb.responses import DynamoHandler
from moto.ses import ses_backends
from moto.stepfunctions.parser.asl.component.common.retry import retrier_decl
from moto.stepfunctions.parser.asl.component.state.exec.state_task.service import (
    state_task_service_sfn as nested,
)
from moto.stepfunctions.parser.asl.eval.environment import Environment

from tagship import runtime
from tagship.aws.clients import Aws
from tagship.gates import together
from tagship.ledger import releases
from tagship.ledger.table import Item, Ledger, unpacked
from tagship_cli.main import main
from tagship_cli.place import Place
from tagship_cli.place import World as Keyboard
from tests.quick_moto import quicken, quicken_machines

ROOT = Path(__file__).resolve().parents[2]
STAGE = "production"
STACK = "arn:aws:cloudformation:us-east-1:123456789012:stack/tagship-production/1"
BUCKET = "releases"
REGION = "us-east-1"
TARGET = "storefront"
WAIT_SECONDS = 30
_asked = threading.local()
_LINK = re.compile(r"https://approve\.example\.com/approvals/[\w-]+\?t=[\w-]+")

quicken()
quicken_machines()

Plant = Callable[[dict[str, Any]], Any]


class Fault(Exception):
    """An unexpected error."""


def error_named(name: str, message: str = "planted") -> Exception:
    """An exception whose class has this name, as Step Functions sees it."""
    return cast("Exception", type(name, (Exception,), {})(message))


def aws_error(code: str, status: int = 400) -> ClientError:
    """The error that boto3 raises for an AWS refusal."""
    return ClientError(
        {"Error": {"Code": code, "Message": "planted"}, "ResponseMetadata": {"HTTPStatusCode": status}},  # type: ignore[typeddict-item]
        "Planted",
    )


@dataclass(slots=True)
class Ended:
    """An execution that has ended."""

    arn: str
    status: str
    error: str
    cause: str
    output: dict[str, Any]
    entered: list[str]


@dataclass(slots=True)
class World:
    """One stage with one application, all of it in this process."""

    machines: dict[str, str]
    link_key: str
    handlers: dict[str, Any]
    patch: pytest.MonkeyPatch
    plants: dict[str, list[Plant]] = field(default_factory=dict)
    calls: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    stopped: dict[str, str] = field(default_factory=dict)
    """With which words an execution was stopped from the command line."""
    health: Callable[[str, dict[str, Any]], Any] = lambda version, event: {"healthy": True}
    """The response of an application's version when it is invoked."""
    lock: threading.Lock = field(default_factory=threading.Lock)
    steps: int = 0
    """How many functions run just now."""

    # ---- what CI and people do -------------------------------------------------------------------------------------

    def configure(self, **changes: Any) -> None:
        """Writes the application's configuration; a dotted name changes what is below."""
        document: dict[str, Any] = {
            "application": "storefront",
            "target": {
                "type": "lambda",
                "function": TARGET,
                "account": DEFAULT_ACCOUNT_ID,
                "region": REGION,
                "role": f"arn:aws:iam::{DEFAULT_ACCOUNT_ID}:role/tagship-app-storefront",
                "externalId": "tagship-production",
            },
            "strategy": {"type": "canary", "percent": 10, "bake": 0},
            "approval": {"approvers": ["ana@example.com"]},
            "health": {"checks": [{"type": "lambda"}]},
        } | changes
        client_of("ssm").put_parameter(
            Name=f"/tagship/{os.environ['TAGSHIP_STAGE']}/applications/storefront",
            Value=json.dumps(document),
            Type="String",
            Overwrite=True,
        )

    def upload(
        self,
        tag: str,
        *,
        code: bytes | None = None,
        application: str = "storefront",
        manifest: Any = None,
        **fields: Any,
    ) -> dict[str, str]:
        """Uploads a release as `tagship publish` does; answers with the execution's input."""
        bucket = os.environ["TAGSHIP_RELEASE_BUCKET"]
        code = code if code is not None else code_of(tag)
        s3 = client_of("s3")
        folder = f"releases/{application}/{tag}/"
        digest = hashlib.sha256(code)
        s3.put_object(
            Bucket=bucket,
            Key=folder + "storefront.zip",
            Body=code,
            ChecksumSHA256=base64.b64encode(digest.digest()).decode(),
        )
        document = manifest_of(tag, code, application=application, **fields) if manifest is None else manifest
        body = document if isinstance(document, bytes) else json.dumps(document).encode()
        version = s3.put_object(Bucket=bucket, Key=folder + "release.json", Body=body)["VersionId"]
        return {"bucket": bucket, "key": folder + "release.json", "versionId": version}

    def start(self, order: dict[str, str], machine: str = "release") -> str:
        """As the rule on the bucket does."""
        answer = client_of("stepfunctions").start_execution(
            stateMachineArn=self.machines[machine], name=uuid.uuid4().hex, input=json.dumps(order)
        )
        return str(answer["executionArn"])

    def release(self, tag: str, *, decide: str = "approve", reason: str = "", **fields: Any) -> Ended:
        """A whole release, decided by the first approver on the real link."""
        arn = self.start(self.upload(tag, **fields))
        if decide:
            self.decide(arn, decide=decide, reason=reason)
        return self.ended(arn)

    def decide(
        self, arn: str, *, decide: str = "approve", reason: str = "", who: str = "ana@example.com"
    ) -> dict[str, Any] | None:
        """Opens the newest mail's link and presses a button; None when the execution ended without asking."""
        link = self.link(arn, who=who)
        return self.press(link, decide=decide, reason=reason) if link else None

    def link(self, arn: str, *, who: str = "ana@example.com") -> str | None:
        """The link that this execution sent to this approver."""

        def found() -> str | None:
            if self.describe(arn)["status"] != "RUNNING":
                return ""
            return next((link for link in reversed(self.links(who)) if self._asks(link, arn)), None)

        return wait_for(found, f"a link for {who}") or None

    def press(self, link: str, *, decide: str, reason: str = "") -> dict[str, Any]:
        """GET the page, then POST its form with this button."""
        shown = self.browse("GET", link)
        typed = f"reason={reason.replace(' ', '+')}&number={number_on(shown['body'])}"
        body = f"decision={decide}&{typed}&form={form_of(shown['body'])}"
        return self.browse("POST", link, body)

    def press_blindly(self, link: str, *, decide: str = "approve") -> dict[str, Any]:
        """A POST without having loaded the page, or with a page that no longer has a form."""
        return self.browse("POST", link, f"decision={decide}&form={'0' * 64}")

    def browse(self, method: str, link: str, body: str = "") -> dict[str, Any]:
        """One request to the approval page, as the Function URL hands it on."""
        path, _, query = link.partition("://")[2].partition("/")[2].partition("?")
        event = {
            "rawPath": f"/{path}",
            "rawQueryString": query,
            "headers": {"content-type": "application/x-www-form-urlencoded", "host": "approve.example.com"},
            "body": body,
            "isBase64Encoded": False,
            "requestContext": {"http": {"method": method, "sourceIp": "203.0.113.7"}},
        }
        return cast("dict[str, Any]", self.handlers["approval_page"](event, None))

    # ---- observing -------------------------------------------------------------------------------------------------

    @property
    def ledger(self) -> Ledger:
        """The ledger, as an operator reads it."""
        return Ledger(
            client=client_of("dynamodb"),
            table=os.environ["TAGSHIP_LEDGER_TABLE"],
            stage=os.environ["TAGSHIP_STAGE"],
            now=runtime.utc_now,
        )

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Another stage with its own ledger and bucket; the machines and functions are the same."""
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("TAGSHIP_STAGE", name)
            patch.setenv("TAGSHIP_LEDGER_TABLE", f"ledger-{name}")
            patch.setenv("TAGSHIP_RELEASE_BUCKET", f"{BUCKET}-{name}")
            if f"ledger-{name}" not in client_of("dynamodb").list_tables()["TableNames"]:
                _table(f"ledger-{name}")
                _bucket(f"{BUCKET}-{name}")
            runtime._runtime.cache_clear()
            yield
        runtime._runtime.cache_clear()

    def record(self, tag: str) -> Item:
        """The release's current item, with the table's own keys."""
        return self.ledger.get("APPLICATION#storefront", f"RELEASE#{tag}") or releases.get(
            self.ledger, "storefront", tag
        )

    def facts(self, tag: str) -> list[str]:
        """The names of a release's facts, in order."""
        return [fact["name"] for fact in self.ledger.facts_of("storefront", tag)]

    def holder(self) -> Item:
        """The lock's item."""
        return self.ledger.get("APPLICATION#storefront", "LOCK") or {}

    def alias(self) -> tuple[str, dict[str, float]]:
        """The alias's routing."""
        alias = client_of("lambda").get_alias(FunctionName=TARGET, Name="live")
        weights = (alias.get("RoutingConfig") or {}).get("AdditionalVersionWeights") or {}
        return alias["FunctionVersion"], dict(weights)

    def mails(self, who: str = "") -> list[Any]:
        """The messages to approvers, oldest first."""
        sent = ses_backends[DEFAULT_ACCOUNT_ID][REGION].sent_messages
        asked = [mail for mail in sent if not hasattr(mail, "raw_data")]
        return [mail for mail in asked if not who or who in mail.destinations["ToAddresses"]]

    def notices(self) -> list[str]:
        """The mails to teams, oldest first."""
        return [
            message_from_string(mail.raw_data, policy=default).get_body(("plain",)).get_content()
            for mail in self.sent_notices()
        ]

    def sent_notices(self) -> list[Any]:
        """The same as SES took them, with their destinations."""
        sent = ses_backends[DEFAULT_ACCOUNT_ID][REGION].sent_messages
        return [mail for mail in sent if hasattr(mail, "raw_data")]

    def links(self, who: str) -> list[str]:
        """The approval links in somebody's mails, oldest first."""
        found = (_LINK.search(mail.body) for mail in self.mails(who))
        return [match[0] for match in found if match]

    def _asks(self, link: str, arn: str) -> bool:
        approval = self.ledger.get(f"APPROVAL#{link.split('/approvals/')[1].partition('?')[0]}", "APPROVAL")
        return approval is not None and approval["execution"] == arn

    def statuses(self, machine: str) -> list[str]:
        """Of all executions of a machine."""
        answer = client_of("stepfunctions").list_executions(stateMachineArn=self.machines[machine])
        return [execution["status"] for execution in answer["executions"]]

    def describe(self, arn: str) -> dict[str, Any]:
        """An execution's current state."""
        return cast("dict[str, Any]", client_of("stepfunctions").describe_execution(executionArn=arn))

    def ended(self, arn: str) -> Ended:
        """Waits for an execution to end."""
        stepfunctions = client_of("stepfunctions")
        answer = wait_for(
            lambda: found if (found := self.describe(arn))["status"] != "RUNNING" else None,
            f"the end of {arn}",
        )
        events = []
        with suppress(
            TypeError
        ):  # moto can't write the history of an execution that was stopped inside a Map
            events = stepfunctions.get_execution_history(executionArn=arn, maxResults=1000)["events"]
        entered = [
            event["stateEnteredEventDetails"]["name"]
            for event in events
            if event["type"].endswith("StateEntered")
        ]
        return Ended(
            arn=arn,
            status=answer["status"],
            error=answer.get("error", ""),
            cause=answer.get("cause", ""),
            output=json.loads(answer.get("output") or "{}"),
            entered=entered,
        )

    # ---- faults ----------------------------------------------------------------------------------------------------

    def plant(self, folder: str, fault: Exception | Plant, *, times: int = 1) -> None:
        """The next `times` calls of a function raise this, or do this instead of their work."""

        def raising(event: dict[str, Any]) -> Any:
            assert isinstance(fault, Exception)
            raise fault

        self.plants.setdefault(folder, []).extend(
            [raising if isinstance(fault, Exception) else fault] * times
        )

    def refuse(self, operation: str, error: ClientError) -> None:
        """From now on AWS answers this operation with an error."""

        def refused(client: Any, name: str, parameters: Any) -> Any:
            if name == operation:
                raise error
            return ask(client, name, parameters)

        ask = BaseClient._make_api_call
        self.patch.setattr(BaseClient, "_make_api_call", refused)

    def put(self, item: Item) -> None:
        """Writes an item behind the ledger's back."""
        change = self.ledger.put(item)["Put"]
        client_of("dynamodb").put_item(TableName=change["TableName"], Item=change["Item"])

    def publish_by_hand(self) -> str:
        """A version that is no release's."""
        functions = client_of("lambda")
        functions.update_function_code(FunctionName=TARGET, ZipFile=code_of("by hand"))
        return str(functions.publish_version(FunctionName=TARGET)["Version"])

    def move_by_hand(self, version: str) -> None:
        """Somebody else gives all traffic to this version."""
        client_of("lambda").update_alias(
            FunctionName=TARGET,
            Name="live",
            FunctionVersion=version,
            RoutingConfig={"AdditionalVersionWeights": {}},
        )

    def stop(self, arn: str) -> Ended:
        """As a person stops it in the console. moto's worker sees it when its task ends, so a task that waits is woken."""
        client_of("stepfunctions").stop_execution(executionArn=arn)
        return self.woken(arn)

    def woken(self, arn: str) -> Ended:
        """The end of an execution that was stopped while it waited for approval."""
        record = next((item for item in self._approvals() if item["execution"] == arn), None)
        if record:
            with suppress(ClientError):
                client_of("stepfunctions").send_task_success(taskToken=record["taskToken"], output="{}")
        return self.ended(arn)

    def _approvals(self) -> list[Item]:
        items = client_of("dynamodb").scan(TableName=os.environ["TAGSHIP_LEDGER_TABLE"])["Items"]
        return [item for item in map(unpacked, items) if item.get("kind") == "approval"]

    def stopping(self, folder: str) -> None:
        """A person stops the execution while this function runs; it ends its work all the same, as in Lambda."""

        def stop(event: dict[str, Any]) -> Any:
            client_of("stepfunctions").stop_execution(executionArn=event["execution"])
            return self.handlers[folder](event, None)

        self.plant(folder, stop)

    def supervise(self, ended: Ended) -> dict[str, Any]:
        """The event that EventBridge sends to the supervisor when an execution has ended."""
        detail = {
            "executionArn": ended.arn,
            "status": ended.status,
            "error": ended.error or None,
            "cause": ended.cause or self.stopped.get(ended.arn),
            "input": self.describe(ended.arn)["input"],
        }
        return cast("dict[str, Any]", self.handlers["supervise"]({"detail": detail}, None))

    def alarm(self, name: str = "storefront-5xx", *, at: str = "", via: str = "events") -> dict[str, Any]:
        """The event for an alarm that fires now (or `at` another time), from EventBridge or from a topic."""
        arn = f"arn:aws:cloudwatch:{REGION}:{DEFAULT_ACCOUNT_ID}:alarm:{name}"
        at = at or runtime.utc_now().strftime("%Y-%m-%dT%H:%M:%S.%f%z")
        why = "Threshold Crossed: 3 datapoints were greater than the threshold (1.0)."
        event: dict[str, Any] = {
            "source": "aws.cloudwatch",
            "detail-type": "CloudWatch Alarm State Change",
            "resources": [arn],
            "detail": {"alarmName": name, "state": {"value": "ALARM", "reason": why, "timestamp": at}},
        }
        if via == "topic":
            message = {
                "AlarmName": name,
                "AlarmArn": arn,
                "NewStateValue": "ALARM",
                "NewStateReason": why,
                "StateChangeTime": at,
            }
            event = {"Records": [{"EventSource": "aws:sns", "Sns": {"Message": json.dumps(message)}}]}
        return cast("dict[str, Any]", self.handlers["watch"](event, None))

    def later(self, folder: str, event: dict[str, Any], **passed: float) -> Any:
        """Calls a function whose clock is ahead by so much."""
        now = runtime._runtime()
        ahead = replace(now, now=lambda: runtime.utc_now() + timedelta(**passed))
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(runtime, "_runtime", lambda: ahead)
            return self.handlers[folder](event, None)

    def type(
        self,
        *arguments: str,
        meanwhile: Callable[[], object] = lambda: None,
        outputs: Mapping[str, str] | None = None,
    ) -> Result:
        """Runs a command without a terminal, so nothing is asked.

        `meanwhile` runs whenever the command pauses; `outputs` are additional stack outputs.
        """

        def pause(_seconds: float) -> None:
            meanwhile()
            time.sleep(0.1)

        deployed = {
            "LedgerTableName": os.environ["TAGSHIP_LEDGER_TABLE"],
            "DecisionKeyArn": os.environ["TAGSHIP_DECISION_KEY"],
            "ReleaseBucketName": os.environ["TAGSHIP_RELEASE_BUCKET"],
            "ReleaseStateMachineArn": self.machines["release"],
            "RollbackStateMachineArn": self.machines["rollback"],
        } | dict(outputs or {})
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(Place, "_described", lambda _: deployed)
            patch.setattr(Place, "_stack_named", lambda *_: {"StackId": STACK})
            patch.setattr(Place, "client", lambda _, service, **__: client_of(service))
            patch.setattr(BaseClient, "_make_api_call", self._remembering(BaseClient._make_api_call))
            result = CliRunner().invoke(
                main, [*arguments, "--stage", os.environ["TAGSHIP_STAGE"]], obj=Keyboard(pause=pause)
            )
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        return result

    def _remembering(self, ask: Callable[..., Any]) -> Callable[..., Any]:
        """moto forgets with which words an execution was stopped, and gives no names to those that are started without."""

        def asked(client: Any, name: str, parameters: Any) -> Any:
            if name == "StopExecution":
                self.stopped[parameters["executionArn"]] = parameters.get("cause", "")
            named = {"name": uuid.uuid4().hex} if name == "StartExecution" else {}
            return ask(client, name, named | parameters)

        return asked

    def rollbacks(self) -> list[Ended]:
        """Every rollback that was begun, oldest first, when it has ended."""
        answer = client_of("stepfunctions").list_executions(stateMachineArn=self.machines["rollback"])
        begun = sorted(answer["executions"], key=lambda execution: execution["startDate"])
        return [self.ended(execution["executionArn"]) for execution in begun]

    def call(self, function: str, qualifier: str | None, event: dict[str, Any]) -> Any:
        """Replaces a function's behaviour when it is invoked."""
        name = function.rsplit(":function:", 1)[-1].split(":", maxsplit=1)[0]
        if name == TARGET:
            served = (
                self.alias()[0] if qualifier == "live" else qualifier
            )  # by the alias: as it is served now
            return self.health(served or "$LATEST", event)
        with self.lock:
            self.calls.append((name, event))
            waiting = self.plants.get(name)
            fault = waiting.pop(0) if waiting else None
            self.steps += 1
        try:
            return fault(event) if fault else self.handlers[name](event, None)
        finally:
            with self.lock:
                self.steps -= 1


@functools.cache
def client_of(service: str) -> Any:
    """One client of each kind for all tests, because creating one is slow."""
    return boto3.client(
        service, region_name=REGION, aws_access_key_id="testing", aws_secret_access_key="testing"
    )


def once_it_serves(answer: Callable[[str, dict[str, Any]], Any]) -> Callable[[str, dict[str, Any]], Any]:
    """The response of a version with traffic. Without traffic it is healthy, so nothing stops it before."""
    return lambda version, event: answer(version, event) if event["percent"] else {"healthy": True}


def well_only(*versions: str) -> Callable[[str, dict[str, Any]], Any]:
    """All other versions fall ill as soon as they get traffic."""
    return once_it_serves(lambda version, event: {"healthy": version in versions})


def wait_for[T](look: Callable[[], T | None], what: str, *, seconds: float = WAIT_SECONDS) -> T:
    """Looks again and again, until there is something to see or the deadline has passed."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if (found := look()) is not None:
            return found
        time.sleep(0.05)
    raise AssertionError(f"waited {seconds} s in vain for {what}")


def code_of(tag: str) -> bytes:
    """A deployment package that differs from tag to tag."""
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        entry = zipfile.ZipInfo("app.py")
        entry.external_attr = 0o644 << 16
        archive.writestr(entry, f"VERSION = {tag!r}\n")
    return packed.getvalue()


def manifest_of(tag: str, code: bytes, *, application: str = "storefront", **fields: Any) -> dict[str, Any]:
    """A good manifest, but for what a test changes."""
    return {
        "schemaVersion": 1,
        "application": application,
        "tag": tag,
        "commit": "0123456789abcdef0123456789abcdef01234567",
        "repository": "acme/storefront",
        "author": "dana@example.com",
        "createdAt": "2026-11-22T10:00:00Z",
        "notes": "A faster basket.",
        "artifacts": [
            {
                "name": "function",
                "file": "storefront.zip",
                "sha256": hashlib.sha256(code).hexdigest(),
                "size": len(code),
            }
        ],
    } | fields


def form_of(page: str) -> str:
    """The anti-forgery value that the page carries."""
    return page.split('name="form" value="', 1)[1].split('"', 1)[0]


def number_on(page: str) -> str:
    """The number that a person reads above the buttons and types; empty if there is nothing to decide."""
    return page.partition('<strong class="number">')[2].partition("<")[0]


def definition(name: str, arns: dict[str, str], rollback_arn: str = "") -> str:
    """A definition as the stack deploys it, as JSON (moto takes no YAML)."""
    text = (ROOT / "statemachine" / f"{name}.asl.yaml").read_text()
    values = {
        **arns,
        "RollbackStateMachineArn": rollback_arn,
        "GateAttemptSeconds": "5",
        "HealthAttemptSeconds": "5",
        "RollbackTimeoutSeconds": "30",
    }
    for key, value in values.items():
        text = text.replace("${" + key + "}", value)
    return _as_json(text)


@functools.cache
def _as_json(text: str) -> str:
    return json.dumps(yaml.safe_load(text))


def load_handler(folder: str) -> Any:
    """The handler of one function, from its own file."""
    path = ROOT / "functions" / folder / "app.py"
    spec = importlib.util.spec_from_file_location(f"functions_{folder}", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.handler


@contextmanager
def world() -> Iterator[World]:
    """A stage in which storefront runs version 1, put there by hand, and nothing was released yet."""
    with pytest.MonkeyPatch.context() as patch:
        for name in ("AWS_ENDPOINT_URL", "AWS_PROFILE"):
            patch.delenv(name, raising=False)
        settings = {
            "AWS_ACCESS_KEY_ID": "testing",
            "AWS_SECRET_ACCESS_KEY": "testing",
            "AWS_DEFAULT_REGION": REGION,
            "TAGSHIP_STAGE": STAGE,
            "TAGSHIP_LEDGER_TABLE": "ledger",
            "TAGSHIP_APPROVAL_BASE_URL": "https://approve.example.com",
            "TAGSHIP_SENDER_ADDRESS": "tagship@example.com",
            "TAGSHIP_SLACK_HOSTS": "127.0.0.1",
            "TAGSHIP_LOOK_BACK_SECONDS": "0",
            "TAGSHIP_ALLOWED_ACCOUNTS": DEFAULT_ACCOUNT_ID,
            "TAGSHIP_FUNCTION_ROLES": f"arn:aws:iam::{DEFAULT_ACCOUNT_ID}:role/tagship-production-*FunctionRole-*",
        }
        for name, value in settings.items():
            patch.setenv(name, value)
        _mend_moto(patch)
        config: Any = {"stepfunctions": {"execute_state_machine": True}, "lambda": {"use_docker": False}}
        with mock_aws(config=config):
            runtime._runtime.cache_clear()
            patch.setattr(Aws, "_made", lambda self, service, **options: client_of(service))
            built = _build(patch)
            patch.setattr(
                LambdaSimpleBackend,
                "invoke",
                lambda self, name, qualifier, body, headers, answer: _invoke(
                    built, name, _asked.qualifier, body, answer
                ),
            )
            yield built
            _let_end(built)
            runtime._runtime.cache_clear()


def _let_end(world: World) -> None:
    """Stops running executions and waits for them: a late step would write into the next test's stage."""
    states = client_of("stepfunctions")
    for arn in world.machines.values():
        for each in states.list_executions(stateMachineArn=arn, statusFilter="RUNNING")["executions"]:
            states.stop_execution(executionArn=each["executionArn"])
    wait_for(lambda: world.steps == 0 or None, "the end of the last step")


def _no_provisioned_concurrency(request: AWSPreparedRequest, **_: Any) -> AWSResponse:
    """moto does not support provisioned concurrency, so no alias has any."""
    headers = {"x-amzn-ErrorType": "ProvisionedConcurrencyConfigNotFoundException"}
    return AWSResponse(request.url, 404, headers, MockRawResponse(b"{}"))


def _room_for_code(request: AWSPreparedRequest, **_: Any) -> AWSResponse:
    """moto does not know what an account has room for."""
    found = {"AccountLimit": {"TotalCodeSize": 75 * 1024**3}, "AccountUsage": {"TotalCodeSize": 0}}
    return AWSResponse(request.url, 200, {}, MockRawResponse(json.dumps(found).encode()))


def _build(patch: pytest.MonkeyPatch) -> World:
    client_of("lambda").meta.events.register_first(
        "before-send.lambda.GetProvisionedConcurrencyConfig",
        _no_provisioned_concurrency,
        unique_id="no-provisioned-concurrency",
    )
    client_of("lambda").meta.events.register_first(
        "before-send.lambda.GetAccountSettings", _room_for_code, unique_id="room-for-code"
    )
    _bucket(BUCKET)
    _table("ledger")
    key, other = (
        client_of("kms").create_key(KeySpec="HMAC_256", KeyUsage="GENERATE_VERIFY_MAC")["KeyMetadata"]["Arn"]
        for _ in range(2)
    )
    patch.setenv("TAGSHIP_LINK_KEY", key)
    patch.setenv("TAGSHIP_DECISION_KEY", other)
    client_of("ses").verify_email_identity(EmailAddress="tagship@example.com")
    role = client_of("iam").create_role(RoleName="tagship-app-storefront", AssumeRolePolicyDocument="{}")[
        "Role"
    ]["Arn"]
    functions = client_of("lambda")
    functions.create_function(
        FunctionName=TARGET,
        Runtime="python3.13",
        Role=role,
        Handler="app.handler",
        Code={"ZipFile": code_of("v0.0.0")},
        Publish=True,
    )
    functions.create_alias(FunctionName=TARGET, Name="live", FunctionVersion="1")
    folders = sorted(path.parent.name for path in (ROOT / "functions").glob("*/app.py"))
    arns = {
        "".join(part.title() for part in folder.split("_"))
        + "FunctionArn": f"arn:aws:lambda:{REGION}:{DEFAULT_ACCOUNT_ID}:function:{folder}"
        for folder in folders
    }
    stepfunctions = client_of("stepfunctions")
    rollback = stepfunctions.create_state_machine(
        name="rollback", definition=definition("rollback", arns), roleArn=role
    )
    machines = {"rollback": rollback["stateMachineArn"]}
    patch.setenv("TAGSHIP_ROLLBACK_STATE_MACHINE", machines["rollback"])
    patch.setenv("TAGSHIP_RELEASE_BUCKET", BUCKET)
    forward = stepfunctions.create_state_machine(
        name="release", definition=definition("release", arns, machines["rollback"]), roleArn=role
    )
    patch.setenv("TAGSHIP_RELEASE_STATE_MACHINE", forward["stateMachineArn"])
    built = World(
        machines=machines | {"release": forward["stateMachineArn"]},
        link_key=key,
        handlers={folder: load_handler(folder) for folder in folders},
        patch=patch,
    )
    built.configure()
    return built


def _bucket(name: str) -> None:
    client_of("s3").create_bucket(Bucket=name)
    client_of("s3").put_bucket_versioning(Bucket=name, VersioningConfiguration={"Status": "Enabled"})


def _table(name: str) -> None:
    client_of("dynamodb").create_table(
        TableName=name,
        BillingMode="PAY_PER_REQUEST",
        AttributeDefinitions=[
            {"AttributeName": "pk", "AttributeType": "S"},
            {"AttributeName": "sk", "AttributeType": "S"},
            {"AttributeName": "seq", "AttributeType": "N"},
            {"AttributeName": "open", "AttributeType": "S"},
        ],
        GlobalSecondaryIndexes=[
            {
                "IndexName": "open",
                "KeySchema": [
                    {"AttributeName": "open", "KeyType": "HASH"},
                    {"AttributeName": "pk", "KeyType": "RANGE"},
                ],
                "Projection": {"ProjectionType": "KEYS_ONLY"},
            }
        ],
        KeySchema=[{"AttributeName": "pk", "KeyType": "HASH"}, {"AttributeName": "sk", "KeyType": "RANGE"}],
        LocalSecondaryIndexes=[
            {
                "IndexName": "order",
                "KeySchema": [
                    {"AttributeName": "pk", "KeyType": "HASH"},
                    {"AttributeName": "seq", "KeyType": "RANGE"},
                ],
                "Projection": {"ProjectionType": "ALL"},
            }
        ],
    )


def _invoke(world: World, name: str, qualifier: str | None, body: Any, answer: dict[str, Any]) -> bytes:
    try:
        return json.dumps(world.call(name, qualifier, json.loads(body or "{}"))).encode()
    except Exception as error:  # noqa: BLE001 (whatever a handler raises is its answer)
        answer["x-amz-function-error"] = "Unhandled"
        return json.dumps({"errorMessage": str(error), "errorType": type(error).__name__}).encode()


def _shortened(seconds: float) -> float:
    """A rollback that waits 5 s for another one must have attempts left when that one is done."""
    return 0.2 if seconds == 5 else min(seconds, 0.02)


def _mend_moto(patch: pytest.MonkeyPatch) -> None:
    evaluate = nested.StateTaskServiceSfn._eval_service_task

    def in_the_right_case(
        self: Any,
        env: Any,
        resource_runtime_part: Any,
        normalised_parameters: dict[str, Any],
        state_credentials: Any,
    ) -> None:
        given = {name[0].lower() + name[1:]: value for name, value in normalised_parameters.items()}
        evaluate(self, env, resource_runtime_part, {"name": uuid.uuid4().hex, **given}, state_credentials)
        env.stack.append({name[0].upper() + name[1:]: value for name, value in env.stack.pop().items()})

    patch.setattr(nested.StateTaskServiceSfn, "_eval_service_task", in_the_right_case)
    patch.setattr(
        retrier_decl, "time", SimpleNamespace(sleep=lambda seconds: time.sleep(_shortened(seconds)))
    )
    patch.setattr(together, "_PAUSE_SECONDS", 0.02)
    patch.setattr(together, "PAUSES", (0.02, 0.02))
    fail = Environment.set_error

    def unless_it_was_stopped(self: Environment, error: Any) -> None:
        if self.is_running():  # moto lets the step that was cut off turn ABORTED into FAILED
            fail(self, error)

    patch.setattr(Environment, "set_error", unless_it_was_stopped)
    update = LambdaAlias.update

    def with_a_new_revision(self: LambdaAlias, *arguments: Any) -> None:
        update(self, *arguments)
        self.revision_id = uuid.uuid4().hex

    update_alias = LambdaResponse.update_alias

    def with_the_precondition(self: LambdaResponse) -> Any:
        function, _, name = unquote(self.path).rsplit("/", 2)
        alias = self.backend.get_alias(name, function.rsplit("/", 1)[-1])
        expected_revision = json.loads(self.body).get("RevisionId")
        if expected_revision and expected_revision != alias.revision_id:
            raise LambdaClientError("PreconditionFailedException", "The RevisionId provided does not match")
        return update_alias(self)

    configuration = LambdaFunction.get_configuration

    def with_a_revision(self: LambdaFunction, *arguments: Any, **options: Any) -> dict[str, Any]:
        return {"RevisionId": self.code_sha_256, **configuration(self, *arguments, **options)}

    patch.setattr(LambdaFunction, "get_configuration", with_a_revision)
    dispatch, one_at_a_time = DynamoHandler.call_action, threading.RLock()

    def isolated(self: DynamoHandler) -> Any:
        with (
            one_at_a_time
        ):  # moto undoes a cancelled transaction by putting back the table as it was, others' writes included
            return dispatch(self)

    patch.setattr(DynamoHandler, "call_action", isolated)
    invoke = LambdaResponse.invoke

    def knowing_the_qualifier(self: LambdaResponse) -> Any:
        _asked.qualifier = (self.querystring or {}).get("Qualifier", [None])[0]
        return invoke(self)

    patch.setattr(LambdaResponse, "invoke", knowing_the_qualifier)
    patch.setattr(LambdaAlias, "update", with_a_new_revision)
    patch.setattr(LambdaResponse, "update_alias", with_the_precondition)
