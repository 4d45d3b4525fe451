"""A fresh world for every flow test."""

from __future__ import annotations

from collections.abc import Iterator

import boto3
import pytest

from tests.flow.harness import REGION, World, client_of
from tests.flow.harness import world as make_world


@pytest.fixture
def world() -> Iterator[World]:
    """One stage in this process; see the harness."""
    with make_world() as built:
        yield built


@pytest.fixture
def queues(world: World, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """The two queues of notices, a bus and a topic, with the functions' settings."""
    from tagship import runtime

    sqs = client_of("sqs")
    urls = {
        name: sqs.create_queue(QueueName=f"{name}.fifo", Attributes={"FifoQueue": "true"})["QueueUrl"]
        for name in ("notices", "aside")
    }
    urls["failures"] = sqs.create_queue(QueueName="failures")["QueueUrl"]
    boto3.client("events", region_name=REGION).create_event_bus(Name="tagship")
    topic = boto3.client("sns", region_name=REGION).create_topic(Name="tagship")["TopicArn"]
    for variable, value in (
        ("TAGSHIP_EVENT_BUS", "tagship"),
        ("TAGSHIP_NOTIFICATION_TOPIC", topic),
        ("TAGSHIP_NOTICES_QUEUE", urls["notices"]),
        ("TAGSHIP_NOTICES_SET_ASIDE", urls["aside"]),
        ("TAGSHIP_BROADCAST_FAILURES", urls["failures"]),
    ):
        monkeypatch.setenv(variable, value)
    runtime._runtime.cache_clear()
    return urls
