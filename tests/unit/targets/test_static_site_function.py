"""The CloudFront function: the data in its code, and its behaviour in a JavaScript engine."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from dataclasses import replace
from typing import Any

import pytest

from tagship.targets.static_site_function import MOST_BYTES, Code, Serving
from tagship.targets.static_site_package import File, differing, hashed_pattern, is_hashed

PATTERN = hashed_pattern(["assets/", "_next/static/"])
OLD, NEW = "a" * 16, "b" * 16
NODE = shutil.which("node")


def site(id: str, percent: int, *, paths: str = "folders") -> Serving:  # noqa: A002
    return Serving(id=id, digest=id * 4, percent=percent, hashed=PATTERN, paths=paths)


def code(*serves: Serving, fence: int = 7) -> Code:
    return Code(application="storefront", tag="v1.4.0", fence=fence, serves=serves)


SHARED = code(site(NEW, 10), site(OLD, 90))


def asked(uri: str = "/", *, ip: str = "203.0.113.7", **headers: str) -> dict[str, Any]:
    """A request as CloudFront gives it; `cookie` is the release that the cookie names."""
    cookie = headers.pop("cookie", "")
    return {
        "version": "1.0",
        "context": {"eventType": "viewer-request"},
        "viewer": {"ip": ip},
        "request": {
            "method": "GET",
            "uri": uri,
            "querystring": {},
            "headers": {name.replace("_", "-"): {"value": value} for name, value in headers.items()},
            "cookies": {"tagship-release": {"value": cookie}} if cookie else {},
        },
    }


def answers(code: Code, *events: dict[str, Any]) -> list[dict[str, Any]]:
    """The function's result for each request, in Node.js, without anything that CloudFront does not have."""
    if NODE is None:
        pytest.skip("Node.js is not installed: what the function does is not tested here.")
    script = (
        "const vm = require('vm'); const given = JSON.parse(require('fs').readFileSync(0));"
        "const context = vm.createContext({events: given.events});"
        "vm.runInContext('\"use strict\";' + given.code, context);"
        "console.log(vm.runInContext('JSON.stringify(events.map((event) => handler(event)))', context));"
    )
    ran = subprocess.run(
        [NODE, "-e", script],
        input=json.dumps({"code": code.text(), "events": events}),
        capture_output=True,
        text=True,
        check=True,
    )
    found: list[dict[str, Any]] = json.loads(ran.stdout)
    return found


def uris(code: Code, *events: dict[str, Any]) -> list[str]:
    return [answer["uri"] for answer in answers(code, *events)]


# ---- what the code says ----------------------------------------------------------------------------------------------


def test_written_code_is_read_back_unchanged() -> None:
    assert Code.read(SHARED.text()) == SHARED
    assert SHARED.text() == code(site(NEW, 10), site(OLD, 90)).text()


@pytest.mark.parametrize(
    "edit",
    [
        lambda text: text.replace("return request", "return  request"),
        lambda text: text + "\n",
        lambda text: "// mine\n" + text,
        lambda text: text.replace('"fence":7', '"fence":"x"'),
        lambda text: text.replace('"percent":10,', ""),
        lambda text: "",
    ],
)
def test_edited_code_is_not_recognized_as_ours(edit: Any) -> None:
    assert Code.read(edit(SHARED.text())) is None


def test_a_function_without_a_release_can_have_its_stacks_code() -> None:
    assert Code.read('const TAGSHIP = {"serves": []};\nfunction handler() {}') == Code()


def test_the_longest_code_fits_cloudfronts_limit() -> None:
    folders = [f"{number:02}{'x' * 98}/" for number in range(20)]
    full = Serving(
        id="f" * 16, digest="f" * 64, percent=50, hashed=hashed_pattern(folders), paths="single-page"
    )
    patched = replace(full, hashed=PATTERN, base="e" * 16, differs=tuple(most_paths()))
    for serves in ((full, full), (patched, patched), (full, patched)):
        whole = Code(application="a" * 40, tag="v" * 128, fence=10**15, serves=serves)
        assert len(whole.text().encode()) <= MOST_BYTES


def most_paths() -> list[str]:
    """As many changed paths as a release may have that reads the others from its base."""
    same, changed, found = File(size=1, crc=1), File(size=1, crc=2), list[str]()
    for number in range(1000):
        paths = {f'"{number}.html' for number in range(number)}
        before = dict.fromkeys(paths, same) | {"same.html": same}
        differs = differing(before, before | dict.fromkeys(paths, changed), pattern=PATTERN)
        if differs is None:
            return found
        found = differs
    raise AssertionError("no list is too long")


# ---- what the function does ------------------------------------------------------------------------------------------


def test_paths_are_mapped_to_the_releases_files() -> None:
    expected = {
        ("folders", "/"): f"/releases/{OLD}/index.html",
        ("folders", "/about/"): f"/releases/{OLD}/about/index.html",
        ("folders", "/about"): f"/releases/{OLD}/about/index.html",
        ("folders", "/logo.png"): f"/releases/{OLD}/logo.png",
        ("folders", "/.well-known/security"): f"/releases/{OLD}/.well-known/security",
        ("folders", "/assets/app.js"): "/immutable/assets/app.js",
        ("folders", "/assets/old.html"): f"/releases/{OLD}/assets/old.html",
        ("folders", "/js/app.3f2a9c0d.js"): "/immutable/js/app.3f2a9c0d.js",
        ("files", "/about"): f"/releases/{OLD}/about.html",
        ("files", "/"): f"/releases/{OLD}/index.html",
        ("single-page", "/basket/7"): f"/releases/{OLD}/index.html",
        ("single-page", "/basket/"): f"/releases/{OLD}/index.html",
        ("single-page", "/assets/app.js"): "/immutable/assets/app.js",
    }
    for paths in ("folders", "files", "single-page"):
        events = [uri for kind, uri in expected if kind == paths]
        found = uris(code(site(OLD, 100, paths=paths)), *map(asked, events))
        assert dict(zip(events, found, strict=True)) == {uri: expected[paths, uri] for uri in events}


