"""One HTTP request on a socket that is opened here, because its promises hang on that socket.

The standard library's client reads and writes it. It leads to an address that was vetted, not to a name;
every read and write shares one deadline, so headers or a body that drip for ever end; and no proxy,
redirect or retry comes between.
"""

from __future__ import annotations

import http.client
import io
import socket
import ssl
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from tagship.health.addresses import Address

WIRE_BYTES = 1024 * 1024
"""As much as is taken from the network, framing included, whatever the server says about its lengths."""

Clock = Callable[[], float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    """The parts of a URL, taken apart once."""

    https: bool
    host: str
    port: int
    authority: str
    path: str


class Wire:
    """A connection to one of the vetted addresses; whatever the other side does, it ends at its deadline."""

    def __init__(
        self,
        addresses: Sequence[Address],
        site: Site,
        *,
        context: ssl.SSLContext | None,
        deadline: float,
        clock: Clock,
    ) -> None:
        self._deadline = deadline
        self._clock = clock
        self.valid_until: float | None = None
        """When the certificate ends, in seconds since 1970; None without TLS."""
        self._socket = self._connected(addresses, site.port)
        if context is not None:
            try:
                self._socket.settimeout(self._left())
                secured = context.wrap_socket(self._socket, server_hostname=site.host.rstrip("."))
                self._socket = secured
                self.valid_until = _valid_until(secured)
            except BaseException:
                self._socket.close()
                raise

    def __enter__(self) -> Wire:
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()

    def get(self, site: Site) -> http.client.HTTPResponse:
        """The status line and headers of one GET; the body is read from what comes back."""
        connection = http.client.HTTPConnection(site.host, site.port)
        connection.auto_open = 0
        connection.sock = self
        headers = {
            "Host": site.authority,
            "User-Agent": "tagship-health/1",
            "Accept": "*/*",
            "Connection": "close",
        }
        connection.request("GET", site.path, headers=headers)
        return connection.getresponse()

    def sendall(self, data: bytes) -> None:
        """For http.client."""
        self._socket.settimeout(self._left())
        self._socket.sendall(data)

    def makefile(self, _mode: str) -> io.BufferedReader:
        """For http.client, which reads from this only."""
        return io.BufferedReader(_Reader(self._socket, self._left))

    def close(self) -> None:
        """http.client lets go as soon as it has the headers; the socket lives until the body is read."""

    def _connected(self, addresses: Sequence[Address], port: int) -> socket.socket:
        for tried, address in enumerate(addresses, start=1):
            share = self._left() / (len(addresses) - tried + 1)
            try:
                return socket.create_connection((str(address), port), timeout=share)
            except OSError:
                if tried == len(addresses):
                    raise
        raise OSError("no address")

    def _left(self) -> float:
        left = self._deadline - self._clock()
        if left <= 0:
            raise TimeoutError
        return left


def _valid_until(secured: ssl.SSLSocket) -> float | None:
    ends = (secured.getpeercert() or {}).get("notAfter")
    return ssl.cert_time_to_seconds(ends) if isinstance(ends, str) else None


class _Reader(io.RawIOBase):
    """Each read waits for what is left of the deadline, and all of them take a bounded number of bytes."""

    def __init__(self, connected: socket.socket, left: Callable[[], float]) -> None:
        self._socket = connected
        self._left = left
        self._taken = 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        """Raises TimeoutError at the deadline, whatever has come until then."""
        if self._taken >= WIRE_BYTES:
            raise http.client.HTTPException("more than a health check takes")
        self._socket.settimeout(self._left())
        taken = self._socket.recv_into(buffer)
        self._taken += taken
        return taken
