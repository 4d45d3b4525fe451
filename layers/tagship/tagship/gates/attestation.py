"""The content of a build attestation: in-toto statements with SLSA provenance from GitHub's workflows, in Sigstore's
envelope.

The envelope's own signature is not verified here. A statement is as trustworthy as the release's signature, because the
attestation is one of its artifacts (docs/gates.md).
"""

from __future__ import annotations

import base64
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from tagship.gates.reading import Unreadable, member, parsed, text
from tagship.text.plain import exact

BYTES = 1024 * 1024
"""A bundle has about 10 KB; one with a hundred statements fits."""
_STATEMENTS = 100
_PAYLOAD = "application/vnd.in-toto+json"
_STATEMENT = "https://in-toto.io/Statement/v1"
_PROVENANCE = "https://slsa.dev/provenance/v1"
_WORKFLOW = "https://actions.github.io/buildtypes/workflow/v1"
_SHA256 = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Provenance:
    """One statement: who built what, from where."""

    subjects: frozenset[str]
    """SHA-256 of each built file, in hexadecimal."""
    builder: str
    """The workflow that built it, with its ref:
    `https://github.com/acme/storefront/.github/workflows/release.yaml@refs/…`.
    """
    repository: str
    """The repository's address."""
    ref: str
    """The ref that the workflow ran for: `refs/tags/v1.4.0`."""
    commits: frozenset[str]
    """The commits of the repository that were built."""


def provenances(raw: bytes) -> tuple[Provenance, ...]:
    """Every provenance in these bytes: one bundle or envelope, or one per line. Other statements are left out.

    Raises Unreadable, and nothing else whatever the bytes are; also if there is no provenance at all.
    """
    found = [_provenance(statement) for statement in _statements(raw)]
    statements = tuple(each for each in found if each is not None)
    if not statements:
        raise Unreadable(f"it has no statement of type {_PROVENANCE}")
    return statements


def _statements(raw: bytes) -> Iterator[Mapping[str, object]]:
    for document in _documents(raw):
        envelope = document.get("dsseEnvelope", document)
        if text(envelope, "payloadType") != _PAYLOAD:
            raise Unreadable(f"its payload is {exact(envelope['payloadType'])}, not {_PAYLOAD}")
        if not member(envelope, "signatures"):
            raise Unreadable("its envelope is not signed")
        try:
            payload = base64.b64decode(text(envelope, "payload"), validate=True)
        except Unreadable:
            raise
        except ValueError as error:
            raise Unreadable("its payload is not Base64") from error
        yield parsed(payload)


def _documents(raw: bytes) -> list[Mapping[str, Any]]:
    """One document, over any number of lines, or one per line."""
    try:
        return [parsed(raw)]
    except Unreadable:
        lines = [line for line in raw.splitlines() if line.strip()]
        if len(lines) < 2:
            raise
        if len(lines) > _STATEMENTS:
            raise Unreadable(f"it has more than {_STATEMENTS} statements") from None
        return [parsed(line) for line in lines]


def _provenance(statement: Mapping[str, object]) -> Provenance | None:
    if text(statement, "_type") != _STATEMENT:
        raise Unreadable(f"its statement is {exact(statement['_type'])}, not {_STATEMENT}")
    if text(statement, "predicateType") != _PROVENANCE:
        return None
    build = member(statement, "predicate", "buildDefinition")
    if text(build, "buildType") != _WORKFLOW:
        raise Unreadable(f"its build is {exact(build['buildType'])}, not {_WORKFLOW}")
    repository = text(build, "externalParameters", "workflow", "repository")
    return Provenance(
        subjects=frozenset(_subjects(statement)),
        builder=text(statement, "predicate", "runDetails", "builder", "id"),
        repository=repository,
        ref=text(build, "externalParameters", "workflow", "ref"),
        commits=frozenset(_commits(build, repository)),
    )


def _subjects(statement: Mapping[str, object]) -> Iterator[str]:
    subjects = member(statement, "subject")
    for subject in subjects if isinstance(subjects, list) else ():
        digest = member(subject, "digest", "sha256")
        if isinstance(digest, str) and _SHA256.fullmatch(digest):
            yield digest


def _commits(build: object, repository: str) -> Iterator[str]:
    dependencies = member(build, "resolvedDependencies")
    for dependency in dependencies if isinstance(dependencies, list) else ():
        uri, commit = member(dependency, "uri"), member(dependency, "digest", "gitCommit")
        if isinstance(uri, str) and uri.startswith(f"git+{repository}@") and isinstance(commit, str):
            yield commit
