"""Shared by the approval tests: keys, a ledger and a state machine in memory, and one approver's browser."""

from __future__ import annotations

import hmac
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from html.parser import HTMLParser
from typing import Any
from urllib.parse import urlencode

from botocore.exceptions import ClientError

from tagship.approval.link import LinkSigner, LinkVerifier, known_keys
from tagship.approval.page.answers import PageResponse
from tagship.approval.page.page import Page, PageRequest, answered
from tagship.approval.proof import Proof
from tagship.approval.quorum import outcome
from tagship.model.errors import AlreadyDecided, ApprovalClosed, ApprovalExpired
from tagship.model.records import ReleaseRecord, RequestRecord
from tagship_cli.actions.previews import NOW, approved, rejected, sample

__all__ = ["NOW", "approved", "rejected", "sample"]

ANA, BO, CHI = "ana@example.com", "bo@example.com", "chi@example.com"
KEY = "aaaaaaaa-0000-4000-8000-000000000001"
OLD_KEY = "aaaaaaaa-0000-4000-8000-000000000002"
STAGE = "production"
LATER = NOW + timedelta(days=8)


def huge() -> RequestRecord:
    """A plan of 300 dangerous changes and 300 others, with long text in everything else."""
    replaced = [
        f"Replaces the table Orders{number} (AWS::DynamoDB::Table): its data is lost."
        for number in range(300)
    ]
    changed = [f"Changes AWS::SQS::Queue Queue{number}, because of {'Tags & ' * 60}" for number in range(300)]
    return sample(
        tag=f"v1.4.0-{'x' * 120}",
        warnings=replaced,
        plan={
            "summary": replaced + changed,
            "steps": [{"percent": 10, "bake": 300}, {"percent": 100, "bake": 0}],
            "nothingToChange": False,
        },
        gates=[
            {"gate": f"gate-{number}", "verdict": "failed", "why": "because & so <on> " * 40, "remedy": ""}
            for number in range(20)
        ],
        approvers=[ANA, BO, *(f"{number}-{'x' * 40}@example.com" for number in range(28))],
        notes="A line of the notes & more\n" * 2000,
    )


class FakeKms:
    """GenerateMac and VerifyMac as KMS answers them; `fails_with` is an error code that it answers instead."""

    def __init__(self) -> None:
        self.fails_with = ""
        self.verified = 0

    def generate_mac(self, *, KeyId, MacAlgorithm, Message) -> dict[str, Any]:
        self._fail("GenerateMac")
        assert MacAlgorithm == "HMAC_SHA_256"
        assert 1 <= len(Message) <= 4096
        return {"Mac": hmac.digest(b"secret of " + KeyId.encode(), Message, "sha256"), "KeyId": KeyId}

    def verify_mac(self, *, KeyId, MacAlgorithm, Message, Mac) -> dict[str, Any]:
        self.verified += 1
        self._fail("VerifyMac")
        if not hmac.compare_digest(hmac.digest(b"secret of " + KeyId.encode(), Message, "sha256"), Mac):
            raise ClientError({"Error": {"Code": "KMSInvalidMacException", "Message": ""}}, "VerifyMac")
        return {"MacValid": True, "KeyId": KeyId}

    def _fail(self, operation: str) -> None:
        if self.fails_with:
            raise ClientError({"Error": {"Code": self.fails_with, "Message": "no"}}, operation)


@dataclass(frozen=True, slots=True)
class Written:
    """A store's result after a decision."""

    record: RequestRecord


@dataclass
class FakeStore:
    """Approvals in memory, with the ledger's conditions; `before_decide` is what others do just before a write."""

    records: dict[str, dict[str, Any]] = field(default_factory=dict)
    refusals: list[tuple[str, str, str]] = field(default_factory=list)
    proofs: dict[str, Proof] = field(default_factory=dict)
    writes: int = 0
    before_decide: Callable[[], None] | None = None
    now: datetime = NOW

    def put(self, record: Mapping[str, Any]) -> None:
        self.records[record["id"]] = dict(record)

    def get(self, approval_id, /) -> RequestRecord | None:
        return self.records.get(approval_id)

    def decide(self, approval_id, /, *, approver, decision, reason, identity, proof) -> Written:
        if self.before_decide:
            happens, self.before_decide = self.before_decide, None
            happens()
        record = self.records[approval_id]
        if any(made["approver"] == approver for made in record["decisions"]):
            raise AlreadyDecided(approver)
        if record["status"] == "EXPIRED":
            raise ApprovalExpired(approval_id)
        if record["status"] != "OPEN":
            raise ApprovalClosed(approval_id)
        made = {"approver": approver, "decision": decision, "reason": reason, "at": self.now.isoformat()}
        made |= {"identity": identity} if identity else {}
        decided = record | {"decisions": [*record["decisions"], made]}
        decided["status"] = outcome(decided).upper()
        self.records[approval_id] = decided
        self.proofs[approver] = proof
        self.writes += 1
        return Written(decided)

    def refused(self, approval_id, reason, source_ip, /) -> None:
        self.refusals.append((approval_id, reason, source_ip))

    def sent(self, approval_id, approver, source_ip, /) -> None:
        pass


