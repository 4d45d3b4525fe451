"""What the rest of Tagship knows of a target: four small protocols, and one record for each kind.

Every act may run twice, late, or beside its twin. Each raises CredentialsRefused where the application's role may not do it,
and AwsUnavailable where asking again may help.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import IO, Any, Protocol

from tagship.aws.rights import Client, ClientAs, Right
from tagship.model.errors import TargetInvalid
from tagship.model.records import Revision
from tagship.model.release import Artifact, PinnedObject

Artifacts = Mapping[str, tuple[Artifact, PinnedObject]]
"""What a release brings, by the artifact's name: what the manifest says of it, and where its bytes are pinned."""


def brought(artifacts: Artifacts, name: str, *, kind: str, release: str) -> tuple[Artifact, PinnedObject]:
    """The artifact of this name. Raises TargetInvalid where the release does not bring it."""
    if name not in artifacts:
        raise TargetInvalid(
            f"{release}: a target of type {kind} needs an artifact named {name!r}; the manifest has "
            f"{', '.join(sorted(artifacts))}. Nothing was changed."
        )
    return artifacts[name]


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """What was found, in words, and what approvers must read first although it stops nothing."""

    said: str
    warning: str = ""
    remedies: Sequence[str] = ()
    """What a person can run against what the warning says, for the command line."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """What a deployment would change in one location; nothing has been touched."""

    baseline: Revision | None
    """What serves now and what a rollback restores; None where nothing serves."""
    candidate: Revision
    """What the candidate will be. Its `id` is empty until it is made."""
    nothingToChange: bool
    summary: Sequence[str]
    """In words, for approvers; dangerous changes first."""
    warnings: Sequence[str] = ()
    """What approvers must read before all else, in words."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Prepared:
    """The candidate once it is made; `wait` is how many seconds to wait before asking again, 0 when it is ready."""

    candidate: Revision | None = None
    wait: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Move:
    """One share of the traffic for the candidate, under one fencing number."""

    baseline: Revision | None
    candidate: Revision
    percent: int
    etag: str
    """The target's own version when it was last looked at or written; empty where it did not exist."""
    fence: int


class Opened(Protocol):
    """Opens a pinned object, to seek in."""

    def __call__(self, pinned: PinnedObject, /) -> AbstractContextManager[IO[bytes]]:
        """Raises AwsUnavailable."""


class Preflight(Protocol):
    """What gates ask of a target before anybody is asked to approve."""

    def check(self, current: Revision | None) -> Finding:
        """Whether the target can be changed, and stands as the ledger recorded it.

        Raises TargetInvalid when it can't be changed, CandidateNotReady while somebody else changes it, TargetMoved when it
        has drifted.
        """

    def dry_run(self, artifacts: Artifacts) -> Finding:
        """The target's own dry run; says nothing where it has none. Raises what `plan` does."""

    def look_into(self, artifacts: Artifacts, opened: Opened) -> tuple[str, Sequence[str]]:
        """Whether what was uploaded can start, without running it: that in words, and what is wrong with it."""

    def restorable(self, current: Revision | None) -> Finding | None:
        """What a rollback would restore; None where nothing serves.

        Raises BaselineMissing when it can't be restored, TargetInvalid when it is not one revision that serves.
        """


class Deployer(Protocol):
    """Says what a release would change, and after approval makes the candidate."""

    def plan(self, artifacts: Artifacts, parameters: Mapping[str, str], *, weighted: bool) -> Change:
        """What the candidate will be and what changes; touches nothing that serves. `weighted`: both will share the traffic.

        Raises TargetInvalid for what the target would refuse later, CandidateNotReady while AWS still computes the change.
        """

    def prepare(self, artifacts: Artifacts, candidate: Revision) -> Prepared:
        """Makes the candidate that was approved; no traffic moves.

        Raises PlanChanged when it would not be, or is not, what was approved; TargetInvalid when it can't be made;
        CandidateUnhealthy when what the kind itself tries with it fails.
        """


class Traffic(Protocol):
    """Moves traffic."""

    def verify_unchanged(self, move: Move) -> None:
        """The target is as it was last seen, or where `set_weight` with the same move has already brought it.

        Raises TargetMoved when it is not, LockLost when a higher fencing number was here, PlanChanged when the candidate
        would no longer be what was approved.
        """

    def set_weight(self, move: Move) -> str:
        """Gives the candidate this share of the traffic; answers with the target's etag.

        Raises TargetMoved when the target is not as expected, LockLost when a higher fencing number was here.
        """

    def verify_weight(self, move: Move) -> int:
        """0 when the target runs what the move says, else the seconds to wait before asking again.

        Raises TargetInvalid when it never will, TargetMoved when somebody else changed it.
        """


class Restorer(Protocol):
    """Restores a baseline."""

    def exists(self, revision: Revision) -> None:
        """Raises BaselineMissing when the target no longer has this revision as it was recorded."""

    def serving(self) -> Revision | None:
        """What serves now, as it would be recorded; None where nothing does.

        Raises TargetInvalid when it is not one revision that serves.
        """

    def restore(
        self,
        *,
        baseline: Revision | None,
        candidate: Revision | None,
        fence: int,
        replaced: Revision | None = None,
    ) -> str:
        """Gives the baseline all traffic in one act and reads it back; says in words what it did.

        `replaced` was the baseline before another one was chosen: the target may still stand there.

        Raises TargetMoved when somebody else changed the target, BaselineMissing, NotStable.
        """


