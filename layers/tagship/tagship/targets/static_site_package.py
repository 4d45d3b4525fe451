"""A release's site files: their problems, their HTTP headers, and the differences between two releases."""

from __future__ import annotations

import json
import mimetypes
import re
import stat
import zipfile
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from html.parser import HTMLParser
from pathlib import PurePosixPath
from typing import IO, TypedDict
from urllib.parse import unquote, urljoin, urlsplit

from tagship.targets.archive import UNREADABLE, plain, shown, unreadable, wrong_names
from tagship.text.words import count, size

MOST_BYTES = 300 * 1024 * 1024
"""The size limit of the zipped package in bytes, so that a gate can inspect it."""
MOST_UNZIPPED = 1024 * 1024 * 1024
MOST_FILE_BYTES = 100 * 1024 * 1024
"""The size limit of one file in bytes. A file is held in memory while it is uploaded."""
MOST_FILES = 20_000
_PAGES_READ = 200
_PAGE_BYTES = 1024 * 1024
_KEY_BYTES = 900
"""The longest path in bytes. S3 limits keys to 1024 bytes, and the folder takes some of them."""

MOST_CODE = 2_500
"""The longest pattern of hashed names and list of differing paths in a function's code, in bytes, so that the code of two
releases fits."""
_WRITTEN_ONE_WAY = re.compile(r"[!-$&-*,-~]+")
"""Printable ASCII without `%`, `+` and the space. S3 reads a `+` in an address as a space."""
_NAMED_BY_HASH = (
    r".*[.-]((?=[0-9a-f]*[0-9])(?=[0-9a-f]*[a-f])[0-9a-f]{8,}|(?=[0-9A-Z]*[0-9])(?=[0-9A-Z]*[A-Z])[0-9A-Z]{8})"
    r"(\.[A-Za-z0-9]+)+$"
)
"""Matches `app.3f2a9c0d.js`, `main-4KQ2ZX7P.js.map`. It requires a digit and a letter, so that no word or date counts
as a hash."""
_A_YEAR = "public, max-age=31536000, immutable"
_ALWAYS_ASK = "no-cache"
_TYPES = mimetypes.MimeTypes(filenames=())
"""Python's built-in table, because the machine's may differ."""
for _ending, _type in {
    ".webmanifest": "application/manifest+json",
    ".map": "application/json",
    ".woff": "font/woff",
    ".woff2": "font/woff2",
    ".ttf": "font/ttf",
    ".otf": "font/otf",
    ".ico": "image/x-icon",
    ".avif": "image/avif",
    ".webp": "image/webp",
    ".wasm": "application/wasm",
    ".mjs": "text/javascript",
    ".js": "text/javascript",
    ".md": "text/markdown",
    ".xml": "text/xml",
}.items():
    _TYPES.add_type(_type, _ending)
_UNKNOWN = "application/octet-stream"


@dataclass(frozen=True, slots=True, kw_only=True)
class File:
    """One file: its size in bytes, its checksum in the zip, and its SHA-256 once it has been read."""

    size: int
    crc: int
    sha256: str = ""

    def looks_like(self, other: File | None) -> bool:
        """Whether the two zip directories show no difference between them."""
        return other is not None and (self.size, self.crc) == (other.size, other.crc)


Files = Mapping[str, File]
"""Files by their path, without a leading `/`."""


def hashed_pattern(folders: Sequence[str]) -> str:
    """A regular expression, valid in JavaScript and in Python, for paths with a hash in their name. Pages never match."""
    return f"^(?!.*[.]html?$)({'|'.join([*map(re.escape, folders), _NAMED_BY_HASH])})"


def is_page(path: str) -> bool:
    """Whether the path is a page that people open by its address."""
    return path.endswith((".html", ".htm"))


def is_hashed(path: str, pattern: str) -> bool:
    """Whether its name changes with its content, so that browsers may cache it forever."""
    return re.search(pattern, path) is not None


class Headers(TypedDict):
    """The headers that S3 stores with an object and sends to browsers."""

    ContentType: str
    CacheControl: str


def headers_of(path: str, *, hashed: bool) -> Headers:
    """Depends only on the name."""
    found = (
        "application/json" if path.startswith(".well-known/") and "." not in PurePosixPath(path).name else ""
    )
    kind = found or _TYPES.guess_type(path)[0] or _UNKNOWN
    text = kind.startswith("text/") or kind == "image/svg+xml"
    return {
        "ContentType": f"{kind}; charset=utf-8" if text else kind,
        "CacheControl": _A_YEAR if hashed else _ALWAYS_ASK,
    }


