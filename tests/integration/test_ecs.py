"""The sample service on the deployed stack, in each ending: its task definitions, tasks and rights are the engine's own.

The engine completes a deployment when its tasks run. It knows no service deployments, so that ECS itself gives none up here.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from tests.conftest import Stack
from tests.integration.conftest import wait_for
from tests.integration.samples import Released
from tools import people
from tools.service import BEFORE, CLUSTER, NAME, Service, task


@dataclass(slots=True, kw_only=True)
class Catalog(Released):
    """The sample with its approver."""

    service: Service

    @property
    def ecs(self) -> Any:
        """The engine's ECS, with every right."""
        return self.stack.client("ecs")

    def revisions(self) -> list[str]:
        """Every task definition that was registered."""
        return [str(arn) for arn in self.ecs.list_task_definitions(familyPrefix=NAME)["taskDefinitionArns"]]

    def strategy(self, *, healthy: int, most: int) -> None:
        """With 100 and 100 ECS can neither start a task nor stop one, so that a deployment goes on and on."""
        configuration = {"minimumHealthyPercent": healthy, "maximumPercent": most}
        self.ecs.update_service(cluster=CLUSTER, service=NAME, deploymentConfiguration=configuration)


@pytest.fixture(scope="module")
def catalog(stack: Stack) -> Iterator[Catalog]:
    """The example's service, with the role that the command line prints."""
    service = Service.install(stack.engine, stage=stack.stage)
    service.configure(
        strategy={"bake": 0},
        approval={"approvers": ["ana@example.com"], "expires": 600, "remindEvery": 600},
    )
    yield Catalog(stack=stack, application=NAME, ci=service, service=service)
    service.close()


def test_tasks_are_replaced_and_a_version_that_answers_with_errors_is_rolled_back(catalog: Catalog) -> None:
    people.decide(catalog.publish("v1.0.0"), decision="approve")
    assert catalog.ended("v1.0.0")["status"] == "SUCCEEDED", catalog.ended("v1.0.0")
    assert (catalog.service.standing(), catalog.service.ask(1)) == (f"{NAME}:2", ("v1.0.0", 200))

    people.decide(catalog.publish("v1.1.0", broken=True), decision="approve")
    found = catalog.ended("v1.1.0")
    ended, why = found["status"], found["why"]
    assert ended == "ROLLED_BACK", why
    assert "status 500, not 200" in why
    assert (catalog.service.standing(), catalog.service.ask(1)) == (f"{NAME}:2", ("v1.0.0", 200))


def test_a_rejected_release_registers_no_task_definition(catalog: Catalog) -> None:
    before = catalog.revisions()
    people.decide(catalog.publish("v1.2.0"), decision="reject", reason="not before the sale")
    assert catalog.ended("v1.2.0")["status"] == "REJECTED"
    assert catalog.revisions() == before


def test_a_stop_by_a_person_while_ecs_deploys_restores_the_previous_revision(catalog: Catalog) -> None:
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
    assert catalog.ended("v1.3.0")["status"] == "ABORTED"
    assert (catalog.service.standing(), catalog.locked()) == (before, False)


def test_a_service_that_someone_else_deploys_is_not_overwritten(catalog: Catalog) -> None:
    link = catalog.publish("v1.4.0")
    made = catalog.ecs.register_task_definition(**task(BEFORE))["taskDefinition"]
    by_hand = f"{NAME}:{made['revision']}"
    catalog.ecs.update_service(cluster=CLUSTER, service=NAME, taskDefinition=by_hand)
    people.decide(link, decision="approve")
    found = catalog.ended("v1.4.0")
    ended, why = found["status"], found["why"]
    assert (ended, catalog.service.standing()) == ("INVALID", by_hand), why
    assert "was deployed by someone else after the plan was made" in why
    assert not catalog.locked()
