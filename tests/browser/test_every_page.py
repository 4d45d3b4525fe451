"""Every page in a real Chromium with its own headers has no accessibility problems."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from playwright.sync_api import Browser, Page

from tagship.approval.page.answers import PageResponse
from tagship.model.records import RequestRecord
from tagship_cli.actions import previews
from tagship_cli.actions.previews import pages
from tests.accessibility import DESK, PHONE, barriers, runs_off_the_side
from tests.unit.approval.builders import huge
from tools import samples

ADDRESS = "https://approvals.example.com/approvals"
PAGES = pages()


@pytest.fixture(scope="module")
def page(browser: Browser) -> Iterator[Page]:
    """One window for all tests; it is resized to a phone or a desktop, in light or dark mode."""
    page = browser.new_page()
    page.route(
        f"{ADDRESS}/**", lambda route: route.fulfill(**answer_of(PAGES[route.request.url.rsplit("/", 1)[1]]))
    )
    yield page
    page.close()


def answer_of(page: PageResponse) -> dict[str, object]:
    return {"status": page.status, "headers": page.headers, "body": page.body}


@pytest.mark.parametrize(
    "size, scheme",
    [pytest.param(PHONE, "dark", id="phone-dark"), pytest.param(DESK, "light", id="desk-light")],
)
@pytest.mark.parametrize("name", PAGES)
def test_no_page_has_accessibility_problems_or_scrolls_sideways(page: Page, name: str, size, scheme) -> None:
    page.set_viewport_size(size)
    page.emulate_media(color_scheme=scheme)
    page.goto(f"{ADDRESS}/{name}")
    assert barriers(page) == []
    assert not runs_off_the_side(page)


@pytest.mark.parametrize("made", [samples.report, samples.shown_release], ids=["report", "release"])
def test_the_command_lines_pages_have_none_either(page: Page, made: Callable[[], str]) -> None:
    page.goto("about:blank")
    for size, scheme in ((PHONE, "dark"), (DESK, "light")):
        page.set_viewport_size(size)
        page.emulate_media(color_scheme=scheme)
        page.set_content(made())
        assert barriers(page) == []
        assert not runs_off_the_side(page)


@pytest.mark.parametrize("size, scheme", [(PHONE, "light"), (DESK, "dark")], ids=["phone-light", "desk-dark"])
def test_the_form_page_has_none_in_other_sizes_and_colours(page: Page, size, scheme) -> None:
    page.set_viewport_size(size)
    page.emulate_media(color_scheme=scheme)
    for name in ("ask-reason-missing", "recorded-approved"):
        page.goto(f"{ADDRESS}/{name}")
        assert barriers(page) == []


@pytest.mark.parametrize("made", [previews.sample(), huge()], ids=["ordinary", "huge"])
def test_the_buttons_fit_a_desktop_screen_and_are_one_link_away_on_a_phone(
    page: Page, made: RequestRecord
) -> None:
    """Whatever there is to read first."""
    page.goto("about:blank")
    made = {**made, "tag": "v1.4.0", "warnings": [*made["warnings"], "The alarm storefront-5xx is firing."]}
    page.set_viewport_size({"width": 1280, "height": 800})
    page.set_content(previews.visit(made).body)
    for button in page.get_by_role("button").all():
        box = button.bounding_box()
        assert box is None or box["y"] + box["height"] <= 800, "None: the one that the return key presses"
    page.set_viewport_size(PHONE)
    link = page.get_by_role("link", name="Go to your decision").bounding_box()
    assert link is not None and link["y"] + link["height"] <= PHONE["height"]


def test_the_checker_finds_problems(page: Page) -> None:
    page.goto("about:blank")  # leaves the previous page's policy, which would block the style
    page.set_content("<html><body><input><p style='color: #ccc; background: #fff'>pale</p></body></html>")
    found = " ".join(barriers(page))
    assert "label:" in found and "color-contrast:" in found and "html-has-lang:" in found
    page.set_viewport_size(PHONE)
    page.set_content("<html><body><div style='width: 400px'>wide</div></body></html>")
    assert runs_off_the_side(page)
