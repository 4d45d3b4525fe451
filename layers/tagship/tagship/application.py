"""One deployable thing, its one production target, and how its team wants it released.

The field names are the document's own (`remindEvery`, not `remind_every`): one name everywhere, from the YAML in a team's
repository to the ledger. `documents.py` validates; here stand the shapes, their bounds and their defaults.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal

import annotated_types as at

from tagship.fields import ByType, Duration, Matching, rebuilt
from tagship.release import APPLICATION_NAME, APPLICATION_NAME_WORDS, MAIL_ADDRESS

_CONFIG = {"extra": "forbid", "use_attribute_docstrings": True, "strict": True}


FUNCTION_NAME = Matching(r"^[A-Za-z0-9_-]{1,64}$", "a function's name: letters, digits, - and _, at most 64")
ROLE_ARN = r"^arn:aws[a-z-]*:iam::\d{12}:role/[\w+=,.@/-]{1,512}$"

Bake = Annotated[int, Duration(), at.Ge(0), at.Le(1200)]
Percent = Annotated[int, at.Ge(1), at.Le(100)]


@dataclass(frozen=True, slots=True, kw_only=True)
class LambdaTarget:
    """A Lambda function behind an alias; traffic moves by the alias's weights."""

    __pydantic_config__ = _CONFIG

    type: Literal["lambda"]
    """The kind of target."""
    function: Annotated[str, FUNCTION_NAME]
    """The function's name."""
    account: Annotated[str, Matching(r"^\d{12}$", "an account id: 12 digits, in quotes")]
    """The AWS account that it lives in, 12 digits in quotes."""
    region: Annotated[str, Matching(r"^[a-z]{2}(-[a-z]+)+-\d$", "a region, like eu-central-1")]
    """The AWS region that it lives in."""
    role: Annotated[str, Matching(ROLE_ARN, "a role's ARN: arn:aws:iam::123456789012:role/name")]
    """The role that Tagship assumes for every call to the target."""
    externalId: Annotated[
        str, Matching(r"^[\w+=,.@:/-]{2,1224}$", "2 to 1224 letters, digits and any of + = , . @ : / -")
    ]
    """The external id that the role's trust policy asks for."""
    alias: Annotated[
        str, Matching(r"^(?!\d+$)[A-Za-z0-9_-]{1,128}$", "an alias's name: letters, digits, - and _")
    ] = "live"
    """The alias that callers use."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AllAtOnce:
    """All traffic in one step."""

    __pydantic_config__ = _CONFIG

    type: Literal["all-at-once"]
    """The kind of strategy."""
    bake: Bake = 0
    """Seconds to wait before health is asked."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Canary:
    """A first share, then all."""

    __pydantic_config__ = _CONFIG

    type: Literal["canary"]
    """The kind of strategy."""
    percent: Annotated[int, at.Ge(1), at.Le(99)] = 10
    """The first share of the traffic, in percent."""
    bake: Bake = 300
    """Seconds at the first share before health is asked."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Linear:
    """Equal shares, one after the other."""

    __pydantic_config__ = _CONFIG

    type: Literal["linear"]
    """The kind of strategy."""
    percent: Annotated[int, at.Ge(1), at.Le(99)] = 20
    """How much each step adds, in percent; the last step takes what is left."""
    bake: Bake = 60
    """Seconds at each share before health is asked."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One share of the traffic and its bake."""

    __pydantic_config__ = _CONFIG

    percent: Percent
    """The candidate's share, in percent."""
    bake: Bake = 0
    """Seconds at this share before health is asked."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Steps:
    """Shares as written, rising, the last one 100."""

    __pydantic_config__ = _CONFIG

    type: Literal["steps"]
    """The kind of strategy."""
    steps: Annotated[tuple[Step, ...], at.MinLen(1), at.MaxLen(100)]
    """The shares, rising, the last one 100."""


Strategy = AllAtOnce | Canary | Linear | Steps


@dataclass(frozen=True, slots=True, kw_only=True)
class ApprovalPolicy:
    """Who decides, and how long they have."""

    __pydantic_config__ = _CONFIG

    approvers: Annotated[
        tuple[Annotated[str, MAIL_ADDRESS], ...],
        at.MinLen(1),
        at.MaxLen(20),
    ]
    """Mail addresses of those who are asked; each gets a personal link."""
    required: Annotated[int, at.Ge(1), at.Le(20)] = 1
    """How many of them must approve; one rejection ends it."""
    authorMayApprove: bool = False
    """Whether the release's author counts."""
    expires: Annotated[int, Duration(), at.Ge(1), at.Le(604_800)] = 14_400
    """Seconds after which an undecided release ends EXPIRED."""
    remindEvery: Annotated[int, Duration(), at.Ge(1), at.Le(604_800)] = 3_600
    """Seconds after which those who have not answered are reminded."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpCheck:
    """Asks an address, several times."""

    __pydantic_config__ = _CONFIG

    type: Literal["http"]
    """The kind of check."""
    url: Annotated[
        str,
        Matching(
            r"^https?://[^\s/?#@]+([/?][^\s#]*)?$", "an http or https address, without a name and password"
        ),
        at.MaxLen(2000),
    ]
    """An http or https address; redirects are not followed."""
    status: Annotated[int, at.Ge(100), at.Le(599)] = 200
    """The status that a healthy answer has."""
    contains: Annotated[str, at.MaxLen(1000)] | None = None
    """Text that a healthy answer's body contains (the first 64 KiB are read)."""
    maxLatencyMs: Annotated[int, at.Ge(1), at.Le(10_000)] = 2_000
    """The longest a healthy answer takes, in milliseconds."""
    requests: Annotated[int, at.Ge(1), at.Le(20)] = 5
    """How often it is asked."""
    mustPass: Annotated[int, at.Ge(1), at.Le(20)] = 5
    """How many of these must be healthy answers."""
    timeoutSeconds: Annotated[int, Duration(), at.Ge(1), at.Le(10)] = 5
    """How long one request may take, in seconds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LambdaCheck:
    """Invokes the candidate version itself, so that ten percent of the traffic is really tested."""

    __pydantic_config__ = _CONFIG

    type: Literal["lambda"]
    """The kind of check."""
    function: Annotated[str, FUNCTION_NAME] | None = None
    """A smoke-test function to invoke with the candidate's name and version; without it, the candidate itself."""
    payload: dict[str, Any] = field(default_factory=dict)
    """What it is given, beside `source`, `check`, `application` and `tag`; it answers `{"healthy": true}` or reasons."""
    maxLatencyMs: Annotated[int, at.Ge(1), at.Le(30_000)] | None = None
    """The longest a healthy answer takes, in milliseconds."""
    requests: Annotated[int, at.Ge(1), at.Le(20)] = 1
    """How often it is invoked."""
    mustPass: Annotated[int, at.Ge(1), at.Le(20)] = 1
    """How many of these must answer healthy."""


