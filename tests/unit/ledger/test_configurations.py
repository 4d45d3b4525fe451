"""A configuration comes into force once, with the fact that says so, and only in place of the one it was compared with."""

from __future__ import annotations

from typing import Any

import pytest

from tagship.ledger import configurations, releases
from tagship.ledger.table import Ledger, digest_of
from tagship.model.errors import LockLost
from tagship.model.facts import FactKind
from tests.unit.builders import application, manifest, record


def proposed(ledger: Ledger, number: int, *, execution: str = "", **changes: Any) -> Any:
    """A change of the configuration that was claimed, compared with what is in force."""
    document = application(**changes)
    present = configurations.in_force(ledger, "storefront")
    outcome, made = releases.claim(
        ledger,
        record(  # type: ignore[arg-type]
            tag=f"configuration-{number}",
            execution=execution or f"arn:{number}",
            digest=digest_of(document),
            manifest=manifest(tag=f"configuration-{number}", artifacts=[]),
            configuration={
                "version": 0,
                "document": document,
                "problems": [],
                "digest": present["digest"] if present else "",
            },
            proposal=document,
        ),
    )
    assert outcome == "claimed"
    return made


def approve(ledger: Ledger, made: Any) -> bool:
    return configurations.approve(ledger, made, approvers=("ana@example.com",), execution=made["execution"])


def test_without_an_approval_no_configuration_is_in_force(ledger: Ledger) -> None:
    assert configurations.in_force(ledger, "storefront") is None
    assert configurations.newest(ledger, "storefront") == 0
    proposed(ledger, 1)
    assert configurations.in_force(ledger, "storefront") is None
    assert configurations.newest(ledger, "storefront") == 1


def test_an_approved_configuration_is_in_force_with_a_fact(ledger: Ledger) -> None:
    assert approve(ledger, proposed(ledger, 1))
    found = configurations.in_force(ledger, "storefront")
    assert found is not None
    assert (found["tag"], found["version"], found["digest"]) == (
        "configuration-1",
        1,
        digest_of(application()),
    )
    assert found["document"] == application()
    fact = configurations.approval_of(ledger, "storefront", "configuration-1")
    assert fact is not None
    assert fact["data"]["digest"] == found["digest"]
    assert fact["data"]["approvers"] == ["ana@example.com"]
    assert releases.get(ledger, "storefront", "configuration-1")["status"] == "SUCCEEDED"
    assert releases.open_ones(ledger) == []


def test_putting_it_in_force_again_changes_nothing(ledger: Ledger) -> None:
    made = proposed(ledger, 1)
    assert approve(ledger, made)
    before = list(ledger.facts_in_order("storefront"))
    assert not approve(ledger, made)
    assert list(ledger.facts_in_order("storefront")) == before


def test_of_two_changes_to_the_same_configuration_only_one_comes_into_force(ledger: Ledger) -> None:
    approve(ledger, proposed(ledger, 1))
    second, third = (proposed(ledger, number, strategy={"type": "linear"}) for number in (2, 3))
    assert approve(ledger, third)
    with pytest.raises(LockLost, match=r"configuration-2: .*Propose it again with `tagship apply`"):
        approve(ledger, second)
    assert configurations.in_force(ledger, "storefront")["tag"] == "configuration-3"  # type: ignore[index]
    assert configurations.approval_of(ledger, "storefront", "configuration-2") is None


def test_of_two_first_configurations_only_one_comes_into_force(ledger: Ledger) -> None:
    first, second = proposed(ledger, 1), proposed(ledger, 2)
    assert approve(ledger, first)
    with pytest.raises(LockLost):
        approve(ledger, second)


def test_an_ended_proposal_does_not_come_into_force(ledger: Ledger) -> None:
    made = proposed(ledger, 1)
    assert releases.end(
        ledger,
        application="storefront",
        tag="configuration-1",
        attempt=1,
        status=releases.Status.REJECTED,
        why="no",
        execution=made["execution"],
    )
    with pytest.raises(LockLost):
        approve(ledger, made)
    assert configurations.in_force(ledger, "storefront") is None


def test_a_proposal_does_not_count_as_a_release(ledger: Ledger) -> None:
    proposed(ledger, 1)
    names = [fact["name"] for fact in ledger.facts_in_order("storefront")]
    assert names == [FactKind.CONFIGURATION_PROPOSED]


def test_a_proposal_cannot_be_retried_or_rolled_back_or_restored(ledger: Ledger) -> None:
    made = proposed(ledger, 1)
    approve(ledger, made)
    made = releases.get(ledger, "storefront", "configuration-1")
    assert "tagship apply" in releases.retry_refused(made)
    assert "tagship apply" in releases.roll_back_refused(ledger, made)
    other = {**made, "tag": "v1.0.0", "status": "SUCCEEDED"}
    assert "configuration change" in releases.go_back_refused(other, made)  # type: ignore[arg-type]


def test_a_configurations_fact_approves_no_release(ledger: Ledger) -> None:
    assert configurations.approval_of(ledger, "storefront", "v1.4.0") is None
    assert configurations.approval_of(ledger, "storefront", "") is None
