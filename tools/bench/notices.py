"""Measures the delay between a fact and a team's Slack message: through the table's stream, two functions and a queue,
all warm.

Slack is a server on loopback, which accepts `chat.postMessage`; the real Slack and the network to it come on top. Each
fact is written when the previous one has arrived.
"""

from __future__ import annotations

import json
import queue
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import cast

from tagship.ledger import releases
from tagship.ledger.table import Fact, Ledger
from tagship.model.facts import FactKind
from tagship.model.records import NewRelease
from tools.bench.table import SECONDS, Figure, Part, say
from tools.stack import Engine, LocalError

APPLICATION, TAG, SECRET = "bench-notices", "v1.0.0", "tagship/{stage}/bench-notices/slack"
AIM_SECONDS = 1
FACTS_A_RUN = 4
_WARM_UP = 3
_LONGEST = 60


@dataclass(slots=True)
class Slack:
    """A channel that records the arrival of messages."""

    port: int = 0
    heard: queue.Queue[float] = field(default_factory=queue.Queue)
    """The arrival of each message, by this machine's monotonic clock."""


@contextmanager
def slack() -> Iterator[Slack]:
    """Until the block ends."""
    here = Slack()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            here.heard.put(time.monotonic())
            body = json.dumps({"ok": True, "ts": f"{time.time():.6f}"}).encode()
            self.send_response(200)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    here.port = server.server_address[1]
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield here
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def measure(engine: Engine, stage: str, stack: Mapping[str, str], *, runs: int) -> list[Part]:
    """Some facts for each run, one after the other.

    Raises LocalError if one never reaches Slack.
    """
    ledger = Ledger(
        client=engine.client("dynamodb"),
        table=stack["LedgerTableName"],
        stage=stage,
        now=lambda: datetime.now(UTC),
    )
    with slack() as here:
        bot = {
            "botToken": "xoxb-of-the-bench",
            "channelId": "C0BENCH",
            "api": f"http://127.0.0.1:{here.port}/api",
        }
        engine.client("secretsmanager").create_secret(
            Name=SECRET.format(stage=stage), SecretString=json.dumps(bot)
        )
        _claim(ledger, stage)
        say("telling a Slack on the loopback address of facts")
        waited = [_delivery_seconds(ledger, here, number) for number in range(_WARM_UP + runs * FACTS_A_RUN)]
    figure = Figure(what="a fact is written → Slack has it", unit=SECONDS, runs=waited[_WARM_UP:])
    return [Part(title="Delivery of notices", figures=[figure.below(AIM_SECONDS)])]


def _claim(ledger: Ledger, stage: str) -> None:
    """Claims a release for the facts; no execution runs it."""
    record = {
        "application": APPLICATION,
        "tag": TAG,
        "stage": stage,
        "digest": "0" * 64,
        "execution": "bench",
        "manifest": None,
        "configuration": {"document": {"notifications": {"slackWebhookSecret": SECRET.format(stage=stage)}}},
    }
    item = {"status": "RUNNING", "attempt": 1, "kind": "release", **record}
    releases.claim(ledger, cast("NewRelease", item))


def _delivery_seconds(ledger: Ledger, here: Slack, number: int) -> float:
    while not here.heard.empty():  # what the claim's own fact, and a message that came twice, have said
        here.heard.get()
    began = time.monotonic()
    ledger.record(
        Fact(
            application=APPLICATION,
            tag=TAG,
            attempt=1,
            name=FactKind.TRAFFIC_SHIFTED,
            key=f"{number:03}",
            execution="bench",
            data={"percent": 10, "bake": 0, "step": 1, "of": 2},
        )
    )
    try:
        return here.heard.get(timeout=_LONGEST) - began
    except queue.Empty:
        raise LocalError(f"Slack has not heard of a fact in {_LONGEST} s.") from None
