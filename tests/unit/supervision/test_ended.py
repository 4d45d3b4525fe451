"""What is done for an execution that is over: a release's, and a rollback's that was cut off or never began."""

from __future__ import annotations

from datetime import timedelta
from types import SimpleNamespace
from typing import Any

import pytest

from tagship.ledger import lock, releases
from tagship.ledger.table import Item, Ledger
from tagship.model.release import Status
from tagship.supervision.ended import Ended, release_ended, rollback_ended
from tagship.supervision.sweep import Sweep
from tests.unit.builders import APPLICATION, EXECUTION, TAG, record

MACHINE = "arn:aws:states:us-east-1:000000000000:stateMachine:rollback"
SUPERVISED = f"{MACHINE.replace(':stateMachine:', ':execution:')}:supervised-one"


@pytest.fixture
def dead(ledger: Ledger) -> Item:
    """A release whose execution was stopped when traffic had moved."""
    releases.claim(ledger, record())
    held = {"application": APPLICATION, "tag": TAG, "attempt": 1}
    lock.acquire(ledger, **held, execution=EXECUTION, seconds=900)
    releases.moving(ledger, **held)
    return releases.get(ledger, APPLICATION, TAG)


def status(ledger: Ledger) -> Status:
    return Status(releases.get(ledger, APPLICATION, TAG)["status"])


@pytest.mark.parametrize("status_then", ["ABORTED", "TIMED_OUT"])
def test_traffic_that_moves_after_the_look_is_taken_back(ledger, status_then):
    """Fault 28: the execution is stopped while ShiftTraffic runs, and the function goes on to its end."""
    releases.claim(ledger, record())
    held = {"application": APPLICATION, "tag": TAG, "attempt": 1}
    lock.acquire(ledger, **held, execution=EXECUTION, seconds=900)
    seen = releases.get(ledger, APPLICATION, TAG)
    releases.moving(ledger, **held)
    asked: list[str] = []

    def roll_back(_: Item, *, trigger: str, **__: Any) -> bool:
        asked.append(trigger)
        return True

    did = release_ended(ledger, seen, Ended(execution=EXECUTION, status=status_then), roll_back=roll_back)
    assert (did["did"], len(asked)) == ("rollback", 1)
    assert status(ledger) is Status.RUNNING
    assert lock.holder(ledger, APPLICATION) is not None


def test_a_release_that_ended_after_the_look_is_left_alone(ledger):
    releases.claim(ledger, record())
    seen = releases.get(ledger, APPLICATION, TAG)
    ending = {"application": APPLICATION, "tag": TAG, "attempt": 1, "execution": EXECUTION}
    releases.end(ledger, **ending, status=Status.INVALID, why="a gate failed")
    did = release_ended(ledger, seen, Ended(execution=EXECUTION, status="FAILED"), roll_back=pytest.fail)
    assert did["did"] == "nothing"
    assert status(ledger) is Status.INVALID


def test_the_supervisors_rollback_that_never_began_leaves_a_release_to_a_person(ledger, dead):
    """Fault 45: nobody else would come back to it, and its traffic may be split."""
    ended = Ended(execution=SUPERVISED, status="ABORTED")
    assert rollback_ended(ledger, dead, ended)["did"] == "ended"
    assert rollback_ended(ledger, releases.get(ledger, APPLICATION, TAG), ended)["did"] == "nothing"
    assert status(ledger) is Status.ROLLBACK_FAILED
    present = lock.holder(ledger, APPLICATION)
    assert present is not None
    assert present.kept


def test_anybody_elses_rollback_that_never_began_changes_nothing(ledger, dead):
    by_hand = Ended(execution=SUPERVISED.replace("supervised-one", "by-hand"), status="FAILED")
    assert rollback_ended(ledger, dead, by_hand)["did"] == "nothing"
    assert status(ledger) is Status.RUNNING


def test_while_another_rollback_is_at_it_the_one_that_never_began_is_nothing(ledger, dead):
    held = {"application": APPLICATION, "tag": TAG, "attempt": 1}
    lock.acquire(ledger, **held, execution="arn:by hand", seconds=900, taking_over=True)
    assert rollback_ended(ledger, dead, Ended(execution=SUPERVISED, status="FAILED"))["did"] == "nothing"
    assert status(ledger) is Status.RUNNING


@pytest.mark.parametrize("over", [True, False])
def test_a_sweep_that_finds_the_rollback_begun_before_looks_whether_it_is_over(ledger, dead, clock, over):
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
