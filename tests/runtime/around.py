"""What the functions find around them: the embedded engine with the ledger, a release and its target."""

from __future__ import annotations

import base64
import hashlib
import io
import json
import zipfile
from dataclasses import dataclass
from datetime import UTC, datetime

from local.people import link_in
from local.stack import ACCOUNT, REGION, Engine
from tagship.ledger import approvals
from tagship.ledger.table import Ledger
from tests.template.cloudformation import functions, resources

STAGE = "development"
BUCKET, EVIDENCE, TABLE, BUS = "releases", "evidence", "ledger", "facts"
APPLICATION, TAG = "storefront", "v1.0.0"
KEY = f"releases/{APPLICATION}/{TAG}/release.json"
APPROVER = "ana@example.com"
SENDER = "tagship@example.com"
ROLE = f"arn:aws:iam::{ACCOUNT}:role/tagship-storefront"
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
    """What stands around the functions, and how to look at it."""

    engine: Engine
    values: dict[str, str]
    """What the template gives the functions, with this engine's names in it."""
    machine: str

    def ledger(self) -> Ledger:
        """The ledger, as this program sees it."""
        return Ledger(
            client=self.engine.client("dynamodb"), table=TABLE, stage=STAGE, now=lambda: datetime.now(UTC)
        )

    def link(self) -> str:
        """The link that the approver was sent."""
        return link_in(next(mail for mail in self.engine.mails() if APPROVER in mail.to))

    def approve(self, approval_id: str) -> None:
        """The approver decides."""
        approvals.decide(
            self.ledger(),
            approval_id,
            approver=APPROVER,
            decision="approve",
            reason="",
            judge=lambda _: "approved",
        )


def variables_of(name: str, values: dict[str, str]) -> dict[str, str]:
    """What the template gives a function, and what AWS gives every function."""
    given = functions()[name]["Environment"]["Variables"]
    return {variable: values.get(variable) or str(value) for variable, value in given.items()} | {
        variable: values[variable] for variable in values if variable.startswith("AWS_")
    }


def furnished(engine: Engine) -> Around:
    """A new engine with all of it."""
    return Around(engine=engine, values=_furnished(engine), machine=_machine(engine))


def _furnished(engine: Engine) -> dict[str, str]:
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
    _release(engine)
    return {
        "TAGSHIP_STAGE": STAGE,
        "TAGSHIP_LEDGER_TABLE": TABLE,
        "TAGSHIP_LINK_KEY": key,
        "TAGSHIP_SENDER_ADDRESS": SENDER,
        "TAGSHIP_OTHER_LINK_KEYS": "",
        "TAGSHIP_SLACK_HOSTS": "127.0.0.1",
        "TAGSHIP_APPROVAL_BASE_URL": "http://127.0.0.1",
        "TAGSHIP_EVENT_BUS": BUS,
        "TAGSHIP_EVIDENCE_BUCKET": EVIDENCE,
        "TAGSHIP_NOTIFICATION_TOPIC": topic,
        "TAGSHIP_ROLLBACK_STATE_MACHINE": f"arn:aws:states:{REGION}:{ACCOUNT}:stateMachine:rollback",
        "TAGSHIP_HEALTH_ALLOWED_NETWORKS": "127.0.0.0/8",
        "TAGSHIP_DEPLOYMENT_SECONDS": "1200",
        "TAGSHIP_HEALTH_SECONDS": "300",
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
    """A function behind an alias: what the release is deployed to."""
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


def _release(engine: Engine) -> None:
    """A configured application, and a release of it in the bucket."""
    code = _zip("second")
    manifest = {
        "schemaVersion": 1,
        "application": APPLICATION,
        "tag": TAG,
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
    configuration = {
        "application": APPLICATION,
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
        "health": {"checks": [{"type": "lambda"}]},
    }
    s3 = engine.client("s3")
    digest = base64.b64encode(hashlib.sha256(code).digest()).decode()
    s3.put_object(
        Bucket=BUCKET, Key=KEY.replace("release.json", "storefront.zip"), Body=code, ChecksumSHA256=digest
    )
    s3.put_object(Bucket=BUCKET, Key=KEY, Body=json.dumps(manifest).encode())
    engine.client("ssm").put_parameter(
        Name=f"/tagship/{STAGE}/applications/{APPLICATION}", Type="String", Value=json.dumps(configuration)
    )


def _machine(engine: Engine) -> str:
    """An execution that waits, for whoever asks whether the release still does."""
    states = engine.client("stepfunctions")
    waiting = {"StartAt": "Wait", "States": {"Wait": {"Type": "Wait", "Seconds": 3600, "End": True}}}
    machine = states.create_state_machine(name="release", definition=json.dumps(waiting), roleArn=ROLE)
    arn: str = states.start_execution(stateMachineArn=machine["stateMachineArn"], name="one")["executionArn"]
    return arn


def _zip(version: str) -> bytes:
    source = f'"""{version}"""\n\n\ndef handler(event, context):\n    print("asked")\n    return {{"healthy": True}}\n'
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr(zipfile.ZipInfo("index.py"), source)
    return packed.getvalue()
