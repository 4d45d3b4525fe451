"""A static site: its package, plan and uploads, and what happens with duplicates and foreign changes."""

from __future__ import annotations

import io
import json
import random
import zipfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from typing import IO, Any

import pytest

from tagship.model.errors import (
    AwsUnavailable,
    BaselineMissing,
    CandidateNotReady,
    PlanChanged,
    TargetInvalid,
    TargetMoved,
)
from tagship.model.records import Revision
from tagship.model.release import PinnedObject
from tagship.targets import static_site
from tagship.targets.kind import Move
from tagship.targets.static_site_adapter import StaticSite
from tagship.targets.static_site_bucket import Bucket
from tagship.targets.static_site_function import Code, Serving
from tagship.targets.static_site_package import hashed_pattern, headers_of, look_into
from tests.unit.tables import aws_error
from tests.unit.targets.sites import NEW, NOTHING, OLD, SPEC, Site, pack, serving

PATTERN = hashed_pattern(SPEC.hashed)
BASKET = b"x" * (2 * 1024 * 1024)
"""Large enough to be copied inside S3."""


@pytest.fixture
def site() -> Site:
    return Site()


class Planned:
    """A release of the new site, planned on a site where the old one serves."""

    def __init__(self, site: Site, files: Mapping[str, bytes] = NEW, *, tag: str = "v1.4.0") -> None:
        self.site, self.artifacts, self.target = site, site.upload(files, tag), site.target(tag)
        self.change = self.target.plan(self.artifacts, {}, weighted=True)
        self.candidate = self.change.candidate

    def prepare(self) -> Revision:
        prepared = self.target.prepare(self.artifacts, self.change.candidate, lambda _: None)
        assert prepared.candidate is not None
        self.candidate = prepared.candidate
        return self.candidate

    def move(self, percent: int, *, fence: int = 7) -> Move:
        baseline = self.change.baseline
        etag = baseline["etag"] if baseline else ""
        return Move(baseline=baseline, candidate=self.candidate, percent=percent, etag=etag, fence=fence)


@pytest.fixture
def release(site: Site) -> Planned:
    site.serve(OLD)
    planned = Planned(site)
    planned.prepare()
    return planned


def live(site: Site) -> dict[str, int]:
    code = Code.read(site.cloudfront.served)
    assert code is not None
    return {it.id: it.percent for it in code.serves}


# ---- the package -----------------------------------------------------------------------------------------------------


def problems(files: Mapping[str, bytes] | bytes) -> list[str]:
    body = files if isinstance(files, bytes) else pack(files)
    return look_into(io.BytesIO(body), pattern=PATTERN)[1]


def packed(*entries: tuple[zipfile.ZipInfo, bytes]) -> bytes:
    written = io.BytesIO()
    with zipfile.ZipFile(written, "w") as archive:
        for entry, content in entries:
            archive.writestr(entry, content)
    return written.getvalue()


def link(path: str) -> zipfile.ZipInfo:
    entry = zipfile.ZipInfo(path)
    entry.create_system, entry.external_attr = 3, 0o120777 << 16
    return entry


INDEX = (zipfile.ZipInfo("index.html"), b"hello")


@pytest.mark.parametrize(
    "files, said",
    [
        (b"no zip", "It is not a zip file"),
        ({"about.html": b"x"}, "The file index.html is missing at the top level. Package the built site."),
        ({"dist/index.html": b"x", "dist/a.js": b"x"}, "All its files are in the folder dist."),
        ({"index.html": b"x", "../a": b"x"}, "It has paths that lead outside the package: ../a."),
        (
            {"index.html": b"x", "/etc/passwd": b"x"},
            "It has paths that lead outside the package: /etc/passwd.",
        ),
        ({"index.html": b"x", "a//b": b"x"}, "It has file names that cannot be served: a//b."),
        ({"index.html": b"x", "a\nb": b"x"}, "It has file names that cannot be served: a?b."),
        (packed(INDEX, (link("latest"), b"/etc/passwd")), "It has symbolic links: latest."),
        (
            {"index.html": b'<script src="/assets/a.js"></script><link href="assets/b.css">'},
            "index.html loads files that are not in the package: assets/a.js, assets/b.css.",
        ),
        (
            {"index.html": b"x", "a/b.html": b'<img src="../app.3f2a9c0d.png">'},
            "a/b.html loads files that are not in the package: app.3f2a9c0d.png.",
        ),
    ],
)
def test_an_unservable_file_is_refused(files: Any, said: str) -> None:
    (problem,) = problems(files)
    assert problem.startswith(said)


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_two_files_with_one_name_are_refused() -> None:
    (problem,) = problems(packed(INDEX, INDEX))
    assert problem.startswith("It has two files with the same name: index.html.")


