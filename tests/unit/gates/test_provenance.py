"""The provenance gate holds the manifest's origin against the application's, and against the build's own attestation."""

from __future__ import annotations

import pytest

from tagship.gates import Verdict, provenance
from tagship.model.errors import AwsUnavailable
from tests.unit.builders import CODE, manifest, record, sha256
from tests.unit.gates.attested import REPOSITORY, WORKFLOW, bundle, statement, written
from tests.unit.gates.cases import FakeS3, case, gated
from tests.unit.tables import aws_error

KEY = "releases/storefront/v1.4.0/provenance.jsonl"
BUILD = "predicate.buildDefinition"
GOOD = written(bundle(statement()))
SHARED = "https://github.com/acme/workflows/.github/workflows/release.yaml"


def check(raw=None, *, rules=None, s3=None, repository="acme/storefront", ref="", **changes):
    """The gate on a release with this attestation among its artifacts."""
    document = manifest(notes="", parameters={}, repository=repository, ref=ref)
    objects = record()["objects"]
    s3 = s3 or FakeS3()
    if raw is not None:
        size = len(raw)
        document["artifacts"] += [
            {"name": "provenance", "file": "provenance.jsonl", "sha256": sha256(raw), "size": size}
        ]
        objects["provenance.jsonl"] = {"bucket": "releases", "key": KEY, "versionId": "2", "size": size}
        s3.objects[KEY, "2"] = raw
    given = {
        "manifest": document,
        "objects": objects,
        "configuration": gated(provenance={"repository": "acme/storefront"} | (rules or {})),
    } | changes
    return provenance.check(case(s3=s3, **given))


@pytest.mark.parametrize(
    "raw, rules",
    [
        (GOOD, {}),
        (GOOD, {"attestation": "required"}),
        (GOOD, {"builder": f"{REPOSITORY}/.github/workflows/release.yaml"}),
        (GOOD, {"builder": WORKFLOW}),
        (
            written(bundle(statement(**{"predicate.runDetails.builder.id": f"{SHARED}@refs/tags/v3"}))),
            {"builder": SHARED},
        ),
        (
            written(bundle(statement(**{"predicate.runDetails.builder.id": f"{SHARED}@refs/tags/v3"}))),
            {"builder": f"{SHARED}@refs/tags/v3"},
        ),
        (
            written(bundle(statement(**{"predicate.runDetails.builder.id": f"{SHARED}@refs/heads/a@b"}))),
            {"builder": SHARED},
        ),
        (
            written(
                bundle(statement(subject=[{"name": "other", "digest": {"sha256": "0" * 64}}])),
                bundle(statement()),
            ),
            {},
        ),
    ],
    ids=[
        "fits",
        "required",
        "named builder",
        "with its ref",
        "shared workflow",
        "of one version",
        "of a branch with an at sign",
        "one file a statement",
    ],
)
def test_a_matching_attestation_passes(raw, rules):
    result = check(raw, rules=rules)
    assert (result.gate, result.verdict) == ("provenance", Verdict.PASSED), result.why
    assert result.why.startswith("Built from acme/storefront at 0123456 by https://github.com/acme/")


@pytest.mark.parametrize(
    "changes, rules, why",
    [
        (
            {f"{BUILD}.externalParameters.workflow.repository": "https://github.com/evil/storefront"},
            {},
            f"is about a build of 'https://github.com/evil/storefront', not of {REPOSITORY}",
        ),
        (
            {f"{BUILD}.externalParameters.workflow.ref": "refs/heads/main"},
            {},
            "is about a build for 'refs/heads/main', not for refs/tags/v1.4.0",
        ),
        (
            {f"{BUILD}.externalParameters.workflow.ref": "refs/tags/v1.4.00"},
            {},
            "is about a build for 'refs/tags/v1.4.00', not for refs/tags/v1.4.0",
        ),
        (
            {f"{BUILD}.resolvedDependencies.0.digest.gitCommit": "f" * 40},
            {},
            f"is about '{'f' * 40}', not about commit {manifest()['commit']}",
        ),
        ({f"{BUILD}.resolvedDependencies": []}, {}, "is about no commit, not about commit"),
        (
            {"predicate.runDetails.builder.id": "https://github.com/actions/runner/self-hosted"},
            {},
            "names the builder 'https://github.com/actions/runner/self-hosted', not a workflow of acme/storefront",
        ),
        (
            # a branch may have this name; the text after the first at sign is the ref
            {
                "predicate.runDetails.builder.id": f"{WORKFLOW.partition('@')[0]}@refs/heads/x@refs/tags/v1.4.0"
            },
            {},
            f"names the builder '{WORKFLOW.partition('@')[0]}@refs/heads/x@refs/tags/v1.4.0', not a workflow of",
        ),
        (
            {
                f"{BUILD}.resolvedDependencies": [
                    {"uri": f"git+{REPOSITORY}@refs/tags/v1.4.0", "digest": {"gitCommit": digit * 40}}
                    for digit in "4321"
                ]
            },
            {},
            f"is about '{'1' * 40}' and '{'2' * 40}' and '{'3' * 40}', not about commit {manifest()['commit']}",
        ),
        (
            {"predicate.runDetails.builder.id": f"{SHARED}@refs/tags/v1.4.0"},
            {},
            f"names the builder '{SHARED}@refs/tags/v1.4.0', not a workflow of acme/storefront at refs/tags/v1.4.0",
        ),
        (
            {"predicate.runDetails.builder.id": WORKFLOW.replace("tags/v1.4.0", "heads/main")},
            {},
            "names the builder",
        ),
        (
            {"predicate.runDetails.builder.id": f"{SHARED}@refs/heads/main"},
            {"builder": f"{SHARED}@refs/tags/v3"},
            f"names the builder '{SHARED}@refs/heads/main', not {SHARED}@refs/tags/v3",
        ),
        (
            {"predicate.runDetails.builder.id": f"{SHARED}-evil@refs/tags/v3"},
            {"builder": SHARED},
            "names the builder",
        ),
        (
            {"subject.0.digest.sha256": "0" * 64},
            {},
            f"does not cover storefront.zip (SHA-256 {sha256(CODE)})",
        ),
        ({"subject": []}, {}, "does not cover storefront.zip"),
    ],
    ids=lambda value: str(value)[:60],
)
def test_an_attestation_about_something_else_is_refused_with_the_difference(changes, rules, why):
    result = check(written(bundle(statement(**changes))), rules=rules)
    assert result.verdict is Verdict.FAILED
    assert result.why.startswith(f"provenance.jsonl {why}")
    assert "publish a new tag" in result.remedy


