"""Every fact is an event: `source` tagship, its name in words, and nothing of how the table keeps it."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import boto3
import pytest
from botocore.stub import ANY, Stubber

from tagship.model.errors import AwsUnavailable
from tagship.notices import bus
from tests.unit.notices.facts import FACT, fact
from tests.unit.tables import aws_error


@dataclass
class FakeBus:
    """Takes entries, or says that it did not."""

    entries: list[dict[str, Any]] = field(default_factory=list)
    answer: dict[str, Any] = field(
        default_factory=lambda: {"FailedEntryCount": 0, "Entries": [{"EventId": "1"}]}
    )
    fails_with: Exception | None = None

    def put_events(self, *, Entries: list[dict[str, Any]]) -> dict[str, Any]:
        if self.fails_with:
            raise self.fails_with
        self.entries += Entries
        return self.answer


def published(record: dict[str, Any]) -> dict[str, Any]:
    events = FakeBus()
    bus.publish(record, events=events, event_bus="tagship-production")
    (entry,) = events.entries
    return entry


def test_a_fact_is_an_event_with_its_own_name():
    entry = published(FACT)
    assert entry | {"Detail": ""} == {
        "Source": "tagship",
        "DetailType": "Traffic Shifted",
        "Detail": "",
        "EventBusName": "tagship-production",
        "Time": datetime(2026, 11, 23, 10, 0, 0, 250_000, tzinfo=UTC),
        "Resources": ["arn:aws:states:us-east-1:000000000000:execution:release:one"],
    }


def test_an_events_detail_is_the_fact_without_table_keys():
    assert json.loads(published(FACT)["Detail"]) == {
        "seq": 12,
        "application": "storefront",
        "tag": "v1.4.0",
        "attempt": 1,
        "stage": "production",
        "name": "Traffic Shifted",
        "who": "tagship",
        "at": "2026-11-23T10:00:00.250Z",
        "execution": "arn:aws:states:us-east-1:000000000000:execution:release:one",
        "data": {"percent": 10},
        "digest": "1" * 64,
    }


def test_a_fact_without_an_execution_names_no_resource():
    assert published(fact("Link Refused", execution=""))["Resources"] == []


def test_the_sent_entry_is_valid_for_eventbridge():
    events = boto3.client(
        "events", region_name="us-east-1", aws_access_key_id="testing", aws_secret_access_key="testing"
    )
    expected = {
        "Source": "tagship",
        "DetailType": "Traffic Shifted",
        "Detail": ANY,
        "EventBusName": "bus",
        "Time": ANY,
        "Resources": [FACT["execution"]],
    }
    with Stubber(events) as stub:
        stub.add_response("put_events", {"FailedEntryCount": 0, "Entries": []}, {"Entries": [expected]})
        bus.publish(FACT, events=events, event_bus="bus")
        stub.assert_no_pending_responses()


@pytest.mark.parametrize(
    "broken",
    [
        FakeBus(answer={"FailedEntryCount": 1, "Entries": [{"ErrorCode": "InternalFailure"}]}),
        FakeBus(fails_with=aws_error("ThrottlingException")),
        FakeBus(fails_with=aws_error("InternalException", status=500)),
    ],
    ids=["not taken", "throttled", "broken"],
)
def test_a_failed_publication_is_retried(broken):
    """Fault 50: the stream keeps the record."""
    with pytest.raises(AwsUnavailable):
        bus.publish(FACT, events=broken, event_bus="bus")
