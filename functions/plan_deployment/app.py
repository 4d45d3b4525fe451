"""PlanDeployment: prepare the candidate, record the baseline, and say what would change; no traffic moves."""

from __future__ import annotations

from dataclasses import asdict

from tagship.deployment.binding import release_digest
from tagship.ledger import releases
from tagship.ledger.table import Fact
from tagship.model.application import Application
from tagship.model.facts import FactKind
from tagship.model.release import Manifest, PinnedObject
from tagship.model.rollout import only_step, time_to_see, traffic_steps
from tagship.runtime import Event, Runtime, step
from tagship.targets import target_of


@step
def handler(event: Event, runtime: Runtime) -> Event:
    """The plan, short enough to read in the console; the ledger has all of it."""
    release = event["release"]
    application, tag = release["application"], release["tag"]
    record = releases.get(runtime.ledger, application, tag)
    configuration = Application.from_dict(record["configuration"]["document"])
    artifacts = {
        artifact.name: (artifact, PinnedObject.from_dict(record["objects"][artifact.file]))
        for artifact in Manifest.from_dict(record["manifest"]).artifacts
    }
    change = target_of(
        configuration,
        tag=tag,
        client_as=runtime.client_as(configuration, tag=tag, execution=event["execution"]),
        objects=[pinned for _, pinned in artifacts.values()],
    ).plan(artifacts)
    floor = time_to_see(configuration.health, most=runtime.settings.look_back_seconds)
    steps = traffic_steps(configuration.strategy, floor=floor) if change.baseline else only_step(floor=floor)
    current = releases.current(runtime.ledger, application)
    plan = {
        **asdict(change),
        "steps": [asdict(it) for it in steps],
        "from": current["tag"] if current else None,
        "to": tag,
    }
    plan["digest"] = release_digest(record, plan)
    fact = Fact(
        application=application,
        tag=tag,
        attempt=release["attempt"],
        name=FactKind.DEPLOYMENT_PLANNED,
        execution=event["execution"],
        data={"summary": plan["summary"], "digest": plan["digest"], "from": plan["from"]},
    )
    releases.mark(runtime.ledger, fact, plan=plan, previous=current)
    return {name: plan[name] for name in ("nothingToChange", "summary", "from", "to", "digest")}
