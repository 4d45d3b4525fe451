"""The content of the approval page, and its wording."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from html import escape

import pytest

from tagship.approval.page.render import render, style, style_hash
from tagship.approval.request.mail import approval_mail
from tagship.approval.request.slack import announcement
from tagship.text.times import clock, moment, span, until
from tagship.text.words import console
from tagship_cli.actions.previews import hostile, mails, pages, slack_messages, write_previews
from tests.unit.approval.builders import BO, NOW, Browser, approved, elements_of, sample, site, text_of


def ask(**changes):
    return Browser(site(**changes)).open().body


def test_the_page_shows_everything_an_approver_needs():
    page = text_of(
        ask(warnings=["The alarm storefront-5xx is firing."], decisions=[approved(BO, 8, reason="Seen.")])
    )
    for words in (
        "Approve storefront v1.4.0 for production?",
        "Version from v1.3.2→ to v1.4.0",
        "Author dana@example.com",
        "in acme/storefront",
        "1 of 2 approvals so far. Ends in 3 h 40 min (Mon 23 Nov 2026, 14:00 UTC)",
        "The alarm storefront-5xx is firing.",
        "Function storefront: code 4f2a91c0 → 9c1b77de",
        "10 % of the traffic, monitored for 5 min",
        "All traffic",
        (
            "Monitoring takes 10 min in total. Health is checked after every step. If a check fails, v1.3.2 takes all "
            "traffic again"
        ),
        "4 gates passed: manifest, tag, integrity, signature.",
        "v1.4.0 is newer than v1.3.2",
        "Faster basket, and the voucher field is back.",
        "bo@example.com approved, Mon 23 Nov 2026, 10:08 UTC Seen.",
        "ana@example.com (you) not yet",
        "After your approval Tagship checks that nothing has changed since this plan was made and starts the deployment.",
        "A rejection ends the release. Nothing changes in production.",
        "You decide as ana@example.com.",
        sample()["digest"],
    ):
        assert words in page


def test_warnings_come_before_changes():
    page = ask(warnings=["Look out."])
    assert page.index("Look out.") < page.index("What changes")


LOST = "DELETES the table Orders with all its data"


def test_a_change_shown_as_a_warning_is_not_listed_again():
    plan = sample()["plan"] | {"summary": ["the stack orders: 2 changes", LOST, "Changes the queue Waiting"]}
    about = {"plan": plan, "warnings": [LOST]}
    link = "https://approvals.example.com/approvals/Zk3v?t=Ab3x"
    mail = approval_mail(sample(**about), approver="ana@example.com", link=link, now=NOW)
    message = json.dumps(announcement(sample(**about), now=NOW), ensure_ascii=False)
    written = (ask(**about), mail.html, mail.text, message)
    for shown in written:
        assert "Changes the queue Waiting" in shown
        assert "The most dangerous change is at the top" in shown
    assert written[0].count(LOST) == 1
    only = text_of(ask(plan=plan | {"summary": [LOST, f"{LOST}!"]}, warnings=[LOST, f"{LOST}!"]))
    assert "The 2 most dangerous changes are at the top" in only
    assert "The plan lists no changes." not in only


def test_a_line_starts_with_a_capital_and_a_digest_is_shortened():
    digest = "9c1b77de5a02" + "0" * 52
    page = text_of(
        ask(
            plan=sample()["plan"]
            | {"summary": ["the service shop", f"web@sha256:{digest}", "shop.example.com"]}
        )
    )
    assert "The service shop" in page
    assert "web@sha256:9c1b77de5a02…" in page
    assert digest not in page
    assert "shop.example.com" in page, "a name is no sentence"


def test_a_target_without_traffic_split_is_rolled_out_at_once():
    page = text_of(ask(plan=sample()["plan"] | {"steps": [{"percent": 100, "bake": 300}]}))
    assert "How it is rolled out" in page
    assert "In one step, monitored for 5 min" in page
    assert "If a check fails, v1.3.2 is restored." in page
    assert "traffic" not in page.partition("What was checked")[0].partition("How it is")[2]


def test_the_commit_links_to_its_repository():
    commit = sample()["commit"]
    assert f'href="https://github.com/acme/storefront/commit/{commit}"' in ask()


@pytest.mark.parametrize(
    "changes",
    [
        {"repository": "https://evil.example/acme/storefront"},
        {"repository": "acme/storefront/../../evil"},
        {"repository": "acme/.."},
        {"repository": 'acme/"onclick="x'},
        {"repository": "acme"},
        {"repository": None},
        {"commit": "main"},
        {"commit": "A" * 40},
        {"commit": None},
    ],
)
def test_an_invalid_commit_is_plain_text(changes):
    assert 'href="https://' not in ask(**changes, changes=None, watchUrl=None)


@pytest.mark.parametrize(
    "url", ["javascript:alert(1)", "http://console.example/", 'https://x"y/', "//evil.example/", ""]
)
def test_only_a_plain_https_address_becomes_the_watch_link(url):
    assert "in the AWS console" not in Browser(site(status="CLOSED", watchUrl=url)).open().body


def test_approvers_with_account_access_get_a_link_to_the_execution():
    url = console("arn:aws:states:eu-central-1:000000000000:execution:tagship-production-release:one")
    page = Browser(site(status="CLOSED", watchUrl=url)).open().body
    assert f'href="{escape(url)}"' in page


def test_a_first_release_has_no_rollback_target():
    page = text_of(ask(fromTag=None))
    assert "v1.4.0, the first release" in page
    assert "takes all traffic again" not in page
    assert "the version before this release, if any, serves again" in page


def test_a_release_without_changes_says_so():
    page = text_of(ask(plan={"summary": [], "steps": [], "nothingToChange": True}))
    assert "Nothing: production already runs the contents of this release." in page
    assert "How traffic moves" not in page


def test_a_failed_gate_is_shown_with_its_remedy():
    gates = [{"gate": "signature", "verdict": "failed", "why": "no signature", "remedy": "Sign it."}]
    page = text_of(ask(gates=gates))
    assert "signature failed no signature Sign it." in page


def test_an_unconfigured_gate_is_listed_separately_from_passed_ones():
    gates = [
        {"gate": "manifest", "verdict": "passed", "why": "Well formed."},
        {"gate": "signature", "verdict": "not-configured", "why": "Nobody asked."},
    ]
    page = text_of(ask(gates=gates))
    assert "1 gate passed: manifest." in page
    assert "Not configured: signature." in page
    assert "signature passed" not in page


def test_long_lists_and_notes_are_collapsed_and_complete():
    notes = "\n".join(f"note {n}" for n in range(100))
    page = ask(notes=notes, plan={"summary": [f"change {n}" for n in range(30)], "steps": []})
    assert "18 more changes" in text_of(page)
    assert "change 29" in page
    assert "More of the release notes" in page
    assert "note 99" in page


def test_endless_notes_are_cut_with_a_remark():
    page = text_of(ask(notes="x" * 50_000))
    assert "10000 more characters are in the release's manifest" in page


def test_numbers_from_dynamodb_are_shown_as_numbers():
    plan = {"summary": [], "steps": [{"percent": Decimal(10), "bake": Decimal(90)}], "nothingToChange": False}
    page = text_of(ask(required=Decimal(2), attempt=Decimal(3), plan=plan))
    assert "10 % of the traffic, monitored for 1 min 30 s" in page
    assert "Attempt 3" in page


def test_a_minimal_record_still_makes_a_page():
    bare = dict.fromkeys(
        ("author", "commit", "repository", "notes", "gates", "plan", "warnings", "fromTag", "watchUrl")
    )
    page = text_of(ask(**bare))
    assert "Author not said" in page
    assert "No gate has reported a result." in page
    assert "The author wrote no release notes." in page


def test_the_page_needs_no_script_and_loads_nothing():
    for name, page in pages().items():
        elements = elements_of(page.body)
        assert {element for element, _ in elements} <= _ELEMENTS, name
        attributes = {attribute for _, found in elements for attribute in found}
        assert not [
            one for one in attributes if one.startswith("on") or one in ("style", "src", "srcset", "action")
        ]
    assert "@import" not in style()
    assert "url(" not in style()


def test_the_policy_allows_exactly_the_pages_style_sheet():
    page = Browser(site()).open()
    assert f"<style>{style()}</style>" in page.body
    assert f"style-src {style_hash()};" in page.headers["Content-Security-Policy"]


def test_the_form_posts_to_its_own_address():
    """Under a base path, as behind a proxy or on the embedded engine, the page does not know its own address."""
    assert '<form method="post" accept-charset="utf-8" autocomplete="off">' in ask()


def test_the_return_key_sends_nothing_anywhere_on_the_page():
    """In a field of one line it presses the form's first button, which here is one that does nothing."""
    page = ask()
    assert re.findall(r'<input [^>]*type="(\w+)"', page) == ["hidden"]
    assert re.findall(r"<button ([^>]*)>", page)[0] == "disabled hidden"
    assert len(re.findall(r'<button class="(?:approve|reject)" name="decision"', page)) == 2


