"""Every entry point of Tagship against malicious input: it answers or refuses by name, and never crashes.

Each entry point gets arbitrary input, and valid input with something replaced, removed or doubled. A normal run tries
60 inputs at each; `TAGSHIP_FUZZ=20000 pytest -n 0 tests/security/test_fuzz.py` tries 1,000 (20,000 and more in all) and
takes about ten minutes.
"""

from __future__ import annotations

import base64
import copy
import functools
import hmac
import importlib.util
import io
import json
import logging
import os
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from urllib.parse import urlencode

import pytest
import yaml
from click.testing import CliRunner
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tagship import runtime as runtime_module
from tagship.approval.link import BUTTONS, LinkVerifier, known_keys
from tagship.approval.page.incoming import request_in
from tagship.approval.page.page import Page, PageRequest
from tagship.approval.page.slack_actions import Workspaces, respond
from tagship.approval.signin.login import Login
from tagship.approval.signin.provider import Provider
from tagship.deployment.rollback import Order
from tagship.gates.attestation import provenances
from tagship.gates.custom import _judged
from tagship.gates.reading import Unreadable
from tagship.gates.statement import Statement
from tagship.health import custom as custom_check
from tagship.intake.reading import read_release
from tagship.ledger.table import Ledger, _packed, digest_of, unpacked
from tagship.model.documents import DocumentInvalid, as_document, read_application, read_manifest
from tagship.model.errors import EventNotUnderstood, ReleaseUnreadable, RollbackRefused, TagshipError
from tagship.model.proposal import Proposal
from tagship.model.release import Upload
from tagship.model.schedule import EVERY_APPLICATION
from tagship.notices.channels import readers_of
from tagship.slack import messages as slack
from tagship.targets.lambda_package import look_into
from tagship_cli.main import main
from tests.unit.approval.builders import KEY, NOW, OLD_KEY, STAGE, Browser, Site, link, sample, site
from tests.unit.approval.oidc import CLIENT, LocalProvider
from tests.unit.approval.signing_in import ADDRESS, MemoryLedger, Person
from tests.unit.tables import Clock, ledger_table

ROOT = Path(__file__).resolve().parents[2]
EXAMPLES = int(os.environ.get("TAGSHIP_FUZZ", "1200")) // 20
fuzzed = settings(
    max_examples=EXAMPLES,
    deadline=None,
    suppress_health_check=[
        HealthCheck.too_slow,
        HealthCheck.data_too_large,
        HealthCheck.filter_too_much,
        HealthCheck.function_scoped_fixture,
    ],
)
slowly_fuzzed = settings(fuzzed, max_examples=max(20, EXAMPLES // 8))
"""For doors behind which more happens."""

NASTY = [
    *(
        "",
        "\x00",
        "\x1b[2J",
        "\u202e",
        "../..",
        "arn:aws:",
        "$LATEST",
        "*",
        "#",
        "a" * 5000,
        "[" * 600,
        "\ud800",
    ),
    *("1e400", "NaN", "0001-01-01T00:00:00+14:00", "9" * 5000, "http://[", "https://a:b@c", "true"),
]
scalars = (
    st.none()
    | st.booleans()
    | st.integers(-(10**20), 10**20)
    | st.sampled_from([10**400, -(10**38), 1e300, 5e-324])
    | st.floats()
    | st.text(max_size=60)
    | st.text(st.sampled_from("a\ud800\udfff\x00\u202e \u00e9"), max_size=8)
    | st.sampled_from(NASTY)
)
values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=12), inner, max_size=4),
    max_leaves=12,
)


