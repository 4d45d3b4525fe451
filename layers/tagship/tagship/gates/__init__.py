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
    together,
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
_SMALL = 32 * 1024 * 1024
"""Artifacts of at most so many bytes in all are read within a second or two."""


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


def invocations(configuration: Application | None, *, size: int) -> list[str]:
    """The gates of each RunGate task: those that share one, then each of the others alone.

    `size` is that of all artifacts together, in bytes.
    """
    gates = running(configuration)
    alone = [gate for gate in gates if not gate.shares or (gate.reads_artifacts and size > _SMALL)]
    shared = [gate.name for gate in gates if gate not in alone]
    return [_BETWEEN.join(shared), *(gate.name for gate in alone)]


def run(
    names: str, case: Case, *, pause: Callable[[float], None], log: together.Log
) -> list[dict[str, object]]:
    """The results of one task's gates. Raises what a gate that is alone raises, and nothing if there are several."""
    found = [GATES[name] for name in names.split(_BETWEEN)]
    if len(found) == 1:
        return [together.answer(found[0], case, pause=pause).as_dict()]
    return [result.as_dict() for result in together.answers(found, case, pause=pause, log=log)]


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