def test_every_statement_must_match_not_just_one():
    stray = bundle(statement(**{f"{BUILD}.externalParameters.workflow.ref": "refs/heads/main"}))
    assert check(written(bundle(statement()), stray)).verdict is Verdict.FAILED


def test_every_artifact_must_be_covered():
    artifacts = [
        *manifest()["artifacts"],
        {"name": "assets", "file": "assets.zip", "sha256": "1" * 64, "size": 1},
        {"name": "provenance", "file": "provenance.jsonl", "sha256": sha256(GOOD), "size": len(GOOD)},
    ]
    result = check(GOOD, manifest=manifest(notes="", parameters={}, artifacts=artifacts))
    assert result.why == f"provenance.jsonl does not cover assets.zip (SHA-256 {'1' * 64})."


def test_another_repository_is_refused_before_anything_is_read():
    s3 = FakeS3()
    result = check(GOOD, s3=s3, repository="evil/storefront")
    assert (result.verdict, result.why) == (
        Verdict.FAILED,
        "It comes from evil/storefront, but storefront may be released only from acme/storefront.",
    )
    assert s3.asked == []


def test_a_missing_attestation_is_refused_if_required():
    result = check(rules={"attestation": "required"})
    assert (result.verdict, result.why) == (
        Verdict.FAILED,
        "It has no build attestation: no artifact is named provenance.",
    )
    assert "--artifact provenance=" in result.remedy


def test_a_missing_attestation_passes_if_optional():
    result = check()
    assert (result.verdict, result.why) == (
        Verdict.PASSED,
        "It comes from acme/storefront, as its manifest says.",
    )


def test_an_invalid_attestation_is_refused():
    """Fault 7."""
    result = check(b"no JSON")
    assert (result.verdict, result.why) == (
        Verdict.FAILED,
        "provenance.jsonl is not a valid build attestation: it is not JSON.",
    )


def test_an_oversized_attestation_is_not_read():
    """Fault 7."""
    s3 = FakeS3()
    result = check(b" " * (1024 * 1024 + 1), s3=s3)
    assert result.verdict is Verdict.FAILED
    assert "the limit is 1048576" in result.why
    assert s3.asked == []


def test_an_attestation_missing_from_the_bucket_is_refused():
    """Fault 3."""
    result = check(GOOD, objects=record()["objects"])
    assert (result.verdict, result.why) == (Verdict.FAILED, "provenance.jsonl is missing.")
    assert result.cause == "manifest"


def test_the_pinned_version_is_checked_even_after_a_later_upload():
    """Fault 4."""
    s3 = FakeS3(objects={(KEY, "3"): b"overwritten after it was read"})
    assert check(GOOD, s3=s3).verdict is Verdict.PASSED
    assert {version for _, _, version in s3.asked} == {"2"}


def test_an_unavailable_s3_is_retried():
    """Fault 12."""
    with pytest.raises(AwsUnavailable, match=f"^Reading {KEY}: "):
        check(GOOD, s3=FakeS3(fails_with=aws_error("SlowDown", status=503)))


def test_an_application_without_a_repository_accepts_any():
    result = check(repository="evil/storefront", configuration=record()["configuration"])
    assert result.verdict is Verdict.NOT_CONFIGURED


@pytest.mark.parametrize(
    "changes",
    [
        {"manifest": None, "problems": ["is not JSON"]},
        {"configuration": {"version": 0, "document": None, "problems": []}},
    ],
)
def test_without_a_manifest_or_a_configuration_nothing_passes(changes):
    assert check(**changes).verdict is Verdict.ERROR


def test_a_monorepos_attestation_must_match_the_whole_git_tag():
    """Fault 93."""
    ref = "refs/tags/storefront/v1.4.0"
    built = statement(
        **{
            f"{BUILD}.externalParameters.workflow.ref": ref,
            "predicate.runDetails.builder.id": f"{WORKFLOW.partition('@')[0]}@{ref}",
        }
    )
    assert check(written(bundle(built)), ref="storefront/v1.4.0").verdict is Verdict.PASSED
    assert check(GOOD, ref="storefront/v1.4.0").verdict is Verdict.FAILED
