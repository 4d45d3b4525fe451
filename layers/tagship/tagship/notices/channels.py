"""All channels. A new one is one file and one entry in `CHANNELS`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tagship.ledger import jobs, releases
from tagship.ledger.table import Ledger
from tagship.model.errors import ApplicationUnknown
from tagship.model.records import Known, configured
from tagship.model.schedule import EVERY_APPLICATION
from tagship.notices import bus, everywhere, github, github_jobs, mail, slack, topic
from tagship.notices.channel import Channel, Fact, Means, level_of, notifications
from tagship.notices.notice import is_sent

BUS = "bus"
_NOT_UNDERSTOOD = (AttributeError, LookupError, TypeError, ValueError)
"""From a record that Tagship does not write: `notify` sets its notices aside, and each channel's alone."""
CHANNELS: Mapping[str, Channel] = {
    BUS: bus.CHANNEL,
    "topic": topic.CHANNEL,
    "slack": slack.CHANNEL,
    "mail": mail.CHANNEL,
    "github": github.CHANNEL,
    "github-jobs": github_jobs.CHANNEL,
}


def wanting(fact: Fact) -> list[str]:
    """The channels that want a fact, whichever of them its application uses."""
    return [channel for channel, about in CHANNELS.items() if about.wants(fact)]


def reaching(fact: Fact, ledger: Ledger) -> list[str]:
    """Of the channels that want a fact, those that may have a recipient, by what the ledger has of its release.

    All of them if the ledger does not say: for a fact about no release (a freeze), and without a valid configuration.

    Raises AwsUnavailable.
    """
    wanted = wanting(fact)
    if not fact["tag"] or not any(CHANNELS[channel].has_recipients for channel in wanted):
        return wanted
    jobs.read_ahead(ledger, fact["application"], fact["tag"])
    try:
        record = releases.about(ledger, fact)
        if not configured(record):
            return wanted
        return [channel for channel in wanted if _has_recipients(channel, fact, record, ledger)]
    except (ApplicationUnknown, *_NOT_UNDERSTOOD):
        return wanted


def _has_recipients(channel: str, fact: Fact, record: Known, ledger: Ledger) -> bool:
    has_recipients = CHANNELS[channel].has_recipients
    return has_recipients is None or has_recipients(fact, record, ledger)


def readers_of(fact: Fact, channel: str, record: Known, means: Means) -> list[dict[str, object]] | None:
    """The recipients that get a separate message each; None if one message is for all of them.

    Raises AwsUnavailable.
    """
    about = CHANNELS[channel]
    if about.readers is None:
        return None
    if fact["application"] == EVERY_APPLICATION:
        return everywhere.readers(
            everywhere.configured(means.client("ssm"), means.ledger.stage),
            about.readers,
            lambda level: is_sent(fact, level),
        )
    found = about.readers(fact["application"], notifications(record)) if about.each_alone else []
    if len(found) < 2:
        return None
    return [dict(reader) for reader in found] if is_sent(fact, level_of(record)) else []


def addressed_to(reader: Mapping[str, Any], record: Known) -> Known:
    """The same release, with only this recipient in its configuration; for a fact about all applications, the recipient's
    own.
    """
    reader = dict(reader)
    owner: Known = {"application": reader.pop("application")} if "application" in reader else {}
    alone = {"notifications": {**notifications(record), **reader}}
    return {**record, **owner, "configuration": {"document": {**configured(record), **alone}}}
