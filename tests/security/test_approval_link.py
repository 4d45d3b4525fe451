"""Faults 15 and 19: links that are altered, made up or for something else, and scanners that fetch a valid one."""

from __future__ import annotations

import base64
import itertools
import random
import string
from collections.abc import Iterator
from datetime import timedelta

import pytest

from tagship.approval.link import Token
from tests.unit.approval.builders import (
    ANA,
    BO,
    CHI,
    KEY,
    LATER,
    NOW,
    OLD_KEY,
    Browser,
    FakeKms,
    link,
    sample,
    site,
)

ALPHABET = string.ascii_uppercase + string.ascii_lowercase + string.digits + "-_"
BO_S = link(sample(), BO)
GOOD = link(sample(), ANA)


def raw(token: str) -> bytes:
    return base64.urlsafe_b64decode(token)


def spelled(content: bytes) -> str:
    return base64.urlsafe_b64encode(content).decode()


def other_bytes() -> Iterator[str]:
    """Each byte, changed to each other value."""
    for at, value in itertools.product(range(48), range(256)):
        content = bytearray(raw(GOOD))
        if content[at] != value:
            content[at] = value
            yield spelled(content)


def other_characters() -> Iterator[str]:
    """Each character, changed to each other of the alphabet and to some outside it."""
    for at, char in itertools.product(range(64), ALPHABET + "+/=%. \n\t\x00é\uff21"):
        if GOOD[at] != char:
            yield GOOD[:at] + char + GOOD[at + 1 :]


def other_lengths() -> Iterator[str]:
    """Truncated, extended, padded, doubled, shifted."""
    for length in range(64):
        yield GOOD[:length]
        yield GOOD[length:] if length else ""
        yield GOOD[:length] + GOOD[length + 1 :]
        yield GOOD[:length] + "A" + GOOD[length:]
    for end in ("=", "==", "A", "AAAA", "\n", "%3D", " ", ";", ".", GOOD):
        yield GOOD + end
        yield end + GOOD


def swapped_fields() -> Iterator[str]:
    """Every mixture of the fields of links that are all genuine, each for something else."""
    genuine = [
        *(link(sample(), who) for who in (ANA, BO, CHI)),
        link(sample(), expires=LATER + timedelta(days=30)),
        link(sample(), key=OLD_KEY),
        link(sample(), stage="staging"),
        link(sample(id="another-approval-of-this-stage")),
        link(sample(digest="0" * 64)),
    ]
    own = {raw(token) for token in genuine[:5]}
    fields = [
        [raw(token)[start:end] for token in genuine] for start, end in ((0, 5), (5, 11), (11, 16), (16, 48))
    ]
    for mixture in {b"".join(parts) for parts in itertools.product(*fields)} - own:
        yield spelled(mixture)


def other_purposes() -> Iterator[str]:
    """MACs of the right key over messages that are not this one."""
    kms, token = FakeKms(), Token.parse(GOOD)
    for message in (
        b"",
        b"approval-form/1",
        sample()["id"].encode(),
        ANA.encode(),
        sample()["digest"].encode(),
    ):
        mac = kms.generate_mac(KeyId=KEY, MacAlgorithm="HMAC_SHA_256", Message=message or b"x")["Mac"]
        yield str(Token(key=token.key, approver=token.approver, expires=token.expires, mac=mac))


def made_up() -> Iterator[str]:
    """In the right format, by chance."""
    chance = random.Random(19)
    for _ in range(3000):
        yield spelled(raw(GOOD)[:16] + chance.randbytes(32))
        yield spelled(chance.randbytes(48))


def altered() -> set[str]:
    kinds = (other_bytes, other_characters, other_lengths, swapped_fields, other_purposes, made_up)
    return set(itertools.chain.from_iterable(kind() for kind in kinds)) - {GOOD}


def test_none_of_twenty_thousand_altered_links_is_accepted_and_all_answers_are_equal():
    """Fault 19."""
    here = site()
    tokens = altered()
    assert len(tokens) >= 20_000
    answers = set()
    for token in tokens:
        page = here.request(query=f"t={token}")
        answers.add((page.status, page.body, tuple(page.headers.items())))
    ((status, body, _),) = answers
    assert status == 403
    for secret in ("storefront", "v1.4.0", ANA, here.record["id"]):
        assert secret not in body
    assert here.store.writes == 0
    assert len(here.store.refusals) == len(tokens)


def test_the_unaltered_link_is_valid():
    assert Browser(site(), token=GOOD).open().status == 200


def refused(here, method="GET", *, path="", query="", body=b"", headers=None):
    page = here.request(method, path=path, query=query, body=body, headers=headers or {})
    return page.status, page.body, tuple(page.headers.items())


