"""Gates: the requirements that a release must meet before anyone is asked to approve it. A new gate is one file and one
entry in `_ALL`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, cast

from tagship.aws.rights import Right
from tagship.gates import (
    alarms,
    approvers,
    baseline,
    budget,
    calendar,
    custom,
    integrity,
    manifest,
    package,
    promotion,
    provenance,
    signature,
    tag,
    target,
)
from tagship.gates.gate import Case, Gate, GateResult, Verdict, not_configured
from tagship.model.application import Application
from tagship.model.records import GateRecord

_ALL = (
    manifest.GATE,
    tag.GATE,
    integrity.GATE,
    package.GATE,
    signature.GATE,
    provenance.GATE,
    promotion.GATE,
    target.GATE,
    baseline.GATE,
    alarms.GATE,
    custom.GATE,
    calendar.GATE,
    budget.GATE,
    approvers.GATE,
)
GATES: Mapping[str, Gate] = {gate.name: gate for gate in _ALL}
_BETWEEN = ", "
_TRIES_OF_A_ROLE, _PAUSE_SECONDS = 5, 3
"""How long a role that AWS refuses is retried: a new role or permission is refused for some seconds."""


def rights(configuration: Application) -> tuple[Right, ...]:
    """The permissions that gates need from the application's role, in addition to those of its target's adapter."""
    return tuple(
        right for gate in _ALL if gate.configured(configuration) for right in gate.rights(configuration)
    )


def running(configuration: Application | None) -> list[Gate]:
    """The gates that run; if the application's configuration cannot be read, those that always run."""
    return [gate for gate in _ALL if gate.configured(configuration)]


def unused(configuration: Application | None) -> list[GateResult]:
    """The gates that the application does not use: the record lists them, and they do not count as passed."""
    return [not_configured(gate.name) for gate in _ALL if not gate.configured(configuration)]


def invocations(configuration: Application | None) -> list[str]:
    """The gates of each RunGate invocation: those that only compute together, each of the others alone."""
    gates = running(configuration)
    computing = [gate.name for gate in gates if gate.computes]
    return [_BETWEEN.join(computing), *(gate.name for gate in gates if not gate.computes)]


def run(names: str, case: Case, *, pause: Callable[[float], None]) -> list[dict[str, object]]:
    """The results of one invocation's gates."""
    return [_answer(GATES[name], case, pause).as_dict() for name in names.split(_BETWEEN)]


def _answer(gate: Gate, case: Case, pause: Callable[[float], None]) -> GateResult:
    """IAM is eventually consistent: right after onboarding, a refused role is retried for a short time."""
    result = gate.check(case)
    for _ in range(_TRIES_OF_A_ROLE):
        if not result.may_pass:
            break
        pause(_PAUSE_SECONDS)
        result = gate.check(case)
    return result


def answers(given: Sequence[Mapping[str, Any]], configuration: Application | None) -> list[GateRecord]:
    """One result for each gate that runs, in the gates' order; a gate without a result has not passed."""
    found: dict[str, GateRecord] = {}
    for each in given:
        for result in each.get("results", [each]):
            names = str(result["gate"]).split(_BETWEEN)
            found |= {name: cast("GateRecord", {**result, "gate": name}) for name in names}
    return [found.get(gate.name) or _silent(gate.name) for gate in running(configuration)]


def _silent(gate: str) -> GateRecord:
    return {
        "gate": gate,
        "verdict": Verdict.ERROR,
        "why": "The gate did not answer.",
        "remedy": "Retry the release.",
    }


__all__ = [
    "GATES",
    "Case",
    "Gate",
    "GateResult",
    "Verdict",
    "answers",
    "invocations",
    "rights",
    "run",
    "running",
    "unused",
]
