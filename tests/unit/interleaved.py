"""Executions of both machines as the ledger sees them: functions that run in some order, many concurrently.

The functions and the table's conditions are real. Step Functions is a few lines here: which call follows which answer.
So a test can interleave them in ways that no real machine would: between two calls, between a function's read and its
write, and long after an execution has ended.
"""

from __future__ import annotations

import functools
import hashlib
import importlib.util
import io
import itertools
import json
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from tagship.approval.proof import command_line_proof
from tagship.approval.quorum import outcome
from tagship.approval.request.delivery import deliver
from tagship.approval.request.request import request_of
from tagship.ledger import approvals, releases
from tagship.ledger.table import Ledger, timestamp, unpacked
from tagship.model.errors import (
    AlreadyDecided,
    ApplicationUnknown,
    ApprovalClosed,
    ApprovalExpired,
    LockHeld,
    Overtaken,
    RollbackUnderway,
    TagshipError,
    TokenDead,
    TrafficMoved,
)
from tagship.model.release import Retry, Status
from tagship.runtime import Event, Runtime
from tagship.settings import Settings
from tagship.supervision.starting import roll_back, supervised
from tagship.supervision.sweep import Sweep
from tests.unit import builders
from tests.unit.approval.builders import KEY, FakeKms
from tests.unit.tables import Clock, aws_error
from tests.unit.targets.functions import BUCKET, FakeLambda, target

ROOT = Path(__file__).resolve().parents[2]
NAME, TAGS = builders.APPLICATION, ("v1.1.0", "v1.2.0", "v1.3.0")
ROLLBACKS = "arn:aws:states:us-east-1:000000000000:stateMachine:rollback"


