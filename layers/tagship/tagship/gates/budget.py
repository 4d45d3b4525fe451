"""budget: the configured times of the strategy and the checks fit into the stack's budgets."""

from __future__ import annotations

from collections.abc import Sequence

from tagship.gates.gate import Case, Gate, GateResult, failed, passed, unanswered
from tagship.model.rollout import TrafficStep, seconds_needed, time_to_see, traffic_steps
from tagship.targets import kind_of

_NAME = "budget"
_SHOWN = 5
"""The number of bakes that are listed one by one."""


def check(case: Case) -> GateResult:
    """The gates' own budget needs no check: their time-outs are literals that add up to it, whatever an application
    configures.
    """
    if case.configuration is None:
        return unanswered(_NAME)
    step_seconds = kind_of(case.configuration.target).step_seconds
    floor = time_to_see(case.configuration.health, most=case.settings.look_back_seconds)
    steps = traffic_steps(case.configuration.strategy, step_seconds, floor=floor)
    checks = case.configuration.health.checks
    longest = max(checks, key=lambda check: check.seconds)
    check_seconds, name = longest.seconds, longest.label(case.application)
    budgets = (
        (
            "deployment",
            _sum(steps, step_seconds),
            seconds_needed(steps),
            case.settings.deployment_seconds,
        ),
        ("health", f"the longest check, {name}", check_seconds, case.settings.health_seconds),
        (
            "rollback",
            f"one step of {step_seconds} s and that check",
            step_seconds + check_seconds,
            case.settings.rollback_seconds,
        ),
    )
    sentences, over = [], []
    for budget, what, needs, has in budgets:
        sentences.append(f"{budget} takes {needs} s of {has} s ({what})")
        if needs > has:
            over.append(sentences[-1])
    if over:
        return failed(
            _NAME,
            f"Longer than its budget: {'; '.join(over)}.",
            f"Shorten the strategy's bakes{_at_least(floor)} or use fewer steps. Reduce the longest "
            "check's requests or their time-out.",
        )
    return passed(_NAME, f"Within the budgets: {'; '.join(sentences)}.{_raised(steps, case, floor)}")


def _raised(steps: Sequence[TrafficStep], case: Case, floor: int) -> str:
    """Bakes that are longer than configured."""
    assert case.configuration is not None
    step_seconds = kind_of(case.configuration.target).step_seconds
    if list(steps) == list(traffic_steps(case.configuration.strategy, step_seconds)):
        return ""
    return (
        f" Each bake lasts at least {floor} s, because alarms and metrics need that long to show a problem."
    )


def _at_least(floor: int) -> str:
    return f" (at least {floor} s each, so that alarms and metrics can show a problem)" if floor else ""


def _sum(steps: Sequence[TrafficStep], step_seconds: int) -> str:
    """`10 % for 300 s, 2 steps of 15 s`."""
    bakes = [f"{step.percent} % for {step.bake} s" for step in steps if step.bake]
    shown = bakes if len(bakes) <= _SHOWN else [f"bakes of {sum(step.bake for step in steps)} s"]
    return " + ".join([*shown, f"{len(steps)} step{'s' if len(steps) > 1 else ''} of {step_seconds} s"])


GATE = Gate(name=_NAME, check=check, shares=True)
