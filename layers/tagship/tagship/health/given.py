"""What a check is given to be asked with, and what the rest knows of any kind of check."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from ipaddress import IPv4Network, IPv6Network
from typing import Any, ClassVar, Protocol

from tagship.aws.rights import Location, Right
from tagship.health.verdict import CheckResult, Verdict
from tagship.model.fields import Example, Examples
from tagship.targets.kind import Subject

Problems = Iterable[tuple[str, str]]
"""A field's name, and what is wrong with it."""


def _utc_now() -> datetime:
    return datetime.now(UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class Given:
    """What a check may need beyond its own configuration; each kind takes what it uses."""

    name: str
    application: str
    tag: str
    client: Callable[[str], Any]
    """An AWS service in the application's role, `client("cloudwatch")`: no role is assumed for a check that needs none."""
    subject: str = "candidate"
    """What is asked: `candidate`, or after a rollback `baseline`."""
    asked: Subject
    """What may be asked of it."""
    before: Subject | None = None
    """What may be asked of the baseline; None where nothing served before."""
    candidate: Mapping[str, object] = field(default_factory=dict)
    """The candidate's revision, as its target described it."""
    baseline: Mapping[str, object] | None = None
    """The baseline's; None where nothing served before."""
    percent: int = 0
    """The candidate's share of the traffic now."""
    began: datetime | None = None
    """When the deployment began: before it, all was the baseline's."""
    shifted: datetime | None = None
    """When the candidate got its present share."""
    allowed: Sequence[IPv4Network | IPv6Network] = ()
    """Networks that are not public and may be asked all the same."""
    clock: Callable[[], float] = time.monotonic
    now: Callable[[], datetime] = _utc_now

    @property
    def share(self) -> int:
        """How much of the traffic the revision that is asked has, in percent: a baseline is asked when it has all of it."""
        return self.percent if self.subject == "candidate" else 100


class AnyCheck(Protocol):
    """What a kind of check is: its fields in a configuration, and this. All of it stands in the kind's own file."""

    LOOKS_BACK: ClassVar[int]
    """Seconds until what happens now shows in what it reads; 0 for a check that asks what serves now.

    A bake is at least that long, and after a rollback such a check is not asked: it would still see the candidate.
    """
    ASKS_CANDIDATE: ClassVar[frozenset[Verdict]]
    """With which answers a candidate without any traffic may get some; empty for a check that can't ask it then."""
    EXAMPLE: ClassVar[Example]
    """The whole check, for the schema's example."""
    EXAMPLES: ClassVar[Examples]
    """Further examples, by field."""

    @property
    def type(self) -> str:
        """The kind of check."""

    @property
    def seconds(self) -> int:
        """How long it may take if every request takes as long as it may."""

    def label(self, application: str) -> str:
        """How an operator reads it in the console: its kind and what it asks."""

    def problems(self) -> Problems:
        """What no field knows by itself."""

    def lacks(self, asked: Subject) -> Problems:
        """What it asks for, and a target of this kind does not have."""

    def rights(self, target: Location, asked: Subject) -> tuple[Right, ...]:
        """What it needs of the application's role, and all that its session may do."""

    def run(self, given: Given) -> CheckResult:
        """Asks once.

        Raises AwsUnavailable when AWS throttled the check or could not be reached: asking again may help.
        """
