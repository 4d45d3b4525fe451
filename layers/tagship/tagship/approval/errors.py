"""Errors between a link and a recorded decision; none of them reaches the state machine.

The page turns each into a calm answer. The errors of the ledger and the state machine are in `tagship.model.errors`.
"""

from __future__ import annotations

from tagship.model.errors import FinalError, RetryableError


class LinkInvalid(FinalError):
    """The link is not valid for this; `reason` is for the audit trail and never for the answer."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class FormInvalid(FinalError):
    """The POST is not what the page's own form sends; the approver sees the message."""

    def __init__(self, why: str, *, status: int = 400) -> None:
        super().__init__(why)
        self.why = why
        self.status = status


class QuorumUnreachable(FinalError):
    """There cannot be enough approvals, whatever people decide: nobody should be asked."""


class SignInUnavailable(RetryableError):
    """The sign-in's provider is unavailable; without it, nothing is shown and nothing is decided."""


class TooManyRequests(RetryableError):
    """More requests from one address than a person makes; any method of a store can raise it."""

    def __init__(self, *, retry_after: int = 60) -> None:
        super().__init__(f"too many requests; try again in {retry_after} seconds")
        self.retry_after = retry_after
