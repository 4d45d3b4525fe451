"""The SNS topic: one plain message for each fact that people get, for all subscribers."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from tagship.aws.calls import calling
from tagship.model.facts import Level
from tagship.model.records import Known
from tagship.notices.channel import Channel, Fact, Means
from tagship.notices.mail import text_of
from tagship.notices.notice import Notice, is_sent, notice_of

if TYPE_CHECKING:
    from mypy_boto3_sns import SNSClient

_NOT_ASCII = re.compile(r"[^ -~]")
_SUBJECT = 100
"""The limit of a subject in SNS, in ASCII characters."""


def publish(notice: Notice, *, sns: SNSClient, topic_arn: str) -> None:
    """With application, stage and the fact's name as message attributes, so that subscribers can filter.

    Raises AwsUnavailable.
    """
    subject = f"[{notice.stage}] {notice.about}: {notice.name}"
    with calling("Publishing to the topic"):
        sns.publish(
            TopicArn=topic_arn,
            Subject=_NOT_ASCII.sub("?", subject)[:_SUBJECT],
            Message=text_of(notice),
            MessageAttributes={
                name: {"DataType": "String", "StringValue": value}
                for name, value in (
                    ("application", notice.application),
                    ("stage", notice.stage),
                    ("name", notice.name),
                )
            },
        )


def take(fact: Fact, record: Known, means: Means) -> None:
    """Raises AwsUnavailable."""
    if notice := notice_of(fact, record, level=Level.EVERYTHING):
        publish(notice, sns=means.client("sns"), topic_arn=means.topic)


CHANNEL = Channel(wants=is_sent, take=take)