FORM = b"decision=approve&reason=&form=" + b"0" * 64
AS_FORM = {"Content-Type": "application/x-www-form-urlencoded"}


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_every_kind_of_invalid_link_gets_the_same_answer(method):
    """Fault 19: forged, altered, expired, foreign, replayed, unknown; with whatever else is wrong with the request."""
    here = site()
    expired = link(here.record, expires=NOW)
    gone = link(here.record | {"approvers": [ANA, "gone@example.com"]}, "gone@example.com")
    answers = {
        refused(here, method, query=query, path=path, body=body, headers=headers)
        for query in (
            "",
            "t=",
            "t",
            "x=1",
            f"t={BO_S[:-1]}",
            f"t={GOOD}&t={GOOD}",
            f"t={GOOD[:10]}%{ord(GOOD[10]):02X}{GOOD[11:]}",
            f"T={GOOD}",
            f"%74={GOOD}",
            f"t={expired}",
            f"t={gone}",
            f"t={link(here.record, stage='staging')}",
            f"t={link(here.record, key='someone-elses')}",
            "t=" + "A" * 100_000,
            "t=\x00\r\nSet-Cookie: a=b",
        )
        for path in (
            "",
            "/approvals/no-such-approval-of-this-stage",
            "/approvals/short",
            "/approvals/%00%0d%0a",
        )
        for body, headers in (
            (FORM, AS_FORM),
            (b"\x00" * 100_000, {}),
            (b"", {"Origin": "https://evil.example"}),
        )
    }
    answers.add(refused(here, method, query=f"t={GOOD}", path="/approvals/no-such-approval-of-this-stage"))
    answers.add(refused(here, method, query=f"t={GOOD}", path="/approvals/" + "a" * 5000))
    assert len(answers) == 1
    assert answers.pop()[0] == 403
    assert here.store.writes == 0


def test_a_superseded_request_no_longer_accepts_its_link():
    """Fault 24: the link is read, and dead."""
    here = site(status="SUPERSEDED")
    browser = Browser(here, token=GOOD, form="0" * 64)
    assert (browser.open().status, browser.send().status) == (409, 409)
    assert here.store.writes == 0


def test_a_decision_cannot_be_replayed():
    """Fault 19: the same bytes again, by the same link and by another's."""
    here = site()
    ana = Browser(here, ANA)
    ana.decide("approve")
    ana.send("approve")
    bo = Browser(here, BO, form=ana.form)
    assert bo.send("approve").status == 409
    assert here.store.writes == 1


def test_a_refusal_is_recorded_with_reason_and_source_but_without_the_link():
    """Fault 19: a fact in the audit."""
    here = site()
    here.request(query=f"t={link(here.record, expires=NOW)}")
    here.request(query="t=nonsense", path="/approvals/\r\nnonsense")
    assert here.store.refusals == [
        (here.record["id"], "expired", "192.0.2.7"),
        ("unreadable", "malformed", "192.0.2.7"),
    ]


def test_an_unknown_approval_costs_the_same_number_of_calls_as_a_known_one():
    """Response times do not help a guesser to tell them apart either."""
    here = site()
    calls = []
    for path in ("", "/approvals/no-such-approval-of-this-stage"):
        here.kms.verified = 0
        here.request(query=f"t={link(here.record, expires=NOW)}", path=path)
        calls.append(here.kms.verified)
    assert calls == [1, 1]


@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_a_scanner_that_fetches_a_link_five_hundred_times_decides_nothing(method):
    """Fault 15: with whatever a scanner adds to the address and sends along."""
    here = site()
    before = dict(here.record)
    for turn in range(500):
        query = f"t={GOOD}" + ("&decision=approve&form=1&utm_source=scanner" if turn % 2 else "")
        page = here.request(
            method, query=query, body=FORM if turn % 3 else b"", headers=AS_FORM if turn % 5 else {}
        )
        assert page.status == 200
    assert here.record == before
    assert (here.store.writes, here.store.refusals, here.deliver.delivered) == (0, [], [])


def test_no_answer_repeats_the_link():
    """No token in a page, a header or a referrer: what is not there can't leak."""
    here = site()
    ana = Browser(here, token=GOOD)
    for page in (
        ana.open(),
        ana.send("perhaps"),
        ana.send("reject"),
        ana.send("approve"),
        ana.send("approve"),
    ):
        for piece in (GOOD, GOOD[:16], Token.parse(GOOD).mac.hex()):
            assert piece not in page.body
            assert piece not in str(page.headers)
        assert page.headers["Referrer-Policy"] == "no-referrer"
