"""An approval is bound to the bytes: any change of them changes the digest."""

from __future__ import annotations

import json

import pytest

from tagship.deployment.binding import release_digest
from tagship.ledger.table import unpacked
from tests.unit.builders import GONE, changed, locations, record, revision, sha256

PLAN = {
    "locations": locations("1", "2"),
    "nothingToChange": False,
    "summary": ["version 1 → version 2"],
    "steps": [{"percent": 10, "bake": 60, "needs": 75}, {"percent": 100, "bake": 0, "needs": 15}],
    "from": "v1.3.0",
    "to": "v1.4.0",
}
APPROVED = release_digest(record(), PLAN)


def of_record(changes):
    objects = record()["objects"]["storefront.zip"]
    found = record() | {"object": objects}
    found = changed(found, changes)
    found["objects"] = {"storefront.zip": found["object"]}
    return release_digest(found, PLAN)


@pytest.mark.parametrize(
    "changes",
    [
        {"digest": sha256(b"other manifest")},
        {"object.versionId": "8"},
        {"object.key": "releases/storefront/v1.5.0/storefront.zip"},
        {"object.bucket": "other"},
        {"object.size": 1},
        {"configuration.version": 4},
        {"configuration.document.target.role": "arn:aws:iam::000000000000:role/other"},
        {"configuration.document.approval.required": 2},
        {"configuration.document.strategy.percent": 99},
        {"configuration.document.health.checks.0.requests": 2},
    ],
    ids=str,
)
def test_other_bytes_or_another_configuration_change_the_digest(changes):
    """Fault 25."""
    assert of_record({}) == APPROVED
    assert of_record(changes) != APPROVED


@pytest.mark.parametrize(
    "changes",
    [
        {"locations": locations("0", "2")},
        {"locations": locations("1", "2", etag="r2")},
        {"locations": locations(None, "2")},
        {"locations": locations("1", "3")},
        {"locations": [locations("1", "2")[0] | {"candidate": revision("2") | {"digest": "another"}}]},
        {"steps.0.percent": 11},
        {"steps.0.bake": 0},
        {"steps.1": GONE},
        {"summary": ["nothing"]},
        {"nothingToChange": True},
        {"from": None},
    ],
    ids=str,
)
def test_another_plan_changes_the_digest(changes):
    """Fault 25."""
    assert release_digest(record(), changed(PLAN, changes)) != APPROVED


def test_the_plans_digest_does_not_include_itself():
    assert release_digest(record(), PLAN | {"digest": APPROVED}) == APPROVED


def test_later_changes_to_a_release_do_not_change_the_approved_digest():
    on_its_way = record() | {"status": "RUNNING", "percent": 10, "approval": "id", "gates": [{"gate": "tag"}]}
    assert release_digest(on_its_way, PLAN) == APPROVED


def test_the_digest_is_the_same_after_a_round_trip(ledger):
    kept = json.loads(json.dumps(record())) | {"plan": PLAN}
    read_back = unpacked(ledger.put(kept)["Put"]["Item"])
    assert release_digest(read_back, read_back["plan"]) == APPROVED
