"""The sample state machine on the deployed stack: real executions through its alias, counted by version, in each ending."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from tests.conftest import Stack
from tests.integration.conftest import wait_for
from tests.integration.samples import Released
from tools import people
from tools.checkout import NAME, Checkout, definition
from tools.traffic import Answer, Traffic, flowing

ORDER_EVERY = 0.2
"""Seconds between two orders of a customer."""


@dataclass(slots=True, kw_only=True)
class Shop(Released):
    """The sample with its customers, who order all the time."""

    checkout: Checkout
    customers: Traffic

    @property
    def states(self) -> Any:
        """The engine's Step Functions, with every right."""
        return self.stack.client("stepfunctions")

    def routes(self) -> dict[str, int]:
        """What the alias gives to which version."""
        found = self.states.describe_state_machine_alias(stateMachineAliasArn=self.checkout.alias)
        return {
            _number(each["stateMachineVersionArn"]): each["weight"] for each in found["routingConfiguration"]
        }

    def versions(self) -> list[str]:
        """The numbers of all versions, in order."""
        found = self.states.list_state_machine_versions(stateMachineArn=self.checkout.machine)
        return sorted(_number(each["stateMachineVersionArn"]) for each in found["stateMachineVersions"])

    def ran_on(self, version: str) -> list[str]:
        """The names of the executions of a version."""
        arn = f"{self.checkout.machine}:{version}"
        return [each["name"] for each in self.states.list_executions(stateMachineArn=arn)["executions"]]

    def orders_since(self, moment: float) -> set[tuple[str, int]]:
        """How some customers' next orders ended, each with the release that it ran."""
        asked = wait_for(
            lambda: found if len(found := self.customers.between(moment, time.time())) > 3 else None, "orders"
        )
        return {(request.version, request.status) for request in asked}


@pytest.fixture(scope="module")
def shop(stack: Stack) -> Iterator[Shop]:
    """The example's stack with an alias that its team made by hand, and the role that the command line prints."""
    checkout = Checkout.install(stack.engine, stage=stack.stage, stack=stack.outputs)
    document = checkout.configure(
        strategy={"percent": 50, "bake": 3},
        approval={"approvers": ["ana@example.com"], "expires": 600, "remindEvery": 600},
        health={"every": 1},
    )
    text, states = definition("v1.0.0"), stack.client("stepfunctions")
    for name, value in document["target"]["substitutions"].items():
        text = text.replace(f"${{{name}}}", value)
    made = states.update_state_machine(stateMachineArn=checkout.machine, definition=text, publish=True)
    routing = [{"stateMachineVersionArn": made["stateMachineVersionArn"], "weight": 100}]
    states.create_state_machine_alias(name="live", routingConfiguration=routing)

    def unhurried(number: int) -> Answer:
        time.sleep(ORDER_EVERY)  # this machine has other work to do
        return checkout.ask(number)

    with flowing(unhurried) as customers:
        yield Shop(stack=stack, application=NAME, ci=checkout, checkout=checkout, customers=customers)


def test_a_definition_is_tried_and_moved_in_steps_and_a_broken_one_is_rolled_back(shop: Shop) -> None:
    assert shop.orders_since(time.time()) == {("nobody", 200)}, "no release made version 1"
    people.decide(shop.publish("v1.1.0"), decision="approve")
    wait_for(lambda: shop.routes() == {"1": 50, "2": 50} or None, "half of the orders on the candidate")
    good = shop.ended("v1.1.0")
    assert good["status"] == "SUCCEEDED", good.get("why")
    assert "Calls for the first time: sqs:sendMessage" in good["plan"]["summary"]
    assert shop.routes() == {"2": 100}
    assert shop.orders_since(time.time()) == {("v1.1.0", 200)}
    assert sum(name.startswith("tagship-v1.1.0-2-") for name in shop.ran_on("2")) == 1, "the synthetic order"

    people.decide(shop.publish("v1.2.0", broken=True), decision="approve")
    broken = shop.ended("v1.2.0")
    assert broken["status"] == "ROLLED_BACK", broken.get("why")
    assert "that ended on the candidate did not succeed" in broken["why"]
    assert shop.routes() == {"2": 100}
    assert shop.orders_since(time.time()) == {("v1.1.0", 200)}
    assert len(shop.ran_on("3")) > 1, "the synthetic order and customers'"


def test_a_rejected_release_publishes_no_version(shop: Shop) -> None:
    before = (shop.versions(), shop.routes())
    people.decide(shop.publish("v1.3.0", broken=True), decision="reject", reason="not before the sale")
    assert shop.ended("v1.3.0")["status"] == "REJECTED"
    assert (shop.versions(), shop.routes()) == before


def test_a_stop_by_a_person_while_orders_are_split_restores_the_version_that_served(shop: Shop) -> None:
    before = shop.routes()
    shop.checkout.configure(
        strategy={"percent": 50, "bake": 600},
        approval={"approvers": ["ana@example.com"]},
        health={"every": 300},
    )
    people.decide(shop.publish("v1.4.0", broken=True), decision="approve")
    wait_for(lambda: len(shop.routes()) == 2 or None, "half of the orders on the candidate")
    shop.states.stop_execution(executionArn=shop.record("v1.4.0")["execution"], cause="not now")
    assert shop.ended("v1.4.0")["status"] == "ABORTED"
    assert shop.routes() == before
    assert not shop.locked()


def test_an_alias_moved_by_hand_is_not_overwritten(shop: Shop) -> None:
    """Fault 30."""
    link = shop.publish("v1.5.0", broken=True)
    made = shop.states.publish_state_machine_version(stateMachineArn=shop.checkout.machine)
    moved = [{"stateMachineVersionArn": made["stateMachineVersionArn"], "weight": 100}]
    shop.states.update_state_machine_alias(
        stateMachineAliasArn=shop.checkout.alias, routingConfiguration=moved
    )
    people.decide(link, decision="approve")
    drifted = shop.ended("v1.5.0")
    assert (drifted["status"], shop.routes()) == (
        "INVALID",
        {_number(made["stateMachineVersionArn"]): 100},
    ), drifted.get("why")
    assert "was changed by someone else after the plan was made" in drifted["why"]
    assert not shop.locked()


def _number(arn: str) -> str:
    return arn.rpartition(":")[2]
