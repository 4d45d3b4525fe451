"""The sample application on the deployed stack, as CI and its approvers use it."""

from __future__ import annotations

import itertools
import json
import re
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest

from tagship.ledger.table import Ledger, unpacked
from tagship.runtime import utc_now
from tests.conftest import Stack
from tools import people
from tools.storefront import NAME, Storefront

DEADLINE_SECONDS = 120
_minors = itertools.count(1)


def wait_for[T](look: Callable[[], T | None], what: str, *, seconds: float = DEADLINE_SECONDS) -> T:
    """Looks again and again, until there is something to see or the deadline has passed."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if (found := look()) is not None:
            return found
        time.sleep(0.1)
    raise AssertionError(f"waited {seconds} s in vain for {what}")


@dataclass(slots=True, kw_only=True)
class Pipeline:
    """What a team sees of Tagship, and what an operator can look up."""

    stack: Stack
    storefront: Storefront
    clients: dict[str, Any] = field(default_factory=dict)

    def client(self, service: str) -> Any:
        """One client of each kind."""
        if service not in self.clients:
            self.clients[service] = self.stack.client(service)
        return self.clients[service]

    def configure(self, **changes: Any) -> None:
        """Applies the sample's configuration, quick enough for a test, with these changes."""
        quick: dict[str, Any] = {
            "strategy": {"bake": 0},
            "approval": {"approvers": ["ana@example.com"], "required": 1, "expires": 600, "remindEvery": 600},
        }
        self.storefront.configure(**(quick | changes))

    def tag(self) -> str:
        """The next minor version's."""
        return f"v1.{next(_minors)}.0"

    def publish(self, *, broken: bool = False) -> str:
        """Publishes the next minor version with the command line; answers with its tag."""
        tag = self.tag()
        self.storefront.publish(tag, broken=broken)
        return tag

    def execution(self, tag: str) -> str:
        """The execution that took this tag."""
        return str(
            wait_for(lambda: (self.item(f"RELEASE#{tag}") or {}).get("execution"), f"{tag} in the ledger")
        )

    def decide(self, tag: str, decision: str = "approve", reason: str = "") -> people.Answer:
        """Waits for the mail and presses a button of its page."""
        return people.decide(self.link(tag), decision=decision, reason=reason)

    def link(self, tag: str) -> str:
        """The link in the newest mail about this tag."""

        def newest() -> Any:
            return people.newest_to(self.stack.mails(), who="ana@example.com", application=NAME, tag=tag)

        return people.link_in(wait_for(newest, f"the mail about {tag}"))

    def ended(self, arn: str) -> dict[str, Any]:
        """Waits for an execution to end."""

        def look() -> Any:
            found = self.client("stepfunctions").describe_execution(executionArn=arn)
            return found if found["status"] != "RUNNING" else None

        return dict(wait_for(look, f"the end of {arn}"))

    def settled(self, tag: str, status: str) -> dict[str, Any]:
        """Waits until the ledger has this ending."""

        def look() -> Any:
            found = self.item(f"RELEASE#{tag}") or {}
            return found if found.get("status") not in (None, "RUNNING") else None

        record = wait_for(look, f"an ending of {tag}")
        assert record["status"] == status, record.get("why")
        return dict(record)

    def item(self, sk: str) -> dict[str, Any] | None:
        """One item of the application's ledger."""
        key = {"pk": {"S": f"APPLICATION#{NAME}"}, "sk": {"S": sk}}
        answer = self.client("dynamodb").get_item(
            TableName=self.stack.outputs["LedgerTableName"], Key=key, ConsistentRead=True
        )
        return unpacked(answer["Item"]) if "Item" in answer else None

    @property
    def ledger(self) -> Ledger:
        """The whole of it."""
        return Ledger(
            client=self.client("dynamodb"),
            table=self.stack.outputs["LedgerTableName"],
            stage=self.stack.stage,
            now=utc_now,
        )

    def facts(self, tag: str) -> list[dict[str, Any]]:
        """A release's facts, in order."""
        return self.ledger.facts_of(NAME, tag)

    def locked(self) -> bool:
        """Whether somebody holds the application's lock."""
        return "tag" in (self.item("LOCK") or {})

    def alias(self) -> tuple[str, dict[str, float]]:
        """The alias's routing."""
        return self.storefront.serves()

    def entered(self, arn: str) -> list[str]:
        """The states that an execution passed through."""
        pages = self.client("stepfunctions").get_paginator("get_execution_history").paginate(executionArn=arn)
        events = [event for page in pages for event in page["events"]]
        return [
            event["stateEnteredEventDetails"]["name"]
            for event in events
            if "stateEnteredEventDetails" in event
        ]

    def logs(self) -> str:
        """Every line that the stack's functions and state machines have logged."""
        logs = self.client("logs")
        lines = []
        for group in logs.describe_log_groups()["logGroups"]:
            for page in logs.get_paginator("filter_log_events").paginate(logGroupName=group["logGroupName"]):
                lines += [event["message"] for event in page["events"]]
        return "\n".join(lines)

    def free_the_lock_by_hand(self) -> None:
        """What a person does after a failed rollback, once the target is fixed."""
        self.client("dynamodb").update_item(
            TableName=self.stack.outputs["LedgerTableName"],
            Key={"pk": {"S": f"APPLICATION#{NAME}"}, "sk": {"S": "LOCK"}},
            UpdateExpression="REMOVE tag, attempt, #execution, leaseEnds, kept",
            ExpressionAttributeNames={"#execution": "execution"},
        )

    def start(self, order: dict[str, str], machine: str = "Release") -> str:
        """Starts a state machine by hand."""
        answer = self.client("stepfunctions").start_execution(
            stateMachineArn=self.stack.outputs[f"{machine}StateMachineArn"],
            name=re.sub(r"\W", "-", f"by-hand-{time.monotonic_ns()}"),
            input=json.dumps(order),
        )
        return str(answer["executionArn"])


@pytest.fixture(scope="session")
def installed(stack: Stack) -> Storefront:
    """The sample application, installed once."""
    return Storefront.install(stack.engine, stage=stack.stage, stack=stack.outputs)


@pytest.fixture
def pipeline(stack: Stack, installed: Storefront) -> Iterator[Pipeline]:
    """The pipeline with the sample application in its quick configuration and nothing underway."""
    pipeline = Pipeline(stack=stack, storefront=installed)
    pipeline.configure()
    yield pipeline
    assert not pipeline.locked(), "a test has left the application locked"