def places(document: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Every place in a document, its root left out."""
    members: Any = ()
    if isinstance(document, dict):
        members = document.items()
    elif isinstance(document, list):
        members = enumerate(document)
    for key, value in members:
        yield (*path, key)
        yield from places(value, (*path, key))


@st.composite
def altered(draw: st.DrawFn, document: Any) -> Any:
    """A good document with up to three of its places replaced, removed or doubled."""
    changed = copy.deepcopy(document)
    for _ in range(draw(st.integers(1, 3))):
        found = list(places(changed))
        if not found:
            return draw(values)
        *way, last = draw(st.sampled_from(found))
        holder = changed
        for key in way:
            holder = holder[key]
        if draw(st.booleans()):
            holder[last] = draw(values)
        elif isinstance(holder, dict):
            del holder[last]
        else:
            holder.append(holder[last])
    return changed


def sample_event(name: str) -> Any:
    return json.loads((ROOT / "events" / f"{name}.json").read_text())


def encoded(document: Any) -> bytes:
    return json.dumps(document, default=str).encode("utf-8", "surrogatepass")


def can_be_sent(document: Any) -> None:
    """Lambda and DynamoDB take UTF-8 alone: a lone surrogate breaks them long after it was accepted."""
    json.dumps(document, ensure_ascii=False, default=str).encode()


def can_be_stored(document: Any) -> None:
    """The ledger keeps it, and gives back something that Lambda can send."""
    can_be_sent(unpacked(_packed({"document": document})))


def or_refused[Found](do: Callable[[], Found], *refusals: type[Exception]) -> Found | None:
    """Its result; None if it refuses with a reason."""
    try:
        return do()
    except refusals as error:
        words = str(error)
    assert words
    can_be_sent(words)
    return None


# ---- the page -------------------------------------------------------------------------------------------------------

ANSWERS = {200, 303, 400, 403, 404, 405, 409, 410, 413, 415, 429}
"""The page's allowed statuses: never a 5xx."""
headers = st.dictionaries(
    st.sampled_from(
        ["host", "origin", "sec-fetch-site", "content-type", "cookie", "content-length", "accept"]
    ),
    st.text(max_size=40) | st.just("application/x-www-form-urlencoded"),
    max_size=4,
)


@fuzzed
@given(
    st.sampled_from(["GET", "HEAD", "POST", "PUT", "", "get", "DELETE"]),
    st.text(max_size=60) | st.just("/approvals/callback") | st.just(f"/approvals/{sample()['id']}"),
    st.text(max_size=200),
    headers,
    st.binary(max_size=400),
)
def test_any_request_gets_an_answer(method, path, query, given_headers, body):
    here = site()
    answer = here.request(method, path, query, given_headers, body)
    assert answer.status in ANSWERS
    can_be_sent([answer.headers, answer.body])
    assert here.store.writes == 0


@fuzzed
@given(st.data())
def test_an_altered_link_opens_nothing(data):
    here = site()
    token = link(here.record)
    index = data.draw(st.integers(0, len(token) - 1))
    other = data.draw(st.characters(codec="ascii", exclude_characters=token[index]))
    bad = token[:index] + other + token[index + 1 :]
    answer = here.request(query=urlencode({"t": bad}))
    assert answer.status == 403
    assert answer.body == here.request(query="t=nonsense").body


@fuzzed
@given(
    st.dictionaries(
        st.sampled_from(["form", "decision", "reason", "confirm", "tag", "x"]),
        st.text(max_size=80) | st.sampled_from(["approve", "reject"]),
        max_size=6,
    )
)
def test_a_form_without_the_pages_value_decides_nothing(fields):
    here = site()
    answer = Browser(here).post(urlencode(fields, errors="surrogatepass").encode())
    assert answer.status in ANSWERS
    assert here.store.writes == 0


@fuzzed
@given(st.binary(max_size=600))
def test_a_body_that_is_not_a_form_decides_nothing(body):
    here = site()
    assert Browser(here).post(body).status in ANSWERS
    assert here.store.writes == 0


@fuzzed
@given(st.text(max_size=2500) | st.sampled_from(NASTY))
def test_a_reason_is_recorded_unchanged_or_refused(reason):
    here = site(required=1)
    browser = Browser(here)
    browser.open()
    body = urlencode(
        {"form": browser.form, "decision": "reject", "reason": reason}, errors="surrogatepass"
    ).encode()
    answer = browser.post(body)
    assert answer.status in ANSWERS
    can_be_sent([here.record, answer.body])


@fuzzed
@given(altered(sample_event("approval-page")) | values)
def test_an_event_for_the_page_becomes_a_request_or_is_refused_by_name(event):
    if found := or_refused(lambda: request_in(event), EventNotUnderstood):
        here = site()
        answer = here.request(
            found.method, found.path or "/", found.query, found.headers, found.body, found.cookies
        )
        assert answer.status in ANSWERS
        can_be_sent([answer.headers, answer.body])


# ---- the sign-in ----------------------------------------------------------------------------------------------------


class CannedProvider:
    """A provider without a network: each of its answers may be altered."""

    def __init__(self) -> None:
        self.provider = LocalProvider(port=1, now=lambda: NOW)
        self.altered: dict[str, bytes] = {}

    def fetch(self, url: str, form: Any = None, /) -> bytes:
        path = url.rsplit("/", 1)[-1]
        if path in self.altered:
            return self.altered[path]
        if form is not None:
            return encoded({"id_token": self.provider.signed(self.nonce)})
        return encoded({"keys": self.provider.keys} if path == "jwks" else self.provider.discovery())

    nonce = ""


def signing(canned: CannedProvider) -> tuple[Site, Person]:
    """A page that requires a sign-in at such a provider, and a person who is signing in."""
    here = site()
    here.base_url = ADDRESS
    here.login = Login(
        provider=Provider(
            issuer=canned.provider.issuer,
            client_id=CLIENT,
            loopback=True,
            fetch=canned.fetch,
            clock=lambda: 0.0,
        ),
        ledger=MemoryLedger(),  # type: ignore[arg-type]
        address=ADDRESS,
    )
    return here, Person(here)


@fuzzed
@given(
    st.dictionaries(
        st.sampled_from(["state", "code", "iss", "error", "session_state", "t"]),
        st.text(max_size=80),
        max_size=5,
    ),
    st.booleans(),
)
def test_a_callback_that_the_provider_did_not_send_signs_nobody_in(fields, with_state):
    canned = CannedProvider()
    here, person = signing(canned)
    sent = dict(part.split("=", 1) for part in person.look().headers["Location"].split("?")[1].split("&"))
    fields |= {"state": sent["state"]} if with_state else {}
    if fields.get("code"):
        canned.altered["token"] = encoded({"id_token": "a.b.c"})
    answer = person.get("/approvals/callback", urlencode(fields, errors="surrogatepass"))
    assert answer.status == 403
    assert not here.login.ledger.facts


@slowly_fuzzed
@given(st.data())
def test_no_provider_response_signs_anybody_in_through_a_crash(data):
    canned = CannedProvider()
    _, person = signing(canned)
    sent = dict(part.split("=", 1) for part in person.look().headers["Location"].split("?")[1].split("&"))
    canned.nonce = sent["nonce"]
    here, fresh = signing(canned)  # nothing is kept of the provider's answers yet
    fresh.cookies = person.cookies
    good = {
        "openid-configuration": canned.provider.discovery(),
        "jwks": {"keys": canned.provider.keys},
        "token": {"id_token": canned.provider.signed(canned.nonce)},
    }
    path = data.draw(st.sampled_from(list(good)))
    canned.altered[path] = data.draw((altered(good[path]) | values).map(encoded) | st.binary(max_size=100))
    if data.draw(st.booleans()):
        canned.provider.claims = data.draw(
            st.dictionaries(
                st.sampled_from(
                    ["exp", "iat", "nbf", "nonce", "email", "sub", "aud", "azp", "email_verified"]
                ),
                scalars.filter(lambda value: value == value and "\ud800" not in str(value)),
                max_size=3,
            )
        )
        del canned.altered[path]
    answer = fresh.get("/approvals/callback", urlencode({"state": sent["state"], "code": "c"}))
    assert answer.status in {303, 403, 503}
    can_be_sent(
        [answer.headers, [vars(fact) if hasattr(fact, "__dict__") else 0 for fact in here.login.ledger.facts]]
    )


# ---- Slack ----------------------------------------------------------------------------------------------------------

PRESS = {
    "type": "block_actions",
    "team": {"id": "T0123"},
    "user": {"id": "U0ANA"},
    "response_url": "https://hooks.slack.com/actions/T0123/1/x",
    "state": {"values": {"reason": {"reason": {"value": "Why not."}}}},
    "actions": [
        {
            "action_id": "approve",
            "value": f"{sample()['id']}.{link(sample(), BUTTONS)}",
            "block_id": "decision",
        }
    ],
}
OWN_SECRET = "tagship/production/storefront/slack"
SIGNING_SECRET = "8f742231b10e8888abcd99yyyzzz85a5"
SECRET = {
    "channel": "https://hooks.slack.com/services/T0123/1/x",
    "signingSecret": SIGNING_SECRET,
    "team": "T0123",
    "users": {"U0ANA": "ana@example.com"},
}


def page_of(here: Any) -> Page:
    """The page of a site, as its requests get it."""
    return Page(
        store=here.store,
        verifier=LinkVerifier(here.kms, known_keys(KEY, OLD_KEY), stage=STAGE),
        deliver=here.deliver,
        now=here.now,
    )


def pressed(here: Site, body: bytes, given_headers: dict[str, str], *, secret: object = SECRET) -> int:
    """The response's status for a press. The response to Slack stays here; nothing leaves this machine."""
    text = secret if isinstance(secret, str) else encoded(secret).decode("utf-8", "surrogatepass")
    secrets = SimpleNamespace(get_secret_value=lambda *, SecretId: {"SecretString": text})
    request = PageRequest("POST", "/slack/actions", "", given_headers, body, "192.0.2.7")
    quiet = SimpleNamespace(warning=lambda *_: None)
    slacks = Workspaces(secrets=secrets, stage=STAGE, hosts=["hooks.slack.com"], unsigned=here.store.refused)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(slack, "post", lambda *_: None)
        return respond(request, page_of(here), slacks=slacks, log=quiet).status


def form_of(payload: Any) -> bytes:
    return urlencode({"payload": json.dumps(payload, default=str)}).encode()


@fuzzed
@given(altered(PRESS) | values, headers)
def test_a_press_without_slacks_signature_decides_nothing(payload, given_headers):
    here = site(slack=OWN_SECRET)
    sent = {"content-type": "application/x-www-form-urlencoded", **given_headers}
    assert pressed(here, form_of(payload), sent) in {200, 400, 403}
    assert here.store.writes == 0


@fuzzed
@given(altered(PRESS) | values)
def test_every_signed_press_is_answered_and_its_record_can_be_stored(payload):
    here, body = site(slack=OWN_SECRET), form_of(payload)
    at = str(int(here.now.timestamp()))
    signature = hmac.digest(SIGNING_SECRET.encode(), b"v0:" + at.encode() + b":" + body, "sha256").hex()
    sent = {
        "content-type": "application/x-www-form-urlencoded",
        "x-slack-request-timestamp": at,
        "x-slack-signature": f"v0={signature}",
    }
    assert pressed(here, body, sent) in {200, 403}
    can_be_sent(here.record)


@fuzzed
@given(altered(SECRET) | values | st.text(max_size=60))
def test_an_invalid_slack_secret_lets_nobody_decide_through_a_crash(secret):
    here, body = site(slack=OWN_SECRET), form_of(PRESS)
    at = str(int(here.now.timestamp()))
    signature = hmac.digest(b"nonsense", b"v0:" + at.encode() + b":" + body, "sha256").hex()
    sent = {
        "content-type": "application/x-www-form-urlencoded",
        "x-slack-request-timestamp": at,
        "x-slack-signature": f"v0={signature}",
    }
    assert pressed(here, body, sent, secret=secret) in {403, 503}
    assert here.store.writes == 0


# ---- documents ------------------------------------------------------------------------------------------------------

MANIFEST = {
    "schemaVersion": 1,
    "application": "storefront",
    "tag": "v1.4.0",
    "commit": "a" * 40,
    "repository": "acme/storefront",
    "author": "dana@example.com",
    "createdAt": "2026-11-22T10:00:00Z",
    "notes": "Faster checkout.",
    "artifacts": [{"name": "function", "file": "storefront.zip", "sha256": "b" * 64, "size": 12}],
    "parameters": {"Size": "2"},
}
APPLICATION = {
    "application": "storefront",
    "target": {
        "type": "lambda",
        "function": "storefront",
        "account": "000000000000",
        "region": "us-east-1",
        "role": "arn:aws:iam::000000000000:role/tagship-app-storefront",
        "externalId": "tagship-production",
    },
    "strategy": {"type": "steps", "steps": [{"percent": 10, "bake": 60}, {"percent": 100}]},
    "approval": {"approvers": ["ana@example.com", "bo@example.com"], "required": 2},
    "gates": {"windows": ["Mon-Thu 09:00-16:00 Europe/Berlin"], "tags": {"pattern": "v2.*"}},
    "health": {
        "checks": [
            {
                "type": "http",
                "url": "https://storefront.example.com/health",
                "json": {"path": "status", "equals": "ok"},
            },
            {"type": "alarm", "names": ["storefront-5xx"]},
            {"type": "metric", "name": "errors", "expression": "m1/m2", "maxValue": 1},
        ],
        "watch": {"seconds": 1800, "alarms": ["storefront-5xx"]},
    },
    "notifications": {"emails": ["team@example.com"]},
}


@fuzzed
@given(st.binary(max_size=300) | (altered(MANIFEST) | values).map(encoded))
def test_a_manifest_is_read_or_refused_with_a_reason(raw):
    if found := or_refused(lambda: read_manifest(raw), DocumentInvalid):
        can_be_sent(as_document(found))


@fuzzed
@given(altered(APPLICATION) | values)
def test_a_configuration_is_read_or_refused_with_a_reason(data):
    if found := or_refused(lambda: read_application(data), DocumentInvalid):
        can_be_sent(as_document(found))


STATEMENT = {
    "_type": "https://in-toto.io/Statement/v1",
    "subject": [{"name": "storefront.zip", "digest": {"sha256": "b" * 64}}],
    "predicateType": "https://slsa.dev/provenance/v1",
    "predicate": {
        "buildDefinition": {
            "buildType": "https://actions.github.io/buildtypes/workflow/v1",
            "externalParameters": {
                "workflow": {"repository": "https://github.com/acme/storefront", "ref": "refs/tags/v1.4.0"}
            },
            "resolvedDependencies": [
                {
                    "uri": "git+https://github.com/acme/storefront@refs/tags/v1.4.0",
                    "digest": {"gitCommit": "a"},
                }
            ],
        },
        "runDetails": {"builder": {"id": "https://github.com/a/b"}},
    },
}
ENVELOPE = {"payloadType": "application/vnd.in-toto+json", "payload": "", "signatures": [{"sig": "x"}]}


def enveloped(statement: Any) -> bytes:
    return encoded({**ENVELOPE, "payload": base64.b64encode(encoded(statement)).decode()})


@fuzzed
@given(
    st.binary(max_size=300)
    | (altered(STATEMENT) | values).map(enveloped)
    | (altered({"dsseEnvelope": ENVELOPE}) | values).map(encoded)
)
def test_an_attestation_is_read_or_refused_with_a_reason(raw):
    or_refused(lambda: provenances(raw), Unreadable)


PROMOTION = {
    "schemaVersion": 1,
    **dict.fromkeys(("application", "tag", "digest", "fromStage", "toStage"), "x"),
    **dict.fromkeys(("succeededAt", "promotedAt", "promotedBy"), "x"),
}


@fuzzed
@given(st.binary(max_size=300) | (altered(PROMOTION) | values).map(encoded))
def test_a_promotion_is_read_or_refused_with_a_reason(raw):
    or_refused(lambda: Statement.read(raw), Unreadable)


@fuzzed
@given(altered({"verdict": "unhealthy", "reasons": ["x"], "numbers": {"a": 1.5}}) | values)
def test_every_response_of_a_custom_function_is_a_verdict_that_can_be_stored(document):
    found = custom_check.read(document, check="custom").as_dict()
    can_be_stored(found)
    assert digest_of(found)
    gate = _judged("verdict", document)
    can_be_stored([gate.why, gate.remedy])


def zipped() -> bytes:
    """A package that Lambda would accept."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("app.py", "def handler(event, context):\n    return {}\n" * 20)
        archive.writestr("lib/__init__.py", "")
    return file.getvalue()


@st.composite
def spoiled(draw: st.DrawFn, good: bytes) -> bytes:
    """Bytes of which some are others, left out or doubled."""
    changed = bytearray(good)
    for _ in range(draw(st.integers(1, 6))):
        at = draw(st.integers(0, max(0, len(changed) - 1)))
        part = draw(st.binary(max_size=8))
        changed[at : at + draw(st.integers(0, 8))] = part
    return bytes(changed)


@fuzzed
@given(
    st.binary(max_size=300) | spoiled(zipped()), st.sampled_from(["app.handler", "lib.x", "", "/x", "a.b.c"])
)
def test_a_package_is_inspected_or_refused_with_a_reason(raw, handler):
    found = look_into(io.BytesIO(raw), handler=handler, runtime="python3.13")
    can_be_stored(found.problems)
    assert all(problem.isprintable() for problem in found.problems)


PROPOSAL = {
    "application": "storefront",
    "tag": "configuration-4",
    "document": APPLICATION,
    "by": "ana@example.com",
    "emergency": "",
}


@fuzzed
@given(altered(PROPOSAL) | values)
def test_a_configuration_change_is_proposed_or_refused_with_a_reason(data):
    if found := or_refused(lambda: Proposal.from_dict(data), ValueError):
        can_be_stored([found.application, found.tag, found.by, found.emergency])


# ---- what starts the state machines ---------------------------------------------------------------------------------


class Bucket:
    """A release bucket in which every key is the same manifest."""

    def get_object(self, **_: Any) -> dict[str, Any]:
        return {"Body": SimpleNamespace(read=lambda: encoded(MANIFEST)), "VersionId": "1"}

    def head_object(self, **_: Any) -> dict[str, Any]:
        return {"VersionId": "1", "ContentLength": 12}

    def get_parameter(self, **_: Any) -> dict[str, Any]:
        return {"Parameter": {"Value": json.dumps(APPLICATION), "Version": 1}}


@fuzzed
@given(altered(sample_event("release")) | values)
def test_an_upload_is_read_or_refused_by_name(order):
    def read() -> dict[str, Any]:
        upload = Upload.from_dict(order)
        where = {"bucket": upload.bucket, "key": upload.key, "version": upload.version}
        return read_release(s3=Bucket(), ssm=Bucket(), stage=STAGE, execution="e", github_hosts=(), **where)

    can_be_stored(or_refused(read, ReleaseUnreadable))


@fuzzed
@given(altered({**sample_event("rollback"), "attempt": 1, "to": "v1.3.0", "seen": {"errors": 7}}) | values)
def test_a_rollback_is_accepted_or_refused_by_name(order):
    if found := or_refused(lambda: Order.from_dict(order), RollbackRefused):
        can_be_stored(asdict(found))


# ---- events ---------------------------------------------------------------------------------------------------------


class Anything:
    """A client that takes every call, counts it, and answers with nothing."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, dict[str, Any]]] = []

    def __getattr__(self, name: str) -> Callable[..., dict[str, Any]]:
        def call(**arguments: Any) -> dict[str, Any]:
            can_be_sent(arguments)
            self.calls.append((name, arguments))
            return {"Successful": arguments["Entries"]} if name == "send_message_batch" else {}

        return call


@functools.cache
def handler_of(step: str) -> Callable[[Any, Any], Any]:
    """A function, as Lambda calls it."""
    path = ROOT / "functions" / step / "app.py"
    spec = importlib.util.spec_from_file_location(f"functions_{step}_of_the_fuzz", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    handler: Callable[[Any, Any], Any] = module.handler
    return handler


@pytest.fixture(scope="module")
def runtime() -> Iterator[Any]:
    """An empty ledger, and AWS that takes everything."""
    logging.getLogger("tagship").setLevel("CRITICAL")
    with ledger_table() as client, pytest.MonkeyPatch.context() as patch:
        aws = Anything()
        here = SimpleNamespace(
            ledger=Ledger(client=client, table="ledger", stage="production", now=Clock()),
            now=lambda: NOW,
            sent=aws.calls,
            aws=SimpleNamespace(client=lambda *_, **__: aws),
            settings=SimpleNamespace(
                stage="production",
                rollback_state_machine="arn:aws:states:us-east-1:000000000000:stateMachine:rollback",
                notices_queue="notices",
                broadcast_failures="failures",
                notices_set_aside="aside",
                evidence_bucket="evidence",
                event_bus="bus",
                notification_topic="topic",
                sender_address="tagship@example.com",
                slack_hosts=(),
                github_hosts=(),
                guards_configuration=False,
            ),
        )
        patch.setattr(runtime_module, "_runtime", lambda: here)
        yield here
    logging.getLogger("tagship").setLevel("INFO")


@pytest.mark.parametrize(
    "step, event", [("watch", "alarm-state-change"), ("supervise", "execution-status-change")]
)
@fuzzed
@given(data=st.data())
def test_an_event_is_handled_or_refused_by_name_so_that_lambda_keeps_it(runtime, step, event, data):
    changed = data.draw(altered(sample_event(event)) | values)
    can_be_sent(or_refused(lambda: handler_of(step)(changed, None), TagshipError))


ALARM_MESSAGE = {
    "AlarmArn": "arn:aws:cloudwatch:eu-central-1:123456789012:alarm:storefront-5xx",
    "NewStateValue": "ALARM",
    "NewStateReason": "Threshold Crossed",
    "StateChangeTime": "2026-11-22T10:20:00.123+0000",
}


@fuzzed
@given(data=st.data())
def test_an_unreadable_topic_message_is_refused_and_the_others_are_handled(runtime, data):
    bad = data.draw(
        (altered(ALARM_MESSAGE) | values).map(lambda it: {"Sns": {"Message": json.dumps(it)}}) | values
    )
    event = {"Records": [bad, {"Sns": {"Message": json.dumps(ALARM_MESSAGE)}}]}
    or_refused(lambda: handler_of("watch")(event, None), EventNotUnderstood)


@pytest.mark.parametrize("step", ["broadcast", "preserve"])
@fuzzed
@given(data=st.data())
def test_a_stream_record_that_is_no_fact_is_set_aside_and_the_next_is_processed(runtime, step, data):
    (good,) = sample_event("ledger-stream")["Records"]
    runtime.sent.clear()
    bad = data.draw(altered(good) | values)
    assert handler_of(step)({"Records": [bad]}, None) == {"batchItemFailures": []}
    # Never dropped: it is broadcast, preserved or set aside.
    kept = {"send_message", "send_message_batch", "put_events", "put_object"}
    assert {name for name, _ in runtime.sent} <= kept
    assert runtime.sent
    before = len(runtime.sent)
    assert handler_of(step)({"Records": [bad, good]}, None) == {"batchItemFailures": []}
    assert len(runtime.sent) > 2 * before


@pytest.mark.parametrize("step", ["broadcast", "preserve", "notify"])
@fuzzed
@given(values)
def test_an_invalid_batch_is_refused_by_name(runtime, step, event):
    or_refused(lambda: handler_of(step)(event, None), TagshipError)


NOTICE = {
    "messageId": "7",
    "receiptHandle": "any",
    "body": json.dumps({"channel": "bus", "application": "storefront", "fact": "FACT#0"}),
    "attributes": {
        "ApproximateReceiveCount": "1",
        "MessageGroupId": "bus-storefront",
        "MessageDeduplicationId": "bus-0",
    },
}


@fuzzed
@given(data=st.data())
def test_an_unsendable_notice_is_set_aside_and_blocks_no_other(runtime, data):
    runtime.sent.clear()
    errand = data.draw(altered(json.loads(NOTICE["body"])) | values)
    record = data.draw(altered(NOTICE) | st.just({**NOTICE, "body": json.dumps(errand)}))
    try:
        answer = handler_of("notify")({"Records": [record]}, None)
    except EventNotUnderstood:
        return  # it stays in the queue, which sets it aside in the end
    assert answer == {"batchItemFailures": []}
    ((name, sent),) = runtime.sent
    assert (name, sent["QueueUrl"], sent["MessageBody"]) == ("send_message", "aside", record["body"])


@fuzzed
@given(
    altered(
        {
            "slackWebhookSecret": OWN_SECRET,
            "emails": ["a@example.com"],
            "level": "everything",
        }
    )
    | values
)
def test_one_applications_configuration_cannot_suppress_another_applications_freeze_notice(notifications):
    texts = [
        json.dumps({"notifications": each}) for each in (notifications, {"emails": ["team@example.com"]})
    ]
    pages = [{"Parameters": [{"Name": f"/{n}", "Value": text} for n, text in enumerate(texts)]}]
    ssm = SimpleNamespace(get_paginator=lambda _: SimpleNamespace(paginate=lambda **_: pages))
    frozen = {
        "name": "Frozen",
        "application": EVERY_APPLICATION,
        "tag": "",
        "attempt": 0,
        "execution": "",
        "stage": STAGE,
        "who": "ana",
        "at": "2026-11-23T10:00:00.000Z",
        "data": {"why": "x", "starts": "2026-11-23T10:00:00.000Z", "ends": "2026-11-23T14:00:00.000Z"},
    }
    means = SimpleNamespace(client=lambda _: ssm, ledger=SimpleNamespace(stage=STAGE))
    found = readers_of(frozen, "mail", {}, means)
    assert found is not None
    assert {"emails": ["team@example.com"]} in found
    assert all(isinstance(address, str) for reader in found for address in reader["emails"])
    assert all(
        isinstance(reader["slackWebhookSecret"], str)
        for reader in readers_of(frozen, "slack", {}, means) or ()
    )


# ---- the command line -----------------------------------------------------------------------------------------------

TEXTS = (altered(APPLICATION) | altered(MANIFEST)).flatmap(
    lambda document: st.sampled_from(
        [encoded(document), yaml.safe_dump(document, allow_unicode=False).encode()]
        if "\\ud800" not in json.dumps(document, default=str)
        else [encoded(document)]
    )
)


@pytest.mark.parametrize(
    "command",
    [
        ["validate"],
        ["audit", "verify", "--bundle"],
        ["audit", "verify", "--file"],
    ],
    ids=" ".join,
)
@slowly_fuzzed
@given(raw=st.binary(max_size=300) | TEXTS | values.map(encoded))
def test_a_file_given_to_a_command_is_read_or_refused_with_a_reason(tmp_path, command, raw):
    for name in ("application.yaml", "release.json"):
        file = tmp_path / name
        file.write_bytes(raw)
        done = CliRunner().invoke(main, [*command, str(file)])
        assert done.exit_code in {0, 1, 2}, done.output
        assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
        assert "Unexpected error" not in done.output
        assert "\x1b" not in done.output
