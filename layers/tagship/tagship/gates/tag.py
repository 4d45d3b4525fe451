"""tag: a semantic version, and newer than what production runs."""

from __future__ import annotations

from tagship.gates.gate import Case, GateResult, failed, passed
from tagship.release import Tag

_NAME = "tag"


def check(case: Case) -> GateResult:
    """SemVer precedence decides; a version that differs in build metadata alone is not newer."""
    try:
        tag = Tag.parse(case.tag)
    except ValueError as error:
        return failed(_NAME, str(error), "Publish under a tag like v1.4.0.")
    if case.production is None:
        return passed(_NAME, f"{tag} is the first release of {case.application}.")
    if not tag.newer_than(Tag.parse(case.production)):
        return failed(
            _NAME,
            f"{tag} is not newer than {case.production}, which production runs.",
            "Publish a newer tag. To go back to an older version, roll back instead.",
        )
    return passed(_NAME, f"{tag} is newer than {case.production}, which production runs.")
