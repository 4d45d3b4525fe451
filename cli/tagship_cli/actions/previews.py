"""Writes every state of the page, the mails and the Slack messages as files, from sample records.

It is for people who change a template, and for teams that want to see what their approvers will receive.

`Page` itself renders the pages, with keys and a ledger in memory.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any, cast
from urllib.parse import urlencode

from tagship import gates
from tagship.approval.link import GRACE, LinkSigner, LinkVerifier, Token, approval_url, known_keys
from tagship.approval.page.answers import PageResponse, plain
from tagship.approval.page.form import challenge
from tagship.approval.page.page import Decided, Page, PageRequest, answered
from tagship.approval.quorum import outcome
from tagship.approval.request.mail import Mail, approval_mail, escalation_mail, reminder_mail
from tagship.approval.request.slack import announcement, invitation
from tagship.model.application import Application
from tagship.model.errors import AwsUnavailable, TagshipError, TokenDead
from tagship.model.records import (
    Decision,
    Document,
    PauseTerms,
    PinnedGroup,
    ReleaseRecord,
    RequestRecord,
    RuleData,
    StepData,
)
from tagship.model.rollout import time_to_see, traffic_steps
from tagship.model.rules import everyone, filling, places, rules_of
from tagship.slack.messages import Message
from tagship.targets import kind_of
from tagship.text.times import moment

NOW = datetime(2026, 11, 23, 10, 20, tzinfo=UTC)
_KEY = "11111111-2222-3333-4444-555555555555"
_BASE_URL = "https://approvals.example.com"
_NAMES = ("ana@example.com", "bo@example.com", "chi@example.com")


@dataclass(frozen=True, slots=True, kw_only=True)
class Surroundings:
    """What people see around a request: the application's health checks, and warnings that its gates could give."""

    checks: Sequence[Mapping[str, str]]
    warnings: Sequence[str]
    broken: str
    """Why a release was rolled back."""


_LATE = "The last release was 43 days ago, so this one may contain more changes than usual."
SAMPLE = Surroundings(
    checks=[
        {"check": "storefront-5xx", "verdict": "healthy", "why": "the alarm is OK"},
        {"check": "http https://storefront.example.com/health", "verdict": "healthy", "why": "5 of 5 passed"},
    ],
    warnings=["The alarm storefront-5xx is firing now, before anything has moved.", _LATE],
    broken="http https://storefront.example.com: status 500, not 200",
)


_CHANGES: dict[str, object] = {
    "since": "v1.3.2",
    "count": 3,
    "commits": [
        {"commit": "3" * 40, "subject": "Show the voucher field again", "author": "Dana"},
        {"commit": "2" * 40, "subject": "Compute basket totals once", "author": "Dana"},
        {"commit": "1" * 40, "subject": "Test the basket with 200 items", "author": "Eve"},
    ],
    "compare": "https://github.com/acme/storefront/compare/v1.3.2...v1.4.0",
}


