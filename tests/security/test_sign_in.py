"""Attacks on the sign-in before the page: forged tokens, other people's sessions, other redirects."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import threading
import time
from collections.abc import Iterator
from datetime import timedelta
from urllib.parse import parse_qsl, urlencode, urlsplit

import jwt
import pytest
from cryptography.hazmat.primitives import serialization

from tagship.approval.errors import SignInUnavailable
from tagship.approval.signin import provider as provider_module
from tagship.approval.signin.provider import Provider
from tests.unit.approval.builders import ANA, BO, NOW, link
from tests.unit.approval.oidc import (
    CLIENT,
    LocalProvider,
    ec_key,
    local_provider,
    public,
    rsa_key,
)
from tests.unit.approval.signing_in import ADDRESS, Person, follow, signing_site


@pytest.fixture
def provider() -> Iterator[LocalProvider]:
    with local_provider() as provider:
        yield provider


def refused(here, page, reason=None):
    """The same 403 as for every bad link, no session, a line in the audit."""
    assert (page.status, page.body) == (403, here.request(query="t=nonsense").body)
    assert page.cookies == ()
    assert here.login.ledger.facts == []
    assert here.store.writes == 0
    found = here.store.refusals[0][1]
    assert reason is None or found == reason
    return found


NOW_SECONDS = int(NOW.timestamp())
BAD_CLAIMS = {
    "another issuer": {"iss": "https://evil.example"},
    "no issuer": {"iss": None},
    "another audience": {"aud": "another-client"},
    "no audience": {"aud": None},
    "audiences, ours not the authorized party": {"aud": [CLIENT, "another-client"], "azp": "another-client"},
    "audiences, no authorized party": {"aud": [CLIENT, "another-client"]},
    "another authorized party": {"azp": "another-client"},
    "expired": {"exp": NOW_SECONDS - 61},
    "no expiry": {"exp": None},
    "an expiry that is no number": {"exp": "never"},
    "old": {"iat": NOW_SECONDS - 601},
    "of the future": {"iat": NOW_SECONDS + 61},
    "no time of issue": {"iat": None},
    "not yet": {"nbf": NOW_SECONDS + 61},
    "another nonce": {"nonce": "x" * 43},
    "no nonce": {"nonce": None},
    "a nonce of another alphabet": {"nonce": "ü" * 43},
    "no subject": {"sub": None},
    "mail not verified": {"email_verified": False},
    "mail verified, in words": {"email_verified": "true"},
    "mail verified, in a number": {"email_verified": 1},
    "nothing about the mail": {"email_verified": None},
    "no mail": {"email": None},
    "a mail that is no text": {"email": [ANA]},
    "somebody else's mail": {"email": BO},
    "two mails": {"email": f"{ANA}, {BO}"},
    "a mail with a Kelvin sign for a k": {"email": "\u212aen@example.com"},
    "a mail in full width": {"email": "\uff41na@example.com"},
    "a mail with a space": {"email": f" {ANA}"},
}


@pytest.mark.parametrize("claims", [pytest.param(claims, id=name) for name, claims in BAD_CLAIMS.items()])
def test_an_id_token_with_any_other_claim_is_invalid(provider, claims):
    provider.claims = claims
    here = signing_site(provider, approvers=[ANA, BO, "ken@example.com"])
    person = Person(here, "ken@example.com" if "\u212a" in str(claims.get("email")) else ANA)
    refused(here, person.sign_in())


def pem(key):
    return key.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )


def unsecured(provider, algorithm="none"):
    """A token without a signature."""

    def signed(nonce):
        good = LocalProvider.signed(provider, nonce).split(".")
        head = base64.urlsafe_b64encode(json.dumps({"alg": algorithm, "kid": "key-1"}).encode()).rstrip(b"=")
        return f"{head.decode()}.{good[1]}."

    provider.signed = signed


def symmetric(provider):
    """HS256 with the public key as the secret: what a careless reader takes for RS256's."""

    def signed(nonce):
        good = LocalProvider.signed(provider, nonce)
        claims = jwt.decode(good, options={"verify_signature": False})
        head, body = (
            base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=").decode()
            for part in ({"alg": "HS256", "kid": "key-1", "typ": "JWT"}, claims)
        )
        mac = hmac.digest(pem(rsa_key()), f"{head}.{body}".encode(), "sha256")
        return f"{head}.{body}.{base64.urlsafe_b64encode(mac).rstrip(b'=').decode()}"

    provider.signed = signed


