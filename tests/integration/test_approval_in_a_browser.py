"""The approval page as people meet it: the links of real mails, in a real Chromium, on the deployed stack.

What each page looks like to axe is the business of tests/browser; what people do to a release is done here.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from playwright.sync_api import Browser, Page

from tests.accessibility import DESK, PHONE, barriers, runs_off_the_side
from tests.integration.conftest import DEADLINE_SECONDS, Pipeline, wait_for
from tests.unit.approval.oidc import CLIENT, local_provider
from tools import people
from tools.storefront import NAME

ANA, BO = "ana@example.com", "bo@example.com"


def link(pipeline: Pipeline, tag: str, who: str) -> str:
    """The link in somebody's newest mail about this tag."""

    def newest() -> Any:
        return people.newest_to(pipeline.stack.mails(), who=who, application=NAME, tag=tag)

    return people.link_in(wait_for(newest, f"the mail to {who} about {tag}"))


def expect_heading(page: Page, words: str) -> None:
    """Waits for the page that a press leads to: the one before is loaded already."""
    page.get_by_role("heading", name=words, level=1).wait_for(timeout=DEADLINE_SECONDS * 1000)


def heading(page: Page) -> str:
    return page.get_by_role("heading", level=1).inner_text()


def confirm(page: Page) -> None:
    """Types the number above the buttons, as a person would."""
    page.get_by_label("to confirm").fill(page.locator("strong.number").inner_text())


def test_two_people_approve_on_phones_and_repeated_presses_change_nothing(
    pipeline: Pipeline, browser: Browser
) -> None:
    """Quorum of two, without JavaScript; a double click, the back button and a second press are one decision."""
    pipeline.configure(approval={"approvers": [ANA, BO], "required": 2, "expires": 600, "remindEvery": 600})
    tag = pipeline.publish()
    ana = browser.new_page(viewport=PHONE, java_script_enabled=False)  # type: ignore[arg-type]
    ana.goto(link(pipeline, tag, ANA))
    assert tag in heading(ana)
    ana.get_by_role("button", name=f"Approve {tag}").click()
    assert tag in heading(ana), "a button that is pressed alone decides nothing"
    confirm(ana)
    ana.get_by_role("button", name=f"Approve {tag}").dblclick()
    expect_heading(ana, "Your approval is recorded")
    assert "needs 1 more approval" in ana.locator("main").inner_text()
    ana.go_back()
    assert heading(ana) == "Your approval is recorded", "the page is not shown from the browser's memory"
    ana.close()

    bo = browser.new_page(viewport=PHONE)  # type: ignore[arg-type]
    bo.goto(link(pipeline, tag, BO))
    assert f"{ANA} approved" in bo.locator("main").inner_text()
    assert not runs_off_the_side(bo)
    assert barriers(bo) == []
    confirm(bo)
    bo.get_by_role("button", name=f"Approve {tag}").click()
    assert "has the approvals it needs" in bo.locator("main").inner_text()
    assert barriers(bo) == []
    bo.close()
    pipeline.settled(tag, "SUCCEEDED")
    decided = [fact for fact in pipeline.facts(tag) if fact["name"] in ("Approval Given", "Approval Granted")]
    assert [(fact["name"], fact["who"]) for fact in decided] == [
        ("Approval Given", ANA),
        ("Approval Granted", BO),
    ]


def test_superseded_expired_and_rejected_pages_work_by_keyboard_in_dark_mode(
    pipeline: Pipeline, browser: Browser
) -> None:
    page = browser.new_page(viewport=DESK, color_scheme="dark")  # type: ignore[arg-type]
    old = pipeline.publish()
    old_link = pipeline.link(old)
    page.goto(old_link)
    tag = pipeline.publish()
    page_link = pipeline.link(tag)
    pipeline.settled(old, "SUPERSEDED")
    confirm(page)
    page.get_by_role("button", name=f"Approve {old}").click()
    expect_heading(page, "A newer release replaced this one")
    page.goto(old_link)
    assert heading(page) == "A newer release replaced this one"

    with over(pipeline, page_link):
        answer = page.goto(page_link)
        assert answer and answer.status == 410
        assert heading(page) == "This approval request has expired"

    page.goto(page_link)
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent") == "Skip to your decision"
    page.keyboard.press("Enter")
    for _ in range(2):  # past the reason, to the number
        page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.id") == "number"
    page.keyboard.type(page.locator("strong.number").inner_text())
    page.keyboard.press("Enter")  # which decides nothing
    tab_to(page, "Reject", tag)
    page.keyboard.press("Enter")
    page.wait_for_load_state()
    assert "Say why you reject it" in page.get_by_role("alert").inner_text()
    # The skip link leads back to the decision with the problem, one step from the field.
    assert page.evaluate("document.activeElement.id") == "decide"
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.id") == "reason"
    page.keyboard.type("the sale begins at noon")
    tab_to(page, "Reject", tag)
    page.keyboard.press("Enter")
    expect_heading(page, "Your rejection is recorded")
    page.reload()
    assert page.get_by_role("button", name=f"Approve {tag}").count() == 0
    page.close()
    assert "the sale begins at noon" in pipeline.settled(tag, "REJECTED")["why"]