def sample(**changes: object) -> RequestRecord:
    """An ordinary approval record, with the given changes."""
    record: dict[str, object] = {
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
        "changes": _CHANGES,
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
    return cast("RequestRecord", record | changes)


def can_pause(about: Mapping[str, object]) -> bool:
    """Whether there is a step after which the rollout can be paused."""
    return len(sample(**about)["plan"]["steps"]) > 1


def paused(
    about: Mapping[str, object], own: Surroundings = SAMPLE, *, by: str = "", status: str = "OPEN"
) -> RequestRecord:
    """The request of a paused rollout: paused where the strategy says so, or after the first step."""
    steps = sample(**about)["plan"]["steps"]
    before = next((number for number, step in enumerate(steps, start=1) if "pause" in step), 1)
    default: PauseTerms = {"timeout": 3600, "onTimeout": "rollback"}
    wanted = steps[before - 1].get("pause", default)
    pause = {
        "number": 1,
        "step": f"{before} of {len(steps)}",
        "percent": steps[before - 1]["percent"],
        "nextPercent": steps[before]["percent"],
        "onTimeout": wanted["onTimeout"],
        "by": by,
        "why": "The error rate looks odd; checking the logs." if by else "",
    }
    terms = {
        "status": status,
        "required": 1,
        "rules": [],
        "askedAt": "2026-11-23T10:05:00Z",
        "expiresAt": (NOW - timedelta(minutes=15) + timedelta(seconds=wanted["timeout"])).isoformat(),
        "pause": pause,
        "looked": {"at": "2026-11-23T10:19:10Z", "checks": own.checks},
    }
    return sample(**{**about, **terms})


def approved(who: str, minute: int, *, reason: str = "") -> Decision:
    """A decision for a sample record."""
    return {"approver": who, "decision": "approve", "reason": reason, "at": f"2026-11-23T10:{minute:02}:00Z"}


def rejected(who: str, minute: int, *, reason: str) -> Decision:
    """A decision for a sample record."""
    return approved(who, minute, reason=reason) | {"decision": "reject"}


class PreviewKms:
    """GenerateMac and VerifyMac with a key that is not secret."""

    def generate_mac(self, *, KeyId: str, MacAlgorithm: str, Message: bytes) -> dict[str, bytes]:
        return {"Mac": hmac.digest(f"{MacAlgorithm} {KeyId}".encode(), Message, "sha256")}

    def verify_mac(self, *, KeyId: str, MacAlgorithm: str, Message: bytes, Mac: bytes) -> dict[str, bool]:
        mac = self.generate_mac(KeyId=KeyId, MacAlgorithm=MacAlgorithm, Message=Message)["Mac"]
        return {"MacValid": hmac.compare_digest(mac, Mac)}


@dataclass(frozen=True, slots=True)
class Written:
    """A written decision, as a store returns it."""

    record: RequestRecord


class PreviewStore:
    """One approval, in memory."""

    def __init__(self, record: RequestRecord) -> None:
        self.record = record

    def get(self, approval_id: str, /) -> RequestRecord | None:
        return self.record if approval_id == self.record["id"] else None

    def decide(
        self, approval_id: str, /, *, approver: str, decision: str, reason: str, **_: object
    ) -> Decided:
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
    record: RequestRecord,
    *,
    approver: str = _NAMES[0],
    fields: Mapping[str, str] | None = None,
    token: str = "",
    deliver_raises: TagshipError | None = None,
    method: str = "",
    release: Mapping[str, object] | None = None,
    follow: bool = False,
) -> PageResponse:
    """One approver's response: to a GET, or to a POST of these fields."""
    kms, store = PreviewKms(), PreviewStore(record)
    link = token or _token(record, approver)
    body = b""
    if fields is not None:
        asks = challenge(Token.parse(link).mac, record, approver, NOW)
        body = urlencode({"form": asks.value, "number": asks.number, "reason": "", **fields}).encode()

    def deliver(_: str) -> None:
        if deliver_raises:
            raise deliver_raises

    page = Page(
        store=store,
        verifier=LinkVerifier(kms, known_keys(_KEY), stage=record["stage"]),
        deliver=deliver,
        now=NOW,
        release_of=(lambda _: cast("ReleaseRecord", release)) if release else None,
    )
    return answered(
        page,
        PageRequest(
            method=method or ("POST" if body else "GET"),
            path=f"/approvals/{record['id']}",
            query=f"t={link}&follow=1" if follow else f"t={link}",
            headers={"Content-Type": "application/x-www-form-urlencoded"},
            body=body,
            source_ip="192.0.2.1",
        ),
    )


def of_application(document: Document, *, stage: str) -> dict[str, Any]:
    """What is different about the sample for a team's own application: its people, policy, plan and traffic."""
    policy, strategy = document["approval"], strategy_of(document)
    application = Application.from_dict(document)
    rules = rules_of(policy, _members(policy))
    name = application.application
    return {
        "application": name,
        "stage": stage,
        "changes": {
            **_CHANGES,
            "compare": f"https://github.com/acme/{name}/compare/v1.3.2...v1.4.0",
        },
        "watchUrl": sample()["watchUrl"].replace("storefront", name),
        "gates": [
            *(
                {"gate": gate.name, "verdict": "passed", "why": "Sample result.", "remedy": ""}
                for gate in gates.running(application)
            ),
            *(result.as_dict() for result in gates.unused(application)),
        ],
        "repository": f"acme/{document['application']}",
        "approvers": _in_order(rules),
        "required": sum(map(places, rules)),
        "authorMayApprove": policy["authorMayApprove"],
        "rules": rules,
        "countInEveryRule": policy["countInEveryRule"],
        "reasonToApprove": policy["reasonToApprove"],
        "expiresAt": (NOW - timedelta(minutes=20) + timedelta(seconds=policy["expires"])).isoformat(),
        "plan": sample()["plan"] | {"summary": _planned(application.target), "steps": strategy},
        "own": _surroundings(application),
    }


