"""The evidence of an ending: everything that led to it and nothing that came later, the same each time, without a secret."""

from __future__ import annotations

import json

import pytest

from tagship.ledger import evidence
from tagship.ledger.chain import verify_part
from tagship.ledger.table import digest_of
from tagship.model.release import Status
from tests.unit.cli.conftest import Stage, nobody_elses_configuration, stage

__all__ = ["nobody_elses_configuration", "stage"]


def bundle(stage: Stage, name: str = "Release Succeeded") -> dict:
    (ended,) = [fact["seq"] for fact in stage.ledger.facts_of("storefront", "v1.4.0") if fact["name"] == name]
    return evidence.bundle(stage.ledger, "storefront", "v1.4.0", ended=ended)


def test_it_contains_the_release_what_was_approved_and_every_fact(stage):
    stage.release().succeeded()
    made = bundle(stage)
    assert (made["status"], made["application"], made["tag"]) == ("SUCCEEDED", "storefront", "v1.4.0")
    assert set(made["release"]) >= {"manifest", "objects", "configuration", "gates", "plan", "digest"}
    assert [each["approver"] for each in made["approval"]["decisions"]] == [
        "ana@example.com",
        "bo@example.com",
    ]
    assert made["facts"] == stage.ledger.facts_of("storefront", "v1.4.0")
    assert verify_part("storefront", made["facts"]) is None
    assert made["digest"] == digest_of({name: value for name, value in made.items() if name != "digest"})


def test_it_contains_no_task_token_and_only_listed_fields(stage):
    stage.release().succeeded()
    request = stage.ledger.get(f"APPROVAL#{bundle(stage)['approval']['id']}", "APPROVAL")
    assert request["taskToken"] == "token"
    for item in (request, stage.ledger.get("APPLICATION#storefront", "RELEASE#v1.4.0")):
        key = {name: {"S": item[name]} for name in ("pk", "sk")}
        stage.client("dynamodb").update_item(
            TableName="ledger",
            Key=key,
            UpdateExpression="SET link = :link",
            ExpressionAttributeValues={":link": {"S": "https://approve.example.com/?t=secret"}},
        )
    assert "?t=secret" not in json.dumps(bundle(stage))
    assert "taskToken" not in json.dumps(bundle(stage))
    assert '"token"' not in json.dumps(bundle(stage))


def test_facts_after_an_ending_are_in_the_next_endings_evidence(stage):
    made = stage.release().succeeded()
    before = bundle(stage)
    made.going_back().ended(Status.ROLLED_BACK, "Customers can't pay.")
    assert bundle(stage) == before
    later = bundle(stage, "Release Rolled Back")
    assert later["facts"][: len(before["facts"])] == before["facts"]
    assert (later["status"], later["why"]) == ("ROLLED_BACK", "Customers can't pay.")
    assert evidence.key_of(later) != evidence.key_of(before)


def test_a_release_without_an_approval_has_evidence_too(stage):
    stage.release().locked().gated(failing="tag").ended(Status.INVALID)
    made = bundle(stage, "Release Invalid")
    assert made["approval"] is None
    assert "plan" not in made["release"]


def test_a_missing_fact_has_no_evidence(stage):
    stage.release()
    with pytest.raises(LookupError):
        evidence.bundle(stage.ledger, "storefront", "v1.4.0", ended=99)


def test_the_file_name_alone_anchors_the_chain(stage):
    stage.release().succeeded()
    made = bundle(stage)
    anchor = evidence.anchor_of(evidence.key_of(made))
    assert (anchor.seq, anchor.digest) == (made["ended"]["seq"], made["facts"][-1]["digest"])
    assert anchor.where == "the evidence of storefront v1.4.0"


@pytest.mark.parametrize(
    "name", ["", "storefront", "storefront/v1/x.json", "a/b/c/0000000001-ab.json", "a/b/1-ab"]
)
def test_another_file_name_anchors_nothing(name):
    assert evidence.anchor_of(name) is None
