"""The digest that binds an approval to exact bytes."""

from __future__ import annotations

from tagship.ledger.table import digest_of
from tagship.model.records import NewRelease, Plan


def release_digest(record: NewRelease, plan: Plan) -> str:
    """Covers the manifest's bytes, the pinned objects, the configuration and the plan (without the plan's own digest)."""
    return digest_of(
        {
            "manifest": record["digest"],
            "objects": record["objects"],
            "configuration": record["configuration"],
            "plan": {name: value for name, value in plan.items() if name != "digest"},
        }
    )
