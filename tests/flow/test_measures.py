"""The ledger of a release contains enough for every documented metric."""

from __future__ import annotations

from tagship.notices.metrics import Measure, measures
from tagship.text.times import moment
from tests.flow.harness import World
from tests.flow.test_endings import sick_from


def measured(world: World, tag: str) -> dict[str, Measure]:
    facts = world.ledger.facts_of("storefront", tag)
    return {
        measure.name: measure
        for fact in facts
        for measure in measures(fact)
        if measure.value or measure.unit.value != "Count"
    }


def test_a_release_that_succeeds_and_one_that_is_rolled_back_are_measured(world: World) -> None:
    world.release("v1.0.0")
    good = measured(world, "v1.0.0")
    assert set(good) == {
        "GatePassed",
        "ValidationDuration",
        "ApprovalRequested",
        "ApprovalGranted",
        "ApprovalLatency",
        "HealthCheckPassed",
        "HealthDuration",
        "DeploymentSucceeded",
        "DeploymentDuration",
        "LeadTime",
    }
    world.health = sick_from(3)
    world.release("v1.1.0")
    bad = measured(world, "v1.1.0")
    assert set(bad) - set(good) == {
        "HealthCheckFailed",
        "DeploymentFailed",
        "RollbackTriggered",
        "RollbackSucceeded",
        "RollbackDuration",
    }
    seconds = {name: measure.value for name, measure in (good | bad).items() if name.endswith("Duration")}
    assert all(0 <= value < 60 for value in seconds.values()), seconds
    facts = {fact["name"]: fact for fact in reversed(world.ledger.facts_of("storefront", "v1.1.0"))}
    for name, ends, budget in (
        ("Lock Acquired", "gatesEnd", 300),
        ("Deployment Started", "deadline", 1200),
        ("Rollback Triggered", "deadline", 600),
    ):  # the limit that a dashboard compares it with
        left = moment(facts[name]["data"][ends]) - moment(facts[name]["at"])
        assert abs(left.total_seconds() - budget) < 10, name
