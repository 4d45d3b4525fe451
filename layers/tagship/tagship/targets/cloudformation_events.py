"""Reads a stack's status and events: whether it can be updated, who started its last operation, and why it failed."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Mapping
from typing import Any

from tagship.text.plain import line

SETTLED = frozenset(
    (
        "CREATE_COMPLETE",
        "UPDATE_COMPLETE",
        "UPDATE_ROLLBACK_COMPLETE",
        "IMPORT_COMPLETE",
        "IMPORT_ROLLBACK_COMPLETE",
    )
)
"""Statuses in which a stack can be updated."""
CLEANING = "UPDATE_COMPLETE_CLEANUP_IN_PROGRESS"
"""The new resources are active and the old ones are being deleted. The stack can be neither updated nor cancelled."""
STUCK = "UPDATE_ROLLBACK_FAILED"
_TOKEN = re.compile(r"^tagship-(\d+)-([0-9a-f]{16})$")
_CAUSED = ("cancelled", "The following resource(s) failed")
"""CloudFormation's words for a failure that another resource's failure caused."""
_REASONS = 3


def token(fence: int, what: str) -> str:
    """A ClientRequestToken with the fencing number and the purpose. It appears on every event of the operation."""
    return f"tagship-{fence}-{mark(what)}"


def mark(what: str) -> str:
    """A short identifier for a change set or a revision."""
    return hashlib.sha256(what.encode()).hexdigest()[:16]


def fence_of(token: str) -> int:
    """The fencing number in a token; 0 for an operation that Tagship did not start."""
    match = _TOKEN.match(token)
    return int(match[1]) if match else 0


def mark_of(token: str) -> str:
    """The purpose in a token; empty for an operation that Tagship did not start."""
    match = _TOKEN.match(token)
    return match[2] if match else ""


def template_digest(body: object) -> str:
    """SHA-256 of a template. AWS returns a JSON template as an object and any other as text; both are accepted."""
    if isinstance(body, str):
        try:
            body = json.loads(body)
        except ValueError:
            text = "\n".join(each.rstrip() for each in str(body).splitlines()).strip()
            return hashlib.sha256(text.encode()).hexdigest()
    return hashlib.sha256(json.dumps(body, sort_keys=True, default=str).encode()).hexdigest()


def template_text(body: object) -> str:
    """The template as text, as CloudFormation accepts it."""
    return body if isinstance(body, str) else json.dumps(body, default=str)


def parameters_of(found: Iterable[Mapping[str, Any]]) -> dict[str, str]:
    """The parameters of a stack or change set, by name. A NoEcho parameter's value is asterisks."""
    return {str(it["ParameterKey"]): str(it.get("ParameterValue", "")) for it in found}


def digest_of(template: str, found: Iterable[Mapping[str, Any]]) -> str:
    """A digest of the template's digest and all parameters, including the resolved values of Parameter Store
    parameters."""
    values = {
        str(it["ParameterKey"]): [str(it.get("ParameterValue", "")), str(it.get("ResolvedValue", ""))]
        for it in found
    }
    return hashlib.sha256(json.dumps([template, values], sort_keys=True).encode()).hexdigest()


def reasons(events: Iterable[Mapping[str, Any]]) -> str:
    """Why an operation failed, in CloudFormation's words, the first failure first. `events` are ordered newest first."""
    failed = [
        f"{it.get('LogicalResourceId', '')}: {str(it.get('ResourceStatusReason', '')).rstrip('.')}"
        for it in events
        if str(it.get("ResourceStatus", "")).endswith("_FAILED")
        and it.get("ResourceStatusReason")
        and not any(words in str(it["ResourceStatusReason"]) for words in _CAUSED)
    ]
    return line(
        "; ".join(dict.fromkeys(reversed(failed[-_REASONS:]))) or "CloudFormation gives no reason", 600
    )
