"""A mail scanner opens the link, follows what it finds and presses the buttons: nothing is decided by that."""

from __future__ import annotations

from collections import Counter
from datetime import timedelta
from urllib.parse import urlencode

import pytest

from tagship.approval.link import Token
from tagship.approval.page.form import FORM_LIFE, challenge
from tagship.model.errors import AwsUnavailable
from tests.unit.approval.builders import (
    ANA,
    BO,
    NOW,
    Browser,
    approved,
    elements_of,
    link,
    number_on,
    sample,
    site,
    text_of,
)

FILLINGS = ["", "test", "1", "123", "000", "scanner@example.com", "2026", "approve", "x" * 3]
"""What a program fills into an unknown field."""


def presses(page, filling):
    """The bodies of all submissions that the page's form allows, as a program makes them that fills every field alike."""
    fields, buttons, in_form = {}, [], False
    for element, attributes in elements_of(page):
        in_form = in_form or element == "form"
        name = attributes.get("name")
        if in_form and element == "button" and "disabled" not in attributes:
            buttons.append((name, attributes["value"]))
        elif in_form and name:
            fields[name] = attributes.get("value") or filling
    return [urlencode(fields | {name: value}).encode() for name, value in buttons]


@pytest.mark.parametrize("filling", FILLINGS)
def test_a_scanner_that_presses_every_button_decides_nothing(filling):
    """Fault 100."""
    here = site(required=1)
    scanner = Browser(here)
    page = scanner.open()
    bodies = presses(page.body, filling)
    assert len(bodies) == 2
    for body in bodies:
        answer = scanner.post(body)
        assert answer.status == 400
        assert "Nothing was recorded." in text_of(answer.body)
        for again in presses(answer.body, filling):
            assert scanner.post(again).status == 400
    assert here.store.writes == 0
    assert here.deliver.delivered == []
    assert scanner.decide().status == 200, "and the person that the link is for still decides"


def test_nothing_on_the_page_fills_in_the_number():
    page = Browser(site()).open()
    (field,) = [
        attributes for element, attributes in elements_of(page.body) if attributes.get("name") == "number"
    ]
    assert not field["value"]
    assert "placeholder" not in field
    assert "required" in field
    assert field["inputmode"] == "numeric"
    values = [attributes.get("value") or "" for _, attributes in elements_of(page.body)]
    assert number_on(page.body) not in values


def test_the_return_key_presses_no_deciding_button():
    """A form's first button is its default one."""
    buttons = [
        attributes for element, attributes in elements_of(Browser(site()).open().body) if element == "button"
    ]
    assert ["disabled" in button for button in buttons] == [True, False, False]


def test_one_guess_fits_few_pages():
    mac = Token.parse(link(sample())).mac
    numbers = Counter(
        challenge(mac, sample(), ANA, NOW + timedelta(seconds=second)).number for second in range(2000)
    )
    assert all(len(number) == 3 and number.isdecimal() and number[0] != "0" for number in numbers)
    assert len(numbers) > 750
    assert max(numbers.values()) <= 12


def test_a_wrong_number_is_reported_and_the_next_page_asks_for_another():
    here = site(required=1)
    ana = Browser(here)
    ana.open()
    first, wrong = ana.number, str(100 + (int(ana.number) + 1) % 900)
    here.now += timedelta(seconds=5)
    page = ana.send("approve", "Saw it on staging.", number=wrong)
    assert page.status == 400
    text = text_of(page.body)
    assert "Nothing was recorded. That is not the number on the page." in text
    assert "Saw it on staging." in text
    assert number_on(page.body) != first
    assert here.store.writes == 0
    (field,) = [attributes for _, attributes in elements_of(page.body) if attributes.get("name") == "number"]
    assert (field["value"], field["aria-invalid"], "autofocus" in field) == ("", "true", True)
    assert field["aria-describedby"] == "number-hint number-problem"


def test_a_missing_reason_does_not_require_the_number_again():
    here = site()
    ana = Browser(here)
    ana.open()
    here.now += timedelta(minutes=3)
    page = ana.send("reject")
    assert page.status == 400
    assert "Say why you reject it" in text_of(page.body)
    (field,) = [attributes for _, attributes in elements_of(page.body) if attributes.get("name") == "number"]
    assert field["value"] == ana.number == number_on(page.body)
    (body,) = [body for body in presses(page.body, "the sale begins") if b"decision=reject" in body]
    assert ana.post(body).status == 200
    assert here.record["status"] == "REJECTED"


@pytest.mark.parametrize("late", [timedelta(seconds=1), timedelta(days=1)])
def test_a_page_that_was_open_too_long_is_shown_again(late):
    here = site(required=1, expiresAt=(NOW + timedelta(days=3)).isoformat())
    ana = Browser(here)
    ana.open()
    here.now += FORM_LIFE
    assert ana.send("reject").status == 400, "until then it is taken"
    here.now += late
    page = ana.send("approve", "Looks right.")
    assert page.status == 409
    text = text_of(page.body)
    assert "This page was open for more than an hour, so nothing was recorded." in text
    assert "Looks right." in text
    assert here.store.writes == 0


@pytest.mark.parametrize("typed", [" {} ", "{0[0]} {0[1]} {0[2]}"])
def test_spaces_in_the_number_are_accepted(typed):
    here = site(required=1)
    ana = Browser(here)
    ana.open()
    assert ana.send(number=typed.format(ana.number)).status == 200


def test_another_pages_number_is_invalid():
    here = site(required=2)
    ana, bo = Browser(here), Browser(here, BO)
    ana.open()
    bo.open()
    assert ana.number != bo.number
    assert ana.send(number=bo.number).status == 400
    assert here.store.writes == 0


def test_a_recorded_decision_is_delivered_again_without_a_number():
    """The page that says so has a button and no number to type, because the decision is already recorded."""
    here = site(required=2, decisions=[approved(BO, 1)])
    ana = Browser(here)
    ana.open()
    here.deliver.raises = AwsUnavailable("throttled")
    page = ana.send()
    assert page.status == 503
    here.deliver.raises = None
    (body,) = presses(page.body, "")
    assert ana.post(body).status == 200
    assert here.deliver.delivered == [here.record["id"]]
