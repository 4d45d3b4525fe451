"""The functions' environment: the embedded engine with the ledger, a release and its target."""

from __future__ import annotations

import base64
import hashlib
import io
import json
import zipfile
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from tagship.approval.link import Token
from tagship.approval.proof import LINK, Proof
from tagship.intake.reading import read_release
from tagship.ledger import approvals, releases
from tagship.ledger.table import Ledger
from tests.template.cloudformation import functions, resources
from tools.people import link_in
from tools.stack import ACCOUNT, REGION, Engine

STAGE = "development"
BUCKET, EVIDENCE, TABLE, BUS = "releases", "evidence", "ledger", "facts"
APPLICATION, TAG = "storefront", "v1.0.0"
KEY = f"releases/{APPLICATION}/{TAG}/release.json"
FORGOTTEN = "v0.9.0"
"""A release whose execution no longer exists."""
ALARM = "storefront-5xx"
APPROVER = "ana@example.com"
TEAM = "team@example.com"
SENDER = "tagship@example.com"
ROLE = f"arn:aws:iam::{ACCOUNT}:role/tagship-app-storefront"
TASK_TOKEN = "the-token-of-the-task-that-waits"
SECRET_KEY = "the-secret-key-of-the-function"
SESSION_TOKEN = "the-session-token-of-the-function"
_TRUST = json.dumps(
    {
        "Version": "2012-10-17",
        "Statement": [{"Effect": "Allow", "Principal": {"AWS": "*"}, "Action": "sts:AssumeRole"}],
    }
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Around:
    """The environment, and ways to observe it."""

    engine: Engine
    values: dict[str, str]
    """The template's variables for the functions, with this engine's names."""
    machine: str
    """An execution that runs, as the release's own."""

    def ledger(self, *, ago: timedelta = timedelta()) -> Ledger:
        """The ledger, as this program sees it, or saw it then."""
        return Ledger(
            client=self.engine.client("dynamodb"),
            table=TABLE,
            stage=STAGE,
            now=lambda: datetime.now(UTC) - ago,
        )

    def forget(self) -> None:
        """A release was read an hour ago; its execution is gone, and its event was lost."""
        found = read_release(
            github_hosts=("api.github.com",),
            s3=self.engine.client("s3"),
            ssm=self.engine.client("ssm"),
            stage=STAGE,
            bucket=BUCKET,
            key=KEY.replace(TAG, FORGOTTEN),
            version="",
            execution=self.machine.rsplit(":", 1)[0] + ":forgotten",
        )
        assert releases.claim(self.ledger(ago=timedelta(hours=1)), found)[0] == "claimed"

    def rollbacks(self) -> list[Any]:
        """The orders of all rollbacks that were started."""
        states = self.engine.client("stepfunctions")
        started = states.list_executions(stateMachineArn=self.values["TAGSHIP_ROLLBACK_STATE_MACHINE"])
        return [
            json.loads(states.describe_execution(executionArn=one["executionArn"])["input"])
            for one in started["executions"]
        ]

    def queued(self, name: str) -> dict[str, Any]:
        """The next message of a queue, as Lambda hands it over; its function gets one at a time. Empty if there is none."""
        found = self.engine.client("sqs").receive_message(
            QueueUrl=self.values[name], AttributeNames=["All"], MaxNumberOfMessages=1
        )
        for message in found.get("Messages", ()):
            return {
                "messageId": message["MessageId"],
                "receiptHandle": message["ReceiptHandle"],
                "body": message["Body"],
                "attributes": message["Attributes"],
                "eventSource": "aws:sqs",
            }
        return {}

    def took(self, record: dict[str, Any]) -> None:
        """What Lambda does with a message that succeeded."""
        self.engine.client("sqs").delete_message(
            QueueUrl=self.values["TAGSHIP_NOTICES_QUEUE"], ReceiptHandle=record["receiptHandle"]
        )

    def link(self) -> str:
        """The link that the approver was sent."""
        return link_in(next(mail for mail in self.engine.mails() if APPROVER in mail.to))

    def _link_of(self, approval_id: str) -> str:
        links = [link_in(mail) for mail in self.engine.mails() if APPROVER in mail.to and "?t=" in mail.text]
        return next(link for link in links if approval_id in link)

    def approve(self, approval_id: str) -> None:
        """The approver decides."""
        approvals.decide(
            self.ledger(),
            approval_id,
            approver=APPROVER,
            decision="approve",
            reason="",
            judge=lambda _: "approved",
            proof=Proof.of_token(LINK, Token.parse(self._link_of(approval_id).partition("?t=")[2])).stored(),
        )


def variables_of(name: str, values: dict[str, str]) -> dict[str, str]:
    """The environment variables of a function, from the template and from AWS.

    Raises KeyError for a variable that depends on the stack and is not in `values`, because CloudFormation's form is
    not a value.
    """
    given = functions()[name]["Environment"]["Variables"]
    return {
        variable: value if isinstance(value, str) else values[variable] for variable, value in given.items()
    } | {variable: values[variable] for variable in values if variable.startswith("AWS_")}


def furnished(engine: Engine) -> Around:
    """A new engine with all of it."""
    machines = {name: _machine(engine, name) for name in ("release", "rollback")}
    machine: str = engine.client("stepfunctions").start_execution(
        stateMachineArn=machines["release"], name="one"
    )["executionArn"]
    return Around(engine=engine, values=_furnished(engine, machines), machine=machine)


def _furnished(engine: Engine, machines: dict[str, str]) -> dict[str, str]:
    """Everything that the template's variables name; the ledger as the template describes it."""
    (table,) = resources("AWS::DynamoDB::Table").values()
    kept = (
        "AttributeDefinitions",
        "KeySchema",
        "LocalSecondaryIndexes",
        "GlobalSecondaryIndexes",
        "BillingMode",
    )
    engine.client("dynamodb").create_table(TableName=TABLE, **{name: table[name] for name in kept})
    s3 = engine.client("s3")
    s3.create_bucket(Bucket=BUCKET)
    s3.put_bucket_versioning(Bucket=BUCKET, VersioningConfiguration={"Status": "Enabled"})
    s3.create_bucket(Bucket=EVIDENCE, ObjectLockEnabledForBucket=True)
    engine.client("iam").create_role(RoleName=ROLE.rsplit("/", 1)[-1], AssumeRolePolicyDocument=_TRUST)
    engine.client("ses").verify_email_identity(EmailAddress=SENDER)
    engine.client("events").create_event_bus(Name=BUS)
    topic = engine.client("sns").create_topic(Name="news")["TopicArn"]
    key = engine.client("kms").create_key(KeySpec="HMAC_256", KeyUsage="GENERATE_VERIFY_MAC")["KeyMetadata"][
        "Arn"
    ]
    _target(engine)
    _configuration(engine)
    for tag in (FORGOTTEN, TAG):
        _release(engine, tag)
    return {
        "TAGSHIP_STAGE": STAGE,
        "TAGSHIP_LEDGER_TABLE": TABLE,
        "TAGSHIP_LINK_KEY": key,
        "TAGSHIP_DECISION_KEY": key,
        "TAGSHIP_SENDER_ADDRESS": SENDER,
        "TAGSHIP_OTHER_LINK_KEYS": "",
        "TAGSHIP_SLACK_HOSTS": "127.0.0.1",
        "TAGSHIP_GITHUB_HOSTS": "api.github.com",
        "TAGSHIP_APPROVAL_BASE_URL": "http://127.0.0.1",
        "TAGSHIP_EVENT_BUS": BUS,
        "TAGSHIP_EVIDENCE_BUCKET": EVIDENCE,
        "TAGSHIP_NOTIFICATION_TOPIC": topic,
        "TAGSHIP_NOTICES_QUEUE": _queue(engine, "Notices"),
        "TAGSHIP_NOTICES_SET_ASIDE": _queue(engine, "NoticesSetAside"),
        "TAGSHIP_BROADCAST_FAILURES": engine.client("sqs").create_queue(QueueName="BroadcastFailures")[
            "QueueUrl"
        ],
        "TAGSHIP_ALLOWED_ACCOUNTS": ACCOUNT,
        "TAGSHIP_FUNCTION_ROLES": f"arn:aws:iam::{ACCOUNT}:role/tagship-*FunctionRole-*",
        "TAGSHIP_OIDC_ISSUER": "",
        "TAGSHIP_OIDC_CLIENT_ID": "",
        "TAGSHIP_GUARDS_CONFIGURATION": "false",
        "TAGSHIP_CONFIGURATION_OWNERS": APPROVER,
        "TAGSHIP_RELEASE_BUCKET": BUCKET,
        "TAGSHIP_RELEASE_STATE_MACHINE": machines["release"],
        "TAGSHIP_ROLLBACK_STATE_MACHINE": machines["rollback"],
        "TAGSHIP_HEALTH_ALLOWED_NETWORKS": "127.0.0.0/8",
        "TAGSHIP_VALIDATION_SECONDS": "300",
        "TAGSHIP_DEPLOYMENT_SECONDS": "1200",
        "TAGSHIP_HEALTH_SECONDS": "300",
        "TAGSHIP_LOOK_BACK_SECONDS": "0",
        "TAGSHIP_ROLLBACK_SECONDS": "600",
        "TAGSHIP_APPROVAL_SECONDS": "604800",
        "AWS_ENDPOINT_URL": engine.endpoint,
        "AWS_REGION": REGION,
        "AWS_DEFAULT_REGION": REGION,
        "AWS_ACCESS_KEY_ID": ACCOUNT,
        "AWS_SECRET_ACCESS_KEY": SECRET_KEY,
        "AWS_SESSION_TOKEN": SESSION_TOKEN,
        "AWS_EC2_METADATA_DISABLED": "true",
    }


def _target(engine: Engine) -> None:
    """A function behind an alias: what the release is deployed to; and the alarm that watches it."""
    lambdas = engine.client("lambda")
    lambdas.create_function(
        FunctionName=APPLICATION,
        Runtime="python3.13",
        Role=ROLE,
        Handler="index.handler",
        Code={"ZipFile": _zip("first")},
        Publish=True,
    )
    lambdas.create_alias(FunctionName=APPLICATION, Name="live", FunctionVersion="1")
    engine.client("cloudwatch").put_metric_alarm(
        AlarmName=ALARM,
        Namespace="AWS/Lambda",
        MetricName="Errors",
        Statistic="Sum",
        Period=60,
        EvaluationPeriods=1,
        Threshold=1,
        ComparisonOperator="GreaterThanThreshold",
    )


def _queue(engine: Engine, name: str) -> str:
    """A queue as in the template, without its dead-letter queue."""
    described = resources("AWS::SQS::Queue")[name]
    url: str = engine.client("sqs").create_queue(
        QueueName=f"{name}.fifo",
        Attributes={
            attribute: str(value).lower() if isinstance(value, bool) else str(value)
            for attribute, value in described.items()
            if attribute != "RedrivePolicy"
        },
    )["QueueUrl"]
    return url


def _release(engine: Engine, tag: str) -> None:
    """A release in the bucket."""
    code = _zip("second")
    manifest = {
        "schemaVersion": 1,
        "application": APPLICATION,
        "tag": tag,
        "commit": "0123456789abcdef0123456789abcdef01234567",
        "repository": "acme/storefront",
        "author": "dana@example.com",
        "createdAt": "2026-11-22T10:00:00Z",
        "artifacts": [
            {
                "name": "function",
                "file": "storefront.zip",
                "sha256": hashlib.sha256(code).hexdigest(),
                "size": len(code),
            }
        ],
    }
    s3, key = engine.client("s3"), KEY.replace(TAG, tag)
    digest = base64.b64encode(hashlib.sha256(code).digest()).decode()
    s3.put_object(
        Bucket=BUCKET, Key=key.replace("release.json", "storefront.zip"), Body=code, ChecksumSHA256=digest
    )
    s3.put_object(Bucket=BUCKET, Key=key, Body=json.dumps(manifest).encode())


def _configuration(engine: Engine) -> None:
    """The application, as its team configured it."""
    engine.client("ssm").put_parameter(
        Name=f"/tagship/{STAGE}/applications/{APPLICATION}",
        Type="String",
        Value=json.dumps(configuration_of(APPLICATION)),
    )


def configuration_of(application: str) -> dict[str, Any]:
    """As a team writes it."""
    return {
        "application": application,
        "target": {
            "type": "lambda",
            "function": APPLICATION,
            "account": ACCOUNT,
            "region": REGION,
            "role": ROLE,
            "externalId": "tagship-development",
        },
        "strategy": {"type": "all-at-once"},
        "approval": {"approvers": [APPROVER]},
        "health": {"checks": [{"type": "lambda"}], "watch": {"seconds": 600, "alarms": [ALARM]}},
        "notifications": {"emails": [TEAM]},
    }


def _machine(engine: Engine, name: str) -> str:
    """A machine whose executions wait: the tests walk through the states themselves."""
    waiting = {"StartAt": "Wait", "States": {"Wait": {"Type": "Wait", "Seconds": 3600, "End": True}}}
    arn: str = engine.client("stepfunctions").create_state_machine(
        name=name, definition=json.dumps(waiting), roleArn=ROLE
    )["stateMachineArn"]
    return arn


def _zip(version: str) -> bytes:
    source = f'"""{version}"""\n\n\ndef handler(event, context):\n    print("asked")\n    return {{"healthy": True}}\n'
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        entry = zipfile.ZipInfo("index.py")
        entry.external_attr = 0o644 << 16
        archive.writestr(entry, source)
    return packed.getvalue()
