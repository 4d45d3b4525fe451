"""The interface of a target: four small protocols, and one record for each kind.

Every method may run twice, late, or at the same time as a duplicate. Each raises CredentialsRefused if the
application's role lacks a permission, and AwsUnavailable if a retry may help.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Container, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import IO, Any, Protocol

from tagship.aws.rights import Client, ClientAs, Right
from tagship.model.errors import TargetInvalid
from tagship.model.records import Revision
from tagship.model.release import Artifact, PinnedObject

Artifacts = Mapping[str, tuple[Artifact, PinnedObject]]
"""A release's artifacts by name: the manifest's entry, and the pinned object."""


def brought(artifacts: Artifacts, name: str, *, kind: str, release: str) -> tuple[Artifact, PinnedObject]:
    """The artifact with this name. Raises TargetInvalid if the release does not contain it."""
    if name not in artifacts:
        raise TargetInvalid(
            f"{release}: a target of type {kind} needs an artifact named {name!r}; the manifest has "
            f"{', '.join(sorted(artifacts))}. Nothing was changed."
        )
    return artifacts[name]


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """The result of a check in words, and warnings that approvers must read first although they stop nothing."""

    said: str
    warning: str = ""
    remedies: Sequence[str] = ()
    """A command that a person can run to resolve the warning, for the command line."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """What a deployment would change in one location. Nothing has been changed yet."""

    baseline: Revision | None
    """The current revision, which a rollback restores; None if nothing is deployed."""
    candidate: Revision
    """The planned revision. Its `id` is empty until it is made."""
    summary: Sequence[str]
    """The changes in words, for approvers; dangerous changes first."""
    nothingToChange: bool = False
    warnings: Sequence[str] = ()
    """Warnings that approvers must read first, in words."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Prepared:
    """The candidate after it is made. `wait` is the number of seconds to wait before the next check, 0 when it is
    ready."""

    candidate: Revision | None = None
    wait: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Move:
    """Gives the candidate a share of the traffic, under one fencing number."""

    baseline: Revision | None
    candidate: Revision
    percent: int
    etag: str
    """The target's own version when it was last read or written; empty if it did not exist."""
    fence: int


class Opened(Protocol):
    """Opens a pinned object as a seekable file."""

    def __call__(self, pinned: PinnedObject, /) -> AbstractContextManager[IO[bytes]]:
        """Raises AwsUnavailable."""


class Preflight(Protocol):
    """Checks of a target that gates run before approval."""

    def check(self, current: Revision | None) -> Finding:
        """Checks that the target can be changed and matches the ledger.

        Raises TargetInvalid if it can't be changed, CandidateNotReady while somebody else is changing it, TargetMoved
        if it has drifted.
        """

    def dry_run(self, artifacts: Artifacts) -> Finding:
        """Runs the target's own dry run; the finding is empty if it has none. Raises the same errors as `plan`."""

    def look_into(self, artifacts: Artifacts, opened: Opened) -> tuple[str, Sequence[str]]:
        """Checks that the upload can start, without running it. Returns a summary in words, and the problems found."""

    def restorable(self, current: Revision | None) -> Finding | None:
        """Checks what a rollback would restore. Returns None if nothing is deployed.

        Raises BaselineMissing if it can't be restored, TargetInvalid if no single revision has all traffic.
        """


class Made(Protocol):
    """Notes in the ledger that a revision exists, so that it can be deleted even if this release fails."""

    def __call__(self, revision: Revision, /) -> None:
        """May be called again for the same revision."""


PUBLISHING = "publishing"
"""A key in a revision's data: it is about to be published, so its id is not known yet."""


def about_to_publish(revision: Revision) -> Revision:
    """What is recorded before a version is published: `tagship retention` finds the version by its digest."""
    return {**revision, "data": {**revision["data"], PUBLISHING: True}}


def is_unnumbered(revision: Revision, numbered: Container[str]) -> bool:
    """Whether it was about to be published, and no revision with its digest got an id since."""
    return bool(
        revision["data"].get(PUBLISHING) and not revision["id"] and revision["digest"] not in numbered
    )


