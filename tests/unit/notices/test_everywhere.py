"""A notice about all applications reaches each reader once, if it is within their level."""

from __future__ import annotations

import json
from types import SimpleNamespace

import boto3
import pytest
from moto import mock_aws

from tagship.notices import queue
from tagship.notices.channels import readers_of
from tests.unit.notices.facts import fact

ENDS = {"ends": "2026-11-23T14:00:00.000Z", "why": "The quarter ends."}
FROZEN = fact("Frozen", ENDS, application="*", tag="", execution="")


@pytest.fixture
def ssm():
    with mock_aws():
        yield boto3.client("ssm", "us-east-1", aws_access_key_id="x", aws_secret_access_key="x")


def configured(ssm, **applications):
    for name, notifications in applications.items():
        value = (
            notifications if isinstance(notifications, str) else json.dumps({"notifications": notifications})
        )
        ssm.put_parameter(Name=f"/tagship/production/applications/{name}", Value=value, Type="String")


def secret(application):
    return f"tagship/production/{application}/slack"


def readers(ssm, channel, freeze=FROZEN):
    means = SimpleNamespace(client=lambda _: ssm, ledger=SimpleNamespace(stage="production"))
    return readers_of(freeze, channel, {}, means)


def test_each_reader_is_notified_once_for_any_number_of_applications(ssm):
    configured(
        ssm,
        a={"slackWebhookSecret": secret("a"), "emails": ["team@example.com", "head@example.com"]},
        b={"slackWebhookSecret": secret("b"), "emails": ["head@example.com"], "level": "everything"},
    )
    assert readers(ssm, "slack") == [
        {"application": "a", "slackWebhookSecret": secret("a")},
        {"application": "b", "slackWebhookSecret": secret("b")},
    ]
    assert readers(ssm, "mail") == [{"emails": ["team@example.com"]}, {"emails": ["head@example.com"]}]


def test_a_reader_of_problems_only_is_not_notified_of_a_freeze(ssm):
    configured(
        ssm,
        quiet={"emails": ["quiet@example.com"], "level": "problems"},
        odd={"emails": ["odd@example.com"], "level": "loud"},
    )
    assert readers(ssm, "mail") == []


def test_applications_on_several_pages_are_all_found(ssm):
    configured(ssm, **{f"app-{n}": {"emails": [f"{n}@example.com"]} for n in range(25)})
    assert len(readers(ssm, "mail")) == 25


def test_other_stages_applications_and_invalid_configurations_are_left_out(ssm):
    configured(ssm, a="[1", b="[]", c={"emails": ["team@example.com"]}, d='{"notifications": 1}')
    ssm.put_parameter(Name="/tagship/staging/applications/c", Value='{"notifications": {}}', Type="String")
    assert readers(ssm, "mail") == [{"emails": ["team@example.com"]}]


def test_without_readers_to_find_or_for_one_application_the_notice_is_unchanged(ssm):
    assert readers(ssm, "topic") is None
    assert readers(ssm, "slack", fact("Frozen", ENDS, tag="")) is None


def test_each_reader_gets_a_queue_message(ssm):
    sqs = boto3.client("sqs", "us-east-1", aws_access_key_id="x", aws_secret_access_key="x")
    attributes = {"FifoQueue": "true", "DeduplicationScope": "messageGroup"}
    url = sqs.create_queue(QueueName="notices.fifo", Attributes=attributes)["QueueUrl"]
    two = [{"emails": ["a@example.com"]}, {"emails": ["b@example.com"]}]
    for _ in range(2):
        queue.one_by_one(FROZEN, "mail", two, sqs=sqs, queue_url=url)
    found = sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10, AttributeNames=["All"])["Messages"]
    assert [json.loads(message["Body"])["reader"] for message in found] == two
    assert {message["Attributes"]["MessageGroupId"] for message in found} == {
        queue.line_of("mail", reader) for reader in two
    }
