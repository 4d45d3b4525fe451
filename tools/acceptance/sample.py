"""The sample application under its own name, and its releases, each to its ending."""

from __future__ import annotations

import base64
import hashlib
import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from tagship.ledger import releases
from tagship.ledger.table import Ledger
from tagship.model.errors import ApplicationUnknown
from tagship.runtime import utc_now
from tools import people
from tools.acceptance.site import STAGE, Site
from tools.stack import LocalError
from tools.storefront import HOME, pack

SECONDS = 900
"""The longest wait in seconds: a release with its alarms takes some minutes in an account."""


@dataclass(slots=True, kw_only=True)
class Sample:
    """The installed application."""

    site: Site
    stack: Mapping[str, str]
    name: str
    alarm: str = ""
    executions: dict[str, str] = field(default_factory=dict)

    def install(self) -> None:
        """Installs its own stack, like a team's."""
        self.alarm = f"{self.name}-errors"
        cloudformation = self.site.client("cloudformation")
        cloudformation.create_stack(
            StackName=self.name,
            TemplateBody=(HOME / "template.yaml").read_text().replace("storefront", self.name),
            Capabilities=["CAPABILITY_NAMED_IAM"],
            Parameters=[
                {"ParameterKey": "Stage", "ParameterValue": STAGE},
                {"ParameterKey": "ReleaseBucketName", "ParameterValue": self.stack["ReleaseBucketName"]},
            ],
        )
        cloudformation.get_waiter("stack_create_complete").wait(
            StackName=self.name, WaiterConfig={"Delay": 2, "MaxAttempts": 150}
        )
        self.sound(self.alarm, "OK")

    def sound(self, alarm: str, state: str) -> None:
        """Sets an alarm's state until its metric changes it. The engine has no event for that, so its topic gets one."""
        self.site.client("cloudwatch").set_alarm_state(
            AlarmName=alarm, StateValue=state, StateReason="The acceptance run set it."
        )
        if state == "ALARM" and not self.site.is_real:
            message = {
                "AlarmName": alarm,
                "AlarmArn": f"arn:aws:cloudwatch:{self.site.region}:{self.site.account}:alarm:{alarm}",
                "NewStateValue": state,
                "NewStateReason": "The acceptance run set it.",
                "StateChangeTime": datetime.now(UTC).isoformat(),
            }
            topic = self.stack["AlarmTopicArn"]
            self.site.client("sns").publish(TopicArn=topic, Message=json.dumps(message))

    def configure(self) -> None:
        """One approver, a short bake, and a watch."""
        document = {
            "application": self.name,
            "target": {
                "type": "lambda",
                "function": self.name,
                "account": self.site.account,
                "region": self.site.region,
                "role": f"arn:aws:iam::{self.site.account}:role/tagship-app-{self.name}",
                "externalId": f"tagship-{STAGE}",
            },
            "strategy": {"type": "canary", "percent": 10, "bake": 0},
            "approval": {
                "approvers": [self.site.approver],
                "required": 1,
                "expires": 3600,
                "remindEvery": 3600,
            },
            "health": {"checks": [{"type": "lambda"}], "watch": {"seconds": 1800, "alarms": [self.alarm]}},
            "notifications": {"level": "milestones", "emails": [self.site.approver]},
        }
        self.site.client("ssm").put_parameter(
            Name=f"/tagship/{STAGE}/applications/{self.name}",
            Value=json.dumps(document),
            Type="String",
            Overwrite=True,
        )

    def publish(self, tag: str, *, broken: bool = False) -> str:
        """Uploads a release; returns its execution."""
        code, folder = pack(tag, broken=broken), f"releases/{self.name}/{tag}"
        put = self.site.client("s3").put_object
        bucket = self.stack["ReleaseBucketName"]
        digest = hashlib.sha256(code)
        put(
            Bucket=bucket,
            Key=f"{folder}/function.zip",
            Body=code,
            IfNoneMatch="*",
            ChecksumSHA256=base64.b64encode(digest.digest()).decode(),
        )
        manifest = {
            "schemaVersion": 1,
            "application": self.name,
            "tag": tag,
            "commit": hashlib.sha1(tag.encode(), usedforsecurity=False).hexdigest(),
            "repository": "acme/storefront",
            "author": "dana@example.com",
            "createdAt": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
            "artifacts": [
                {"name": "function", "file": "function.zip", "sha256": digest.hexdigest(), "size": len(code)}
            ],
        }
        put(Bucket=bucket, Key=f"{folder}/release.json", Body=json.dumps(manifest).encode(), IfNoneMatch="*")
        self.executions[tag] = wait_for(lambda: self._execution(tag), f"the execution of {tag}", seconds=120)
        return self.executions[tag]

    def record(self, tag: str) -> Mapping[str, Any] | None:
        """The ledger's record; None before the release was read."""
        ledger = Ledger(
            client=self.site.client("dynamodb"), table=self.stack["LedgerTableName"], stage=STAGE, now=utc_now
        )
        try:
            return releases.get(ledger, self.name, tag)
        except ApplicationUnknown:
            return None

    def waits(self, tag: str) -> str:
        """Its execution, once it waits for approval."""
        wait_for(
            lambda: (self.record(tag) or {}).get("approval") or self._ended(tag), f"the request for {tag}"
        )
        return self.executions[tag]

    def decide(self, tag: str, decision: str) -> str:
        """Decides on the page if its link can be read, else on the command line; says which."""
        self.waits(tag)
        link = (
            self.site.link(application=self.name, tag=tag)
            if self.site.is_real
            else wait_for(lambda: self.site.link(application=self.name, tag=tag), f"the mail about {tag}")
        )
        if link is None:
            self.site.decide(decision, application=self.name, tag=tag, reason="the acceptance run")
            return "the command line"
        answer = people.decide(link, decision=decision, reason="the acceptance run")
        if answer.status != 200:
            raise LocalError(f"The approval page answered {answer.status}.")
        return "the page"

    def ending(self, tag: str) -> str:
        """How it ended, once it has."""
        return str(wait_for(lambda: self._ended(tag), f"the ending of {tag}"))

    def serves(self) -> str:
        """The alias's version, if no other has a share."""
        alias = self.site.client("lambda").get_alias(FunctionName=self.name, Name="live")
        weights = (alias.get("RoutingConfig") or {}).get("AdditionalVersionWeights") or {}
        return str(alias["FunctionVersion"]) + (f" and {weights}" if weights else "")

    def _ended(self, tag: str) -> str | None:
        record = self.record(tag)
        return str(record["status"]) if record and record["status"] != "RUNNING" else None

    def _execution(self, tag: str) -> str | None:
        states = self.site.client("stepfunctions")
        found = states.list_executions(stateMachineArn=self.stack["ReleaseStateMachineArn"], maxResults=20)[
            "executions"
        ]
        for each in found:
            given = states.describe_execution(executionArn=each["executionArn"]).get("input", "")
            if f"releases/{self.name}/{tag}/" in given:
                return str(each["executionArn"])
        return None


def wait_for[T](look: Callable[[], T | None], what: str, *, seconds: float = SECONDS) -> T:
    """Polls until there is a result. Raises LocalError at the timeout."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if found := look():
            return found
        time.sleep(0.5)
    raise LocalError(f"Waited {seconds:.0f} s in vain for {what}.")