def entries(archive: zipfile.ZipFile) -> list[zipfile.ZipInfo]:
    """The files in the zip, in the order of its directory."""
    return [entry for entry in archive.infolist() if not entry.is_dir()]


def files_of(file: IO[bytes]) -> Files:
    """Reads only the zip's directory and unpacks nothing.

    Raises ValueError, with the reason in words, if it is not a zip.
    """
    if problem := unreadable(file):
        raise ValueError(problem)
    try:
        with zipfile.ZipFile(file) as archive:
            return {it.filename: File(size=it.file_size, crc=it.CRC) for it in entries(archive)}
    except UNREADABLE as error:
        raise ValueError(
            f"It cannot be read as a zip file: {plain(str(error))}. Create the zip again."
        ) from error


def look_into(file: IO[bytes], *, pattern: str) -> tuple[str, list[str]]:
    """A summary of the package in words, and everything that is wrong with it."""
    if problem := unreadable(file):
        return "", [problem]
    try:
        with zipfile.ZipFile(file) as archive:
            found = entries(archive)
            problems = [*wrong_names(found), *_unusable(found), *_sizes(found)]
            if not problems:
                problems = [*_without_index(found), *_broken_pages(archive, found, pattern)]
            return f"{_said(found, pattern)}{_unread(found)}", problems
    except UNREADABLE as error:
        return "", [f"It cannot be read as a zip file: {plain(str(error))}. Create the zip again."]


def _said(found: Sequence[zipfile.ZipInfo], pattern: str) -> str:
    names = [entry.filename for entry in found]
    hashed = sum(is_hashed(name, pattern) for name in names)
    unzipped = size(sum(entry.file_size for entry in found))
    unknown = [name for name in names if headers_of(name, hashed=False)["ContentType"] == _UNKNOWN]
    said = (
        f"{count(len(names), 'file')}, {unzipped} unzipped: "
        f"{sum(map(is_page, names))} pages, and {hashed} with a hash in their name, which browsers cache for a "
        "year."
    )
    return f"{said} Of no known type, so served as {_UNKNOWN}: {shown(unknown)}." if unknown else said


def _unusable(found: Sequence[zipfile.ZipInfo]) -> list[str]:
    names = [entry.filename for entry in found]
    problems = []
    if links := [it.filename for it in found if stat.S_ISLNK(it.external_attr >> 16)]:
        problems.append(f"It has symbolic links: {shown(links)}. Package the files that they point to.")
    if twice := sorted(name for name, times in Counter(names).items() if times > 1):
        problems.append(f"It has two files with the same name: {shown(twice)}. Create the zip again.")
    odd = [
        it
        for it in names
        if not it.isprintable() or "\\" in it or "//" in it or len(it.encode()) > _KEY_BYTES
    ]
    if odd:
        problems.append(f"It has file names that cannot be served: {shown(odd)}. Rename these files.")
    return problems


def _sizes(found: Sequence[zipfile.ZipInfo]) -> list[str]:
    problems = []
    if len(found) > MOST_FILES:
        problems.append(f"It has {len(found)} files; the limit is {MOST_FILES}. Package fewer files.")
    if (size := sum(entry.file_size for entry in found)) > MOST_UNZIPPED:
        problems.append(
            f"It has {size // 1024**2} MB unzipped; the limit is {MOST_UNZIPPED // 1024**2} MB. Serve large "
            "files from another bucket."
        )
    if large := [it.filename for it in found if it.file_size > MOST_FILE_BYTES]:
        problems.append(
            f"Larger than {MOST_FILE_BYTES // 1024**2} MB: {shown(large)}. Serve such files from another bucket."
        )
    return problems


def _without_index(found: Sequence[zipfile.ZipInfo]) -> list[str]:
    names = {entry.filename for entry in found}
    if "index.html" in names:
        return []
    tops = {name.split("/", 1)[0] for name in names}
    if len(tops) == 1 and f"{(top := tops.pop())}/index.html" in names:
        return [f"All its files are in the folder {plain(top)}. Zip the folder's contents, not the folder."]
    return ["The file index.html is missing at the top level. Package the built site."]


