"""A proposal is parsed strictly, because anybody may have started the execution."""

from __future__ import annotations

from typing import Any

import pytest

from tagship.model.proposal import Proposal, is_proposal, number_of, tag_of
from tagship.model.release import Tag, place_of
from tests.unit.builders import GONE, application


def order(**changes: Any) -> dict[str, Any]:
    whole = {
        "application": "storefront",
        "tag": "configuration-4",
        "document": application(),
        "by": "dana@example.com",
        "emergency": "",
    } | changes
    return {name: value for name, value in whole.items() if value is not GONE}


def test_a_proposals_number_cannot_be_a_releases_tag() -> None:
    assert number_of(tag_of(4)) == 4
    assert is_proposal("configuration-12")
    with pytest.raises(ValueError, match="is not a tag"):
        Tag.parse(tag_of(4))
    with pytest.raises(ValueError, match="is not a tag"):
        place_of("releases/storefront/configuration-4/release.json")
    for tag in ("v1.4.0", "configuration-0", "configuration-04", "configuration-", "configuration-1.0", ""):
        assert not is_proposal(tag)


def test_a_complete_proposal_is_read() -> None:
    found = Proposal.from_dict(order(by="  dana@example.com "))
    assert (found.application, found.tag, found.by) == ("storefront", "configuration-4", "dana@example.com")
    assert found.document == application()
    assert Proposal.from_dict(order(by="x" * 301)).by == "x" * 299 + "…"


@pytest.mark.parametrize(
    "changes",
    [
        {"by": " "},
        {"by": GONE},
        {"document": "{}"},
        {"document": [1]},
        {"tag": "v1.4.0"},
        {"tag": "configuration-0"},
        {"tag": "configuration-1#2"},
        {"application": "Storefront"},
        {"application": "a" * 41},
        {"emergency": None},
        {"more": 1},
        {"emergency": "x" * 501},
        {"owners": "x" * 501},
    ],
    ids=lambda changes: str(changes)[:40],
)
def test_anything_else_is_not_a_proposal(changes: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"proposal|configuration-|application"):
        Proposal.from_dict(order(**changes))


@pytest.mark.parametrize("data", [None, [], "text", {}])
def test_a_value_that_is_not_an_object_is_not_a_proposal(data: Any) -> None:
    with pytest.raises(ValueError, match="a proposal has the fields"):
        Proposal.from_dict(data)
