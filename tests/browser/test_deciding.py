"""Deciding on the page, in a real Chromium: what a person does takes a moment, and what a program does leads nowhere."""

from __future__ import annotations

from collections.abc import Iterator
from urllib.parse import parse_qs

import pytest
from playwright.sync_api import Browser, Page, Route

from tagship_cli.actions.previews import pages
from tests.accessibility import PHONE
from tests.unit.approval.builders import number_on

ADDRESS = "https://approvals.example.com/approvals/ask"
ASKS = pages()["ask"]


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    """An approver's phone, without JavaScript, on the page that asks."""
    page = browser.new_page(viewport=PHONE, java_script_enabled=False)  # type: ignore[arg-type]
    page.goto("about:blank")
    yield page
    page.close()


@pytest.fixture
def sent(page: Page) -> list[dict[str, list[str]]]:
    """The forms that the browser sent."""
    forms: list[dict[str, list[str]]] = []

    def answer(route: Route) -> None:
        if route.request.method == "POST":
            forms.append(parse_qs(route.request.post_data or "", keep_blank_values=True))
        route.fulfill(status=ASKS.status, headers=ASKS.headers, body=ASKS.body)

    page.route(f"{ADDRESS}**", answer)
    page.goto(ADDRESS)
    return forms


def test_a_person_types_three_digits_and_submits(page: Page, sent: list[dict[str, list[str]]]) -> None:
    number = number_on(ASKS.body)
    page.get_by_label(f"Type {number} to confirm").fill(number)
    page.get_by_role("button", name="Approve v1.4.0").click()
    assert [(form["decision"], form["number"]) for form in sent] == [(["approve"], [number])]


@pytest.mark.parametrize("decision", ["Approve", "Reject"])
def test_a_button_pressed_without_the_number_sends_nothing(
    page: Page, sent: list[dict[str, list[str]]], decision: str
) -> None:
    page.get_by_role("button", name=f"{decision} v1.4.0").click()
    page.get_by_label("to confirm").fill("12")
    page.get_by_role("button", name=f"{decision} v1.4.0").click()
    assert sent == []


def test_the_return_key_sends_nothing(page: Page, sent: list[dict[str, list[str]]]) -> None:
    field = page.get_by_label("to confirm")
    field.fill(number_on(ASKS.body))
    field.press("Enter")
    page.wait_for_load_state()
    assert sent == []
