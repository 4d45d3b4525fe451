"""A traffic step: the lease and its beginning in one transaction, the move, and one look at what settles at once."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest

from tagship.deployment.settling import has_settled
from tagship.deployment.shifting import shift
from tagship.ledger import lock, releases
from tagship.ledger.table import Fact, Ledger
from tagship.model.errors import AwsUnavailable, LockLost, TargetMoved
from tagship.model.facts import FactKind
from tagship.targets.kind import Move
from tests.unit.builders import EXECUTION, locations, record
from tests.unit.tables import Clock, aws_error, ledger_table

STOREFRONT = {"application": "storefront", "tag": "v1.4.0", "attempt": 1}
STEP = Fact(**STOREFRONT, name=FactKind.TRAFFIC_SHIFTED, key="000")  # type: ignore[arg-type]


@dataclass
class Traffic:
    """A target that does this when it is verified, and says this when it is looked at."""

    meanwhile: Any = lambda: None
    says: int | Exception = 0
    done: list[str] = field(default_factory=list)

    def verify_unchanged(self, move: Move) -> None:
        self.done.append("verified")
        self.meanwhile()

    def set_weight(self, move: Move) -> str:
        self.done.append(f"{move.percent} %")
        return "etag"

    def verify_weight(self, move: Move) -> int:
        self.done.append("looked")
        if isinstance(self.says, Exception):
            raise self.says
        return self.says


@pytest.fixture
def ledger() -> Iterator[Ledger]:
    with ledger_table() as client:
        here = Ledger(client=client, table="ledger", stage="production", now=Clock(), pause=lambda _: None)
        releases.claim(here, record(plan={"locations": locations("1", "2")}))
        lock.acquire(here, **STOREFRONT, execution=EXECUTION, seconds=60)  # type: ignore[arg-type]
        yield here


def shifted(ledger: Ledger, traffic: Traffic, *, looks: bool = True) -> bool:
    known = releases.get(ledger, "storefront", "v1.4.0")
    return shift(ledger, lambda: traffic, known, STEP, percent=10, step=0, fence=1, seconds=600, looks=looks)


def ends(ledger: Ledger) -> str:
    found = lock.holder(ledger, "storefront")
    return found.leaseEnds if found else ""


def test_a_step_extends_the_lease_moves_the_traffic_and_looks_once(ledger: Ledger) -> None:
    before, traffic = ends(ledger), Traffic()
    assert shifted(ledger, traffic)
    assert traffic.done == ["verified", "10 %", "looked"]
    assert ends(ledger) > before
    found = releases.get(ledger, "storefront", "v1.4.0")
    assert (found["moved"], found["percent"]) == (True, 10)


@pytest.mark.parametrize("says", [2, TargetMoved("by hand"), AwsUnavailable("busy"), aws_error("Unforeseen")])
def test_what_has_not_settled_or_cannot_be_looked_at_is_left_to_await_stable(
    ledger: Ledger, says: int | Exception
) -> None:
    assert not shifted(ledger, Traffic(says=says))
    assert releases.get(ledger, "storefront", "v1.4.0")["percent"] == 10


def test_a_kind_that_takes_its_time_is_not_looked_at(ledger: Ledger) -> None:
    traffic = Traffic()
    assert not shifted(ledger, traffic, looks=False)
    assert traffic.done == ["verified", "10 %"]


def test_a_step_that_was_done_before_only_extends_the_lease(ledger: Ledger) -> None:
    shifted(ledger, Traffic())
    before, again = ends(ledger), Traffic()
    ledger.now.forward(5)  # type: ignore[attr-defined]
    assert not shifted(ledger, again)
    assert again.done == []
    assert ends(ledger) > before


def test_a_lock_that_is_taken_over_while_the_target_is_verified_moves_nothing(ledger: Ledger) -> None:
    def taken() -> None:
        lock.acquire(ledger, **STOREFRONT, execution="a rollback", seconds=60, taking_over=True)  # type: ignore[arg-type]

    traffic = Traffic(meanwhile=taken)
    with pytest.raises(LockLost, match="fencing number 1 is no longer the newest"):
        shifted(ledger, traffic)
    assert traffic.done == ["verified"]
    assert "moved" not in releases.get(ledger, "storefront", "v1.4.0")


def test_a_bug_in_a_look_is_not_hidden() -> None:
    move: Any = None
    with pytest.raises(ZeroDivisionError):
        has_settled(Traffic(says=ZeroDivisionError()), move)
