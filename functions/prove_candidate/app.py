"""ProveCandidate: make the candidate that was approved, and show that it is; no traffic moves."""

from __future__ import annotations

from datetime import datetime

from tagship.deployment.locations import location_of, standing_of
from tagship.deployment.settling import wait_or_refuse
from tagship.ledger import lock, releases
from tagship.model.facts import FactKind
from tagship.model.records import manifest_of
from tagship.model.release import Manifest, PinnedObject
from tagship.runtime import Event, Runtime, step


@step
def handler(event: Event, runtime: Runtime) -> Event:
    """`{wait}`: 0 when the candidate is made, is what was approved, and can serve; else seconds until the next look.

    Raises PlanChanged, TargetInvalid, LockLost, CredentialsRefused, and NotStable when its time is over: nothing has moved.
    """
    release, deployment = runtime.release(event), event["deployment"]
    record, location = release.record, location_of(release.record)
    settings = runtime.settings
    lock.renew(
        runtime.ledger,
        application=release.application,
        fence=event["lock"]["fence"],
        seconds=settings.deployment_seconds + settings.rollback_seconds + lock.SPARE_SECONDS,
    )
    artifacts = {
        artifact.name: (artifact, PinnedObject.from_dict(record["objects"][artifact.file]))
        for artifact in Manifest.from_dict(manifest_of(record)).artifacts
    }
    target = release.target(objects=[pinned for _, pinned in artifacts.values()])
    prepared = target.prepare(artifacts, location["candidate"])
    wait = wait_or_refuse(
        prepared.wait,
        by=datetime.fromisoformat(deployment["proveBy"]),
        now=runtime.now(),
        what=f"{release.title}: the candidate",
    )
    if prepared.candidate:
        data = {"candidate": release.kind.describe(release.configuration.target, prepared.candidate)}
        releases.mark(
            runtime.ledger,
            release.fact(FactKind.CANDIDATE_PROVEN, data=data),
            standing=standing_of(location, candidate=prepared.candidate),
        )
    return {"wait": wait}
