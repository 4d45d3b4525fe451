"""A freeze is active from its creation until it ends or is lifted; it is created once, and lifted once."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

from tagship.ledger import freezes
from tagship.ledger.table import Ledger
from tagship.model.schedule import EVERY_APPLICATION, Freeze
from tests.unit.tables import NOW, Clock, meanwhile


def sample_freeze(
    number: int = 1, *, scope: str = "storefront", hours: float = 2, reason: str = "the sale"
) -> Freeze:
    return Freeze(
        id=f"freeze-{number}",
        application=scope,
        reason=reason,
        author="arn:ana",
        starts=NOW,
        ends=NOW + timedelta(hours=hours),
    )


def names(ledger: Ledger, scope: str = "storefront") -> list[str]:
    return [fact["name"] for fact in ledger.facts_in_order(scope)]


def test_a_freeze_is_active_until_it_ends(ledger: Ledger, clock: Clock) -> None:
    made = sample_freeze()
    assert freezes.freeze(ledger, made) == (made, True)
    assert freezes.standing(ledger, "storefront") == (made,)
    clock.forward(7199)
    assert freezes.standing(ledger, "storefront") == (made,)
    clock.forward(1)
    assert freezes.standing(ledger, "storefront") == ()


def test_a_freeze_of_all_applies_to_every_application_and_one_applications_freeze_to_no_other(
    ledger: Ledger,
) -> None:
    everybody, own = sample_freeze(1, scope=EVERY_APPLICATION), sample_freeze(2)
    freezes.freeze(ledger, everybody)
    freezes.freeze(ledger, own)
    assert freezes.standing(ledger, "storefront") == (everybody, own)
    assert freezes.standing(ledger, "basket") == (everybody,)
    assert list(freezes.of(ledger, "storefront")) == [own]


def test_who_when_and_why_are_in_a_fact_without_a_release(ledger: Ledger) -> None:
    freezes.freeze(ledger, sample_freeze())
    freezes.unfreeze(ledger, sample_freeze(), author="arn:bo", reason="it is over")
    made, lifted = ledger.facts_in_order("storefront")
    assert (made["name"], made["tag"], made["who"], made["data"]["why"]) == (
        "Frozen",
        "",
        "arn:ana",
        "the sale",
    )
    assert made["data"]["ends"] == "2026-11-23T12:00:00.000Z"
    assert (lifted["name"], lifted["who"], lifted["data"]["why"]) == ("Unfrozen", "arn:bo", "it is over")
    assert lifted["data"]["frozenBecause"] == "the sale"


def test_the_same_freeze_is_created_once(ledger: Ledger) -> None:
    first = sample_freeze(1)
    freezes.freeze(ledger, first)
    assert freezes.freeze(ledger, sample_freeze(2)) == (first, False)
    assert freezes.freeze(ledger, sample_freeze(1)) == (first, False)
    assert freezes.freeze(ledger, sample_freeze(3, reason="the audit"))[1]
    assert freezes.freeze(ledger, sample_freeze(4, hours=3))[1]
    assert names(ledger) == ["Frozen"] * 3


def test_a_freeze_is_lifted_once_and_can_be_created_again(ledger: Ledger) -> None:
    made = sample_freeze()
    freezes.freeze(ledger, made)
    assert freezes.unfreeze(ledger, made, author="arn:bo", reason="over") is True
    assert freezes.unfreeze(ledger, made, author="arn:chi", reason="over") is False
    assert freezes.standing(ledger, "storefront") == ()
    assert freezes.freeze(ledger, sample_freeze(2)) == (sample_freeze(2), True)
    assert names(ledger) == ["Frozen", "Unfrozen", "Frozen"]


def test_two_people_who_lift_it_concurrently_lift_it_once(ledger: Ledger) -> None:
    made = sample_freeze()
    freezes.freeze(ledger, made)
    second = meanwhile(ledger, lambda: freezes.unfreeze(ledger, made, author="arn:bo", reason="first"))
    assert freezes.unfreeze(second, made, author="arn:chi", reason="second") is False
    assert names(ledger) == ["Frozen", "Unfrozen"]


def test_an_unknown_freeze_cannot_be_lifted(ledger: Ledger) -> None:
    assert freezes.unfreeze(ledger, sample_freeze(), author="arn:bo", reason="over") is False
    assert names(ledger) == []


def test_a_future_freeze_is_listed(ledger: Ledger) -> None:
    later = replace(sample_freeze(), starts=NOW + timedelta(hours=1))
    freezes.freeze(ledger, later)
    assert freezes.standing(ledger, "storefront") == (later,)
    assert freezes.freeze(ledger, sample_freeze(2))[1], "one that begins at once is not the same"
