"""Records that a release has succeeded: the new current release, what is watched, and when it is promoted."""

from __future__ import annotations

from datetime import datetime, timedelta

from tagship.deployment.locations import location_of
from tagship.ledger import lock, promotions, releases, watches
from tagship.ledger.table import HEAD, Change, Ledger, fact_key, timestamp
from tagship.model.application import Application
from tagship.model.errors import LockLost
from tagship.model.facts import FactKind
from tagship.model.records import ReleaseKey, ReleaseRecord, document_of, manifest_of
from tagship.model.release import Status


def complete(ledger: Ledger, release: ReleaseKey, *, execution: str) -> str:
    """Moves the current revision, writes the ending, releases the lock, opens watch and promotion in one transaction; why.

    Raises LockLost if another execution has taken the release over: it was, or is being, rolled back.
    """
    application, tag = release["application"], release["tag"]
    started = fact_key(tag, release["attempt"], FactKind.DEPLOYMENT_STARTED, key="")
    releases.read_ahead(ledger, application, tag, HEAD, lock.LOCK, started)
    record = releases.of_attempt(ledger, release)
    plan, since = record["plan"], timestamp(ledger.now())
    why = (
        f"{application} {tag} has the code that was already deployed; nothing had to change."
        if plan["nothingToChange"]
        else f"{application} {tag} serves all traffic and is healthy."
    )
    configuration = Application.from_dict(document_of(record))
    until, watch = _watch(ledger, record, configuration, since=since)
    began = _without_pauses(
        record, releases.since(ledger, record, DeploymentDuration=FactKind.DEPLOYMENT_STARTED)
    )
    manifest = manifest_of(record)
    ended = releases.end(
        ledger,
        application=application,
        tag=tag,
        attempt=release["attempt"],
        status=Status.SUCCEEDED,
        why=why,
        execution=execution,
        serves={
            "application": application,
            "tag": tag,
            "attempt": release["attempt"],
            "revision": location_of(record)["candidate"],
            "since": since,
            "watchEnds": until,
        },
        also=[*watch, *(_promotion(ledger, record, configuration, since=since) if watch else ())],
        data={
            "from": plan["from"],
            "commit": manifest["commit"],
            "durations": {"LeadTime": manifest["createdAt"], **began},
        },
        known=record,
    )
    if not ended and releases.get(ledger, application, tag)["status"] != Status.SUCCEEDED:
        raise LockLost(
            f"{application} {tag} cannot succeed: it has been rolled back or is being rolled back."
        )
    return why


def _without_pauses(record: ReleaseRecord, began: dict[str, str]) -> dict[str, str]:
    """When each duration began, later by the time in which the rollout waited for people: it is no deployment time."""
    later = timedelta(seconds=record.get("pausedSeconds", 0))
    return (
        {name: timestamp(datetime.fromisoformat(at) + later) for name, at in began.items()}
        if later
        else began
    )


def _watch(
    ledger: Ledger, record: ReleaseRecord, application: Application, *, since: str
) -> tuple[str, list[Change]]:
    """Until when alarms still roll this release back; none if it changed nothing: then there is nothing to roll back."""
    watch, target = application.health.watch, application.target
    if record["plan"]["nothingToChange"] or not (watch.seconds and watch.alarms):
        return "", []
    until = timestamp(ledger.now() + timedelta(seconds=watch.seconds))
    alarms = [(target.account, target.region, name) for name in watch.alarms]
    return until, watches.opened(ledger, record, alarms=alarms, since=since, until=until)


def _promotion(
    ledger: Ledger, record: ReleaseRecord, application: Application, *, since: str
) -> list[Change]:
    """To the stage that the configuration names, once the release has stayed current and healthy for so long.

    Only of a release that is watched: no alarm is heard of one that changed nothing, however sick its code is.
    """
    promote = application.promote
    if promote is None:
        return []
    due = timestamp(datetime.fromisoformat(since) + timedelta(seconds=promote.after))
    return [promotions.opened(ledger, record, to=promote.to, since=since, due=due)]
