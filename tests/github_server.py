"""A GitHub on the loopback address that keeps to its API for deployments and statuses of acme/storefront."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit


@dataclass
class GitHub:
    """Deployments, their statuses and commit statuses, under GitHub's paths; `token` is the right one."""

    deployments: list[dict[str, Any]] = field(default_factory=list)
    statuses: dict[int, list[dict[str, Any]]] = field(default_factory=dict)
    commits: list[dict[str, Any]] = field(default_factory=list)
    down: bool = False
    token: str = "ghp_0123456789abcdefghijABCDEFGHIJ012345"
    asked: list[str] = field(default_factory=list)
    api: str = ""

    def answer(self, method: str, path: str, token: str, data: Any) -> tuple[int, Any]:
        self.asked.append(f"{method} {path}")
        if self.down:
            return 503, {"message": "down"}
        if token != f"Bearer {self.token}":
            return 401, {"message": "Bad credentials"}
        parts = urlsplit(path)
        assert parts.path.startswith("/repos/acme/storefront/")
        match [method, *parts.path.removeprefix("/repos/acme/storefront/").split("/")]:
            case ["GET", "deployments"]:
                asked = {name: value[0] for name, value in parse_qs(parts.query).items()}
                return 200, [
                    it
                    for it in self.deployments
                    if (it["sha"], it["environment"]) == (asked["sha"], asked["environment"])
                ]
            case ["POST", "deployments"]:
                assert data["required_contexts"] == []
                assert data["auto_merge"] is False
                made = {**data, "id": len(self.deployments) + 1, "sha": data["ref"]}
                self.deployments.append(made)
                self.statuses[made["id"]] = []
                return 201, made
            case ["GET", "deployments", number, "statuses"]:
                return 200, self.statuses[int(number)]
            case ["POST", "deployments", number, "statuses"]:
                assert len(data["description"]) <= 140
                self.statuses[int(number)].insert(0, data)
                return 201, data
            case ["POST", "statuses", commit]:
                assert data["state"] in ("error", "failure", "pending", "success")
                self.commits.append({**data, "commit": commit})
                return 201, data
        return 404, {"message": "Not Found"}


@contextmanager
def github() -> Iterator[GitHub]:
    """Until the block ends."""
    fake = GitHub()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            status, answer = fake.answer(
                self.command, self.path, self.headers["Authorization"], json.loads(body) if body else None
            )
            self.send_response(status)
            self.end_headers()
            self.wfile.write(json.dumps(answer).encode())

        do_GET = do_POST

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    fake.api = f"http://127.0.0.1:{server.server_port}"
    try:
        yield fake
    finally:
        server.shutdown()
        server.server_close()
