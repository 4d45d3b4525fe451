"""Only GitHub, for this application's repository and environment, can have a job recorded; everybody else learns nothing."""

from __future__ import annotations

import hashlib
import hmac
import json
from dataclasses import dataclass, field
from typing import Any

import pytest
from botocore.exceptions import ClientError
from hypothesis import given

from tagship.approval.page.answers import PageResponse
from tagship.approval.page.github_jobs import MAX_BODY, Inbox, Refused, parsed, respond
from tagship.approval.page.page import PageRequest
from tagship.ledger import jobs
from tagship.ledger.table import Ledger
from tests.github_server import WEBHOOK_SECRET, asking
from tests.security.test_fuzz import altered, can_be_stored, fuzzed, or_refused, values
from tests.unit.tables import NOW

OTHERS_SECRET = "5e884898da28047151d0e56f8dc62927"
SECRETS = {
    "tagship/production/storefront/github-webhook": WEBHOOK_SECRET,
    "tagship/production/checkout/github-webhook": OTHERS_SECRET,
    "tagship/production/weak/github-webhook": "",
}
RULE = {"repository": "acme/storefront", "protectionRule": {"environment": "production"}}


@dataclass
class Aws:
    """Secrets Manager and Parameter Store, as far as the page asks them."""

    asked: list[str] = field(default_factory=list)
    document: Any = field(default_factory=lambda: {"notifications": {"github": RULE}})
    down: str = ""

    def get_secret_value(self, *, SecretId: str) -> dict[str, str]:
        self.asked.append(SecretId)
        if self.down == "secrets":
            raise _error("ServiceUnavailable")
        if SecretId not in SECRETS:
            raise _error("ResourceNotFoundException")
        return {"SecretString": SECRETS[SecretId]}

    def get_parameter(self, *, Name: str, WithDecryption: bool) -> dict[str, Any]:
        self.asked.append(Name)
        if self.document is None:
            raise _error("ParameterNotFound")
        return {"Parameter": {"Value": json.dumps(self.document)}}


def _error(code: str) -> ClientError:
    return ClientError({"Error": {"Code": code, "Message": "planted"}}, "Planted")


@dataclass
class Log:
    lines: list[str] = field(default_factory=list)

    def warning(self, message: str, *arguments: object) -> None:
        self.lines.append(message % arguments)


@dataclass
class Here:
    """The page of a stage, and what it wrote down."""

    ledger: Ledger
    aws: Aws = field(default_factory=Aws)
    log: Log = field(default_factory=Log)
    guarded: bool = False

    def send(
        self,
        payload: Any = None,
        *,
        body: bytes | None = None,
        key: str = WEBHOOK_SECRET,
        path: str = "/github/storefront",
        method: str = "POST",
        signature: str | None = None,
        **headers: str,
    ) -> PageResponse:
        body = json.dumps(asking() if payload is None else payload).encode() if body is None else body
        right = "sha256=" + hmac.new(key.encode(), body, hashlib.sha256).hexdigest()
        signed = {
            "X-GitHub-Event": "deployment_protection_rule",
            "X-Hub-Signature-256": right if signature is None else signature,
        }
        request = PageRequest(method, path, "", signed | headers, body, "140.82.112.1")
        inbox = Inbox(
            ledger=self.ledger,
            secrets=self.aws,
            ssm=lambda: self.aws,  # type: ignore[arg-type, return-value]
            guarded=self.guarded,
            now=self.ledger.now(),
        )
        return respond(request, inbox, log=self.log)

    @property
    def recorded(self) -> list[int]:
        """The jobs of v1.4.0, by GitHub's ids; and one fact for each."""
        facts = [it for it in self.ledger.facts_in_order("storefront") if it["name"] == "Job Waiting"]
        found = [job.id for job in jobs.waiting(self.ledger, "storefront", "v1.4.0")]
        assert len(facts) == len(found)
        return found


@pytest.fixture
def here(ledger: Ledger) -> Here:
    return Here(ledger)


def test_a_signed_request_is_recorded_once_however_often_it_comes(here: Here) -> None:
    """Fault 135: redelivered by a person, or replayed by somebody who has read it."""
    answers = {(answer.status, answer.body) for answer in (here.send(), here.send(), here.send())}
    assert answers == {(202, "Recorded: storefront answers when the release has ended.")}
    assert here.recorded == [4189575565]
    assert here.send(asking(number=7)).status == 202
    assert here.recorded == [4189575565, 7]


BODY = json.dumps(asking()).encode()
MAC = hmac.new(WEBHOOK_SECRET.encode(), BODY, hashlib.sha256).hexdigest()
UNSIGNED: dict[str, dict[str, Any]] = {
    "no signature": {"signature": ""},
    "a wrong signature": {"signature": "sha256=" + "0" * 64},
    "a truncated one": {"signature": f"sha256={MAC[:-1]}"},
    "in capitals": {"signature": f"sha256={MAC.upper()}"},
    "without its algorithm": {"signature": MAC},
    "by an older algorithm": {
        "signature": "sha1=" + hmac.new(WEBHOOK_SECRET.encode(), BODY, hashlib.sha1).hexdigest()
    },
    "two of them": {"signature": f"sha256={MAC},sha256={MAC}"},
    "of another body": {"body": BODY + b" ", "signature": f"sha256={MAC}"},
    "by another application's App": {"key": OTHERS_SECRET},
    "for another application": {"path": "/github/checkout"},
    "for an application without a secret": {"path": "/github/unknown"},
    "with an empty secret": {"path": "/github/weak", "key": ""},
    "for a path that is none": {"path": "/github/../storefront"},
    "with more of a path": {"path": "/github/storefront/x"},
    "a GET": {"method": "GET"},
    "more than a megabyte": {"body": b" " * (MAX_BODY + 1)},
}


