"""The only HTTP client: one exchange with another service, with limits on everything that the other side controls.

The standard library's client reads and writes a socket that is opened here, because the guarantees depend on that socket:
every read and write shares one deadline, so that headers or a body that arrive endlessly slowly end; the size of the
response is limited; and there are no proxies, redirects or retries. Errors contain no address, because a webhook's
address is a secret.
"""

from __future__ import annotations

import functools
import http.client
import io
import json
import re
import socket
import ssl
import time
from collections.abc import Callable, Container, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, ip_address
from urllib.parse import urlencode, urlsplit

from tagship.aws.hosts import LOOPBACK
from tagship.text.plain import line

MAX_BYTES = 256 * 1024
"""Of a body that `send` reads."""
WIRE_BYTES = 1024 * 1024
"""The limit of what is read from the network, including framing, whatever lengths the server announces."""
BROKEN_OFF = "the answer ended too early"

Clock = Callable[[], float]


class RequestFailed(Exception):
    """There is no complete response. Gives the reason without the address. Never reaches a state machine."""


class AddressRefused(RequestFailed):
    """Nothing was sent: the address is not allowed. Says nothing about the service."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    """The parts of a URL, parsed once."""

    https: bool
    host: str
    port: int
    authority: str
    path: str

    @classmethod
    def of(cls, url: str) -> Site:
        """Raises AddressRefused for anything but a plain http or https URL: nothing is corrected, or parsed in two ways."""
        if not re.fullmatch(r"[!-~]+", url):
            raise AddressRefused("the URL has invalid characters; write an internationalized name as xn--…")
        try:
            parts = urlsplit(url)
            host, port = parts.hostname or "", parts.port
        except ValueError as error:
            raise AddressRefused(f"the URL cannot be parsed: {line(error)}") from None
        if parts.scheme not in {"http", "https"}:
            raise AddressRefused(
                f"only http and https are supported, not {line(parts.scheme or 'nothing', limit=20)}"
            )
        if "@" in parts.netloc:
            raise AddressRefused(
                "the URL contains a user name or password, which would be visible in logs and in the ledger"
            )
        if not re.fullmatch(r"[a-z0-9._:-]{1,253}", host) or port == 0:
            raise AddressRefused("the URL has no valid host and port")
        https = parts.scheme == "https"
        path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        return cls(
            https=https, host=host, port=port or (443 if https else 80), authority=parts.netloc, path=path
        )


class Deadline:
    """When an exchange ends, whatever the other side does; several exchanges can share one."""

    def __init__(self, seconds: float, clock: Clock = time.monotonic) -> None:
        self.seconds = seconds
        self._clock = clock
        self._ends = clock() + seconds

    def left(self) -> float:
        """The remaining seconds. Raises TimeoutError if there are none."""
        left = self._ends - self._clock()
        if left <= 0:
            raise TimeoutError
        return left


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """The other side's response."""

    status: int
    body: bytes
    retry_after: str

    def json(self) -> object:
        """The parsed body, or None if it is not JSON."""
        try:
            return json.loads(self.body)
        except (ValueError, RecursionError):
            return None


def send(
    url: str,
    *,
    to: str,
    method: str = "POST",
    data: object = None,
    form: Mapping[str, str] | None = None,
    headers: Mapping[str, str] | None = None,
    seconds: float = 10,
    most: int = MAX_BYTES,
    plain_http: Container[str] = LOOPBACK,
) -> Answer:
    """One request with `data` as JSON or with a form, and the first `most` bytes of the response, within `seconds`.

    Resolving the name counts too, but the system's resolver cannot be interrupted. `to` is the service's name in errors;
    `plain_http` are the hosts for which http is allowed. Raises RequestFailed.
    """
    content, body = _content(data, form)
    try:
        site = Site.of(url)
        if not site.https and site.host not in plain_http:
            raise AddressRefused("its address is not an https address")
        deadline = Deadline(seconds)
        with Connection(
            site, addresses=_addresses(site), tls=tls() if site.https else None, deadline=deadline
        ) as connection:
            reply = connection.ask(method, body=body, headers={**content, **(headers or {})})
            return Answer(
                status=reply.status, body=reply.read(most), retry_after=reply.headers.get("Retry-After", "")
            )
    except RequestFailed as failed:
        raise type(failed)(f"{to} cannot be reached: {failed}") from None


@functools.cache
def tls() -> ssl.SSLContext:
    """The authorities that this machine trusts: read once, because that takes longer than an exchange."""
    return ssl.create_default_context()


