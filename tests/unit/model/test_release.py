"""A tag is ordered as Semantic Versioning orders it, and nothing but a tag is one; a key names one place or none."""

from __future__ import annotations

import itertools
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tagship.model.release import Artifact, Manifest, PinnedObject, Status, Tag, folder_of, place_of
from tests.unit.builders import manifest, sha256

# ---- which text is a tag -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    [
        "v0.0.4",
        "v1.2.3",
        "v10.20.30",
        "v1.1.2-prerelease+meta",
        "v1.1.2+meta-valid",
        "v1.0.0-alpha",
        "v1.0.0-alpha0.valid",
        "v1.0.0-alpha.0valid",
        "v1.0.0-rc.1+build.1",
        "v1.0.0-0A.is.legal",
        "v1.0.0-alpha-a.b-c-somethinglong+build.1-aef.1-its-okay",
        "v1.2.3----RC-SNAPSHOT.12.9.1--.12+788",
        "v1.2.3----R-S.12.9.1--.12+meta",
        "v1.0.0+0.build.1-rc.10000aaa-kk-0.1",
        "v1.0.0+001",
        "v99999999999999999999999.999999999999999999.99999999999999999",
    ],
)
def test_a_v_followed_by_valid_semver_is_a_tag(text):
    assert str(Tag.parse(text)) == text


@pytest.mark.parametrize(
    "text",
    [
        "",
        "v",
        "1.2.3",
        "V1.2.3",
        "vv1.2.3",
        "v1",
        "v1.2",
        "v1.2.3.4",
        "v01.2.3",
        "v1.02.3",
        "v1.2.03",
        "v1.2.3-0123",
        "v1.2.3-0123.0123",
        "v1.1.2+.123",
        "v1.2.3-",
        "v1.2.3+",
        "v1.0.0-alpha_beta",
        "v1.0.0-alpha..1",
        "v1.0.0-alpha.",
        "v1.0.0-.alpha",
        "v1.2.3+a+b",
        "v-1.0.3",
        "v1.2-SNAPSHOT",
        "v1.2.3 ",
        " v1.2.3",
        "v1.2.3\n",
        "v1.2.3\r",
        "v1.2.3\x00",
        "v1.2.3\n-rc",
        "v\u0661.2.3",
        "v1.2.\u0967",
        "v1.2.3-\u00e9",
        "v1.2.3/../v1.0.0",
        "v1.2.3#x",
        "v1.0.0-" + "a" * 122,
    ],
)
def test_anything_else_is_refused_with_an_example_of_a_tag(text):
    with pytest.raises(ValueError, match="is not a tag") as caught:
        Tag.parse(text)
    assert str(caught.value) == (
        f"{text[:128]!r} is not a tag: v and a semantic version, like v1.4.0 or v2.0.0-rc.1"
    )


def test_the_refusal_repeats_at_most_a_line():
    with pytest.raises(ValueError, match="is not a tag") as caught:
        Tag.parse("x" * 100_000)
    assert len(str(caught.value)) < 250


# ---- which tag is newer --------------------------------------------------------------------------------------------

SEMVERS_OWN_LIST = [
    "v1.0.0-alpha",
    "v1.0.0-alpha.1",
    "v1.0.0-alpha.beta",
    "v1.0.0-beta",
    "v1.0.0-beta.2",
    "v1.0.0-beta.11",
    "v1.0.0-rc.1",
    "v1.0.0",
    "v2.0.0",
    "v2.1.0",
    "v2.1.1",
]


@pytest.mark.parametrize(
    "ref, tag",
    [
        ("v1.4.0", "v1.4.0"),
        ("1.4.0", "v1.4.0"),
        ("storefront/v1.4.0", "v1.4.0"),
        ("apps/storefront/v1.4.0-rc.1", "v1.4.0-rc.1"),
        ("storefront@1.4.0", "v1.4.0"),
        ("web-v1.4.0+build.5", "v1.4.0+build.5"),
        ("app-2-v10.0.0", "v10.0.0"),
        ("release_1.4.0", "v1.4.0"),
        ("@acme/storefront@1.4.0", "v1.4.0"),
        ("@acme/storefront@1.4.0-next.2", "v1.4.0-next.2"),
        ("2026.01.05", "v2026.1.5"),
        ("storefront-2026.11", "v2026.11.0"),
    ],
)
def test_every_common_git_tag_format_names_a_version(ref, tag):
    """Fault 93."""
    assert str(Tag.of_git(ref)) == tag


@pytest.mark.parametrize(
    "ref",
    [
        "latest",
        "v1.4",
        "storefront/",
        "storefront",
        "",
        "/v1.4.0",
        "v1.4.0 ",
        "a..v1.4.0",
        "v1.4.0/x",
        "storefrontv1.4.0",
        "v1.4.0\n",
        "v1.4.0-",
        "x" * 300 + "/v1.4.0",
        "-v1.4.0",
        "v1.4.0.lock",
    ],
)
def test_a_git_tag_without_a_version_is_refused(ref):
    with pytest.raises(ValueError, match=r"contains no version|is not a tag"):
        Tag.of_git(ref)


