"""The approval page against forged requests, frames, hostile text and odd input (faults 17, 20 and 52)."""

from __future__ import annotations

import random
import re
import threading
from datetime import timedelta

import pytest

from tagship.approval.link import Token
from tagship.approval.page.form import challenge
from tagship_cli.actions.previews import pages
from tests.unit.approval.builders import (
    ANA,
    BO,
    CHI,
    NOW,
    Browser,
    approved,
    elements_of,
    link,
    sample,
    site,
    text_of,
)

OURS = "https://approvals.example.com"


@pytest.mark.parametrize(
    "headers",
    [
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
        {"Sec-Fetch-Site": ""},
        {"Sec-Fetch-Site": "cross-site", "Origin": OURS},
        {"Origin": "https://evil.example"},
        {"Origin": ""},
        {"Origin": "https://"},
        {"Origin": "https://approvals.example.com.evil.example"},
        {"Origin": "https://approvals.example.com@evil.example"},
        {"Origin": "https://["},
        {"origin": "https://evil.example", "host": "page.example.com"},
        {"Origin": "page.example.com", "Host": "page.example.com"},
    ],
)
def test_a_cross_site_post_is_refused_like_an_invalid_link(headers):
    here = site()
    here.base_url = f"{OURS}/"
    page = Browser(here).decide(headers=headers)
    assert page.status == 403
    assert page.body == here.request(query="t=nonsense").body
    assert here.store.writes == 0
    assert here.store.refusals[0][1] == "sent by another site"


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Sec-Fetch-Site": "same-origin", "Origin": "null"},
        {"Sec-Fetch-Site": "same-origin", "Origin": "https://a-name-that-the-proxy-hides.example"},
        {"Sec-Fetch-Site": "none"},
        {"Origin": "null"},
        {"Origin": OURS},
        {"Origin": "https://page.example.com", "Host": "page.example.com"},
        {"Origin": "http://127.0.0.1:4566", "Host": "127.0.0.1:4566"},
    ],
)
def test_a_post_from_the_page_itself_is_accepted(headers):
    """Our own page's origin is `null`, because its referrer policy is no-referrer."""
    here = site()
    here.base_url = OURS
    assert Browser(here).decide(headers=headers).status == 200


def test_a_post_without_loading_the_page_is_refused():
    here = site()
    assert Browser(here).send("approve").status == 400
    assert Browser(here, form="0" * 64).send("approve").status == 409
    assert here.store.writes == 0


def test_one_approvers_form_is_invalid_on_another_approvers_link():
    here = site()
    ana = Browser(here, ANA)
    ana.open()
    assert Browser(here, BO, form=ana.form).send().status == 409
    assert here.store.writes == 0


def test_the_form_of_one_link_is_invalid_on_another_link_of_the_same_approver():
    here = site()
    first = Browser(here)
    first.open()
    second = Browser(
        here, token=link(here.record, ANA, key="aaaaaaaa-0000-4000-8000-000000000002"), form=first.form
    )
    assert second.send().status == 409


def test_the_form_value_covers_the_approval_the_approver_the_bytes_and_the_time():
    mac = Token.parse(link(sample())).mac
    made = [
        challenge(mac, sample(), ANA, NOW),
        challenge(mac, sample(), BO, NOW),
        challenge(mac[::-1], sample(), ANA, NOW),
        challenge(mac, sample(), ANA, NOW + timedelta(seconds=1)),
        *(
            challenge(mac, sample(**{name: "x" * 26}), ANA, NOW)
            for name in ("id", "digest", "tag", "status", "notes")
        ),
        challenge(mac, sample(decisions=[approved(BO, 1)]), ANA, NOW),
    ]
    assert len({it.value[8:] for it in made}) == 10


def test_every_altered_form_value_is_refused():
    here = site()
    ana = Browser(here)
    ana.open()
    good = ana.form
    for at in range(64):
        for char in "05af":
            if char != good[at]:
                ana.form = good[:at] + char + good[at + 1 :]
                assert ana.send().status == 409
    assert here.store.writes == 0


EXPECTED = {
    "Content-Type": "text/html; charset=utf-8",
    "Cache-Control": "no-store",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}


def every_answer():
    here = site()
    yield "missing", here.request(path="/favicon.ico")
    yield "head", Browser(here).open("HEAD")
    here.kms.fails_with = "ThrottlingException"
    yield "busy", Browser(here).open()
    yield from pages().items()


@pytest.mark.parametrize("name, page", [pytest.param(*found, id=found[0]) for found in every_answer()])
def test_every_answer_has_every_security_header(name, page):
    """Clickjacking, sniffing, caching, referrers: on every state alike."""
    assert EXPECTED.items() <= page.headers.items()
    assert page.headers["Strict-Transport-Security"].startswith("max-age=63072000")
    policy = dict(part.split(" ", 1) for part in page.headers["Content-Security-Policy"].split("; "))
    assert policy.pop("style-src").startswith("'sha256-")
    assert policy == {
        "default-src": "'none'",
        "form-action": "'self'",
        "frame-ancestors": "'none'",
        "base-uri": "'none'",
    }


