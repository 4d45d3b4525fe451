"""The ledger's records, as plain typed data; mypy checks every access.

A key that is not required is absent until the step that writes it has run. Records are only read where this version's
code wrote them; the ledger contains only validated data.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal, NotRequired, TypedDict

if TYPE_CHECKING:
    from typing_extensions import ReadOnly

    from tagship.model.release import Status

Document = Mapping[str, Any]
"""An application's configuration with its defaults; `Application.from_dict` makes the noun."""


class PinnedData(TypedDict):
    """A `PinnedObject`, as it is stored."""

    bucket: str
    key: str
    versionId: str
    size: int


class ArtifactData(TypedDict):
    """An `Artifact`, as it is stored."""

    name: str
    file: str
    sha256: str
    size: int


class CommitData(TypedDict):
    """A `Commit`, as it is stored."""

    commit: str
    subject: str
    author: str


class ChangesData(TypedDict):
    """The `Changes` of a manifest, as they are stored."""

    since: str
    count: int
    commits: Sequence[CommitData]
    compare: str


class BeforeData(TypedDict):
    """How the previous attempt ended."""

    attempt: int
    status: str
    why: str


class ManifestData(TypedDict):
    """A validated `release.json`."""

    schemaVersion: Literal[1]
    application: str
    tag: str
    commit: str
    repository: str
    author: str
    createdAt: str
    artifacts: Sequence[ArtifactData]
    notes: str
    parameters: Mapping[str, str]
    emergency: NotRequired[str]
    rollbackUnsafe: NotRequired[str]
    ref: NotRequired[str]
    changes: NotRequired[ChangesData | None]


class ConfigurationRecord(TypedDict):
    """An application's configuration as a release pins it; `document` is None if it is not valid."""

    version: int
    document: Document | None
    problems: Sequence[str]
    digest: NotRequired[str]
    """The digest of the document as written, without defaults."""
    approved: NotRequired[str]
    """The proposal that put it in force, in a stage that guards configurations."""
    groups: NotRequired[Mapping[str, PinnedGroup]]
    """The groups that its rules name, in their versions of that time."""


class PinnedGroup(TypedDict):
    """A group of approvers as a release pins it."""

    members: Sequence[str]
    tag: str
    """The proposal that put it in force; empty if the stage does not guard configurations."""
    digest: str
    """The digest of the group's document."""


class ApprovedConfiguration(TypedDict):
    """The configuration in force, in a stage that guards configurations."""

    application: str
    tag: str
    """The proposal that put it in force."""
    version: int
    digest: str
    document: Document
    """The document as written, without defaults."""
    since: str
    by: Sequence[str]


class GateRecord(TypedDict):
    """One gate's result; `not-configured` for one that the application does not use."""

    gate: str
    verdict: str
    why: str
    remedy: NotRequired[str]
    cause: NotRequired[str]
    """The gate that gives the reason, if that is another one."""
    warning: NotRequired[str]
    seen: NotRequired[Mapping[str, Any]]


class CheckRecord(TypedDict):
    """One health check's result."""

    check: str
    verdict: str
    why: str
    numbers: NotRequired[Mapping[str, float | int | str]]


class Revision(TypedDict):
    """A version of a target. Only its own adapter reads `data`."""

    id: str
    """Empty while it is only planned."""
    digest: str
    """Covers everything that was approved: code and configuration."""
    etag: NotRequired[str]
    """The target's own version when it was read."""
    data: Mapping[str, Any]


class LocationPlan(TypedDict):
    """A deployment's changes in one location."""

    location: str
    """`123456789012/eu-central-1`."""
    baseline: Revision | None
    candidate: Revision
    etag: str
    """The target's state that the deployment requires when it begins; empty if the target does not exist."""
    replaced: NotRequired[Revision | None]
    """The previous baseline, if a rollback went further back."""


class Standing(TypedDict):
    """The state of one location while a release is deployed to it."""

    location: str
    candidate: Revision
    """The candidate that was made."""
    etag: str
    """The target's version after Tagship's last write."""


class PauseTerms(TypedDict):
    """How long a pause waits for a person, and what happens then."""

    timeout: int
    onTimeout: Literal["rollback", "continue"]


class StepData(TypedDict):
    """A share of the traffic, how long it is monitored, and the seconds that the step can take in total."""

    percent: int
    bake: int
    needs: NotRequired[int]
    pause: NotRequired[PauseTerms]
    """Whether the rollout then waits for a person."""


class PauseRecord(PauseTerms):
    """The latest pause of a release's rollout."""

    number: int
    """Which pause of the attempt it is, from 1."""
    before: int
    """The index of the step that it holds back."""
    state: Literal["ordered", "open", "continued", "rejected", "withdrawn"]
    """`ordered`: it begins at the end of the current step. `withdrawn`: resumed before that."""
    by: str
    """The operator who ordered it; empty if the strategy wants it."""
    why: str
    request: NotRequired[str]
    """The id of the request that people answer."""
    since: NotRequired[str]
    until: NotRequired[str]
    endedBy: NotRequired[str]
    endedBecause: NotRequired[str]


