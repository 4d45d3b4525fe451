"""Secrets of other services, each bound to one application by its name: `tagship/<stage>/<application>/<service>…`.

An application's configuration names a secret. The name contains its owner, and secrets of other applications are never
read. A secret is read on each use, so that a rotated one takes effect at once.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from botocore.exceptions import BotoCoreError, ClientError

from tagship.aws.calls import calling
from tagship.model.release import secret_prefix


class SecretRefused(Exception):
    """The name is not that of a secret of this application, stage and service: it is not read."""


class SecretReader(Protocol):
    """A client of Secrets Manager, or a cache in front of one."""

    def get_secret_value(self, *, SecretId: str) -> Mapping[str, object]:
        """The secret's text under `SecretString`."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class ApplicationSecrets:
    """Reads one application's secrets for one service, and no others."""

    client: SecretReader
    stage: str
    application: str
    service: str
    """`slack` or `github`: a secret of one is never sent to the other."""

    def get_secret_value(self, *, SecretId: str) -> Mapping[str, object]:
        """Raises SecretRefused, before any call, for a name that does not begin with the application's prefix."""
        prefix = secret_prefix(self.stage, self.application, self.service)
        if not SecretId.startswith(prefix):
            raise SecretRefused(
                f"{SecretId} is not a secret of {self.application} for {self.service}: its name must begin with {prefix}"
            )
        return self.client.get_secret_value(SecretId=SecretId)


@dataclass(slots=True, kw_only=True)
class RecentSecrets:
    """Caches responses of Secrets Manager for some seconds, including refusals, for an entry point that anyone can call."""

    seconds: float = 10
    most: int = 32
    clock: Callable[[], float] = time.monotonic
    _kept: dict[str, tuple[float, Mapping[str, object] | Exception]] = field(default_factory=dict, repr=False)

    def of(self, client: SecretReader) -> SecretReader:
        """A reader that calls the client at most once in these seconds for each secret."""
        return _Recently(self, client)

    def answer(self, client: SecretReader, name: str) -> Mapping[str, object]:
        """Raises what the client raised."""
        now = self.clock()
        self._kept = {known: kept for known, kept in self._kept.items() if now < kept[0]}
        if name not in self._kept:
            if len(self._kept) >= self.most:
                del self._kept[next(iter(self._kept))]
            self._kept[name] = now + self.seconds, _asked(client, name)
        found = self._kept[name][1]
        if isinstance(found, Exception):
            raise found
        return found


@dataclass(frozen=True, slots=True)
class _Recently:
    recent: RecentSecrets
    client: SecretReader

    def get_secret_value(self, *, SecretId: str) -> Mapping[str, object]:
        return self.recent.answer(self.client, SecretId)


def _asked(client: SecretReader, name: str) -> Mapping[str, object] | Exception:
    try:
        return client.get_secret_value(SecretId=name)
    except (ClientError, BotoCoreError) as error:
        return error


def secret(secrets: SecretReader, name: str) -> str:
    """The secret's text.

    Raises AwsUnavailable if it cannot be read now, SecretRefused for another application's, and otherwise AWS's own
    error.
    """
    with calling(f"Reading the secret {name}"):
        answer = secrets.get_secret_value(SecretId=name)
    return str(answer.get("SecretString", "")).strip()