def test_with_sign_in_only_the_approver_gets_in(pipeline: Pipeline, browser: Browser) -> None:
    with local_provider(asks=True, mail=BO) as provider, asking(pipeline, provider.issuer):
        tag = pipeline.publish()
        where = pipeline.link(tag)
        page = browser.new_page()
        page.goto(where)
        assert page.url.startswith(f"{provider.issuer}/authorize?")
        page.get_by_role("button", name="Sign in").click()
        expect_heading(page, "This link is not valid")  # signed in, but as somebody else
        provider.mail = ANA.upper()
        page.goto(where)
        page.get_by_role("button", name="Sign in").click()
        assert tag in heading(page)
        assert page.url == where
        assert all(cookie["httpOnly"] and cookie["secure"] for cookie in page.context.cookies())
        page.context.clear_cookies()  # as after a quarter of an hour
        confirm(page)
        page.get_by_role("button", name=f"Approve {tag}").click()
        expect_heading(page, "Your sign-in has expired")
        page.get_by_role("link", name="Sign in again").click()
        page.get_by_role("button", name="Sign in").click()
        confirm(page)
        page.get_by_role("button", name=f"Approve {tag}").click()
        assert "has the approvals it needs" in page.locator("main").inner_text()
        page.close()
    pipeline.settled(tag, "SUCCEEDED")
    names = {fact["name"]: fact for fact in pipeline.facts(tag)}
    assert names["Approval Granted"]["data"]["identity"] == f"{provider.issuer} 248289761001"
    assert names["Approver Signed In"]["who"] == ANA
    assert names["Link Refused"]["data"]["reason"] == "signed in as someone else"
    token = where.partition("?t=")[2]
    assert token not in pipeline.logs() + "".join(provider.seen)


def tab_to(page: Page, button: str, tag: str) -> None:
    for _ in range(10):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.textContent").strip() == f"{button} {tag}":
            return
    raise AssertionError(f"no way by keyboard to {button}")


@contextmanager
def over(pipeline: Pipeline, where: str) -> Iterator[None]:
    """As if the time to decide had passed."""
    found = re.search(r"/approvals/([\w-]+)", where)
    assert found
    dynamodb, table = pipeline.client("dynamodb"), pipeline.stack.outputs["LedgerTableName"]
    key = {"pk": {"S": f"APPROVAL#{found[1]}"}, "sk": {"S": "APPROVAL"}}
    kept = dynamodb.get_item(TableName=table, Key=key)["Item"]["expiresAt"]

    def ends(at: Any) -> None:
        dynamodb.update_item(
            TableName=table,
            Key=key,
            UpdateExpression="SET expiresAt = :at",
            ExpressionAttributeValues={":at": at},
        )

    ends({"S": "2026-01-01T00:00:00.000Z"})
    yield
    ends(kept)


@contextmanager
def asking(pipeline: Pipeline, issuer: str) -> Iterator[None]:
    """Configures the page's function to require a sign-in, with the variables that the stack's parameters set."""
    functions = pipeline.client("lambda")
    name = next(
        function["FunctionName"]
        for page in functions.get_paginator("list_functions").paginate()
        for function in page["Functions"]
        if "ApprovalPage" in function["FunctionName"]
    )
    kept = functions.get_function_configuration(FunctionName=name)["Environment"]["Variables"]
    assert {"TAGSHIP_OIDC_ISSUER", "TAGSHIP_OIDC_CLIENT_ID"} <= kept.keys()
    variables = kept | {"TAGSHIP_OIDC_ISSUER": issuer, "TAGSHIP_OIDC_CLIENT_ID": CLIENT}
    functions.update_function_configuration(FunctionName=name, Environment={"Variables": variables})
    try:
        yield
    finally:
        functions.update_function_configuration(FunctionName=name, Environment={"Variables": kept})
