"""Handling of ended executions: a release's, and a rollback's that was cut off or never started."""

from __future__ import annotations

import json
from datetime import timedelta
from types import SimpleNamespace
from typing import Any

import boto3
import pytest
from botocore.stub import Stubber

from tagship.ledger import lock, releases
from tagship.ledger.table import Item, Ledger
from tagship.model.errors import AwsUnavailable, EventNotUnderstood
from tagship.model.release import Status
from tagship.supervision.ended import (
    Ended,
    brought_to_an_end,
    ended_in,
    record_of,
    release_ended,
    rollback_ended,
)
from tagship.supervision.sweep import Sweep
from tests.unit.builders import APPLICATION, EXECUTION, TAG, record
from tests.unit.tables import NOW

MACHINE = "arn:aws:states:us-east-1:000000000000:stateMachine:rollback"
SUPERVISED = f"{MACHINE.replace(':stateMachine:', ':execution:')}:supervised-one"


@pytest.fixture
def dead(ledger: Ledger) -> Item:
    """A release whose execution was stopped when traffic had moved."""
    releases.claim(ledger, record())
    held = {"application": APPLICATION, "tag": TAG, "attempt": 1}
    lock.acquire(ledger, **held, execution=EXECUTION, seconds=900)
    releases.moving(ledger, step=0, **held)
    return releases.get(ledger, APPLICATION, TAG)


def status(ledger: Ledger) -> Status:
    return Status(releases.get(ledger, APPLICATION, TAG)["status"])


@pytest.mark.parametrize("status_then", ["ABORTED", "TIMED_OUT"])
def test_traffic_that_moves_after_the_check_is_rolled_back(ledger, status_then):
    """Fault 28: the execution is stopped while ShiftTraffic runs, and the function continues to its end."""
    releases.claim(ledger, record())
    held = {"application": APPLICATION, "tag": TAG, "attempt": 1}
    lock.acquire(ledger, **held, execution=EXECUTION, seconds=900)
    seen = releases.get(ledger, APPLICATION, TAG)
    releases.moving(ledger, step=0, **held)
    asked: list[str] = []

    def roll_back(_: Item, *, trigger: str, **__: Any) -> bool:
        asked.append(trigger)
        return True

    did = release_ended(ledger, seen, Ended(execution=EXECUTION, status=status_then), roll_back=roll_back)
    assert (did["did"], len(asked)) == ("rollback", 1)
    assert status(ledger) is Status.RUNNING
    assert lock.holder(ledger, APPLICATION) is not None


def test_a_release_that_ended_after_the_check_is_left_alone(ledger):
    releases.claim(ledger, record())
    seen = releases.get(ledger, APPLICATION, TAG)
    ending = {"application": APPLICATION, "tag": TAG, "attempt": 1, "execution": EXECUTION}
    releases.end(ledger, **ending, status=Status.INVALID, why="a gate failed")
    did = release_ended(ledger, seen, Ended(execution=EXECUTION, status="FAILED"), roll_back=pytest.fail)
    assert did["did"] == "nothing"
    assert status(ledger) is Status.INVALID


def test_a_supervisor_rollback_that_never_started_leaves_the_release_to_a_person(ledger, dead):
    """Fault 45: nobody else would handle it, and its traffic may be split."""
    ended = Ended(execution=SUPERVISED, status="ABORTED")
    assert rollback_ended(ledger, dead, ended)["did"] == "ended"
    assert rollback_ended(ledger, releases.get(ledger, APPLICATION, TAG), ended)["did"] == "nothing"
    assert status(ledger) is Status.ROLLBACK_FAILED
    present = lock.holder(ledger, APPLICATION)
    assert present is not None
    assert present.kept


def test_anybody_elses_rollback_that_never_started_changes_nothing(ledger, dead):
    by_hand = Ended(execution=SUPERVISED.replace("supervised-one", "by-hand"), status="FAILED")
    assert rollback_ended(ledger, dead, by_hand)["did"] == "nothing"
    assert status(ledger) is Status.RUNNING


def test_a_rollback_that_never_started_is_ignored_while_another_is_running(ledger, dead):
    held = {"application": APPLICATION, "tag": TAG, "attempt": 1}
    lock.acquire(ledger, **held, execution="arn:by hand", seconds=900, taking_over=True)
    assert rollback_ended(ledger, dead, Ended(execution=SUPERVISED, status="FAILED"))["did"] == "nothing"
    assert status(ledger) is Status.RUNNING


@pytest.mark.parametrize("over", [True, False])
def test_a_sweep_checks_whether_a_rollback_that_it_found_running_has_ended(ledger, dead, clock, over):
    later = clock() + timedelta(hours=1)

    def describe(*, executionArn: str) -> dict[str, Any]:
        running = executionArn == SUPERVISED and not over
        return {"status": "RUNNING" if running else "ABORTED", "stopDate": clock()}

    sweep = Sweep(
        ledger=ledger,
        stepfunctions=SimpleNamespace(describe_execution=describe),
        rollback_machine=MACHINE,
        now=later,
        roll_back=lambda *_, **__: False,  # it was started before
    )
    assert list(sweep.releases()) == [f"{APPLICATION} {TAG}: rollback"]
    assert status(ledger) is (Status.ROLLBACK_FAILED if over else Status.RUNNING)


# ---- what EventBridge leaves out -----------------------------------------------------------------------------------

