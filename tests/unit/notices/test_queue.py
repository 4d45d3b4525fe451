"""Each channel of each application has its own message group in the queue."""

from __future__ import annotations

import json

import boto3
import pytest
from moto import mock_aws

from tagship.model.errors import AwsUnavailable
from tagship.notices import queue
from tagship.notices.channels import CHANNELS, wanting
from tests.unit.notices.facts import FACT
from tests.unit.tables import aws_error


@pytest.fixture
def sqs(monkeypatch):
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "x")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "x")
    with mock_aws():
        client = boto3.client("sqs", region_name="us-east-1")
        client.create_queue(
            QueueName="notices.fifo",
            Attributes={
                "FifoQueue": "true",
                "DeduplicationScope": "messageGroup",
                "FifoThroughputLimit": "perMessageGroupId",
            },
        )
        yield client


def url(sqs):
    return sqs.get_queue_url(QueueName="notices.fifo")["QueueUrl"]


def taken(sqs):
    """Every message that can be had now."""
    return sqs.receive_message(QueueUrl=url(sqs), MaxNumberOfMessages=10, AttributeNames=["All"]).get(
        "Messages", []
    )


def test_a_message_names_only_the_fact_and_the_channel(sqs):
    queue.publish(FACT, ["bus", "mail"], sqs=sqs, queue_url=url(sqs))
    messages = taken(sqs)
    assert [json.loads(message["Body"]) for message in messages] == [
        {"channel": channel, "application": "storefront", "fact": FACT["sk"]} for channel in ("bus", "mail")
    ]
    assert [message["Attributes"]["MessageGroupId"] for message in messages] == [
        "bus-storefront",
        "mail-storefront",
    ]


def test_a_duplicate_from_the_stream_is_queued_once(sqs):
    for _ in range(2):
        queue.publish(FACT, ["bus"], sqs=sqs, queue_url=url(sqs))
    assert len(taken(sqs)) == 1


@pytest.mark.parametrize("tries, seconds", [(1, 2), (2, 4), (7, 128), (8, 300), (580, 300)])
def test_retries_wait_longer_each_time(tries, seconds):
    class Sqs:
        def change_message_visibility(self, **request):
            self.asked = request

    fake = Sqs()
    queue.later(fake, queue_url="q", receipt="r", tries=tries)
    assert fake.asked == {"QueueUrl": "q", "ReceiptHandle": "r", "VisibilityTimeout": seconds}


def test_an_unavailable_queue_is_retried():
    class Sqs:
        def send_message(self, **_):
            raise aws_error("ServiceUnavailable", status=503)

    with pytest.raises(AwsUnavailable, match="Traffic Shifted"):
        queue.publish(FACT, ["bus"], sqs=Sqs(), queue_url="q")


def test_every_fact_goes_to_the_bus_and_only_notifiable_ones_to_people():
    assert wanting("Lock Acquired") == ["bus"]
    assert wanting("Release Succeeded") == list(CHANNELS)
