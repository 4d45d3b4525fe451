"""A Slack server on loopback that stores posts and answers as configured: webhooks and `chat.postMessage`.

It has `chat.postMessage`'s errors, threads, and one message for each `client_msg_id`.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from typing import Any

from tests.http_server import LocalServer


@dataclass
class Slack:
    """Posts by path. `answers` sets the response of a path (or of `chat.postMessage`) instead of `ok`."""

    port: int = 0
    posts: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    answers: dict[str, tuple[int, str]] = field(default_factory=dict)
    retry_after: str = ""
    token: str = "xoxb-1234567890-a-token"
    room: str = "C0RELEASES"
    messages: list[dict[str, Any]] = field(default_factory=list)
    """The bot's messages in the channel, each with its `ts`."""
    lock: threading.Lock = field(default_factory=threading.Lock)
    hangs: set[str] = field(default_factory=set)
    goes_on: threading.Event = field(default_factory=threading.Event)

    def url(self, path: str = "/services/T0/B0/channel") -> str:
        return f"http://127.0.0.1:{self.port}{path}"

    def secret(self, *approvers: str) -> str:
        """A channel, and a webhook for each of these people."""
        own = {who: self.url(f"/services/T0/B0/{who.partition('@')[0].lower()}") for who in approvers}
        return json.dumps({"channel": self.url(), "approvers": own})

    def bot(self, *approvers: str, **fields: Any) -> str:
        """A bot in the room, and a webhook for each of these people."""
        own = json.loads(self.secret(*approvers))["approvers"]
        bot = {"botToken": self.token, "channelId": self.room, "api": self.url("/api")}
        return json.dumps(bot | ({"approvers": own} if own else {}) | fields)

    def threads(self) -> dict[str, list[dict[str, Any]]]:
        """The bot's messages, by the one that opened their thread."""
        found: dict[str, list[dict[str, Any]]] = {}
        for message in self.messages:
            found.setdefault(message.get("thread_ts") or message["ts"], []).append(message)
        return found

    def said(self, authorization: str, payload: dict[str, Any]) -> dict[str, Any]:
        """The response and effect of `chat.postMessage`."""
        with self.lock:
            known = {message["client_msg_id"]: message for message in self.messages}
            before = known.get(payload.get("client_msg_id", ""))
            names = {message["ts"] for message in self.messages if "thread_ts" not in message}
            if error := self._wrong(authorization, payload, names):
                return {"ok": False, "error": error}
            message = before or payload | {"ts": f"1764000000.{len(self.messages):06}"}
            if not before:
                self.messages.append(message)
            return {"ok": True, "channel": self.room, "ts": message["ts"], "message": message}

    def _wrong(self, authorization: str, payload: dict[str, Any], names: set[str]) -> str:
        if authorization != f"Bearer {self.token}":
            return "invalid_auth" if authorization else "not_authed"
        if payload["channel"] != self.room:
            return "channel_not_found"
        if payload.get("thread_ts", next(iter(names), "")) not in names | {""}:
            return "thread_not_found"
        blocks = payload["blocks"]
        texts = [str(block["text"]["text"]) for block in blocks if "text" in block]
        if not 0 < len(blocks) <= 50 or any(not 0 < len(text) <= 3000 for text in texts):
            return "invalid_blocks"
        return ""

    def to(self, name: str) -> list[dict[str, Any]]:
        """Posts to `channel`, or to `ana`."""
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
            if (status, text) == (200, "ok") and self.path == "/api/chat.postMessage":
                text = json.dumps(here.said(self.headers.get("Authorization", ""), json.loads(body)))
            elif status == 200 and not self.path.startswith("/api/"):
                here.posts.append((self.path, json.loads(body)))
            self.send_response(status)
            if here.retry_after:
                self.send_header("Retry-After", here.retry_after)
            self.send_header("Location", here.url("/services/T0/B0/elsewhere"))
            self.end_headers()
            self.wfile.write(text.encode())

        def log_message(self, *_: object) -> None:
            pass

    server = LocalServer(("127.0.0.1", 0), Handler)
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
