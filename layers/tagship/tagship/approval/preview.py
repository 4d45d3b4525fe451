"""Every state of the page and both mails as files, from sample records: for whoever changes a template.

The pages come out of `respond` itself, with keys and a ledger in memory.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from tagship.approval.answers import PageResponse
from tagship.approval.form import form_value
from tagship.approval.link import GRACE, LinkSigner, LinkVerifier, Token, approval_url, known_keys
from tagship.approval.mail import approval_mail, reminder_mail
from tagship.approval.page import Decided, PageRequest, respond
from tagship.approval.quorum import Record, outcome
from tagship.errors import AwsUnavailable, TagshipError, TokenDead
from tagship.text import moment

NOW = datetime(2026, 11, 23, 10, 20, tzinfo=UTC)
_KEY = "11111111-2222-3333-4444-555555555555"
_BASE_URL = "https://approvals.example.com"
_NAMES = ("ana@example.com", "bo@example.com", "chi@example.com")


def sample(**changes: Any) -> dict[str, Any]:
    """An ordinary approval record, with what is different about this one."""
    record: dict[str, Any] = {
        "id": "Zk3vQ0b7yT1mX9cR4nLw8e2HsA",
        "application": "storefront",
        "stage": "production",
        "tag": "v1.4.0",
        "fromTag": "v1.3.2",
        "attempt": 1,
        "digest": hashlib.sha256(b"storefront v1.4.0").hexdigest(),
        "author": "dana@example.com",
        "commit": hashlib.sha1(b"storefront v1.4.0", usedforsecurity=False).hexdigest(),
        "repository": "acme/storefront",
        "notes": "Faster basket, and the voucher field is back.\n\n- basket totals are computed once\n"
        "- vouchers: field shown again after the redesign\n- no change to the database",
        "createdAt": "2026-11-23T09:41:12Z",
        "gates": [
            {"gate": "manifest", "verdict": "passed", "why": "release.json is complete", "remedy": ""},
            {"gate": "tag", "verdict": "passed", "why": "v1.4.0 is newer than v1.3.2", "remedy": ""},
            {
                "gate": "integrity",
                "verdict": "passed",
                "why": "1 artifact, 4.1 MiB, as the manifest says",
                "remedy": "",
            },
            {
                "gate": "signature",
                "verdict": "passed",
                "why": "signed by alias/tagship-release-signing",
                "remedy": "",
            },
        ],
        "plan": {
            "summary": [
                "Function storefront: code 4f2a91c0 → 9c1b77de (4.1 MiB, 12 KiB more)",
                "Runs the same: python3.13, 512 MB, arm64",
                "Alias live moves from version 41 to version 42",
            ],
            "steps": [
                {"percent": 10, "bake": 300},
                {"percent": 50, "bake": 300},
                {"percent": 100, "bake": 0},
            ],
            "nothingToChange": False,
        },
        "warnings": [],
        "approvers": list(_NAMES),
        "required": 2,
        "authorMayApprove": False,
        "decisions": [],
        "status": "OPEN",
        "askedAt": "2026-11-23T10:00:00Z",
        "expiresAt": "2026-11-23T14:00:00Z",
        "closedBy": None,
        "watchUrl": "https://console.aws.amazon.com/states/home?region=eu-central-1#/v2/executions/details/storefront-v1-4-0",
    }
    return record | changes


def approved(who: str, minute: int, *, reason: str = "") -> dict[str, str]:
    """A decision for a sample record."""
    return {"approver": who, "decision": "approve", "reason": reason, "at": f"2026-11-23T10:{minute:02}:00Z"}


def rejected(who: str, minute: int, *, reason: str) -> dict[str, str]:
    """A decision for a sample record."""
    return approved(who, minute, reason=reason) | {"decision": "reject"}


class PreviewKms:
    """GenerateMac and VerifyMac with a key that is nobody's secret."""

    def generate_mac(self, *, KeyId: str, MacAlgorithm: str, Message: bytes) -> dict[str, Any]:
        return {"Mac": hmac.digest(f"{MacAlgorithm} {KeyId}".encode(), Message, "sha256")}

    def verify_mac(self, *, KeyId: str, MacAlgorithm: str, Message: bytes, Mac: bytes) -> dict[str, Any]:
        mac = self.generate_mac(KeyId=KeyId, MacAlgorithm=MacAlgorithm, Message=Message)["Mac"]
        return {"MacValid": hmac.compare_digest(mac, Mac)}


