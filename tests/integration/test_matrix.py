"""A third of the fault matrix on the deployed stack: the real machines, functions, roles, stream, rules and supervisor.

Each cell has its own application, so that cells run concurrently. Meanwhile the states of both deployed machines call
copies of their functions, in which one application's call can meet a fault (planted.py). Everything else stays as
deployed. A few cells, with each kind of fault, run here; `make matrix` runs the third.
"""

from __future__ import annotations

import base64
import hashlib
import io
import json
import os
import zipfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from tagship.ledger import lock, releases
from tagship.ledger.table import Ledger
from tagship.model.errors import ApplicationUnknown
from tagship.model.facts import Level
from tagship.model.release import Status
from tagship.notices.notice import notice_of
from tagship.runtime import utc_now
from tagship.supervision.sweep import Sweep
from tests.conftest import Stack
from tests.integration.conftest import wait_for
from tests.matrix import (
    ENDINGS,
    FAULTS,
    STOPPED,
    Cell,
    Rest,
    assert_at_rest,
    assert_outcome,
    part,
)
from tools import people
from tools.stack import ACCOUNT, BUILD, REGION
from tools.storefront import HOME, pack

WHOLE = bool(os.environ.get("TAGSHIP_WHOLE_MATRIX"))
TAG = "v1.0.0"
TEAM = "team@example.com"
AT_ONCE = 3 if WHOLE else 2
"""Each calls a dozen functions, and every worker that starts cold costs this machine a second."""
LONGEST = 300
"""Seconds for a cell, most of which some only wait: a restore that hangs is tried five times, 18 s each."""
FEW: list[Cell] = [
    ("release.AcquireLock", "raises what nobody foresaw"),
    ("release.PlanDeployment", "is never available"),
    ("release.JudgeGates", "times out"),
    ("release.EndRelease", "is throttled by Lambda twice"),
    ("release.ShiftTraffic", "is lost by Lambda twice"),
    ("release.CompleteRelease", "is unavailable twice"),
    ("rollback.RestoreBaseline", "has its AWS call answered with 5xx twice"),
    ("rollback.EndRelease", "runs twice"),
    ("release.ShiftTraffic", "is stopped by a person"),
]
"""Each kind of fault, in both machines, before and after traffic has moved."""
CELLS = part(1, of=3) if WHOLE else FEW


