"""DORA's four keys and the latency of approvals, computed from facts by pure functions, so that tests can check them.

The definitions are DORA's own (https://dora.dev/guides/dora-metrics-four-keys/), applied to what the ledger knows.
Where the ledger knows less than they require, it is noted here:

- **Deployment frequency**: deployments per time. A deployment is a release whose traffic moved. It counts at the time
  of its first ending, successful or not. A release whose code was already in production does not count.
- **Lead time for changes**: from a commit until it runs in production. The ledger knows when the release was made from
  the commit (`createdAt` of its manifest), so the time before that is not included. Only successful deployments count.
- **Change failure rate**: deployments that needed immediate remedy. Here: rolled back (automatically, by an alarm, or
  by a person, even days after success), failed to roll back, or stopped after traffic had moved.
- **Time to restore** (DORA's failed deployment recovery time): from the first *Rollback Triggered*, when the failure
  was detected, until the baseline serves again and is healthy. If the rollback failed, until a later rollback or the
  next release succeeded. It counts at the time of the recovery.
- **Approval latency**: from the request to the decision that completed it, approved or rejected.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from statistics import median

from tagship.model.facts import ENDINGS, FactKind, status_of
from tagship.model.proposal import is_proposal
from tagship.model.records import FactRecord

NAMES = (
    FactKind.RELEASE_READ,
    FactKind.APPROVAL_GRANTED,
    FactKind.APPROVAL_REJECTED,
    FactKind.TRAFFIC_SHIFTED,
    FactKind.ROLLBACK_TRIGGERED,
    *ENDINGS.values(),
)
"""Every fact that these measures use."""

LONGEST_RELEASE = timedelta(days=74)
"""An execution ends after 73 days, so anything without a change for longer has ended."""

_FAILURES = {"ROLLED_BACK", "ROLLBACK_FAILED", "ABORTED"}
_RECOVERIES = {FactKind.RELEASE_ROLLED_BACK, FactKind.RELEASE_ABORTED}


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """A period; its end is excluded."""

    since: datetime
    until: datetime

    @property
    def days(self) -> float:
        """Its length in days."""
        return (self.until - self.since).total_seconds() / 86_400

    def has(self, moment: datetime) -> bool:
        """Whether the time is within it."""
        return self.since <= moment < self.until

    def parts(self) -> list[Span]:
        """Splits it into days, weeks, or four weeks, as many as a chart can show; the last may be shorter."""
        length = timedelta(days=1 if self.days <= 31 else 7 if self.days <= 250 else 28)
        cut = [self.since]
        while cut[-1] + length < self.until:
            cut.append(cut[-1] + length)
        return [Span(since=begin, until=end) for begin, end in zip(cut, [*cut[1:], self.until], strict=True)]


@dataclass(frozen=True, slots=True, kw_only=True)
class Deployment:
    """A release whose traffic moved, and that has ended."""

    application: str
    tag: str
    at: datetime
    """The time of its first ending."""
    failed: bool
    lead: float | None
    """Seconds from the manifest to production; None if the deployment failed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Incident:
    """A failure in production, from the time it was detected."""

    application: str
    tag: str
    began: datetime
    ended: datetime | None

    @property
    def seconds(self) -> float | None:
        """The time to recover; None if it has not recovered."""
        return (self.ended - self.began).total_seconds() if self.ended else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Ending:
    """How a release first ended."""

    application: str
    tag: str
    status: str
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """A request for approval that people have decided."""

    application: str
    tag: str
    at: datetime
    seconds: float


@dataclass(slots=True, kw_only=True)
class Story:
    """Everything that the facts say, for any period."""

    deployments: list[Deployment] = field(default_factory=list)
    incidents: list[Incident] = field(default_factory=list)
    decisions: list[Decision] = field(default_factory=list)
    endings: list[Ending] = field(default_factory=list)


