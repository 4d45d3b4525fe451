"""Slack messages: everything except the link for a channel, the personal link for one person, and no foreign markup."""

from __future__ import annotations

import json
import re

import pytest

from tagship.approval.request.slack import announcement, invitation
from tagship.slack.messages import escaped
from tagship_cli.actions.previews import hostile, paused
from tests.unit.approval.builders import BO, NOW, approved, huge, link, sample

LINK = f"https://approvals.example.com/approvals/{sample()['id']}?t={link(sample())}"
MARKUP = re.compile(r"<[^>]*>")
OURS = (
    r"<(https://(approvals\.example\.com|github\.com)/[^|<>]*\|[\w ]+"
    r"|https://github\.com/[^|<>]*\|Compare on github\.com"
    r"|!date\^\d+\^\{date_short_pretty\} \{time\}\|[^<>]*)>"
)


def texts(message):
    """Every text that Slack reads markup in."""
    found = [message["text"]]
    for block in message["blocks"]:
        for each in (block.get("text"), *block.get("fields", ()), *block.get("elements", ())):
            if each and each["type"] == "mrkdwn":
                assert each["verbatim"] is True
                found.append(each["text"])
    return found


def everything(record):
    yield announcement(record, now=NOW, buttons="token")
    yield invitation(record, link=LINK, now=NOW)
    yield invitation(record, link=LINK, now=NOW, reminder=True)


def test_results_of_gates_that_do_not_fit_are_counted():
    """Slack refuses a longer text, and what is cut at its end must not look like all."""
    for message in everything(huge() | {"gates": [*huge()["gates"], not_configured("signature")]}):
        (checked,) = (text for text in texts(message) if text.startswith("*What was checked*"))
        lines = checked.splitlines()
        named = [each for each in lines if each.startswith("• gate-")]
        assert 0 < len(named) < 20
        assert lines[-2:] == [f"• and {20 - len(named)} more, on the page", "Not configured: signature"]


def not_configured(gate):
    return {"gate": gate, "verdict": "not-configured", "why": "", "remedy": ""}


def test_a_channel_sees_how_many_approvers_are_not_named():
    people = [f"{number}-{'x' * 40}@example.com" for number in range(150)]
    message = announcement(sample(approvers=people, required=2), now=NOW)
    (asked,) = (text for text in texts(message) if text.startswith("Approvers: "))
    assert ", … and 131 more. 2 approvals needed; one rejection ends it." in asked
    assert asked.endswith("which is not posted here.")


def test_the_channel_message_has_everything_except_a_link():
    record = sample(warnings=["The alarm storefront-5xx is firing."])
    message = announcement(record, now=NOW)
    text = "\n".join(texts(message))
    for words in (
        "Approval needed: storefront v1.4.0 for production",
        "The alarm storefront-5xx is firing.",
        "v1.3.2 → v1.4.0",
        "dana@example.com",
        "code 4f2a91c0 → 9c1b77de",
        "10 % of the traffic, monitored for 5 min",
        "4 gates passed",
        "Approvers: ana@example.com, bo@example.com, chi@example.com. 2 approvals needed",
        "Mon 23 Nov 2026, 14:00 UTC",
    ):
        assert words in text
    assert "approvals.example.com" not in json.dumps(message)
    assert "?t=" not in json.dumps(message)
    first = next(block for block in message["blocks"] if block["type"] == "section")
    assert "Read this first" in first["text"]["text"]


def test_a_personal_message_starts_with_the_link():
    message = invitation(sample(), link=LINK, now=NOW)
    assert f"<{LINK}|Review and decide>" in texts(message)[1]
    assert json.dumps(message).count(LINK) == 1
    with pytest.raises(ValueError, match="own address"):
        invitation(sample(), link="https://evil.example/|<!channel>", now=NOW)


def test_a_reminder_shows_the_current_state():
    message = invitation(sample(decisions=[approved(BO, 8)]), link=LINK, now=NOW, reminder=True)
    assert message["text"].startswith("Reminder: your approval is needed: storefront v1.4.0")
    assert "1 of 2 so far." in texts(message)[1]