def _planned(target: Any) -> list[str]:
    """The sample plan of this kind of target, with the names of this one."""
    kind = kind_of(target)
    names = {
        value: getattr(target, field)
        for field, value in reversed(list(kind.example.items()))
        if isinstance(value, str) and isinstance(getattr(target, field, None), str)
    }
    known = "|".join(re.escape(name) for name in sorted(names, key=len, reverse=True))
    return [re.sub(rf"(?<![\w.-])({known})(?![\w-])", lambda it: names[it[0]], line) for line in kind.planned]


def _surroundings(application: Application) -> Surroundings:
    health = application.health
    names = [check.label(application.application) for check in health.checks]
    fires = [f"The alarm {name} is firing now, before anything has moved." for name in health.alarms[:1]]
    return Surroundings(
        checks=[{"check": name, "verdict": "healthy", "why": "sample result"} for name in names],
        warnings=[*fires, _LATE],
        broken=f"{names[0]}: unhealthy (sample result)",
    )


def _in_order(rules: Sequence[RuleData]) -> list[str]:
    """The viewer of the page first, then people who together meet the rules, then all others."""
    people = everyone(rules)
    meeting = [who for _, those in filling(rules, people) for who in those]
    spare = [who for who in people if who not in meeting]
    return [*spare[:1], *meeting, *spare[1:]]


def _members(policy: Mapping[str, Any]) -> dict[str, PinnedGroup]:
    """Sample members for each group in the rules, one more than must approve. The real members are not looked up."""
    return {
        rule["group"]: {
            "members": [
                f"{rule['group']}-{number + 1}@example.com" for number in range(rule["required"] + 1)
            ],
            "tag": "",
            "digest": "",
        }
        for rule in policy["rules"]
        if rule["group"]
    }


def strategy_of(document: Document) -> list[StepData]:
    """The traffic steps of an application's document, as a plan has them."""
    application = Application.from_dict(document)
    steps = traffic_steps(
        application.strategy, kind_of(application.target).step_seconds, floor=time_to_see(application.health)
    )
    return [step.as_dict() for step in steps]


def pages(*, own: Surroundings = SAMPLE, **about: object) -> dict[str, PageResponse]:
    """Every state of the page, by file name. `about` changes fields of the sample release, `own` what is around it.

    States that need more approvers than there are, are left out, and a pause where traffic moves in one step. Another
    application than the sample's has no pages of the sample's rules or of hostile text.
    """
    made = partial(sample, **about)
    title = f"{made()['application']} {made()['tag']}"
    me, *others = made()["approvers"]
    required = made()["required"]
    show = partial(visit, approver=me)
    yes = {"decision": "approve", "reason": "I looked at the plan."}
    no = {"decision": "reject", "reason": "The basket test is red on staging."}
    nearly = made(decisions=[approved(who, 8, reason="Saw it on staging.") for who in others[: required - 1]])
    all_but_me = [approved(who, 15) for who in others[:required]]
    both = made(decisions=all_but_me, status="APPROVED")
    running = {"status": "RUNNING", "phase": "deployment", "percent": made()["plan"]["steps"][0]["percent"]}
    outdated = (
        f"v1.3.1 was deployed first, so {title} is planned again and needs approval again. "
        "Earlier decisions do not count."
    )
    pauses: dict[str, PageResponse] = {}
    samples: dict[str, PageResponse] = {}
    if can_pause(about):
        operator = "arn:aws:sts::123456789012:assumed-role/ops/kim"
        pauses = {
            "ask-paused": show(paused(about, own)),
            "ask-paused-by-an-operator": show(paused(about, own, by=operator)),
            "paused-continued": show(paused(about, own), fields=yes, release=running),
            "paused-rolled-back": show(paused(about, own), fields=no),
            "paused-expired": show(paused(about, own, status="EXPIRED")),
        }
    if own is SAMPLE:
        samples = {
            "ask-rules": show(_ruled(me)),
            "left-the-group": show(_ruled("eve@example.com", left=me)),
            "ask-hostile-text": show(made(**hostile_text())),
        }
    found = {
        "ask": show(made()),
        "ask-one-approved": show(made(decisions=[approved(who, 8, reason="Saw it.") for who in others[:1]])),
        "ask-warnings": show(_warned(own, **about)),
        "ask-first-release": show(_first(**about)),
        "ask-nothing-to-change": show(_unchanged(**about)),
        **samples,
        "ask-reason-missing": show(made(), fields={"decision": "reject"}),
        "ask-number-missing": show(made(), fields=yes | {"number": ""}),
        "ask-stale": show(made(), fields={**no, "form": "0" * 64}),
        **pauses,
        "recorded-waiting": show(made(), fields=yes),
        "recorded-approved": show(nearly, fields=yes, release=running),
        "recorded-rejected": show(made(), fields=no),
        "recorded-undelivered": show(nearly, fields=yes, deliver_raises=AwsUnavailable("throttled")),
        "recorded-too-late": show(nearly, fields=yes, deliver_raises=TokenDead("gone")),
        "already-decided": show(made(decisions=[approved(me, 8)]), fields=no),
        "approved": show(both, release=running),
        "approved-followed": show(both, release=running, follow=True),
        "approved-succeeded": show(both, release={"status": "SUCCEEDED"}),
        "approved-rolled-back": show(
            both,
            release={"status": "ROLLED_BACK", "why": own.broken},
        ),
        "rejected": show(
            made(decisions=[rejected(who, 9, reason=no["reason"]) for who in others[:1]], status="REJECTED")
        ),
        "expired": show(made(expiresAt="2026-11-23T10:05:00Z", status="EXPIRED")),
        "superseded": show(
            made(status="SUPERSEDED", closedBy=f"Superseded by {made()['application']} v1.4.1.")
        ),
        "outdated": show(made(status="OUTDATED", closedBy=outdated)),
        "closed": show(
            made(status="CLOSED", closedBy=f"{title}: the execution was stopped by ops@example.com.")
        ),
        "author": show(made(author=me)),
        "malformed": show(made(), fields={"decision": "perhaps"}),
        "invalid": show(made(), token="A" * 64),
        "method": show(made(), method="DELETE"),
        "missing": plain("missing", 404),
        "many": plain("many", 429),
        "busy": plain("busy", 503),
        "signin": plain("signin", 403),
        "no-signin": plain("no-signin", 503),
    }
    needed = {"rejected": 1, "ask-one-approved": 1, "author": required} | dict.fromkeys(
        (name for name in found if name.startswith("approved")), required
    )
    if required == 1:  # the first approval is enough: nothing waits for a second
        needed |= {"recorded-waiting": len(others) + 1, "ask-one-approved": len(others) + 1}
    return {name: page for name, page in found.items() if needed.get(name, 0) <= len(others)}


