"""The mail to one approver, with the changes and a personal link, and the mail to the escalation list."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from tagship.approval.page.render import render
from tagship.approval.page.view import View, view
from tagship.model.records import RequestRecord
from tagship.text.plain import cut_at_a_line, line

LINK = re.compile(r"https?://[A-Za-z0-9.:\[\]-]+/[A-Za-z0-9._~/-]*\?t=[A-Za-z0-9_-]+")
_SUBJECT_AT_MOST = 150
_NOTES_AT_MOST = 1500
_PEOPLE_AT_MOST = 20
"""Names in each list of people. Gmail shows the first 102 KB of a mail."""

_Kind = Literal["asked", "reminder", "escalation"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Mail:
    """One message, without its addresses: the subject is one line of printable text."""

    subject: str
    text: str
    html: str


def approval_mail(record: RequestRecord, *, approver: str, link: str, now: datetime) -> Mail:
    """The first message. `link` is the approver's own page."""
    return _mail(record, approver=approver, link=link, now=now, kind="asked")


def reminder_mail(record: RequestRecord, *, approver: str, link: str, now: datetime) -> Mail:
    """The reminders: the same, with the current state and the remaining time."""
    return _mail(record, approver=approver, link=link, now=now, kind="reminder")


def escalation_mail(record: RequestRecord, *, now: datetime) -> Mail:
    """The mail to the escalation list: the same without a link, because these people cannot decide."""
    return _mail(record, approver="", link="", now=now, kind="escalation")


def _mail(record: RequestRecord, *, approver: str, link: str, now: datetime, kind: _Kind) -> Mail:
    if (link or kind != "escalation") and not LINK.fullmatch(link):
        raise ValueError("the link of an approval mail must be an approval page's own address")
    shown = view(record, approver=approver, now=now)
    notes = f"{shown['notes']}\n{shown['notes_rest']}".strip()
    values = {
        "view": shown,
        "notes": cut_at_a_line(notes, _NOTES_AT_MOST),
        "notes_cut": len(notes) > _NOTES_AT_MOST or bool(shown["notes_cut"]),
        "link": link,
        "kind": kind,
        **_people(shown),
    }
    subject = _subject(shown, kind)
    return Mail(
        subject=subject,
        text=render("mail.txt", subject=subject, **values),
        html=render("mail.html", subject=subject, **values),
    )


def _people(shown: View) -> View:
    """The first people of each list, starting with the reader, and the number of the others."""
    missing = sorted(shown["missing"], key=lambda who: who != shown["you"])
    lists = {"votes": shown["votes"], "missing": missing, "left": shown["left"]}
    first = {name: people[:_PEOPLE_AT_MOST] for name, people in lists.items()}
    return {
        **first,
        "more": {name: max(0, len(people) - _PEOPLE_AT_MOST) for name, people in lists.items()},
    }


def _subject(shown: View, kind: _Kind) -> str:
    release = f"{shown['application']} {shown['tag']} for {shown['stage']}"
    left = f" (ends {shown['ends']['until']})" if shown["ends"] else ""
    words = {
        "asked": f"Approve {release}?",
        "reminder": f"Reminder: approve {release}?{left}",
        "escalation": f"Still undecided: {release}{left}",
    }
    if pause := shown["pause"]:
        if kind == "reminder":
            return line(
                f"Reminder: continue {shown['application']} {shown['tag']} in {shown['stage']}?{left}",
                _SUBJECT_AT_MOST,
            )
        paused = f"Continue {shown['application']} {shown['tag']} in {shown['stage']}? Paused at {pause['percent']} %"
        return line(paused, _SUBJECT_AT_MOST)
    return line(words[kind], _SUBJECT_AT_MOST)