def test_pages_that_were_not_read_are_counted() -> None:
    for files, counted in (
        ({f"{number:03}.html": b"<p>" for number in range(202)}, "200 of 203"),
        ({"large.html": b"x" * (1024 * 1024 + 1)}, "1 of 2"),
    ):
        body = pack({"index.html": b"<p>", **files})
        said, found = look_into(io.BytesIO(body), pattern=PATTERN)
        assert found == []
        assert said.endswith(f" Only the first {counted} pages were checked for missing files.")


def test_a_page_can_load_external_files_and_files_without_a_hash() -> None:
    page = b'<script src="https://cdn.example.com/assets/a.js"></script><script src="/config.js"></script>'
    assert problems({"index.html": page + b'<img src="data:image/png;base64,AAAA">'}) == []


def test_the_package_summary_describes_its_content() -> None:
    said, _ = look_into(io.BytesIO(pack({**NEW, "CNAME": b"www.example.com"})), pattern=PATTERN)
    assert said.startswith("6 files, 78 bytes unzipped: 2 pages, and 2 with a hash in their name")
    assert said.endswith("Of no known type, so served as application/octet-stream: CNAME.")


@pytest.mark.parametrize(
    "path, kind",
    [
        ("index.html", "text/html; charset=utf-8"),
        ("app.js", "text/javascript; charset=utf-8"),
        ("app.mjs", "text/javascript; charset=utf-8"),
        ("app.css", "text/css; charset=utf-8"),
        ("logo.svg", "image/svg+xml; charset=utf-8"),
        ("data.json", "application/json"),
        ("app.js.map", "application/json"),
        ("site.webmanifest", "application/manifest+json"),
        ("a.woff2", "font/woff2"),
        ("a.avif", "image/avif"),
        ("a.wasm", "application/wasm"),
        (".well-known/apple-app-site-association", "application/json"),
        ("unknown", "application/octet-stream"),
    ],
)
def test_every_file_gets_its_content_type(path: str, kind: str) -> None:
    assert headers_of(path, hashed=False) == {"ContentType": kind, "CacheControl": "no-cache"}


def test_browsers_cache_only_files_with_a_hash_in_their_name() -> None:
    assert headers_of("a.js", hashed=True)["CacheControl"] == "public, max-age=31536000, immutable"


def test_a_package_is_inspected_for_its_own_site(site: Site) -> None:
    """Faults 36 and 105."""
    artifacts = site.upload({"index.html": NEW["index.html"]})

    @contextmanager
    def opened(pinned: PinnedObject) -> Iterator[IO[bytes]]:
        yield io.BytesIO(site.s3.packages[pinned.key])

    said, found = site.target().look_into(artifacts, opened)
    assert said.startswith("site.zip: 1 file, ")
    assert found == [
        (
            "site.zip: index.html loads files that are not in the package: assets/app-New.js. Build the site "
            "again."
        )
    ]


# ---- the plan --------------------------------------------------------------------------------------------------------


def test_a_first_site_replaces_nothing(site: Site) -> None:
    change = Planned(site).change
    assert change.baseline is None
    assert change.summary[0] == (
        "the function storefront-releases: nothing has been released; it will serve a new one (5 files, 63 bytes)"
    )


def test_a_plan_lists_changes_with_removed_addresses_first(site: Site) -> None:
    old = site.serve({**OLD, "robots.txt": b"x", "feed.xml": b"a"})
    change = Planned(site, {**NEW, "feed.xml": b"b", "humans.txt": b"x"}).change
    assert change.summary == [
        f"the function storefront-releases: site {old['id']} → a new one (7 files, 65 bytes)",
        "Pages removed: about/index.html",
        "Files removed: robots.txt",
        "Pages changed: index.html",
        "Pages added: prices.html",
        "Files changed: feed.xml",
        "Files added: humans.txt",
        "Hashed files: 1 added, 1 no longer used; these stay reachable for open tabs.",
    ]
    assert change.warnings == ["2 addresses will no longer answer: about/index.html, robots.txt."]


