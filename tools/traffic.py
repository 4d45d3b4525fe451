"""Customers: real requests to the storefront while it is released, and which version answered each of them."""

from __future__ import annotations

import threading
import time
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

_PAUSE = 0.05


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One request: when it was sent, who answered, and how."""

    at: float
    version: str
    status: int


@dataclass(slots=True)
class Traffic:
    """Every request so far."""

    url: str
    requests: list[Request] = field(default_factory=list)
    _ended: threading.Event = field(default_factory=threading.Event)

    def between(self, start: float, end: float) -> list[Request]:
        """The requests that were sent in a span of time."""
        return [request for request in self.requests if start <= request.at < end]

    def ask(self) -> Request:
        """One request more."""
        at = time.time()
        try:
            with urllib.request.urlopen(self.url, timeout=10) as response:
                status, headers = response.status, response.headers
        except urllib.error.HTTPError as error:
            status, headers = error.code, error.headers
        request = Request(at=at, version=headers.get("x-storefront-version") or "nobody", status=status)
        self.requests.append(request)
        return request

    def _flow(self) -> None:
        while not self._ended.wait(_PAUSE):
            try:
                self.ask()
            except OSError:
                self.requests.append(Request(at=time.time(), version="nobody", status=0))


@contextmanager
def flowing(url: str) -> Iterator[Traffic]:
    """Requests flow until the block ends."""
    traffic = Traffic(url=url)
    threads = [threading.Thread(target=traffic._flow, daemon=True) for _ in range(2)]
    for thread in threads:
        thread.start()
    try:
        yield traffic
    finally:
        traffic._ended.set()
        for thread in threads:
            thread.join(timeout=15)


def shares(requests: list[Request]) -> dict[str, float]:
    """The share in percent that each version answered, the largest first."""
    counted = Counter(request.version for request in requests)
    return {version: 100 * count / len(requests) for version, count in counted.most_common()}