@pytest.mark.parametrize(
    "record",
    [sample(), hostile(), huge(), paused(dict(huge()), by="kim")],
    ids=["ordinary", "hostile", "huge", "huge-and-paused"],
)
def test_no_message_has_foreign_markup_unfurls_links_or_exceeds_slacks_limit(record):
    """Fault 52."""
    for message in everything(record):
        assert (message["unfurl_links"], message["unfurl_media"], message["mrkdwn"]) == (False, False, False)
        assert 1 <= len(message["blocks"]) <= 50
        for text in texts(message):
            assert 1 <= len(text) <= 3000
            for markup in MARKUP.findall(text):
                assert re.fullmatch(OURS, markup), markup
        head = message["blocks"][0]["text"]
        assert head["type"] == "plain_text" and len(head["text"]) <= 150 and "\n" not in head["text"]
        for block in message["blocks"]:
            assert len(block.get("fields", ())) <= 10
            assert all(len(each["text"]) <= 2000 for each in block.get("fields", ()))
            for button in block.get("elements", ()) if block["type"] == "actions" else ():
                assert len(button["text"]["text"]) <= 75
        assert sum(map(len, texts(message))) < 13_000, "beyond, Slack answers msg_blocks_too_long"


def test_a_long_list_says_how_many_more_there_are():
    """The end of a text that is too long would be cut, and with it this number."""
    for message in everything(huge()):
        (warnings,) = [text for text in texts(message) if text.startswith(":warning:")]
        assert warnings.endswith("• and 288 more, on the page")
        (changes,) = [text for text in texts(message) if "What changes" in text]
        assert "\n• and 294 more, on the page\n" in changes


EVIL = "<!channel> <!here> <@U0001> <#C0001> <https://evil.example|Review and decide> &lt; `x` *b*\r\n\u202e"


def test_foreign_mentions_and_links_are_plain_text():
    """Fault 52: in every field that other people write."""
    fields = ("application", "tag", "fromTag", "author", "commit", "repository", "notes", "stage", "closedBy")
    record = sample(
        **dict.fromkeys(fields, EVIL * 40),
        changes={
            "since": EVIL * 40,
            "count": 99,
            "commits": [{"commit": EVIL, "subject": EVIL * 40, "author": EVIL * 40}] * 30,
            "compare": f"https://evil.example/{EVIL}/compare/x",
        },
        before={"attempt": 1, "status": EVIL, "why": EVIL * 40},
        warnings=[EVIL * 40] * 9,
        gates=[{"gate": EVIL, "verdict": "error", "why": EVIL, "remedy": EVIL}] * 20,
        plan={"summary": [EVIL] * 90, "steps": [{"percent": 100, "bake": 0}] * 100, "nothingToChange": False},
        approvers=[f"{EVIL}@example.com"] * 9,
        decisions=[approved(f"{EVIL}@example.com", 1, reason=EVIL)],
    )
    for message in everything(record):
        for text in texts(message):
            assert len(text) <= 3000
            for markup in MARKUP.findall(text):
                assert markup.startswith((f"<{LINK}", "<!date^"))
            assert not re.search(r"&(?!lt;|gt;|amp;)", text), "nothing is cut in the middle of an escape"
            assert "\u202e" not in text


def test_only_slacks_own_three_characters_are_escaped():
    assert escaped("a & b < c > d \"'*_~`") == "a &amp; b &lt; c &gt; d \"'*_~`"


def test_the_channel_message_shows_the_commits_and_why_the_previous_attempt_failed():
    before = {"attempt": 1, "status": "ROLLED_BACK", "why": "It was not healthy."}
    said = "\n".join(texts(announcement(sample(attempt=2, before=before), now=NOW)))
    assert "*3 commits since v1.3.2*" in said
    assert "Compute basket totals once (Dana)" in said
    assert "<https://github.com/acme/storefront/compare/v1.3.2...v1.4.0|Compare on github.com>" in said
    assert "2. Attempt 1 ended ROLLED_BACK: It was not healthy." in said