def test_serving_the_same_files_differently_is_a_change(site: Site) -> None:
    old = site.serve(OLD)
    artifacts = site.upload(OLD)
    spec = replace(SPEC, paths="files", hashed=())
    change = site.target(spec=spec).plan(artifacts, {}, weighted=True)
    assert not change.nothingToChange
    assert change.summary[1:3] == [
        "Setting: paths folders → files",
        "Setting: which files have a hash in their name, so that browsers cache them for a year",
    ]
    assert change.candidate["digest"] != old["digest"]


def test_a_hashed_file_with_changed_content_is_refused_before_approval(site: Site) -> None:
    """Fault 106."""
    site.serve(OLD)
    with pytest.raises(TargetInvalid, match=r"vendor\.3f2a9c0d\.js: .* but its content differs from site"):
        Planned(site, {**NEW, "vendor.3f2a9c0d.js": b"another"})


def test_an_uncached_file_can_become_a_cached_one(site: Site) -> None:
    before = site.target("v1.3.0", spec=replace(SPEC, hashed=()))
    artifacts = site.upload(OLD, "v1.3.0")
    prepared = before.prepare(artifacts, before.plan(artifacts, {}, weighted=True).candidate, lambda _: None)
    assert prepared.candidate is not None
    site.cloudfront.by_hand(serving(prepared.candidate))
    planned = Planned(site, {**NEW, "assets/app-Old.js": b"another"})
    planned.prepare()
    assert site.s3.objects["immutable/assets/app-Old.js"] == b"another"


def test_a_plan_reads_only_the_packages_directory(site: Site) -> None:
    site.serve(OLD)
    read: list[int] = []
    get = site.s3.get_object

    def counted(**asked: Any) -> dict[str, Any]:
        answer = get(**asked)
        read.append(len(answer["Body"].getvalue()))
        return answer

    site.s3.get_object = counted  # type: ignore[method-assign]
    Planned(site, {**NEW, "film.bin": random.Random(7).randbytes(2 * 1024 * 1024)})
    assert sum(read) < 300_000


# ---- what is uploaded ------------------------------------------------------------------------------------------------


def test_each_file_is_stored_where_the_function_looks_for_it(release: Planned) -> None:
    """Faults 59 and 104."""
    s3, folder = release.site.s3, f"releases/{release.candidate['id']}/"
    assert {key.removeprefix(folder) for key in s3.objects if key.startswith(folder)} == {
        "index.html",
        "prices.html",
    }
    (old,) = live(release.site)
    assert s3.objects[f"releases/{old}/logo.png"] == NEW["logo.png"], "unchanged, so it stays where it is"
    assert Serving.of(release.candidate, 100).folder("logo.png") == old
    assert {key for key in s3.objects if key.startswith("immutable/")} == {
        "immutable/assets/app-New.js",
        "immutable/assets/app-Old.js",
        "immutable/vendor.3f2a9c0d.js",
    }
    assert s3.headers[f"{folder}index.html"] == {
        "ContentType": "text/html; charset=utf-8",
        "CacheControl": "no-cache",
    }
    assert s3.headers["immutable/assets/app-New.js"]["CacheControl"].endswith("immutable")


def test_an_unchanged_file_is_neither_uploaded_nor_copied_again(site: Site) -> None:
    old = site.serve({**OLD, "basket.pdf": BASKET})
    planned = Planned(site, {**OLD, "basket.pdf": BASKET, "index.html": b"new"})
    site.faults.calls.clear()
    planned.prepare()
    calls = site.faults.calls
    assert calls.count("copy_object") == 0
    assert calls.count("put_object") == 2, "the page that changed, and the list"
    assert Serving.of(planned.candidate, 100).folder("basket.pdf") == old["id"]


def renamed(number: int) -> dict[str, bytes]:
    """So many small files that a list of them does not fit into a function's code."""
    return {f"data/release-{number}/chart-{at}.json": b"%d" % at for at in range(80)}


WIDE = {**OLD, "basket.pdf": BASKET, **renamed(1)}


