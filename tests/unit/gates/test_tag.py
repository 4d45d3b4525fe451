"""The tag gate lets newer versions through, and no others."""

from __future__ import annotations

import pytest

from tagship.gates import Verdict, tag
from tagship.model.documents import as_document, read_application
from tests.unit.builders import application, manifest
from tests.unit.gates.cases import case


def configured(**rules):
    """The configuration of an application with these rules for its tags."""
    document = as_document(read_application(application(gates={"tags": rules})))
    return {"version": 3, "document": document, "problems": []}


@pytest.mark.parametrize(
    "offered, production, why",
    [
        ("v0.1.0", None, "v0.1.0 is the first release of storefront."),
        ("v1.4.0", "v1.3.9", "v1.4.0 is newer than v1.3.9, which is deployed now."),
        ("v1.10.0", "v1.9.0", "v1.10.0 is newer than v1.9.0, which is deployed now."),
        ("v1.4.0", "v1.4.0-rc.2", "v1.4.0 is newer than v1.4.0-rc.2, which is deployed now."),
        ("v1.4.0-rc.10", "v1.4.0-rc.9", "v1.4.0-rc.10 is newer than v1.4.0-rc.9, which is deployed now."),
    ],
)
def test_a_newer_tag_passes(offered, production, why):
    result = tag.check(case(tag=offered, production=production, configuration=configured(preReleases=True)))
    assert (result.gate, result.verdict, result.why) == ("tag", Verdict.PASSED, why)


@pytest.mark.parametrize(
    "offered, production",
    [
        ("v1.4.0", "v1.4.0"),
        ("v1.4.0", "v1.5.0"),
        ("v1.9.0", "v1.10.0"),
        ("v1.4.0-rc.1", "v1.4.0"),
        ("v1.4.0+build.2", "v1.4.0+build.1"),
        ("v1.4.0+build.2", "v1.4.0"),
    ],
)
def test_an_older_or_equal_tag_is_refused_with_a_hint_to_roll_back(offered, production):
    """Fault 6."""
    allowing = configured(preReleases=True)
    result = tag.check(case(tag=offered, production=production, configuration=allowing))
    assert (result.verdict, result.why) == (
        Verdict.FAILED,
        f"{offered} is not newer than {production}, which is deployed now.",
    )
    assert "roll back" in result.remedy


@pytest.mark.parametrize("offered", ["1.4.0", "latest", "v1.4"])
def test_an_invalid_tag_is_refused(offered):
    result = tag.check(case(tag=offered))
    assert result.verdict is Verdict.FAILED
    assert f"{offered!r} is not a tag" in result.why


def test_a_pre_release_is_refused_if_not_allowed():
    result = tag.check(case(tag="v2.0.0-rc.1"))
    assert result.verdict is Verdict.FAILED
    assert result.why == "v2.0.0-rc.1 is a pre-release, which storefront does not accept in this stage."
    assert "gates.tags.preReleases" in result.remedy


@pytest.mark.parametrize(
    "pattern, offered, verdict",
    [
        ("v2.*", "v2.0.1", Verdict.PASSED),
        ("v2.*", "v1.9.9", Verdict.FAILED),
        ("v?.0.0", "v3.0.0", Verdict.PASSED),
        ("v?.0.0", "v13.0.0", Verdict.FAILED),
    ],
)
def test_a_tag_must_match_the_pattern(pattern, offered, verdict):
    result = tag.check(case(tag=offered, configuration=configured(pattern=pattern)))
    assert result.verdict is verdict
    if verdict is Verdict.FAILED:
        assert result.why == f"{offered} does not match {pattern}, the pattern of this application's tags."


@pytest.mark.parametrize(
    "ref, pattern, verdict",
    [
        ("storefront/v1.4.0", "storefront/v*", Verdict.PASSED),
        ("storefront@1.4.0", "storefront@1.*", Verdict.PASSED),
        ("checkout/v1.4.0", "storefront/v*", Verdict.FAILED),
        ("", "storefront/v*", Verdict.FAILED),
        ("storefront/v1.4.0", "v*", Verdict.FAILED),
    ],
)
def test_a_monorepos_whole_git_tag_must_match_the_pattern(ref, pattern, verdict):
    """Fault 93."""
    offered = case(manifest=manifest(ref=ref), configuration=configured(pattern=pattern))
    result = tag.check(offered)
    assert result.verdict is verdict
    assert (ref or "v1.4.0") in result.why or verdict is Verdict.PASSED


def test_a_release_with_an_unreadable_manifest_is_judged_by_its_tag():
    result = tag.check(case(manifest=None, configuration=configured(pattern="v1.*")))
    assert result.verdict is Verdict.PASSED