_Between = TypedDict("_Between", {"from": str | None})  # a keyword is no attribute


class Plan(_Between):
    """The changes that a deployment would make."""

    to: str
    nothingToChange: bool
    summary: Sequence[str]
    warnings: NotRequired[Sequence[str]]
    """What approvers see first; absent if there is nothing."""
    steps: Sequence[StepData]
    digest: NotRequired[str]
    locations: Sequence[LocationPlan]
    planning: NotRequired[int]
    """The number of the release's plan: 1, and one more each time another release was deployed first."""


class Adopted(TypedDict):
    """A person made the current version, and adopted it as the baseline."""

    by: str
    why: str
    foreign: bool
    """No successful release made it, so a rollback of the release has nothing to restore."""


class CurrentRecord(TypedDict):
    """The release in production, according to the ledger."""

    application: str
    tag: str
    attempt: int
    revision: Revision
    since: str
    watchEnds: NotRequired[str]
    adopted: NotRequired[Adopted]


class Waits(TypedDict):
    """What an approved release waits for."""

    since: str
    opens: str
    why: str


class Bar(TypedDict):
    """Why a release must never be deployed again."""

    why: str
    by: str
    at: str


class NewRelease(TypedDict):
    """A release that was read, before the ledger claims it."""

    application: str
    tag: str
    stage: str
    execution: str
    digest: str
    release: PinnedData
    manifest: ManifestData | None
    problems: Sequence[str]
    objects: Mapping[str, PinnedData]
    configuration: ConfigurationRecord
    phase: str
    proposal: NotRequired[Document]
    """The proposed document, as written, if this is a change of the configuration."""
    gates: NotRequired[Sequence[GateRecord]]
    plan: NotRequired[Plan]


class ReleaseRecord(NewRelease):
    """A release's record."""

    status: Status
    attempt: int
    before: NotRequired[BeforeData]
    """How the previous attempt ended, if there was one."""
    readAt: str
    why: NotRequired[str]
    endedAt: NotRequired[str]
    replaces: NotRequired[CurrentRecord | None]
    """The release in production when the plan was made."""
    approval: NotRequired[str]
    """The id of its request for approval."""
    planning: NotRequired[int]
    """The number of the current plan: 1 by default, and one more each time another release was deployed first."""
    outdated: NotRequired[str]
    """Why the previous plan was not deployed."""
    waits: NotRequired[Waits]
    deadline: NotRequired[str]
    moved: NotRequired[bool]
    """Traffic may have moved."""
    step: NotRequired[int]
    """The index of the last step that has begun."""
    pause: NotRequired[PauseRecord]
    """The latest pause of its rollout."""
    pauseBefore: NotRequired[int]
    """The index of the step that must not begin while a pause is ordered or open."""
    pausedSeconds: NotRequired[int]
    """How long the pauses that have ended took."""
    standing: NotRequired[Sequence[Standing]]
    percent: NotRequired[int]
    shiftedAt: NotRequired[str]
    lockedBy: NotRequired[str]
    barred: NotRequired[Bar]


class Configured(TypedDict, total=False):
    """A configuration, whether or not a release pinned it."""

    document: ReadOnly[Document | None]


class Known(TypedDict, total=False):
    """What is known about a fact's subject: the release, with the configuration that applies to it; empty for all
    applications.
    """

    application: ReadOnly[str]
    tag: ReadOnly[str]
    stage: ReadOnly[str]
    status: ReadOnly[Status]
    why: ReadOnly[str]
    configuration: ReadOnly[Configured | None]
    manifest: ReadOnly[ManifestData | None]
    gates: ReadOnly[Sequence[GateRecord]]
    plan: ReadOnly[Plan]
    moved: ReadOnly[bool]


def configured(record: Known) -> Document:
    """The configuration of a fact's subject; empty if there is none, or none that is valid."""
    configuration = record.get("configuration")
    return (configuration.get("document") if configuration else None) or {}


def manifest_of(record: NewRelease) -> ManifestData:
    """The manifest of a release that passed its gates, so it exists."""
    manifest = record["manifest"]
    assert manifest is not None, "a manifest that can't be read ends the release at its gates"
    return manifest


def document_of(record: NewRelease) -> Document:
    """The configuration of a release that passed its gates, so it is valid."""
    document = record["configuration"]["document"]
    assert document is not None, "a configuration that is not valid ends the release at its gates"
    return document


class ReleaseKey(TypedDict):
    """The identity of a release: each state passes it to the next."""

    application: str
    tag: str
    attempt: int


class FactRecord(TypedDict):
    """A fact, as it is stored and as the table's stream delivers it."""

    sk: str
    seq: int
    application: str
    tag: str
    """Empty for a fact that is about no release: a freeze."""
    attempt: int
    stage: str
    name: str
    who: str
    at: str
    execution: str
    data: Mapping[str, Any]
    previous: str
    digest: str


class Decision(TypedDict):
    """One approver's decision."""

    approver: str
    decision: str
    reason: str
    at: str
    identity: NotRequired[str]