def altered(provider):
    """The claims of one token under the signature of another."""

    def signed(nonce):
        good = LocalProvider.signed(provider, nonce).split(".")
        other = LocalProvider.signed(provider, "x" * 43).split(".")
        return ".".join((*good[:2], other[2]))

    provider.signed = signed


def by_another_key(provider):
    provider.key = rsa_key("another")


def by_an_unpublished_key(provider):
    provider.key, provider.key_id = rsa_key("another"), "key-9"


def by_a_key_it_brings_along(provider):
    def signed(nonce):
        claims = jwt.decode(LocalProvider.signed(provider, nonce), options={"verify_signature": False})
        own = public(rsa_key("another"), "key-1")
        return jwt.encode(claims, rsa_key("another"), algorithm="RS256", headers={"kid": "key-1", "jwk": own})

    provider.signed = signed


def by_a_key_for_encryption(provider):
    provider.keys = [public(rsa_key(), "key-1", use="enc")]


def by_a_key_of_another_algorithm(provider):
    provider.keys = [public(rsa_key(), "key-1", alg="PS256")]


def by_a_small_key(provider):
    provider.key = rsa_key("small", 1024)
    provider.keys = [public(provider.key, "key-1")]


def in_another_way(provider):
    provider.algorithm = "PS256"


def unnamed_among_several(provider):
    provider.key_id = None
    provider.keys = [public(rsa_key(), "key-1"), public(rsa_key("another"), "key-2")]


def with_a_critical_extension(provider):
    def signed(nonce):
        claims = jwt.decode(LocalProvider.signed(provider, nonce), options={"verify_signature": False})
        headers = {"kid": "key-1", "crit": ["exp"], "exp": 1}
        return jwt.encode(claims, rsa_key(), algorithm="RS256", headers=headers)

    provider.signed = signed


FORGERIES = [
    unsecured,
    symmetric,
    altered,
    by_another_key,
    by_an_unpublished_key,
    by_a_key_it_brings_along,
    by_a_key_for_encryption,
    by_a_key_of_another_algorithm,
    by_a_small_key,
    in_another_way,
    unnamed_among_several,
    with_a_critical_extension,
]


@pytest.mark.filterwarnings("ignore::jwt.InsecureKeyLengthWarning")
@pytest.mark.parametrize("forge", FORGERIES, ids=lambda forge: forge.__name__)
def test_a_forged_id_token_is_refused(provider, forge):
    forge(provider)
    here = signing_site(provider)
    refused(here, Person(here).sign_in())


@pytest.mark.parametrize("algorithm", ["None", "NONE", "nOnE", "HS512", "RS512", "ES384", "EdDSA", "", None])
def test_no_other_algorithm_name_is_accepted(provider, algorithm):
    unsecured(provider, algorithm)
    here = signing_site(provider)
    refused(here, Person(here).sign_in())


@pytest.mark.parametrize("token", ["", "a.b.c", "a" * 5000, None, 1, ["x"], {}])
def test_an_invalid_token_is_refused(provider, token):
    provider.token = lambda form: (200, {"id_token": token})
    here = signing_site(provider)
    refused(here, Person(here).sign_in())


# ---- the callback --------------------------------------------------------------------------------------------------


def test_a_callback_in_another_browser_is_refused(provider):
    """Sign-in CSRF: the state is worth nothing without the cookie of the browser in which it began."""
    here = signing_site(provider)
    attacker, victim = Person(here), Person(here)
    where = attacker.at_provider(attacker.look())
    refused(here, victim.back(where), "malformed")
    victim.look()  # has started its own sign-in
    refused(here, victim.back(where))


def test_a_callback_is_accepted_once(provider):
    here = signing_site(provider)
    ana = Person(here)
    away = ana.look()
    cookies = dict(ana.cookies)
    where = ana.at_provider(away)
    assert ana.back(where).status == 303
    again = Person(here, cookies=cookies)
    assert again.back(where).status == 403
    assert len(here.login.ledger.facts) == 1