@functools.cache
def function(folder: str) -> Callable[[Event, Runtime], Event]:
    """A function's behaviour, without Lambda around it."""
    path = ROOT / "functions" / folder / "app.py"
    spec = importlib.util.spec_from_file_location(f"interleaved_{folder}", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    unwrapped: Callable[[Event, Runtime], Event] = module.handler.__wrapped__
    return unwrapped


def code(tag: str) -> bytes:
    return f"the bytes of {tag}".encode()


@dataclass(slots=True)
class Execution:
    """One execution, and everything that it has asked its functions."""

    arn: str
    order: dict[str, Any]
    at: str
    status: str = "RUNNING"
    error: str = ""
    data: dict[str, Any] = field(default_factory=dict)
    asked: list[Callable[[], Any]] = field(default_factory=list)
    """Each call that it made, to be made once more: by a retry whose first try was not dead, or long after."""
    tries: int = 0
    busy: bool = False
    """Waits for the answer of a call. Others may continue meanwhile, or stop it."""

    @property
    def rolls_back(self) -> bool:
        return ":rollback:" in self.arn

    def ends(self, status: str, error: str = "") -> None:
        self.at, self.status, self.error = "", status, error


class Table:
    """The ledger's table: another execution may run right before a write, and the lock never has two holders."""

    def __init__(self, client: Any, now: Callable[[], datetime]) -> None:
        self._client = client
        self._now = now
        self.happens: Callable[[], object] | None = None
        self.interrupted = False
        """Somebody else took a turn within the call that is made."""

    def __getattr__(self, name: str) -> Any:
        asked = getattr(self._client, name)
        if name not in ("transact_write_items", "update_item"):
            return asked
        if self.happens:
            happens, self.happens = self.happens, None
            happens()
            self.interrupted = True
        return functools.partial(self._written, asked)

    def _written(self, write: Callable[..., Any], **asked: Any) -> Any:
        before = self.lock()
        answer = write(**asked)
        after = self.lock()
        if {"tag"} <= before.keys() & after.keys() and before["tag"] != after["tag"]:
            assert before["leaseEnds"] <= timestamp(self._now()), "two have the lock"
            assert not {"kept", "rollback"} & before.keys(), "what a rollback has locked was taken from it"
        return answer

    def lock(self) -> dict[str, Any]:
        """The lock's item."""
        key = {"pk": {"S": f"APPLICATION#{NAME}"}, "sk": {"S": "LOCK"}}
        return unpacked(
            self._client.get_item(TableName="ledger", Key=key, ConsistentRead=True).get("Item", {})
        )


@dataclass
class Fenced(FakeLambda):
    """Only the lock's holder writes the alias, unless it loses the lock between its check and its write."""

    table: Any = None

    def _put(self, name: str, version: str, description: str, routing: dict[str, Any]) -> dict[str, Any]:
        match = re.search(r"fence (\d+)", description)
        assert match is not None
        newest = self.table.lock()
        if not self.table.interrupted:
            assert (int(match[1]), "tag" in newest) == (newest["fence"], True), "a late holder moved traffic"
        return super()._put(name, version, description, routing)

    def invoke(self, **_: Any) -> dict[str, Any]:
        """Every version is healthy while it has no traffic; the test decides the later checks."""
        return {"Payload": io.BytesIO(b'{"healthy": true}')}


@dataclass(frozen=True, slots=True, kw_only=True)
class Local(Runtime):
    """A step's surroundings, all in memory."""

    world: Any

    @property
    def ledger(self) -> Ledger:
        return self.world.ledger  # type: ignore[no-any-return]

    def client_as(self, configuration: Any, *, tag: str, execution: str) -> Any:
        return lambda *_, **__: self.world.function


class World:
    """One application whose version 1 was deployed by hand, three tags of it, and everybody who works on them."""

    def __init__(self, client: Any) -> None:
        self.clock = Clock()
        self.table = Table(client, self.clock)
        uploads = {(BUCKET, f"{tag}.zip", "1"): code(tag) for tag in TAGS}
        self.function = Fenced(uploads=uploads, table=self.table)
        self.executions: list[Execution] = []
        self._numbers = itertools.count(1)
        self._kms = FakeKms()
        self._runtime = Local(
            world=self,
            settings=Settings(
                stage="production", ledger_table="ledger", rollback_state_machine=ROLLBACKS, decision_key=KEY
            ),
            aws=self,  # type: ignore[arg-type]
            now=self.clock,
        )

    @property
    def ledger(self) -> Ledger:
        """A new one for each call, as in production: what a call has read ahead is not another's."""
        return Ledger(
            client=self.table, table="ledger", stage="test", now=self.clock, pause=lambda seconds: None
        )

    # ---- what AWS is to the functions ------------------------------------------------------------------------------

    def client(self, service: str, **_: Any) -> Any:
        return {"stepfunctions": self, "kms": self._kms}[service]

    def start_execution(self, *, stateMachineArn: str, name: str, **given: str) -> None:
        assert stateMachineArn == ROLLBACKS
        arn = f"arn:aws:states:us-east-1:000000000000:execution:rollback:{name}"
        if any(each.arn == arn for each in self.executions):
            raise aws_error("ExecutionAlreadyExists")
        self.executions.append(Execution(arn=arn, order=json.loads(given["input"]), at="restore"))

    def describe_execution(self, *, executionArn: str) -> dict[str, Any]:
        found = next(each for each in self.executions if each.arn == executionArn)
        return {"status": found.status, "error": found.error, "stopDate": self.clock() - timedelta(hours=1)}

    def send_task_success(self, *, taskToken: str, output: str) -> None:
        for each in self.executions:
            if each.at == "waits" and each.data.get("token") == taskToken:
                self._decided(each, json.loads(output)["decision"])
                return
        raise aws_error("TaskTimedOut")

    # ---- what happens ----------------------------------------------------------------------------------------------

    def upload(self, tag: str, *, retry: Retry | None = None) -> Execution:
        """The event of an upload, or somebody's wish to try again."""
        arn = f"arn:aws:states:us-east-1:000000000000:execution:release:{next(self._numbers)}"
        self.executions.append(Execution(arn=arn, order={"tag": tag, "retry": retry}, at="claim"))
        return self.executions[-1]

    def retry(self, tag: str) -> None:
        try:
            attempt = releases.get(self.ledger, NAME, tag)["attempt"] + 1
        except ApplicationUnknown:
            attempt = 1
        self.upload(tag, retry=Retry(attempt=attempt, by="ana", why="again"))

    def roll_back(self, tag: str, *, to: str = "", trigger: str = "operator") -> None:
        """An operator's, or the supervisor's for an execution that was stopped."""
        order = {"application": NAME, "tag": tag, "trigger": trigger, "why": "it is bad", "by": "ana"}
        self.start_execution(
            stateMachineArn=ROLLBACKS,
            name=f"by-hand-{next(self._numbers)}",
            input=json.dumps(order | ({"to": to} if to else {})),
        )

    def stop(self, execution: Execution) -> None:
        if execution.status == "RUNNING":
            execution.ends("ABORTED")

    def decide(self, tag: str, decision: str) -> None:
        """The person who is asked, if anybody is."""
        try:
            request = releases.get(self.ledger, NAME, tag).get("approval")
            if request:
                approvals.decide(
                    self.ledger,
                    request,
                    approver="ana@example.com",
                    decision=decision,
                    reason="",
                    judge=outcome,
                    proof=self._proof(request),
                )
                deliver(self.ledger, self, request)
        except (ApplicationUnknown, AlreadyDecided, ApprovalClosed, ApprovalExpired, TokenDead):
            pass

    def _proof(self, approval_id: str) -> dict[str, str | int]:
        """The proof of an approval of the current request."""
        request = approvals.get(self.ledger, approval_id)
        assert request is not None
        about = {"approval_id": approval_id, "digest": request["digest"], "stage": request["stage"]}
        return command_line_proof(self._kms, KEY, **about, approver="ana@example.com", identity="").stored()

    def supervise(self, execution: Execution) -> None:
        """The event of an execution's end, or the same event once more."""
        if execution.status in ("RUNNING", "SUCCEEDED"):
            return
        order = (
            execution.order
            if execution.rolls_back
            else {"key": f"releases/{NAME}/{execution.order['tag']}/release.json"}
        )
        detail = {
            "input": json.dumps(order),
            "executionArn": execution.arn,
            "status": execution.status,
            "error": execution.error,
        }
        function("supervise")({"detail": detail}, self._runtime)

    def sweep(self) -> list[str]:
        """In a while."""
        self.clock.forward(1200)
        back = functools.partial(roll_back, self, ROLLBACKS)
        found = Sweep(
            ledger=self.ledger,
            stepfunctions=self,
            rollback_machine=ROLLBACKS,
            now=self.clock(),
            roll_back=lambda record, **order: back(record, name=supervised(record["execution"]), **order),
        )
        return [*found.releases(), *found.rollbacks(), *found.decisions()]

    def go_on(self, execution: Execution, *, healthy: bool = True) -> None:
        """The next state of an execution, if it has one."""
        if execution.busy or not execution.at:
            return
        execution.busy = True
        try:
            getattr(self, f"_{execution.at}")(execution, healthy)
        finally:
            execution.busy = False

    # ---- the release machine ---------------------------------------------------------------------------------------

    def again(self, call: Callable[[], Any]) -> Any:
        """A call by any execution."""
        outer, self.table.interrupted = self.table.interrupted, False
        try:
            return call()
        finally:
            self.table.interrupted = outer

    def _ask(self, execution: Execution, call: Callable[[], Any]) -> Any:
        execution.asked.append(call)
        return self.again(call)

    def _call(self, execution: Execution, folder: str, **event: Any) -> Any:
        event = json.loads(json.dumps(event | {"execution": execution.arn}))
        return self._ask(execution, functools.partial(function(folder), event, self._runtime))

    def _stands(self, execution: Execution, at: str, **data: Any) -> None:
        """Its next call, unless it was stopped meanwhile."""
        if execution.status == "RUNNING":
            execution.at, execution.tries = at, 0
            execution.data |= data

    def _not_begun(self, execution: Execution) -> None:
        self._stands(execution, "end", ending=Status.INVALID)

    def _goes_back(self, execution: Execution, trigger: str) -> None:
        self._stands(execution, "begin_rollback", trigger=trigger)

    def _claim(self, execution: Execution, _: bool) -> None:
        tag, document = (
            execution.order["tag"],
            builders.application(approval={"approvers": ["ana@example.com"]}),
        )
        artifact = {"name": "function", "file": f"{tag}.zip", "sha256": builders.sha256(code(tag)), "size": 1}
        record = builders.record(
            tag=tag,
            execution=execution.arn,
            digest=builders.sha256(tag.encode()),
            manifest=builders.manifest(tag=tag, artifacts=[artifact], notes="", parameters={}),
            objects={f"{tag}.zip": {"bucket": BUCKET, "key": f"{tag}.zip", "versionId": "1", "size": 1}},
            configuration=builders.configured(document),
            gates=[],
        )
        went, known = self._ask(
            execution,
            lambda: releases.claim(self.ledger, record, retry=execution.order["retry"]),
        )
        if went != "claimed":
            execution.ends(
                "SUCCEEDED" if went == "duplicate" else "FAILED",
                "" if went == "duplicate" else "RetryRefused",
            )
            return
        release = {"application": NAME, "tag": tag, "attempt": known["attempt"]}
        self._stands(execution, "acquire", release=release)

    def _acquire(self, execution: Execution, _: bool) -> None:
        try:
            taken = self._call(execution, "acquire_lock", release=execution.data["release"])
            self._stands(execution, "gates", lock=taken)
        except LockHeld:
            execution.tries += 1
            if execution.tries > 5:
                self._not_begun(execution)
        except Overtaken:
            self._stands(execution, "end", ending=Status.SUPERSEDED)
        except TagshipError:
            self._not_begun(execution)

    def _gates(self, execution: Execution, _: bool) -> None:
        """The gate that checks whether the target matches the ledger."""
        current = releases.current(self.ledger, NAME)
        try:
            target(self.function, tag=execution.order["tag"]).check(current and current["revision"])
        except TagshipError:
            self._not_begun(execution)
        else:
            self._stands(execution, "plan")

    def _plan(self, execution: Execution, _: bool) -> None:
        try:
            plan = self._call(
                execution,
                "plan_deployment",
                release=execution.data["release"],
                planning=execution.data["lock"]["planning"],
            )
        except TagshipError:
            self._not_begun(execution)
        else:
            self._stands(execution, "complete" if plan["nothingToChange"] else "request")

    def _bytes(self, length: int) -> bytes:
        """As good as random, and the same in a second world that lives the same."""
        return hashlib.sha256(f"bytes {next(self._numbers)}".encode()).digest()[:length]

    def _request(self, execution: Execution, _: bool) -> None:
        """As RequestApproval does, without the mails."""
        token = f"token {next(self._numbers)}"
        self._stands(execution, "waits", token=token)
        release, fence = execution.data["release"], execution.data["lock"]["fence"]

        def ask() -> None:
            new_request = request_of(
                releases.of_attempt(self.ledger, release),
                now=self.clock(),
                longest=10**6,
                random=self._bytes,
            )
            request = approvals.request(
                self.ledger, new_request, fence=fence, execution=execution.arn, token=token
            )
            if request["status"] != approvals.OPEN:
                deliver(self.ledger, self, request["id"])

        try:
            self._ask(execution, ask)
        except TagshipError:
            self._not_begun(execution)

    def _waits(self, execution: Execution, _: bool) -> None:
        """The wait has timed out: RemindApprovers looks whether the time to decide is over, if it is."""
        request = approvals.get(
            self.ledger, releases.get(self.ledger, NAME, execution.order["tag"])["approval"]
        )
        if request is None or request["expiresAt"] > timestamp(self.clock()):
            return
        token = execution.data.pop("token")  # of a task that has timed out
        try:
            reminded = self._call(execution, "remind_approvers", release=execution.data["release"])
        except TagshipError:
            self._not_begun(execution)
        else:
            execution.data["token"] = token
            self._decided(execution, reminded["decision"])

    def _decided(self, execution: Execution, decision: str) -> None:
        endings = {
            "rejected": Status.REJECTED,
            "superseded": Status.SUPERSEDED,
            "expired": Status.EXPIRED,
        }
        if decision in ("approved", "outdated"):
            self._stands(execution, "recheck" if decision == "approved" else "acquire")
        else:
            self._stands(execution, "end", ending=endings.get(decision, Status.EXPIRED))

    def _recheck(self, execution: Execution, _: bool) -> None:
        try:
            deployment = self._call(execution, "recheck_release", release=execution.data["release"])
        except LockHeld:
            execution.tries += 1
            if execution.tries > 5:
                self._not_begun(execution)
        except Overtaken:
            self._stands(execution, "end", ending=Status.SUPERSEDED)
        except TagshipError:
            self._not_begun(execution)
        else:
            following = "acquire" if deployment["planAgain"] else "prove"
            self._stands(execution, following, deployment=deployment)

    def _prove(self, execution: Execution, _: bool) -> None:
        given = {name: execution.data[name] for name in ("release", "deployment")}
        try:
            self._call(execution, "prove_candidate", **given)
        except TagshipError:
            self._not_begun(execution)
        else:
            self._stands(execution, "shift")

    def _shift(self, execution: Execution, _: bool) -> None:
        given = {name: execution.data[name] for name in ("release", "deployment")}
        try:
            deployment = self._call(execution, "shift_traffic", **given)
        except TagshipError:
            self._not_begun(execution)  # EndRelease knows where traffic has moved
        else:
            self._stands(execution, "health", deployment=deployment)

    def _health(self, execution: Execution, healthy: bool) -> None:
        if not healthy:
            self._goes_back(execution, "health")
        else:
            deployment = execution.data["deployment"]
            self._stands(execution, "complete" if deployment["next"] >= deployment["count"] else "shift")

    def _complete(self, execution: Execution, _: bool) -> None:
        try:
            self._call(execution, "complete_release", release=execution.data["release"])
        except TagshipError:
            self._goes_back(execution, "failure")
        else:
            if execution.status == "RUNNING":
                execution.ends("SUCCEEDED")

    def _begin_rollback(self, execution: Execution, _: bool) -> None:
        release = execution.data["release"]
        name = f"of-{execution.arn.rsplit(':', 1)[-1]}-{next(self._numbers)}"
        order = release | {"trigger": execution.data["trigger"], "why": "it failed", "by": execution.arn}
        self.start_execution(stateMachineArn=ROLLBACKS, name=name, input=json.dumps(order))
        self._stands(execution, "await_rollback", child=self.executions[-1].arn)

    def _await_rollback(self, execution: Execution, _: bool) -> None:
        child = next(each for each in self.executions if each.arn == execution.data["child"])
        if child.status == "SUCCEEDED":
            execution.ends("FAILED", Status(child.data["stood"]).error)
        elif child.status != "RUNNING":
            self._stands(execution, "end", ending=Status.ROLLBACK_FAILED)

    def _end(self, execution: Execution, _: bool) -> None:
        ending = {"status": execution.data["ending"], "cause": "as it went"}
        release = execution.data["release"]
        try:
            stood = self._call(execution, "end_release", release=release, ending=ending)
        except TrafficMoved:
            self._goes_back(execution, "failure")
            return
        except RollbackUnderway:
            execution.tries += 1
            if execution.tries > 10:
                execution.ends("FAILED", Status(ending["status"]).error)
            return
        except TagshipError:
            execution.ends("FAILED", Status(ending["status"]).error)
            return
        if execution.status != "RUNNING":
            return
        execution.data["stood"] = stood["status"]
        good = execution.rolls_back and stood["status"] in (Status.ROLLED_BACK, Status.ABORTED)
        execution.ends("SUCCEEDED" if good else "FAILED", "" if good else stood["error"])

    # ---- the rollback machine --------------------------------------------------------------------------------------

    def _restore(self, execution: Execution, _: bool) -> None:
        release = {"application": NAME, "tag": execution.order["tag"]}
        try:
            restored = self._call(
                execution, "restore_baseline", order=execution.order, startedAt=timestamp(self.clock())
            )
        except RollbackUnderway:
            execution.tries += 1
            if execution.tries > 10:
                execution.ends("FAILED", "RollbackUnderway")
        except TagshipError as error:
            name = type(error).__name__
            execution.tries += 1
            if name in ("RollbackRefused", "ApplicationUnknown", "LockKept") or (
                name == "LockHeld" and execution.tries > 4
            ):
                execution.ends("FAILED", name)
            elif name in ("TargetMoved", "BaselineMissing", "LockLost") or execution.tries > 4:
                self._stands(
                    execution, "end", release=release | {"attempt": 0}, ending=Status.ROLLBACK_FAILED
                )
        else:
            self._stands(execution, "look", release=release | {"attempt": restored["attempt"]})

    def _look(self, execution: Execution, healthy: bool) -> None:
        back = Status.ABORTED if execution.order["trigger"] == "abort" else Status.ROLLED_BACK
        self._stands(execution, "end", ending=back if healthy else Status.ROLLBACK_FAILED)