@pytest.mark.parametrize("request_", UNSIGNED.values(), ids=UNSIGNED)
def test_a_request_not_from_github_learns_nothing_and_writes_nothing(
    here: Here, request_: dict[str, Any]
) -> None:
    answer = here.send(**request_)
    assert (answer.status, answer.body) == (403, "")
    assert list(here.ledger.facts_in_order("storefront")) == []
    assert not any("parameter" in asked or asked.startswith("/") for asked in here.aws.asked)
    assert WEBHOOK_SECRET not in "".join(here.log.lines)


def test_a_request_that_cannot_be_githubs_costs_no_call(here: Here) -> None:
    for name in ("no signature", "more than a megabyte", "by an older algorithm", "a GET"):
        here.send(**UNSIGNED[name])
    assert here.aws.asked == []


def test_the_comparison_takes_the_same_time_for_every_signature(
    here: Here, monkeypatch: pytest.MonkeyPatch
) -> None:
    compared = []
    compare = hmac.compare_digest
    monkeypatch.setattr(hmac, "compare_digest", lambda *two: compared.append(two) or compare(*two))
    here.send(signature="sha256=" + "0" * 64)
    assert [len(one) == len(other) == 71 for one, other in compared] == [True]


API = "https://api.github.com"
FOREIGN: dict[str, tuple[dict[str, Any], int]] = {
    "of another repository": ({"repository": {"full_name": "evil/storefront"}}, 403),
    "of another environment": ({"environment": "staging"}, 403),
    "answered elsewhere": (asking("https://evil.example.com"), 403),
    "answered for another run's repository": (
        {
            "deployment_callback_url": f"{API}/repos/evil/x/actions/runs/1/deployment_protection_rule",
        },
        403,
    ),
    "of another action": ({"action": "completed"}, 400),
    "without an installation": ({"installation": None}, 400),
    "with a list for its deployment": ({"deployment": []}, 400),
    "with an id that is none": ({"deployment": {"id": True}}, 400),
    "with two commits": ({"deployment": {"id": 7, "sha": "f" * 40}}, 400),
    "with two refs": ({"deployment": {"id": 7, "ref": "v9.9.9"}}, 400),
    "with a short commit": ({"sha": "0123456"}, 400),
    "with a surrogate": ({"environment": "\ud800"}, 400),
    "that is older than 30 days": ({"deployment": {"id": 7, "created_at": "2026-10-20T10:00:00Z"}}, 410),
}


@pytest.mark.parametrize("changes, status", FOREIGN.values(), ids=FOREIGN)
def test_a_signed_request_that_is_not_for_this_application_is_not_recorded(
    here: Here, changes: dict[str, Any], status: int
) -> None:
    """GitHub gets the reason, which it shows to the App's owner."""
    answer = here.send(asking(**changes))
    assert answer.status == status
    assert answer.body
    assert here.recorded == []


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"null", b'"x"', b"[" * 100_000, b"\xff"])
def test_a_signed_body_of_any_other_form_is_refused_in_words(here: Here, body: bytes) -> None:
    assert here.send(body=body).status == 400
    assert here.recorded == []


@fuzzed
@given(altered(asking() | {"deployment": {"id": 7, "created_at": "2026-11-23T09:00:00Z"}}) | values)
def test_a_signed_payload_of_any_content_is_refused_or_can_be_stored(payload: Any) -> None:
    found = or_refused(lambda: parsed(json.dumps(payload).encode(), NOW), Refused)
    if found is not None:
        job, _, created = found
        assert created.tzinfo is not None
        can_be_stored(job.to_dict())


@pytest.mark.parametrize(
    "document",
    [
        None,
        {},
        [],
        {"notifications": {"github": {"repository": "acme/storefront"}}},
        {"notifications": {"github": RULE | {"protectionRule": "production"}}},
    ],
)
def test_an_application_without_a_rule_records_nothing(here: Here, document: Any) -> None:
    here.aws.document = document
    answer = here.send()
    assert (answer.status, "has no notifications.github.protectionRule" in answer.body) == (404, True)
    assert here.recorded == []


def test_a_guarded_stage_takes_only_the_rule_that_was_approved(here: Here) -> None:
    here.guarded = True
    assert here.send().status == 404, "the parameter alone does not count"
    item = {"pk": "APPLICATION#storefront", "sk": "CONFIGURATION", "document": here.aws.document}
    here.ledger.client.put_item(TableName=here.ledger.table, Item=here.ledger.put(item)["Put"]["Item"])
    here.aws.document = None
    assert here.send().status == 202
    assert here.recorded == [4189575565]


def test_a_ping_and_the_apps_own_events_are_answered_and_do_nothing(here: Here) -> None:
    for event in ("ping", "installation"):
        assert here.send({"zen": "x"}, **{"X-GitHub-Event": event}).status == 202
    assert here.recorded == []


def test_secrets_that_cannot_be_read_answer_503_and_a_redelivery_succeeds(here: Here) -> None:
    here.aws.down = "secrets"
    assert here.send().status == 503
    here.aws.down = ""
    assert here.send().status == 202


def test_a_tag_keeps_its_newest_jobs_and_a_branch_is_recorded_to_be_rejected(
    here: Here, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(jobs, "MOST", 3)
    for number in range(1, 6):
        assert here.send(asking(number=number)).status == 202
    found = [job.id for job in jobs.waiting(here.ledger, "storefront", "v1.4.0")]
    assert found == [3, 4, 5]
    assert here.send(asking(ref="main", number=999)).status == 202
    assert [job.ref for job in jobs.waiting(here.ledger, "storefront", "")] == ["main"]
