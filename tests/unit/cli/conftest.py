"""A stage on moto, the command line as a person runs it, and releases brought as far as a test wants them."""

from __future__ import annotations

import functools
import hashlib
import json
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from secrets import token_bytes
from typing import Any

import boto3
import pytest
from click.testing import CliRunner, Result
from moto import mock_aws

from tagship.approval.quorum import outcome
from tagship.approval.request.request import request_of
from tagship.deployment.binding import release_digest
from tagship.ledger import approvals, lock, releases
from tagship.ledger.table import Fact, Ledger, timestamp
from tagship.model.release import Retry, Status
from tagship_cli.main import main
from tagship_cli.place import World
from tests.quick_moto import quicken
from tests.unit.builders import locations

quicken()

ROOT = Path(__file__).resolve().parents[3]
NOW = datetime(2026, 11, 23, 14, 5, tzinfo=UTC)
REGION = "eu-central-1"
COMMIT = "8f1d5a0b6f3c4c3f8e0d2b7a9c1e5f60718293a4"
STACK = {
    "Resources": {
        "Bucket": {
            "Type": "AWS::S3::Bucket",
            "Properties": {"BucketName": "releases", "VersioningConfiguration": {"Status": "Enabled"}},
        },
        "Evidence": {"Type": "AWS::S3::Bucket", "Properties": {"BucketName": "evidence"}},
        "Notices": {
            "Type": "AWS::SQS::Queue",
            "Properties": {"QueueName": "notices.fifo", "FifoQueue": True},
        },
        "Ledger": {
            "Type": "AWS::DynamoDB::Table",
            "Properties": {
                "TableName": "ledger",
                "BillingMode": "PAY_PER_REQUEST",
                "AttributeDefinitions": [
                    {"AttributeName": "pk", "AttributeType": "S"},
                    {"AttributeName": "sk", "AttributeType": "S"},
                    {"AttributeName": "seq", "AttributeType": "N"},
                    {"AttributeName": "open", "AttributeType": "S"},
                ],
                "GlobalSecondaryIndexes": [
                    {
                        "IndexName": "open",
                        "KeySchema": [
                            {"AttributeName": "open", "KeyType": "HASH"},
                            {"AttributeName": "pk", "KeyType": "RANGE"},
                        ],
                        "Projection": {"ProjectionType": "KEYS_ONLY"},
                    }
                ],
                "KeySchema": [
                    {"AttributeName": "pk", "KeyType": "HASH"},
                    {"AttributeName": "sk", "KeyType": "RANGE"},
                ],
                "LocalSecondaryIndexes": [
                    {
                        "IndexName": "order",
                        "KeySchema": [
                            {"AttributeName": "pk", "KeyType": "HASH"},
                            {"AttributeName": "seq", "KeyType": "RANGE"},
                        ],
                        "Projection": {"ProjectionType": "ALL"},
                    }
                ],
            },
        },
    },
    "Outputs": {
        "DecisionKeyArn": {"Value": "the-decision-key"},
        "NoticesQueueUrl": {"Value": {"Ref": "Notices"}},
        "NoticesSetAsideArn": {"Value": "arn:aws:sqs:eu-central-1:123456789012:aside.fifo"},
        "ReleaseBucketName": {"Value": {"Ref": "Bucket"}},
        "EvidenceBucketName": {"Value": {"Ref": "Evidence"}},
        "LedgerTableName": {"Value": {"Ref": "Ledger"}},
        "FunctionRoles": {"Value": "arn:aws:iam::123456789012:role/tagship-development-*FunctionRole-*"},
    },
}


@dataclass(slots=True)
class Clock:
    """Time advances when a command waits; `during` lists what happens meanwhile, one step for each wait."""

    time: datetime = NOW
    during: list[Any] = field(default_factory=list)

    def now(self) -> datetime:
        return self.time

    def pause(self, seconds: float) -> None:
        self.time += timedelta(seconds=max(seconds, 0.1))
        if self.during:
            self.during.pop(0)()