@dataclass(frozen=True, slots=True, kw_only=True)
class Stored:
    """Something that the target keeps of earlier releases, and could delete."""

    name: str
    """In a few words: `version 12`."""
    revisions: Sequence[Revision]
    """Those of the known revisions that need it; none where it is nobody's, or not what was recorded."""
    used: str = ""
    """What uses it, as far as the target knows, in words; empty where nothing does."""
    size: int = 0
    """Bytes that would be free; 0 where that is not known or nothing."""


class Keeper(Protocol):
    """What a target keeps of earlier releases. Asked with the rights of a person, never in the application's role."""

    def stored(self, known: Sequence[Revision]) -> Sequence[Stored]:
        """All that exists, oldest first; `known` are all revisions in the ledger, also those that are only planned.

        Raises TargetInvalid where the target does not exist, CredentialsRefused.
        """

    def delete(self, stored: Stored) -> None:
        """Deletes it for good; says nothing where it is gone already. It may be asked twice.

        Raises TargetInvalid where the target refuses it, CredentialsRefused.
        """


class Target(Preflight, Deployer, Traffic, Restorer, Protocol):
    """One location of one application, for one release."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Invoked:
    """A Lambda function that answers for a revision."""

    function: str
    qualifier: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Metric:
    """A CloudWatch metric; in the dimensions' values `{version}` stands for the revision."""

    namespace: str
    name: str
    dimensions: Mapping[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcomes:
    """CloudWatch metrics that count how what a revision ran has ended; `{version}` in the dimensions' values as above."""

    namespace: str
    dimensions: Mapping[str, str]
    succeeded: str
    """The metric that counts what succeeded."""
    failed: Mapping[str, str]
    """Each metric that counts what did not, with its word: `timed out`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """What health checks may ask about a revision, or about what serves now, whichever revision that is."""

    names: Mapping[str, str]
    """What a team's own function is given, in the kind's words. `version` is among them: what `{version}` stands for."""
    invoked: Invoked | None = None
    """What can be invoked, if anything can."""
    requests: Metric | None = None
    """What counts its requests."""
    outcomes: Outcomes | None = None
    """What counts how they ended, if something does."""
    headers: Mapping[str, str] = field(default_factory=dict)
    """What an HTTP request sends so that this revision answers it, whatever its share of the traffic."""


class Make(Protocol):
    """Makes the adapter for one release of one application."""

    def __call__(self, *, application: str, tag: str, spec: Any, client: Client) -> Target:
        """`client("lambda")` calls that service with the kind's rights alone."""


class Keeps(Protocol):
    """Makes what knows the target's old revisions."""

    def __call__(self, *, application: str, spec: Any, client: Client) -> Keeper:
        """`client("lambda")` calls that service with a person's own rights."""


class Rights(Protocol):
    """What the adapter asks of the application's role."""

    def __call__(self, spec: Any, /, *, objects: Iterable[str]) -> tuple[Right, ...]:
        """`objects` are the ARNs of what it may upload; where there is none, nothing may be."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """All that the rest knows of a kind of target; it stands in the kind's own file."""

    name: str
    """As `target.type` says it."""
    spec: type[Any]
    """The part of application.yaml."""
    example: Mapping[str, Any]
    """That part, whole."""
    artifacts: Mapping[str, str]
    """What a release of this kind brings, by the artifact's name, in words."""
    planned: Sequence[str] = ()
    """A plan as approvers read it, as an example: previews show it."""
    weighted: bool
    """False: traffic moves at once, and strategies with shares are refused."""
    step_seconds: int
    """What a traffic step usually takes beside its bake, with room to spare: the budget reckons with it."""
    settle_seconds: int
    """How long the target may take to settle on one move, or to make a candidate: the deadline of every wait for it."""
    make: Make
    rights: Rights
    subject: Callable[[Any, Revision | None], Subject]
    """What health checks may ask about one of its revisions; without one, about what serves now."""
    describe: Callable[[Any, Revision | None], str]
    """A revision in a few words, for the story, status and gates."""
    where: Callable[[Any], str]
    """The target in a few words: what it is, with its account and region."""
    roles: Callable[[Any], Mapping[str, Any]] = lambda _: {}
    """Roles that the target needs beside the application's, as a template's resources; `tagship role` prints them."""
    stored_as: Callable[[Revision], str] = lambda revision: f"{revision['id']} {revision['digest']}"
    """Which stored thing a revision is: the same text where two applications' targets share one."""
    keeps: Keeps | None = None
    """What deletes old revisions for `tagship retention`. A kind without it keeps everything."""


__all__ = [
    "Artifacts",
    "Change",
    "ClientAs",
    "Deployer",
    "Finding",
    "Invoked",
    "Keeper",
    "Kind",
    "Metric",
    "Move",
    "Outcomes",
    "Preflight",
    "Prepared",
    "Restorer",
    "Stored",
    "Subject",
    "Target",
    "Traffic",
    "brought",
]
