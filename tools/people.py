"""Acts as an approver: reads a mail, opens its link, types the number on the page, and presses a button."""

from __future__ import annotations

import re
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Sequence
from dataclasses import dataclass
from html.parser import HTMLParser

from tools.stack import LocalError, Mail

_LINK = re.compile(r"https?://\S+/approvals/[\w-]+\?t=[\w.~-]+")


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """The page's response."""

    status: int
    text: str


def link_in(mail: Mail) -> str:
    """The approval link in a mail.

    Raises LocalError if there is none.
    """
    match = _LINK.search(mail.text)
    if not match:
        raise LocalError(f"There is no approval link in the mail {mail.subject!r} to {mail.to}.")
    return match[0]


def newest_to(mails: Sequence[Mail], *, who: str, application: str, tag: str) -> Mail | None:
    """The newest mail with a link that asks somebody about a release."""
    about = [
        mail
        for mail in mails
        if who in mail.to
        and application in mail.subject
        and tag in re.split(r"[\s?]+", mail.subject)
        and _LINK.search(mail.text)
    ]
    return about[-1] if about else None


def look(link: str) -> Answer:
    """Opens the page, which changes nothing."""
    return _send(urllib.request.Request(link))


@dataclass(frozen=True, slots=True, kw_only=True)
class Form:
    """An open page that asks for a decision."""

    link: str
    hidden: dict[str, str]
    number: str
    """The number that the page asks a person to type."""

    def press(self, decision: str, *, reason: str = "") -> Answer:
        """Submits the filled-in form with one of its buttons."""
        fields = self.hidden | {"decision": decision, "reason": reason, "number": self.number}
        return _send(
            urllib.request.Request(
                self.link,
                data=urllib.parse.urlencode(fields).encode(),
                headers={"Content-Type": "application/x-www-form-urlencoded"},
                method="POST",
            )
        )


def open_form(link: str) -> Form:
    """Opens the page and reads its form.

    Raises LocalError if the page has no form to submit.
    """
    page = look(link)
    fields = _Fields()
    fields.feed(page.text)
    if not fields.hidden:
        raise LocalError(f"The approval page has nothing to decide: it answered {page.status}.")
    return Form(link=link, hidden=fields.hidden, number=fields.number)


def decide(link: str, *, decision: str, reason: str = "") -> Answer:
    """Opens the page and presses one of its buttons.

    Raises LocalError if the page has nothing to decide.
    """
    return open_form(link).press(decision, reason=reason)


class _Fields(HTMLParser):
    """The hidden fields of a page's form, and the number that it shows."""

    def __init__(self) -> None:
        super().__init__()
        self.hidden: dict[str, str] = {}
        self.number = ""
        self._in_number = False

    def handle_data(self, data: str) -> None:
        if self._in_number:
            self.number += data

    def handle_endtag(self, _tag: str) -> None:
        self._in_number = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        attributes = dict(attrs)
        self._in_number = attributes.get("class") == "number"
        name = attributes.get("name")
        if tag == "input" and attributes.get("type") == "hidden" and name:
            self.hidden[name] = attributes.get("value") or ""


def _send(request: urllib.request.Request) -> Answer:
    try:
        with urllib.request.urlopen(request, timeout=30) as response:
            return Answer(status=response.status, text=response.read().decode())
    except urllib.error.HTTPError as error:
        return Answer(status=error.code, text=error.read().decode(errors="replace"))
