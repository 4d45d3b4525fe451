"""The manifest gate says what is wrong with the document, its configuration, or how they belong together."""

from __future__ import annotations

import pytest

from tagship.gates import Verdict, manifest
from tests.unit import builders
from tests.unit.gates.cases import case

PINNED = builders.record()["objects"]["storefront.zip"]
TWO = [
    {"name": "function", "file": "storefront.zip", "sha256": "0" * 64, "size": 1},
    {"name": "assets", "file": "assets.zip", "sha256": "1" * 64, "size": 1},
]


def written(**changes):
    return builders.manifest(notes="", parameters={}) | changes


@pytest.mark.parametrize(
    "changes, why",
    [
        ({}, "Valid, with 1 artifact."),
        (
            {"manifest": written(artifacts=TWO), "objects": {"storefront.zip": PINNED, "assets.zip": PINNED}},
            "Valid, with 2 artifacts.",
        ),
    ],
    ids=["one", "two"],
)
def test_a_good_release_passes(changes, why):
    result = manifest.check(case(**changes))
    assert (result.gate, result.verdict, result.why) == ("manifest", Verdict.PASSED, why)


@pytest.mark.parametrize(
    "changes, why, remedy",
    [
        (
            {
                "configuration": {
                    "version": 0,
                    "document": None,
                    "problems": ["there is no parameter /tagship/x"],
                }
            },
            "storefront has no valid configuration in this stage: there is no parameter /tagship/x",
            "tagship apply",
        ),
        (
            {"manifest": None, "problems": ["tag: is missing", "commit: is missing"]},
            "release.json is not a valid manifest: tag: is missing; commit: is missing",
            "tagship publish",
        ),
        (
            {"manifest": written(application="basket")},
            "application: release.json says 'basket', but is in the folder of 'storefront'",
            "its own application and tag",
        ),
        (
            {"manifest": written(tag="v1.5.0")},
            "tag: release.json says 'v1.5.0', but is in the folder of 'v1.4.0'",
            "its own application and tag",
        ),
        (
            {"objects": {}},
            "artifacts: storefront.zip not found next to release.json",
            "release.json last",
        ),
        (
            {"manifest": written(artifacts=TWO)},
            "artifacts: assets.zip not found next to release.json",
            "release.json last",
        ),
    ],
    ids=["unconfigured", "no manifest", "another application", "another tag", "nothing there", "one missing"],
)
def test_a_bad_release_gets_the_reason_and_the_remedy(changes, why, remedy):
    """Faults 3 and 7."""
    result = manifest.check(case(**changes))
    assert (result.verdict, result.why) == (Verdict.FAILED, why)
    assert remedy in result.remedy


def test_the_first_ten_problems_are_listed_and_the_rest_counted():
    result = manifest.check(
        case(manifest=None, problems=[f"field {number}: is missing" for number in range(14)])
    )
    assert result.why.endswith("field 9: is missing; and 4 more")
    assert "field 10" not in result.why


@pytest.mark.parametrize(
    "count, ends", [(10, "field 9: is missing"), (11, "field 9: is missing; and 1 more")]
)
def test_only_the_remaining_problems_are_counted(count, ends):
    problems = [f"field {number}: is missing" for number in range(count)]
    assert manifest.check(case(manifest=None, problems=problems)).why.endswith(ends)


def test_nothing_is_read_again():
    class Untouchable:
        def __getattr__(self, name):
            raise AssertionError(name)

    assert manifest.check(case(s3=Untouchable())).verdict is Verdict.PASSED
