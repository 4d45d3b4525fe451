"""Customers: real requests to an application during its releases, and the release that answered each of them."""

from __future__ import annotations

import itertools
import threading
import time
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from email.message import Message
from typing import NamedTuple

_PAUSE = 0.05
NOBODY = "nobody"


class Answer(NamedTuple):
    """The release that answered a request, and the status; 0 without a response."""

    version: str
    status: int


Ask = Callable[[int], Answer]
"""Sends one request. The number identifies the customer. Raises OSError without a response."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One request: when it was sent, which release answered, and how."""

    at: float
    version: str
    status: int


@dataclass(slots=True)
class Traffic:
    """All requests so far."""

    ask: Ask
    requests: list[Request] = field(default_factory=list)
    _ended: threading.Event = field(default_factory=threading.Event)
    _numbers: Iterator[int] = field(default_factory=itertools.count)

    def between(self, start: float, end: float) -> list[Request]:
        """The requests that were sent in a period."""
        return [request for request in self.requests if start <= request.at < end]

    def _flow(self) -> None:
        while not self._ended.wait(_PAUSE):
            at = time.time()
            try:
                version, status = self.ask(next(self._numbers))
            except OSError:
                version, status = NOBODY, 0
            self.requests.append(Request(at=at, version=version or NOBODY, status=status))


@contextmanager
def flowing(ask: Ask) -> Iterator[Traffic]:
    """Sends requests until the block ends."""
    traffic = Traffic(ask=ask)
    threads = [threading.Thread(target=traffic._flow, daemon=True) for _ in range(2)]
    for thread in threads:
        thread.start()
    try:
        yield traffic
    finally:
        traffic._ended.set()
        for thread in threads:
            thread.join(timeout=15)


def asked(
    url: str, *, said_by: Callable[[Message, str], str], headers: Mapping[str, str] | None = None
) -> Answer:
    """Sends one GET; `said_by` reads the release from the response's headers and body.

    Raises OSError without a response.
    """
    try:
        with urllib.request.urlopen(
            urllib.request.Request(url, headers=dict(headers or {})), timeout=10
        ) as answer:
            return Answer(said_by(answer.headers, answer.read().decode()), answer.status)
    except urllib.error.HTTPError as error:
        return Answer(said_by(error.headers, error.read().decode(errors="replace")), error.code)


def shares(requests: list[Request]) -> dict[str, float]:
    """The share of responses of each version in percent, the largest first."""
    counted = Counter(request.version for request in requests)
    return {version: 100 * count / len(requests) for version, count in counted.most_common()}
