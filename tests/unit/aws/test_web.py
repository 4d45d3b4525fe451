"""A request to somebody else's service ends, takes no more than it must, and never tells its address."""

from __future__ import annotations

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import ClassVar

import pytest

from tagship.aws import web
from tagship.aws.web import NotDelivered


class Service(BaseHTTPRequestHandler):
    """Answers as the path says, and writes down what came."""

    came: ClassVar[list[tuple[str, str, dict[str, str], bytes]]] = []

    def do_POST(self):
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.came.append((self.command, self.path, dict(self.headers), body))
        if self.path == "/slow":
            released.wait(10)
            return
        self.send_response(302 if self.path == "/moved" else 200)
        self.send_header("Location", "/elsewhere")
        self.send_header("Retry-After", "7")
        self.end_headers()
        self.wfile.write(b"x" * 1_000_000 if self.path == "/much" else b'{"ok": true}')

    do_GET = do_POST

    def log_message(self, *arguments):
        pass


released = threading.Event()


@pytest.fixture
def service():
    Service.came = []
    released.clear()
    server = ThreadingHTTPServer(("127.0.0.1", 0), Service)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    released.set()
    server.shutdown()
    server.server_close()


def test_data_arrives_as_json_and_the_answer_is_read(service):
    answer = web.send(f"{service}/x", to="Slack", data={"text": "é"}, headers={"Authorization": "Bearer t"})
    assert (answer.status, answer.json(), answer.retry_after) == (200, {"ok": True}, "7")
    method, path, headers, body = Service.came[0]
    assert (method, path, json.loads(body)) == ("POST", "/x", {"text": "é"})
    assert headers["Content-Type"] == "application/json; charset=utf-8"
    assert headers["Authorization"] == "Bearer t"


def test_no_redirect_is_followed_and_only_so_much_is_read(service):
    assert web.send(f"{service}/moved", to="Slack", data={}).status == 302
    assert len(web.send(f"{service}/much", to="Slack", data={}).body) == 256 * 1024
    assert len(Service.came) == 2


@pytest.mark.parametrize(
    "address",
    [
        "{service}/slow",
        "http://127.0.0.1:9/secret",
        "http://hooks.example.com/secret",
        "ftp://x/secret",
        "secret",
    ],
)
def test_what_goes_wrong_is_told_without_the_address(service, address):
    with pytest.raises(NotDelivered) as raised:
        web.send(address.format(service=service), to="Slack", data={}, seconds=0.2)
    assert str(raised.value).startswith("Slack")
    assert "secret" not in str(raised.value)
    assert "127.0.0.1" not in str(raised.value)
    assert raised.value.__cause__ is None


def test_an_answer_that_is_no_json_is_nothing():
    assert web.Answer(status=200, body=b"ok", retry_after="").json() is None
