"""manifest: the release's manifest and the application's configuration are valid and belong together."""

from __future__ import annotations

from collections.abc import Sequence

from tagship.gates.gate import Case, Gate, GateResult, failed, passed

_NAME = "manifest"
_MOST_LISTED = 10


def check(case: Case) -> GateResult:
    """Judges what was read when the release was pinned; it reads nothing again."""
    if case.configuration is None:
        return failed(
            _NAME,
            f"{case.application} has no valid configuration in this stage: {_listed(case.configuration_problems)}",
            "Apply one with `tagship apply`, then retry the release.",
        )
    if case.manifest is None:
        return failed(
            _NAME,
            f"release.json is not a valid manifest: {_listed(case.problems)}",
            "Publish a new tag with `tagship publish`, which writes the manifest. `tagship validate` checks it.",
        )
    for what, named, place in (
        ("application", case.manifest.application, case.application),
        ("tag", case.manifest.tag, case.tag),
    ):
        if named != place:
            return failed(
                _NAME,
                f"{what}: release.json says {named!r}, but is in the folder of {place!r}",
                "Publish each release under its own application and tag.",
            )
    missing = [artifact.file for artifact in case.manifest.artifacts if artifact.file not in case.objects]
    if missing:
        return failed(
            _NAME,
            f"artifacts: {_listed(missing)} not found next to release.json",
            "Upload the artifacts first and release.json last, as `tagship publish` does. Then publish a new tag.",
        )
    count = len(case.manifest.artifacts)
    return passed(_NAME, f"Valid, with {count} artifact{'s' if count > 1 else ''}.")


def _listed(items: Sequence[str]) -> str:
    rest = len(items) - _MOST_LISTED
    return "; ".join(items[:_MOST_LISTED]) + (f"; and {rest} more" if rest > 0 else "")


GATE = Gate(name=_NAME, check=check, shares=True)
