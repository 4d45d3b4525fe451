"""What a check receives, and the interface of every kind of check."""

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
    """What a check may need in addition to its own configuration; each kind takes what it uses."""

    name: str
    application: str
    tag: str
    client: Callable[[str], Any]
    """An AWS client with the application's role, `client("cloudwatch")`: no role is assumed for a check that needs none."""
    subject: str = "candidate"
    """What is checked: `candidate`, or after a rollback `baseline`."""
    offers: Subject
    """What the target offers for checks of it."""
    before: Subject | None = None
    """What the target offers for checks of the baseline; None if there is none."""
    candidate: Mapping[str, object] = field(default_factory=dict)
    """The candidate's revision, as its target describes it."""
    baseline: Mapping[str, object] | None = None
    """The baseline's revision; None if there is none."""
    percent: int = 0
    """The candidate's current share of the traffic."""
    began: datetime | None = None
    """When the deployment began: before it, all traffic was the baseline's."""
    shifted: datetime | None = None
    """When the candidate got its current share."""
    allowed: Sequence[IPv4Network | IPv6Network] = ()
    """Private networks that may be called."""
    clock: Callable[[], float] = time.monotonic
    now: Callable[[], datetime] = _utc_now

    @property
    def share(self) -> int:
        """The checked revision's share of traffic in percent: a baseline is checked when it has all of it."""
        return self.percent if self.subject == "candidate" else 100


class AnyCheck(Protocol):
    """The interface of a kind of check: its fields in a configuration, and this. All of it is in the kind's own file."""

    LOOKS_BACK: ClassVar[int]
    """Seconds until current events show in the data that it reads; 0 for a check of what serves now.

    A bake lasts at least that long, and such a check does not run after a rollback: it would still see the candidate.
    """
    ASKS_CANDIDATE: ClassVar[frozenset[Verdict]]
    """The verdicts that allow a candidate without traffic to get some; empty for a check that cannot reach it then."""
    EXAMPLE: ClassVar[Example]
    """A complete check, for the schema's example."""
    EXAMPLES: ClassVar[Examples]
    """Further examples, by field."""

    @property
    def type(self) -> str:
        """The kind of check."""

    @property
    def seconds(self) -> int:
        """The longest that it can take, if every request takes as long as allowed."""

    def label(self, application: str) -> str:
        """Its name for operators in the console: its kind and what it checks."""

    def problems(self) -> Problems:
        """Problems that involve several fields."""

    def lacks(self, offers: Subject) -> Problems:
        """What it needs, and a target of this kind does not have."""

    def rights(self, target: Location, offers: Subject) -> tuple[Right, ...]:
        """The permissions that it needs from the application's role; its session gets no others."""

    def run(self, given: Given) -> CheckResult:
        """Runs once.

        Raises AwsUnavailable if AWS throttled the check or could not be reached: a retry may help.
        """
