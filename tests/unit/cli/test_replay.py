"""replay: failed notifications are sent again, and nobody gets one twice."""

from __future__ import annotations

import json

import pytest
from botocore.client import BaseClient
from botocore.exceptions import ClientError

ASIDE = "arn:aws:sqs:eu-central-1:123456789012:aside.fifo"


def queued(stage):
    """The queued messages, by fact."""
    sqs = stage.client("sqs")
    url = sqs.get_queue_url(QueueName="notices.fifo")["QueueUrl"]
    answer = sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10)
    return [json.loads(message["Body"]) for message in answer.get("Messages", [])]


def test_an_applications_facts_are_queued_again_for_every_interested_channel(stage):
    stage.release("v1.4.0").waiting()
    result = stage.run("replay", "storefront", "--tag", "v1.4.0", "--json")
    document = json.loads(result.stdout)
    facts = stage.ledger.facts_of("storefront", "v1.4.0")
    assert document == {
        "application": "storefront",
        "tag": "v1.4.0",
        "stage": "development",
        "facts": len(facts),
    }
    assert {message["channel"] for message in queued(stage)} >= {"topic", "slack", "mail"}


def test_the_event_bus_receives_facts_again_only_on_request(stage):
    """It has no record of what it received, and an old fact could set off a rule once more."""
    stage.release("v1.4.0").waiting()
    assert "nothing again without --bus" in stage.run("replay", "storefront").stdout
    assert "bus" not in {message["channel"] for message in queued(stage)}
    assert "without --bus" not in stage.run("replay", "storefront", "--bus").stdout
    assert {message["channel"] for message in queued(stage)} == {"bus"}


def test_an_application_without_facts_is_reported(stage):
    result = stage.run("replay", "storefront")
    assert result.exit_code == 1
    assert "has no facts of storefront" in result.stderr


@pytest.mark.parametrize("option", [("--tag", "v1.4.0"), ("--bus",)])
def test_a_tag_or_the_bus_without_an_application_is_refused(stage, option):
    assert stage.run("replay", *option).exit_code == 2


@pytest.mark.parametrize("underway", [False, True])
def test_set_aside_notices_are_moved_back_once(stage, monkeypatch, underway):
    ask, asked = BaseClient._make_api_call, []

    def answer(client, name, parameters):
        if name not in ("ListMessageMoveTasks", "StartMessageMoveTask"):
            return ask(client, name, parameters)
        asked.append((name, parameters))
        return {"Results": [{"Status": "RUNNING" if underway else "COMPLETED"}]}

    monkeypatch.setattr(BaseClient, "_make_api_call", answer)
    assert "moving back" in stage.run("replay").stdout
    assert [name for name, _ in asked[1:]] == ([] if underway else ["StartMessageMoveTask"])
    assert all(parameters == {"SourceArn": ASIDE} for _, parameters in asked)


def test_if_sqs_cannot_move_messages_back_it_says_what_works(stage, monkeypatch):
    """As on the embedded engine."""
    ask = BaseClient._make_api_call

    def answer(client, name, parameters):
        if name in ("ListMessageMoveTasks", "StartMessageMoveTask"):
            raise ClientError({"Error": {"Code": "InvalidAction", "Message": "no"}}, name)
        return ask(client, name, parameters)

    monkeypatch.setattr(BaseClient, "_make_api_call", answer)
    result = stage.run("replay")
    assert result.exit_code == 1
    assert "tagship replay <application> --stage development" in result.stderr
