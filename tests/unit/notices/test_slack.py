"""A notice in a Slack channel: short, in blocks, without foreign markup."""

from __future__ import annotations

import re

import pytest

from tagship.notices.slack import message_of
from tests.unit.notices.test_notice import RECORD, SHIFTED, notice_about

MARKUP = re.compile(r"<[^>]*>")
CONSOLE = "https://us-east-1.console.aws.amazon.com/"


def texts(message):
    """Every text that Slack reads markup in."""
    blocks = [block.get("text") or block["elements"][0] for block in message["blocks"][1:]]
    assert all(block["type"] == "mrkdwn" and block["verbatim"] for block in blocks)
    return [block["text"] for block in blocks]


def test_it_shows_the_event_the_reason_the_current_release_and_a_link():
    notice = notice_about(
        "Release Rolled Back",
        {"why": "5 of 5 answers were 500.", "readAt": "2026-11-23T09:48:00.000Z"},
        record=RECORD | {"status": "ROLLED_BACK"},
    )
    message = message_of(notice)
    assert message["text"] == "storefront v1.4.0 in production"
    assert message["unfurl_links"] is False
    happened, why, now, last = texts(message)
    assert happened == (
        ":red_circle: ROLLED_BACK: the previous release serves all traffic again, 12 min after it was read"
    )
    assert why == "• 5 of 5 answers were 500."
    assert now.startswith("*Next steps*\n")
    assert last.startswith("*Current release:* v1.3.0 serves all traffic.   <" + CONSOLE)
    assert last.endswith("|View the execution>")


def test_a_notice_without_details_is_short():
    assert len(texts(message_of(notice_about("Traffic Shifted", SHIFTED, execution="by-hand")))) == 2


def test_many_lines_are_counted_and_not_all_shown():
    checks = [{"check": f"http {n}", "verdict": "unhealthy", "why": "500"} for n in range(20)]
    notice = notice_about(
        "Health Checked", {"verdict": "unhealthy", "subject": "candidate", "step": 1, "checks": checks}
    )
    assert texts(message_of(notice))[1].splitlines()[-1] == "• and 14 lines more"


@pytest.mark.parametrize(
    "text", ["<!channel>", "<https://evil.example|here>", "a & b < c", "*" * 5000, "&" * 3000]
)
def test_hostile_text_is_escaped_and_within_slacks_limit(text):
    """Fault 52."""
    message = message_of(
        notice_about("Release Rejected", {"why": text}, record=RECORD | {"status": "REJECTED"})
    )
    for shown in texts(message):
        assert len(shown) <= 3000
        assert all(markup.startswith(f"<{CONSOLE}") for markup in MARKUP.findall(shown))