class Deployer(Protocol):
    """Plans what a release would change and, after approval, makes the candidate."""

    def plan(self, artifacts: Artifacts, parameters: Mapping[str, str], *, weighted: bool) -> Change:
        """Plans the candidate and its changes. Changes nothing that serves. `weighted`: baseline and candidate will
        share traffic.

        Raises TargetInvalid for anything that the target would refuse later, CandidateNotReady while AWS computes the
        change.
        """

    def prepare(self, artifacts: Artifacts, candidate: Revision, made: Made) -> Prepared:
        """Makes the approved candidate; moves no traffic. Calls `made` as soon as there is something to delete.

        Raises PlanChanged if it would not match, or does not match, what was approved; TargetInvalid if it can't be
        made; CandidateUnhealthy if the kind's own trial of it fails.
        """


class Traffic(Protocol):
    """Moves traffic."""

    def verify_unchanged(self, move: Move) -> None:
        """Checks that the target is as it was last seen, or as `set_weight` with the same move has left it.

        Raises TargetMoved if it is not, LockLost if a higher fencing number has been used, PlanChanged if the candidate
        would no longer be the approved one.
        """

    def set_weight(self, move: Move) -> str:
        """Gives the candidate this share of the traffic; returns the target's etag.

        Raises TargetMoved if the target is not as expected, LockLost if a higher fencing number has been used.
        """

    def verify_weight(self, move: Move) -> int:
        """Returns 0 when the target has applied the move, else the seconds to wait before the next check.

        Raises TargetInvalid if it never will, TargetMoved if somebody else changed it.
        """


class Restorer(Protocol):
    """Restores a baseline."""

    def exists(self, revision: Revision) -> None:
        """Raises BaselineMissing if the target no longer has this revision as it was recorded."""

    def serving(self) -> Revision | None:
        """The current revision, as it would be recorded; None if nothing is deployed.

        Raises TargetInvalid if no single revision has all traffic.
        """

    def restore(
        self,
        *,
        baseline: Revision | None,
        candidate: Revision | None,
        fence: int,
        replaced: Revision | None = None,
    ) -> str:
        """Gives the baseline all traffic in one operation, verifies it, and returns in words what it did.

        `replaced` is the previous baseline, if another one was chosen: the target may still be on it.

        Raises TargetMoved if somebody else changed the target, BaselineMissing, NotStable.
        """


@dataclass(frozen=True, slots=True, kw_only=True)
class Stored:
    """Something that the target keeps from earlier releases and that could be deleted."""

    name: str
    """A short name: `version 12`."""
    revisions: Sequence[Revision]
    """The known revisions that need it; none if it belongs to no revision or does not match its record."""
    used: str = ""
    """What uses it, in words, as far as the target knows; empty if nothing does."""
    size: int = 0
    """The bytes that deleting it would free; 0 if unknown or none."""
    stored_as: str = ""
    """As the kind's `stored_as` says it, if a revision is several stored objects; empty if it is one."""


class Keeper(Protocol):
    """What a target keeps from earlier releases. It acts with a person's permissions, never with the application's
    role."""

    def stored(self, known: Sequence[Revision]) -> Sequence[Stored]:
        """Everything that exists, oldest first. `known` are all revisions in the ledger, including those that are only
        planned.

        Raises TargetInvalid if the target does not exist, CredentialsRefused.
        """

    def delete(self, stored: Stored) -> None:
        """Deletes it permanently; does nothing if it is already deleted. Safe to repeat.

        Raises TargetInvalid if the target refuses the deletion, CredentialsRefused.
        """


