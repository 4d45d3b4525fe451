"""Parses the page's own form strictly, and creates the value that proves that a form is from this page, in this state.

A mail scanner opens links, and some press every button. So a decision needs something that only a reader can give: the
number on the page, typed. Slack and the command line have no page that a scanner could open, and need no number.
"""

from __future__ import annotations

import hmac
import json
import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Literal
from urllib.parse import parse_qsl, urlsplit

from tagship.approval.errors import FormInvalid
from tagship.model.people import person
from tagship.model.records import RequestRecord

MAX_BODY = 16 * 1024
MAX_REASON = 2000
FORM_LIFE = timedelta(hours=1)
"""How long a page can stay open before it must be shown again."""

_DECISIONS: dict[str, Literal["approve", "reject"]] = {"approve": "approve", "reject": "reject"}
_FIELDS = frozenset({"decision", "reason", "number", "form"})
_FORM_VALUE = re.compile(r"[0-9a-f]{64}")
_SHOWN = (
    *("application", "stage", "tag", "fromTag", "attempt", "author", "commit", "repository", "ref", "notes"),
    *("changes", "before"),
    *("gates", "plan", "warnings", "approvers", "required", "authorMayApprove", "reasonToApprove"),
    *("rules", "countInEveryRule", "left", "decisions", "status", "pause"),
)
"""What an approver sees while deciding; the end of a request, or a reminder, does not make a page stale."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Form:
    """One form, well-formed but not yet trusted."""

    decision: Literal["approve", "reject"]
    reason: str
    value: str
    number: str = ""

    @property
    def issued(self) -> datetime:
        """When its page was made, according to the form."""
        return datetime.fromtimestamp(int(self.value[:8], 16), UTC)


@dataclass(frozen=True, slots=True)
class Challenge:
    """The contents of a page with a form: the anti-forgery value, and the number that a person reads and types."""

    value: str
    number: str


def challenge(mac: bytes, record: RequestRecord, approver: str, issued: datetime) -> Challenge:
    """Covers this link, this approver, these bytes, what the page showed of them, and when it was made."""
    at = int(issued.timestamp())
    shown = [record.get(name) for name in _SHOWN]
    message = ["approval-form/2", record["id"], person(approver), record["digest"], shown, at]
    made = hmac.digest(mac, json.dumps(message, sort_keys=True, default=str).encode(), "sha256")
    return Challenge(f"{at:08x}{made[:28].hex()}", str(100 + int.from_bytes(made[28:]) % 900))


def is_current(form: Form, mac: bytes, record: RequestRecord, approver: str) -> bool:
    """Whether the form was on this link's page, and still shows the current state."""
    return hmac.compare_digest(form.value, challenge(mac, record, approver, form.issued).value)


def is_old(form: Form, now: datetime) -> bool:
    """Whether its page was open for so long that it must be shown again."""
    return now - form.issued > FORM_LIFE


def number_problem(form: Form, right: str) -> str:
    """What is wrong with the typed number; empty if nothing."""
    if not form.number:
        return "Type the number shown above the buttons: it proves that a person decides."
    if not hmac.compare_digest(form.number.encode(), right.encode()):
        return "That is not the number on the page. Type the number now shown above the buttons."
    return ""


def cross_site(headers: Mapping[str, str], base_url: str) -> bool:
    """Whether a browser says that another site made this request. `headers` have lower-case names.

    `Sec-Fetch-Site` is set by the browser and does not depend on our name, which a proxy may hide. If it is missing,
    `Origin` is used; our own page's is `null`, because its referrer policy is `no-referrer`.
    """
    site = headers.get("sec-fetch-site")
    if site is not None:
        return site not in ("same-origin", "none")
    hosts = {headers.get("host", ""), urlsplit(base_url).netloc} - {""}
    ours = {f"{scheme}://{host}" for scheme in ("https", "http") for host in hosts}
    return headers.get("origin", "null") not in {"null", *ours}


def read_form(headers: Mapping[str, str], body: bytes) -> Form:
    """One `decision`, one `form`, at most one `reason` and one `number`, and nothing else.

    Raises:
        FormInvalid: it is anything else; the sentence says what, without repeating it.
    """
    if len(body) > MAX_BODY:
        raise FormInvalid("The form is too large.", status=413)
    if not _is_form(headers.get("content-type", "")):
        raise FormInvalid("The request is not a form.")
    fields = _fields(body)
    decision, value = fields.get("decision", ""), fields.get("form", "")
    if decision not in _DECISIONS:
        raise FormInvalid("The form says neither approve nor reject.")
    if not _FORM_VALUE.fullmatch(value):
        raise FormInvalid("The form was not sent from this page.")
    reason = fields.get("reason", "").replace("\r\n", "\n").replace("\r", "\n").strip()
    number = "".join(unicodedata.normalize("NFKC", fields.get("number", "")).split())
    return Form(decision=_DECISIONS[decision], reason=reason, value=value, number=number)


def reason_problem(form: Form, record: RequestRecord) -> str:
    """What is wrong with the reason under this request's policy; empty if nothing."""
    if len(form.reason) > MAX_REASON:
        return f"The reason has {len(form.reason):,} characters; the limit is {MAX_REASON:,}."
    if form.decision == "reject" and not form.reason and "pause" in record:
        return "Say why you roll it back: the author needs to know what to change."
    if form.decision == "reject" and not form.reason:
        return "Say why you reject it: the author needs to know what to change."
    if record.get("reasonToApprove") is True and not form.reason:
        return "Say why you approve it: this application requires a reason."
    return ""


def _is_form(content_type: str) -> bool:
    kind, _, parameters = content_type.lower().partition(";")
    return kind.strip() == "application/x-www-form-urlencoded" and parameters.strip() in ("", "charset=utf-8")


def _fields(body: bytes) -> dict[str, str]:
    try:
        text = body.decode("ascii")
        pairs = parse_qsl(
            text, keep_blank_values=True, strict_parsing=True, errors="strict", max_num_fields=8
        )
    except ValueError as error:
        raise FormInvalid("The form cannot be read.") from error
    fields = dict(pairs)
    if len(fields) != len(pairs) or not fields.keys() <= _FIELDS:
        raise FormInvalid("The form has fields that this page does not have.")
    return fields
