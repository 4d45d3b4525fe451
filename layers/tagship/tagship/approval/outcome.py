"""What became of a request, told in the channel in which it was announced."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from tagship import slack
from tagship.approval.errors import ChannelUnavailable
from tagship.approval.facts import CHANNEL, failure
from tagship.approval.slack import follow_up
from tagship.ledger.table import Ledger


def follow(
    ledger: Ledger,
    request: Mapping[str, Any],
    fact: Mapping[str, Any],
    *,
    secrets: Any,
    hosts: Sequence[str],
    now: datetime,
) -> None:
    """One message to the channel, if the secret has one; that it was not taken is a fact.

    Raises ChannelUnavailable when it may be taken later. A second message, after an answer that was lost, does no harm.
    """
    try:
        channel = slack.webhooks(secrets, request["slack"], hosts=hosts).channel
        if channel:
            slack.post(channel, follow_up(request, fact, now=now))
    except slack.SlackFailed as error:
        ledger.record(failure(request, channel="slack", failed={CHANNEL: error.reason}))
        if error.passes:
            title = f"{request['application']} {request['tag']}"
            raise ChannelUnavailable(
                f"{title}: Slack did not take {fact['name']!r}: {error.reason}"
            ) from None