class Target(Preflight, Deployer, Traffic, Restorer, Protocol):
    """One target of one application, for one release."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Invoked:
    """The Lambda function that runs a revision, and the qualifier to invoke it with."""

    function: str
    qualifier: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Metric:
    """A CloudWatch metric. In the dimensions' values, `{version}` is replaced with the revision."""

    namespace: str
    name: str
    dimensions: Mapping[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcomes:
    """CloudWatch metrics that count how a revision's executions ended. `{version}` as above."""

    namespace: str
    dimensions: Mapping[str, str]
    succeeded: str
    """The metric that counts successes."""
    failed: Mapping[str, str]
    """The metrics that count other outcomes, each with its word, such as `timed out`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """What health checks can query about a revision, or about whichever revision is current."""

    names: Mapping[str, str]
    """Values for a team's own check function, in the kind's terms. They include `version`, the value of `{version}`."""
    invoked: Invoked | None = None
    """The function to invoke, if there is one."""
    requests: Metric | None = None
    """The metric that counts its requests."""
    outcomes: Outcomes | None = None
    """The metrics that count outcomes, if there are any."""
    headers: Mapping[str, str] = field(default_factory=dict)
    """HTTP headers that select this revision, whatever its share of the traffic."""
    parts: Mapping[str, Subject] = field(default_factory=dict)
    """By their names, the parts that a revision has; none where it is one piece."""

    @property
    def each(self) -> Sequence[Subject]:
        """Every part; itself where it is one piece."""
        return tuple(self.parts.values()) or (self,)

    @property
    def described(self) -> Mapping[str, object]:
        """What a team's own function is given: the names, and those of the parts."""
        parts = [dict(each.names) for each in self.parts.values()]
        return {**self.names, **({"parts": parts} if parts else {})}

    def named_in(self, texts: Iterable[str]) -> Sequence[str]:
        """The names of the parts that these texts contain as whole words."""
        words = {word for text in texts for word in re.split(r"[^\w-]", text)}
        return [name for name in self.parts if name in words]

    def about(self, texts: Iterable[str]) -> Subject:
        """The part that these texts name; itself where they name none."""
        named = self.named_in(texts)
        return self.parts[named[0]] if named else self


class Make(Protocol):
    """Builds the adapter for one release of one application."""

    def __call__(self, *, application: str, tag: str, spec: Any, client: Client) -> Target:
        """`client("lambda")` returns a client of that service with only the kind's permissions. `tag` is empty if no release
        exists yet."""


class Keeps(Protocol):
    """Builds the object that finds and deletes the target's old revisions."""

    def __call__(self, *, application: str, spec: Any, client: Client) -> Keeper:
        """`client("lambda")` returns a client of that service with the person's own permissions."""


class Rights(Protocol):
    """The permissions that the adapter needs in the application's role."""

    def __call__(self, spec: Any, /, *, objects: Iterable[str]) -> tuple[Right, ...]:
        """`objects` are the ARNs of the artifacts that it may upload. If there are none, it may upload nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """Everything that the rest of Tagship needs to know about a kind of target. Each kind defines it in its own file."""

    name: str
    """The value of `target.type`."""
    spec: type[Any]
    """The model of its part of application.yaml."""
    example: Mapping[str, Any]
    """A complete example of that part."""
    examples: Mapping[tuple[str, str], Sequence[object]] = field(default_factory=dict)
    """Further examples for the schema, by the name of a model and of its field."""
    artifacts: Mapping[str, str]
    """The artifacts of a release of this kind, by name, with a description."""
    more_artifacts: Callable[[Any], Mapping[str, str]] = lambda _: {}
    """The further artifacts of a release to this target."""
    problems: Callable[[Any], Iterable[tuple[tuple[str | int, ...], str]]] = lambda _: ()
    """What is wrong between several fields of the target: the path of one of them, and the problem in words."""
    planned: Sequence[str] = ()
    """An example of a plan as approvers read it, for previews."""
    weighted: bool
    """False: traffic moves all at once, and strategies with steps are refused."""
    step_seconds: int
    """The usual duration of a traffic step besides its bake, with a margin. The release's time budget uses it."""
    settle_seconds: int
    """The longest that the target may take to apply a move or to make a candidate. It limits every wait for the target.
    """
    settles_at_once: bool = False
    """Whether a move has usually been applied when `set_weight` returns. `ShiftTraffic` then looks once itself, and
    `AwaitStable` is needed only if it was not.
    """
    make: Make
    rights: Rights
    subject: Callable[[Any, Revision | None], Subject]
    """What health checks can query about a revision; without a revision, about the current one."""
    describe: Callable[[Any, Revision | None], str]
    """A short name for a revision, for history, status and gates."""
    where: Callable[[Any], str]
    """A short description of the target with its account and region."""
    roles: Callable[[Any], Mapping[str, Any]] = lambda _: {}
    """Roles that the target needs besides the application's, as template resources. `tagship role` prints them."""
    stored_as: Callable[[Revision], Iterable[str]] = lambda revision: [
        f"{revision['id']} {revision['digest']}"
    ]
    """Identifies the stored objects of a revision: equal texts if two applications' targets share one."""
    keeps: Keeps | None = None
    """Deletes old revisions for `tagship retention`. Without it, the kind keeps everything."""

    def brings(self, spec: Any) -> Mapping[str, str]:
        """What a release to this target brings, by the artifact's name, in words."""
        return {**self.more_artifacts(spec), **self.artifacts}


__all__ = [
    "Artifacts",
    "Change",
    "ClientAs",
    "Deployer",
    "Finding",
    "Invoked",
    "Keeper",
    "Kind",
    "Made",
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