@dataclass(slots=True, kw_only=True)
class Stage:
    """A stage, and a person at a keyboard."""

    clock: Clock
    stage: str = "development"

    def run(
        self,
        *arguments: str,
        given: str | None = None,
        env: Mapping[str, str] | None = None,
        color: bool = False,
    ) -> Result:
        """Runs a command line and returns its result; a bug is raised, not reported."""
        world = World(now=self.clock.now, pause=self.clock.pause)
        result = CliRunner().invoke(main, arguments, input=given, env=env, color=color, obj=world)
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        return result

    def client(self, service: str) -> Any:
        return made_client(service, REGION, None)

    @property
    def ledger(self) -> Ledger:
        return Ledger(
            client=self.client("dynamodb"),
            table="ledger",
            stage=self.stage,
            now=self.clock.now,
            pause=self.clock.pause,
        )

    def configure(self, **changes: Any) -> dict[str, Any]:
        """An application's configuration, stored as by `tagship apply`."""
        document = application(**changes)
        self.client("ssm").put_parameter(
            Name=f"/tagship/{self.stage}/applications/{document['application']}",
            Value=json.dumps(document),
            Type="String",
            Overwrite=True,
        )
        return document

    def release(self, tag: str = "v1.4.0", **changes: Any) -> Made:
        """A release that was read just now."""
        return Made.read(self, tag, **changes)


