"""ProveCandidate: create the candidate, verify that it is what was approved, and check it before it gets any traffic."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from functools import partial

from tagship.deployment.artifacts import artifacts_of
from tagship.deployment.locations import location_of, standing_of
from tagship.deployment.settling import refuse_late, wait_or_refuse
from tagship.health.beforehand import make_ready, prove_candidate
from tagship.health.giving import given_to
from tagship.ledger import lock, made, releases
from tagship.model.facts import FactKind
from tagship.runtime import Event, Runtime, step


@step
def handler(event: Event, runtime: Runtime) -> Event:
    """`{wait}`: 0 once the candidate is the approved one and passed its checks; otherwise seconds until the next call.

    Raises PlanChanged, TargetInvalid, CandidateUnhealthy, LockLost, CredentialsRefused, NotStable; no traffic has moved.
    """
    release, deployment = runtime.release(event), event["deployment"]
    release.read_ahead()
    record, location, settings = release.record, location_of(release.record), runtime.settings
    artifacts, checks = artifacts_of(record), release.configuration.health.checks
    given_at = partial(
        given_to,
        record=record,
        target=release.configuration.target,
        subject="candidate",
        percent=0,
        client_as=release.client_as,
        settings=settings,
        now=runtime.now,
    )
    with ThreadPoolExecutor(max_workers=1) as meanwhile:  # while the lock is renewed, and while AWS makes it
        target = meanwhile.submit(release.target, objects=[pinned for _, pinned in artifacts.values()])
        meanwhile.submit(make_ready, checks, partial(given_at, location=location))
        seconds, fence = (
            lock.lease(settings.deployment_seconds, settings.rollback_seconds),
            deployment["fence"],
        )
        lock.renew(release.ledger, application=release.application, fence=fence, seconds=seconds)
        prepared = target.result().prepare(
            artifacts, location["candidate"], partial(made.add, release.ledger, record)
        )
    by, what = datetime.fromisoformat(deployment["proveBy"]), f"{release.title}: the candidate"
    wait = wait_or_refuse(prepared.wait, by=by, now=runtime.now(), what=what)
    if candidate := prepared.candidate:
        given = partial(given_at, location={**location, "candidate": candidate})
        results = prove_candidate(checks, given, title=release.title)
        refuse_late(deployment, now=runtime.now(), title=release.title)
        name = release.kind.describe(release.configuration.target, candidate)
        data = {"candidate": name, "checks": [result.as_dict() for result in results]}
        standing = standing_of(location, candidate=candidate)
        releases.mark(release.ledger, release.fact(FactKind.CANDIDATE_PROVEN, data=data), standing=standing)
    return {"wait": wait}
