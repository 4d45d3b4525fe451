"""The adapter of target `lambda`: one function, or several that move together, each behind its alias.

Two aliases can't change in one call. So everything that may fail is done for every function before the first alias is
written: versions are made, aliases are read, baselines are held. Between two writes callers get a mixture of versions:
for the milliseconds of a write, or until the rollback has restored every alias.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from botocore.exceptions import ClientError

from tagship.model.errors import BaselineMissing, LockLost, RetryableError, TagshipError, TargetInvalid
from tagship.model.records import Revision
from tagship.targets.kind import Artifacts, Change, Finding, Made, Move, Opened, Prepared
from tagship.targets.lambda_configuration import is_dangerous
from tagship.targets.lambda_function import LambdaFunction
from tagship.targets.lambda_keeping import room_for, storage_of
from tagship.targets.lambda_parts import OF, apart, is_absent, joined, name_of, part_of, parts_of, whole
from tagship.text.words import listed

if TYPE_CHECKING:
    from mypy_boto3_lambda.type_defs import AliasConfigurationResponseTypeDef as Alias

_AT_ONCE = 4
"""Dry runs that are made at the same time."""
_NEXT_SECONDS = 1
"""Seconds between two uploads. Each upload has its own invocation, so that a slow one ends before the function's
timeout."""
_LOOKS = (0.3, *[0.07] * 7)
"""The seconds before each further look at new versions: none is active at once, and many within a second. The state machine
waits in whole seconds, and its wait costs three transitions and another call."""

_PARALLEL = 8
"""The most reads at the same time."""

_Failed = tuple[LambdaFunction, TagshipError | ClientError]


@dataclass(frozen=True, slots=True, kw_only=True)
class LambdaFunctions:
    """The aliases of one application, for one release, in the order in which they move."""

    application: str
    tag: str
    parts: Sequence[LambdaFunction]
    pause: Callable[[float], None] = field(default=time.sleep, compare=False)
    _seen: dict[str, tuple[Move, tuple[Alias | None, str]]] = field(
        default_factory=dict, init=False, compare=False, repr=False
    )
    """For which move `verify_unchanged` has checked each alias, and what it saw."""

    # ---- before approval -------------------------------------------------------------------------------------------

    def check(self, current: Revision | None) -> Finding:
        """Checks each function. One that was not part of the recorded release has not drifted."""
        found = [part.check(part_of(current, part.spec.of)) for part in self.parts]
        return Finding(
            said=" ".join(each.said for each in found),
            warning=_sentences(each.warning for each in found),
            remedies=[remedy for each in found for remedy in each.remedies],
        )

    def dry_run(self, artifacts: Artifacts) -> Finding:
        """Runs each upload's dry run, and checks that the account has storage for all of them."""
        with ThreadPoolExecutor(_AT_ONCE) as pool:
            storage = pool.submit(storage_of, self.parts[0].client, release=self._release)
            sizes = list(pool.map(lambda part: part.dry_run(artifacts), self.parts))
        warning = room_for(storage.result(), sum(sizes), release=self._release)
        said = (
            "The upload passed its dry run."
            if len(sizes) == 1
            else f"All {len(sizes)} uploads passed their dry runs."
        )
        return Finding(said=said, warning=warning)

    def look_into(self, artifacts: Artifacts, opened: Opened) -> tuple[str, Sequence[str]]:
        """Checks each package for its function's current handler and runtime."""
        found = [(self._prefix(part), *part.look_into(artifacts, opened)) for part in self.parts]
        problems = [f"{prefix}{problem}" for prefix, _, wrong in found for problem in wrong]
        return " ".join(f"{prefix}{said}" for prefix, said, _ in found if said), problems

    def restorable(self, current: Revision | None) -> Finding | None:
        """What each alias would be restored to. A new alias would be removed again, and the plan says so."""
        found = [part.restorable(part_of(current, part.spec.of)) for part in self.parts]
        serving = [each for each in found if each]
        if not serving:
            return None
        return Finding(
            said=listed(each.said for each in serving), warning=_sentences(each.warning for each in serving)
        )

    def plan(self, artifacts: Artifacts, parameters: Mapping[str, str], *, weighted: bool) -> Change:  # noqa: ARG002 (a function takes none)
        """Each function's own changes. Nothing to change only if no function changes."""
        changes = [(part, part.plan(artifacts, weighted=weighted)) for part in self.parts]
        baseline = whole({part.spec.of: change.baseline for part, change in changes})
        candidate = whole({part.spec.of: change.candidate for part, change in changes})
        assert candidate is not None  # each change has a candidate
        nothing = all(change.nothingToChange for _, change in changes)
        if nothing and baseline:
            candidate = baseline
        return Change(
            baseline=baseline,
            candidate=candidate,
            nothingToChange=nothing,
            summary=list(self._summary(changes)),
        )

    def _summary(self, changes: Sequence[tuple[LambdaFunction, Change]]) -> Iterator[str]:
        """Grouped by function, with changes of permissions or of the running code first for all of them."""
        if len(changes) == 1:
            yield from changes[0][1].summary
            return
        names = ", then ".join(part.spec.function for part in self.parts)
        yield f"{len(changes)} functions move together, in this order: {names}"
        for part, change in changes:
            yield from (f"{self._prefix(part)}{line}" for line in change.summary if is_dangerous(line))
        for part, change in changes:
            first, *more = (line for line in change.summary if not is_dangerous(line))
            yield first
            yield from (f"{self._prefix(part)}{line}" for line in more)

    # ---- the candidate ---------------------------------------------------------------------------------------------

    def prepare(self, artifacts: Artifacts, candidate: Revision, made: Made) -> Prepared:
        """Makes every version, at most one upload in each call, after checking that each would match the approval."""
        wanted = [(part, self._part(part, candidate)) for part in self.parts]
        latest = [(part, each, part.as_approved(each)) for part, each in wanted]
        known = {part.spec.of: each if each["id"] else None for part, each in wanted}
        waits: dict[str, int] = {}

        def add(revision: Revision) -> None:
            known[revision["data"][OF]] = revision
            if existing := whole(known):
                made(existing)

        for number, (part, each, found) in enumerate(latest, start=1):
            waits[part.spec.of] = part.prepare(artifacts, each, add, found)
            if part.uploads(each, found) and number < len(self.parts):
                return Prepared(wait=_NEXT_SECONDS)
        published = whole(known) if all(each and each["id"] for each in known.values()) else None
        if published:
            self._look_again(published, waits)
        wait = max(waits.values())
        return Prepared(candidate=None if wait else published, wait=wait)

    def _look_again(self, published: Revision, waits: dict[str, int]) -> None:
        """Renews the seconds to wait for each version, until all are active or a moment is over."""
        for seconds in _LOOKS:
            if not any(waits.values()):
                return
            self.pause(seconds)
            for part in self.parts:
                if wait := waits[part.spec.of]:
                    waits[part.spec.of] = part.look_again(self._part(part, published), wait)

    # ---- traffic ---------------------------------------------------------------------------------------------------

    def verify_unchanged(self, move: Move) -> None:
        """Checks every alias and every candidate, with all reads in parallel; the first function's problem is raised."""
        self._seen.clear()
        moves = list(self._moves(move))
        with ThreadPoolExecutor(max_workers=min(2 * len(moves), _PARALLEL)) as pool:
            reads = [
                (part, its, pool.submit(part.look, its), pool.submit(part.verify_candidate, its))
                for part, its in moves
            ]
        for part, its, seen, verified in reads:
            self._seen[part.spec.of] = its, seen.result()
            verified.result()

    def set_weight(self, move: Move) -> str:
        """Writes each alias once, in order, each with its own precondition and the same fencing number.

        Nothing is written before every alias has been read and every baseline is held. A repeated request continues
        with the first alias that has not moved. An alias that `verify_unchanged` has just read is not read again: AWS
        refuses the write if it has changed since.
        """
        seen = [(part, its, *self._looked(part, its)) for part, its in self._moves(move)]
        for part, its, _, etag in seen:
            if not etag:
                part.hold(its)
        return joined([etag or part.set_weight(its, alias) for part, its, alias, etag in seen])

    def _looked(self, part: LambdaFunction, its: Move) -> tuple[Alias | None, str]:
        known, seen = self._seen.pop(part.spec.of, (None, (None, "")))
        return seen if known == its else part.look(its)

    def verify_weight(self, move: Move) -> int:
        """They settle concurrently, so together they take as long as the slowest.

        An alias that did not exist before the release does not exist after a rollback, so there is nothing to wait for.
        """
        standing = [(part, its) for part, its in self._moves(move) if its.baseline or move.percent]
        return max((part.verify_weight(its) for part, its in standing), default=0)

    # ---- the baseline ----------------------------------------------------------------------------------------------

    def exists(self, revision: Revision) -> None:
        """Checks that every function's version exists and has the recorded code."""
        for part in self.parts:
            found = part_of(revision, part.spec.of)
            if found is None:
                raise BaselineMissing(self._unrecorded(part))
            part.exists(found)

    def serving(self) -> Revision | None:
        """The versions that have all of each alias's traffic."""
        return whole({part.spec.of: part.serving() for part in self.parts})

    def restore(
        self,
        *,
        baseline: Revision | None,
        candidate: Revision | None,
        fence: int,
        replaced: Revision | None = None,
    ) -> str:
        """Restores every alias in reverse order, including unmoved ones: the new fencing number refuses a late write.

        Nothing is written if a higher fencing number has been used on any of them. Otherwise an alias that can't be
        restored does not prevent the others from being restored.
        """
        seen: list[tuple[LambdaFunction, Alias | None]] = []
        done: list[tuple[LambdaFunction, str]] = []
        failed: list[_Failed] = []
        for part in self.parts:
            with _noted(part, failed):
                seen.append((part, part.look_before_restoring(fence)))
        for part, alias in reversed(seen):
            of = part.spec.of
            with _noted(part, failed):
                if part_of(baseline, of) is None and not is_absent(baseline, of):
                    raise BaselineMissing(self._unrecorded(part))
                what = part.restore(
                    alias,
                    baseline=part_of(baseline, of),
                    candidate=part_of(candidate, of),
                    replaced=part_of(replaced, of),
                    fence=fence,
                )
                done.append((part, what))
        if failed:
            raise self._unrestored([part for part, _ in done], failed)
        first, *more = (what for _, what in done)
        return " ".join([first, *(f"{what[:1].upper()}{what[1:]}" for what in more)])

    def _unrestored(
        self, done: Sequence[LambdaFunction], failed: Sequence[_Failed]
    ) -> TagshipError | ClientError:
        """The combined error, retryable if one of them is. It names the restored and the unrestored aliases."""
        errors = [error for _, error in failed]
        first = next((each for each in errors if isinstance(each, RetryableError)), errors[0])
        if len(self.parts) == 1 or isinstance(first, ClientError):
            return first
        restored = f"Restored: {listed(part.name for part in done)}." if done else "No alias was restored."
        why = " ".join(f"{str(each).removesuffix('.')}." for each in errors)
        error = type(first)(
            f"{self._release}: {restored} Not restored: {listed(part.name for part, _ in failed)}. {why}"
        )
        error.__cause__ = first
        return error

    # ---- parts -----------------------------------------------------------------------------------------------------

    def _moves(self, move: Move) -> Iterator[tuple[LambdaFunction, Move]]:
        """The move of each function.

        Raises TargetInvalid if the release was planned for other functions.
        """
        if removed := self._removed(move.candidate):
            raise TargetInvalid(
                f"{self._release}: the release was planned for {removed} too, which the target no longer names. This step "
                "changed nothing; if an earlier one moved traffic, the release is rolled back. Publish a new tag."
            )
        for part, etag in zip(self.parts, apart(move.etag, len(self.parts)), strict=True):
            baseline, candidate = part_of(move.baseline, part.spec.of), self._part(part, move.candidate)
            yield part, replace(move, baseline=baseline, candidate=candidate, etag=etag)

    def _removed(self, planned: Revision) -> str:
        """Functions of the plan that the target does not have, in words."""
        named = {part.spec.of for part in self.parts}
        aliases = [each["data"].get(OF, "") for each in parts_of(planned)]
        return listed(f"function {name_of(each)}" for each in aliases if each and each not in named)

    def _part(self, part: LambdaFunction, revision: Revision) -> Revision:
        found = part_of(revision, part.spec.of)
        if found is None:
            raise TargetInvalid(f"{self._unrecorded(part)} Nothing was changed. Publish a new tag.")
        return found

    # ---- words -----------------------------------------------------------------------------------------------------

    @property
    def _release(self) -> str:
        return f"{self.application} {self.tag}"

    def _prefix(self, part: LambdaFunction) -> str:
        return f"{part.spec.function}: " if len(self.parts) > 1 else ""

    def _unrecorded(self, part: LambdaFunction) -> str:
        return f"{self._release}: the recorded release has no version for {part.name}."


@contextmanager
def _noted(part: LambdaFunction, failed: list[_Failed]) -> Iterator[None]:
    """Records why an alias was not restored. Raises LockLost: then no other alias may be restored either."""
    try:
        yield
    except LockLost:
        raise
    except (TagshipError, ClientError) as error:
        failed.append((part, error))


def _sentences(texts: Iterable[str]) -> str:
    return " ".join(filter(None, texts))
