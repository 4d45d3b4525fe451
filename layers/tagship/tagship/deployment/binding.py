"""Approve what you deploy: the one digest that binds a decision to bytes."""

from __future__ import annotations

from tagship.ledger.table import digest_of
from tagship.model.records import NewRelease, Plan


def release_digest(record: NewRelease, plan: Plan) -> str:
    """Over the manifest's bytes, the pinned objects, the configuration and the plan (its own digest left out)."""
    return digest_of(
        {
            "manifest": record["digest"],
            "objects": record["objects"],
            "configuration": record["configuration"],
            "plan": {name: value for name, value in plan.items() if name != "digest"},
        }
    )