def test_language_headings_and_labels_exist_for_screen_readers():
    page = ask(warnings=["w"])
    assert '<html lang="en">' in page
    assert page.count("<h1") == 1
    assert '<label for="reason">' in page
    for name in re.findall(r'aria-labelledby="(\w+)"', page) + re.findall(
        r'aria-describedby="([\w-]+)"', page
    ):
        assert f'id="{name}"' in page
    assert len(set(re.findall(r'\sid="([^"]+)"', page))) == len(re.findall(r'\sid="([^"]+)"', page))


_ELEMENTS = {
    *(
        "html",
        "head",
        "meta",
        "title",
        "style",
        "body",
        "div",
        "header",
        "main",
        "footer",
        "section",
        "p",
        "h1",
        "h2",
        "h3",
    ),
    *(
        "a",
        "bdi",
        "br",
        "circle",
        "code",
        "dd",
        "details",
        "dl",
        "dt",
        "li",
        "ol",
        "path",
        "rect",
        "span",
        "strong",
    ),
    *("summary", "svg", "time", "ul", "button", "form", "input", "label", "textarea"),
}


def _luminance(colour):
    channels = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    linear = [value / 12.92 if value <= 0.04045 else ((value + 0.055) / 1.055) ** 2.4 for value in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def _contrast(one, other):
    dark, light = sorted((_luminance(one), _luminance(other)))
    return (light + 0.05) / (dark + 0.05)


@pytest.mark.parametrize("scheme", [0, 1], ids=["light", "dark"])
def test_all_text_and_borders_meet_wcag_aa_contrast(scheme):
    colours = dict(re.findall(r"--([\w-]+): (#[0-9a-f]{6});", style().split("@media")[scheme]))
    for text in ("text", "quiet", "link", "go", "stop", "warn"):
        for ground in ("ground", "card"):
            assert _contrast(colours[text], colours[ground]) >= 4.5, (text, ground)
    for text, ground in (
        ("text", "warn-ground"),
        ("warn", "warn-ground"),
        ("go-text", "go"),
        ("go-text", "go-over"),
        ("stop", "stop-over"),
        ("ground", "text"),
    ):
        assert _contrast(colours[text], colours[ground]) >= 4.5, (text, ground)
    for edge in ("edge", "focus"):
        for ground in ("ground", "card"):
            assert _contrast(colours[edge], colours[ground]) >= 3, (edge, ground)


def test_every_state_has_a_preview(tmp_path):
    written = write_previews(tmp_path / "previews")
    assert len(written) == len(set(written)) == len(pages()) + 2 * len(mails()) + len(slack_messages()) + 1
    assert all(path.stat().st_size > 500 for path in written)


def test_the_sample_of_hostile_text_is_harmless():
    page = Browser(site(**hostile())).open().body
    assert {element for element, _ in elements_of(page)} <= _ELEMENTS


def test_a_template_cannot_forget_escaping_or_hidden_characters():
    """Even where the view does not do it first."""
    values = {"kind": "malformed", "view": None, "standing": "", "form_value": "", "recorded": False}
    page = render("outcome.html", **values, progress=None, problem="<b>\u202e\x00")
    assert "&lt;b&gt;⟨U+202E⟩⟨U+0000⟩" in page


@pytest.mark.parametrize(
    "seconds, words",
    [
        (0, "0 s"),
        (59, "59 s"),
        (60, "1 min"),
        (90, "1 min 30 s"),
        (600, "10 min"),
        (630, "10 min"),
        (3600, "1 h"),
        (13200, "3 h 40 min"),
        (172800, "2 days"),
        (180000, "2 days 2 h"),
    ],
)
def test_durations_are_in_plain_words(seconds, words):
    assert span(seconds) == words


@pytest.mark.parametrize(
    "offset, words",
    [
        (13200, "in 3 h 40 min"),
        (30, "in less than a minute"),
        (-30, "just now"),
        (-720, "12 min ago"),
        (119, "in 1 min"),
    ],
)
def test_time_remaining_is_relative_to_now(offset, words):
    assert until(NOW + timedelta(seconds=offset), NOW) == words


def test_times_are_in_utc_for_everybody():
    assert clock(moment("2026-11-23T15:05:00+01:00")) == "Mon 23 Nov 2026, 14:05 UTC"
    assert moment("2026-11-23T14:05:00") == datetime(2026, 11, 23, 14, 5, tzinfo=UTC)


def test_commits_are_collapsed_counted_and_linked_to_their_comparison():
    page = ask()
    assert "3 commits since v1.3.2" in text_of(page)
    folded = page.partition('aria-labelledby="commits"')[2].partition("</section>")[0]
    assert folded.index("<details>") < folded.index("Compute basket totals once")
    assert 'href="https://github.com/acme/storefront/compare/v1.3.2...v1.4.0"' in folded
    assert "commits since" not in text_of(ask(changes=None))


@pytest.mark.parametrize(
    "compare",
    [
        "",
        "javascript:alert(1)/x/compare/y",
        "http://github.com/acme/storefront/compare/a...b",
        "https://me:secret@evil.example/x/compare/y",
        "https://github.com/acme/storefront/compare/a...b?q=1",
        'https://github.com/a"b/compare/c',
        "https://evil.example/approvals",
    ],
)
def test_only_a_comparison_address_becomes_a_link(compare):
    changes = {**sample()["changes"], "compare": compare}
    assert 'id="commits"' in ask(changes=changes)
    assert "compare/" not in ask(changes=changes)


def test_commits_beyond_the_listed_ones_are_counted():
    changes = {**sample()["changes"], "count": 40}
    assert "40 commits since v1.3.2" in text_of(ask(changes=changes))
    assert "and 37 more" in text_of(ask(changes=changes))


def test_a_second_attempt_shows_why_the_first_failed():
    before = {"attempt": 1, "status": "ROLLED_BACK", "why": "It was not healthy."}
    assert "Attempt 2. Attempt 1 ended ROLLED_BACK: It was not healthy." in text_of(
        ask(attempt=2, before=before)
    )