RUN = "arn:aws:states:us-east-1:000000000000:execution:release:one"
ORDER = {"bucket": "releases", "key": "releases/storefront/v1.4.0/release.json", "versionId": "1"}
DETAIL: dict[str, Any] = {
    "executionArn": RUN,
    "status": "ABORTED",
    "input": json.dumps(ORDER),
    "inputDetails": {"included": True},
    "error": None,
    "cause": '{"by": "kim", "why": "wrong tag"}',
}


@pytest.fixture
def stepfunctions():
    client = boto3.client("stepfunctions", "us-east-1", aws_access_key_id="x", aws_secret_access_key="x")
    with Stubber(client) as stub:
        yield client, stub


def described(**changes: Any) -> dict[str, Any]:
    """The response of DescribeExecution."""
    machine = RUN.replace(":execution:", ":stateMachine:").rsplit(":", 1)[0]
    basic = {"executionArn": RUN, "stateMachineArn": machine, "status": "ABORTED", "startDate": NOW}
    return {**basic, "input": json.dumps(ORDER), **changes}


def test_a_complete_event_is_used_as_it_is(stepfunctions):
    client, _ = stepfunctions
    ended, order = ended_in(DETAIL, client)
    assert (ended.stopped_by(), order) == (("kim", "wrong tag"), ORDER)
    failed = DETAIL | {"status": "FAILED", "error": "ReleaseInvalid", "cause": "A gate failed."}
    assert ended_in(failed, client)[0].error == "ReleaseInvalid"
    assert ended_in(DETAIL | {"status": "TIMED_OUT", "cause": None}, client)[0].cause == ""


@pytest.mark.parametrize(
    "left_out",
    [
        {"input": None, "inputDetails": {"included": False}},
        {"input": ""},
        {"cause": None},
        {"input": None, "cause": None},
    ],
    ids=str,
)
@pytest.mark.parametrize("absent", [False, True])
def test_missing_event_fields_are_read_from_the_execution(stepfunctions, left_out, absent):
    """Fault 77: who stopped it and why is known although the event was too large for its input."""
    client, stub = stepfunctions
    stub.add_response("describe_execution", described(cause=DETAIL["cause"]), {"executionArn": RUN})
    detail = DETAIL | left_out
    if absent:
        detail = {name: value for name, value in detail.items() if name not in left_out}
    ended, order = ended_in(detail, client)
    assert (ended.stopped_by(), order) == (("kim", "wrong tag"), ORDER)
    stub.assert_no_pending_responses()


@pytest.mark.parametrize(
    "cause",
    ["[" * 32_000, '{"by": "kim"}', "null", '"kim"', "wrong tag"],
    ids=["nested", "half", "null", "text", "words"],
)
def test_whatever_was_typed_into_the_console_is_the_reason(stepfunctions, cause):
    """Fault 28."""
    client, _ = stepfunctions
    ended, _ = ended_in(DETAIL | {"cause": cause}, client)
    who, why = ended.stopped_by()
    assert (who, why[:20]) == ("", cause[:20])


def test_a_failures_error_and_cause_are_read_from_the_execution(stepfunctions):
    """Fault 77."""
    client, stub = stepfunctions
    failure = {"status": "FAILED", "error": "ReleaseRejected", "cause": "bo@example.com: not today"}
    stub.add_response("describe_execution", described(**failure), {"executionArn": RUN})
    detail = {name: DETAIL[name] for name in ("executionArn", "input")} | {"status": "FAILED"}
    ended, _ = ended_in(detail, client)
    assert (ended.error, ended.cause) == ("ReleaseRejected", "bo@example.com: not today")


def test_for_a_deleted_execution_the_events_data_is_used(stepfunctions):
    """Fault 77: the sweep finds by the ledger what nothing else can name."""
    client, stub = stepfunctions
    stub.add_client_error("describe_execution", "ExecutionDoesNotExist")
    ended, order = ended_in(DETAIL | {"cause": None}, client)
    assert (ended.status, ended.cause, order) == ("ABORTED", "", ORDER)
    stub.add_client_error("describe_execution", "ExecutionDoesNotExist")
    assert ended_in(DETAIL | {"input": None}, client)[1] == {}
    stub.add_client_error("describe_execution", "ThrottlingException")
    with pytest.raises(AwsUnavailable):
        ended_in(DETAIL | {"input": None}, client)


@pytest.mark.parametrize(
    "said",
    [
        None,
        "x",
        {},
        DETAIL | {"status": "RUNNING"},
        DETAIL | {"status": "SUCCEEDED"},
        DETAIL | {"status": None},
        DETAIL | {"executionArn": "one"},
        DETAIL | {"executionArn": None},
    ],
)
def test_an_event_that_ends_no_execution_is_refused_by_name_so_that_lambda_keeps_it(said):
    with pytest.raises(EventNotUnderstood):
        ended_in(said, None)


@pytest.mark.parametrize(
    "given", ["[]", "7", '"text"', "{", "[" * 100_000, '{"key": 7}', '{"application": 7, "tag": []}']
)
def test_an_execution_with_other_input_has_no_release(ledger, given):
    ended, order = ended_in(DETAIL | {"input": given}, None)
    assert record_of(ledger, order) is None
    assert brought_to_an_end(ledger, None, ended, order, roll_back=pytest.fail)["did"] == "nothing"