def test_a_file_that_has_not_changed_is_read_from_the_base() -> None:
    differs = ("index.html", "gone.png", "logo@2x.png", ".well-known/security")
    release = Serving(
        id=NEW, digest=NEW * 4, percent=100, hashed=PATTERN, paths="folders", base=OLD, differs=differs
    )
    expected = {
        "/": f"/releases/{NEW}/index.html",
        "/index.html": f"/releases/{NEW}/index.html",
        "/about": f"/releases/{OLD}/about/index.html",
        "/gone.png": f"/releases/{NEW}/gone.png",
        "/logo.png": f"/releases/{OLD}/logo.png",
        "/logo@2x.png": f"/releases/{NEW}/logo@2x.png",
        "/logo%402x.png": f"/releases/{NEW}/logo%402x.png",
        "/100%.png": f"/releases/{OLD}/100%.png",
        "/.well-known/security": f"/releases/{NEW}/.well-known/security",
        "/assets/app.js": "/immutable/assets/app.js",
    }
    found = uris(code(release), *map(asked, expected))
    assert dict(zip(expected, found, strict=True)) == expected
    for path in ("index.html", "logo.png", "gone.png"):
        assert expected[f"/{path}"] == f"/releases/{release.folder(path)}/{path}", "Python decides the same"


def test_code_of_an_earlier_tagship_has_no_base() -> None:
    text = code(site(OLD, 100)).text()
    earlier = text.replace(',"base":"","differs":[]', "")
    assert earlier != text
    assert Code.read(earlier) == code(site(OLD, 100))


def test_a_visitor_stays_on_one_release_and_a_growing_share_only_adds_visitors() -> None:
    visitors = [
        asked(ip=f"198.51.100.{number % 250}", user_agent=f"browser {number // 250}")
        for number in range(2000)
    ]
    before: set[int] = set()
    for percent in (1, 10, 50, 90):
        shares = code(site(NEW, percent), site(OLD, 100 - percent))
        found = uris(shares, *visitors)
        if percent == 10:
            neighbors = [sum(NEW in uri for uri in found[at : at + 100]) for at in range(0, 2000, 100)]
            assert max(neighbors) < 25
        new = {number for number, uri in enumerate(found) if NEW in uri}
        assert found == uris(shares, *visitors)
        assert before <= new
        assert abs(len(new) / len(visitors) - percent / 100) < 0.03
        before = new


def test_a_request_can_select_a_serving_release() -> None:
    by_header = [asked(x_tagship_release=NEW), asked(x_tagship_release=OLD)]
    by_cookie = [asked(cookie=NEW), asked(cookie=OLD)]
    for pair in (by_header, by_cookie):
        assert uris(SHARED, *pair) == [f"/releases/{NEW}/index.html", f"/releases/{OLD}/index.html"]
    gone = "c" * 16
    assert uris(SHARED, asked(cookie=gone))[0].split("/")[2] in (OLD, NEW), "a cookie of the past is no error"
    (answer,) = answers(SHARED, asked(x_tagship_release=gone))
    assert answer["statusCode"] == 404, "a check must not be answered by another release"


def test_without_a_release_nothing_is_served() -> None:
    (answer,) = answers(code(), asked())
    assert answer["statusCode"] == 503
    assert answer["headers"]["cache-control"] == {"value": "no-store"}


def test_python_and_javascript_recognize_the_same_names_as_hashed() -> None:
    names = [
        "app.3f2a9c0d.js",
        "main-4KQ2ZX7P.js.map",
        "chunk.deadbeef.js",
        "photo-20240115.jpg",
        "report-2024Q4final.pdf",
        "apple-touch-icon-precomposed.png",
        "assets/index-BfSxYzAb.js",
        "assets/page.html",
        "x/assets/app.js",
        "_next/static/chunks/a.js",
        "app.3f2a9c0d.html",
        "a.3f2a9c0d",
        "with%20space-3f2a9c0d.css",
    ]
    found = uris(code(site(OLD, 100)), *(asked(f"/{name}") for name in names))
    in_javascript = {name for name, uri in zip(names, found, strict=True) if uri.startswith("/immutable/")}
    assert in_javascript == {name for name in names if is_hashed(name, PATTERN)}
    assert in_javascript == {
        "app.3f2a9c0d.js",
        "main-4KQ2ZX7P.js.map",
        "assets/index-BfSxYzAb.js",
        "_next/static/chunks/a.js",
        "with%20space-3f2a9c0d.css",
    }


def test_the_code_uses_only_what_cloudfront_supports() -> None:
    assert not re.search(
        r"\b(async|await|import|export|eval|Function|setTimeout|Math\.random|Date)\b", SHARED.text()
    )