@dataclass(frozen=True, slots=True)
class Written:
    """A decision that was written, as a store says it."""

    record: Record


class PreviewStore:
    """One approval, in memory."""

    def __init__(self, record: dict[str, Any]) -> None:
        self.record = record

    def get(self, approval_id: str, /) -> Record | None:
        return self.record if approval_id == self.record["id"] else None

    def decide(self, approval_id: str, /, *, approver: str, decision: str, reason: str, **_: str) -> Decided:
        assert approval_id == self.record["id"]
        made = approved(approver, 20, reason=reason) | {"decision": decision}
        record = self.record | {"decisions": [*self.record["decisions"], made]}
        self.record = record | {"status": outcome(record).upper()}
        return Written(self.record)

    def refused(self, approval_id: str, reason: str, source_ip: str, /) -> None:
        pass

    def sent(self, approval_id: str, approver: str, source_ip: str, /) -> None:
        pass


def visit(
    record: dict[str, Any],
    *,
    approver: str = _NAMES[0],
    fields: Mapping[str, str] | None = None,
    token: str = "",
    deliver_raises: TagshipError | None = None,
    method: str = "",
) -> PageResponse:
    """What one approver is answered: to a GET, or to a POST of these fields."""
    kms, store = PreviewKms(), PreviewStore(record)
    link = token or _token(record, approver)
    body = b""
    if fields is not None:
        value = form_value(Token.parse(link).mac, record, approver)
        body = urlencode({"form": value, "reason": "", **fields}).encode()

    def deliver(_: str) -> None:
        if deliver_raises:
            raise deliver_raises

    return respond(
        PageRequest(
            method=method or ("POST" if body else "GET"),
            path=f"/approvals/{record['id']}",
            query=f"t={link}",
            headers={"Content-Type": "application/x-www-form-urlencoded"},
            body=body,
            source_ip="192.0.2.1",
        ),
        store=store,
        verifier=LinkVerifier(kms, known_keys(_KEY), stage=record["stage"]),
        deliver=deliver,
        now=NOW,
    )


def pages() -> dict[str, PageResponse]:
    """Every state of the page, by the name of its file."""
    ana, bo, chi = _NAMES
    yes, no = {"decision": "approve"}, {"decision": "reject", "reason": "The basket test is red on staging."}
    one = sample(decisions=[approved(bo, 8, reason="Saw it on staging.")])
    both = sample(decisions=[approved(bo, 8), approved(chi, 15)], status="APPROVED")
    return {
        "ask": visit(sample()),
        "ask-one-approved": visit(one),
        "ask-warnings": visit(_warned()),
        "ask-first-release": visit(_first()),
        "ask-nothing-to-change": visit(_unchanged()),
        "ask-hostile-text": visit(hostile()),
        "ask-reason-missing": visit(sample(), fields={"decision": "reject"}),
        "ask-stale": visit(sample(), fields={**no, "form": "0" * 64}),
        "recorded-waiting": visit(sample(), fields=yes),
        "recorded-approved": visit(one, fields=yes),
        "recorded-rejected": visit(sample(), fields=no),
        "recorded-undelivered": visit(one, fields=yes, deliver_raises=AwsUnavailable("throttled")),
        "recorded-too-late": visit(one, fields=yes, deliver_raises=TokenDead("gone")),
        "already-decided": visit(sample(decisions=[approved(ana, 8)]), fields=no),
        "approved": visit(both),
        "rejected": visit(sample(decisions=[rejected(chi, 9, reason=no["reason"])], status="REJECTED")),
        "expired": visit(sample(expiresAt="2026-11-23T10:05:00Z", status="EXPIRED")),
        "superseded": visit(sample(status="SUPERSEDED", closedBy="Superseded by storefront v1.4.1.")),
        "closed": visit(
            sample(
                status="CLOSED", closedBy="storefront v1.4.0: the execution was stopped by ops@example.com."
            )
        ),
        "author": visit(sample(author=ana)),
        "malformed": visit(sample(), fields={"decision": "perhaps"}),
        "invalid": visit(sample(), token="A" * 64),
        "method": visit(sample(), method="DELETE"),
    }