@dataclass(frozen=True, slots=True, kw_only=True)
class Spread:
    """A distribution of seconds: count, median and 90th percentile; None if there are no values."""

    count: int
    median: float | None
    p90: float | None

    @classmethod
    def of(cls, values: Iterable[float]) -> Spread:
        """Uses the nearest rank, so that every percentile is a measured value (a median of two is between them)."""
        found = sorted(values)
        if not found:
            return cls(count=0, median=None, p90=None)
        rank = max(0, -(-9 * len(found) // 10) - 1)
        return cls(count=len(found), median=median(found), p90=found[rank])


@dataclass(frozen=True, slots=True, kw_only=True)
class Keys:
    """The four keys and the approvals in one period, of one or several applications."""

    span: Span
    deployments: int
    failed: int
    lead: Spread
    restore: Spread
    unrestored: int
    """Failures detected in the period and not yet recovered."""
    approval: Spread
    endings: Mapping[str, int]

    @property
    def per_day(self) -> float:
        """Deployments per day."""
        return self.deployments / self.span.days if self.span.days else 0.0

    @property
    def failure_rate(self) -> float | None:
        """From 0 to 1; None if nothing was deployed."""
        return self.failed / self.deployments if self.deployments else None


def read(facts: Iterable[FactRecord]) -> Story:
    """Reads one application's facts in order."""
    story = Story()
    first: dict[tuple[str, int], Ending] = {}
    moved: set[tuple[str, int]] = set()
    failed: set[tuple[str, int]] = set()
    lead: dict[tuple[str, int], float | None] = {}
    open_since: dict[str, Incident] = {}
    for fact in facts:
        name, tag, at = fact["name"], fact["tag"], datetime.fromisoformat(fact["at"])
        if is_proposal(tag):
            continue  # a configuration change is not a deployment
        release, data = (tag, int(fact["attempt"])), fact.get("data") or {}
        if name == FactKind.TRAFFIC_SHIFTED:
            moved.add(release)
        elif name == FactKind.ROLLBACK_TRIGGERED:
            open_since.setdefault(
                tag, Incident(application=fact["application"], tag=tag, began=at, ended=None)
            )
        elif name in (FactKind.APPROVAL_GRANTED, FactKind.APPROVAL_REJECTED):
            requested = _moment(data.get("askedAt"))
            if requested:
                seconds = max(0.0, (at - requested).total_seconds())
                story.decisions.append(
                    Decision(application=fact["application"], tag=tag, at=at, seconds=seconds)
                )
        elif status := status_of(name):
            if release not in first:
                first[release] = Ending(application=fact["application"], tag=tag, status=status, at=at)
                made = _moment((data.get("durations") or {}).get("LeadTime"))
                lead[release] = (
                    max(0.0, (at - made).total_seconds()) if made and status == "SUCCEEDED" else None
                )
            if status in _FAILURES:
                failed.add(release)
            _recovered(story, name, tag, at, open_since)
    story.incidents += open_since.values()
    story.endings = list(first.values())
    story.deployments = [
        Deployment(
            application=ending.application,
            tag=ending.tag,
            at=ending.at,
            failed=release in failed,
            lead=lead[release],
        )
        for release, ending in first.items()
        if release in moved
    ]
    return story


def _recovered(story: Story, name: str, tag: str, at: datetime, open_since: dict[str, Incident]) -> None:
    """A successful rollback ends its own release's failure. A successful release ends every open failure."""
    over = [tag] if name in _RECOVERIES else list(open_since) if name == FactKind.RELEASE_SUCCEEDED else []
    for each in over:
        if each in open_since:
            story.incidents.append(replace(open_since.pop(each), ended=at))


def keys(stories: Sequence[Story], span: Span) -> Keys:
    """The keys of a period, for all these applications together."""
    deployments = [each for story in stories for each in story.deployments if span.has(each.at)]
    incidents = [each for story in stories for each in story.incidents]
    endings: dict[str, int] = {}
    for ending in (each for story in stories for each in story.endings if span.has(each.at)):
        endings[ending.status] = endings.get(ending.status, 0) + 1
    return Keys(
        span=span,
        deployments=len(deployments),
        failed=sum(each.failed for each in deployments),
        lead=Spread.of(each.lead for each in deployments if each.lead is not None),
        restore=Spread.of(
            each.seconds
            for each in incidents
            if each.ended and each.seconds is not None and span.has(each.ended)
        ),
        unrestored=sum(each.ended is None and span.has(each.began) for each in incidents),
        approval=Spread.of(
            each.seconds for story in stories for each in story.decisions if span.has(each.at)
        ),
        endings=endings,
    )


def _moment(text: object) -> datetime | None:
    try:
        moment = datetime.fromisoformat(str(text)) if text else None
    except ValueError:
        return None
    return moment if moment is None or moment.tzinfo else None
