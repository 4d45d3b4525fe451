"""The channels that a fact leaves through. A new one is one function and one line in `CHANNELS`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tagship.aws.secrets import secret
from tagship.ledger.notices import Thread
from tagship.model.facts import ENDING_KINDS, FactKind, Level
from tagship.model.schedule import EVERY_APPLICATION
from tagship.notices import bus, everywhere, github, mail, topic
from tagship.notices.channel import Channel, Fact, Means
from tagship.notices.notice import is_sent, notice_of
from tagship.notices.slack import message_of
from tagship.slack import messages as slack
from tagship.slack import thread as slack_thread

_ASKED = FactKind.APPROVAL_REQUESTED
"""Told on Slack by whoever asks: a channel that must carry the request can't be told of it later."""
_FOLLOWS = {
    FactKind.APPROVERS_REMINDED,
    FactKind.APPROVAL_GRANTED,
    FactKind.APPROVAL_REJECTED,
    FactKind.APPROVAL_EXPIRED,
    FactKind.APPROVAL_SUPERSEDED,
}


def _bus(fact: Fact, _: Mapping[str, Any], means: Means) -> None:
    bus.publish(fact, events=means.client("events"), event_bus=means.event_bus)


def _topic(fact: Fact, record: Mapping[str, Any], means: Means) -> None:
    if notice := notice_of(fact, record, level=Level.EVERYTHING):
        topic.publish(notice, sns=means.client("sns"), topic_arn=means.topic)


def _slack(fact: Fact, record: Mapping[str, Any], means: Means) -> None:
    name = notifications(record).get("slackWebhookSecret")
    if not name:
        return
    # what became of a request is told wherever it was announced, however quiet the channel is
    level = Level.EVERYTHING if fact["name"] in _FOLLOWS else _level(record)
    if notice := notice_of(fact, record, level=level):
        found = slack.webhooks(means.client("secretsmanager"), name, hosts=means.slack_hosts)
        if found.bot:
            slack_thread.say(
                found.bot,
                message_of(notice),
                key=fact["digest"],
                thread=_thread(fact, found.bot, means) if fact["tag"] else None,
                everybody=fact["name"] in ENDING_KINDS,
                pause=means.ledger.pause,
            )
        elif found.channel:
            slack.post(found.channel, message_of(notice))


def _thread(fact: Fact, bot: slack.Bot, means: Means) -> Thread:
    return Thread(ledger=means.ledger, release=fact, channel=f"slack {bot.channel}")


def _mail(fact: Fact, record: Mapping[str, Any], means: Means) -> None:
    wanted = notifications(record)
    if wanted.get("emails") and (notice := notice_of(fact, record, level=_level(record))):
        mail.send(
            notice,
            to=tuple(wanted["emails"]),
            sender=means.sender,
            ses=means.client("ses"),
        )


def _github(fact: Fact, record: Mapping[str, Any], means: Means) -> None:
    wanted = notifications(record).get("github")
    commit = (record.get("manifest") or {}).get("commit")
    if wanted and commit and (notice := notice_of(fact, record, level=Level.EVERYTHING)):
        token = secret(means.client("secretsmanager"), wanted["tokenSecret"])
        github.tell(
            notice,
            commit=commit,
            repository=github.Repository(name=wanted["repository"], token=token, api=wanted["api"]),
        )


def _texts(wanted: object) -> list[str]:
    """Nobody has validated these configurations here: one that is wrong must not keep the others' readers from hearing."""
    return [each for each in wanted if isinstance(each, str) and each] if isinstance(wanted, list) else []


CHANNELS: Mapping[str, Channel] = {
    "bus": Channel(wants=lambda _: True, take=_bus),
    "topic": Channel(wants=is_sent, take=_topic),
    "slack": Channel(
        wants=lambda name: is_sent(name) and name != _ASKED,
        take=_slack,
        readers=lambda wanted: [
            {"slackWebhookSecret": name} for name in _texts([wanted.get("slackWebhookSecret")])
        ],
    ),
    "mail": Channel(
        wants=is_sent,
        take=_mail,
        readers=lambda wanted: [{"emails": [address]} for address in _texts(wanted.get("emails"))],
        each_alone=True,
    ),
    "github": Channel(wants=github.FACTS.__contains__, take=_github),
}


def wanting(name: str) -> list[str]:
    """The channels that want facts of this name."""
    return [channel for channel, about in CHANNELS.items() if about.wants(name)]


def readers_of(
    fact: Fact, channel: str, record: Mapping[str, Any], *, ssm: Any, stage: str
) -> list[dict[str, Any]] | None:
    """The readers who get a message each; None where one message is for all of them.

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
    found = about.readers(notifications(record)) if about.each_alone else []
    if len(found) < 2:
        return None
    sent = notice_of(fact, record, level=_level(record)) is not None
    return [dict(reader) for reader in found] if sent else []


def addressed_to(reader: Mapping[str, Any], record: Mapping[str, Any]) -> dict[str, Any]:
    """The same release, whose configuration names this reader alone."""
    document = (record.get("configuration") or {}).get("document") or {}
    alone = {"notifications": {**notifications(record), **reader}}
    return {**record, "configuration": {"document": {**document, **alone}}}


def notifications(record: Mapping[str, Any]) -> Mapping[str, Any]:
    """Whom the application wants notified; nobody where its configuration is not valid or says nothing."""
    document = (record.get("configuration") or {}).get("document") or {}
    return document.get("notifications") or {}


def _level(record: Mapping[str, Any]) -> Level:
    level = notifications(record).get("level")
    return Level(level) if isinstance(level, str) and level in set(Level) else Level.EVERYTHING
