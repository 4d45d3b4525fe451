"""Takes the pictures of pages and mails for the documents, from the code that renders them.

.venv/bin/python -m tools.screenshots

Needs Chromium or Chrome on the PATH. Browsers do not draw identical bytes, so no test compares these pictures: run it
when a page has changed.
"""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Literal, NamedTuple

from playwright.sync_api import Browser, sync_playwright

from tagship.approval.link import approval_url
from tagship.approval.request.mail import approval_mail
from tagship.approval.request.slack import announcement
from tagship.model.facts import Level
from tagship.model.records import RequestRecord
from tagship.notices.mail import html_of
from tagship.notices.notice import Notice, notice_of
from tagship.notices.slack import message_of
from tagship_cli.actions.previews import NOW, approved, sample, visit
from tools import samples, slack_look
from tools.draw import PICTURES

BROWSERS = ("chromium", "chromium-browser", "google-chrome")
DESKTOP, WIDE, NARROW, PHONE = 1280, 1040, 680, 360

GATES = [
    {"gate": "manifest", "verdict": "passed", "why": "Valid, with 1 artifact."},
    {
        "gate": "tag",
        "verdict": "passed",
        "why": "v1.4.0 is newer than v1.3.2, which production runs.",
    },
    {
        "gate": "integrity",
        "verdict": "passed",
        "why": "Size and SHA-256 of 1 artifact match (from S3's checksum).",
    },
]
PLAN = {
    "summary": [
        "the alias live of storefront: version 41 → version 42",
        "Code: 4f2a91c08d11 → 9c1b77de5a02 (4.1 MiB)",
    ],
    "steps": [{"percent": 10, "bake": 300}, {"percent": 100, "bake": 0}],
    "nothingToChange": False,
}


class Shot(NamedTuple):
    """A document and its screen."""

    document: str
    width: int
    most: int | None = None
    """The height to show, in pixels; None for all."""
    scheme: Literal["light", "dark"] = "light"
    scale: float = 1
    """The picture's scale factor."""


def record(**changes: object) -> RequestRecord:
    """A request as the Lambda target and the current gates word it."""
    return sample(**({"gates": GATES, "plan": PLAN} | changes))


def pages() -> Mapping[str, Shot]:
    """The documents, by picture name."""
    link = approval_url("https://approvals.example.com", record()["id"], "Ab3xQ9cD" * 8)
    mail = approval_mail(record(), approver="ana@example.com", link=link, now=NOW)
    return {
        "approval-mail": Shot(mail.html, NARROW),
        "notice-mail": Shot(html_of(notice()), NARROW),
        "slack-thread": Shot(slack_look.thread(list(said())), NARROW, scale=0.8),
        "report-page": Shot(samples.report(), DESKTOP, scale=0.6),
        "report-phone": Shot(samples.report(), PHONE, 1100, "dark"),
        "release-page": Shot(samples.shown_release(), DESKTOP, 1810, scale=0.6),
        "release-phone": Shot(samples.shown_release(), PHONE, 1100, "dark"),
        "approval-page": Shot(visit(record()).body, WIDE),
        "approval-recorded": Shot(visit(record(), fields={"decision": "approve"}).body, WIDE),
        "approval-followed": Shot(
            visit(
                record(
                    decisions=[approved("ana@example.com", 8), approved("bo@example.com", 15)],
                    status="APPROVED",
                ),
                release={"status": "RUNNING", "phase": "deployment", "percent": 10},
                follow=True,
            ).body,
            WIDE,
        ),
        "approval-superseded": Shot(
            visit(record(status="SUPERSEDED", closedBy="Superseded by storefront v1.4.1.")).body,
            WIDE,
        ),
    }


_SICK = "http https://storefront.example.com/health: 5 of 5 answers had the status 500 instead of 200."


def notice() -> Notice:
    """The notice about a rolled-back release."""
    data = {"why": _SICK, "readAt": "2026-11-23T09:51:00.000Z"}
    return _notice("Release Rolled Back", data, at="10:12", status="ROLLED_BACK")


def said() -> Iterator[slack_look.Said]:
    """A release on Slack, from its request to its end."""
    yield "10:51 AM", announcement(record(), now=NOW), False
    facts = (
        (
            "Approvers Reminded",
            {"approvers": ["chi@example.com"], "expiresAt": "2026-11-23T14:00:00.000Z"},
            "10:00",
        ),
        ("Approval Granted", {"decision": "approve", "status": "APPROVED"}, "10:04"),
        ("Traffic Shifted", {"percent": 10, "bake": 300, "step": 1, "of": 2}, "10:05"),
        ("Rollback Triggered", {"trigger": "health", "why": _SICK, "percent": 10}, "10:11"),
    )
    for name, data, at in facts:
        yield _clock(at), message_of(_notice(name, data, at=at, who="chi@example.com")), False
    yield _clock("10:12"), message_of(notice()), True


def _clock(utc: str) -> str:
    hour, _, minute = utc.partition(":")
    return f"{int(hour) + 1}:{minute} AM"


def _notice(
    name: str, data: Mapping[str, Any], *, at: str, who: str = "tagship", status: str = "RUNNING"
) -> Notice:
    fact: Any = {
        "application": "storefront",
        "tag": "v1.4.0",
        "attempt": 1,
        "stage": "production",
        "name": name,
        "who": who,
        "at": f"2026-11-23T{at}:40.000Z",
        "execution": "arn:aws:states:eu-central-1:123456789012:execution:tagship-production-release:6f1c",
        "data": data,
    }
    record: Any = {"status": status, "plan": {"from": "v1.3.2"}}
    notice = notice_of(fact, record, level=Level.EVERYTHING)
    assert notice is not None
    return notice


def take(browser: Browser, shot: Shot, file: Path) -> None:
    """Takes the whole page, unless a height is given."""
    height = shot.most or 200
    page = browser.new_page(
        viewport={"width": shot.width, "height": height},
        color_scheme=shot.scheme,
        device_scale_factor=shot.scale,
    )
    page.set_content(shot.document)
    page.screenshot(path=file, full_page=shot.most is None)
    page.close()


def main() -> int:
    """Takes all pictures; returns 1 if there is no browser."""
    path = next((found for name in BROWSERS if (found := shutil.which(name))), None)
    if path is None:
        print("There is no Chromium or Chrome on the PATH: apt-get install chromium", file=sys.stderr)
        return 1
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=path, args=["--no-sandbox", "--disable-background-networking"]
        )
        for name, shot in pages().items():
            take(browser, shot, PICTURES / f"{name}.png")
        browser.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
