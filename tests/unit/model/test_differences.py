"""A configuration's changes are listed by field, dangerous fields first, and long values hide nothing."""

from __future__ import annotations

from typing import Any

import pytest

from tagship.model.differences import changes, warnings
from tagship.model.documents import as_document, read_application
from tests.unit.builders import application

SIGNATURE = {"key": "alias/tagship-release-signing"}


def documents(old: dict[str, Any], new: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    return tuple(as_document(read_application(application(**changed))) for changed in (old, new))  # type: ignore[return-value]


def lines(old: dict[str, Any], new: dict[str, Any]) -> list[str]:
    return [str(change) for change in changes(*documents(old, new))]


def test_equal_configurations_have_no_difference() -> None:
    assert lines({}, {}) == []


def test_added_and_removed_people_are_listed_first_one_by_one() -> None:
    old = {"approval": {"approvers": ["ana@example.com", "bo@example.com"], "required": 2}}
    new = {
        "approval": {"approvers": ["bo@example.com", "mallory@example.com"]},
        "strategy": {"type": "canary", "percent": 50},
        "notifications": {"emails": ["team@example.com"]},
    }
    assert lines(old, new) == [
        "approval.approvers: removes ana@example.com",
        "approval.approvers: adds mallory@example.com",
        "approval.required: 2 → 1",
        "strategy.percent: 10 → 50",
        "notifications.emails: adds team@example.com",
    ]


def test_a_removed_gate_shows_its_fields() -> None:
    found = changes(*documents({"gates": {"signature": SIGNATURE}}, {}))
    assert [str(change) for change in found] == [
        "gates.signature: key alias/tagship-release-signing, algorithm ECDSA_SHA_256, required yes → nothing"
    ]
    assert warnings(found) == ["This changes what a release must pass before anyone is asked to approve."]


def test_an_added_gate_shows_each_of_its_fields() -> None:
    assert "gates.signature.key: nothing → alias/tagship-release-signing" in lines(
        {}, {"gates": {"signature": SIGNATURE}}
    )


def test_a_changed_target_comes_before_less_important_changes() -> None:
    target = application()["target"] | {"role": "arn:aws:iam::000000000000:role/tagship-app-other"}
    found = changes(*documents({}, {"target": target, "strategy": {"type": "all-at-once"}}))
    assert found[0].path == "target.role"
    assert warnings(found) == ["This changes the deployment target or its role."]


def test_checks_of_the_same_kind_are_compared() -> None:
    http = {"type": "http", "url": "https://storefront.example.com/health"}
    old = {"health": {"checks": [{"type": "lambda"}, http]}}
    new = {"health": {"checks": [http | {"url": "https://storefront.example.com/up"}]}}
    found = lines(old, new)
    assert (
        "health.checks[http].url: https://storefront.example.com/health → https://storefront.example.com/up"
        in found
    )
    assert any(line.startswith("health.checks: removes type lambda") for line in found)


def test_long_values_are_shown_from_their_first_difference() -> None:
    long = "https://storefront.example.com/" + "a" * 400
    old, new = ({"health": {"checks": [{"type": "http", "url": long + end}]}} for end in ("x", "evil"))
    (line,) = lines(old, new)
    assert line.endswith("aax → …" + "a" * 20 + "evil")
    assert len(line) < 200


def test_a_changed_order_is_a_difference_too() -> None:
    old, new = (
        {"approval": {"approvers": people}}
        for people in (["ana@example.com", "bo@example.com"], ["bo@example.com", "ana@example.com"])
    )
    assert lines(old, new) == ["approval.approvers: has a different order"]


def test_a_first_configuration_is_compared_with_nothing() -> None:
    _, new = documents({}, {})
    found = [str(change) for change in changes({}, new)]
    assert found[0] == "approval.approvers: adds ana@example.com"
    assert "target.function: nothing → storefront" in found


@pytest.mark.parametrize("old, new", [(1, True), (0, False), ("1", 1), ([], None), ({}, None), ("a", [])])
def test_values_that_only_look_alike_differ(old: Any, new: Any) -> None:
    assert changes({"x": old}, {"x": new}) != []