class _Asked(HTMLParser):
    """Collects what a page loads: scripts, style sheets, images."""

    def __init__(self) -> None:
        super().__init__()
        self.urls: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        url = given.get("href") if tag == "link" else given.get("src")
        if url:
            self.urls.append(url)


def _pages_read(found: Sequence[zipfile.ZipInfo]) -> Sequence[zipfile.ZipInfo]:
    return [it for it in found if is_page(it.filename) and it.file_size <= _PAGE_BYTES][:_PAGES_READ]


def _unread(found: Sequence[zipfile.ZipInfo]) -> str:
    read, pages = len(_pages_read(found)), sum(is_page(it.filename) for it in found)
    return f" Only the first {read} of {pages} pages were checked for missing files." if read < pages else ""


def _broken_pages(archive: zipfile.ZipFile, found: Sequence[zipfile.ZipInfo], pattern: str) -> list[str]:
    """Pages that load a hashed file that is not in the package, as in an incomplete build."""
    names, problems = {entry.filename for entry in found}, []
    for page in _pages_read(found):
        parser = _Asked()
        parser.feed(archive.read(page).decode("utf-8", errors="replace"))
        addresses = (urlsplit(urljoin(f"/{page.filename}", url)) for url in parser.urls)
        paths = {unquote(it.path).lstrip("/") for it in addresses if not it.netloc and it.scheme == ""}
        if missing := sorted(it for it in paths - names if is_hashed(it, pattern)):
            problems.append(
                f"{plain(page.filename)} loads files that are not in the package: {shown(missing)}. Build the "
                "site again."
            )
    return problems


def differences(before: Files, after: Files, *, pattern: str) -> list[str]:
    """The changes in words, dangerous changes first. Hashed files of earlier releases stay reachable."""
    gone, added = _gone(before, after, pattern), sorted(after.keys() - before.keys())
    changed = sorted(
        path for path in before.keys() & after.keys() if not after[path].looks_like(before[path])
    )
    lines = [
        f"{what}: {shown(names)}"
        for what, names in (
            ("Pages removed", _pages(gone)),
            ("Files removed", _others(gone)),
            ("Pages changed", _pages(changed)),
            ("Pages added", _pages(added)),
            ("Files changed", _others(changed)),
            ("Files added", [it for it in _others(added) if not is_hashed(it, pattern)]),
        )
        if names
    ]
    new = sum(is_hashed(path, pattern) for path in added)
    old = len(before.keys() - after.keys()) - len(gone)
    if new or old:
        lines.append(f"Hashed files: {new} added, {old} no longer used; these stay reachable for open tabs.")
    return lines or ["No file is added, changed or removed."]


def differing(before: Files, after: Files, *, pattern: str) -> list[str] | None:
    """The paths of files that are changed, added or removed. Hashed files are not among them.

    None if a release should not share the other files: there are none, the list is too long for the function's code, or
    a path has a character that browsers and S3 write in more than one way.
    """
    paths = sorted(path for path in before.keys() | after.keys() if not is_hashed(path, pattern))
    found = [path for path in paths if path not in after or not after[path].looks_like(before.get(path))]
    if len(found) == len(paths) or not all(map(_WRITTEN_ONE_WAY.fullmatch, found)):
        return None
    return found if len(json.dumps(pattern)) + len(json.dumps(found)) <= MOST_CODE else None


def removals(before: Files, after: Files, *, pattern: str) -> list[str]:
    """What approvers must read first: addresses that will stop working."""
    gone = _gone(before, after, pattern)
    number = count(len(gone), "address", "addresses")
    return [f"{number} will no longer answer: {shown([*_pages(gone), *_others(gone)])}."] if gone else []


def _gone(before: Files, after: Files, pattern: str) -> list[str]:
    return sorted(path for path in before.keys() - after.keys() if not is_hashed(path, pattern))


def changed_names(before: Files, after: Files, *, pattern: str) -> list[str]:
    """Hashed files whose content changed under the same name. Browsers would keep the old content for a year."""
    return sorted(
        path
        for path in before.keys() & after.keys()
        if is_hashed(path, pattern) and not after[path].looks_like(before[path])
    )


def _pages(paths: Iterable[str]) -> list[str]:
    return [path for path in paths if is_page(path)]


def _others(paths: Iterable[str]) -> list[str]:
    return [path for path in paths if not is_page(path)]
