"""The HTTP server of the tests' local services."""

from __future__ import annotations

from http.server import ThreadingHTTPServer


class LocalServer(ThreadingHTTPServer):
    """Keeps many connections waiting. By default only 5 may wait, and the kernel drops the others: on a busy machine a
    request then times out."""

    request_queue_size = 128
