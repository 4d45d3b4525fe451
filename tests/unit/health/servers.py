"""Real servers on the loopback address, one thread each, that answer in whatever way a service can go wrong."""

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from ipaddress import ip_network

from tagship.health import HttpCheck

LOOPBACK = (ip_network("127.0.0.0/8"), ip_network("::1/128"))

Answer = Callable[[socket.socket, int], None]


@dataclass
class Server:
    """The requests, with their addresses."""

    port: int
    requests: list[bytes] = field(default_factory=list)
    names: list[str | None] = field(default_factory=list)
    """The server names of the TLS handshakes."""
    stop: threading.Event = field(default_factory=threading.Event)

    def url(self, path: str = "/health", *, host: str = "127.0.0.1", scheme: str = "http") -> str:
        return f"{scheme}://{host}:{self.port}{path}"


@contextmanager
def serving(answer: Answer, *, wrap=None, whole=True) -> Iterator[Server]:
    """Answers connections one by one with `answer(connection, number)` until the block ends.

    It answers after a whole request, or after the first bytes of anything else.
    """
    listener = socket.create_server(("127.0.0.1", 0))
    server = Server(port=listener.getsockname()[1])

    def work() -> None:
        number = 0
        while True:
            try:
                plain, _ = listener.accept()
            except OSError:
                return
            with suppress(OSError), plain:
                plain.settimeout(10)
                connection = wrap(plain, server) if wrap else plain
                with connection:
                    server.requests.append(_request(connection) if whole else connection.recv(4096))
                    answer(connection, number)
            number += 1

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.stop.set()
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        thread.join(10)
        assert not thread.is_alive()


def _request(connection: socket.socket) -> bytes:
    received = b""
    while b"\r\n\r\n" not in received and (part := connection.recv(4096)):
        received += part
    return received


def http_answer(status: int = 200, body: bytes = b"all is well", **headers: str) -> bytes:
    lines = {"Content-Length": str(len(body))} | {
        name.replace("_", "-"): value for name, value in headers.items()
    }
    head = "".join(f"{name}: {value}\r\n" for name, value in lines.items())
    return f"HTTP/1.1 {status} Whatever\r\n{head}\r\n".encode() + body


def saying(*answers: bytes) -> Answer:
    """Each request gets the next answer; the last one repeats."""

    def answer(connection: socket.socket, number: int) -> None:
        connection.sendall(answers[min(number, len(answers) - 1)])

    return answer


def dripping(first: bytes, drop: bytes, *, seconds: float = 0.02) -> Answer:
    """An answer that never ends and never pauses for long."""

    def answer(connection: socket.socket, number: int) -> None:
        connection.sendall(first)
        enough = threading.Event()
        while not enough.wait(seconds):
            connection.sendall(drop)

    return answer


def an_http_check(url: str, **fields) -> HttpCheck:
    return HttpCheck(
        **{"type": "http", "url": url, "requests": 1, "mustPass": 1, "timeoutSeconds": 5} | fields
    )
