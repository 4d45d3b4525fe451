"""Runs axe-core on a page, with the rules of WCAG 2.2, levels A and AA."""

from __future__ import annotations

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page

PHONE = {"width": 360, "height": 740}
DESK = {"width": 1280, "height": 900}
RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]
"""The axe project's best practices beyond them: landmarks, headings in order."""


def barriers(page: Page) -> list[str]:
    """Each rule that is broken, where."""
    options = {
        "runOnly": {"type": "tag", "values": RULES},
        "resultTypes": ["violations"],
        "preload": False,
    }
    found = Axe().run(page, options=options).response["violations"]
    return [
        f"{broken['id']}: {node['html'][:120]} {node.get('failureSummary', '')}"
        for broken in found
        for node in broken["nodes"]
    ]


def runs_off_the_side(page: Page) -> bool:
    """Whether the page scrolls sideways."""
    return bool(page.evaluate("document.documentElement.scrollWidth > document.documentElement.clientWidth"))
