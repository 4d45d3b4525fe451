"""Two functions of one application are released together: both move, or both are restored."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from botocore.client import BaseClient
from moto.core import DEFAULT_ACCOUNT_ID

from tests.flow.harness import (
    REGION,
    TARGET,
    Ended,
    World,
    aws_error,
    client_of,
    code_of,
    wait_for,
    well_only,
)

WORKER = "storefront-worker"
FUNCTIONS = (TARGET, WORKER)


class Lambda:
    """What was asked of Lambda about both functions, and what happens before the alias of one is written."""

    def __init__(self, world: World) -> None:
        self.moves: list[tuple[str, str]] = []
        """The functions whose alias was written, each with the version that it then pointed at."""
        self.invoked: list[tuple[str, str]] = []
        self.before: dict[str, Callable[[], None]] = {}
        """By the function: what happens right before its alias is written, once."""
        ask = BaseClient._make_api_call

        def asked(client: Any, name: str, parameters: Any) -> Any:
            function = parameters.get("FunctionName", "")
            if name == "UpdateAlias" and parameters["Name"] == "live":
                if act := self.before.pop(function, None):
                    act()
                self.moves.append((function, parameters["FunctionVersion"]))
            if name == "Invoke" and function in FUNCTIONS:
                self.invoked.append((function, parameters["Qualifier"]))
            return ask(client, name, parameters)

        world.patch.setattr(BaseClient, "_make_api_call", asked)


@pytest.fixture
def pair(world: World) -> Lambda:
    """The storefront and its worker, each at version 1 behind `live`."""
    functions, role = client_of("lambda"), f"arn:aws:iam::{DEFAULT_ACCOUNT_ID}:role/tagship-app-storefront"
    functions.create_function(
        FunctionName=WORKER,
        Runtime="python3.13",
        Role=role,
        Handler="app.handler",
        Code={"ZipFile": code_of("worker before")},
        Publish=True,
    )
    functions.create_alias(FunctionName=WORKER, Name="live", FunctionVersion="1")
    world.handlers[WORKER] = lambda *_: {"healthy": True}
    target = {
        "type": "lambda",
        "function": TARGET,
        "others": [{"function": WORKER}],
        "account": DEFAULT_ACCOUNT_ID,
        "region": REGION,
        "role": role,
        "externalId": "tagship-production",
    }
    world.configure(target=target)
    return Lambda(world)


def serving() -> dict[str, tuple[str, dict[str, float]]]:
    """Where both aliases point."""
    found = {}
    for name in FUNCTIONS:
        alias = client_of("lambda").get_alias(FunctionName=name, Name="live")
        weights = (alias.get("RoutingConfig") or {}).get("AdditionalVersionWeights") or {}
        found[name] = (alias["FunctionVersion"], weights)
    return found


def both(version: str) -> dict[str, tuple[str, dict[str, float]]]:
    return {name: (version, {}) for name in FUNCTIONS}


def supervised(world: World, arn: str) -> Ended:
    ended = world.ended(arn)
    if ended.status != "SUCCEEDED":
        world.supervise(ended)
        wait_for(lambda: True if "RUNNING" not in world.statuses("rollback") else None, "the rollbacks' end")
    return ended


def test_both_functions_are_invoked_before_traffic_and_move_together(world: World, pair: Lambda) -> None:
    ended = world.release("v1.0.0")
    assert ended.status == "SUCCEEDED", ended
    assert serving() == both("2")
    assert pair.moves == [(TARGET, "1"), (WORKER, "1"), (TARGET, "2"), (WORKER, "2")]
    assert {(TARGET, "2"), (WORKER, "2")} <= set(pair.invoked)
    summary = world.record("v1.0.0")["plan"]["summary"]
    assert summary[0] == f"2 functions move together, in this order: {TARGET}, then {WORKER}"
    asked = "".join(mail.body for mail in world.mails("ana@example.com"))
    shown = world.type("history", "storefront", "--tag", "v1.0.0").output
    for name in FUNCTIONS:
        assert f"the alias live of {name}: version 1" in shown
        assert f"version 2 of {name}" in shown
        assert f"The alias live of {name}: version 1" in asked


def test_an_unhealthy_worker_takes_the_storefront_back_too(world: World, pair: Lambda) -> None:
    world.handlers[WORKER] = lambda event, _: {"healthy": event["percent"] != 10}
    ended = world.release("v1.0.0")
    assert ended.error == "ReleaseRolledBack"
    assert WORKER in world.record("v1.0.0")["why"]
    assert serving() == both("1")
    assert [name for name, _ in pair.moves] == [TARGET, WORKER, WORKER, TARGET]


def test_a_worker_that_is_not_well_before_traffic_moves_nothing(world: World, pair: Lambda) -> None:
    world.handlers[WORKER] = lambda *_: {"healthy": False}
    assert world.release("v1.0.0").error == "ReleaseInvalid"
    assert pair.moves == []


def test_a_throttle_between_two_aliases_is_waited_out(world: World, pair: Lambda) -> None:
    """Fault 136."""

    def throttle() -> None:
        raise aws_error("TooManyRequestsException", 429)

    pair.before[WORKER] = throttle
    assert world.release("v1.0.0").status == "SUCCEEDED"
    assert serving() == both("2")
    assert pair.moves.count((TARGET, "1")) == 1, "the first alias is not written again"


def test_a_release_that_is_stopped_between_two_aliases_is_rolled_back(world: World, pair: Lambda) -> None:
    """Fault 136: the function goes on, as in Lambda, and its write is restored."""
    arn = world.start(world.upload("v1.0.0"))
    pair.before[WORKER] = lambda: client_of("stepfunctions").stop_execution(executionArn=arn)
    world.decide(arn)
    supervised(world, arn)
    assert world.record("v1.0.0")["status"] == "ABORTED"
    assert serving() == both("1")
    assert "tag" not in world.holder()


def test_an_alias_that_someone_moved_meanwhile_is_left_and_the_other_one_restored(
    world: World, pair: Lambda
) -> None:
    """Fault 137."""
    functions = client_of("lambda")

    def by_hand() -> None:
        functions.update_function_code(FunctionName=WORKER, ZipFile=code_of("by hand"))
        version = functions.publish_version(FunctionName=WORKER)["Version"]
        functions.update_alias(FunctionName=WORKER, Name="live", FunctionVersion=version)

    pair.before[WORKER] = by_hand
    ended = world.release("v1.0.0")
    assert ended.error == "RollbackFailed"
    record = world.record("v1.0.0")
    assert record["status"] == "ROLLBACK_FAILED"
    assert f"Restored: the alias live of {TARGET}. Not restored: the alias live of {WORKER}." in ended.cause
    assert serving() == {TARGET: ("1", {}), WORKER: ("3", {})}
    assert world.holder()["kept"] is True


def test_a_function_without_an_alias_loses_it_again_when_the_release_is_rolled_back(
    world: World, pair: Lambda
) -> None:
    """Fault 46: nothing served before, so nothing of it is checked afterwards."""
    functions = client_of("lambda")
    functions.delete_alias(FunctionName=WORKER, Name="live")
    world.health = well_only("1")
    assert world.release("v1.0.0").error == "ReleaseRolledBack"
    assert world.record("v1.0.0")["status"] == "ROLLED_BACK"
    assert world.alias() == ("1", {})
    with pytest.raises(functions.exceptions.ResourceNotFoundException):
        functions.get_alias(FunctionName=WORKER, Name="live")
