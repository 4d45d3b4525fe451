"""Gates: what must hold before anyone is asked to approve. A new gate is one file and one line in `GATES`."""

from __future__ import annotations

from tagship.aws.rights import Right
from tagship.gates import (
    alarms,
    baseline,
    budget,
    calendar,
    custom,
    integrity,
    manifest,
    promotion,
    provenance,
    signature,
    tag,
    target,
)
from tagship.gates.gate import Case, Gate, GateResult, Verdict
from tagship.model.application import Application

GATES: dict[str, Gate] = {
    "manifest": manifest.check,
    "tag": tag.check,
    "integrity": integrity.check,
    "signature": signature.check,
    "provenance": provenance.check,
    "promotion": promotion.check,
    "target": target.check,
    "baseline": baseline.check,
    "alarms": alarms.check,
    "custom": custom.check,
    "calendar": calendar.check,
    "budget": budget.check,
}


def rights(configuration: Application) -> tuple[Right, ...]:
    """What gates ask of the application's role, beside what its target's adapter does."""
    return (*alarms.rights(configuration), *custom.rights(configuration))


__all__ = ["GATES", "Case", "Gate", "GateResult", "Verdict", "rights"]