def test_a_release_with_too_many_changes_has_all_its_files_in_its_own_folder(site: Site) -> None:
    site.serve(WIDE)
    planned = Planned(site, {**NEW, "basket.pdf": BASKET, **renamed(2)})
    site.faults.calls.clear()
    planned.prepare()
    assert "base" not in planned.candidate["data"]
    assert site.faults.calls.count("copy_object") == 1, "S3 copies the large file"
    own = f"releases/{planned.candidate['id']}/"
    assert site.s3.objects[f"{own}basket.pdf"] == BASKET
    assert site.s3.objects[f"{own}logo.png"] == NEW["logo.png"]


def test_a_file_that_cannot_be_copied_is_uploaded(site: Site) -> None:
    old = site.serve(WIDE)
    planned = Planned(site, {**NEW, "basket.pdf": BASKET, **renamed(2)})
    del site.s3.objects[f"releases/{old['id']}/basket.pdf"]
    planned.prepare()
    assert site.s3.objects[f"releases/{planned.candidate['id']}/basket.pdf"] == BASKET


def test_a_full_release_copies_what_the_current_one_reads_from_its_base(site: Site) -> None:
    first = site.serve(WIDE)
    second = following(site, {**WIDE, "index.html": b"second"}, "v1.4.0")
    assert second["data"]["base"] == first["id"]
    planned = Planned(site, {**NEW, "basket.pdf": BASKET, **renamed(2)}, tag="v1.5.0")
    planned.prepare()
    assert site.faults.calls.count("copy_object") == 1
    assert site.s3.objects[f"releases/{planned.candidate['id']}/basket.pdf"] == BASKET


def following(site: Site, files: Mapping[str, bytes], tag: str) -> Revision:
    """A release that was planned on the one that serves, and serves alone since."""
    made = Planned(site, files, tag=tag).prepare()
    site.cloudfront.by_hand(serving(made))
    return made


def test_every_release_reads_from_a_complete_one(site: Site) -> None:
    """However many releases follow, a file is in one of two folders."""
    first = site.serve(OLD)
    second = following(site, {**OLD, "index.html": b"second"}, "v1.4.0")
    third = following(site, {**OLD, "index.html": b"third", "logo.png": b"another"}, "v1.5.0")
    fourth = following(site, {**OLD, "index.html": b"fourth"}, "v1.6.0")
    assert [each["data"]["base"] for each in (second, third, fourth)] == [first["id"]] * 3
    assert third["data"]["differs"] == ["index.html", "logo.png"]
    assert fourth["data"]["differs"] == ["index.html"], "the logo is again the first one"
    for each in (first, second, third, fourth):
        site.target().exists(each)


def test_a_removed_file_is_not_read_from_the_base(site: Site) -> None:
    site.serve(OLD)
    candidate = Planned(site).prepare()
    assert "about/index.html" in candidate["data"]["differs"]
    assert f"releases/{candidate['id']}/about/index.html" not in site.s3.objects


def test_the_same_package_again_changes_nothing_or_gets_a_folder_of_its_own(site: Site) -> None:
    first = site.serve(OLD)
    second = following(site, NEW, "v1.4.0")
    assert Planned(site, NEW, tag="v1.4.1").change.nothingToChange
    back = following(site, OLD, "v1.5.0")
    assert back["id"] not in (first["id"], second["id"]), "no list of an earlier release is overwritten"
    assert back["data"]["differs"] == []
    assert Planned(site, OLD, tag="v1.5.1").change.nothingToChange


@pytest.mark.parametrize("path", ["a+b.html", "a b.html", "100%.html", "café.html"])
def test_a_path_that_can_be_written_in_two_ways_is_not_left_to_the_function(site: Site, path: str) -> None:
    site.serve({**OLD, path: b"one"})
    candidate = Planned(site, {**OLD, path: b"two"}).prepare()
    assert "base" not in candidate["data"]


@pytest.mark.parametrize("lost", ["logo.png", "about/index.html"])
def test_a_release_whose_base_has_lost_a_file_is_refused(site: Site, lost: str) -> None:
    first = site.serve(OLD)
    second = following(site, {**OLD, "index.html": b"second"}, "v1.4.0")
    del site.s3.objects[f"releases/{first['id']}/{lost}"]
    with pytest.raises(BaselineMissing, match=f"{lost} is missing"):
        site.target().exists(second)
    with pytest.raises(BaselineMissing):
        site.target().restorable(second)


