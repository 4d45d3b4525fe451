"""A Slack on the loopback address: it keeps what is posted to it, and answers as it was told to."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass
class Slack:
    """What was posted, by path; `answers` says what a path answers instead of `ok`."""

    port: int = 0
    posts: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    answers: dict[str, tuple[int, str]] = field(default_factory=dict)
    hangs: set[str] = field(default_factory=set)
    goes_on: threading.Event = field(default_factory=threading.Event)

    def url(self, path: str = "/services/T0/B0/channel") -> str:
        return f"http://127.0.0.1:{self.port}{path}"

    def secret(self, *approvers: str) -> str:
        """A channel, and a webhook for each of these people."""
        own = {who: self.url(f"/services/T0/B0/{who.partition('@')[0].lower()}") for who in approvers}
        return json.dumps({"channel": self.url(), "approvers": own})

    def to(self, name: str) -> list[dict[str, Any]]:
        """What was posted to `channel`, or to `ana`."""
        return [message for path, message in self.posts if path.endswith(f"/{name}")]


@contextmanager
def slack() -> Iterator[Slack]:
    """Until the block ends."""
    here = Slack()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            assert self.headers["Content-Type"] == "application/json; charset=utf-8"
            if self.path.rsplit("/", 1)[-1] in here.hangs:
                here.goes_on.wait(30)
                return
            status, text = here.answers.get(self.path.rsplit("/", 1)[-1], (200, "ok"))
            if status == 200:
                here.posts.append((self.path, json.loads(body)))
            self.send_response(status)
            self.send_header("Location", here.url("/services/T0/B0/elsewhere"))
            self.end_headers()
            self.wfile.write(text.encode())

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    here.port = server.server_address[1]
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield here
    finally:
        here.goes_on.set()
        server.shutdown()
        server.server_close()
        thread.join(5)