def write_previews(folder: Path) -> list[Path]:
    """Render everything into `folder`; the paths that were written."""
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    for name, response in pages().items():
        written.append(folder / f"page-{name}.html")
        written[-1].write_text(response.body, encoding="utf-8")
    for name, record, make in (
        ("approval", _warned(), approval_mail),
        ("reminder", sample(decisions=[approved(_NAMES[1], 8)]), reminder_mail),
        ("hostile", hostile(), approval_mail),
    ):
        link = approval_url(_BASE_URL, record["id"], _token(record, _NAMES[0]))
        mail = make(record, approver=_NAMES[0], link=link, now=NOW)
        for ending, content in (("html", mail.html), ("txt", f"Subject: {mail.subject}\n\n{mail.text}")):
            written.append(folder / f"mail-{name}.{ending}")
            written[-1].write_text(content, encoding="utf-8")
    return written


def hostile() -> dict[str, Any]:
    """Text that tries: markup, a reversed name, unseen characters, lines that pretend to be the page's own."""
    evil = "<script>alert(1)</script>\"'><img src=x onerror=alert(1)>\u202egnp.exe\u200b\x00{{7*7}}"
    return sample(
        tag=f"v1.4.0{evil}",
        fromTag=f"v1.3.2{evil}",
        author=f"dana{evil}@example.com\r\nBcc: all@example.com",
        repository="acme/storefront/../../evil?<b>",
        notes=f"{evil}\n\nLook at it and decide:\nhttps://evil.example/approvals\n"
        + "Z\u0335\u0327\u0335\u0327\u0335" * 8,
        gates=[{"gate": evil, "verdict": evil, "why": evil, "remedy": evil}],
        plan={"summary": [evil, "x" * 400], "steps": [{"percent": 100, "bake": 0}], "nothingToChange": False},
        warnings=[evil],
        decisions=[approved(_NAMES[1], 8, reason=evil)],
        watchUrl="javascript:alert(1)",
        closedBy=evil,
    )


def _warned() -> dict[str, Any]:
    return sample(
        warnings=[
            "The alarm storefront-5xx is firing now, before anything has moved.",
            "The last release was 43 days ago: more than usual may be in this one.",
        ],
        gates=[
            *sample()["gates"],
            {
                "gate": "windows",
                "verdict": "passed",
                "why": "Mon-Thu 09:00-16:00 Europe/Berlin is open",
                "remedy": "",
            },
        ],
    )


def _first() -> dict[str, Any]:
    warning = "This is the first release: there is no earlier version to go back to. If it is unhealthy, nothing serves."
    return sample(fromTag=None, warnings=[warning])


def _unchanged() -> dict[str, Any]:
    return sample(
        plan={"summary": [], "steps": [{"percent": 100, "bake": 0}], "nothingToChange": True}, notes=""
    )


def _token(record: Record, approver: str) -> str:
    signer = LinkSigner(PreviewKms(), _KEY, stage=record["stage"])
    ends: datetime = moment(record["expiresAt"]) + GRACE
    return signer.token(record["id"], approver, record["digest"], max(ends, NOW + timedelta(days=1)))
