"""All errors, by name.

The class names are the state machines' contract: Step Functions matches the exact name and knows no inheritance, so every
name that a definition catches must exist here (a test compares them). Messages are for the person who reads them in the
console at night: what happened, to which application and tag, what was changed and what was not, what to do now.
"""


class TagshipError(Exception):
    """Base of all errors that Tagship itself raises."""


class RetryableError(TagshipError):
    """A retry may help; the state machines retry these, with back-off."""


class FinalError(TagshipError):
    """A retry will not help; the flow takes the step's failure path at once."""


# ---- retryable -----------------------------------------------------------------------------------------------------


class AwsUnavailable(RetryableError):
    """AWS throttled the call, answered with 5xx, or could not be reached."""


class LedgerBusy(RetryableError):
    """Others wrote to the same application's ledger at the same time, more often than we retried."""


class LockHeld(RetryableError):
    """Another release of the application is in progress; this one waits."""


class RollbackUnderway(RetryableError):
    """Another rollback of the same release is running; this one waits for it to end."""


class CandidateNotReady(RetryableError):
    """The target is still preparing the candidate."""


class NotStable(RetryableError):
    """The target has not settled on the requested state."""


# ---- final ---------------------------------------------------------------------------------------------------------


class EventNotUnderstood(FinalError):
    """An external event or message does not have its sender's format. It is kept for a person and never dropped."""


class FactChanged(FinalError):
    """A fact of the ledger was changed or deleted after it was written."""


class ReleaseUnreadable(FinalError):
    """The upload names no application and tag."""


class ApplicationUnknown(FinalError):
    """No such application, or no such release of it, in this stage's ledger or configuration."""


class LockLost(FinalError):
    """The lease ended, or a newer fencing number exists: this execution must no longer change anything."""


class LockKept(FinalError):
    """A rollback failed, and the application stays as it is until a person acts."""


class RollbackRefused(FinalError):
    """The requested rollback is not possible."""


class RollbackUnsafe(FinalError):
    """The release declares that the previous version cannot work after it: a person decides, nothing is restored
    automatically.
    """


class AdoptionRefused(FinalError):
    """The current version cannot become the baseline now."""


class RetentionRefused(FinalError):
    """Old revisions cannot be deleted now, or are not those that were shown."""


class PauseOrdered(FinalError):
    """The rollout pauses before this step. Nothing was changed; people are asked first."""


class Overtaken(FinalError):
    """A newer release is being deployed or serves, or others went first too often: planning again would not help."""


class CredentialsRefused(FinalError):
    """The application's role cannot be assumed, or lacks a permission that the target needs; `remedy` is the fix.

    A new role or permission is refused for some seconds; `may_pass` says whether that can be the reason.
    """

    def __init__(self, why: str, remedy: str = "", *, may_pass: bool = True) -> None:
        super().__init__(f"{why} {remedy}".strip())
        self.why = why
        self.remedy = remedy
        self.may_pass = may_pass


class TargetInvalid(FinalError):
    """The target does not exist, or is in a state that cannot be changed."""


class TargetMoved(FinalError):
    """Someone else changed the target after the plan was made; Tagship does not overwrite it."""


class PlanChanged(FinalError):
    """What would be deployed is not what was approved."""


class CandidateUnhealthy(FinalError):
    """The candidate failed the application's checks before it got any traffic."""


class ApprovalUnproven(FinalError):
    """The chain of facts does not contain the approvals that the request's own item claims, or they lack proof."""


class ApproverLeft(FinalError):
    """Somebody who approved has left the group that they counted for, and without them there are too few approvals."""


class IdentityUnproven(FinalError):
    """AWS does not confirm the identity of the approver, and in production a claimed identity cannot approve."""


class CalendarClosed(FinalError):
    """A freeze or a closed window prevents the release, and it does not wait for its end, or has waited too long."""


class TrafficMoved(FinalError):
    """An ending that says "nothing was changed" is wrong: the ledger says that traffic has moved."""


class NoChannelReached(FinalError):
    """No approver could be notified, so nobody can decide."""


class BaselineMissing(FinalError):
    """The revision that a rollback would restore no longer exists."""


class AlreadyDecided(FinalError):
    """This approver has decided before."""


class ApprovalClosed(FinalError):
    """The request was decided, superseded or closed; it can no longer be decided."""


class ApprovalExpired(FinalError):
    """The time to decide is over."""


class TokenDead(FinalError):
    """The execution no longer waits for this answer."""