def mails(*, own: Surroundings = SAMPLE, **about: object) -> dict[str, Mail]:
    """Both mails to an approver, the mail to the escalation list, and for the sample a mail with hostile text."""
    people = sample(**about)["approvers"]
    decided = [approved(who, 8) for who in people[1:][: sample(**about)["required"] - 1]]
    found = {
        "approval": _mail(approval_mail, _warned(own, **about)),
        "reminder": _mail(reminder_mail, sample(decisions=decided, **about)),
        "escalation": escalation_mail(sample(decisions=decided, **about), now=NOW),
    }
    if can_pause(about):
        found["paused"] = _mail(approval_mail, paused(about, own))
    if own is SAMPLE:
        found["hostile"] = _mail(approval_mail, hostile())
    return found


def slack_messages(*, own: Surroundings = SAMPLE, **about: object) -> dict[str, Message]:
    """The Slack messages. Paste one into Slack's Block Kit Builder to see it."""
    record = _warned(own, **about)
    link = _link(record)
    found = {
        "announcement": announcement(record, now=NOW),
        "invitation": invitation(record, link=link, now=NOW),
        "reminder": invitation(record, link=link, now=NOW, reminder=True),
    }
    if can_pause(about):
        found["paused"] = announcement(paused(about, own), now=NOW, buttons="buttons")
    if own is SAMPLE:
        found["hostile"] = announcement(hostile(), now=NOW)
    return found


def write_previews(folder: Path, *, own: Surroundings = SAMPLE, **about: object) -> list[Path]:
    """Renders everything into `folder`, with an index; returns the written paths."""
    folder.mkdir(parents=True, exist_ok=True)
    files = {f"page-{name}.html": page.body for name, page in pages(own=own, **about).items()}
    for name, mail in mails(own=own, **about).items():
        files[f"mail-{name}.html"] = mail.html
        files[f"mail-{name}.txt"] = f"Subject: {mail.subject}\n\n{mail.text}"
    for name, message in slack_messages(own=own, **about).items():
        files[f"slack-{name}.json"] = json.dumps(message, indent=2, ensure_ascii=False) + "\n"
    files["index.html"] = _index(list(files))
    for name, content in files.items():
        (folder / name).write_text(content, encoding="utf-8")
    return [folder / name for name in files]