def test_a_callback_is_accepted_once_even_if_the_provider_accepts_a_code_twice(provider):
    here = signing_site(provider)
    ana = Person(here)
    away = ana.look()
    cookies = dict(ana.cookies)
    where = ana.at_provider(away)
    codes = dict(provider.codes)
    assert ana.back(where).status == 303
    provider.codes = codes
    again = Person(here, cookies=cookies)
    assert again.back(where).status == 403
    assert here.store.refusals[-1][1] == "a sign-in that was used before"
    assert len(here.login.ledger.facts) == 1


def test_a_code_of_another_sign_in_attempt_is_refused(provider):
    """Code injection: PKCE and the nonce hold a code to the journey that asked for it."""
    here = signing_site(provider)
    attacker, victim = Person(here), Person(here)
    stolen = dict(parse_qsl(urlsplit(attacker.at_provider(attacker.look())).query))["code"]
    state = dict(parse_qsl(urlsplit(victim.look().headers["Location"]).query))["state"]
    page = victim.get("/approvals/callback", urlencode({"code": stolen, "state": state}))
    refused(here, page, "the provider refused the sign-in's code")


def test_the_nonce_binds_a_token_to_its_sign_in_attempt(provider):
    """As above, with a provider that does not check PKCE."""
    here = signing_site(provider)
    attacker, victim = Person(here), Person(here)
    stolen = dict(parse_qsl(urlsplit(attacker.at_provider(attacker.look())).query))["code"]
    away = victim.look()
    theirs = dict(parse_qsl(urlsplit(away.headers["Location"]).query))
    provider.codes[stolen]["code_challenge"] = theirs["code_challenge"]
    page = victim.get("/approvals/callback", urlencode({"code": stolen, "state": theirs["state"]}))
    refused(here, page, "the ID token belongs to a different sign-in")


@pytest.mark.parametrize(
    "change",
    [
        lambda query: {**query, "iss": "https://evil.example"},
        lambda query: {"state": query["state"], "error": "access_denied"},
        lambda query: {**query, "error": "access_denied"},
        lambda query: {"state": query["state"]},
        lambda query: {**query, "code": ""},
        lambda query: {**query, "code": "x" * 2049},
        lambda query: {**query, "code": "a\r\nb"},
        lambda query: {"code": query["code"]},
        lambda query: {**query, "state": query["state"][:-1]},
        lambda query: {**query, "state": query["state"][:17] + "A" * 43},
        lambda query: {**query, "state": "A" * 16 + query["state"][16:]},
    ],
)
def test_an_altered_callback_is_refused(provider, change):
    here = signing_site(provider)
    ana = Person(here)
    query = dict(parse_qsl(urlsplit(ana.at_provider(ana.look())).query))
    refused(here, ana.get("/approvals/callback", urlencode(change(query))))


def test_a_repeated_parameter_is_refused(provider):
    here = signing_site(provider)
    ana = Person(here)
    query = urlsplit(ana.at_provider(ana.look())).query
    refused(here, ana.get("/approvals/callback", f"{query}&code=another"), "malformed")


@pytest.mark.parametrize("method", ["POST", "HEAD"])
def test_the_callback_accepts_only_get(provider, method):
    here = signing_site(provider)
    ana = Person(here)
    page = ana.get("/approvals/callback", urlsplit(ana.at_provider(ana.look())).query, method)
    assert page.status == 403
    assert here.login.ledger.facts == []


def test_a_provider_that_announces_its_issuer_parameter_must_send_it(provider):
    """Mix-up (RFC 9207)."""
    provider.metadata = {"authorization_response_iss_parameter_supported": True}
    here = signing_site(provider)
    ana = Person(here)
    where = ana.at_provider(ana.look())
    refused(here, ana.back(where), "the sign-in came back from another provider")
    assert ana.back(f"{where}&iss={provider.issuer}").status == 303


