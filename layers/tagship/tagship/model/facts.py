"""The catalogue of facts: what can happen to a release, and what each fact means to its readers.

A new fact is one line here, and `tagship.story` renders its data. Every other list of facts is derived from this one.
"""

from __future__ import annotations

from enum import StrEnum

from tagship.model.release import Status


class Level(StrEnum):
    """Levels of notices, from quiet to talkative; each includes the previous one."""

    PROBLEMS = "problems"
    MILESTONES = "milestones"
    EVERYTHING = "everything"

    def includes(self, other: Level) -> bool:
        """Whether a channel of this level gets facts of the other."""
        levels = list(Level)
        return levels.index(other) <= levels.index(self)


class FactKind(StrEnum):
    """A fact's name, as in the ledger and on the event bus."""

    words: str
    """What happened, unless its data says more."""
    level: Level | None
    """The lowest level at which people are notified; None for never."""
    ends: Status | None
    """The ending that it writes."""
    counts: str
    """The metric that counts it."""

    def __new__(
        cls,
        name: str,
        words: str,
        level: Level | None = None,
        ends: Status | None = None,
        counts: str = "",
    ) -> FactKind:
        """A member is its name; the other attributes are its entry in the catalogue."""
        member = str.__new__(cls, name)
        member._value_ = name
        member.words, member.level, member.ends, member.counts = words, level, ends, counts
        return member

    RELEASE_READ = "Release Read", "the release was read and its files are pinned", Level.EVERYTHING
    RELEASE_RETRIED = "Release Retried", "the release was retried", Level.MILESTONES
    TAG_ALREADY_USED = "Tag Already Used", "the tag was already used with different content", Level.PROBLEMS
    LOCK_ACQUIRED = "Lock Acquired", "the release acquired the lock"
    GATES_PASSED = "Gates Passed", "the gates passed"
    GATES_FAILED = (
        "Gates Failed",
        "a gate failed",
        Level.EVERYTHING,
    )  # its ending follows at once, with the reason
    DEPLOYMENT_PLANNED = "Deployment Planned", "the deployment was planned"
    APPROVAL_REQUESTED = (
        *("Approval Requested", "waiting for approval", Level.MILESTONES),
        *(None, "ApprovalRequested"),
    )
    APPROVERS_REMINDED = "Approvers Reminded", "the approvers were reminded", Level.EVERYTHING
    APPROVAL_ERROR = (
        *("Approval Error", "an approver could not be reached", Level.PROBLEMS),
        *(None, "ApprovalError"),
    )
    APPROVER_SIGNED_IN = "Approver Signed In", "an approver signed in"
    APPROVAL_GIVEN = "Approval Given", "an approver approved", Level.EVERYTHING
    APPROVAL_GRANTED = (
        *("Approval Granted", "the release was approved", Level.MILESTONES),
        *(None, "ApprovalGranted"),
    )
    APPROVAL_REJECTED = (
        *("Approval Rejected", "the release was rejected", Level.EVERYTHING),
        *(None, "ApprovalRejected"),
    )
    APPROVAL_EXPIRED = (
        *("Approval Expired", "the approval request expired: nobody decided in time", Level.EVERYTHING),
        *(None, "ApprovalExpired"),
    )
    APPROVAL_SUPERSEDED = (
        *("Approval Superseded", "approval is no longer needed: a newer release replaced this one"),
        Level.EVERYTHING,
    )
    APPROVAL_CLOSED = "Approval Closed", "approval is no longer needed"
    LINK_REFUSED = "Link Refused", "an approval link was refused"
    FROZEN = "Frozen", "deployments are frozen", Level.MILESTONES
    UNFROZEN = "Unfrozen", "a freeze was lifted", Level.MILESTONES
    PLAN_OUTDATED = (
        *(
            "Plan Outdated",
            "another release was deployed first: this one is planned again and needs approval again",
        ),
        Level.MILESTONES,
    )
    DEPLOYMENT_DELAYED = "Deployment Delayed", "waiting for a deployment window", Level.MILESTONES
    CALENDAR_OVERRIDDEN = "Calendar Overridden", "an emergency overrides the calendar", Level.PROBLEMS
    CANDIDATE_PROVEN = "Candidate Proven", "the candidate is ready and is what was approved"
    DEPLOYMENT_STARTED = "Deployment Started", "deployment started", Level.MILESTONES
    TRAFFIC_SHIFTED = "Traffic Shifted", "traffic was shifted", Level.EVERYTHING
    PAUSE_ORDERED = "Pause Ordered", "a pause of the rollout was ordered", Level.MILESTONES
    ROLLOUT_PAUSED = "Rollout Paused", "the rollout is paused and waits for a person", Level.MILESTONES
    ROLLOUT_RESUMED = "Rollout Resumed", "the rollout continues", Level.MILESTONES
    ROLLOUT_REJECTED = (
        *("Rollout Rejected", "an approver ended the pause with a rollback"),
        Level.EVERYTHING,  # its rollback follows at once, with the reason
    )
    PAUSE_EXPIRED = "Pause Expired", "nobody answered the pause in time", Level.MILESTONES
    HEALTH_CHECKED = "Health Checked", "health was checked", Level.PROBLEMS  # healthy ones are never sent
    ALARM_FIRED = "Alarm Fired", "an alarm fired", Level.PROBLEMS
    ROLLBACK_TRIGGERED = (
        *("Rollback Triggered", "rolling back", Level.PROBLEMS),
        *(None, "RollbackTriggered"),
    )
    ROLLBACK_JOINED = "Rollback Joined", "another rollback is already running", Level.EVERYTHING
    RELEASE_BARRED = "Release Barred", "the release can never be deployed again", Level.PROBLEMS
    BASELINE_RESTORED = "Baseline Restored", "the baseline was restored", Level.EVERYTHING
    CONFIGURATION_PROPOSED = (
        "Configuration Proposed",
        "a configuration change was proposed",
        Level.EVERYTHING,
    )
    CONFIGURATION_APPROVED = (
        *("Configuration Approved", "a configuration change was approved and is now used", Level.MILESTONES),
        Status.SUCCEEDED,
    )
    GROUP_CHANGED = "Group Changed", "the members of a group changed", Level.MILESTONES
    BASELINE_ADOPTED = (
        *("Baseline Adopted", "the version that serves traffic was adopted as the baseline", Level.PROBLEMS),
    )
    RETENTION_APPLIED = (
        *("Retention Applied", "old revisions are deleted under the retention policy", Level.EVERYTHING),
    )
    RELEASE_SUCCEEDED = (
        *("Release Succeeded", "SUCCEEDED", Level.MILESTONES),
        *(Status.SUCCEEDED, "DeploymentSucceeded"),
    )
    JOB_WAITING = "Job Waiting", "a GitHub job waits for the release"
    RELEASE_PROMOTED = (
        *("Release Promoted", "the release was promoted to the next stage", Level.MILESTONES),
    )
    PROMOTION_REFUSED = (
        *("Promotion Refused", "the release is not promoted to the next stage", Level.MILESTONES),
    )
    RELEASE_INVALID = "Release Invalid", "INVALID: nothing was changed", Level.PROBLEMS, Status.INVALID
    RELEASE_REJECTED = "Release Rejected", "REJECTED: nothing was changed", Level.PROBLEMS, Status.REJECTED
    RELEASE_EXPIRED = "Release Expired", "EXPIRED: nothing was changed", Level.PROBLEMS, Status.EXPIRED
    RELEASE_SUPERSEDED = (
        *("Release Superseded", "SUPERSEDED: nothing was changed", Level.MILESTONES),
        Status.SUPERSEDED,
    )
    RELEASE_ROLLED_BACK = (
        *("Release Rolled Back", "ROLLED_BACK: the baseline serves all traffic again", Level.PROBLEMS),
        *(Status.ROLLED_BACK, "RollbackSucceeded"),
    )
    ROLLBACK_FAILED = (
        *("Rollback Failed", "ROLLBACK_FAILED: a person must act", Level.PROBLEMS),
        *(Status.ROLLBACK_FAILED, "RollbackFailed"),
    )
    RELEASE_ABORTED = "Release Aborted", "ABORTED", Level.PROBLEMS, Status.ABORTED

    @classmethod
    def of(cls, name: object) -> FactKind | None:
        """The kind with this stored name; None for a name that another version wrote."""
        return _KINDS.get(str(name))


_KINDS = {kind.value: kind for kind in FactKind}
ENDING_KINDS = frozenset(kind for kind in FactKind if kind.ends is not None)
"""The outcome of a release, of its rollback, or of a change of a configuration."""
ENDINGS: dict[Status, FactKind] = {
    kind.ends: kind
    for kind in FactKind
    if kind.ends is not None and kind is not FactKind.CONFIGURATION_APPROVED
}
"""A release's endings by their status."""


def status_of(name: object) -> Status | None:
    """The ending that a fact of this name writes; None if it writes none."""
    kind = FactKind.of(name)
    return kind.ends if kind else None