@dataclass(slots=True, kw_only=True)
class Application:
    """A cell's own application, and its one release."""

    stack: Stack
    name: str
    cell: Cell
    executions: dict[str, dict[str, Any]] = field(default_factory=dict)
    """How each execution of it ended, by ARN."""
    swept: list[str] = field(default_factory=list)
    """The sweep's actions after everything was over."""

    # ---- what happens ----------------------------------------------------------------------------------------------

    def run(self) -> None:
        """From its installation until all its executions have ended."""
        state, _ = self.cell
        self._install()
        self._configure(reminders=state == "release.RemindApprovers", pauses=state == "release.PauseRollout")
        self._upload(broken=state.startswith("rollback."))
        self._decide()
        wait_for(lambda: True if self._is_over() else None, f"the end of {self.cell}", seconds=LONGEST)

    def _install(self) -> None:
        """The sample application under another name."""
        cloudformation = self.stack.client("cloudformation")
        bucket = self.stack.outputs["ReleaseBucketName"]
        cloudformation.create_stack(
            StackName=self.name,
            TemplateBody=(HOME / "template.yaml").read_text().replace("storefront", self.name),
            Capabilities=["CAPABILITY_NAMED_IAM"],
            Parameters=[
                {"ParameterKey": "Stage", "ParameterValue": self.stack.stage},
                {"ParameterKey": "ReleaseBucketName", "ParameterValue": bucket},
            ],
        )
        cloudformation.get_waiter("stack_create_complete").wait(
            StackName=self.name, WaiterConfig={"Delay": 1, "MaxAttempts": 60}
        )

    def _configure(self, *, reminders: bool, pauses: bool) -> None:
        pause = {"pause": {"timeout": 2, "onTimeout": "continue"}} if pauses else {}
        steps = [{"percent": 10, **pause}, {"percent": 100}]
        policy = {"approvers": ["ana@example.com"], "required": 1, "expires": 120, "remindEvery": 120}
        document = {
            "application": self.name,
            "target": {
                "type": "lambda",
                "function": self.name,
                "account": ACCOUNT,
                "region": REGION,
                "role": f"arn:aws:iam::{ACCOUNT}:role/tagship-app-{self.name}",
                "externalId": f"tagship-{self.stack.stage}",
            },
            "strategy": {"type": "steps", "steps": steps},
            "approval": policy | ({"remindEvery": 2} if reminders else {}),
            "health": {"checks": [{"type": "lambda"}]},
            "notifications": {"level": "milestones", "emails": [TEAM]},
        }
        self.stack.client("ssm").put_parameter(
            Name=f"/tagship/{self.stack.stage}/applications/{self.name}",
            Value=json.dumps(document),
            Type="String",
        )

    def _upload(self, *, broken: bool) -> None:
        code, folder = pack(TAG, broken=broken), f"releases/{self.name}/{TAG}"
        manifest = {
            "schemaVersion": 1,
            "application": self.name,
            "tag": TAG,
            "commit": "0123456789abcdef0123456789abcdef01234567",
            "repository": "acme/storefront",
            "author": "dana@example.com",
            "createdAt": "2026-11-22T10:00:00Z",
            "artifacts": [
                {
                    "name": "function",
                    "file": "function.zip",
                    "sha256": hashlib.sha256(code).hexdigest(),
                    "size": len(code),
                }
            ],
        }
        put = partial(
            self.stack.client("s3").put_object,
            Bucket=self.stack.outputs["ReleaseBucketName"],
            IfNoneMatch="*",
        )
        digest = base64.b64encode(hashlib.sha256(code).digest()).decode()
        put(Key=f"{folder}/function.zip", Body=code, ChecksumSHA256=digest)
        put(Key=f"{folder}/release.json", Body=json.dumps(manifest).encode())

    def _decide(self) -> None:
        """The approver presses a button, if anybody asks; or somebody stops it while it waits."""

        def asked() -> Any:
            if self._executions_are_over():
                return False
            if self.cell[0] == "release.RemindApprovers" and len(self._asking()) < 2:
                return None
            return people.newest_to(self.stack.mails(), who="ana@example.com", application=self.name, tag=TAG)

        mail = wait_for(asked, f"the mail of {self.cell}", seconds=LONGEST)
        if not mail:
            return
        if self.cell == ("release.RequestApproval", STOPPED):
            return  # it was stopped when it asked
        rejected = self.cell[0] == "release.EndRelease"
        people.decide(
            people.link_in(mail),
            decision="reject" if rejected else "approve",
            reason="no" if rejected else "",
        )

    # ---- when it is over -------------------------------------------------------------------------------------------

    def _executions_are_over(self) -> bool:
        """It has executions, and all of them have ended."""
        states = self.stack.client("stepfunctions")
        for machine in ("Release", "Rollback"):
            pages = states.get_paginator("list_executions").paginate(
                stateMachineArn=self.stack.outputs[f"{machine}StateMachineArn"]
            )
            for found in (execution for page in pages for execution in page["executions"]):
                arn = found["executionArn"]
                if arn not in _inputs:
                    _inputs[arn] = states.describe_execution(executionArn=arn)["input"]
                if f'"{self.name}"' in _inputs[arn] or f"/{self.name}/" in _inputs[arn]:
                    known = self.executions.get(arn)
                    if known is None or known["status"] == "RUNNING":
                        self.executions[arn] = states.describe_execution(executionArn=arn)
        return bool(self.executions) and all(
            found["status"] != "RUNNING" for found in self.executions.values()
        )

    def _is_over(self) -> bool:
        """Its executions have ended, and so has the release, if it was read and needs no sweep."""
        if not self._executions_are_over():
            return False
        record = self.record
        return record is None or record["status"] != Status.RUNNING or self._was_stopped_before_its_claim()

    def _was_stopped_before_its_claim(self) -> bool:
        """The supervisor may have received the event before the function had claimed the tag."""
        return self.cell == ("release.ReadRelease", STOPPED)

    def sweep(self) -> None:
        """As it will be in 20 minutes."""
        before = set(self.executions)
        found = Sweep(
            ledger=self.ledger,
            stepfunctions=self.stack.client("stepfunctions"),
            rollback_machine=self.stack.outputs["RollbackStateMachineArn"],
            now=utc_now() + timedelta(minutes=20),
            roll_back=lambda *_, **__: pytest.fail("a rollback was forgotten"),
        )
        did = [*found.releases(), *found.rollbacks(), *found.decisions()]
        self.swept = [line for line in did if line.startswith(f"{self.name} ")]
        assert set(self.executions) == before

    # ---- observing -------------------------------------------------------------------------------------------------

    @property
    def ledger(self) -> Ledger:
        return Ledger(
            client=self.stack.client("dynamodb"),
            table=self.stack.outputs["LedgerTableName"],
            stage=self.stack.stage,
            now=utc_now,
        )

    @property
    def record(self) -> dict[str, Any] | None:
        try:
            return releases.get(self.ledger, self.name, TAG)
        except ApplicationUnknown:
            return None

    @property
    def facts(self) -> list[dict[str, Any]]:
        return self.ledger.facts_of(self.name, TAG)

    def _asking(self) -> list[Any]:
        return [mail for mail in self.stack.mails(to="ana@example.com") if f"{self.name} " in mail.subject]

    def rest(self) -> Rest:
        alias = self.stack.client("lambda").get_alias(FunctionName=self.name, Name="live")
        record = self.record
        return Rest(
            status=Status(record["status"]) if record else None,
            why=record.get("why", "") if record else "",
            facts=[fact["name"] for fact in self.facts],
            locked=lock.holder(self.ledger, self.name) is not None,
            version=alias["FunctionVersion"],
            weights=(alias.get("RoutingConfig") or {}).get("AdditionalVersionWeights") or {},
            asked=len([it for it in self._asking() if not it.subject.startswith(("Reminder", "Continue"))]),
        )

    def left(self) -> set[str]:
        """The supervisor's actions, and errors of executions that belong to no ending."""
        errors = {found.get("error", "") for found in self.executions.values()} - ENDINGS - {""}
        return errors | {f"supervised: {fact['name']}" for fact in self.facts if fact["who"] == "supervisor"}

    def mails_about_its_end(self) -> int:
        """Mails to the team that say how it ended."""
        record = self.record
        ending = releases.ending_of(self.ledger, self.name, TAG, 1)
        assert record is not None
        assert ending is not None
        notice = notice_of(ending, record, level=Level.EVERYTHING)
        assert notice is not None
        said = f"{notice.subject}: {notice.text}"
        return sum(mail.text.startswith(said) for mail in self.stack.mails(to=TEAM, about=f"{self.name} "))


