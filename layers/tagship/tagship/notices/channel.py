"""What a channel is given and what the rest knows of any channel."""

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
    """The channel did not take a notice; it is sent again later. Never reaches a state machine."""


class NeverTaken(Exception):
    """The channel accepts others, but never this message: retrying is of no use, and would hold up those behind it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Means:
    """What a channel may use of the world."""

    client: Callable[[str], Any]
    """An AWS service, with the function's own role."""
    ledger: Ledger
    """For what holds a release's notices in a channel together."""
    event_bus: str
    topic: str
    sender: str
    """The address that mail comes from."""
    slack_hosts: Sequence[str]
    """The hosts that a webhook may have."""
    github_hosts: Sequence[str]
    """The hosts to which a GitHub token may be sent."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Channel:
    """Which facts a channel wants, and how it takes one."""

    wants: Callable[[str], bool]
    """By the fact's name."""
    take: Callable[[Fact, Known, Means], None]
    """Raises when the channel did not take it: it is tried again."""
    readers: Callable[[str, Notifications], list[Notifications]] | None = None
    """Whom an application's configuration names, one by one; None where nobody has to be named to be notified."""
    each_alone: bool = False
    """Several readers of one application get a message each, so that one who is refused keeps it from no other."""


def notifications(record: Known) -> Mapping[str, Any]:
    """Whom the application wants notified; nobody where its configuration is not valid or says nothing."""
    return configured(record).get("notifications") or {}


def secrets_of(fact: Fact, record: Known, means: Means, service: str) -> ApplicationSecrets:
    """Those of the application that named the secret: the fact's own, or the one that is a reader of a fact about all."""
    return ApplicationSecrets(
        client=means.client("secretsmanager"),
        stage=means.ledger.stage,
        application=record.get("application") or fact["application"],
        service=service,
    )


def level_of(record: Known) -> Level:
    """How much the application wants to hear."""
    level = notifications(record).get("level")
    return Level(level) if isinstance(level, str) and level in set(Level) else Level.EVERYTHING


def texts(wanted: object) -> list[str]:
    """Nobody has validated these configurations here: one that is wrong must not keep the others' readers from hearing."""
    return [each for each in wanted if isinstance(each, str) and each] if isinstance(wanted, list) else []