EVIL = [
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "' autofocus onfocus=alert(1) x='",
    "</textarea></title></style><svg onload=alert(1)>",
    "<!-- --><base href=//evil.example><form action=//evil.example><button name=decision value=approve>",
    "{{ 7*7 }}{% raw %}${7*7}#{7*7}",
    "\u202e\u2066\u200b\ufeff\x00\x08\x1b[31m\x7f\x85\u2028",
    "javascript:alert(1)",
    "\r\nSet-Cookie: a=b\r\n\r\n<h1>mine</h1>",
    "Z\u0335\u0327\u0335\u0327\u0335\u0327" * 20,
    "x" * 5000,
]
PLAIN = {element for element, _ in elements_of(Browser(site()).open().body)} | {
    "br",
    "details",
    "summary",
    "ul",
}


def poisoned(evil):
    """A record with the same text in every field that other people write."""
    return sample(
        **dict.fromkeys(
            (
                "application",
                "tag",
                "fromTag",
                "author",
                "commit",
                "repository",
                "notes",
                "closedBy",
                "watchUrl",
            ),
            evil,
        ),
        gates=[{"gate": evil, "verdict": evil, "why": evil, "remedy": evil}],
        plan={"summary": [evil] * 20, "steps": [{"percent": 100, "bake": 0}], "nothingToChange": False},
        warnings=[evil],
        approvers=[ANA, f"{evil}@example.com", CHI],
        decisions=[approved(CHI, 1, reason=evil)],
        before={"attempt": 1, "status": evil, "why": evil},
        changes={
            "since": evil,
            "count": 1,
            "compare": evil,
            "commits": [{"commit": evil, "subject": evil, "author": evil}],
        },
    )


@pytest.mark.parametrize("evil", EVIL)
def test_hostile_text_is_escaped_on_every_page(evil):
    """Fault 52."""
    for status in ("OPEN", "REJECTED", "SUPERSEDED", "CLOSED", "EXPIRED"):
        here = site(**poisoned(evil) | {"status": status})
        page = Browser(here).open()
        assert page.status in (200, 409, 410)
        elements = elements_of(page.body)
        assert {element for element, _ in elements} <= PLAIN
        for element, attributes in elements:
            assert not [
                name for name in attributes if name.startswith("on") or name in ("src", "action", "style")
            ]
            assert element != "a" or attributes["href"] in ("#decide", "#reason", "#number")
        assert not re.search(
            "[\x00-\x08\x0b-\x1f\x7f-\x9f\u200b\u2028\u202a-\u202e\u2066-\u2069\ufeff]", page.body
        )
        assert "\n" not in "".join(page.headers.values())


def test_a_hostile_reason_is_escaped_when_it_is_shown_again():
    here = site()
    page = Browser(here).decide("approve", "</textarea><script>alert(1)</script>" + "x" * 2000)
    assert page.status == 400
    assert "script" not in {element for element, _ in elements_of(page.body)}
    here = site(required=3)
    Browser(here, BO).decide("approve", "<b>\u202ebold</b>")
    assert "<b>⟨U+202E⟩bold</b>" in text_of(Browser(here).open().body)


def test_a_hundred_concurrent_decisions_have_one_outcome():
    """Fault 17: approvals and rejections of many people in many threads; the first that settles it, settles it."""
    people = [f"person{n}@example.com" for n in range(100)]
    here = site(approvers=people, required=1)
    lock, decide = threading.Lock(), here.store.decide

    def one_at_a_time(*arguments, **named):
        with lock:
            return decide(*arguments, **named)

    here.store.decide = one_at_a_time
    browsers = [Browser(here, person) for person in people]
    for browser in browsers:
        browser.open()
    answers = []
    threads = [
        threading.Thread(
            target=lambda b=b, n=n: answers.append(b.send("reject" if n % 2 else "approve", "r").status)
        )
        for n, b in enumerate(browsers)
    ]
    random.Random(17).shuffle(threads)
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(answers) == [200] + [409] * 99
    assert here.store.writes == 1
    assert here.record["status"] in ("APPROVED", "REJECTED")


def test_random_bytes_never_break_the_page():
    """Odd methods, paths, queries, headers and bodies: an answer below 500, and nothing decided."""
    chance = random.Random(52)
    here = site()
    ana = Browser(here)
    ana.open()

    def noise(longest):
        return bytes(chance.randrange(256) for _ in range(chance.randrange(longest))).decode("latin-1")

    for _ in range(1000):
        query = chance.choice([noise(80), f"t={ana.token}", f"t={ana.token}&{noise(20)}"])
        body = chance.choice(
            [noise(200).encode("latin-1"), f"form={ana.form}&decision={noise(9)}".encode("latin-1")]
        )
        headers = {
            "Content-Type": chance.choice([noise(20), "application/x-www-form-urlencoded"]),
            "Origin": chance.choice([noise(20), "null"]),
            noise(10): noise(10),
        }
        method = chance.choice(["GET", "POST", "HEAD", noise(5)])
        path = chance.choice([f"/approvals/{here.record['id']}", "/" + noise(40), "/approvals/" + noise(40)])
        assert here.request(method, path=path, query=query, headers=headers, body=body).status < 500
    assert here.store.writes == 0