_inputs: dict[str, str] = {}
"""What each execution was started with."""


@pytest.fixture(scope="module")
def planted(stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The states that the cells need call copies of their functions. The folder says who meets which fault."""
    folder = tmp_path_factory.mktemp("planted")
    states, before = stack.client("stepfunctions"), {}
    for machine in ("release", "rollback"):
        arn = stack.outputs[f"{machine.title()}StateMachineArn"]
        before[arn] = states.describe_state_machine(stateMachineArn=arn)["definition"]
        definition = json.loads(before[arn])
        for each in every_task(definition):
            each["TimeoutSeconds"] = (
                60  # one small machine does all the work; a function that hangs ends before
            )
        for state in sorted({state for state, _ in CELLS if state.startswith(f"{machine}.")}):
            parameters = all_states(definition)[state.split(".")[1]]["Parameters"]
            parameters["FunctionName"] = twin(stack, parameters["FunctionName"], state, folder)
        states.update_state_machine(stateMachineArn=arn, definition=json.dumps(definition))
    yield folder
    for arn, definition in before.items():
        states.update_state_machine(stateMachineArn=arn, definition=definition)


def all_states(definition: dict[str, Any]) -> dict[str, Any]:
    """The states of a machine, and of its Maps."""
    states = dict(definition["States"])
    for each in definition["States"].values():
        states |= each["ItemProcessor"]["States"] if each["Type"] == "Map" else {}
    return states


def every_task(definition: dict[str, Any]) -> list[dict[str, Any]]:
    """Tasks that call a function and have a timeout; the rollback as a whole and the approval keep theirs."""
    return [
        each
        for name, each in all_states(definition).items()
        if each["Type"] == "Task" and "TimeoutSeconds" in each and name != "RollBack"
    ]


def twin(stack: Stack, arn: str, state: str, folder: Path) -> str:
    """The deployed function with its role and settings, behind the planted fault."""
    functions = stack.client("lambda")
    known = functions.get_function_configuration(FunctionName=arn)
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        for file in (BUILD / f"{state.split('.')[1]}Function").glob("*.py"):
            archive.write(file, file.name)
        archive.write(Path(__file__).with_name("planted.py"), "planted.py")
        archive.writestr(
            "planted.json", json.dumps({"folder": str(folder), "account": ACCOUNT, "state": state})
        )
    kept = ("Runtime", "Role", "Timeout", "MemorySize", "Environment")
    made = functions.create_function(
        FunctionName=f"planted-{state.replace('.', '-')}",
        Handler="planted.handler",
        Layers=[layer["Arn"] for layer in known["Layers"]],
        Code={"ZipFile": packed.getvalue()},
        **{name: known[name] for name in kept},
    )
    return str(made["FunctionArn"])


@pytest.fixture(scope="module")
def cells(stack: Stack, planted: Path) -> dict[Cell, Application | Exception]:
    """Every cell when it is over, and what went wrong in those that did not get there."""
    for service in ("cloudformation", "ssm", "s3", "stepfunctions", "dynamodb", "lambda"):
        stack.client(service)  # one of each, made before there are threads
    applications = [
        Application(stack=stack, name=f"cell-{number:03}", cell=cell) for number, cell in enumerate(CELLS)
    ]
    for each in applications:
        (planted / f"{each.name}.json").write_text(json.dumps(each.cell))

    def run(application: Application) -> Application | Exception:
        try:
            application.run()
        except Exception as error:  # noqa: BLE001 (reported by this cell's own test)
            return error
        return application

    with ThreadPoolExecutor(AT_ONCE) as pool:
        ended = dict(zip(CELLS, pool.map(run, applications), strict=True))
    for each in applications:
        each.sweep()
    return ended


@pytest.mark.parametrize("state, fault", [pytest.param(*cell, id=" ".join(cell)) for cell in CELLS])
def test_a_failure_in_any_state_leads_to_exactly_one_ending(
    cells: dict[Cell, Application | Exception], state: str, fault: str
) -> None:
    found = cells[state, fault]
    if isinstance(found, Exception):
        raise found
    if found._was_stopped_before_its_claim():
        assert found.swept in ([], [f"{found.name} {TAG}: ended"])
    else:
        assert found.swept == [], "the sweep found something to do"
    rest = found.rest()
    assert_at_rest(rest)
    cut_off = (Status.ROLLBACK_FAILED,) if state.startswith("rollback.") else ()
    assert_outcome((state, fault), rest, left=found.left(), or_else=cut_off)
    if rest.status is not None:
        wait_for(lambda: found.mails_about_its_end() or None, f"the mail about the end of {found.name}")
        assert found.mails_about_its_end() == 1


def test_the_selection_contains_each_kind_of_fault() -> None:
    assert {fault for _, fault in FEW} == set(FAULTS)
