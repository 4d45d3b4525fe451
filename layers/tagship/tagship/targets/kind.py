"""The small interface that every target keeps."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from tagship.model.records import Revision
from tagship.model.release import Artifact, PinnedObject


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """What a deployment would change; nothing has moved yet."""

    baseline: Revision | None
    """What serves now and what a rollback restores; None where nothing serves."""
    candidate: Revision
    nothingToChange: bool
    summary: list[str]
    """In words, for the approver."""


class Target(Protocol):
    """Every method may run twice, late, or beside its twin; each raises CredentialsRefused where the role may not do it."""

    def ready(self, recorded: Revision | None) -> tuple[str, str]:
        """Whether it can be changed, and stands as the ledger recorded it: that in words, and a warning or nothing.

        Raises TargetInvalid when it can't be changed, CandidateNotReady while somebody else changes it, TargetMoved when it
        has drifted.
        """

    def rehearse(self, artifacts: Mapping[str, tuple[Artifact, PinnedObject]]) -> str:
        """The target's own dry run, in words; nothing where it has none. Raises what `plan` does."""

    def restorable(self, recorded: Revision | None) -> str | None:
        """What a rollback would restore, in words; None where nothing serves.

        Raises BaselineMissing when it can't be restored, TargetInvalid when it is not one revision that serves.
        """

    def plan(self, artifacts: Mapping[str, tuple[Artifact, PinnedObject]]) -> Change:
        """Prepares the candidate and says what would change; no traffic moves.

        Raises CandidateNotReady while the target still prepares it, TargetInvalid when it can't be changed.
        """

    def unmoved(
        self, *, baseline: Revision | None, candidate: Revision, percent: int, expected: str, fence: int
    ) -> None:
        """The target is in the expected state, or in the one that `shift` with the same words has already brought it to.

        Raises TargetMoved when it is not, LockLost when a higher fencing number was here.
        """

    def shift(
        self, *, baseline: Revision | None, candidate: Revision, percent: int, expected: str, fence: int
    ) -> str:
        """Gives the candidate this share of the traffic; answers with the state to expect at the next shift.

        Raises TargetMoved when the target is not as expected, LockLost when a higher fencing number was here.
        """

    def settled(self, *, baseline: Revision | None, candidate: Revision, percent: int) -> None:
        """Raises NotStable until the target runs what it was told to."""

    def held(self, revision: Revision) -> None:
        """Raises BaselineMissing when the target no longer has this revision as it was recorded."""

    def restore(
        self,
        *,
        baseline: Revision | None,
        candidate: Revision | None,
        fence: int,
        replaced: Revision | None = None,
    ) -> str:
        """Puts the baseline back in one act and reads it back; says in words what it did.

        `replaced` is what the baseline was before it was chosen anew: the target may still stand there.

        Raises TargetMoved when somebody else changed the target, BaselineMissing, NotStable.
        """