Check = HttpCheck | LambdaCheck


@dataclass(frozen=True, slots=True, kw_only=True)
class Health:
    """How a version proves that it works."""

    __pydantic_config__ = _CONFIG

    checks: Annotated[tuple[Annotated[Check, ByType()], ...], at.MinLen(1), at.MaxLen(20)]
    """Asked at once after every traffic step; no data is never healthy, so there is at least one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TagRules:
    """Which tags may be released."""

    __pydantic_config__ = _CONFIG

    pattern: Annotated[str, Matching(r"^v[A-Za-z0-9.*?+-]{0,63}$", "a pattern like v* or v2.*")] = "v*"
    """What a tag must look like: `*` for anything, `?` for one character."""
    preReleases: bool = False
    """Whether a pre-release (`v2.0.0-rc.1`) may be released."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Gates:
    """What must hold, beyond what every release must, before anyone is asked to approve."""

    __pydantic_config__ = _CONFIG

    tags: TagRules = field(default_factory=TagRules)
    """Which tags may be released."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Application:
    """The configuration of one application in one stage."""

    __pydantic_config__ = _CONFIG

    application: Annotated[str, Matching(APPLICATION_NAME, APPLICATION_NAME_WORDS)]
    """The application's name: a lower-case letter, then letters, digits and `-`, 2 to 40 in all."""
    target: LambdaTarget
    """What is deployed to."""
    approval: ApprovalPolicy
    """Who decides."""
    health: Health
    """How a version proves that it works."""
    strategy: Annotated[Strategy, ByType()] = field(default_factory=lambda: Canary(type="canary"))
    """How traffic moves to the candidate."""
    gates: Gates = field(default_factory=Gates)
    """What must hold before anyone is asked to approve."""

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Application:
        """From the ledger, where it stands validated and with its defaults written out."""
        application: Application = rebuilt(cls, data)
        return application


def check_name(check: Check, application: str) -> str:
    """How an operator reads it in the console: its kind and what it asks."""
    if isinstance(check, HttpCheck):
        return f"http {check.url}"
    return f"lambda {check.function or application}"
