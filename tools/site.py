"""Builds the documents as a site: `make site`.

The pages are the same Markdown files that GitHub shows, at the same paths, so a link works in both places. Two things
differ on the site: a link to a source file leads to a page that shows that file, and `mkdocs.yml` gives every page a
place in the navigation.

MkDocs reads one directory, and the pages are in several. This module copies them into `build/site/pages` and then runs
MkDocs in strict mode, which fails on a broken link or anchor. `--quiet` would prevent that, because strict mode only
counts the warnings that it logs.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parents[1]
SETTINGS: Final = ROOT / "mkdocs.yml"
STAGE: Final = ROOT / "build" / "site" / "pages"
SITE: Final = ROOT / "build" / "site" / "html"

_LINK: Final = re.compile(r"(?<=\]\()([^)\s#:]+)(?=[)#])")
_CODE: Final = re.compile(r"(^ *```.*?^ *```|`[^`\n]+`)", re.DOTALL | re.MULTILINE)
_LANGUAGES: Final = {
    ".py": "python",
    ".yaml": "yaml",
    ".json": "json",
    ".sh": "sh",
}


def pages() -> list[Path]:
    """Every page of the documents, sorted by path."""
    found = [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *(ROOT / "examples").rglob("*.md")]
    return sorted(found, key=lambda page: page.relative_to(ROOT).as_posix())


def staged(page: Path) -> tuple[str, set[Path]]:
    """A page's text for the site, and the source files that it links to."""
    sources: set[Path] = set()

    def link(match: re.Match[str]) -> str:
        file = (page.parent / match[1]).resolve()
        if not file.is_file() or file.suffix in (".md", ".png", ".svg"):
            return match[1]
        sources.add(file)
        return f"{match[1]}.md"

    parts = _CODE.split(page.read_text())
    return "".join(part if index % 2 else _LINK.sub(link, part) for index, part in enumerate(parts)), sources


def source_page(file: Path) -> str:
    """A page that shows a source file. It is excluded from the search, because its words would hide the page that
    explains them."""
    path = file.relative_to(ROOT).as_posix()
    language = _LANGUAGES.get(file.suffix, "text")
    fence = "`" * 6
    return f"---\nsearch:\n  exclude: true\n---\n# `{path}`\n\n{fence}{language}\n{file.read_text().rstrip()}\n{fence}\n"


def stage() -> None:
    """Copy the pages, their pictures and the source files that they link to into `STAGE`."""
    shutil.rmtree(STAGE, ignore_errors=True)
    for path, text in files():
        (STAGE / path).parent.mkdir(parents=True, exist_ok=True)
        (STAGE / path).write_text(text)
    shutil.copytree(ROOT / "docs" / "images", STAGE / "docs" / "images")
    shutil.copy(ROOT / "docs" / "site.css", STAGE / "docs")


def files() -> Iterator[tuple[str, str]]:
    """Path and text of each page of the site, those that show source files included."""
    sources: set[Path] = set()
    for page in pages():
        text, linked = staged(page)
        sources |= linked
        # it names everything once, so the search would return it instead of the page that explains a term
        rare = "---\nsearch:\n  boost: 0.2\n---\n" if page.name == "CHANGELOG.md" else ""
        yield page.relative_to(ROOT).as_posix(), rare + text
    for file in sorted(sources):
        yield f"{file.relative_to(ROOT).as_posix()}.md", source_page(file)


def main() -> int:
    stage()
    mkdocs = Path(sys.executable).with_name("mkdocs")
    environment = {**os.environ, "NO_MKDOCS_2_WARNING": "1"}  # the version is locked
    ended = subprocess.run(
        [mkdocs, "build", "--strict", "--config-file", SETTINGS], env=environment, check=False
    )
    if ended.returncode == 0:
        site = SITE.relative_to(ROOT)
        print(f"The site is in {site}. To read it: python3 -m http.server --directory {site}")
    return ended.returncode


if __name__ == "__main__":
    sys.exit(main())
