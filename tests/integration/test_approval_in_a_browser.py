"""The approval page as a person meets it: the link of the real mail in a real Chromium, on a phone and at a desk."""

from __future__ import annotations

import shutil
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, sync_playwright

from tests.integration.conftest import Pipeline

PHONE = {"width": 360, "height": 740}
DESK = {"width": 1280, "height": 900}
QUIET = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """The machine's own Chromium."""
    found = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if found is None:
        pytest.skip("no Chromium on this machine: install Debian's package chromium, or Google Chrome")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=found, args=QUIET)
        yield browser
        browser.close()


def test_a_release_is_approved_on_a_phone(pipeline: Pipeline, browser: Browser) -> None:
    tag = pipeline.publish()
    page = browser.new_page(viewport=PHONE, java_script_enabled=False)  # type: ignore[arg-type]
    page.goto(pipeline.link(tag))
    assert tag in page.get_by_role("heading", level=1).inner_text()
    page.get_by_role("button", name=f"Approve {tag}").click()
    assert "recorded" in page.locator("body").inner_text().lower()
    page.close()
    pipeline.settled(tag, "SUCCEEDED")


def test_nothing_runs_off_the_side_of_a_phone(pipeline: Pipeline, browser: Browser) -> None:
    tag = pipeline.publish()
    page = browser.new_page(viewport=PHONE)  # type: ignore[arg-type]
    page.goto(pipeline.link(tag))
    assert page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]
    page.close()
    pipeline.decide(tag, "reject", "only looked at")
    pipeline.settled(tag, "REJECTED")


def test_a_release_is_rejected_by_keyboard_alone_in_the_dark(pipeline: Pipeline, browser: Browser) -> None:
    tag = pipeline.publish()
    page = browser.new_page(viewport=DESK, color_scheme="dark")  # type: ignore[arg-type]
    page.goto(pipeline.link(tag))
    page.get_by_role("textbox").focus()
    page.keyboard.type("the sale begins at noon")
    for _ in range(10):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.textContent").strip() == f"Reject {tag}":
            break
    page.keyboard.press("Enter")
    page.wait_for_load_state()
    assert "recorded" in page.locator("body").inner_text().lower()
    page.reload()
    assert page.get_by_role("button", name=f"Approve {tag}").count() == 0
    page.close()
    record = pipeline.settled(tag, "REJECTED")
    assert "the sale begins at noon" in record["why"]
