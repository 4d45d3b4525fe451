"""What can go wrong between a link and a recorded decision, and never reaches the state machine.

The page turns each into one calm answer. The errors of the ledger and the state machine are in `tagship.model.errors`.
"""

from __future__ import annotations

from tagship.model.errors import FinalError, RetryableError


class LinkInvalid(FinalError):
    """The link is not valid for this; `reason` is for the audit and never for the answer."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class FormInvalid(FinalError):
    """The POST is not what the page's own form sends; the sentence is shown to the approver."""

    def __init__(self, why: str, *, status: int = 400) -> None:
        super().__init__(why)
        self.why = why
        self.status = status


class QuorumUnreachable(FinalError):
    """However everybody decides, there can't be enough approvals: nobody should be asked."""


class SignInUnavailable(RetryableError):
    """The provider with which approvers sign in can't be asked; without its word nothing is shown and nothing decided."""


class TooManyRequests(RetryableError):
    """More requests from one address than a person makes; a store may raise it from any of its methods."""

    def __init__(self, *, retry_after: int = 60) -> None:
        super().__init__(f"too many requests; try again in {retry_after} seconds")
        self.retry_after = retry_after