@dataclass(slots=True, kw_only=True)
class Made:
    """A release, brought from step to step with what the functions themselves use."""

    stage: Stage
    application: str
    tag: str
    execution: str

    @classmethod
    def read(
        cls,
        stage: Stage,
        tag: str,
        *,
        execution: str = "",
        notes: str = "",
        author: str = "dana@example.com",
        **policy: Any,
    ) -> Made:
        document = application(approval={"required": 2, **policy})
        made = cls(
            stage=stage,
            application="storefront",
            tag=tag,
            execution=execution or f"arn:aws:states:{REGION}:123456789012:execution:tagship-release:{tag}",
        )
        manifest = {
            "schemaVersion": 1,
            "application": "storefront",
            "tag": tag,
            "commit": COMMIT,
            "repository": "acme/storefront",
            "author": author,
            "createdAt": "2026-11-23T14:00:00Z",
            "notes": notes,
            "artifacts": [],
            "parameters": {},
        }
        releases.claim(
            stage.ledger,
            {
                "application": "storefront",
                "tag": tag,
                "stage": stage.stage,
                "execution": made.execution,
                "digest": hashlib.sha256(tag.encode()).hexdigest(),
                "manifest": manifest,
                "problems": [],
                "objects": {},
                "configuration": {"version": 1, "document": document, "problems": []},
                "phase": "gates",
            },
        )
        return made

    @property
    def record(self) -> dict[str, Any]:
        return releases.get(self.stage.ledger, self.application, self.tag)

    def fact(
        self, name: str, data: Mapping[str, Any] | None = None, *, key: str = "", **attributes: Any
    ) -> Made:
        fact = Fact(
            application=self.application,
            tag=self.tag,
            attempt=1,
            name=name,
            key=key,
            execution=self.execution,
            data=data or {},
        )
        if attributes:
            releases.mark(self.stage.ledger, fact, **attributes)
        else:
            self.stage.ledger.record(fact)
        return self

    def locked(self, seconds: int = 900) -> Made:
        lock.acquire(
            self.stage.ledger,
            application=self.application,
            tag=self.tag,
            attempt=1,
            execution=self.execution,
            seconds=seconds,
            details={"gatesEnd": self._in(300)},
        )
        return self

    def _in(self, seconds: int) -> str:
        return timestamp(self.stage.clock.now() + timedelta(seconds=seconds))

    def gated(
        self, *, failing: str = "", why: str = "it is too old", remedy: str = "Publish a newer one."
    ) -> Made:
        results = [
            {"gate": gate, "verdict": "failed", "why": why, "remedy": remedy}
            if gate == failing
            else {"gate": gate, "verdict": "passed", "why": "All well.", "remedy": ""}
            for gate in ("manifest", "tag", "integrity")
        ]
        name = "Gates Failed" if failing else "Gates Passed"
        return self.fact(name, {"results": results, "why": why}, gates=results, phase="planning")

    def planned(self, origin: str | None = "v1.3.0") -> Made:
        plan = {
            "summary": ["the alias live of storefront: version 6 → version 7"],
            "from": origin,
            "to": self.tag,
            "nothingToChange": False,
            "locations": locations("6", "7"),
            "steps": [{"percent": 10, "bake": 60, "needs": 75}, {"percent": 100, "bake": 0, "needs": 15}],
        }
        plan["digest"] = release_digest(self.record, plan)
        data = {name: plan[name] for name in ("summary", "digest", "from")}
        return self.fact("Deployment Planned", data, plan=plan)

    def asked(self) -> Made:
        request = request_of(self.record, now=self.stage.clock.now(), longest=604_800, random=token_bytes)
        approvals.request(self.stage.ledger, request, execution=self.execution)
        approvals.waits_on(self.stage.ledger, request["id"], "token")
        return self

    @property
    def request(self) -> dict[str, Any]:
        found = approvals.get(self.stage.ledger, self.record["approval"])
        assert found is not None
        return found

    def decided(self, approver: str, decision: str = "approve", reason: str = "") -> Made:
        approvals.decide(
            self.stage.ledger,
            self.request["id"],
            approver=approver,
            decision=decision,
            reason=reason,
            judge=outcome,
        )
        return self

    def started(self) -> Made:
        deadline = timestamp(self.stage.clock.now() + timedelta(seconds=1200))
        steps = self.record["plan"]["steps"]
        return self.fact(
            "Deployment Started",
            {"steps": steps, "deadline": deadline},
            phase="deployment",
            deadline=deadline,
        )

    def shifted(self, step: int = 1) -> Made:
        percent, bake = ((10, 60), (100, 0))[step - 1]
        releases.moving(
            self.stage.ledger, application=self.application, tag=self.tag, attempt=1, step=step - 1
        )
        data = {"percent": percent, "bake": bake, "step": step, "of": 2, "fence": 1}
        return self.fact("Traffic Shifted", data, key=str(step), percent=percent)

    def checked(
        self,
        step: int = 1,
        verdict: str = "healthy",
        *,
        subject: str = "candidate",
        why: str = "All well.",
        **more: Any,
    ) -> Made:
        checks = [{"check": "http https://x", "verdict": verdict, "why": why, "numbers": {}}]
        data = {"subject": subject, "step": f"{step} of 2", "verdict": verdict, "why": why, "checks": checks}
        return self.fact("Health Checked", data | more, key=f"{subject} {step} {len(more)}")

    def going_back(self, why: str = "1 of 1 check is unhealthy.") -> Made:
        data = {"trigger": "health", "why": why, "percent": 10, "deadline": self._in(600)}
        return self.fact("Rollback Triggered", data)

    def ended(self, status: Status, why: str = "It is so.") -> Made:
        serves = None
        if status is Status.SUCCEEDED:
            serves = {
                "application": self.application,
                "tag": self.tag,
                "attempt": 1,
                "since": timestamp(self.stage.clock.now()),
                "revision": {"id": "1", "digest": "", "data": {}},
            }
        releases.end(
            self.stage.ledger,
            application=self.application,
            tag=self.tag,
            attempt=self.record["attempt"],
            status=status,
            why=why,
            execution=self.execution,
            serves=serves,
        )
        return self

    def retried(self) -> Made:
        """Begun again after an ending, under the next attempt."""
        known = self.record
        dropped = (
            "status",
            "attempt",
            "readAt",
            "why",
            "endedAt",
            "gates",
            "plan",
            "moved",
            "percent",
            "approval",
        )
        new = {name: value for name, value in known.items() if name not in dropped}
        new |= {"execution": f"{self.execution}-{known['attempt'] + 1}", "phase": "gates"}
        asked = Retry(attempt=known["attempt"] + 1, by="arn:aws:iam::123456789012:user/ops", why="again")
        outcome, _ = releases.claim(self.stage.ledger, new, retry=asked)
        assert outcome == "claimed"
        return self

    def waiting(self) -> Made:
        """Until it waits for approval."""
        return self.locked().gated().planned().asked()

    def succeeded(self) -> Made:
        self.waiting().decided("ana@example.com").decided("bo@example.com").started()
        return (
            self.shifted(1).checked(1).shifted(2).checked(2).ended(Status.SUCCEEDED, "It serves all traffic.")
        )


