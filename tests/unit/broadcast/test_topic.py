"""What people care about is one plain message: what happened, why, and nothing that a terminal would obey."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tagship.broadcast import topic
from tagship.errors import AwsUnavailable
from tagship.ledger.releases import ENDING_FACTS
from tests.unit.broadcast.facts import FACT, fact
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


def published(told: dict[str, Any]) -> list[dict[str, Any]]:
    sns = FakeTopic()
    topic.publish(told, sns=sns, topic_arn="arn:topic")
    return sns.sent


def test_a_message_says_what_happened_to_what_and_where_to_look():
    told = fact("Release Rolled Back", {"why": "5 of 5 answers were 500.", "readAt": "x"})
    assert published(told) == [
        {
            "TopicArn": "arn:topic",
            "Subject": "[production] storefront v1.4.0: Release Rolled Back",
            "Message": (
                "storefront v1.4.0 (production): Release Rolled Back\n"
                "When: 2026-11-23T10:00:00.250Z\n"
                "Why: 5 of 5 answers were 500.\n"
                "Execution: arn:aws:states:us-east-1:000000000000:execution:release:one"
            ),
            "MessageAttributes": {
                "application": {"DataType": "String", "StringValue": "storefront"},
                "stage": {"DataType": "String", "StringValue": "production"},
                "name": {"DataType": "String", "StringValue": "Release Rolled Back"},
            },
        }
    ]


@pytest.mark.parametrize(
    "told, line",
    [
        (fact("Traffic Shifted", {"percent": 10}), "Share in percent: 10"),
        (fact("Rollback Triggered", {"percent": 0, "why": "x"}), "Share in percent: 0"),
        (fact("Baseline Restored", {"what": "all traffic to version 1"}), "What: all traffic to version 1"),
        (
            fact("Approval Requested", {"summary": ["version 1 → 2", "new code"]}),
            "Plan: version 1 → 2; new code",
        ),
        (fact("Approval Granted", who="ana@example.com"), "Who: ana@example.com"),
    ],
    ids=lambda value: str(value)[-30:],
)
def test_what_a_fact_knows_is_told(told, line):
    assert line in topic.message(told).splitlines()


def test_what_a_fact_does_not_know_is_left_out():
    message = topic.message(fact("Traffic Shifted", {"why": "", "summary": [], "what": None}, execution=""))
    assert len(message.splitlines()) == 2


@pytest.mark.parametrize(
    "name", [*ENDING_FACTS.values(), "Tag Already Used", "Approval Error", "Rollback Triggered"]
)
def test_every_ending_and_whatever_goes_wrong_is_told(name):
    assert len(published(fact(name))) == 1


@pytest.mark.parametrize(
    "name", ["Lock Acquired", "Health Checked", "Approvers Reminded", "Link Refused", "Gates Passed"]
)
def test_what_nobody_asked_for_is_not_told(name):
    assert published(fact(name)) == []


HOSTILE = [
    "a\nSubject: forged",
    "a\r\n\r\nb",
    "\x1b[2J\x1b]0;title\x07",
    "a\x00b\x7f\x9b31m",
    "\u202egnp.exe\u202c",
    "\u2066a\u2069",
    "line\u2028paragraph\u2029",
    "\u200e\u200f\u061c",
]


@pytest.mark.parametrize("text", HOSTILE, ids=ascii)
def test_hostile_text_is_one_line_of_text(text):
    """Fault 52."""
    plain = topic.message(fact("Release Rejected", {"why": "why"}, who="who"))
    message = topic.message(
        fact("Release Rejected", {"why": text, "what": text, "summary": [text, text]}, who=text)
    )
    assert len(message.split("\n")) == len(plain.split("\n")) + 2
    assert all(line.isprintable() for line in message.split("\n"))


@given(st.text(max_size=60), st.text(max_size=60))
def test_no_text_at_all_adds_a_line_or_a_control_character(why, who):
    """Fault 52."""
    message = topic.message(fact("Release Rejected", {"why": f"because {why}"}, who=f"by {who}"))
    assert len(message.split("\n")) == 5
    assert not any(
        ord(character) < 32 or 127 <= ord(character) < 160 for character in message.replace("\n", "")
    )


def test_a_subject_is_short_enough_for_sns():
    (sent,) = published(fact("Release Succeeded", tag="v1.0.0-" + "a" * 120))
    assert len(sent["Subject"]) == 100
    assert sent["Subject"].isascii()


def test_a_topic_that_can_not_answer_just_now_is_asked_again():
    """Fault 50."""
    with pytest.raises(AwsUnavailable):
        topic.publish(
            FACT, sns=FakeTopic(fails_with=aws_error("InternalError", status=500)), topic_arn="arn:topic"
        )
