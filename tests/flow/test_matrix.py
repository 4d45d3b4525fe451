"""The fault matrix: every task of both definitions under every kind of fault, so that new states are tested
automatically.

The cells are generated from the definitions. After each cell, either the baseline or the candidate has all traffic, the
lock is free (or kept, for ROLLBACK_FAILED), the release has one ending, people were asked and notified once, and a
sweep finds nothing open. Here a quarter of the cells runs, including every state and every fault; `make matrix` runs
them all.
"""

from __future__ import annotations

import os
import re
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest
from botocore.client import BaseClient
from botocore.exceptions import ClientError

from tagship.deployment import shifting
from tagship.model.errors import ApplicationUnknown
from tagship.model.release import Status
from tests.flow.harness import World, aws_error, client_of, error_named, wait_for, well_only
from tests.matrix import (
    ENDINGS,
    FAULTS,
    GRID,
    STATES,
    STOPPED,
    Rest,
    assert_at_rest,
    assert_outcome,
    part,
)

WHOLE = bool(os.environ.get("TAGSHIP_WHOLE_MATRIX"))
TAG = "v1.0.0"

Handler = Callable[[dict[str, Any], Any], Any]
_failing = threading.local()


# ---- the faults ----------------------------------------------------------------------------------------------------


def always(name: str) -> Callable[[World, Handler], Handler]:
    """It raises this however often it is asked."""

    def failing(_world: World, _handler: Handler) -> Handler:
        def raising(_event: dict[str, Any], _context: Any) -> Any:
            raise error_named(name)

        return raising

    return failing


def twice(name: str, then: str = "") -> Callable[[World, Handler], Handler]:
    """It raises this, or this and then another, and works the third time.

    Fault 70.
    """

    def failing(_world: World, handler: Handler) -> Handler:
        left = [error_named(then or name), error_named(name)]

        def raising(event: dict[str, Any], context: Any) -> Any:
            if left:
                raise left.pop()
            return handler(event, context)

        return raising

    return failing


def aws_answers_5xx(world: World, handler: Handler) -> Handler:
    """Its first call to AWS is answered with 500, twice; the code decides which error that becomes."""
    left = [1, 1]
    ask = BaseClient._make_api_call

    def refusing(client: Any, name: str, parameters: Any) -> Any:
        if getattr(_failing, "now", False):
            _failing.now = False
            raise aws_error("InternalServerError", 500)
        return ask(client, name, parameters)

    world.patch.setattr(BaseClient, "_make_api_call", refusing)

    def asked(event: dict[str, Any], context: Any) -> Any:
        _failing.now = bool(left)
        if left:
            left.pop()
        try:
            return handler(event, context)
        finally:
            _failing.now = False

    return asked


def runs_twice(_world: World, handler: Handler) -> Handler:
    """It has done its work, and its answer is lost."""
    lost = [1]

    def unheard(event: dict[str, Any], context: Any) -> Any:
        answer = handler(event, context)
        if lost:
            lost.pop()
            raise error_named("AwsUnavailable", "the answer was lost")
        return answer

    return unheard


def is_stopped(_world: World, handler: Handler) -> Handler:
    """A person stops the execution meanwhile; the function ends its work all the same, as in Lambda."""

    def stopping(event: dict[str, Any], context: Any) -> Any:
        with suppress(ClientError):
            client_of("stepfunctions").stop_execution(executionArn=event["execution"])
        return handler(event, context)

    return stopping


PLANTS: dict[str, Callable[[World, Handler], Handler]] = dict(
    zip(
        FAULTS,
        (
            always("Unforeseen"),
            always("AwsUnavailable"),
            # A function's own time-out is shorter than its state's, so this is what Lambda says of one that hangs.
            always("Sandbox.Timedout"),
            twice("Lambda.TooManyRequestsException"),
            twice("Lambda.Unknown", then="Lambda.ClientExecutionTimeoutException"),
            twice("AwsUnavailable"),
            aws_answers_5xx,
            runs_twice,
            is_stopped,
        ),
        strict=True,
    )
)


# ---- one cell ------------------------------------------------------------------------------------------------------


def plant(world: World, state: str, fault: str) -> None:
    """In this machine's calls of the function alone: some functions serve both."""
    machine, name = state.split(".")
    folder = re.sub(r"(?<!^)(?=[A-Z])", "_", name).lower()
    healthy = world.handlers[folder]
    faulty = PLANTS[fault](world, healthy)

    def handler(event: dict[str, Any], context: Any) -> Any:
        here = f":execution:{machine}:" in event["execution"]
        return (faulty if here else healthy)(event, context)

    world.handlers[folder] = handler


