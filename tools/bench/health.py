"""A hundred addresses in one health check, against one: real sockets on this machine, without TLS."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from ipaddress import ip_network

from tagship.health import HttpCheck
from tagship.health import asking as http
from tagship.health.verdict import Verdict
from tools.bench.table import SECONDS, Figure, Part, say
from tools.stack import LocalError

MANY = 100
ANSWERS_AFTER = 0.1
"""Seconds that each answer takes."""
_ALLOWED = (ip_network("127.0.0.0/8"),)


def measure(*, runs: int) -> list[Part]:
    """One request of each address.

    Raises LocalError when the check does not call them healthy.
    """
    say(f"health checks of 1 and of {MANY} addresses")
    with _serving() as base:
        one, many = (
            Figure(what=what, unit=SECONDS, runs=[_asked(base, count) for _ in range(runs)])
            for what, count in (("one address", 1), (f"{MANY} addresses at once", MANY))
        )
    return [
        Part(
            title=f"An http check whose answers take {ANSWERS_AFTER * 1000:.0f} ms",
            figures=[one, many.at_most(one.median + 1, words="one, and 1 s")],
        )
    ]


def _asked(base: str, count: int) -> float:
    urls = tuple(f"{base}/{number}" for number in range(count))
    check = HttpCheck(type="http", urls=urls, requests=1, mustPass=1, maxLatencyMs=10_000, timeoutSeconds=10)
    began = time.monotonic()
    result = http.check(check, name="bench", allowed=_ALLOWED)
    seconds = time.monotonic() - began
    if result.verdict is not Verdict.HEALTHY:
        raise LocalError(f"The check of {count} addresses is {result.verdict}: {result.why}")
    return seconds


class _Slow(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        time.sleep(ANSWERS_AFTER)
        self.send_response(200)
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"ok")

    def log_message(self, *_: object) -> None:
        """No log: there would be a hundred lines."""


class _Server(ThreadingHTTPServer):
    request_queue_size = MANY


@contextmanager
def _serving() -> Iterator[str]:
    server = _Server(("127.0.0.1", 0), _Slow)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