def test_a_base_that_nobody_recorded_is_refused(site: Site) -> None:
    site.serve(OLD)
    second = following(site, {**OLD, "index.html": b"second"}, "v1.4.0")
    changed: Revision = {**second, "data": {**second["data"], "differs": []}}
    with pytest.raises(BaselineMissing, match="with another base"):
        site.target().exists(changed)


def test_a_large_upload_continues_where_it_stopped(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """Faults 60 and 109. Each call has time for four files; the clock advances each time it is read."""
    site.serve(OLD)
    files = {**NEW, **{f"page-{number}.html": b"%d" % number for number in range(10)}}
    planned = Planned(site, files)
    times = iter(range(10_000))
    monkeypatch.setattr(
        StaticSite,
        "_bucket",
        property(
            lambda self: Bucket(
                client=site.s3, name=SPEC.bucket, title="storefront v1.4.0", clock=lambda: next(times) * 2.5
            )
        ),
    )
    site.faults.writes = 0
    for _ in range(10):
        prepared = planned.target.prepare(planned.artifacts, planned.change.candidate, lambda _: None)
        if not prepared.wait:
            break
        assert prepared.candidate is None
    assert prepared.candidate is not None
    folder = f"releases/{prepared.candidate['id']}/"
    assert sum(key.startswith(folder) for key in site.s3.objects) == 12
    assert site.faults.writes == 12 + 1 + 5, "each changed file once, the one new hashed file, and five lists"


def test_progress_with_missing_files_is_not_trusted(site: Site) -> None:
    planned = Planned(site)
    planned.prepare()
    name = planned.candidate["id"]
    objects = site.s3.objects
    objects[f"listings/{name}.part.json"] = objects.pop(f"listings/{name}.json")
    del objects[f"releases/{name}/prices.html"]
    planned.prepare()
    assert objects[f"releases/{name}/prices.html"] == NEW["prices.html"]


def test_a_file_made_to_look_unchanged_is_detected(site: Site) -> None:
    """Fault 107."""
    old = site.serve(OLD)
    listing = json.loads(site.s3.objects[f"listings/{old['id']}.json"])
    listing["files"]["logo.png"]["sha256"] = (
        "0" * 64
    )  # as if the new one had its size and its CRC-32 by design
    site.s3.objects[f"listings/{old['id']}.json"] = json.dumps(listing).encode()
    planned = Planned(site)
    with pytest.raises(PlanChanged, match=r"logo\.png was made to look unchanged"):
        planned.prepare()


def test_a_duplicate_that_uploads_the_same_hashed_file_is_waited_for(site: Site) -> None:
    """Fault 29. S3 answers a conflict while the other write of the same key is not finished: nothing is there yet."""
    site.serve(OLD)
    planned = Planned(site)
    site.faults.refused = ("s3:PutObject", aws_error("ConditionalRequestConflict", status=409))
    with pytest.raises(AwsUnavailable):
        planned.prepare()
    site.faults.refused = None
    assert planned.prepare()["id"]


def test_a_damaged_package_is_reported() -> None:
    """Fault 36. Its directory is whole, so only unpacking it shows this."""
    entry = zipfile.ZipInfo("index.html")
    entry.compress_type = zipfile.ZIP_DEFLATED
    raw = bytearray(packed((entry, b"<p>shop</p>" * 100)))
    raw[30 + len("index.html")] = 0xFF  # no such kind of block
    (problem,) = problems(bytes(raw))
    assert problem.startswith("It cannot be read as a zip file: Error -3 while decompressing data")


def test_an_earlier_releases_hashed_file_is_never_overwritten(site: Site) -> None:
    site.serve(OLD)
    site.s3.objects["immutable/assets/app-New.js"] = b"of a release before"
    planned = Planned(site)
    with pytest.raises(
        TargetInvalid, match=r"assets/app-New\.js: .* an earlier release has different content"
    ):
        planned.prepare()
    assert site.s3.objects["immutable/assets/app-New.js"] == b"of a release before"


def test_a_foreign_file_in_the_releases_folder_stops_it(site: Site) -> None:
    planned = Planned(site)
    name = planned.change.candidate["digest"][:16]
    site.s3.objects[f"releases/{name}/evil.html"] = b"x"
    with pytest.raises(TargetInvalid, match=r"evil\.html does not belong to it"):
        planned.prepare()


def test_a_damaged_package_is_refused(site: Site) -> None:
    planned = Planned(site)
    (key,) = site.s3.packages
    body = site.s3.packages[key]
    site.s3.packages[key] = body[:60] + b"\0\0\0\0" + body[64:]
    with pytest.raises(TargetInvalid, match="cannot be unpacked"):
        planned.prepare()


def test_a_configuration_other_than_the_planned_one_is_not_uploaded(site: Site) -> None:
    planned = Planned(site)
    target = site.target(spec=replace(SPEC, paths="single-page"))
    with pytest.raises(PlanChanged):
        target.prepare(planned.artifacts, planned.change.candidate, lambda _: None)
    assert site.s3.objects == {}


# ---- the function ----------------------------------------------------------------------------------------------------


def test_an_unpublished_edit_is_published_by_the_next_attempt(release: Planned) -> None:
    """Fault 108. The step died between its two writes."""
    site, old = release.site, live(release.site)
    site.faults.refused = ("cloudfront:PublishFunction", aws_error("Throttling", status=503))
    with pytest.raises(Exception, match="unavailable"):
        release.target.set_weight(release.move(10))
    assert live(site) == old
    site.faults.refused = None
    release.target.verify_unchanged(release.move(10))
    release.target.set_weight(release.move(10))
    assert live(site)[release.candidate["id"]] == 10


def test_an_unpublished_edit_is_refused_after_the_restore(release: Planned) -> None:
    """A late duplicate is between its two writes while the rollback runs."""
    site, restored = release.site, []
    publish = site.cloudfront.publish_function

    def late(**request: Any) -> None:
        site.cloudfront.publish_function = publish  # type: ignore[method-assign]
        restored.append(
            release.target.restore(baseline=release.change.baseline, candidate=release.candidate, fence=8)
        )
        publish(**request)

    site.cloudfront.publish_function = late  # type: ignore[method-assign]
    with pytest.raises(TargetMoved):
        release.target.set_weight(release.move(10))
    assert restored
    assert release.candidate["id"] not in live(site)


def test_code_that_cloudfront_cannot_run_is_never_published(release: Planned) -> None:
    before = live(release.site)
    release.site.cloudfront.error = "ReferenceError: find is not defined"
    with pytest.raises(
        TargetInvalid, match=r"can't run the function.*find is not defined.*was not published"
    ):
        release.target.set_weight(release.move(10))
    assert live(release.site) == before


def test_a_rollback_is_not_tested_first(release: Planned) -> None:
    release.target.set_weight(release.move(10))
    release.site.cloudfront.error = "CloudFront can test nothing just now"
    release.target.restore(baseline=release.change.baseline, candidate=release.candidate, fence=8)
    assert release.candidate["id"] not in live(release.site)


def test_a_dead_releases_edit_is_not_a_foreign_change(release: Planned) -> None:
    site = release.site
    site.faults.refused = ("cloudfront:PublishFunction", aws_error("AccessDenied", status=403))
    with pytest.raises(Exception, match="AccessDenied"):
        release.target.set_weight(release.move(10))
    site.faults.refused = None
    nxt = Planned(site, {**NEW, "index.html": b"mended"}, tag="v1.5.0")
    nxt.target.check(nxt.change.baseline)
    nxt.prepare()
    nxt.target.set_weight(nxt.move(10, fence=9))
    assert live(site)[nxt.candidate["id"]] == 10


@pytest.mark.parametrize("ask", ["verify_unchanged", "set_weight"])
def test_a_manual_edit_is_not_overwritten_by_a_step(release: Planned, ask: str) -> None:
    release.site.cloudfront.by_hand("function handler() {}", publish=False)
    with pytest.raises(TargetMoved, match="unpublished edit"):
        getattr(release.target, ask)(release.move(10))
    assert release.site.cloudfront.copies["DEVELOPMENT"] == "function handler() {}"


def test_a_manual_edit_does_not_block_a_rollback(release: Planned) -> None:
    release.target.set_weight(release.move(10))
    release.site.cloudfront.by_hand("function handler() {}", publish=False)
    said = release.target.restore(baseline=release.change.baseline, candidate=release.candidate, fence=8)
    assert said.endswith("again. An unpublished edit was replaced.")
    assert release.candidate["id"] not in live(release.site)


def test_a_site_that_was_rolled_back_further_can_be_restored(release: Planned) -> None:
    """Another baseline was chosen: the function still serves the first one."""
    older = release.site.serve({**OLD, "index.html": b"older"}, tag="v1.2.0")
    baseline = release.change.baseline
    assert baseline
    release.site.cloudfront.by_hand(serving(baseline))
    release.target.restore(baseline=older, candidate=release.candidate, fence=8, replaced=baseline)
    assert live(release.site) == {older["id"]: 100}


REFUSALS: dict[str, tuple[Callable[[Site], object], type[Exception], str]] = {
    "no distribution": (
        lambda it: setattr(it.cloudfront, "status", "UNASSOCIATED"),
        TargetInvalid,
        "no distribution uses the function",
    ),
    "being published": (
        lambda it: setattr(it.cloudfront, "status", "IN_PROGRESS"),
        CandidateNotReady,
        "is being published by someone else",
    ),
    "not published": (
        lambda it: it.cloudfront.by_hand("function handler() {}", publish=False),
        TargetInvalid,
        "has an unpublished edit",
    ),
    "not ours": (
        lambda it: it.cloudfront.by_hand("function handler() {}"),
        TargetInvalid,
        "was not written by Tagship",
    ),
    "edited": (
        lambda it: it.cloudfront.by_hand(it.cloudfront.served.replace("503", "500")),
        TargetInvalid,
        "was not written by Tagship",
    ),
    "gone": (lambda it: it.cloudfront.by_hand(NOTHING), TargetMoved, "serves nothing"),
}


@pytest.mark.parametrize("what", REFUSALS)
def test_a_function_that_cannot_be_changed_is_refused_at_the_gate(site: Site, what: str) -> None:
    old = site.serve(OLD)
    happens, error, said = REFUSALS[what]
    happens(site)
    with pytest.raises(error, match=said):
        site.target().check(old)


def test_a_function_with_two_releases_is_refused(site: Site) -> None:
    first, second = site.serve(OLD), site.serve(NEW)
    site.cloudfront.by_hand(serving(first, second))
    with pytest.raises(TargetInvalid, match=f"serves 50 % site {first['id']} and 50 % site {second['id']}"):
        site.target().check(None)


def test_another_sites_record_is_ignored(site: Site) -> None:
    old = site.serve(OLD)
    elsewhere: Revision = {**old, "id": "c" * 16, "data": {**old["data"], "of": "another/site"}}
    assert site.target().check(elsewhere).said == "the function storefront-releases can be changed."


def test_a_missing_function_is_refused(site: Site) -> None:
    site.faults.refused = ("cloudfront:GetFunction", aws_error("NoSuchFunctionExists", status=404))
    with pytest.raises(TargetInvalid, match="NoSuchFunctionExists"):
        site.target().check(None)


@pytest.mark.parametrize("path", ["immutable/assets/app-Old.js", "immutable/vendor.3f2a9c0d.js"])
def test_a_baseline_with_a_missing_hashed_file_cannot_be_restored(site: Site, path: str) -> None:
    old = site.serve(OLD)
    assert site.target().restorable(old)
    site.s3.objects[path] = b"something else"
    with pytest.raises(BaselineMissing, match=path):
        site.target().restorable(old)


def test_a_move_that_no_distribution_uses_any_more_never_settles(release: Planned) -> None:
    release.target.set_weight(release.move(10))
    release.site.cloudfront.status = "UNASSOCIATED"
    with pytest.raises(TargetInvalid, match="no distribution"):
        release.target.verify_weight(release.move(10))


def test_health_checks_select_a_revision_by_a_header() -> None:
    revision: Revision = {"id": "a" * 16, "digest": "a" * 64, "data": {}}
    asked = static_site.KIND.subject(SPEC, revision)
    assert asked.headers == {"x-tagship-release": "a" * 16}
    assert asked.names["version"] == "a" * 16
    assert static_site.KIND.subject(SPEC, None).headers == {}


def test_without_a_package_nothing_can_be_uploaded() -> None:
    looking = {action for right in static_site.rights(SPEC, objects=()) for action in right.actions}
    assert not looking & {"s3:PutObject", "s3:GetObjectVersion"}
    assert not [
        it for right in static_site.rights(SPEC, objects=["x"]) for it in right.actions if "Delete" in it
    ]
