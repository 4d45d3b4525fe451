"""What the cases use: a target, the actions that others can take on it, and a release."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol

from tagship.aws.rights import Location
from tagship.model.records import Revision
from tagship.targets.kind import Artifacts, Change, Kind, Move, Target

FENCE, NEWER = 7, 8
PATIENCE = 5
"""How often to ask whether a candidate is ready."""

ACTS_OF_OTHERS = {
    "drift": "someone would have to move the target by hand",
    "delete": "a revision would have to be deleted",
    "meet": "two requests would have to race between a read and its write",
    "overtake": "someone would have to move the target by hand between a restore's read and its write",
    "lose": "the answer to a write would have to be lost",
    "refuse": "AWS would have to refuse a call",
    "empty": "the target would have to serve nothing before the release",
    "reconfigure": "someone would have to change the target's settings by hand",
    "unsettle": "the target would have to be slow when the case needs it",
    "ask": "this kind of target has no request protocol",
    "watch": "response times in memory are not measured",
}
"""The abilities besides the target that a case may need, and why the case is skipped without them."""


class Unkept(Exception):
    """A broken promise. The message says what was expected and what happened."""


class Bench(Protocol):
    """A target with an old revision deployed: in memory with AWS's rules, or a team's own."""

    kind: Kind
    spec: Location
    artifacts: Artifacts
    """A release that changes something."""
    actions: Sequence[str]
    """Every AWS action in the kind's permissions, such as `s3:GetObject`."""

    def target(self) -> Target:
        """The adapter, for one release."""

    def state(self) -> Any:
        """Everything that the target's callers could notice: the revision, its share, and all settings."""

    def shares(self) -> dict[str, int]:
        """The traffic share of each revision, in percent, by id."""

    def writes(self) -> int | None:
        """The number of writes so far; None if they can't be counted."""

    def empty(self) -> None:
        """Removes everything that serves. Called for kinds that can start with nothing."""

    def drift(self) -> None:
        """Somebody moves all traffic to an unknown revision by hand."""

    def reconfigure(self) -> None:
        """Somebody changes, by hand, the settings that the next candidate would be made from."""

    def delete(self, revision: Revision) -> None:
        """Somebody deletes a revision."""

    def unsettle(self) -> None:
        """From now on the target applies moves slowly."""

    def settle(self) -> None:
        """The pending moves take effect."""

    def before_write(self, others: Callable[[], object]) -> None:
        """Runs the actions of others between the next read and its write, once."""

    def lose_answers(self) -> None:
        """From now on the client loses the first response to each write and sends the write again."""

    def refuse(self, action: str, *, throttled: bool = False) -> None:
        """From now on AWS refuses this action: access denied, or throttled."""

    def allow(self) -> None:
        """From now on AWS allows every action again."""


class Release:
    """One planned release with a fencing number."""

    def __init__(self, bench: Bench, *, fence: int | None = None, later: int = 0) -> None:
        first: int = getattr(bench, "fence", FENCE)
        self.bench, self.target = bench, bench.target()
        self.fence = first + later if fence is None else fence
        self.newer = self.fence + 1
        self.change: Change = self.target.plan(bench.artifacts, {}, weighted=bench.kind.weighted)
        self.candidate = self.change.candidate
        self.made: list[Revision] = []
        baseline = self.change.baseline
        self.etag = baseline.get("etag", "") if baseline else ""

    def prepare(self) -> None:
        """Makes the candidate, with as many requests as the state machine would send."""
        wait = 0
        for _ in range(PATIENCE):
            prepared = self.target.prepare(self.bench.artifacts, self.change.candidate, self.made.append)
            wait = prepared.wait
            if wait == 0 and prepared.candidate is not None:
                self.candidate = prepared.candidate
                return
            if pause := getattr(self.bench, "pause", None):
                pause(wait)
        raise Unkept(
            f"The candidate was not ready after {PATIENCE} requests; the last answer was to wait {wait} s."
        )

    def move(self, percent: int) -> Move:
        """A move to this share, from the target's last seen state."""
        return Move(
            baseline=self.change.baseline,
            candidate=self.candidate,
            percent=percent,
            etag=self.etag,
            fence=self.fence,
        )

    def set_weight(self, percent: int) -> None:
        """Gives the candidate this share."""
        self.etag = self.target.set_weight(self.move(percent))

    def restore(self, *, fence: int | None = None) -> str:
        """Gives the baseline all traffic."""
        return self.target.restore(
            baseline=self.change.baseline,
            candidate=self.candidate,
            fence=self.newer if fence is None else fence,
        )

    def expected(self, percent: int) -> dict[str, int]:
        """The expected shares after this move."""
        baseline = self.change.baseline
        shares = {self.candidate["id"]: percent} | ({baseline["id"]: 100 - percent} if baseline else {})
        return {revision: share for revision, share in shares.items() if share}

    @property
    def share(self) -> int:
        """A share below 100 % that the kind supports."""
        return 10 if self.bench.kind.weighted else 100


def prepared(bench: Bench) -> Release:
    """A planned release whose candidate is made."""
    release = Release(bench)
    release.prepare()
    return release


def questions(release: Release) -> dict[str, Callable[[], object]]:
    """Every request before approval."""
    target, artifacts = release.target, release.bench.artifacts
    return {
        "check": lambda: target.check(release.change.baseline),
        "dry_run": lambda: target.dry_run(artifacts),
        "restorable": lambda: target.restorable(release.change.baseline),
        "plan": lambda: target.plan(artifacts, {}, weighted=release.bench.kind.weighted),
    }


def acts(release: Release, percent: int) -> dict[str, Callable[[], object]]:
    """Every request after approval and preparation, in order."""
    target = release.target
    return {
        "verify_unchanged": lambda: target.verify_unchanged(release.move(percent)),
        "set_weight": lambda: release.set_weight(percent),
        "verify_weight": lambda: target.verify_weight(release.move(percent)),
        "restore": release.restore,
    }


def same(found: object, expected: object, what: str) -> None:
    """Raises Unkept if they differ."""
    if found != expected:
        raise Unkept(f"{what}: expected {_short(expected)}, found {_short(found)}.")


def holds(condition: object, what: str) -> None:
    """Raises Unkept if the condition is false."""
    if not condition:
        raise Unkept(f"{what}.")


def wrote_once(bench: Bench, before: int | None) -> None:
    """Raises Unkept unless exactly one write was added, if writes can be counted."""
    same(bench.writes(), None if before is None else before + 1, "Writes")


def refused(what: str, act: Callable[[], object], *errors: type[Exception]) -> Exception:
    """The error that the act raises. Raises Unkept if it raises none of these."""
    expected = " or ".join(each.__name__ for each in errors)
    try:
        act()
    except errors as error:
        return error
    except Exception as error:
        raise Unkept(f"{what}: expected {expected}, got {type(error).__name__}: {error}") from error
    raise Unkept(f"{what}: expected {expected}, and it was done.")


def stands(release: Release, percent: int) -> None:
    """Applies the moves and compares the target's shares. Raises Unkept if they differ."""
    if looks := getattr(release.bench, "stands", None):
        looks(release, percent)
        return
    release.bench.settle()
    same(release.bench.shares(), release.expected(percent), "The shares of the traffic")


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 300 else f"{text[:300]}…"
