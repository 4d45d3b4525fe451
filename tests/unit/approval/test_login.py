"""The sign-in before the page: link, provider, callback, session, against a real provider on loopback."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterator
from datetime import timedelta
from urllib.parse import parse_qs, urlsplit

import pytest

from tagship.approval.signin.login import SESSION, login_of
from tagship.ledger import logins
from tagship.settings import Settings
from tests.unit.approval.builders import ANA, BO, NOW, Browser, approved, site, text_of
from tests.unit.approval.oidc import CLIENT, LocalProvider, ec_key, local_provider, public, rsa_key
from tests.unit.approval.signing_in import ADDRESS, Person, signing_site
from tests.unit.approval.test_request import asked, facts


@pytest.fixture
def provider() -> Iterator[LocalProvider]:
    with local_provider() as provider:
        yield provider


def test_an_approver_who_signs_in_sees_the_page_and_decides(provider):
    here = signing_site(provider, required=1)
    ana = Person(here)
    page = ana.decide("approve", "Looks right.")
    assert page.status == 200
    (made,) = here.record["decisions"]
    assert (made["approver"], made["decision"]) == (ANA, "approve")
    assert made["identity"] == f"{provider.issuer} 248289761001"
    assert here.deliver.delivered == [here.record["id"]]


def test_the_redirect_to_the_provider_has_only_required_parameters(provider):
    page = Person(signing_site(provider)).look()
    where = urlsplit(page.headers["Location"])
    asked = {name: values[0] for name, values in parse_qs(where.query).items()}
    assert f"{where.scheme}://{where.netloc}{where.path}" == f"{provider.issuer}/authorize"
    assert asked.pop("state") != asked.pop("nonce") != asked.pop("code_challenge")
    assert asked == {
        "response_type": "code",
        "client_id": CLIENT,
        "redirect_uri": f"{ADDRESS}/approvals/callback",
        "scope": "openid email",
        "code_challenge_method": "S256",
        "login_hint": ANA,
    }


def test_cookies_are_short_lived_and_only_for_the_page(provider):
    ana = Person(signing_site(provider))
    away = ana.look()
    back = ana.back(ana.at_provider(away))
    for cookie, name, seconds in (
        (away.cookies[0], "journey", 600),
        (back.cookies[0], "session", 900),
        (back.cookies[1], "journey", 0),
    ):
        kind = re.fullmatch(r"__Secure-tagship-(\w+)-[\w-]{16}=[\w.-]*; (.*)", cookie)
        assert kind and kind[1] == name
        assert kind[2] == f"Path=/approvals; Max-Age={seconds}; Secure; HttpOnly; SameSite=Lax"


def test_after_sign_in_the_browser_returns_to_its_link(provider):
    ana = Person(signing_site(provider))
    page = ana.sign_in()
    assert page.status == 303
    assert page.headers["Location"] == f"{ADDRESS}/approvals/{ana.site.record['id']}?t={ana.token}"
    assert ana.look().status == 200


@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_a_get_with_sign_in_writes_nothing(provider, method):
    """Fault 15: a scanner that fetches the link is sent to the provider each time, and that is all."""
    here = signing_site(provider)
    for _ in range(20):
        assert Person(here).look(method).status == 303
    assert (here.store.writes, here.store.refusals, here.login.ledger.facts) == (0, [], [])
    assert provider.paths() == ["/.well-known/openid-configuration"]


def test_after_the_session_expires_deciding_requires_signing_in_again(provider):
    here = signing_site(provider)
    ana = Person(here)
    ana.open()
    here.now = NOW + SESSION
    page = ana.send("approve")
    assert page.status == 403
    assert "Nothing was recorded" in text_of(page.body)
    assert '<a href="">Sign in again</a>' in page.body
    assert here.store.writes == 0
    assert ana.look().status == 303
    here.now = NOW + SESSION - timedelta(milliseconds=1)
    assert ana.send("approve").status == 200


def test_every_page_of_an_approval_requires_the_sign_in(provider):
    for changes in (
        {"status": "SUPERSEDED"},
        {"status": "EXPIRED"},
        {"decisions": [approved(ANA, 1)]},
        {"author": ANA},
    ):
        here = signing_site(provider, **changes)
        assert Person(here).look().status == 303
        assert Person(here).open().status in (200, 409, 410)


def test_two_links_can_be_open_at_the_same_time(provider):
    one, two = signing_site(provider), signing_site(provider, id="another-approval-of-the-same-person")
    ana = Person(one)
    away = ana.look()
    other = Person(two, cookies=ana.cookies)
    other_away = other.look()
    assert ana.back(ana.at_provider(away)).status == 303
    assert other.back(other.at_provider(other_away)).status == 303
    assert (ana.look().status, other.look().status) == (200, 200)


def test_mail_addresses_are_compared_without_case(provider):
    provider.mail = "Ana@Example.COM"
    assert Person(signing_site(provider)).sign_in().status == 303


@pytest.mark.parametrize("algorithm", ["RS256", "ES256"])
def test_both_common_signature_algorithms_are_accepted(provider, algorithm):
    provider.keys = [public(rsa_key("another"), "key-0"), *provider.keys, public(ec_key("another"), "key-2")]
    if algorithm == "ES256":
        provider.algorithm, provider.key = "ES256", ec_key()
        provider.keys = [public(ec_key(), "key-1"), *provider.keys]
    assert Person(signing_site(provider)).sign_in().status == 303


def test_the_providers_documents_are_cached_while_fresh(provider):
    here = signing_site(provider)
    for _ in range(3):
        assert Person(here).open().status == 200
    assert provider.paths().count("/.well-known/openid-configuration") == 1
    assert provider.paths().count("/jwks") == 1


def test_a_providers_new_key_is_fetched(provider):
    here = signing_site(provider)
    ticks = [0.0]
    here.login.provider.clock = lambda: ticks[0]
    Person(here).open()
    provider.algorithm, provider.key, provider.key_id = "ES256", ec_key(), "key-2"
    provider.keys = [public(ec_key(), "key-2")]
    assert Person(here).sign_in().status == 403  # asked again too soon after the last time
    ticks[0] = 31.0
    assert Person(here).sign_in().status == 303


def down(path):
    return lambda asked, body: (503, b"") if asked == path else (200, body)


@pytest.mark.parametrize(
    "path", ["/.well-known/openid-configuration", "/token", "/jwks"], ids=["discovery", "token", "keys"]
)
def test_without_the_provider_nothing_is_shown_or_decided(provider, path):
    here = signing_site(provider)
    ana = Person(here)
    provider.answer = down(path)
    page = ana.look()
    if page.status == 303:
        page = ana.back(ana.at_provider(page))
    assert page.status == 503
    assert page.headers["Retry-After"] == "60"
    assert "the sign-in service does not answer" in text_of(page.body)
    assert here.record["tag"] not in page.body
    assert (here.store.writes, here.login.ledger.facts) == (0, [])
    provider.answer = None
    assert ana.open().status == 200


def test_a_signed_in_person_can_decide_without_the_provider(provider):
    ana = Person(signing_site(provider))
    ana.open()
    provider.answer = down("/.well-known/openid-configuration")
    ana.site.login.provider._kept.clear()
    assert ana.send("approve").status == 200


def test_without_the_option_there_are_no_callbacks_and_cookies():
    here = site()
    assert here.request(path="/approvals/callback", query="code=a&state=b").status == 403
    page = Browser(here).open()
    assert (page.status, page.cookies) == (200, ())


def test_the_sign_in_belongs_to_the_stage(ledger):
    settings = Settings(
        stage="production", ledger_table="l", oidc_issuer="https://id.example.com", oidc_client_id="c"
    )
    login = login_of(settings, ledger, host="page.example.com")
    assert login.address == "https://page.example.com"
    assert (login.provider.issuer, login.provider.client_id) == ("https://id.example.com", "c")
    assert not login.provider.loopback
    assert login_of(settings, ledger, host="page.example.com").provider is login.provider
    here = dataclasses.replace(
        settings, stage="development", approval_base_url="https://approvals.example.com/x"
    )
    assert login_of(here, ledger, host="other").address == "https://approvals.example.com/x"
    assert login_of(here, ledger, host="other").provider.loopback


@pytest.mark.parametrize(
    "host", ["[::1", "", "a b", "page.example.com/x", "page.example.com:port", "ä", "a" * 254]
)
def test_a_request_for_no_host_is_answered_in_words(provider, host):
    here = signing_site(provider)
    address = login_of(Settings(stage="development", ledger_table="l"), here.login.ledger, host=host).address
    here.login = dataclasses.replace(here.login, address=address)
    page = Browser(here).open()
    assert (page.status, page.cookies) == (400, ())
    assert "The request names no host that this page could have" in text_of(page.body)


def test_a_host_may_have_a_port(ledger):
    settings = Settings(stage="development", ledger_table="l")
    assert login_of(settings, ledger, host="localhost:8443").address == "https://localhost:8443"


def test_a_half_configured_sign_in_lets_nobody_in(ledger):
    here = site()
    here.login = login_of(
        Settings(stage="production", ledger_table="l", oidc_client_id="c"), ledger, host="h"
    )
    assert Browser(here).open().status == 503


def test_cookies_are_limited_to_the_pages_path(provider):
    here = signing_site(provider)
    here.login = dataclasses.replace(here.login, address="https://example.com/tagship")
    assert "; Path=/tagship/approvals; " in Person(here).look().cookies[0]


def test_the_ledger_stores_who_signed_in_and_accepts_a_sign_in_once(ledger, clock):
    approval = asked(ledger)
    how = {
        "session": "s" * 43,
        "secret": "h" * 43,
        "approver": ANA,
        "identity": "https://id.example.com 1",
        "until": clock.at + SESSION,
    }
    assert logins.opened(ledger, approval, **how)
    assert not logins.opened(ledger, approval, **(how | {"secret": "x" * 43}))
    assert logins.get(ledger, approval["id"], "s" * 43)["secret"] == "h" * 43
    assert logins.get(ledger, approval["id"], "t" * 43) is None
    (fact,) = facts(ledger, "Approver Signed In")
    assert fact["who"] == ANA
    assert fact["data"] == {"approval": approval["id"], "identity": "https://id.example.com 1"}


def test_a_session_belongs_to_one_approver(provider):
    here = signing_site(provider)
    ana = Person(here)
    ana.sign_in()
    assert Person(here, BO, cookies=ana.cookies).look().status == 303
