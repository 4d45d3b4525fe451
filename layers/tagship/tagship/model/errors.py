"""Every error by name.

The class names are the state machines' contract: Step Functions matches the exact name and knows no inheritance, so a name
that a definition catches must exist here (a test holds the two together). Messages are for the person who reads them in the
console at night: what happened, to which application and tag, what was changed and what was not, what to do now.
"""


class TagshipError(Exception):
    """Anything that Tagship itself says has gone wrong."""


class RetryableError(TagshipError):
    """Asking again may help; the state machines retry these, with back-off."""


class FinalError(TagshipError):
    """Asking again won't help; the flow takes the step's failure path at once."""


# ---- retryable -----------------------------------------------------------------------------------------------------


class AwsUnavailable(RetryableError):
    """AWS throttled the call, answered with 5xx, or could not be reached."""


class LedgerBusy(RetryableError):
    """Others wrote to the same application's ledger at the same moment, more often than we tried."""


class LockHeld(RetryableError):
    """Another release of the application is on its way; this one waits."""


class RollbackUnderway(RetryableError):
    """Another rollback of the same release is at it; this one waits for its end."""


class CandidateNotReady(RetryableError):
    """The target is still preparing the candidate."""


class NotStable(RetryableError):
    """The target has not settled on what it was told to run."""


# ---- final ---------------------------------------------------------------------------------------------------------


class EventNotUnderstood(FinalError):
    """What came from outside has not the form that its sender gives it. It is kept for a person and never dropped."""


class FactChanged(FinalError):
    """A fact of the ledger was changed or deleted after it was written."""


class ReleaseUnreadable(FinalError):
    """The upload can't be booked to an application and a tag."""


class ApplicationUnknown(FinalError):
    """No such application, or no such release of it, in this stage's ledger or configuration."""


class LockLost(FinalError):
    """The lease ended, or a newer fencing number exists: this execution may change nothing any more."""


class LockKept(FinalError):
    """A rollback failed, and the application is kept as it is until a person has looked at it."""


class RollbackRefused(FinalError):
    """What was asked for is no rollback that can be made."""


class RollbackUnsafe(FinalError):
    """The release says that the previous version can't work after it: a person decides, nothing is restored by itself."""


class AdoptionRefused(FinalError):
    """What serves can't become the baseline now."""


class RetentionRefused(FinalError):
    """Old revisions can't be deleted now, or are not those that were shown."""


class Overtaken(FinalError):
    """A newer release is being deployed or serves, or others went first too often: planning again can't help."""


class CredentialsRefused(FinalError):
    """The application's role can't be assumed, or is not allowed what the target needs; `remedy` is what would help.

    A role or a right that was made just now is refused for some seconds; `may_pass` says whether that can be the reason.
    """

    def __init__(self, why: str, remedy: str = "", *, may_pass: bool = True) -> None:
        super().__init__(f"{why} {remedy}".strip())
        self.why = why
        self.remedy = remedy
        self.may_pass = may_pass


class TargetInvalid(FinalError):
    """The target does not exist, or is in a state that can't be changed."""


class TargetMoved(FinalError):
    """Somebody else changed the target after the plan was made; Tagship does not overwrite it."""


class PlanChanged(FinalError):
    """What would be deployed is not what was approved."""


class CandidateUnhealthy(FinalError):
    """The candidate was asked the application's checks before it got any traffic, and did not pass."""


class ApprovalUnproven(FinalError):
    """The chain of facts does not hold the approvals that the request's own item claims, or nothing vouches for them."""


class IdentityUnproven(FinalError):
    """AWS does not vouch for who decides, and in production nobody approves who only says who they are."""


class CalendarClosed(FinalError):
    """A freeze or a closed window is in the way, and the release does not wait for its end, or not any longer."""


class TrafficMoved(FinalError):
    """An ending that says "nothing was changed" does not fit: the ledger knows that traffic has moved."""


class NoChannelReached(FinalError):
    """No approver could be told, so nobody can decide."""


class BaselineMissing(FinalError):
    """What a rollback would restore no longer exists."""


class AlreadyDecided(FinalError):
    """This approver has decided before."""


class ApprovalClosed(FinalError):
    """The request was decided, superseded or closed; nobody can decide it any more."""


class ApprovalExpired(FinalError):
    """The time to decide is over."""


class TokenDead(FinalError):
    """The execution no longer waits for this answer."""
