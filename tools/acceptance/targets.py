"""What only an account can show about state machines and services on ECS; each question removes what it made."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from typing import Any

from botocore.exceptions import ClientError

from tools.acceptance.questions import METRIC_SECONDS, Asked, refused
from tools.acceptance.sample import wait_for
from tools.stack import LocalError

MACHINES, SERVICES = "State machines", "Services on ECS"
ROLE_SECONDS = 60
EXECUTIONS = 10
_DEPLOYMENT_SECONDS = 120
_SETTLE_SECONDS = 30
"""Executions that start within a few seconds of an alias's update may still run the old version."""
_GOING_BACK = ("ROLLBACK_REQUESTED", "ROLLBACK_IN_PROGRESS", "ROLLBACK_SUCCESSFUL")
"""The statuses by which the target `ecs` knows that ECS is rolling back, and that it has."""


def state_machines(asked: Asked) -> None:
    """Versions, aliases, and their metrics, as the target `step-functions` reads them."""
    states, report = asked.site.client("stepfunctions"), asked.report
    with _machine(asked) as arn:
        for what, code, act in (
            (
                "an alias that is not there",
                "ResourceNotFound",
                lambda: states.describe_state_machine_alias(stateMachineAliasArn=f"{arn}:nobody"),
            ),
            (
                "an alias of a version that is not there",
                "ResourceNotFound",
                lambda: states.update_state_machine_alias(
                    stateMachineAliasArn=f"{arn}:live", routingConfiguration=_all_to(f"{arn}:999")
                ),
            ),
            (
                "deleting a version that an alias points at",
                "ConflictException",
                lambda: states.delete_state_machine_version(stateMachineVersionArn=f"{arn}:1"),
            ),
        ):
            refused(asked, MACHINES, what, code, act)
        what, wrong = "a definition whose next state is not there", {"Type": "Pass", "Next": "Nowhere"}
        if asked.site.is_real:
            found = states.validate_state_machine_definition(
                definition=json.dumps({"StartAt": "Only", "States": {"Only": wrong}}), type="STANDARD"
            )
            report.expect(MACHINES, what, "FAIL", found["result"])
        else:
            report.not_shown(MACHINES, what, "FAIL", "the engine accepts every definition")
        states.update_state_machine_alias(
            stateMachineAliasArn=f"{arn}:live", routingConfiguration=_all_to(f"{arn}:2")
        )
        _routed(asked, states, arn)
        _listed(asked, states, arn)
        _counted(asked, arn)


def _routed(asked: Asked, states: Any, arn: str) -> None:
    def all_new() -> bool | None:
        ran = set()
        with suppress(ClientError):  # what was just started may not be there to read
            for _ in range(EXECUTIONS):
                started = states.start_execution(stateMachineArn=f"{arn}:live")["executionArn"]
                ran.add(states.describe_execution(executionArn=started).get("stateMachineVersionArn"))
            return True if ran == {f"{arn}:2"} else None
        return None

    what = f"{EXECUTIONS} executions, {_SETTLE_SECONDS} s after the alias moved at most"
    try:
        wait_for(all_new, "the alias", seconds=_SETTLE_SECONDS)
    except LocalError:
        asked.report.expect(MACHINES, what, "all on the new version", "some on the old one")
    else:
        asked.report.expect(MACHINES, what, "all on the new version", "all on the new version")


def _listed(asked: Asked, states: Any, arn: str) -> None:
    def enough() -> Any:
        found = states.list_executions(stateMachineArn=f"{arn}:2")["executions"]
        return found if len(found) >= EXECUTIONS else None

    seen = "none in time"
    with suppress(LocalError):
        seen = wait_for(enough, "the list", seconds=_SETTLE_SECONDS)[0]["stateMachineAliasArn"].rpartition(
            ":"
        )[2]
    asked.report.expect(MACHINES, "the alias of executions in the list of their version", "live", seen)


def _counted(asked: Asked, arn: str) -> None:
    """With the dimensions that the check `outcomes` asks for."""
    cloudwatch = asked.site.client("cloudwatch")

    def counted() -> bool | None:
        now = datetime.now(UTC)
        points = cloudwatch.get_metric_statistics(
            Namespace="AWS/States",
            MetricName="ExecutionsSucceeded",
            Dimensions=[{"Name": "StateMachineArn", "Value": arn}, {"Name": "Version", "Value": "2"}],
            StartTime=now - timedelta(hours=1),
            EndTime=now + timedelta(minutes=1),
            Period=60,
            Statistics=["Sum"],
        )["Datapoints"]
        return True if sum(point["Sum"] for point in points) >= EXECUTIONS else None

    what, expected = "ExecutionsSucceeded of a version", f"within {METRIC_SECONDS} s"
    try:
        wait_for(counted, "the metric", seconds=METRIC_SECONDS)
    except LocalError:
        asked.report.expect(MACHINES, what, expected, f"not within {METRIC_SECONDS} s")
    else:
        asked.report.expect(MACHINES, what, expected, expected)


