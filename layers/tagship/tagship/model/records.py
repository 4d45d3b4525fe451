"""What the ledger holds, as plain typed data; mypy reads every access.

A key that is not required is absent until the step that writes it has run. Records are read where they were written by this
version's code; the ledger never holds what was not validated before.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal, NotRequired, TypedDict

if TYPE_CHECKING:
    from typing_extensions import ReadOnly

    from tagship.model.release import Status

Document = Mapping[str, Any]
"""An application's configuration with its defaults written out; `Application.from_dict` makes the noun of it."""


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
    """How the attempt before ended."""

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
    """An application's configuration as a release pins it; `document` is None where it is not valid."""

    version: int
    document: Document | None
    problems: Sequence[str]
    digest: NotRequired[str]
    """Of the document as it was written, without defaults."""
    approved: NotRequired[str]
    """The proposal that put it into force, in a stage that guards configurations."""
    groups: NotRequired[Mapping[str, PinnedGroup]]
    """The groups that its rules name, as they were then."""


class PinnedGroup(TypedDict):
    """A group of approvers as a release pins it."""

    members: Sequence[str]
    tag: str
    """The proposal that put it into force; empty where the stage guards no configurations."""
    digest: str
    """Of the group's document."""


class ApprovedConfiguration(TypedDict):
    """The configuration in force, in a stage that guards configurations."""

    application: str
    tag: str
    """The proposal that put it into force."""
    version: int
    digest: str
    document: Document
    """As it was written, without defaults."""
    since: str
    by: Sequence[str]


class GateRecord(TypedDict):
    """One gate's answer; `not-configured` for one that the application did not ask for."""

    gate: str
    verdict: str
    why: str
    remedy: NotRequired[str]
    cause: NotRequired[str]
    """The gate that says why, where that is another one."""
    warning: NotRequired[str]
    seen: NotRequired[Mapping[str, Any]]


class CheckRecord(TypedDict):
    """One health check's answer."""

    check: str
    verdict: str
    why: str
    numbers: NotRequired[Mapping[str, float | int | str]]


class Revision(TypedDict):
    """What a target runs. Nobody but its own adapter reads `data`."""

    id: str
    """Empty while it is only planned."""
    digest: str
    """Of everything that was approved: code and configuration."""
    etag: NotRequired[str]
    """The target's own version when it was read."""
    data: Mapping[str, Any]


class LocationPlan(TypedDict):
    """What a deployment changes in one place."""

    location: str
    """`123456789012/eu-central-1`."""
    baseline: Revision | None
    candidate: Revision
    etag: str
    """What the target must still be when the deployment begins; empty where it does not exist."""
    replaced: NotRequired[Revision | None]
    """What was the baseline before a rollback was led further back."""


class Standing(TypedDict):
    """How one place stands while a release is deployed to it."""

    location: str
    candidate: Revision
    """As it was made."""
    etag: str
    """The target's version after Tagship's last write."""


class StepData(TypedDict):
    """One share of the traffic, how long it is watched, and the seconds that the step may take in all."""

    percent: int
    bake: int
    needs: NotRequired[int]


_Between = TypedDict("_Between", {"from": str | None})  # a keyword is no attribute


class Plan(_Between):
    """What a deployment would change."""

    to: str
    nothingToChange: bool
    summary: Sequence[str]
    warnings: NotRequired[Sequence[str]]
    """What approvers read first; absent where there is nothing."""
    steps: Sequence[StepData]
    digest: NotRequired[str]
    locations: Sequence[LocationPlan]
    planning: NotRequired[int]
    """Which plan of the release it is: 1, and one more each time another release went first."""


class Adopted(TypedDict):
    """That a person made what served the baseline."""

    by: str
    why: str
    foreign: bool
    """No release that succeeded made it: a rollback of the release can't lead anywhere."""


class CurrentRecord(TypedDict):
    """What production runs, as far as Tagship brought it there."""

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
    """Why a release is never deployed again."""

    why: str
    by: str
    at: str


class NewRelease(TypedDict):
    """A release as it was read, before the ledger claims it."""

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
    """The document that is proposed, as it was written, where this is a change of the configuration."""
    gates: NotRequired[Sequence[GateRecord]]
    plan: NotRequired[Plan]


