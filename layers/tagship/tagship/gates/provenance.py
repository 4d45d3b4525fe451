"""provenance: the release comes from the application's repository, and its build attestation, if there is one, matches."""

from __future__ import annotations

from collections.abc import Sequence

from tagship.gates import attestation
from tagship.gates.attestation import Provenance
from tagship.gates.gate import Case, Gate, GateResult, failed, not_configured, passed, unanswered
from tagship.gates.reading import Unreadable, read
from tagship.model.application import Application
from tagship.model.application import Provenance as Rules
from tagship.model.release import Manifest
from tagship.text.plain import exact

_NAME = "provenance"
_ARTIFACT = "provenance"
_HOST = "https://github.com"
_REMEDY = "Build the tag again in the repository's own workflow, attest the build, and publish a new tag."


def check(case: Case) -> GateResult:
    """An existing attestation is checked even if none is required.

    Raises AwsUnavailable if S3 is unavailable.
    """
    if case.manifest is None or case.configuration is None:
        return unanswered(_NAME)
    manifest, rules = case.manifest, case.configuration.gates.provenance
    if rules is None:
        return not_configured(_NAME)
    if manifest.repository != rules.repository:
        return failed(
            _NAME,
            f"It comes from {manifest.repository}, but {case.application} may be released only from {rules.repository}.",
            f"Publish it from {rules.repository}, or change gates.provenance.repository.",
        )
    artifact = manifest.artifact(_ARTIFACT)
    if artifact is None and rules.attestation == "required":
        return failed(
            _NAME,
            f"It has no build attestation: no artifact is named {_ARTIFACT}.",
            f"Attest the build and publish a new tag with --artifact {_ARTIFACT}=<the attestation's file>.",
        )
    if artifact is None:
        return passed(_NAME, f"It comes from {manifest.repository}, as its manifest says.")
    pinned = case.objects.get(artifact.file)
    if pinned is None:
        return failed(_NAME, f"{artifact.file} is missing.", _REMEDY, cause="manifest")
    try:
        statements = attestation.provenances(read(case.client("s3"), pinned, most=attestation.BYTES))
    except Unreadable as error:
        return failed(_NAME, f"{artifact.file} is not a valid build attestation: {error}.", _REMEDY)
    problem = _mismatch(statements, manifest, rules)
    if problem:
        return failed(_NAME, f"{artifact.file} {problem}.", _REMEDY)
    return passed(
        _NAME,
        f"Built from {manifest.repository} at {manifest.commit[:7]} by {statements[0].builder}, as its attestation says.",
    )


def _mismatch(statements: Sequence[Provenance], manifest: Manifest, rules: Rules) -> str:
    """How the first non-matching statement differs from the manifest; empty if all match and cover everything."""
    ref = f"refs/tags/{manifest.git_tag}"
    for each in statements:
        if each.repository != f"{_HOST}/{rules.repository}":
            return f"is about a build of {exact(each.repository)}, not of {_HOST}/{rules.repository}"
        if each.ref != ref:
            return f"is about a build for {exact(each.ref)}, not for {ref}"
        if manifest.commit not in each.commits:
            return f"is about {_listed(each.commits)}, not about commit {manifest.commit}"
        if not _allowed(each.builder, rules, ref):
            expected = rules.builder or f"a workflow of {rules.repository} at {ref}"
            return f"names the builder {exact(each.builder)}, not {expected}"
    covered = frozenset[str]().union(*(each.subjects for each in statements))
    for artifact in manifest.artifacts:
        if artifact.name != _ARTIFACT and artifact.sha256 not in covered:
            return f"does not cover {artifact.file} (SHA-256 {artifact.sha256})"
    return ""


def _allowed(builder: str, rules: Rules, ref: str) -> bool:
    if rules.builder is None:
        workflow, _, at = builder.partition("@")
        return workflow.startswith(f"{_HOST}/{rules.repository}/.github/workflows/") and at == ref
    return builder == rules.builder if "@" in rules.builder else builder.partition("@")[0] == rules.builder


def _listed(commits: frozenset[str]) -> str:
    return " and ".join(exact(commit) for commit in sorted(commits)[:3]) or "no commit"


def _configured(configuration: Application | None) -> bool:
    return configuration is not None and configuration.gates.provenance is not None


GATE = Gate(name=_NAME, check=check, configured=_configured)