class Delivery:
    """The state machine's side: what it received, and how it answers."""

    def __init__(self) -> None:
        self.delivered: list[str] = []
        self.raises: Exception | None = None

    def __call__(self, approval_id: str) -> None:
        if self.raises:
            raise self.raises
        self.delivered.append(approval_id)


def link(record: Mapping[str, Any], approver: str = ANA, *, expires: datetime = LATER, **other: Any) -> str:
    """One approver's token."""
    signer = LinkSigner(other.get("kms") or FakeKms(), other.get("key", KEY), stage=other.get("stage", STAGE))
    return signer.token(record["id"], approver, record["digest"], expires)


@dataclass
class Site:
    """The page over a store, keys and a state machine in memory."""

    store: FakeStore = field(default_factory=FakeStore)
    kms: FakeKms = field(default_factory=FakeKms)
    deliver: Delivery = field(default_factory=Delivery)
    now: datetime = NOW
    base_url: str = ""
    waits: Callable[[RequestRecord], bool] | None = None
    login: Any = None
    release_of: Callable[[RequestRecord], ReleaseRecord] | None = None
    believed: list[str] = field(default_factory=list)
    """Which requests somebody has proved to be here for."""

    @property
    def record(self) -> dict[str, Any]:
        (record,) = self.store.records.values()
        return record

    def request(self, method="GET", path="", query="", headers=None, body=b"", cookies=None) -> PageResponse:
        page = Page(
            store=self.store,
            verifier=LinkVerifier(self.kms, known_keys(KEY, OLD_KEY), stage=STAGE),
            deliver=self.deliver,
            now=self.now,
            base_url=self.base_url,
            waits=self.waits,
            login=self.login,
            release_of=self.release_of,
            believed=lambda record: self.believed.append(record["tag"]),
        )
        path = path or f"/approvals/{self.record['id']}"
        return answered(
            page, PageRequest(method, path, query, headers or {}, body, "192.0.2.7", cookies or {})
        )


@dataclass
class Browser:
    """One approver: opens the link, and sends what the page's form holds."""

    site: Site
    approver: str = ANA
    token: str = ""
    form: str = ""
    number: str = ""

    def __post_init__(self) -> None:
        self.token = self.token or link(self.site.record, self.approver)

    def open(self, method: str = "GET") -> PageResponse:
        page = self.site.request(method, query=f"t={self.token}")
        if found := re.search(r'name="form" value="([0-9a-f]*)"', page.body):
            self.form = found[1]
            self.number = number_on(page.body)
        return page

    def send(
        self, decision: str = "approve", reason: str = "", *, headers=None, **fields: str
    ) -> PageResponse:
        typed = {"form": self.form, "number": self.number, "decision": decision, "reason": reason}
        body = urlencode(typed | fields).encode()
        return self.post(body, headers=headers)

    def post(self, body: bytes, *, headers=None) -> PageResponse:
        sent = {"Content-Type": "application/x-www-form-urlencoded", **(headers or {})}
        return self.site.request("POST", query=f"t={self.token}", headers=sent, body=body)

    def decide(self, decision: str = "approve", reason: str = "", **options: Any) -> PageResponse:
        """As a person does: look, then press a button."""
        self.open()
        return self.send(decision, reason, **options)


def number_on(page: str) -> str:
    """The number that a person reads above the buttons and types."""
    return re.findall(r'<strong class="number">(\d{3})</strong>', page)[0]


def site(**changes: Any) -> Site:
    """A site with one sample approval."""
    made = Site()
    made.store.put(sample(**changes))
    return made


_INLINE = frozenset({"a", "bdi", "code", "span", "strong", "time"})


class _Reader(HTMLParser):
    """A page as a browser takes it apart."""

    def __init__(self) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self._skipped = 0

    def handle_starttag(self, tag, attrs) -> None:
        self.elements.append((tag, dict(attrs)))
        self._skipped += tag in ("style", "svg")
        self.words.append("" if tag in _INLINE else " ")

    def handle_endtag(self, tag) -> None:
        self._skipped -= tag in ("style", "svg")
        self.words.append("" if tag in _INLINE else " ")

    def handle_data(self, data) -> None:
        if not self._skipped:
            self.words.append(data)


def elements_of(page: str) -> list[tuple[str, dict[str, str | None]]]:
    """A page's elements with their attributes."""
    reader = _Reader()
    reader.feed(page)
    return reader.elements


def text_of(page: str) -> str:
    """A page's text without markup and style."""
    reader = _Reader()
    reader.feed(page)
    return re.sub(r"\s+", " ", "".join(reader.words))