@given(st.text(max_size=40))
def test_every_git_tag_names_a_version_or_is_refused(text):
    with suppress(ValueError):
        assert Tag.of_git(text).text.startswith("v")


@pytest.mark.parametrize("older, newer", [*itertools.combinations(SEMVERS_OWN_LIST, 2)])
def test_semvers_own_examples_are_in_order(older, newer):
    assert Tag.parse(newer).newer_than(Tag.parse(older))
    assert not Tag.parse(older).newer_than(Tag.parse(newer))


def test_build_metadata_does_not_make_a_version_newer():
    one, other, none = (Tag.parse(text) for text in ("v1.4.0+1", "v1.4.0+2", "v1.4.0"))
    assert not any(a.newer_than(b) for a, b in itertools.permutations((one, other, none), 2))
    assert one != other  # they are two tags all the same


def test_numbers_are_compared_numerically():
    assert Tag.parse("v1.10.0").newer_than(Tag.parse("v1.9.9"))
    assert Tag.parse("v1.0.0-rc.10").newer_than(Tag.parse("v1.0.0-rc.9"))
    assert Tag.parse("v1.0.0-a").newer_than(Tag.parse("v1.0.0-999999999999"))


numbers = st.integers(0, 3) | st.integers(0, 10**20)
words = st.from_regex(r"[0-9A-Za-z-]*[A-Za-z-][0-9A-Za-z-]*", fullmatch=True).filter(
    lambda word: len(word) < 9
)
identifiers = st.integers(0, 12) | words
versions = st.tuples(numbers, numbers, numbers, st.lists(identifiers, max_size=3))
builds = st.sampled_from(["", "+1", "+build.007"])


def written(version: tuple[int, int, int, list[int | str]], build: str = "") -> Tag:
    *core, before = version
    return Tag.parse(
        "v" + ".".join(map(str, core)) + ("-" + ".".join(map(str, before)) if before else "") + build
    )


def rank(version: tuple[int, int, int, list[int | str]]) -> tuple[object, ...]:
    """Precedence as SemVer says it, in Python's own order of tuples."""
    *core, before = version
    ranks = [(0, part, "") if isinstance(part, int) else (1, 0, part) for part in before]
    return (*core, not before, ranks)


@given(versions, versions, builds, builds)
def test_newer_follows_semver_precedence(one, other, build, other_build):
    assert written(one, build).newer_than(written(other, other_build)) == (rank(one) > rank(other))


@given(versions, builds)
def test_no_tag_is_newer_than_itself(version, build):
    assert not written(version, build).newer_than(written(version, build))


@given(versions, versions, versions)
def test_newer_is_transitive(one, other, third):
    a, b, c = written(one), written(other), written(third)
    if a.newer_than(b) and b.newer_than(c):
        assert a.newer_than(c)
    assert not (a.newer_than(b) and b.newer_than(a))


@given(versions)
def test_a_release_is_newer_than_its_pre_releases(version):
    *core, before = version
    if before:
        assert written((*core, [])).newer_than(written(version))


# ---- places --------------------------------------------------------------------------------------------------------


def test_a_manifests_key_names_its_application_and_tag():
    assert place_of("releases/storefront/v1.4.0+a/release.json") == ("storefront", "v1.4.0+a")
    assert folder_of("storefront", "v1.4.0") + "release.json" == "releases/storefront/v1.4.0/release.json"


@pytest.mark.parametrize(
    "key",
    [
        "",
        "release.json",
        "releases/storefront/release.json",
        "releases/storefront/v1.4.0/other.json",
        "releases/storefront/v1.4.0/release.json.sig",
        "releases/storefront/v1.4.0/release.json\n",
        "releases/storefront\n/v1.4.0/release.json",
        "releases/storefront/v1.4.0\n/release.json",
        "/releases/storefront/v1.4.0/release.json",
        "releases/storefront/v1.4.0/x/release.json",
        "releases/../v1.4.0/release.json",
        "releases/Storefront/v1.4.0/release.json",
        "releases/storefront/latest/release.json",
        "releases//v1.4.0/release.json",
    ],
)
def test_any_other_key_names_no_release(key):
    with pytest.raises(ValueError, match="is not"):
        place_of(key)


# ---- endings and nouns ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", [status for status in Status if status.error])
def test_each_failed_ending_has_its_own_error(status):
    assert Status.of_error(status.error) is status


@pytest.mark.parametrize("name", [None, "", "States.Timeout"])
def test_other_errors_belong_to_no_ending(name):
    assert Status.of_error(name) is None


def test_only_running_and_succeeded_have_no_error():
    assert {status for status in Status if not status.error} == {Status.RUNNING, Status.SUCCEEDED}


def test_an_artifact_is_found_by_its_name():
    read = Manifest.from_dict(manifest())
    assert read.artifact("function") == Artifact(**manifest()["artifacts"][0])
    assert read.artifact("storefront.zip") is None


def test_a_pinned_object_survives_a_round_trip_through_the_ledger():
    pinned = {"bucket": "releases", "key": "k", "versionId": sha256(b""), "size": 3}
    assert PinnedObject.from_dict(pinned) == PinnedObject(
        bucket="releases", key="k", versionId=sha256(b""), size=3
    )