@pytest.mark.parametrize(
    "value",
    [
        "",
        "nonsense",
        "{key}.{id}.https://evil.example",
        "{key}.//evil.example/aaaaaaaaaaaaaaaaaa.{token}",
        "{key}.../../evil/aaaaaaaaaaaaaaaaaaaa.{token}",
        "{key}.{id}.{token}\r\nLocation: https://evil.example",
        "{key}.{id}.{token}.more",
    ],
)
def test_an_altered_cookie_leads_nowhere_else(provider, value):
    """Open redirect and header injection: the redirect consists only of an id and a token."""
    here = signing_site(provider)
    ana = Person(here)
    where = ana.at_provider(ana.look())
    ((name, kept),) = ana.cookies.items()
    key, identity, token = kept.split(".")
    ana.cookies[name] = value.replace("{key}", key).replace("{id}", identity).replace("{token}", token)
    page = ana.back(where)
    refused(here, page)
    assert "Location" not in page.headers


def test_a_cookie_with_an_invalid_link_is_refused_like_the_link(provider):
    here = signing_site(provider)
    ana = Person(here)
    where = ana.at_provider(ana.look())
    ((name, kept),) = ana.cookies.items()
    for token in (link(here.record, stage="staging"), link(here.record, key="another-key"), "A" * 64):
        ana.cookies[name] = f"{kept[:-64]}{token}"
        page = ana.back(where)
        assert page.status == 403
    assert here.login.ledger.facts == []
    assert "/token" not in provider.paths()


# ---- the session ---------------------------------------------------------------------------------------------------


def test_every_altered_session_is_invalid(provider):
    here = signing_site(provider)
    ana = Person(here)
    ana.open()
    ((name, good),) = ana.cookies.items()
    for at in range(len(good)):
        other = "A" if good[at] != "A" else "B"
        page = Person(here, cookies={name: good[:at] + other + good[at + 1 :]}).look()
        assert page.status == 303
    for value in ("", good[:-1], f"{good}A", good[:43], f".{good[44:]}", f"{good[:43]}."):
        assert Person(here, cookies={name: value}).look().status == 303
    assert Person(here, cookies={name: good}).look().status == 200


def test_the_ledgers_copy_of_a_session_cannot_open_one(provider):
    """A reader of the ledger can't take over a browser's session."""
    here = signing_site(provider)
    ana = Person(here)
    ana.open()
    ((name, good),) = ana.cookies.items()
    ((key, item),) = here.login.ledger.items.items()
    assert good[44:] not in json.dumps([*here.login.ledger.items.values(), here.login.ledger.facts[0].data])
    stolen = f"{key[1].removeprefix('LOGIN#')}.{item['secret']}"
    assert Person(here, cookies={name: stolen}).look().status == 303


def test_a_session_is_invalid_for_another_request(provider):
    one, two = signing_site(provider), signing_site(provider, id="another-approval-of-the-same-person")
    two.login.ledger.items = one.login.ledger.items
    ana = Person(one)
    ana.open()
    ((name, value),) = ana.cookies.items()
    away = Person(two).look()
    theirs = away.cookies[0].partition("=")[0].replace("journey", "session")
    assert Person(two, cookies={name: value, theirs: value}).look().status == 303


def test_a_session_without_a_link_shows_nothing(provider):
    here = signing_site(provider)
    ana = Person(here)
    ana.open()
    for token in ("A" * 64, link(here.record, expires=NOW - timedelta(seconds=1))):
        assert Person(here, token=token, cookies=ana.cookies).look().status == 403


def test_a_decision_needs_the_session_not_just_the_form(provider):
    here = signing_site(provider)
    ana = Person(here)
    ana.open()
    thief = Person(here, form=ana.form)
    assert thief.send("approve").status == 403
    assert here.store.writes == 0


def test_a_cross_site_request_does_not_learn_about_the_sign_in(provider):
    here = signing_site(provider)
    page = Person(here).send("approve", headers={"Sec-Fetch-Site": "cross-site"})
    refused(here, page, "sent by another site")


# ---- what the provider learns, and which providers are accepted ----------------------------------------------------


def test_the_links_token_is_sent_to_nobody(provider):
    here = signing_site(provider)
    ana = Person(here)
    away = ana.look()
    assert ana.token not in away.headers["Location"]
    assert away.headers["Referrer-Policy"] == "no-referrer"
    ana.back(follow(away.headers["Location"]))
    assert ana.look().status == 200
    assert len(provider.seen) == 4
    key = away.cookies[0].partition("=")[2][:43]
    for request in provider.seen:
        assert ana.token not in request
        assert ana.site.record["id"] not in request
        assert key not in request
        assert "referer" not in request.lower()