def resolve(host: str, port: int) -> Sequence[str]:
    """All addresses of a name, in the system's order."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(address[0]) for *_, address in found))


class Connection:
    """Connects to one of the given addresses, never to a name, so that only checked addresses are used. Ends at its
    deadline.
    """

    def __init__(
        self,
        site: Site,
        *,
        addresses: Sequence[IPv4Address | IPv6Address],
        tls: ssl.SSLContext | None,
        deadline: Deadline,
    ) -> None:
        self._site = site
        self._deadline = deadline
        self.valid_until: float | None = None
        """When the certificate expires, in seconds since 1970; None without TLS."""
        with _failures_in_words(deadline):
            self._socket = self._connected(addresses)
            if tls is not None:
                self._secure(tls)

    def __enter__(self) -> Connection:
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()

    def ask(
        self, method: str = "GET", *, body: bytes | None = None, headers: Mapping[str, str] | None = None
    ) -> Reply:
        """Sends one request, and reads the status line and headers of the response. Raises RequestFailed."""
        site = self._site
        connection = http.client.HTTPConnection(site.host, site.port)
        connection.auto_open = 0
        connection.sock = self
        sent = {"Host": site.authority, "User-Agent": "tagship", "Accept": "*/*", **(headers or {})}
        with _failures_in_words(self._deadline):
            connection.request(method, site.path, body=body, headers={**sent, "Connection": "close"})
            return Reply(connection.getresponse(), self._deadline)

    def sendall(self, data: bytes) -> None:
        """For http.client."""
        self._socket.settimeout(self._deadline.left())
        self._socket.sendall(data)

    def makefile(self, _mode: str) -> io.BufferedReader:
        """For http.client, which reads from this only."""
        return io.BufferedReader(_Reader(self._socket, self._deadline))

    def close(self) -> None:
        """http.client releases the socket after the headers; it must live until the body is read."""

    def _connected(self, addresses: Sequence[IPv4Address | IPv6Address]) -> socket.socket:
        for tried, address in enumerate(addresses, start=1):
            share = self._deadline.left() / (len(addresses) - tried + 1)
            try:
                return socket.create_connection((str(address), self._site.port), timeout=share)
            except OSError:
                if tried == len(addresses):
                    raise
        raise OSError("no address")

    def _secure(self, tls: ssl.SSLContext) -> None:
        try:
            self._socket.settimeout(self._deadline.left())
            secured = tls.wrap_socket(self._socket, server_hostname=self._site.host.rstrip("."))
            self._socket = secured
            ends = (secured.getpeercert() or {}).get("notAfter")
            self.valid_until = ssl.cert_time_to_seconds(ends) if isinstance(ends, str) else None
        except BaseException:
            self._socket.close()
            raise


class Reply:
    """A response whose body was not read yet."""

    def __init__(self, response: http.client.HTTPResponse, deadline: Deadline) -> None:
        self._response = response
        self._deadline = deadline
        self.status = response.status
        self.headers = response.headers

    def read(self, most: int) -> bytes:
        """The beginning of the body. Raises RequestFailed if it ends too early; the rest of a longer one is not read."""
        body = bytearray()
        with _failures_in_words(self._deadline):
            while len(body) < most and (part := self._response.read(most - len(body))):
                body += part
        if self._response.length and len(body) < most:
            raise RequestFailed(BROKEN_OFF)
        return bytes(body)


class _Reader(io.RawIOBase):
    """Every read is limited by the deadline, and all reads together by a number of bytes."""

    def __init__(self, connected: socket.socket, deadline: Deadline) -> None:
        self._socket = connected
        self._deadline = deadline
        self._taken = 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        """Raises TimeoutError at the deadline, whatever has been received until then."""
        if self._taken >= WIRE_BYTES:
            raise http.client.HTTPException("more than the limit")
        self._socket.settimeout(self._deadline.left())
        taken = self._socket.recv_into(buffer)
        self._taken += taken
        return taken


def _content(data: object, form: Mapping[str, str] | None) -> tuple[dict[str, str], bytes | None]:
    if form is not None:
        return {"Content-Type": "application/x-www-form-urlencoded"}, urlencode(form).encode()
    if data is not None:
        return {"Content-Type": "application/json; charset=utf-8"}, json.dumps(data).encode()
    return {}, None


def _addresses(site: Site) -> list[IPv4Address | IPv6Address]:
    try:
        return [ip_address(text) for text in resolve(site.host, site.port)]
    except (OSError, UnicodeError):
        raise RequestFailed("its name cannot be resolved") from None


@contextmanager
def _failures_in_words(deadline: Deadline) -> Iterator[None]:
    try:
        yield
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise RequestFailed(
            _in_words(error, deadline)
        ) from None  # the chained exception would print the address


def _in_words(error: Exception, deadline: Deadline) -> str:
    match error:
        case TimeoutError():
            return f"no complete answer within {deadline.seconds:g} s"
        case ssl.SSLCertVerificationError():
            return f"the certificate was rejected: {line(error.verify_message, limit=200)}"
        case ssl.SSLError():
            return f"TLS failed: {line(error.reason or error, limit=100)}"
        case http.client.RemoteDisconnected():
            return "the connection was closed without an answer"
        case http.client.IncompleteRead():
            return BROKEN_OFF
        case OSError():
            return f"the connection failed: {line(error.strerror or error, limit=100)}"
        case _:
            return f"the answer is not HTTP: {line(type(error).__name__, limit=100)}"
