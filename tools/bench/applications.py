"""Fifty applications that release at the same moment, compared with one alone; a single run, because it takes minutes.

Each has its own function, alias and role, as the storefront has, and one approver who answers as soon as the mail is there.
A round counts only if it ended as it must for every one of them: succeeded, with one ending, the alias whole on the
candidate, and the lock free.
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
import re
import tempfile
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import yaml

from tagship.deployment.locations import location_of
from tagship.ledger import lock, releases
from tagship.ledger.table import Ledger
from tagship.model.facts import ENDING_KINDS
from tools.bench.table import SECONDS, TIMES, Figure, Part, say
from tools.people import link_in, open_form
from tools.stack import ACCOUNT, REGION, Engine, LocalError, Mail, deploy, outputs
from tools.storefront import HOME, NAME, pack

STAGE = "production"
MANY = 50
TASKS = os.cpu_count() or 1
"""How many of their tasks the machine runs at a time; AWS would run each on its own machine."""
_FEW = 2 * TASKS
"""Applications that warm up first: enough to start every process that all of them use."""
_APPROVER = "ana@example.com"
_LOOK_EVERY = 0.25
_LONGEST = 900
_AT_ONCE = 8
"""Uploads and answers that this process sends at a time."""


def measure() -> list[Part]:
    """Measures on a separate engine: some applications to warm up, one alone, then all at once.

    Raises LocalError when a release does not end as it must.
    """
    say(f"{MANY} applications, on an engine of their own")
    engine = Engine.start(Path(tempfile.mkdtemp(prefix="tagship-bench-")), tasks=TASKS)
    try:
        stack = deploy(engine, stage=STAGE)
        every = Applications.installed(engine, stage=STAGE, stack=stack, count=MANY)
        say("some of them, to warm up")
        every.release("v0.1.0", every.names[:1])
        every.release("v0.2.0", every.names[:_FEW])
        say("one of them alone")
        one = every.release("v1.1.0", every.names[:1])
        say(f"{MANY} applications at once")
        many = every.release("v1.2.0", every.names)
    finally:
        engine.stop()
    return [
        Part(
            title="Applications that release at once",
            figures=[
                Figure(what="one application alone, from its upload to its end", unit=SECONDS, runs=[one]),
                Figure(
                    what=f"{MANY} at once, from the first upload to the last end", unit=SECONDS, runs=[many]
                ),
                Figure(what="… against one alone", unit=TIMES, runs=[many / one]).below(
                    MANY, words="< one after another"
                ),
            ],
        )
    ]


@dataclass(frozen=True, slots=True, kw_only=True)
class Applications:
    """Applications like the storefront, by their names."""

    engine: Engine
    stack: Mapping[str, str]
    ledger: Ledger
    names: Sequence[str]

    @classmethod
    def installed(cls, engine: Engine, *, stage: str, stack: Mapping[str, str], count: int) -> Applications:
        """Creates each with its own stack from the storefront's template, and its configuration in Parameter Store."""
        say(f"installing {count} applications")
        names = [f"shop-{number:02}" for number in range(1, count + 1)]
        for name in names:
            _install(engine, name, stage=stage, stack=stack)
        ledger = Ledger(
            client=engine.client("dynamodb"),
            table=stack["LedgerTableName"],
            stage=stage,
            now=lambda: datetime.now(UTC),
        )
        return cls(engine=engine, stack=stack, ledger=ledger, names=names)

    def release(self, tag: str, names: Sequence[str]) -> float:
        """Seconds from the first upload to the last execution's end.

        Raises LocalError when one of them does not end as it must.
        """
        bucket = self.stack["ReleaseBucketName"]
        s3 = self.engine.client("s3")
        for name in names:
            _put_code(s3, bucket, name, tag)
        began = time.time()
        with ThreadPoolExecutor(_AT_ONCE) as people:
            list(people.map(lambda name: _put_manifest(s3, bucket, name, tag), names))
            self._approved(people, tag, names)
        ended = self._ended(tag, names)
        for name in names:
            self._check(name, tag)
        return ended - began

    def _approved(self, people: ThreadPoolExecutor, tag: str, names: Sequence[str]) -> None:
        """Every approver opens the link in the mail and presses the button, in the order of the mails."""
        answers: dict[str, Future[None]] = {}
        deadline = time.monotonic() + _LONGEST
        while len(answers) < len(names):
            if time.monotonic() > deadline:
                missing = sorted(set(names) - set(answers))
                raise LocalError(
                    f"No mail about {tag} came for {', '.join(missing)}: {self._why(missing[0], tag)}"
                )
            self._refuse_failures()
            for name, mail in asked(self.engine.mails(), tag).items():
                if name in names and name not in answers:
                    answers[name] = people.submit(_approve, name, mail)
            time.sleep(_LOOK_EVERY)
        for answer in answers.values():
            answer.result()

    def _refuse_failures(self) -> None:
        states = self.engine.client("stepfunctions")
        machine = self.stack["ReleaseStateMachineArn"]
        failed = states.list_executions(stateMachineArn=machine, statusFilter="FAILED")["executions"]
        if failed:
            found = states.describe_execution(executionArn=failed[0]["executionArn"])
            raise LocalError(f"{len(failed)} releases ended too soon; {found['error']}: {found['cause']}")

    def _ended(self, tag: str, names: Sequence[str]) -> float:
        """When the last of their executions ended."""
        states = self.engine.client("stepfunctions")
        last, deadline = 0.0, time.monotonic() + _LONGEST
        for name in names:
            execution = releases.get(self.ledger, name, tag)["execution"]
            while (found := states.describe_execution(executionArn=execution))["status"] == "RUNNING":
                if time.monotonic() > deadline:
                    raise LocalError(f"{name} {tag} did not end within {_LONGEST} seconds.")
                time.sleep(_LOOK_EVERY)
            last = max(last, found["stopDate"].timestamp())
        return last

    def _check(self, name: str, tag: str) -> None:
        record = releases.get(self.ledger, name, tag)
        if record["status"] != "SUCCEEDED":
            raise LocalError(f"{name} {tag} ended {record['status']}: {record.get('why', '')}")
        endings = [fact["name"] for fact in self.ledger.facts_of(name, tag) if fact["name"] in ENDING_KINDS]
        alias = self.engine.client("lambda").get_alias(FunctionName=name, Name="live")
        weights = (alias.get("RoutingConfig") or {}).get("AdditionalVersionWeights") or {}
        wrong = [
            problem
            for problem, holds in (
                (f"it has the endings {endings}", len(endings) == 1),
                (f"its alias is split: {weights}", not weights),
                (
                    f"its alias is on version {alias['FunctionVersion']}",
                    alias["FunctionVersion"] == location_of(record)["candidate"]["id"],
                ),
                ("its lock is held", lock.holder(self.ledger, name) is None),
            )
            if not holds
        ]
        if wrong:
            raise LocalError(f"{name} {tag} did not end as it must: {'; '.join(wrong)}.")

    def _why(self, name: str, tag: str) -> str:
        facts = self.ledger.facts_of(name, tag)
        return (
            f"the last thing that happened is {facts[-1]['name']}, {facts[-1]['data']}"
            if facts
            else "it was not read"
        )