def ask(provider, **how):
    made = Provider(issuer=how.pop("issuer", provider.issuer), client_id=CLIENT, loopback=True, **how)
    return made.address(redirect_uri=ADDRESS, state="s", nonce="n", challenge="c", login_hint=ANA)


@pytest.mark.parametrize(
    "endpoint",
    [
        "http://id.example.com/authorize",
        "//id.example.com/authorize",
        "javascript:alert(1)",
        "file:///etc/passwd",
        "https://",
        "https://user@id.example.com/authorize",
        "https://id.example.com/authorize#fragment",
        "",
        None,
    ],
)
def test_an_endpoint_without_https_is_not_used(provider, endpoint):
    provider.metadata = {"authorization_endpoint": endpoint}
    with pytest.raises(SignInUnavailable):
        ask(provider)


def test_plain_http_is_allowed_only_on_loopback_in_development(provider):
    with pytest.raises(SignInUnavailable):
        Provider(issuer=provider.issuer, client_id=CLIENT).address(
            redirect_uri=ADDRESS, state="s", nonce="n", challenge="c", login_hint=ANA
        )
    assert provider.seen == []
    with pytest.raises(SignInUnavailable):
        ask(provider, issuer="http://id.example.com")


@pytest.mark.parametrize(
    "answer",
    [
        (200, b"no JSON"),
        (200, b"[]"),
        (200, b"[" * 100_000),
        (200, b"{}"),
        (200, b'{"padding": "' + b"x" * provider_module.MAX_BYTES + b'"}'),
        (404, b"{}"),
        (500, b"{}"),
        (302, b""),
    ],
    ids=["text", "list", "nested", "empty", "huge", "missing", "broken", "redirect"],
)
def test_an_invalid_discovery_document_is_refused(provider, answer):
    provider.answer = lambda path, body: answer
    with pytest.raises(SignInUnavailable):
        ask(provider)
    assert len(provider.seen) == 1


def test_a_discovery_document_of_another_issuer_is_refused(provider):
    provider.metadata = {"issuer": f"{provider.issuer}/"}
    with pytest.raises(SignInUnavailable):
        ask(provider)


def test_a_slow_provider_is_cut_off(provider, monkeypatch):
    monkeypatch.setattr(provider_module, "SECONDS", 0.2)
    over = threading.Event()

    def late(_, body):
        over.wait(10)
        return 200, body

    provider.answer = late
    begun = time.monotonic()
    with pytest.raises(SignInUnavailable):
        ask(provider)
    assert time.monotonic() - begun < 5
    over.set()


def test_an_unreachable_provider_is_reported_as_unavailable():
    with local_provider() as gone:
        pass
    with pytest.raises(SignInUnavailable):
        ask(gone)


def test_an_elliptic_key_cannot_verify_another_algorithm(provider):
    provider.algorithm, provider.key = "ES256", ec_key()
    here = signing_site(provider)  # which publishes its RSA key under this name
    refused(here, Person(here).sign_in())


def test_the_code_goes_to_the_provider_with_the_verifier_of_its_challenge(provider):
    ana = Person(signing_site(provider))
    away = ana.look()
    challenge = dict(parse_qsl(urlsplit(away.headers["Location"]).query))["code_challenge"]
    ana.back(ana.at_provider(away))
    (sent,) = [request for request in provider.seen if request.startswith("POST")]
    verifier = dict(parse_qsl(sent.rpartition("\n")[2]))["code_verifier"]
    digest = hashlib.sha256(verifier.encode()).digest()
    assert base64.urlsafe_b64encode(digest).rstrip(b"=").decode() == challenge
    assert 43 <= len(verifier) <= 128


def test_only_the_audit_trail_has_the_reason_of_a_refusal(provider):
    provider.claims = {"email": BO}
    here = signing_site(provider)
    page = Person(here).sign_in()
    assert refused(here, page) == "signed in as someone else"
    assert BO not in page.body
