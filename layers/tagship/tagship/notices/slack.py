"""A notice in a team's Slack channel."""

from __future__ import annotations

import hashlib

from tagship.ledger.notices import Thread, record_sent, was_sent
from tagship.ledger.table import Ledger
from tagship.model.facts import ENDING_KINDS, FactKind, Level
from tagship.model.records import Known
from tagship.model.schedule import EVERY_APPLICATION
from tagship.notices.channel import Channel, Fact, Means, level_of, notifications, secrets_of, texts
from tagship.notices.notice import Notice, is_sent, notice_of
from tagship.slack.messages import (
    Bot,
    Message,
    Webhooks,
    bullets,
    context,
    escaped,
    message,
    post,
    section,
    webhooks,
)
from tagship.slack.thread import say
from tagship.text.words import count

_ASKED = FactKind.APPROVAL_REQUESTED
"""Facts that their own step posts: if the channel must carry the request, it cannot be posted later."""
_FOLLOWS = {
    FactKind.APPROVERS_REMINDED,
    FactKind.APPROVAL_GRANTED,
    FactKind.APPROVAL_REJECTED,
    FactKind.APPROVAL_EXPIRED,
    FactKind.APPROVAL_SUPERSEDED,
    FactKind.PLAN_OUTDATED,
}
_SIGNS = {
    "plain": ":large_blue_circle:",
    "good": ":large_green_circle:",
    "wary": ":large_yellow_circle:",
    "bad": ":red_circle:",
}
_MORE = 6


def message_of(notice: Notice) -> Message:
    """The blocks: what happened, why, the current release, the next steps, and a link to the execution."""
    blocks = [section(f"{_SIGNS[notice.mood.value]} {escaped(notice.text)}")]
    more = [escaped(text) for text in notice.more[:_MORE]]
    if len(notice.more) > _MORE:
        more.append(f"and {count(len(notice.more) - _MORE, 'line')} more")
    if more:
        blocks.append(section(bullets(more)))
    if notice.needed:
        blocks.append(section("*Next steps*\n" + "\n".join(map(escaped, notice.needed))))
    last = [f"*Current release:* {escaped(notice.serves)}"] if notice.serves else []
    if notice.look.startswith("https://"):
        last.append(f"<{notice.look}|View the execution>")
    if last:
        blocks.append(context("   ".join(last)))
    return message(notice.subject, *blocks)


def take(fact: Fact, record: Known, means: Means) -> None:
    """Raises SlackFailed, MessageRefused."""
    name = notifications(record).get("slackWebhookSecret")
    if not name:
        return
    if notice := notice_of(fact, record, level=_level(fact, record)):
        found = webhooks(secrets_of(fact, record, means, "slack"), name, hosts=means.slack_hosts)
        shared = _shared_channel(found) if fact["application"] == EVERY_APPLICATION else ""
        if shared and was_sent(means.ledger, fact, shared):
            return
        if found.bot:
            say(
                found.bot,
                message_of(notice),
                key=fact["digest"],
                thread=_thread(fact, found.bot, means) if fact["tag"] else None,
                everybody=fact["name"] in ENDING_KINDS,
                pause=means.ledger.pause,
            )
        elif found.channel:
            post(found.channel, message_of(notice))
        if shared:
            record_sent(means.ledger, fact, shared)


def has_recipients(fact: Fact, record: Known, _: Ledger) -> bool:
    """Whether the application names a secret with its channel, and gets this fact at its level."""
    return bool(notifications(record).get("slackWebhookSecret")) and is_sent(fact, _level(fact, record))


def _level(fact: Fact, record: Known) -> Level:
    """The outcome of a request is posted wherever the request was, at any level."""
    return Level.EVERYTHING if fact["name"] in _FOLLOWS else level_of(record)


def _shared_channel(found: Webhooks) -> str:
    """The name under which a channel accepts a fact about all applications: several applications can share it."""
    place = f"{found.bot.api} {found.bot.channel}" if found.bot else found.channel
    return f"slack-channel-{hashlib.sha256(place.encode()).hexdigest()[:16]}" if place else ""


def _thread(fact: Fact, bot: Bot, means: Means) -> Thread:
    return Thread(ledger=means.ledger, release=fact, channel=f"slack {bot.channel}")


CHANNEL = Channel(
    wants=lambda fact: is_sent(fact) and fact["name"] != _ASKED,
    take=take,
    has_recipients=has_recipients,
    readers=lambda application, settings: [
        {"application": application, "slackWebhookSecret": name}
        for name in texts([settings.get("slackWebhookSecret")])
    ],
)
