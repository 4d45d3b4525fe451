"""PlanDeployment: plan the changes and record the baseline; change nothing."""

from __future__ import annotations

from tagship.deployment.artifacts import artifacts_of
from tagship.deployment.binding import release_digest
from tagship.ledger import releases
from tagship.ledger.table import of_planning
from tagship.model.facts import FactKind
from tagship.model.records import LocationPlan, Plan, manifest_of
from tagship.model.release import Manifest
from tagship.model.rollout import only_step, time_to_see, traffic_steps
from tagship.runtime import Event, Runtime, step


@step
def handler(event: Event, runtime: Runtime) -> Event:
    """The plan, short enough for the console; the ledger has the full plan."""
    release = runtime.release(event)
    release.read_ahead()
    record, spec = release.record, release.configuration.target
    manifest = Manifest.from_dict(manifest_of(record))
    artifacts = artifacts_of(record)
    configuration, step_seconds = release.configuration, release.kind.step_seconds
    floor = time_to_see(configuration.health, most=runtime.settings.look_back_seconds)
    steps = traffic_steps(configuration.strategy, step_seconds, floor=floor)
    target = release.target(objects=[pinned for _, pinned in artifacts.values()])
    change = target.plan(artifacts, manifest.parameters, weighted=len(steps) > 1)
    if change.baseline is None:
        steps = only_step(step_seconds, floor=floor)
    current = release.current  # after the target: what changes it later also changes the target's etag
    location: LocationPlan = {
        "location": f"{spec.account}/{spec.region}",
        "baseline": change.baseline,
        "candidate": change.candidate,
        "etag": change.baseline.get("etag", "") if change.baseline else "",
    }
    plan: Plan = {
        "locations": [location],
        "nothingToChange": change.nothingToChange,
        "summary": list(change.summary),
        "steps": [it.as_dict() for it in steps],
        "from": current["tag"] if current else None,
        "to": release.tag,
        "planning": event["planning"],
    }
    if change.warnings:
        plan["warnings"] = list(change.warnings)
    plan["digest"] = release_digest(record, plan)
    data = {"summary": plan["summary"], "digest": plan["digest"], "from": plan["from"]}
    planned = release.fact(FactKind.DEPLOYMENT_PLANNED, key=of_planning(event["planning"]), data=data)
    releases.mark(release.ledger, planned, plan=plan, replaces=current)
    return {name: plan[name] for name in ("nothingToChange", "summary", "from", "to", "digest")}
