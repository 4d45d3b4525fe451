"""The SNS topic: one plain message for each fact that people are told, for whoever subscribes."""

from __future__ import annotations

import re
from typing import Any

from tagship.aws.calls import calling
from tagship.notices.mail import text_of
from tagship.notices.notice import Notice

_NOT_ASCII = re.compile(r"[^ -~]")
_SUBJECT = 100
"""Characters of ASCII that SNS takes."""


def publish(notice: Notice, *, sns: Any, topic_arn: str) -> None:
    """With application, stage and the fact's name as message attributes, so that subscribers can filter.

    Raises AwsUnavailable.
    """
    subject = f"[{notice.stage}] {notice.about}: {notice.name}"
    with calling("Telling the topic"):
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
