"""The interface of a channel: what it receives, and what the rest of Tagship knows about it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tagship.aws.secrets import ApplicationSecrets
from tagship.ledger.table import Ledger
from tagship.model.facts import Level
from tagship.model.records import FactRecord, Known, configured
from tagship.notices.everywhere import Notifications

Fact = FactRecord


class NotDelivered(Exception):
    """The channel did not accept a notice; it is sent again later. Never reaches a state machine."""


class NeverTaken(Exception):
    """The channel will never accept this message: a retry is useless and would block the following ones."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Means:
    """What a channel can use."""

    client: Callable[[str], Any]
    """An AWS client, with the function's own role."""
    ledger: Ledger
    """The thread of a release's notices in a channel."""
    event_bus: str
    topic: str
    sender: str
    """The sender's mail address."""
    slack_hosts: Sequence[str]
    """The allowed hosts of webhooks."""
    github_hosts: Sequence[str]
    """The hosts to which a GitHub token may be sent."""
    guards_configuration: bool = False
    """Whether only a configuration that was approved counts."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Channel:
    """Which facts a channel wants, and how it sends one."""

    wants: Callable[[Fact], bool]
    """By the fact alone: its name and its data."""
    take: Callable[[Fact, Known, Means], None]
    """Raises if the channel did not accept it: it is retried."""
    has_recipients: Callable[[Fact, Known, Ledger], bool] | None = None
    """Whether a release's application has a recipient for a fact, by what the ledger has of the release; None if there
    always is one. Without a recipient, the fact is not queued for this channel.
    """
    readers: Callable[[str, Notifications], list[Notifications]] | None = None
    """The recipients in an application's configuration, one by one; None for a channel that needs no recipient."""
    each_alone: bool = False
    """Several recipients of one application each get a separate message, so that a refused one does not affect the
    others.
    """


def notifications(record: Known) -> Mapping[str, Any]:
    """The application's notification settings; empty if its configuration is invalid or has none."""
    return configured(record).get("notifications") or {}


def secrets_of(fact: Fact, record: Known, means: Means, service: str) -> ApplicationSecrets:
    """Secrets of the application that named the one in use: the fact's own, or a reader of a fact about all applications."""
    return ApplicationSecrets(
        client=means.client("secretsmanager"),
        stage=means.ledger.stage,
        application=record.get("application") or fact["application"],
        service=service,
    )


def level_of(record: Known) -> Level:
    """The level of notices that the application wants."""
    level = notifications(record).get("level")
    return Level(level) if isinstance(level, str) and level in set(Level) else Level.EVERYTHING


def texts(value: object) -> list[str]:
    """These configurations were not validated here: an invalid one must not stop notices to the others' recipients."""
    return [each for each in value if isinstance(each, str) and each] if isinstance(value, list) else []