def asked(mails: Sequence[Mail], tag: str) -> dict[str, Mail]:
    """The mails that request approval of this tag, by application."""
    about = re.compile(rf"\b(shop-\d+) {re.escape(tag)}(?![\w.-])")
    found = ((about.search(mail.subject), mail) for mail in mails)
    return {match[1]: mail for match, mail in found if match and "/approvals/" in mail.text}


def _install(engine: Engine, name: str, *, stage: str, stack: Mapping[str, str]) -> None:
    cloudformation = engine.client("cloudformation")
    cloudformation.create_stack(
        StackName=name,
        TemplateBody=(HOME / "template.yaml").read_text().replace(NAME, name),
        Capabilities=["CAPABILITY_NAMED_IAM"],
        Parameters=[
            {"ParameterKey": "Stage", "ParameterValue": stage},
            {"ParameterKey": "ReleaseBucketName", "ParameterValue": stack["ReleaseBucketName"]},
        ],
    )
    cloudformation.get_waiter("stack_create_complete").wait(
        StackName=name, WaiterConfig={"Delay": 1, "MaxAttempts": 60}
    )
    document: dict[str, Any] = yaml.safe_load((HOME / "application.yaml").read_text().replace(NAME, name))
    document["target"] |= {
        "account": ACCOUNT,
        "region": REGION,
        "role": outputs(engine, name)["DeploymentRoleArn"],
        "externalId": f"tagship-{stage}",
    }
    document["strategy"]["bake"] = 0
    document["approval"] = {"approvers": [_APPROVER]}
    # what asks the candidate itself; the rest would measure the sample, in as many processes again
    document["health"]["checks"] = [{"type": "lambda"}]
    engine.client("ssm").put_parameter(
        Name=f"/tagship/{stage}/applications/{name}", Value=json.dumps(document), Type="String"
    )


def _put_code(s3: Any, bucket: str, name: str, tag: str) -> None:
    code = pack(tag)
    s3.put_object(
        Bucket=bucket,
        Key=f"releases/{name}/{tag}/{name}.zip",
        Body=code,
        ChecksumSHA256=base64.b64encode(hashlib.sha256(code).digest()).decode(),
    )


def _put_manifest(s3: Any, bucket: str, name: str, tag: str) -> None:
    code = pack(tag)
    manifest = {
        "schemaVersion": 1,
        "application": name,
        "tag": tag,
        "commit": hashlib.sha1(tag.encode(), usedforsecurity=False).hexdigest(),
        "repository": f"acme/{name}",
        "author": "dana@example.com",
        "createdAt": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "artifacts": [
            {
                "name": "function",
                "file": f"{name}.zip",
                "sha256": hashlib.sha256(code).hexdigest(),
                "size": len(code),
            }
        ],
    }
    s3.put_object(
        Bucket=bucket,
        Key=f"releases/{name}/{tag}/release.json",
        Body=json.dumps(manifest).encode(),
        IfNoneMatch="*",
    )


def _approve(name: str, mail: Mail) -> None:
    answer = open_form(link_in(mail)).press("approve")
    if answer.status != 200:
        raise LocalError(f"The approval page answered {answer.status} about {name}.")
