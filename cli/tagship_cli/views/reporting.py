"""Reads a report's data: an application's facts of a period, newest first and only as far back as needed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from tagship.ledger.table import timestamp
from tagship_cli.failures import trying
from tagship_cli.place import Place
from tagship_cli.views import measures
from tagship_cli.views.measures import Keys, Span, Story


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """The four keys of a period: for all applications together, for each application, and for each part of the period."""

    stage: str
    span: Span
    made: datetime
    together: Keys
    by_application: dict[str, Keys]
    parts: list[Keys]

    def as_dict(self) -> dict[str, object]:
        """For programs."""
        return {
            "stage": self.stage,
            "since": _utc(self.span.since),
            "until": _utc(self.span.until),
            "together": as_dict(self.together),
            "applications": {name: as_dict(each) for name, each in self.by_application.items()},
            "parts": [
                {"since": _utc(each.span.since), "until": _utc(each.span.until), **as_dict(each)}
                for each in self.parts
            ],
        }


def make(place: Place, applications: Sequence[str], span: Span) -> Report:
    """Makes the report for these applications."""
    stories = {name: story_of(place, name, span) for name in applications}
    together = list(stories.values())
    return Report(
        stage=place.stage,
        span=span,
        made=place.now,
        together=measures.keys(together, span),
        by_application={name: measures.keys([story], span) for name, story in stories.items()},
        parts=[measures.keys(together, part) for part in span.parts()],
    )


def story_of(place: Place, application: str, span: Span) -> Story:
    """Reads back to before anything that ended in the period can have begun, because a release may be rolled back much
    later."""
    oldest = timestamp((span.since - measures.LONGEST_RELEASE).astimezone(UTC))
    found = []
    with trying(f"Reading the ledger of {place.stage}"):
        for fact in place.ledger.facts_in_order(application, newest_first=True, only=measures.NAMES):
            if fact["at"] < oldest:
                break
            found.append(fact)
    return measures.read(reversed(found))


def as_dict(found: Keys) -> dict[str, object]:
    """Numbers for programs: seconds, and rates from 0 to 1."""
    return {
        "deployments": found.deployments,
        "deploymentsPerDay": round(found.per_day, 4),
        "failedDeployments": found.failed,
        "changeFailureRate": None if found.failure_rate is None else round(found.failure_rate, 4),
        "leadTimeSeconds": _spread(found.lead),
        "timeToRestoreSeconds": _spread(found.restore),
        "notRestored": found.unrestored,
        "approvalLatencySeconds": _spread(found.approval),
        "endings": dict(sorted(found.endings.items())),
    }


def _spread(found: measures.Spread) -> dict[str, object]:
    return {"count": found.count, "median": found.median, "p90": found.p90}


def _utc(moment: datetime) -> str:
    return timestamp(moment.astimezone(UTC))