def application(**changes: Any) -> dict[str, Any]:
    """A valid configuration with every default written out."""
    from tagship.model.documents import as_document, read_application

    document: dict[str, Any] = {
        "application": "storefront",
        "target": {
            "type": "lambda",
            "function": "storefront",
            "account": "123456789012",
            "region": REGION,
            "role": "arn:aws:iam::123456789012:role/tagship-app-storefront",
            "externalId": "tagship-development",
        },
        "approval": {"approvers": ["ana@example.com", "bo@example.com", "chi@example.com"], "required": 2},
        "health": {"checks": [{"type": "lambda"}]},
    }
    for name, value in changes.items():
        document[name] = {**document[name], **value} if isinstance(document.get(name), dict) else value
    return as_document(read_application(document))


@pytest.fixture(autouse=True)
def nobody_elses_configuration(
    monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[None]:
    """Nothing of this machine: no AWS configuration, no CI, no colour, and one zone."""
    for name in (
        *("AWS_PROFILE", "AWS_ENDPOINT_URL", "AWS_REGION", "TAGSHIP_STAGE", "NO_COLOR", "GITHUB_SHA"),
        *("GITHUB_REPOSITORY", "CI_COMMIT_SHA", "CI_PROJECT_PATH", "GITLAB_USER_EMAIL", "BITBUCKET_COMMIT"),
    ):
        monkeypatch.delenv(name, raising=False)
    home = tmp_path_factory.mktemp("home")
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("AWS_CONFIG_FILE", str(home / "config"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(home / "credentials"))
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "testing")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "testing")
    monkeypatch.setenv("AWS_DEFAULT_REGION", REGION)
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


@functools.cache
def made_client(service: str, region: str | None, profile: str | None) -> Any:
    """Creating a client is slow, so it is created once for all tests, and moto answers it."""
    return boto3.session.Session(profile_name=profile, region_name=region).client(service)


@dataclass(frozen=True, slots=True)
class Session:
    """In boto3's place, for a command: its clients outlive the command."""

    region: str | None
    profile: str | None

    def client(self, service: str, *, region_name: str | None = None, **_: Any) -> Any:
        return made_client(service, region_name or self.region, self.profile)


def session(*, profile_name: str | None, region_name: str | None) -> Session:
    return Session(region_name or REGION, profile_name)


@pytest.fixture
def stage(monkeypatch: pytest.MonkeyPatch) -> Iterator[Stage]:
    """The development stage, deployed and empty."""
    monkeypatch.setattr("tagship_cli.place.new_session", session)
    with mock_aws():
        # CloudFormation in memory makes no keys for MACs.
        made = made_client("kms", REGION, None).create_key(KeySpec="HMAC_256", KeyUsage="GENERATE_VERIFY_MAC")
        template = json.dumps(STACK).replace("the-decision-key", made["KeyMetadata"]["Arn"])
        made_client("cloudformation", REGION, None).create_stack(
            StackName="tagship-development", TemplateBody=template
        )
        yield Stage(clock=Clock())
