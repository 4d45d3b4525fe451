"""Requests addresses n of m times, all in parallel, like an outside client; only a checked address is connected to.

A name is resolved once for all requests of a check, so that a second DNS answer cannot redirect it. A redirect is
followed only to a host that the check lists, and its target is checked like the first address.
"""

from __future__ import annotations

import json
import ssl
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from ipaddress import ip_address
from typing import Protocol
from urllib.parse import urljoin, urlsplit

from tagship.aws.web import (
    AddressRefused,
    Clock,
    Connection,
    Deadline,
    Reply,
    RequestFailed,
    Site,
    resolve,
    tls,
)
from tagship.health import places
from tagship.health.addresses import Address, Network, refusal
from tagship.health.sampling import Answer, Percentile, sample
from tagship.health.verdict import GRAVEST_FIRST, REASON, CheckResult, Verdict
from tagship.text.plain import line

BODY_BYTES = 64 * 1024
"""The part of a body that is read; the rest of a longer one is not waited for."""
MOST_REDIRECTS = 5

_REDIRECTS = {301, 302, 303, 307, 308}
_NAMED = 5
_DAY = 86_400

Resolve = Callable[[str, int], Sequence[str]]


class ExpectedJson(Protocol):
    """A place in a JSON document, and the required value."""

    @property
    def path(self) -> str: ...
    @property
    def equals(self) -> object: ...


class Expected(Protocol):
    """The configuration of a check: the fields of `http.HttpCheck`, which loads this module only to run."""

    @property
    def url(self) -> str | None: ...
    @property
    def urls(self) -> tuple[str, ...]: ...
    @property
    def status(self) -> int: ...
    @property
    def contains(self) -> str | None: ...
    @property
    def json(self) -> ExpectedJson | None: ...
    @property
    def maxLatencyMs(self) -> int: ...  # noqa: N802
    @property
    def percentile(self) -> int | None: ...
    @property
    def tlsDaysLeft(self) -> int | None: ...  # noqa: N802
    @property
    def followTo(self) -> tuple[str, ...]: ...  # noqa: N802
    @property
    def requests(self) -> int: ...
    @property
    def mustPass(self) -> int: ...  # noqa: N802
    @property
    def timeoutSeconds(self) -> int: ...  # noqa: N802


def check(
    check: Expected,
    *,
    name: str,
    allowed: Sequence[Network] = (),
    headers: Mapping[str, str] | None = None,
    resolve: Resolve = resolve,
    tls: Callable[[], ssl.SSLContext] = tls,
    clock: Clock = time.monotonic,
    wall: Clock = time.time,
) -> CheckResult:
    """m requests to each address, of which n must get the configured answer.

    Failures of the service (no name, no connection, no valid certificate, no answer in time) are unhealthy; a request
    that we refuse to send (another scheme, a private address) is an error. `headers` are added to the standard ones.
    """
    urls = [check.url] if check.url is not None else list(check.urls)
    context = tls() if check.followTo or any(url.startswith("https:") for url in urls) else None
    asking = _Asking(
        check=check,
        allowed=allowed,
        headers=headers or {},
        resolve=resolve,
        context=context,
        clock=clock,
        wall=wall,
        begun=clock(),
    )
    if len(urls) == 1:
        return asking.asked(urls[0], name)
    with ThreadPoolExecutor(len(urls)) as pool:
        return _all(name, list(pool.map(lambda url: asking.asked(url, url), urls)))


