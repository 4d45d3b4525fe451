"""A notice by mail: one conversation for each release, equal text and HTML, and no injected headers."""

from __future__ import annotations

import re
from dataclasses import replace
from email import message_from_bytes
from email.policy import default

import boto3
import pytest
from botocore.stub import ANY, Stubber

from tagship.model.errors import AwsUnavailable
from tagship.notices import mail
from tests.unit.notices.test_notice import RECORD, SHIFTED, notice_about

TEAM = ("team@example.com", "ops@example.com")
SENDER = "tagship@example.com"


def read(notice):
    """The mail as a mail program reads it."""
    return message_from_bytes(mail.letter(notice, to=TEAM, sender=SENDER).as_bytes(), policy=default)


def test_all_mails_about_a_release_form_one_conversation():
    first = read(notice_about("Traffic Shifted", SHIFTED))
    last = read(notice_about("Release Succeeded", {"readAt": "2026-11-23T09:48:00.000Z"}))
    other = read(notice_about("Traffic Shifted", SHIFTED, tag="v1.5.0"))
    for header in ("Subject", "References", "In-Reply-To"):
        assert first[header] == last[header] != other[header]
    assert first["Subject"] == "[Tagship] storefront v1.4.0 in production"
    assert first["To"] == "team@example.com, ops@example.com"


def test_text_and_html_have_the_same_content():
    notice = notice_about(
        "Release Rolled Back", {"why": "5 of 5 were 500."}, record=RECORD | {"status": "ROLLED_BACK"}
    )
    letter = read(notice)
    text = letter.get_body(("plain",)).get_content()
    html = letter.get_body(("html",)).get_content()
    for said in (notice.text, *notice.more, notice.serves, *notice.needed):
        assert said in text
        assert said in html
    assert notice.look in text
    assert f'href="{notice.look}"' in html
    assert not re.search(r"<(img|link|script|iframe)|src=|url\(", html)


@pytest.mark.parametrize(
    "hostile",
    [
        "<script>alert(1)</script>",
        "a\r\nBcc: eve@example.com",
        '"><a href="https://evil.example">x</a>',
        "\u202egnp.exe",
    ],
)
def test_hostile_text_is_escaped(hostile):
    """Fault 52."""
    notice = notice_about(
        "Release Rejected", {"why": hostile}, tag="v1.4.0", record=RECORD | {"status": "REJECTED"}
    )
    letter = read(notice)
    html = letter.get_body(("html",)).get_content()
    assert set(letter.keys()) == {
        "Subject", "From", "To", "In-Reply-To", "References", "Auto-Submitted", "MIME-Version", "Content-Type",
    }  # fmt: skip
    assert "<script" not in html
    assert 'evil.example"' not in html
    assert "\u202e" not in html


def test_a_tag_cannot_inject_headers():
    with pytest.raises(ValueError, match=r"newline|linefeed|carriage"):
        mail.letter(
            replace(notice_about("Traffic Shifted", SHIFTED), tag="v1\r\nBcc: eve@example.com"),
            to=TEAM,
            sender=SENDER,
        )


def test_it_goes_to_the_team_from_the_stacks_address():
    ses = boto3.client("ses", region_name="us-east-1", aws_access_key_id="x", aws_secret_access_key="x")
    with Stubber(ses) as stub:
        stub.add_response(
            "send_raw_email",
            {"MessageId": "1"},
            {"Source": SENDER, "Destinations": list(TEAM), "RawMessage": {"Data": ANY}},
        )
        mail.send(notice_about("Traffic Shifted", SHIFTED), to=TEAM, sender=SENDER, ses=ses)
        stub.add_client_error("send_raw_email", "Throttling", http_status_code=400)
        with pytest.raises(AwsUnavailable):
            mail.send(notice_about("Traffic Shifted", SHIFTED), to=TEAM, sender=SENDER, ses=ses)
