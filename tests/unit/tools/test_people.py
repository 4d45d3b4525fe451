"""The demo's approvers find the right mail and the right link in it."""

from __future__ import annotations

import pytest

from tools.people import link_in, newest_to
from tools.stack import LocalError, Mail

LINK = "http://127.0.0.1:4566/_aws/lambda-url/abc/approvals/w3k2?t=AbC-d_e"


def mail(
    *, to: str = "ana@example.com", tag: str = "v1.1.0", text: str = f"Decide here:\n{LINK}\n\nThank you."
) -> Mail:
    return Mail(to=to, subject=f"Approve storefront {tag} for production?", text=text, html="", at=0)


def test_the_link_is_read_from_the_mails_text() -> None:
    assert link_in(mail()) == LINK


def test_a_mail_without_a_link_is_reported() -> None:
    with pytest.raises(LocalError, match=r"to ana@example\.com"):
        link_in(mail(text="Nothing to decide."))


def test_the_newest_mail_to_somebody_about_a_tag_is_found() -> None:
    first, second = mail(), mail(text=f"A reminder: {LINK}2")
    others = [mail(to="bo@example.com"), mail(tag="v1.1.0-rc.1"), mail(tag="v11.1.0"), mail(text="no link")]
    assert (
        newest_to([first, second, *others], who="ana@example.com", application="storefront", tag="v1.1.0")
        == second
    )


def test_an_unpublished_tag_has_no_mail() -> None:
    assert newest_to([mail()], who="ana@example.com", application="storefront", tag="v2.0.0") is None
