"""Collects everything about one release: its record, facts, approval, phases and path."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from tagship.approval.asking import request_now
from tagship.ledger import jobs, promotions, releases
from tagship.model.facts import ENDING_KINDS, FactKind
from tagship.model.job import Job
from tagship.model.records import FactRecord, PromotionRecord, ReleaseRecord, RequestRecord
from tagship.text.plain import line
from tagship_cli.failures import trying
from tagship_cli.place import Place
from tagship_cli.views import times

_PHASES = (
    ("waited for the lock", (FactKind.RELEASE_READ,), (FactKind.LOCK_ACQUIRED,)),
    ("gates", (FactKind.LOCK_ACQUIRED,), (FactKind.GATES_PASSED, FactKind.GATES_FAILED)),
    ("plan", (FactKind.GATES_PASSED,), (FactKind.DEPLOYMENT_PLANNED,)),
    (
        "approval",
        (FactKind.APPROVAL_REQUESTED,),
        (
            FactKind.APPROVAL_GRANTED,
            FactKind.APPROVAL_REJECTED,
            FactKind.APPROVAL_EXPIRED,
            FactKind.APPROVAL_SUPERSEDED,
            FactKind.PLAN_OUTDATED,
        ),
    ),
    ("deployment", (FactKind.DEPLOYMENT_STARTED,), (FactKind.RELEASE_SUCCEEDED, FactKind.ROLLBACK_TRIGGERED)),
    ("rollback", (FactKind.ROLLBACK_TRIGGERED,), tuple(ENDING_KINDS)),
)
"""Each phase: the facts that begin it and the facts that end it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Phase:
    """A phase of a release."""

    name: str
    began: datetime
    ended: datetime | None

    def seconds(self, now: datetime) -> float:
        """Its duration, up to now if it has not ended."""
        return ((self.ended or now) - self.began).total_seconds()


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """An execution: its state machine as it was defined then, and the states that it entered."""

    name: str
    execution: str
    states: Mapping[str, Any]
    start: str
    entered: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """One release."""

    record: ReleaseRecord
    facts: Sequence[FactRecord]
    approval: RequestRecord | None
    promotion: PromotionRecord | None = None
    jobs: Sequence[Job] = ()
    """GitHub jobs that wait for the release."""

    @property
    def phases(self) -> list[Phase]:
        """The phases in order, without those that did not begin."""
        return [phase for name, begins, ends in _PHASES if (phase := self._phase(name, begins, ends))]

    def _phase(self, name: str, begins: Sequence[str], ends: Sequence[str]) -> Phase | None:
        attempt = [fact for fact in self.facts if fact["attempt"] == self.record["attempt"]]
        first = next((number for number, fact in enumerate(attempt) if fact["name"] in begins), None)
        if first is None:
            return None
        over = (fact for fact in attempt[first:] if fact["name"] in ends or fact["name"] in ENDING_KINDS)
        ended = next(over, None)
        return Phase(
            name=name,
            began=times.moment(attempt[first]["at"]),
            ended=times.moment(ended["at"]) if ended else None,
        )

    @property
    def shares(self) -> list[tuple[datetime, int]]:
        """The times of traffic changes, with the percentage of traffic."""
        found = []
        for fact in self.facts:
            if fact["name"] == FactKind.TRAFFIC_SHIFTED:
                found.append((times.moment(fact["at"]), int(fact["data"]["percent"])))
            elif fact["name"] == FactKind.BASELINE_RESTORED and found:
                found.append((times.moment(fact["at"]), 0))
        return found

    @property
    def checks(self) -> list[Mapping[str, Any]]:
        """Each health check of the release, and of the restored baseline."""
        return [fact["data"] for fact in self.facts if fact["name"] == FactKind.HEALTH_CHECKED]


def gather(place: Place, application: str, tag: str) -> Shown:
    """Reads the release from the ledger.

    Raises Failed if it has no such release.
    """
    ledger = place.ledger
    with trying(f"Reading the ledger of {place.stage}"):
        record = releases.get(ledger, application, tag)
        facts = ledger.facts_of(application, tag)
        approval = request_now(ledger, record["approval"]) if record.get("approval") else None
        promotion = promotions.get(ledger, application, tag)
        waiting = jobs.waiting(ledger, application, tag)
    return Shown(record=record, facts=facts, approval=approval, promotion=promotion, jobs=waiting)


def waiting_jobs(shown: Shown, now: datetime) -> list[str]:
    """Each GitHub job that waits for the release, and since when."""
    return [
        line(
            f"environment {job.environment} of {job.repository}, run {job.run}, waits since "
            f"{times.since(times.moment(job.at), now)}",
            300,
        )
        for job in shown.jobs
    ]


def machines(place: Place, shown: Shown) -> list[Machine]:
    """The executions of a release, from Step Functions, which deletes them after 90 days.

    Those that can't be read (deleted, or no permission) are left out.
    """
    executions = [fact["execution"] for fact in shown.facts if str(fact["execution"]).startswith("arn:")]
    every = dict.fromkeys([str(shown.record["execution"]), *executions])
    looked = [_machine(place, execution) for execution in every if execution.startswith("arn:")]
    return [machine for machine in looked if machine]


def _machine(place: Place, execution: str) -> Machine | None:
    import yaml
    from botocore.exceptions import BotoCoreError, ClientError

    states = place.client("stepfunctions")
    try:
        described = states.describe_state_machine_for_execution(executionArn=execution)
        # AWS returns JSON, which is valid YAML; the embedded engine returns what it was given.
        definition = yaml.safe_load(described["definition"])
        pages = states.get_paginator("get_execution_history").paginate(
            executionArn=execution, includeExecutionData=False
        )
        entered = [
            event["stateEnteredEventDetails"]["name"]
            for page in pages
            for event in page["events"]
            if "stateEnteredEventDetails" in event
        ]
    except (ClientError, BotoCoreError):
        return None
    return Machine(
        name=described["name"],
        execution=execution,
        states=definition["States"],
        start=definition["StartAt"],
        entered=tuple(name for name in entered if name in definition["States"]),
    )
