"""Each channel of each application has its own message group in the queue."""

from __future__ import annotations

import json

import boto3
import pytest
from moto import mock_aws

from tagship.model.errors import AwsUnavailable
from tagship.notices import queue
from tagship.notices.channels import CHANNELS, wanting
from tests.unit.notices.facts import FACT, fact
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
        def send_message_batch(self, **_):
            raise aws_error("ServiceUnavailable", status=503)

    with pytest.raises(AwsUnavailable, match="Traffic Shifted"):
        queue.publish(FACT, ["bus"], sqs=Sqs(), queue_url="q")


def test_every_fact_goes_to_the_bus_and_only_notifiable_ones_to_people():
    assert wanting(fact("Lock Acquired")) == ["bus"]
    assert wanting(fact("Health Checked", {"verdict": "healthy"})) == ["bus"]
    assert wanting(fact("Release Succeeded")) == list(CHANNELS)


class Queue:
    """Accepts the messages of some groups; the others it names as rejected, or not at all."""

    def __init__(self, *, accepts=lambda group: True, names_the_rest=True):
        self.accepts, self.names_the_rest = accepts, names_the_rest
        self.groups, self.sizes = [], []

    def send_message_batch(self, *, QueueUrl, Entries):
        self.sizes.append(len(Entries))
        accepted = [each for each in Entries if self.accepts(each["MessageGroupId"])]
        self.groups += [each["MessageGroupId"] for each in accepted]
        failed = [{"Id": each["Id"], "Code": "InternalError"} for each in Entries if each not in accepted]
        return {
            "Successful": [{"Id": each["Id"]} for each in accepted],
            **({"Failed": failed} if failed and self.names_the_rest else {}),
        }


def test_a_facts_messages_are_one_request():
    sqs = Queue()
    queue.publish(FACT, list(CHANNELS), sqs=sqs, queue_url="q")
    assert sqs.sizes == [len(CHANNELS)]
    queue.publish(FACT, [], sqs=sqs, queue_url="q")
    assert sqs.sizes == [len(CHANNELS)], "nothing to send is no request"


@pytest.mark.parametrize(
    "names_the_rest, reason", [(True, "InternalError"), (False, "no answer")], ids=["failed", "missing"]
)
def test_a_partly_rejected_batch_is_retried(names_the_rest, reason):
    """The request succeeds, and only its answer says that a message was not queued."""
    sqs = Queue(accepts=lambda group: group != "slack-storefront", names_the_rest=names_the_rest)
    with pytest.raises(AwsUnavailable, match=rf"slack-storefront \({reason}\)\.$"):
        queue.publish(FACT, ["topic", "slack", "mail"], sqs=sqs, queue_url="q")
    assert sqs.groups == ["topic-storefront", "mail-storefront"]


def test_many_readers_are_queued_in_tens_and_a_rejected_one_stops_no_other():
    readers = [{"emails": [f"{number}@example.com"]} for number in range(23)]
    refused = queue.line_of("mail", readers[3])
    sqs = Queue(accepts=lambda group: group != refused)
    with pytest.raises(AwsUnavailable, match=refused):
        queue.one_by_one(FACT, "mail", readers, sqs=sqs, queue_url="q")
    assert sqs.sizes == [10, 10, 3]
    assert len(sqs.groups) == 22


def test_the_longest_messages_fit_into_one_request():
    """A reader comes from a parameter, which has 8 KiB at most."""
    readers = [{"emails": [f"{number}{chr(0x1F600) * 2048}"]} for number in range(10)]
    sent = []

    class Sqs:
        def send_message_batch(self, *, QueueUrl, Entries):
            sent.extend(Entries)
            return {"Successful": Entries}

    queue.one_by_one(FACT, "mail", readers, sqs=Sqs(), queue_url="q")
    assert sum(len(each["MessageBody"].encode()) for each in sent) < 2**20
