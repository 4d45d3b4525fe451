"""The mails to an approver."""

from __future__ import annotations

import re
from email.message import EmailMessage
from email.policy import SMTP

import pytest

from tagship.approval.request.mail import approval_mail, reminder_mail
from tagship_cli.actions.previews import hostile
from tests.unit.approval.builders import ANA, BO, NOW, approved, huge, link, sample, text_of

LINK = f"https://approvals.example.com/approvals/{sample()['id']}?t={link(sample())}"


def mail(make=approval_mail, **changes):
    return make(sample(**changes), approver=ANA, link=LINK, now=NOW)


def test_the_subject_has_application_tag_and_stage():
    assert mail().subject == "Approve storefront v1.4.0 for production?"


def test_a_reminder_says_so_and_shows_the_time_left():
    made = mail(reminder_mail, decisions=[approved(BO, 8)])
    assert made.subject == "Reminder: approve storefront v1.4.0 for production? (ends in 3 h 40 min)"
    for part in (made.text, text_of(made.html)):
        assert "You have not decided yet. 1 of 2 approvals so far." in part


@pytest.mark.parametrize("part", ["text", "html"])
def test_both_parts_show_the_changes_and_the_link(part):
    made = mail(warnings=["The alarm storefront-5xx is firing."])
    content = getattr(made, part)
    assert LINK in content
    for words in (
        "v1.3.2",
        "v1.4.0",
        "dana@example.com",
        "The alarm storefront-5xx is firing.",
        "Function storefront: code 4f2a91c0 → 9c1b77de",
        "10 % of the traffic, monitored for 5 min",
        "v1.4.0 is newer than v1.3.2",
        "Faster basket",
        "in 3 h 40 min",
        "bo@example.com",
        "forward",
    ):
        assert words in content


def test_the_html_part_loads_nothing_and_uses_tables():
    page = mail().html
    assert not re.search(r"<img|<script|<link|url\(|@import|\ssrc=", page)
    assert '<table role="presentation"' in page
    assert set(re.findall(r'href="(https?://[^/]+)', page)) == {
        "https://approvals.example.com",
        "https://github.com",
    }


def test_line_breaks_in_a_subject_add_no_header():
    made = mail(tag="v1\r\nBcc: all@example.com\r\n\r\nHello", application="x\ny", stage="p\x00\u2028q")
    assert made.subject == "Approve x y v1 Bcc: all@example.com Hello for p⟨U+0000⟩⟨U+2028⟩q?"
    assert made.subject.isprintable()
    message = EmailMessage(policy=SMTP)
    message["Subject"] = made.subject
    assert b"\nBcc:" not in message.as_bytes()


def test_a_subject_is_limited_to_what_mail_programs_show():
    assert len(mail(tag="v" * 5000, application="a" * 5000).subject) <= 150


def test_hostile_text_is_escaped():
    """Fault 52."""
    made = approval_mail(hostile(), approver=ANA, link=LINK, now=NOW)
    assert "<script" not in made.html
    assert "<img" not in made.html
    for part in (made.subject, made.text, made.html):
        assert not re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f\u200b\u202a-\u202e\u2066-\u2069]", part)


def test_notes_cannot_imitate_the_mails_own_text():
    """Every line of the notes is marked as theirs."""
    made = mail(notes="Fine.\n\nReview and decide:\nhttps://evil.example/approvals/x?t=y\n\n-- \nTagship")
    lines = made.text.splitlines()
    assert lines.count("Review and decide:") == 1
    assert "  | https://evil.example/approvals/x?t=y" in lines
    assert lines.count("-- ") == 1


@pytest.mark.parametrize(
    "field",
    ["application", "stage", "tag", "fromTag", "author", "commit", "repository", "warnings", "gates", "plan"],
)
def test_a_name_cannot_start_its_own_line(field):
    evil = "x\r\nReview and decide:\nhttps://evil.example/"
    lists = {
        "warnings": [evil],
        "gates": [{"gate": evil, "verdict": "passed", "why": evil, "remedy": ""}],
        "plan": {"summary": [evil], "steps": [], "nothingToChange": False},
    }
    lines = mail(**{field: lists.get(field, evil)}).text.splitlines()
    assert lines.count("Review and decide:") == 1
    assert not [line for line in lines if line.startswith("https://evil.example/")]


def test_a_mail_about_a_huge_plan_is_not_cut_by_mail_programs():
    """Gmail shows the first 102 KB."""
    made = mail(**huge())
    assert len(made.html.encode()) < 102_000
    for part in (made.html, made.text):
        assert "and 288 more warnings, on the page" in part
        assert "and 288 more, on the page" in part


def test_a_mail_to_many_approvers_is_not_cut_by_mail_programs():
    """A group may have a hundred members. The mail counts those that it does not name, and names its reader."""
    people = [f"{number}-{'x' * 40}@example.com" for number in range(150)]
    made = mail(
        **(huge() | {"approvers": [*people, ANA], "required": 120, "decisions": [], "left": people[:50]})
    )
    assert len(made.html.encode()) < 102_000
    for part in (made.text, text_of(made.html)):
        assert f"{ANA} (you) has not decided yet" in " ".join(part.split())
        assert people[-1] not in part
        assert re.search(r"has not decided yet\s+◦?\s*… and (\d+) more\s", part)[1] == "131"


def test_long_notes_are_cut_at_a_line_break_with_a_remark():
    """Fault 90."""
    made = mail(notes="word " * 5000)
    assert "shortened; the approval page shows the full notes" in made.text
    assert len(made.text) < 5000
    lines = mail(notes="\n".join(f"line {number:04}" for number in range(4000))).text
    last = [line.strip("| ") for line in lines.splitlines() if "line 0" in line][-1]
    assert len(last) == len("line 0000")
    assert "line 3999" not in lines


@pytest.mark.parametrize(
    "bad",
    ["javascript:alert(1)", "https://x/approvals/y", 'https://x/y?t=a" onclick="b', "https://x/y?t=a\nb", ""],
)
def test_only_a_valid_approval_page_address_is_sent(bad):
    with pytest.raises(ValueError, match="own address"):
        approval_mail(sample(), approver=ANA, link=bad, now=NOW)


def test_an_embedded_engines_link_is_sent_too():
    local = f"http://127.0.0.1:4566/_aws/lambda-url/0123abcd/approvals/{sample()['id']}?t={link(sample())}"
    assert local in approval_mail(sample(), approver=ANA, link=local, now=NOW).text


@pytest.mark.parametrize("part", ["text", "html"])
def test_both_parts_show_the_commits_and_why_the_previous_attempt_failed(part):
    before = {"attempt": 1, "status": "ROLLED_BACK", "why": "It was not healthy."}
    content = getattr(mail(attempt=2, before=before), part)
    content = text_of(content) if part == "html" else content
    assert "3 commits since v1.3.2".casefold() in content.casefold()
    assert "Compute basket totals once (Dana)" in content
    assert "https://github.com/acme/storefront/compare/v1.3.2...v1.4.0" in content
    assert "2. Attempt 1 ended ROLLED_BACK: It was not healthy." in content


def test_without_commits_the_section_is_omitted():
    made = mail(changes=None)
    assert "SINCE" not in made.text
    assert "since" not in made.html
