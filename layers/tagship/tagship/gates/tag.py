"""tag: a semantic version that the application allows, and newer than the one in production."""

from __future__ import annotations

from fnmatch import fnmatchcase

from tagship.gates.gate import Case, Gate, GateResult, failed, passed, unanswered
from tagship.model.release import Tag

_NAME = "tag"


def check(case: Case) -> GateResult:
    """SemVer precedence decides; a version that differs only in build metadata is not newer."""
    try:
        tag = Tag.parse(case.tag)
    except ValueError as error:
        return failed(_NAME, str(error), "Publish under a tag like v1.4.0.")
    if case.configuration is None:
        return unanswered(_NAME)
    rules = case.configuration.gates.tags
    ref = (case.manifest.ref if case.manifest else "") or str(tag)
    if not fnmatchcase(ref, rules.pattern):
        return failed(
            _NAME,
            f"{ref} does not match {rules.pattern}, the pattern of this application's tags.",
            "Publish under a tag that matches, or change gates.tags.pattern.",
        )
    if tag.is_pre_release and not rules.preReleases:
        return failed(
            _NAME,
            f"{tag} is a pre-release, which {case.application} does not accept in this stage.",
            "Publish the final version, or allow pre-releases with gates.tags.preReleases.",
        )
    if case.production is None:
        return passed(_NAME, f"{tag} is the first release of {case.application}.")
    if not tag.newer_than(Tag.parse(case.production)):
        return failed(
            _NAME,
            f"{tag} is not newer than {case.production}, which is deployed now.",
            "Publish a newer tag. To go back to an older version, roll back instead.",
        )
    return passed(_NAME, f"{tag} is newer than {case.production}, which is deployed now.")


GATE = Gate(name=_NAME, check=check, shares=True)