def _all(name: str, results: Sequence[CheckResult]) -> CheckResult:
    """All addresses combined: the worst verdict counts."""
    verdict = next(verdict for verdict in GRAVEST_FIRST if any(it.verdict is verdict for it in results))
    deciding = [it for it in results if it.verdict is verdict]
    numbers: dict[str, float | int | str] = {"addresses": len(results), verdict.value: len(deciding)}
    slowest = max(results, key=lambda it: int(it.numbers.get("slowestMs", 0)))
    if "slowestMs" in slowest.numbers:
        numbers |= {
            "slowestMs": slowest.numbers["slowestMs"],
            "slowest": line(slowest.check, 200),
        }
    if days := [int(it.numbers["tlsDaysLeft"]) for it in results if "tlsDaysLeft" in it.numbers]:
        numbers["tlsDaysLeft"] = min(days)
    why = f"{len(deciding)} of {len(results)} addresses are {verdict.value}"
    if verdict is Verdict.HEALTHY:
        return CheckResult(check=name, verdict=verdict, why=f"{why}.", numbers=numbers)
    named = "; ".join(line(f"{it.check}: {it.why}", REASON).rstrip(".") for it in deciding[:_NAMED])
    others = f"; and {len(deciding) - _NAMED} more" if len(deciding) > _NAMED else ""
    return CheckResult(check=name, verdict=verdict, why=f"{why}: {named}{others}.", numbers=numbers)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Asking:
    """A running check, shared by several threads."""

    check: Expected
    allowed: Sequence[Network]
    headers: Mapping[str, str]
    resolve: Resolve
    context: ssl.SSLContext | None
    clock: Clock
    wall: Clock
    begun: float
    known: dict[tuple[str, int], list[Address]] = field(default_factory=dict)
    """The resolved and checked addresses, for all requests."""

    def asked(self, url: str, name: str) -> CheckResult:
        """All requests to one address."""
        check = self.check
        try:
            site = Site.of(url)
            self._vetted(site)
        except AddressRefused as refused:
            return CheckResult(check=name, verdict=Verdict.ERROR, why=f"Not checked: {refused}.")
        except (OSError, UnicodeError) as error:
            why = f"The name {urlsplit(url).hostname} cannot be resolved: {line(error, 200)}."
            return CheckResult(check=name, verdict=Verdict.UNHEALTHY, why=why)
        return sample(
            lambda: self._ask(site),
            check=name,
            requests=check.requests,
            must_pass=check.mustPass,
            begun=self.begun,
            longest=check.timeoutSeconds,
            clock=self.clock,
            percentile=Percentile(percent=check.percentile, most_ms=check.maxLatencyMs)
            if check.percentile
            else None,
        )

    def _vetted(self, site: Site) -> list[Address]:
        """Resolves a name, once. One refused address refuses all, so that the result does not depend on which one is
        used.
        """
        if (site.host, site.port) in self.known:
            return self.known[site.host, site.port]
        addresses = [ip_address(text) for text in self.resolve(site.host, site.port)]
        for address in addresses:
            if reason := refusal(address, self.allowed):
                raise AddressRefused(f"{site.host} resolves to {address}, which is {reason}")
        if not addresses:
            raise OSError("it has no address")
        self.known[site.host, site.port] = addresses
        return addresses

    def _ask(self, site: Site) -> Answer:
        """One request, with its allowed redirects, within one deadline."""
        check, start = self.check, self.clock()
        deadline, seen = Deadline(check.timeoutSeconds, self.clock), _Seen()
        try:
            for _ in range(MOST_REDIRECTS + 1):
                following = self._hop(site, deadline=deadline, seen=seen)
                if following is None:
                    break
                site = following
            else:
                seen.why = f"more than {MOST_REDIRECTS} redirects"
        except AddressRefused as refused:
            seen.why = f"a redirect leads to an address that is not allowed: {refused}"
        except (OSError, ValueError) as error:
            seen.why = f"the name {site.host} cannot be resolved: {line(error, 100)}"
        except RequestFailed as failed:
            seen.why = str(failed)
        ms, why = round((self.clock() - start) * 1000), seen.why
        if not why and check.percentile is None and ms > check.maxLatencyMs:
            why = f"an answer took {ms} ms; the limit is {check.maxLatencyMs} ms"
        verdict = Verdict.UNHEALTHY if why else Verdict.HEALTHY
        return Answer(verdict=verdict, ms=ms, why=why, status=seen.status, tls_days=seen.tls_days)

    def _hop(self, site: Site, *, deadline: Deadline, seen: _Seen) -> Site | None:
        """Where it redirects to; None for a final answer, whose problem is then in `seen`."""
        with Connection(
            site,
            addresses=self._vetted(site),
            tls=self.context if site.https else None,
            deadline=deadline,
        ) as connection:
            seen.certified(connection.valid_until, now=self.wall())
            reply = connection.ask(headers={"User-Agent": "tagship-health/1", **self.headers})
            seen.status = reply.status
            location = reply.headers.get("Location")
            if self.check.followTo and location and self._leads_on(reply.status):
                return self._target(site, location)
            seen.why = _what_is_wrong(self.check, reply) or self._certificate(seen.tls_days)
            return None

    def _leads_on(self, status: int) -> bool:
        return status in _REDIRECTS and status != self.check.status

    def _target(self, site: Site, location: str) -> Site:
        """Raises AddressRefused for a host that is not listed, and for a redirect from https to http."""
        scheme = "https" if site.https else "http"
        target = Site.of(urljoin(f"{scheme}://{site.authority}{site.path}", location).partition("#")[0])
        if target.host != site.host and target.host not in self.check.followTo:
            raise AddressRefused(f"{target.host} is not in followTo")
        if site.https and not target.https:
            raise AddressRefused(f"from https to http ({target.host})")
        return target

    def _certificate(self, days: int | None) -> str:
        least = self.check.tlsDaysLeft
        if least is None or days is None or days >= least:
            return ""
        return f"the certificate is valid for only {days} more days; at least {least} are required"


@dataclass(slots=True)
class _Seen:
    """The result of one request, hop by hop."""

    status: int | None = None
    tls_days: int | None = None
    """Of the certificate that expires first."""
    why: str = ""

    def certified(self, until: float | None, *, now: float) -> None:
        """Adds another certificate on the path."""
        if until is not None:
            days = int((until - now) // _DAY)
            self.tls_days = days if self.tls_days is None else min(days, self.tls_days)


def _what_is_wrong(check: Expected, reply: Reply) -> str:
    if reply.status != check.status:
        redirect = ", a redirect, which is not followed" if 300 <= reply.status < 400 else ""
        return f"status {reply.status}{redirect}, not {check.status}"
    body = reply.read(BODY_BYTES)
    if check.contains is not None and check.contains.encode() not in body:
        return f"the body does not contain {line(check.contains, 80)!r}"
    return looked_up(check.json, body) if check.json is not None else ""


def looked_up(expected: ExpectedJson, body: bytes) -> str:
    """What is wrong with the value at a place in the body; empty if it matches."""
    try:
        document = json.loads(body)
    except (ValueError, RecursionError):
        return f"the body is not JSON of at most {BODY_BYTES // 1024} KiB"
    path = line(expected.path, 80)
    try:
        found = places.at(document, expected.path)
    except ValueError as error:
        return f"{path} cannot be evaluated: {line(error, 100)}"
    if isinstance(found, list | dict):
        return f"{path} is {'a list' if isinstance(found, list) else 'an object'}, not {_written(expected.equals)}"
    if _same(found, expected.equals):
        return ""
    return f"{path} is {_written(found)}, not {_written(expected.equals)}"


def _same(found: object, expected: object) -> bool:
    """`true` is not 1, unlike in Python."""
    return isinstance(found, bool) == isinstance(expected, bool) and bool(found == expected)


def _written(value: object) -> str:
    return line(json.dumps(value, ensure_ascii=False), 80)
