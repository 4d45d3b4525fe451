"""Gates: what must hold before anyone is asked to approve. A new gate is one file and one line in `GATES`."""

from __future__ import annotations

from tagship.gates import baseline, integrity, manifest, promotion, provenance, signature, tag, target
from tagship.gates.gate import Case, Gate, GateResult, Verdict

GATES: dict[str, Gate] = {
    "manifest": manifest.check,
    "tag": tag.check,
    "integrity": integrity.check,
    "signature": signature.check,
    "provenance": provenance.check,
    "promotion": promotion.check,
    "target": target.check,
    "baseline": baseline.check,
}

__all__ = ["GATES", "Case", "Gate", "GateResult", "Verdict"]
