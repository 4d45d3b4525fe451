"""What a stack's status and events say: whether it can be updated, whose its last operation was, why it failed."""

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
"""What can be updated."""
CLEANING = "UPDATE_COMPLETE_CLEANUP_IN_PROGRESS"
"""The new resources serve, the old ones are being deleted; it can be neither updated nor cancelled."""
STUCK = "UPDATE_ROLLBACK_FAILED"
_TOKEN = re.compile(r"^tagship-(\d+)-([0-9a-f]{16})$")
_CAUSED = ("cancelled", "The following resource(s) failed")
"""How CloudFormation says that another resource's failure was the reason."""
_REASONS = 3


def token(fence: int, what: str) -> str:
    """Stands on every event of one operation: under which fencing number, and for what, Tagship began it."""
    return f"tagship-{fence}-{mark(what)}"


def mark(what: str) -> str:
    """A change set or a revision in few characters."""
    return hashlib.sha256(what.encode()).hexdigest()[:16]


def fence_of(token: str) -> int:
    """0 for an operation that is not Tagship's."""
    match = _TOKEN.match(token)
    return int(match[1]) if match else 0


def mark_of(token: str) -> str:
    """Empty for an operation that is not Tagship's."""
    match = _TOKEN.match(token)
    return match[2] if match else ""


def template_digest(body: object) -> str:
    """SHA-256 of a template, however AWS gives it back: JSON as an object, anything else as text."""
    if isinstance(body, str):
        try:
            body = json.loads(body)
        except ValueError:
            text = "\n".join(each.rstrip() for each in str(body).splitlines()).strip()
            return hashlib.sha256(text.encode()).hexdigest()
    return hashlib.sha256(json.dumps(body, sort_keys=True, default=str).encode()).hexdigest()


def template_text(body: object) -> str:
    """As CloudFormation takes it."""
    return body if isinstance(body, str) else json.dumps(body, default=str)


def parameters_of(found: Iterable[Mapping[str, Any]]) -> dict[str, str]:
    """A stack's or a change set's parameters by name; a secret (NoEcho) is asterisks."""
    return {str(it["ParameterKey"]): str(it.get("ParameterValue", "")) for it in found}


def digest_of(template: str, found: Iterable[Mapping[str, Any]]) -> str:
    """Over the template's digest and all parameters, with what those from Parameter Store stood for."""
    values = {
        str(it["ParameterKey"]): [str(it.get("ParameterValue", "")), str(it.get("ResolvedValue", ""))]
        for it in found
    }
    return hashlib.sha256(json.dumps([template, values], sort_keys=True).encode()).hexdigest()


def reasons(events: Iterable[Mapping[str, Any]]) -> str:
    """Why an operation failed, in CloudFormation's own words, the first failure first; of `events` the newest is first."""
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
