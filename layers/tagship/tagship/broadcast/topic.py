"""The SNS topic: one plain message for each fact that people care about."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from tagship.calls import calling

_TOLD = frozenset(
    {
        "Release Read",
        "Tag Already Used",
        "Gates Failed",
        "Approval Requested",
        "Approval Granted",
        "Approval Rejected",
        "Approval Expired",
        "Approval Superseded",
        "Approval Error",
        "Deployment Started",
        "Traffic Shifted",
        "Rollback Triggered",
        "Baseline Restored",
        "Release Succeeded",
        "Release Invalid",
        "Release Rejected",
        "Release Expired",
        "Release Superseded",
        "Release Rolled Back",
        "Rollback Failed",
        "Release Aborted",
    }
)
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]+")


def publish(fact: Mapping[str, Any], *, sns: Any, topic_arn: str) -> None:
    """With application, stage and fact as message attributes, so that subscribers can filter."""
    if fact["name"] not in _TOLD:
        return
    with calling("Telling the topic"):
        sns.publish(
            TopicArn=topic_arn,
            Subject=_plain(f"[{fact['stage']}] {fact['application']} {fact['tag']}: {fact['name']}")[:100],
            Message=message(fact),
            MessageAttributes={
                name: {"DataType": "String", "StringValue": str(fact[name])}
                for name in ("application", "stage", "name")
            },
        )


def message(fact: Mapping[str, Any]) -> str:
    """What happened, to what, why, and where to look."""
    data = fact["data"]
    lines = [f"{fact['application']} {fact['tag']} ({fact['stage']}): {fact['name']}", f"When: {fact['at']}"]
    if fact["who"] != "tagship":
        lines.append(f"Who: {fact['who']}")
    for name, label in (
        ("why", "Why"),
        ("what", "What"),
        ("percent", "Share in percent"),
        ("summary", "Plan"),
    ):
        if data.get(name) not in (None, "", []):
            value = data[name]
            lines.append(f"{label}: {'; '.join(value) if isinstance(value, list) else value}")
    if fact["execution"]:
        lines.append(f"Execution: {fact['execution']}")
    return "\n".join(_plain(text) for text in lines)


def _plain(text: str) -> str:
    return _CONTROL.sub(" ", text)
