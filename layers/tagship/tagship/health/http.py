"""Requests addresses like an outside client; `asking.py` does the work, and loads what it needs."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Annotated, Any, ClassVar, Literal

import annotated_types as at

from tagship.aws.rights import Location, Right
from tagship.health import places
from tagship.health.given import Given, Problems
from tagship.health.sampling import BUDGET_SECONDS, out_of_reach
from tagship.health.verdict import CheckResult, Verdict
from tagship.model.fields import CONFIG, UNKEPT, Duration, Example, Examples, Matching, Plain, can_be_kept
from tagship.targets.kind import Subject

Address = Annotated[
    str,
    Matching(
        r"^https?://[^\s/?#@]+([/?][^\s#]*)?$", "an http or https address, without user name and password"
    ),
    at.MaxLen(2000),
]
HOST_NAME = Matching(r"^[a-z0-9._-]{1,253}$", "a host's name in lower case, like www.example.com")


@dataclass(frozen=True, slots=True, kw_only=True)
class JsonValue:
    """A path in a JSON document, and the expected value."""

    __pydantic_config__ = CONFIG

    path: Annotated[str, at.MinLen(1), at.MaxLen(200)]
    """The path, as a JMESPath expression that builds no values: `database.status`."""
    equals: Annotated[Any, Plain()]
    """The required value."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpCheck:
    """Asks an address, or many at once, several times."""

    __pydantic_config__ = CONFIG

    LOOKS_BACK: ClassVar[int] = 0
    ASKS_CANDIDATE: ClassVar[frozenset[Verdict]] = frozenset()
    EXAMPLE: ClassVar[Example] = {
        "type": "http",
        "url": "https://storefront.example.com/health",
        "status": 200,
        "contains": '"healthy": true',
        "maxLatencyMs": 800,
    }
    EXAMPLES: ClassVar[Examples] = {
        "urls": [["https://storefront.example.com/health", "https://storefront.example.com/search?q=tea"]],
        "percentile": [95],
        "tlsDaysLeft": [14],
        "followTo": [["www.example.com"]],
        "requests": [5],
        "mustPass": [4],
        "timeoutSeconds": [5],
        "json": [{"path": "database.status", "equals": "ok"}],
    }

    type: Literal["http"]
    """The kind of check."""
    url: Address | None = None
    """An http or https address."""
    urls: Annotated[tuple[Address, ...], at.MaxLen(100)] = ()
    """Several addresses instead of one; all are requested in parallel, and every one must be healthy."""
    status: Annotated[int, at.Ge(100), at.Le(599)] = 200
    """The HTTP status of a healthy answer."""
    contains: Annotated[str, at.MaxLen(1000)] | None = None
    """Text that the body of a healthy answer contains (only the first 64 KiB are read)."""
    json: JsonValue | None = None
    """A value in the JSON body of a healthy answer (at most 64 KiB)."""
    maxLatencyMs: Annotated[int, at.Ge(1), at.Le(10_000)] = 2_000
    """The longest time that a healthy answer may take, in milliseconds."""
    percentile: Annotated[int, at.Ge(1), at.Le(100)] | None = None
    """Applies `maxLatencyMs` to this percentile of an address's answers, instead of to each answer."""
    tlsDaysLeft: Annotated[int, at.Ge(1), at.Le(365)] | None = None
    """The number of days for which the certificate must still be valid."""
    followTo: Annotated[tuple[Annotated[str, HOST_NAME], ...], at.MaxLen(10)] = ()
    """Hosts that a redirect may lead to, checked like the first; without any, redirects are not followed."""
    requests: Annotated[int, at.Ge(1), at.Le(20)] = 5
    """How many requests each address gets."""
    mustPass: Annotated[int, at.Ge(1), at.Le(20)] = 5
    """How many of these must be healthy answers."""
    timeoutSeconds: Annotated[int, Duration(), at.Ge(1), at.Le(10)] = 5
    """How long one request may take, in seconds."""

    @property
    def seconds(self) -> int:
        """All requests, each as slow as allowed; requests beyond the check's own budget are not sent."""
        return min(self.requests * self.timeoutSeconds, BUDGET_SECONDS)

    def label(self, _application: str) -> str:
        """`http https://storefront.example.com/health and 2 more`."""
        others = f" and {len(self.urls) - 1} more" if len(self.urls) > 1 else ""
        return f"http {self.url or self.urls[0]}{others}"

    def problems(self) -> Problems:
        """Problems that involve several fields."""
        yield from out_of_reach(self.requests, self.mustPass)
        if self.url is None and not self.urls:
            yield "url", "is missing"
        if self.url is not None and self.urls:
            yield "urls", "cannot be used together with url: set only one of them"
        if len(set(self.urls)) < len(self.urls):
            yield "urls", "contains an address twice"
        plain = [url for url in (self.url, *self.urls) if url and url.startswith("http:")]
        if self.tlsDaysLeft is not None and plain:
            yield "tlsDaysLeft", f"needs a certificate, but {plain[0]} has none"
        if self.json is not None:
            yield from _json_problems(self.json)

    def lacks(self, _offers: Subject) -> Problems:
        """Nothing: it requests an address."""
        return ()

    def rights(self, _target: Location, _offers: Subject) -> tuple[Right, ...]:
        """None: it sends requests like an outside client."""
        return ()

    def run(self, given: Given) -> CheckResult:
        """Reaches the revision itself if the target can route to it, however small its share of the traffic.

        After a rollback, the certificate's remaining days are not checked: no rollback changes them.
        """
        from tagship.health import asking  # loads TLS, which other checks don't need

        configured = replace(self, tlsDaysLeft=None) if given.subject == "baseline" else self
        return asking.check(
            configured,
            name=given.name,
            allowed=given.allowed,
            headers=given.offers.headers,
            clock=given.clock,
        )


def _json_problems(expected: JsonValue) -> Problems:
    if wrong := places.problem(expected.path):
        yield "json.path", wrong
    if not can_be_kept(expected.equals):
        yield "json.equals", UNKEPT
