"""A team releases its stack: role, configuration and releases by the command line, the update by CloudFormation."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tagship.ledger import releases
from tagship.ledger.table import Ledger
from tagship.model.errors import ApplicationUnknown
from tagship.runtime import utc_now
from tests.conftest import Stack
from tests.integration.conftest import wait_for
from tools import people
from tools.stack import ACCOUNT, REGION
from tools.storefront import Storefront

NAME, BUCKET, TAKEN = "orders", "orders-templates", "/orders/taken"


def parameter(name: str, value: str) -> dict[str, Any]:
    properties = {"Name": name, "Type": "String", "Value": value}
    return {"Type": "AWS::SSM::Parameter", "Properties": properties}


def template(price: str, **more: Any) -> str:
    """A stack that holds a price."""
    return json.dumps({"Resources": {"Price": parameter("/orders/price", price), **more}})


class Orders:
    """An application whose target is a stack, on the deployed Tagship."""

    def __init__(self, stack: Stack, url: str, folder: Path) -> None:
        self.stack, self.folder = stack, folder
        for service in ("cloudformation", "s3", "ssm"):
            setattr(self, service, stack.client(service))
        self.s3: Any
        self.ssm: Any
        self.cloudformation: Any
        self.ledger = Ledger(
            client=stack.client("dynamodb"),
            table=stack.outputs["LedgerTableName"],
            stage=stack.stage,
            now=utc_now,
        )
        self.s3.create_bucket(Bucket=BUCKET)
        self.ssm.put_parameter(Name=TAKEN, Value="somebody else's", Type="String")
        self.cloudformation.create_stack(StackName=NAME, TemplateBody=template("1"))
        document = {
            "application": NAME,
            "target": {
                "type": "cloudformation",
                "stack": NAME,
                "account": ACCOUNT,
                "region": REGION,
                "role": f"arn:aws:iam::{ACCOUNT}:role/tagship-app-{NAME}",
                "externalId": f"tagship-{stack.stage}",
                "serviceRole": f"arn:aws:iam::{ACCOUNT}:role/{NAME}-stack",
                "bucket": BUCKET,
            },
            "approval": {"approvers": ["ana@example.com"], "expires": 600, "remindEvery": 600},
            "strategy": {"type": "all-at-once", "bake": 0},
            "health": {"checks": [{"type": "http", "url": f"{url}/health", "timeoutSeconds": 10}]},
        }
        written = folder / "application.yaml"
        written.write_text(yaml.safe_dump(document))
        roles = self.tagship("role", "--stage", stack.stage, written)
        self.cloudformation.create_stack(
            StackName=f"{NAME}-roles", TemplateBody=roles, Capabilities=["CAPABILITY_NAMED_IAM"]
        )
        self.tagship("apply", "--stage", stack.stage, "--yes", written)

    def tagship(self, *arguments: str | Path) -> str:
        """As the team's CI types it."""
        done = subprocess.run(
            [Path(sys.executable).with_name("tagship"), *arguments],
            env=self.stack.engine.environment,
            cwd=self.folder,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def release(self, tag: str, body: str) -> dict[str, Any]:
        """Publishes a template, approves it, and waits for the ending in the ledger."""
        file = self.folder / "template.json"
        file.write_text(body)
        self.tagship(
            "publish",
            *("--application", NAME, "--tag", tag, "--stage", self.stack.stage),
            *("--artifact", f"template={file}", "--commit", "1" * 40),
            *("--repository", "acme/orders", "--author", "dana@example.com"),
        )

        def asked() -> Any:
            if (self.record(tag) or {}).get("status", "RUNNING") != "RUNNING":
                return ""
            return people.newest_to(self.stack.mails(), who="ana@example.com", application=NAME, tag=tag)

        if mail := wait_for(asked, f"the mail about {tag}"):
            people.decide(people.link_in(mail), decision="approve")
        return dict(
            wait_for(
                lambda: found if (found := self.record(tag) or {}).get("status") != "RUNNING" else None,
                f"an ending of {tag}",
            )
        )

    def record(self, tag: str) -> Any:
        try:
            return releases.get(self.ledger, NAME, tag)
        except ApplicationUnknown:
            return None

    def price(self) -> str:
        """The stack's resources."""
        return str(self.ssm.get_parameter(Name="/orders/price")["Parameter"]["Value"])


@pytest.fixture
def orders(stack: Stack, installed: Storefront, tmp_path: Path) -> Iterator[Orders]:
    made = Orders(stack, installed.url, tmp_path)
    yield made
    for name in (NAME, f"{NAME}-roles"):
        made.cloudformation.delete_stack(StackName=name)


def test_a_stack_is_updated_and_restored_when_an_update_fails(orders: Orders) -> None:
    """Fault 111."""
    good = orders.release("v1.0.0", template("2"))
    assert good["status"] == "SUCCEEDED", good.get("why")
    assert orders.price() == "2"
    (planned,) = good["plan"]["locations"]
    last = orders.cloudformation.describe_stack_events(StackName=NAME)["StackEvents"][0]
    assert last["ClientRequestToken"].startswith("tagship-")
    executed = orders.cloudformation.describe_change_set(
        StackName=NAME, ChangeSetName=planned["candidate"]["data"]["changeSet"]
    )
    assert executed["ExecutionStatus"] == "EXECUTE_COMPLETE", "the one that was approved"

    bad = orders.release("v1.1.0", template("3", Taken=parameter(TAKEN, "ours")))
    assert bad["status"] == "ROLLED_BACK", bad.get("why")
    assert "UPDATE_ROLLBACK_COMPLETE" in bad["why"]
    assert "Taken" in bad["why"]
    assert orders.price() == "2"
