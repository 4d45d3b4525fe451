"""What is done for a rollback that is over: those that began and were cut off, and those that never began."""

from __future__ import annotations

from datetime import timedelta
from types import SimpleNamespace
from typing import Any

import pytest

from tagship.ledger import lock, releases
from tagship.ledger.table import Item, Ledger
from tagship.release import Status
from tagship.supervision.ended import Ended, rollback_ended
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
