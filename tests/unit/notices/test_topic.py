"""A notice on the topic is one plain message with attributes to filter by."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from tagship.model.errors import AwsUnavailable
from tagship.notices import topic
from tests.unit.notices.test_notice import RECORD, SHIFTED, notice_about
from tests.unit.tables import aws_error


@dataclass
class FakeTopic:
    """Keeps what was published."""

    sent: list[dict[str, Any]] = field(default_factory=list)
    fails_with: Exception | None = None

    def publish(self, **request: Any) -> dict[str, str]:
        if self.fails_with:
            raise self.fails_with
        self.sent.append(request)
        return {"MessageId": "1"}


def published(notice):
    """The one message."""
    sns = FakeTopic()
    topic.publish(notice, sns=sns, topic_arn="arn:topic")
    (sent,) = sns.sent
    return sent


def test_a_message_has_the_event_the_current_release_the_next_steps_and_a_link():
    notice = notice_about(
        "Release Rolled Back",
        {"why": "5 of 5 answers were 500.", "readAt": "2026-11-23T09:48:00.000Z"},
        record=RECORD | {"status": "ROLLED_BACK"},
    )
    assert published(notice) == {
        "TopicArn": "arn:topic",
        "Subject": "[production] storefront v1.4.0: Release Rolled Back",
        "Message": (
            "storefront v1.4.0 in production: ROLLED_BACK: the previous release serves all traffic again, 12 "
            "min after it was read\n\n5 of 5 answers were 500.\n\nCurrent release: v1.3.0 serves all "
            "traffic.\n\nNext steps:\n- v1.3.0 serves all traffic again and is healthy. No action is needed "
            "now.\n- Fix the problem, then publish a new tag.\n\nDetails: "
            "https://us-east-1.console.aws.amazon.com/states/home?region=us-east-1#/v2/executions/details/arn:aws:states:us-east-1:000000000000:execution:release:one\n"
        ),
        "MessageAttributes": {
            "application": {"DataType": "String", "StringValue": "storefront"},
            "stage": {"DataType": "String", "StringValue": "production"},
            "name": {"DataType": "String", "StringValue": "Release Rolled Back"},
        },
    }


def test_a_subject_is_valid_for_sns():
    sent = published(replace(notice_about("Traffic Shifted", SHIFTED), tag="v1.0.0-ä\n" + "a" * 120))
    assert len(sent["Subject"]) == 100
    assert sent["Subject"].isascii()
    assert sent["Subject"].isprintable()


def test_an_unavailable_topic_is_retried():
    """Fault 50."""
    sns = FakeTopic(fails_with=aws_error("InternalError", status=500))
    with pytest.raises(AwsUnavailable):
        topic.publish(notice_about("Traffic Shifted", SHIFTED), sns=sns, topic_arn="arn:topic")
