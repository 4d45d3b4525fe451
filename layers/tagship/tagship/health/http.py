"""Asks a URL n of m times, as somebody outside would; the address that was vetted is the one asked.

The name is resolved once for all requests, so a second answer of the DNS can't lead anywhere else.
"""

from __future__ import annotations

import http.client
import re
import socket
import ssl
import time
from collections.abc import Callable, Sequence
from ipaddress import ip_address
from urllib.parse import urlsplit

from tagship.application import HttpCheck, LambdaTarget
from tagship.health import Given
from tagship.health.addresses import Address, Network, refusal
from tagship.health.sampling import Answer, sample
from tagship.health.verdict import CheckResult, Verdict, shown
from tagship.health.wire import Clock, Site, Wire
from tagship.rights import Right

BODY_BYTES = 64 * 1024
"""As much of a body as is read; an answer that is longer has come, and is not waited for."""

_BROKEN_OFF = "the answer broke off before its end"

Resolve = Callable[[str, int], Sequence[str]]


class _Refused(Exception):
    """We don't ask this; it says nothing about the service."""


def run(configured: HttpCheck, given: Given) -> CheckResult:
    """The check with what a release gives it."""
    return check(configured, name=given.name, allowed=given.allowed, clock=given.clock)


def rights(_configured: HttpCheck, _target: LambdaTarget) -> tuple[Right, ...]:
    """None: it asks as somebody outside would."""
    return ()


def resolve(host: str, port: int) -> Sequence[str]:
    """All addresses of a name, in the system's order."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(address[0]) for *_, address in found))


def check(
    check: HttpCheck,
    *,
    name: str,
    allowed: Sequence[Network] = (),
    resolve: Resolve = resolve,
    tls: Callable[[], ssl.SSLContext] = ssl.create_default_context,
    clock: Clock = time.monotonic,
) -> CheckResult:
    """m requests, of which n must have the status, the text and the speed that the check asks for.

    What the service does wrong (no name, no connection, no valid certificate, no answer in time) is
    unhealthy; what we will not ask (another scheme, an address that is not public) is an error.
    """
    begun = clock()
    try:
        site = _taken_apart(check.url or "")
        addresses = _vetted(site, resolve=resolve, allowed=allowed)
    except _Refused as refused:
        return CheckResult(check=name, verdict=Verdict.ERROR, why=f"Not asked: {refused}.")
    except (OSError, UnicodeError) as error:
        why = f"The name {urlsplit(check.url or '').hostname} can't be resolved: {shown(error, characters=200)}."
        return CheckResult(check=name, verdict=Verdict.UNHEALTHY, why=why)
    context = tls() if site.https else None
    return sample(
        lambda: _ask(check, site, addresses, context=context, clock=clock),
        check=name,
        requests=check.requests,
        must_pass=check.mustPass,
        begun=begun,
        longest=check.timeoutSeconds,
        clock=clock,
    )


def _taken_apart(url: str) -> Site:
    """Raises _Refused for what is no plain http or https URL: nothing is mended, or read in two ways."""
    if not re.fullmatch(r"[!-~]+", url):
        raise _Refused(
            "the URL has characters that a URL does not have; a name in another script is written xn--…"
        )
    try:
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port
    except ValueError as error:
        raise _Refused(f"the URL can't be read: {error}") from error
    if parts.scheme not in {"http", "https"}:
        raise _Refused(
            f"only http and https are asked, not {shown(parts.scheme or 'nothing', characters=20)}"
        )
    if "@" in parts.netloc:
        raise _Refused("the URL carries a name or password, which would be read in logs and in the ledger")
    if not re.fullmatch(r"[a-z0-9._:-]{1,253}", host) or port == 0:
        raise _Refused("the URL has no host and port that can be asked")
    https = parts.scheme == "https"
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    return Site(
        https=https, host=host, port=port or (443 if https else 80), authority=parts.netloc, path=path
    )


def _vetted(site: Site, *, resolve: Resolve, allowed: Sequence[Network]) -> list[Address]:
    """The only look at the name. One refused address refuses all: which of them is asked must not be luck."""
    addresses = [ip_address(text) for text in resolve(site.host, site.port)]
    for address in addresses:
        if reason := refusal(address, allowed):
            raise _Refused(f"{site.host} resolves to {address}, which is {reason}")
    if not addresses:
        raise OSError("it has no address")
    return addresses


def _ask(
    check: HttpCheck,
    site: Site,
    addresses: Sequence[Address],
    *,
    context: ssl.SSLContext | None,
    clock: Clock,
) -> Answer:
    start = clock()
    status: int | None = None
    try:
        with Wire(
            addresses, site, context=context, deadline=start + check.timeoutSeconds, clock=clock
        ) as wire:
            response = wire.get(site)
            status = response.status
            why = _what_is_wrong(check, response)
    except (OSError, http.client.HTTPException, ValueError) as error:
        why = _in_words(error, check.timeoutSeconds)
    ms = round((clock() - start) * 1000)
    if not why and ms > check.maxLatencyMs:
        why = f"an answer took {ms} ms, at most {check.maxLatencyMs} are allowed"
    return Answer(verdict=Verdict.UNHEALTHY if why else Verdict.HEALTHY, ms=ms, why=why, status=status)


def _what_is_wrong(check: HttpCheck, response: http.client.HTTPResponse) -> str:
    if response.status != check.status:
        redirect = ", a redirect, which is not followed" if 300 <= response.status < 400 else ""
        return f"status {response.status}{redirect}, not {check.status}"
    body = bytearray()
    while len(body) < BODY_BYTES and (part := response.read(BODY_BYTES - len(body))):
        body += part
    if response.length and len(body) < BODY_BYTES:
        return _BROKEN_OFF
    if check.contains is not None and check.contains.encode() not in body:
        return f"the body does not contain {shown(check.contains, characters=80)!r}"
    return ""


def _in_words(error: Exception, timeout: int) -> str:
    match error:
        case TimeoutError():
            return f"no whole answer within {timeout} s"
        case ssl.SSLCertVerificationError():
            return f"the certificate is not accepted: {shown(error.verify_message, characters=200)}"
        case ssl.SSLError():
            return f"TLS failed: {shown(error.reason or error, characters=100)}"
        case http.client.RemoteDisconnected():
            return "the connection was closed without an answer"
        case http.client.IncompleteRead():
            return _BROKEN_OFF
        case OSError():
            return f"the connection failed: {shown(error.strerror or error, characters=100)}"
        case _:
            return f"the answer is not HTTP: {shown(type(error).__name__, characters=100)}"