class ReleaseRecord(NewRelease):
    """A release as it stands."""

    status: Status
    attempt: int
    before: NotRequired[BeforeData]
    """How the attempt before this one ended, if there was one."""
    readAt: str
    why: NotRequired[str]
    endedAt: NotRequired[str]
    replaces: NotRequired[CurrentRecord | None]
    """What production ran when the plan was made."""
    approval: NotRequired[str]
    """The id of its request for approval."""
    planning: NotRequired[int]
    """Which plan it works on: 1 where nothing is said, and one more each time another release went first."""
    outdated: NotRequired[str]
    """Why the plan before was not deployed."""
    waits: NotRequired[Waits]
    deadline: NotRequired[str]
    moved: NotRequired[bool]
    """Traffic may have moved."""
    standing: NotRequired[Sequence[Standing]]
    percent: NotRequired[int]
    shiftedAt: NotRequired[str]
    lockedBy: NotRequired[str]
    barred: NotRequired[Bar]


class Configured(TypedDict, total=False):
    """A configuration, whether it was pinned by a release or not."""

    document: ReadOnly[Document | None]


class Known(TypedDict, total=False):
    """What is known of what a fact is about: the release, with the configuration that holds for it; nothing of all."""

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
    """The configuration of what a fact is about; empty where there is none, or none that is valid."""
    configuration = record.get("configuration")
    return (configuration.get("document") if configuration else None) or {}


def manifest_of(record: NewRelease) -> ManifestData:
    """The manifest of a release that passed its gates, so that there is one."""
    manifest = record["manifest"]
    assert manifest is not None, "a manifest that can't be read ends the release at its gates"
    return manifest


def document_of(record: NewRelease) -> Document:
    """The configuration of a release that passed its gates, so that it is valid."""
    document = record["configuration"]["document"]
    assert document is not None, "a configuration that is not valid ends the release at its gates"
    return document


class ReleaseKey(TypedDict):
    """Which release: what each state hands to the next."""

    application: str
    tag: str
    attempt: int


class FactRecord(TypedDict):
    """Something that happened, as it is stored and as the table's stream gives it."""

    sk: str
    seq: int
    application: str
    tag: str
    """Empty for what is about no release: a freeze."""
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
    """What one approver decided."""

    approver: str
    decision: str
    reason: str
    at: str
    identity: NotRequired[str]


class RuleData(TypedDict):
    """So many of these people must approve."""

    group: str
    """The group that they are; empty for people who are named one by one."""
    approvers: Sequence[str]
    required: int
    why: NotRequired[Sequence[str]]
    """What asks for these approvals of anybody who is asked: the plan's warnings, or the emergency."""
    of: NotRequired[Sequence[RuleData]]
    """In an emergency: the rules instead of which everybody must approve."""


class Voters(TypedDict):
    """Whose decision on a release counts."""

    approvers: Sequence[str]
    """Everybody who is asked."""
    author: str
    authorMayApprove: bool
    rules: NotRequired[Sequence[RuleData]]
    """Absent where `approvers` and `required` are the one rule."""
    countInEveryRule: NotRequired[bool]
    """Whether an approval counts in every rule that names the person, and not in one alone."""
    left: NotRequired[Sequence[str]]
    """Who left the group that they were asked in, and so counts no longer; found when the record is read."""


class Policy(Voters):
    """Who decides on a release, and how many must agree in all."""

    required: int


class Ballot(Policy):
    """What a quorum is judged by."""

    stage: str
    decisions: Sequence[Decision]


class PlanSummary(TypedDict):
    """What approvers see of a plan."""

    summary: Sequence[str]
    steps: Sequence[StepData]
    nothingToChange: bool


class NewRequest(TypedDict):
    """A request for approval, before it is opened."""

    id: str
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
    """A request for approval as it stands; its task token never leaves the ledger's own module."""

    status: str
    decisions: Sequence[Decision]
    sent: Mapping[str, str]
    """By channel and person: `sent`, or why not."""
    askedAt: str
    closedBy: NotRequired[str]
    delivered: NotRequired[bool]


class LockRecord(TypedDict, total=False):
    """The lock of an application. Only the fencing number stays when nobody holds it."""

    fence: int
    tag: str
    attempt: int
    execution: str
    leaseEnds: str
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
    rule: NotRequired[str]
    """Of one that comes again; `starts` and `ends` are its first time."""
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
    """A release that is to be promoted once it has stayed current and healthy."""

    application: str
    tag: str
    attempt: int
    to: str
    since: str
    """When it succeeded."""
    due: str
    """When it is promoted."""
    ended: NotRequired[str]
    """The name of the fact that says how it ended."""
    sending: NotRequired[bool]
    """Its manifest may have arrived in the next stage."""


class LoginRecord(TypedDict):
    """Somebody's session on the approval page."""

    approver: str
    identity: str
    secret: str
    until: str


class HeadRecord(TypedDict):
    """The number and the digest of an application's last fact."""

    last: int
    digest: str