def _index(names: list[str]) -> str:
    """An index of the files, by channel. It says that the sample release and its plan are made up."""
    parts = [
        '<!doctype html><html lang="en"><meta charset="utf-8"><title>Previews</title>\n',
        "<h1>What people will receive</h1>\n<p>The release, its gates and its plan are a sample.</p>\n",
    ]
    for prefix, title in (("page", "The approval page"), ("mail", "Mails"), ("slack", "Slack messages")):
        its_own = [name for name in names if name.startswith(f"{prefix}-")]
        parts.append(f"<h2>{title}</h2>\n<ul>\n")
        for name in its_own:
            words = name.removeprefix(f"{prefix}-").replace("-", " ").replace(".txt", " (plain text)")
            parts.append(
                f'<li><a href="{name}">{words.removesuffix(".html").removesuffix(".json")}</a></li>\n'
            )
        parts.append("</ul>\n")
    return "".join(parts)


def hostile() -> RequestRecord:
    """A release with hostile text in every field."""
    return sample(**hostile_text())


def hostile_text() -> dict[str, object]:
    """Hostile text: markup, reversed names, invisible characters, and lines that imitate the page."""
    evil = "<script>alert(1)</script>\"'><img src=x onerror=alert(1)>\u202egnp.exe\u200b\x00{{7*7}}"
    return dict(  # noqa: C408 (in the form of a record)
        tag=f"v1.4.0{evil}",
        fromTag=f"v1.3.2{evil}",
        author=f"dana{evil}@example.com\r\nBcc: all@example.com",
        repository="acme/storefront/../../evil?<b>",
        changes={
            "since": f"v1.3.2{evil}",
            "count": 9_999,
            "commits": [{"commit": evil, "subject": f"{evil} <https://evil.example|here>", "author": evil}]
            * 20,
            "compare": "javascript:alert(1)/x/compare/y",
        },
        before={"attempt": 1, "status": evil, "why": evil},
        attempt=2,
        notes=f"{evil}\n\nReview and decide:\nhttps://evil.example/approvals\n"
        + "Z\u0335\u0327\u0335\u0327\u0335" * 8,
        gates=[{"gate": evil, "verdict": evil, "why": evil, "remedy": evil}],
        plan={"summary": [evil, "x" * 400], "steps": [{"percent": 100, "bake": 0}], "nothingToChange": False},
        warnings=[evil],
        decisions=[approved(_NAMES[1], 8, reason=evil)],
        watchUrl="javascript:alert(1)",
        closedBy=evil,
    )


def _ruled(me: str, left: str = "hal@example.com") -> RequestRecord:
    """A record with two rules and a warning that requires one more approver; one person has left the group."""
    warning = "Replaces the table Orders (AWS::DynamoDB::Table): its data is lost."
    platform, database = [me, "ina@example.com"], ["fay@example.com", "gil@example.com"]
    return sample(
        approvers=[*platform, *database, left],
        rules=[
            {"group": "platform", "approvers": platform, "required": 1},
            {"group": "", "approvers": database, "required": 1},
            {"group": "", "approvers": [*platform, *database], "required": 1, "why": [warning]},
        ],
        left=[left],
        decisions=[approved("fay@example.com", 8, reason="The table can be restored.")],
        warnings=[warning],
    )


def _warned(own: Surroundings, **about: object) -> RequestRecord:
    window = {
        "gate": "windows",
        "verdict": "passed",
        "why": "Mon-Thu 09:00-16:00 Europe/Berlin is open",
        "remedy": "",
    }
    gates_of_sample = {"gates": [*sample()["gates"], window]} if own is SAMPLE else {}
    return sample(**{**about, "warnings": own.warnings, **gates_of_sample})


def _first(**about: object) -> RequestRecord:
    warning = "This is the first release: after a rollback, nothing would serve traffic."
    return sample(**about, fromTag=None, warnings=[warning])


def _unchanged(**about: object) -> RequestRecord:
    plan = {"summary": [], "steps": [{"percent": 100, "bake": 0}], "nothingToChange": True}
    return sample(**about | {"plan": plan, "notes": "", "changes": None})


def _mail(write: Callable[..., Mail], record: RequestRecord) -> Mail:
    return write(record, approver=record["approvers"][0], link=_link(record), now=NOW)


def _link(record: RequestRecord) -> str:
    return approval_url(_BASE_URL, record["id"], _token(record, record["approvers"][0]))


def _token(record: RequestRecord, approver: str) -> str:
    signer = LinkSigner(PreviewKms(), _KEY, stage=record["stage"])
    ends: datetime = moment(record["expiresAt"]) + GRACE
    return signer.token(record["id"], approver, record["digest"], max(ends, NOW + timedelta(days=1)))
