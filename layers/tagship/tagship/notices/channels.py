"""All channels. A new one is one file and one entry in `CHANNELS`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from tagship.model.records import Known, configured
from tagship.model.schedule import EVERY_APPLICATION
from tagship.notices import bus, everywhere, github, github_jobs, mail, slack, topic
from tagship.notices.channel import Channel, Fact, level_of, notifications
from tagship.notices.notice import notice_of

if TYPE_CHECKING:
    from mypy_boto3_ssm import SSMClient

CHANNELS: Mapping[str, Channel] = {
    "bus": bus.CHANNEL,
    "topic": topic.CHANNEL,
    "slack": slack.CHANNEL,
    "mail": mail.CHANNEL,
    "github": github.CHANNEL,
    "github-jobs": github_jobs.CHANNEL,
}


def wanting(name: str) -> list[str]:
    """The channels that want facts of this name."""
    return [channel for channel, about in CHANNELS.items() if about.wants(name)]


def readers_of(
    fact: Fact, channel: str, record: Known, *, ssm: SSMClient, stage: str
) -> list[dict[str, object]] | None:
    """The recipients that get a separate message each; None if one message is for all of them.

    Raises AwsUnavailable.
    """
    about = CHANNELS[channel]
    if about.readers is None:
        return None
    if fact["application"] == EVERY_APPLICATION:
        return everywhere.readers(
            everywhere.configured(ssm, stage),
            about.readers,
            lambda level: notice_of(fact, {}, level=level) is not None,
        )
    found = about.readers(fact["application"], notifications(record)) if about.each_alone else []
    if len(found) < 2:
        return None
    sent = notice_of(fact, record, level=level_of(record)) is not None
    return [dict(reader) for reader in found] if sent else []


def addressed_to(reader: Mapping[str, Any], record: Known) -> Known:
    """The same release, with only this recipient in its configuration; for a fact about all applications, the recipient's
    own.
    """
    reader = dict(reader)
    owner: Known = {"application": reader.pop("application")} if "application" in reader else {}
    alone = {"notifications": {**notifications(record), **reader}}
    return {**record, **owner, "configuration": {"document": {**configured(record), **alone}}}
