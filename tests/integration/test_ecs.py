"""The sample service on the deployed stack, in each ending: its task definitions, tasks and rights are the engine's own.

The engine completes a deployment when its tasks run. It knows no service deployments, so that ECS itself gives none up here.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from tagship.ledger.table import unpacked
from tests.conftest import Stack
from tests.integration.conftest import wait_for
from tools import people
from tools.service import BEFORE, CLUSTER, NAME, Service, task


@dataclass(frozen=True, slots=True, kw_only=True)
class Catalog:
    """The sample with its approver."""

    stack: Stack
    service: Service

    @property
    def ecs(self) -> Any:
        """The engine's ECS, with every right."""
        return self.stack.client("ecs")

    def publish(self, tag: str, *, broken: bool = False) -> str:
        """Publishes a task definition; answers with the link in the approver's mail about it."""
        self.service.publish(tag, broken=broken)

        def newest() -> Any:
            assert self.record(tag).get("status", "RUNNING") == "RUNNING", self.record(tag).get("why")
            return people.newest_to(self.stack.mails(), who="ana@example.com", application=NAME, tag=tag)

        return people.link_in(wait_for(newest, f"the mail about {tag}"))

    def ended(self, tag: str) -> tuple[str, str]:
        """How a release ended, and why."""

        def look() -> Any:
            found = self.record(tag)
            return found if found.get("status", "RUNNING") != "RUNNING" else None

        found = wait_for(look, f"the end of {tag}")
        return str(found["status"]), str(found.get("why"))

    def record(self, tag: str) -> dict[str, Any]:
        """A release as the ledger has it; nothing where it was not read yet."""
        return self._item(f"RELEASE#{tag}")

    def locked(self) -> bool:
        """Whether somebody holds the application's lock."""
        return "tag" in self._item("LOCK")

    def revisions(self) -> list[str]:
        """Every task definition that was registered."""
        return [str(arn) for arn in self.ecs.list_task_definitions(familyPrefix=NAME)["taskDefinitionArns"]]

    def strategy(self, *, healthy: int, most: int) -> None:
        """With 100 and 100 ECS can neither start a task nor stop one, so that a deployment goes on and on."""
        configuration = {"minimumHealthyPercent": healthy, "maximumPercent": most}
        self.ecs.update_service(cluster=CLUSTER, service=NAME, deploymentConfiguration=configuration)

    def _item(self, sk: str) -> dict[str, Any]:
        key = {"pk": {"S": f"APPLICATION#{NAME}"}, "sk": {"S": sk}}
        answer = self.stack.client("dynamodb").get_item(
            TableName=self.stack.outputs["LedgerTableName"], Key=key, ConsistentRead=True
        )
        return unpacked(answer["Item"]) if "Item" in answer else {}


@pytest.fixture(scope="module")
def catalog(stack: Stack) -> Iterator[Catalog]:
    """The example's service, with the role that the command line prints."""
    service = Service.install(stack.engine, stage=stack.stage)
    service.configure(
        strategy={"bake": 0},
        approval={"approvers": ["ana@example.com"], "expires": 600, "remindEvery": 600},
    )
    yield Catalog(stack=stack, service=service)
    service.close()


def test_tasks_are_replaced_and_a_version_that_answers_with_errors_is_rolled_back(catalog: Catalog) -> None:
    people.decide(catalog.publish("v1.0.0"), decision="approve")
    assert catalog.ended("v1.0.0")[0] == "SUCCEEDED", catalog.ended("v1.0.0")
    assert (catalog.service.standing(), catalog.service.ask(1)) == (f"{NAME}:2", ("v1.0.0", 200))

    people.decide(catalog.publish("v1.1.0", broken=True), decision="approve")
    ended, why = catalog.ended("v1.1.0")
    assert ended == "ROLLED_BACK", why
    assert "status 500, not 200" in why
    assert (catalog.service.standing(), catalog.service.ask(1)) == (f"{NAME}:2", ("v1.0.0", 200))


def test_what_is_rejected_registers_no_task_definition(catalog: Catalog) -> None:
    before = catalog.revisions()
    people.decide(catalog.publish("v1.2.0"), decision="reject", reason="not before the sale")
    assert catalog.ended("v1.2.0")[0] == "REJECTED"
    assert catalog.revisions() == before


def test_a_stop_by_a_person_while_ecs_deploys_restores_what_ran(catalog: Catalog) -> None:
    before = catalog.service.standing()
    link = catalog.publish("v1.3.0")
    catalog.strategy(healthy=100, most=100)
    try:
        people.decide(link, decision="approve")
        wait_for(lambda: catalog.service.standing() != before or None, "ECS's deployment")
        execution = catalog.record("v1.3.0")["execution"]
        catalog.stack.client("stepfunctions").stop_execution(executionArn=execution, cause="not now")
        wait_for(lambda: catalog.service.standing() == before or None, "the rollback")
    finally:
        catalog.strategy(healthy=50, most=200)
    assert catalog.ended("v1.3.0")[0] == "ABORTED"
    assert (catalog.service.standing(), catalog.locked()) == (before, False)


def test_a_service_that_someone_else_deploys_is_not_overwritten(catalog: Catalog) -> None:
    link = catalog.publish("v1.4.0")
    made = catalog.ecs.register_task_definition(**task(BEFORE))["taskDefinition"]
    by_hand = f"{NAME}:{made['revision']}"
    catalog.ecs.update_service(cluster=CLUSTER, service=NAME, taskDefinition=by_hand)
    people.decide(link, decision="approve")
    ended, why = catalog.ended("v1.4.0")
    assert (ended, catalog.service.standing()) == ("INVALID", by_hand), why
    assert "was deployed by someone else after the plan was made" in why
    assert not catalog.locked()
