"""One JSON request to somebody else's service, with bounds on everything that the other side decides.

urllib3 comes with boto3 in Lambda's runtime. What goes wrong is said without the address: a webhook's address is a secret.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

_CONNECT_SECONDS = 3
_TAKEN = 256 * 1024
"""Bytes of an answer that are read."""
_LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})


class NotDelivered(Exception):
    """The service did not take it. Never reaches a state machine: whoever sends decides what comes of it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What the other side said."""

    status: int
    body: bytes
    retry_after: str

    def json(self) -> Any:
        """The body, or None where it is no JSON."""
        try:
            return json.loads(self.body)
        except (ValueError, RecursionError):
            return None


def send(
    url: str,
    *,
    to: str,
    method: str = "POST",
    data: Any = None,
    headers: Mapping[str, str] | None = None,
    seconds: float = 10,
) -> Answer:
    """Sends `data` as JSON. No redirect is followed, nothing is sent twice, and `seconds` bounds each wait for an answer.

    `to` is what the service is called in errors. Raises NotDelivered when it can't be reached, or the address is not https
    (http is for loopback alone).
    """
    import urllib3  # late: most functions send nothing

    parts = urlsplit(url)
    if parts.scheme != "https" and not (parts.scheme == "http" and parts.hostname in _LOOPBACK):
        raise NotDelivered(f"{to}: its address is not an https address.")
    content = {} if data is None else {"Content-Type": "application/json; charset=utf-8"}
    try:
        with urllib3.PoolManager(retries=False) as pool:
            answer = pool.request(
                method,
                url,
                body=None if data is None else json.dumps(data).encode(),
                headers={"User-Agent": "tagship", **content, **(headers or {})},
                timeout=urllib3.Timeout(connect=min(_CONNECT_SECONDS, seconds), read=seconds),
                redirect=False,
                preload_content=False,
            )
            try:
                body = answer.read(_TAKEN)
            finally:
                answer.close()
    except (urllib3.exceptions.HTTPError, ValueError) as error:
        # the chain would print the address
        raise NotDelivered(f"{to} can't be reached ({type(error).__name__}).") from None
    return Answer(status=answer.status, body=body, retry_after=answer.headers.get("Retry-After", ""))
