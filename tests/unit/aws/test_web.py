"""A request to another service ends in time, reads no more than it must, and never shows its address."""

from __future__ import annotations

import json
import socket
import threading
import time
from http.server import BaseHTTPRequestHandler
from typing import ClassVar

import pytest

from tagship.aws import web
from tagship.aws.web import AddressRefused, RequestFailed
from tests.http_server import LocalServer
from tests.unit.health.servers import dripping, http_answer, saying, serving


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

    def do_HEAD(self):
        self.send_response(200)
        self.send_header("Content-Length", "5000")
        self.end_headers()

    def log_message(self, *arguments):
        pass


released = threading.Event()


@pytest.fixture
def service():
    Service.came = []
    released.clear()
    server = LocalServer(("127.0.0.1", 0), Service)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    released.set()
    server.shutdown()
    server.server_close()


def test_data_is_sent_as_json_and_the_response_is_read(service):
    answer = web.send(f"{service}/x", to="Slack", data={"text": "é"}, headers={"Authorization": "Bearer t"})
    assert (answer.status, answer.json(), answer.retry_after) == (200, {"ok": True}, "7")
    method, path, headers, body = Service.came[0]
    assert (method, path, json.loads(body)) == ("POST", "/x", {"text": "é"})
    assert headers["Content-Type"] == "application/json; charset=utf-8"
    assert headers["Authorization"] == "Bearer t"


def test_a_form_is_sent_as_a_form(service):
    web.send(f"{service}/token", to="the provider", form={"code": "a b&c"})
    _, _, headers, body = Service.came[0]
    assert headers["Content-Type"] == "application/x-www-form-urlencoded"
    assert body == b"code=a+b%26c"


def test_a_head_response_is_complete(service):
    assert web.send(f"{service}/x", to="GitHub", method="HEAD").status == 200


def test_redirects_are_not_followed_and_the_response_size_is_limited(service):
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
def test_an_error_does_not_reveal_the_address(service, address):
    with pytest.raises(RequestFailed) as raised:
        web.send(address.format(service=service), to="Slack", data={}, seconds=0.2)
    assert str(raised.value).startswith("Slack")
    assert "secret" not in str(raised.value)
    assert "127.0.0.1" not in str(raised.value)
    assert raised.value.__cause__ is None
    assert raised.value.__suppress_context__


@pytest.mark.parametrize(
    "url",
    [
        "http://hooks.example.com/x",
        "http://127.0.0.2:1/x",
        "ftp://127.0.0.1/x",
        "https://user:secret@127.0.0.1/x",
        "https://127.0.0.1:0/x",
        "https://127.0.0.1/x y",
        "https:///x",
        "x",
    ],
)
def test_a_non_https_address_is_refused_without_resolving_it(url, monkeypatch):
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: pytest.fail("it was resolved"))
    with pytest.raises(AddressRefused):
        web.send(url, to="Slack", data={})


def test_plain_http_to_this_machine_can_be_refused_too(service):
    with pytest.raises(AddressRefused, match="not an https address"):
        web.send(f"{service}/x", to="Slack", data={}, plain_http=())
    assert Service.came == []


@pytest.mark.parametrize(
    "first,drop",
    [(b"HTTP/1.1 200 OK\r\n\r\n", b"x"), (b"HTTP/1.1 200 OK\r\n", b"X: y\r\n"), (b"HTTP/", b"1")],
    ids=["a body", "headers", "a status line"],
)
def test_an_endlessly_slow_response_ends_at_the_deadline(first, drop):
    with serving(dripping(first, drop)) as server:
        begun = time.monotonic()
        with pytest.raises(RequestFailed, match=r"no complete answer within 0\.3 s"):
            web.send(server.url(), to="Slack", data={}, seconds=0.3)
    assert time.monotonic() - begun < 5


@pytest.mark.parametrize(
    "answer,why",
    [
        (b"", "closed without an answer"),
        (b"SSH-2.0-OpenSSH_9.6\r\n", "not HTTP"),
        (http_answer(body=b"half", Content_Length="100"), "ended too early"),
        (b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 200 + b"\r\n", "not HTTP"),
    ],
    ids=["nothing", "another protocol", "half a body", "too many headers"],
)
def test_an_incomplete_response_is_no_response(answer, why):
    with serving(saying(answer)) as server, pytest.raises(RequestFailed, match=why):
        web.send(server.url(), to="Slack", data={}, seconds=5)


def test_an_endless_response_is_not_read(monkeypatch):
    monkeypatch.setattr(web, "WIRE_BYTES", 100_000)
    endless = saying(b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 90 + b"\r\n" + b"x" * 1_000_000)
    with serving(endless) as server, pytest.raises(RequestFailed, match="not HTTP"):
        web.send(server.url(), to="Slack", data={}, seconds=5)


def test_an_unresolvable_name_fails_without_revealing_the_name(monkeypatch):
    def nowhere(*_, **__):
        raise socket.gaierror(socket.EAI_NONAME, "secret.example.com is unknown")

    monkeypatch.setattr(socket, "getaddrinfo", nowhere)
    with pytest.raises(RequestFailed, match="its name cannot be resolved") as raised:
        web.send("https://secret.example.com/", to="Slack", data={})
    assert "secret" not in str(raised.value)


def test_proxies_from_the_environment_are_ignored(service, monkeypatch):
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    assert web.send(f"{service}/x", to="Slack", data={}).status == 200


def test_a_response_without_json_is_empty():
    assert web.Answer(status=200, body=b"ok", retry_after="").json() is None