def run(world: World, state: str, fault: str) -> set[str]:
    """Through this state; answers with what the flow has left to others."""
    if state.startswith("rollback."):
        world.health = well_only("1")
    reminded = state == "release.RemindApprovers"
    if reminded:
        policy = {"approvers": ["ana@example.com"], "expires": 120, "remindEvery": 1}
        world.configure(approval=policy)
    if state == "release.PauseRollout":
        pause = {"timeout": 1, "onTimeout": "continue"}
        steps = [{"percent": 10, "pause": pause}, {"percent": 100}]
        world.configure(strategy={"type": "steps", "steps": steps})
    if state == "release.AwaitStable":
        world.patch.setattr(shifting, "has_settled", lambda target, move: False)
    arn = world.start(world.upload(TAG))
    if reminded:
        wait_for(lambda: True if len(world.mails()) > 1 or over(world, arn) else None, "a reminder")
    if (state, fault) == WHILE_IT_WAITS:
        world.link(arn)
        world.stop(arn)
    rejected = state == "release.EndRelease"
    if world.link(arn) is not None and not over(world, arn):
        world.decide(arn, decide="reject" if rejected else "approve", reason="no" if rejected else "")
    return settle(world)


def over(world: World, arn: str) -> bool:
    return bool(world.describe(arn)["status"] != "RUNNING")


def settle(world: World) -> set[str]:
    """Every execution ends, and the supervisor receives each unsuccessful one's event twice.

    Returns what the flow left to others: the supervisor's actions, and errors that belong to no ending.
    """
    heard: set[str] = set()
    left: set[str] = set()
    while new := [arn for arn in executions(world) if arn not in heard]:
        for arn in new:
            ended = world.woken(arn) if over(world, arn) else world.ended(arn)
            heard.add(arn)
            if ended.status != "SUCCEEDED":
                left |= {ended.error} | {world.supervise(ended)["did"] for _ in range(2)}
    return left - ENDINGS - {"nothing"}


def executions(world: World) -> list[str]:
    states = client_of("stepfunctions")
    return [
        execution["executionArn"]
        for machine in ("release", "rollback")
        for execution in states.list_executions(stateMachineArn=world.machines[machine])["executions"]
    ]


def rest_of(world: World) -> Rest:
    version, weights = world.alias()
    found: dict[str, Any] = {"version": version, "weights": weights, "locked": "tag" in world.holder()}
    try:
        record = world.record(TAG)
    except ApplicationUnknown:
        return Rest(status=None, why="", facts=[], asked=0, **found)
    return Rest(
        status=Status(record["status"]),
        why=record["why"],
        facts=world.facts(TAG),
        asked=len([mail for mail in world.mails() if not mail.subject.startswith(("Reminder", "Continue"))]),
        **found,
    )


def assert_nothing_is_open(world: World) -> None:
    facts = world.facts(TAG)
    world.later("sweep", {}, minutes=20)
    for kind in ("release", "lock", "approval"):
        assert list(world.ledger.open_of(kind)) == [], f"a {kind} is open"
    assert world.facts(TAG) == facts, "the sweep found something to do"


@pytest.mark.parametrize(
    "state, fault",
    [pytest.param(*cell, id=" ".join(cell)) for cell in (GRID if WHOLE else part(0, of=4))],
)
def test_a_failure_in_any_state_leads_to_exactly_one_ending(world: World, state: str, fault: str) -> None:
    if (state, fault) != WHILE_IT_WAITS:
        plant(world, state, fault)
    left = run(world, state, fault)
    rest = rest_of(world)
    assert_at_rest(rest)
    if rest.status is not None:
        assert_nothing_is_open(world)
    assert_outcome((state, fault), rest, left=left, or_else=MAY_END_BEFORE_THE_STOP.get(state, ()))


WHILE_IT_WAITS = ("release.RequestApproval", STOPPED)
"""It is stopped while it waits for the decision."""
MAY_END_BEFORE_THE_STOP: dict[str, tuple[Status, ...]] = {
    # moto ends a Map that is stopped as one that failed, so the flow itself gets to an end before the supervisor
    "release.RunGate": (Status.INVALID,),
    # a rollback that is cut off has not proved anything: a person is called
    **{state: (Status.ROLLBACK_FAILED,) for state in STATES if state.startswith("rollback.")},
}


@pytest.mark.parametrize("which, of", [(0, 4), (1, 3)])
def test_every_state_and_every_fault_is_in_each_part_of_the_matrix(which: int, of: int) -> None:
    assert {state for state, _ in part(which, of=of)} == set(STATES)
    assert {fault for _, fault in part(which, of=of)} == set(FAULTS)