class RuleData(TypedDict):
    """A number of these people must approve."""

    group: str
    """The group; empty for people who are listed individually."""
    approvers: Sequence[str]
    required: int
    why: NotRequired[Sequence[str]]
    """The reason why anyone who is asked must give these approvals: the plan's warnings, or the emergency."""
    of: NotRequired[Sequence[RuleData]]
    """In an emergency: the rules that were replaced by the approval of everyone."""


class Voters(TypedDict):
    """Whose decision on a release counts."""

    approvers: Sequence[str]
    """Everyone who is asked."""
    author: str
    authorMayApprove: bool
    rules: NotRequired[Sequence[RuleData]]
    """Absent if `approvers` and `required` are the only rule."""
    countInEveryRule: NotRequired[bool]
    """Whether an approval counts in every rule that names the person, or in one only."""
    left: NotRequired[Sequence[str]]
    """Who left their group after they were asked, and no longer counts; determined when the record is read."""


class Policy(Voters):
    """Who decides on a release, and how many must approve in total."""

    required: int


class Ballot(Policy):
    """The input of a quorum."""

    stage: str
    decisions: Sequence[Decision]


class PlanSummary(TypedDict):
    """What approvers see of a plan."""

    summary: Sequence[str]
    steps: Sequence[StepData]
    nothingToChange: bool


class PauseAsked(TypedDict):
    """What a request asks about a paused rollout: to approve it continues, to reject it rolls the release back."""

    number: int
    step: str
    """`1 of 3`."""
    percent: int
    """The candidate's share of the traffic now."""
    nextPercent: int
    onTimeout: Literal["rollback", "continue"]
    by: str
    """The operator who ordered it; empty if the strategy wants it."""
    why: str


class Looked(TypedDict):
    """The latest look at a paused release's health."""

    at: str
    checks: Sequence[Mapping[str, str]]
    """Each `{check, verdict, why}`."""


class NewRequest(TypedDict):
    """A request for approval, before it is opened."""

    id: str
    pause: NotRequired[PauseAsked]
    """Present if people are asked during a rollout whether it continues."""
    application: str
    stage: str
    tag: str
    fromTag: str | None
    attempt: int
    planning: NotRequired[int]
    digest: str
    execution: str
    author: str
    commit: str
    repository: str
    ref: NotRequired[str]
    changes: NotRequired[ChangesData | None]
    before: NotRequired[BeforeData]
    notes: str
    createdAt: str
    gates: Sequence[GateRecord]
    plan: PlanSummary
    warnings: Sequence[str]
    approvers: Sequence[str]
    required: int
    authorMayApprove: bool
    rules: NotRequired[Sequence[RuleData]]
    countInEveryRule: NotRequired[bool]
    left: NotRequired[Sequence[str]]
    reasonToApprove: bool
    remindEvery: int
    escalateTo: Sequence[str]
    slack: str
    expiresAt: str
    watchUrl: str


class RequestRecord(NewRequest):
    """The record of a request for approval; its task token never leaves the ledger's own module."""

    status: str
    decisions: Sequence[Decision]
    sent: Mapping[str, str]
    """By channel and person: `sent`, or the reason why not."""
    askedAt: str
    closedBy: NotRequired[str]
    delivered: NotRequired[bool]
    looked: NotRequired[Looked]
    """In a pause: how healthy the candidate was when it was last looked at."""
    reminders: NotRequired[int]
    """In a pause: how many reminders were due at that time."""


class LockRecord(TypedDict, total=False):
    """An application's lock. If nobody holds it, only the fencing number remains."""

    fence: int
    tag: str
    attempt: int
    execution: str
    leaseEnds: str
    since: str
    kept: bool
    rollback: bool
    upkeep: bool


class FreezeRecord(TypedDict):
    """A time in which nothing may be deployed."""

    id: str
    application: str
    author: str
    reason: str
    starts: str
    ends: str
    calendar: NotRequired[str]
    """The name of the calendar file that it came from."""
    rule: NotRequired[str]
    """For one that repeats; `starts` and `ends` are its first time."""
    zone: NotRequired[str]
    first: NotRequired[str]
    days: NotRequired[int]
    liftedAt: NotRequired[str]
    liftedBy: NotRequired[str]
    liftedBecause: NotRequired[str]


class WatchRecord(TypedDict):
    """Which release an alarm watches, and until when."""

    application: str
    tag: str
    attempt: int
    since: str
    until: str


class PromotionRecord(TypedDict):
    """A release that will be promoted after it has stayed current and healthy."""

    application: str
    tag: str
    attempt: int
    to: str
    since: str
    """When it succeeded."""
    due: str
    """When it will be promoted."""
    ended: NotRequired[str]
    """The name of the fact with the outcome."""
    sending: NotRequired[bool]
    """Its manifest may have arrived in the next stage."""


class LoginRecord(TypedDict):
    """A visitor's session on the approval page."""

    approver: str
    identity: str
    secret: str
    until: str


class HeadRecord(TypedDict):
    """The number and the digest of an application's last fact."""

    last: int
    digest: str