@contextmanager
def _machine(asked: Asked) -> Iterator[str]:
    """A state machine of the question's own; its alias `live` points at version 1 of two."""
    states, iam, name = (
        asked.site.client("stepfunctions"),
        asked.site.client("iam"),
        f"{asked.sample.name}-asked",
    )
    trust = {
        "Effect": "Allow",
        "Principal": {"Service": "states.amazonaws.com"},
        "Action": "sts:AssumeRole",
    }
    role = iam.create_role(
        RoleName=name, AssumeRolePolicyDocument=json.dumps({"Version": "2012-10-17", "Statement": [trust]})
    )["Role"]["Arn"]

    def made() -> Any:
        with suppress(ClientError):  # IAM is eventually consistent
            return states.create_state_machine(
                name=name, definition=_saying("1"), roleArn=role, publish=True
            )["stateMachineArn"]
        return None

    try:
        arn = str(wait_for(made, "the new state machine", seconds=ROLE_SECONDS))
        try:
            states.create_state_machine_alias(name="live", routingConfiguration=_all_to(f"{arn}:1"))
            states.update_state_machine(stateMachineArn=arn, definition=_saying("2"), publish=True)
            yield arn
        finally:
            states.delete_state_machine(stateMachineArn=arn)
    finally:
        iam.delete_role(RoleName=name)


def _saying(number: str) -> str:
    only = {"Type": "Pass", "Result": number, "End": True}
    return json.dumps({"StartAt": "Only", "States": {"Only": only}})


def _all_to(version: str) -> list[dict[str, Any]]:
    return [{"stateMachineVersionArn": version, "weight": 100}]


def services(asked: Asked) -> None:
    """A deployment that never ends, because its cluster has no instances, is stopped with a rollback. It costs nothing."""
    what, expected = "a deployment that is stopped with a rollback", "rolled back to the first revision"
    if not asked.site.is_real:
        asked.report.not_shown(SERVICES, what, expected, "the engine knows no service deployments")
        return
    ecs, name = asked.site.client("ecs"), f"{asked.sample.name}-asked"
    with _service(ecs, name) as (first, second):

        def last() -> dict[str, Any]:
            found = ecs.list_service_deployments(cluster=name, service=name)["serviceDeployments"]
            return dict(max(found, key=lambda each: each["createdAt"], default={}))

        def status(*wanted: str) -> Callable[[], str | None]:
            return lambda: found if (found := last().get("status")) in wanted else None

        def set_to() -> str:
            """The revision that the service is to run."""
            (found,) = ecs.describe_services(cluster=name, services=[name])["services"]
            return str(found["taskDefinition"])

        refused(
            asked,
            SERVICES,
            "a task definition that is not there",
            "ClientException",
            lambda: ecs.describe_task_definition(taskDefinition=f"{name}:999"),
        )
        try:
            wait_for(status("SUCCESSFUL"), "the first deployment", seconds=_DEPLOYMENT_SECONDS)
            ecs.update_service(cluster=name, service=name, taskDefinition=second, desiredCount=1)
            wait_for(status("IN_PROGRESS"), "the second deployment", seconds=_DEPLOYMENT_SECONDS)
            ecs.stop_service_deployment(
                serviceDeploymentArn=last()["serviceDeploymentArn"], stopType="ROLLBACK"
            )
            wait_for(status(*_GOING_BACK), "the rollback", seconds=_DEPLOYMENT_SECONDS)
            wait_for(lambda: set_to() == first or None, "the first revision", seconds=_DEPLOYMENT_SECONDS)
        except LocalError as error:
            seen = f"{last().get('status')}, with {set_to()}. {error}"
            asked.report.expect(SERVICES, what, expected, seen)
            return
        asked.report.expect(SERVICES, what, expected, expected)


@contextmanager
def _service(ecs: Any, name: str) -> Iterator[tuple[str, str]]:
    """A service of the question's own that runs no task, and two revisions."""
    ecs.create_cluster(clusterName=name)
    revisions: list[str] = []
    try:
        for command in ("first", "second"):
            container = {"name": "web", "image": "web", "memory": 64, "command": [command]}
            made = ecs.register_task_definition(family=name, containerDefinitions=[container])
            revisions.append(made["taskDefinition"]["taskDefinitionArn"])
        ecs.create_service(
            cluster=name, serviceName=name, taskDefinition=revisions[0], desiredCount=0, launchType="EC2"
        )
        yield revisions[0], revisions[1]
    finally:
        with suppress(ClientError):
            ecs.delete_service(cluster=name, service=name, force=True)
            ecs.get_waiter("services_inactive").wait(cluster=name, services=[name])
        for arn in revisions:
            ecs.deregister_task_definition(taskDefinition=arn)
        if revisions:
            ecs.delete_task_definitions(taskDefinitions=revisions)
        ecs.delete_cluster(cluster=name)


QUESTIONS: tuple[Callable[[Asked], None], ...] = (state_machines, services)
