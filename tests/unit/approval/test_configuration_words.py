"""A change of a configuration is shown as one: what changes, and not a word of traffic, commits or new tags."""

from __future__ import annotations

import json

import pytest

from tagship.approval.page.progress import progress
from tagship.approval.request.mail import approval_mail
from tagship.approval.request.slack import announcement
from tagship.model.facts import FactKind, Level
from tagship.notices.notice import notice_of
from tagship.story.narrator import ending
from tagship_cli.actions.previews import visit
from tests.unit.approval.builders import ANA, BO, CHI, NOW, approved, sample, text_of

LINK = "https://approve.example.com/approvals/x?t=y"
CHANGE = {
    "tag": "configuration-4",
    "fromTag": "configuration-3",
    "commit": "",
    "repository": "",
    "notes": "",
    "gates": [
        {
            "gate": "document",
            "verdict": "passed",
            "why": "A valid configuration for production.",
            "remedy": "",
        }
    ],
    "plan": {
        "summary": ["approval.approvers: adds mallory@example.com", "approval.required: 2 → 1"],
        "steps": [],
        "nothingToChange": False,
    },
    "warnings": ["This changes who may approve releases, or how they approve."],
}


def change(**more):
    return sample(**CHANGE | more)


def test_the_page_shows_the_difference_and_the_next_steps():
    shown = text_of(visit(change()).body)
    assert "Approve storefront configuration-4 for production?" in shown
    assert "This changes who may approve releases, or how they approve." in shown
    assert "approval.required: 2 → 1" in shown
    assert "stores this configuration; the next release uses it" in shown
    assert "Your decision covers exactly this document" in shown
    for word in ("traffic", "Release notes", "Commit", "new tag"):
        assert word not in shown, word


@pytest.mark.parametrize(
    "changes, words",
    [
        (
            {"status": "APPROVED", "decisions": [approved(BO, 8), approved(CHI, 9)]},
            "This change is approved",
        ),
        ({"status": "SUPERSEDED", "closedBy": "x"}, "A newer change replaced this one"),
        (
            {"status": "EXPIRED", "expiresAt": "2026-11-23T10:05:00Z"},
            "If it is still wanted, propose it again.",
        ),
    ],
    ids=["approved", "superseded", "expired"],
)
def test_a_changes_outcome_is_shown(changes, words):
    shown = text_of(visit(change(**changes)).body)
    assert words in shown
    assert "release" not in shown


def test_the_first_one_is_called_the_first_configuration():
    assert "configuration-1, the first configuration" in text_of(
        visit(change(tag="configuration-1", fromTag=None)).body
    )


def test_mail_and_slack_say_who_proposes_the_change():
    record = change()
    mail = approval_mail(record, approver=ANA, link=LINK, now=NOW)
    for text in (mail.text, mail.html):
        assert "proposes a configuration change for storefront in production" in text
        assert "published a release" not in text
        assert "traffic" not in text.lower()
    said = json.dumps(announcement(record, now=NOW))
    assert "approval.required" in said
    assert "How traffic moves" not in said


@pytest.mark.parametrize(
    "status, words",
    [
        ("SUCCEEDED", "configuration-4 is the current configuration. The next release uses it."),
        ("INVALID", "The proposal ended INVALID. The current configuration is unchanged."),
    ],
)
def test_the_next_steps_after_approval_are_those_of_a_configuration(status, words):
    assert progress(change(), {"status": status, "why": "w"})["words"] == words


@pytest.mark.parametrize(
    "status, words",
    [
        ("SUCCEEDED", ["configuration-4 is the current configuration; the next release uses it."]),
        (
            "REJECTED",
            [
                "Nothing was changed: the current configuration is unchanged.",
                "If you still want the change, propose it again with `tagship apply`.",
            ],
        ),
        ("SUPERSEDED", ["Nothing was changed: the current configuration is unchanged."]),
        ("RUNNING", []),
    ],
)
def test_an_ending_names_the_configuration_in_force(status, words):
    assert ending({"tag": "configuration-4", "status": status}) == words


def test_a_notice_names_the_approvers_and_mentions_no_traffic():
    fact = {
        "application": "storefront",
        "tag": "configuration-4",
        "attempt": 1,
        "stage": "production",
        "name": FactKind.CONFIGURATION_APPROVED,
        "at": "2026-11-23T10:20:00.000Z",
        "execution": "one",
        "data": {"approvers": [ANA], "digest": "d" * 64, "readAt": "2026-11-23T10:00:00.000Z"},
    }
    record = {
        "tag": "configuration-4",
        "status": "SUCCEEDED",
        "plan": {"from": "configuration-3"},
        "configuration": {"document": {}},
    }
    made = notice_of(fact, record, level=Level.MILESTONES)
    assert made is not None
    assert made.text == "the configuration was approved by ana@example.com, 20 min after it was read"
    assert made.serves == ""
    assert made.needed == ("configuration-4 is the current configuration; the next release uses it.",)
