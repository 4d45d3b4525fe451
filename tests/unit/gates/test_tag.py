"""The tag gate lets newer versions through, and no others."""

from __future__ import annotations

import pytest

from tagship.gates import Verdict, tag
from tests.unit.gates.cases import case


@pytest.mark.parametrize(
    "offered, production, why",
    [
        ("v0.1.0", None, "v0.1.0 is the first release of storefront."),
        ("v1.4.0", "v1.3.9", "v1.4.0 is newer than v1.3.9, which production runs."),
        ("v1.10.0", "v1.9.0", "v1.10.0 is newer than v1.9.0, which production runs."),
        ("v1.4.0", "v1.4.0-rc.2", "v1.4.0 is newer than v1.4.0-rc.2, which production runs."),
        ("v1.4.0-rc.10", "v1.4.0-rc.9", "v1.4.0-rc.10 is newer than v1.4.0-rc.9, which production runs."),
    ],
)
def test_a_newer_tag_passes(offered, production, why):
    result = tag.check(case(tag=offered, production=production))
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
def test_an_older_or_equal_tag_is_refused_and_rolling_back_is_named(offered, production):
    """Fault 6."""
    result = tag.check(case(tag=offered, production=production))
    assert (result.verdict, result.why) == (
        Verdict.FAILED,
        f"{offered} is not newer than {production}, which production runs.",
    )
    assert "roll back" in result.remedy


@pytest.mark.parametrize("offered", ["1.4.0", "latest", "v1.4"])
def test_what_is_no_tag_is_refused(offered):
    result = tag.check(case(tag=offered))
    assert result.verdict is Verdict.FAILED
    assert f"{offered!r} is not a tag" in result.why
