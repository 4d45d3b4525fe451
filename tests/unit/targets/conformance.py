"""What every kind of target promises, in one suite.

Each act happens twice, late, at the same time as its twin, with an older fencing number, after drift, after the candidate or
the baseline was deleted, and with each right lost in turn.

A kind's authors write a `Bench`, a target in memory that keeps AWS's rules, and derive a test class from `Conformance`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any, Protocol

import pytest

from tagship.aws.rights import Location
from tagship.model.errors import (
    AwsUnavailable,
    BaselineMissing,
    CredentialsRefused,
    FinalError,
    LockLost,
    PlanChanged,
    RetryableError,
    TargetInvalid,
    TargetMoved,
)
from tagship.model.records import Revision
from tagship.targets.kind import Artifacts, Change, Kind, Move, Target

FENCE, NEWER = 7, 8
PATIENCE = 5
"""How often a candidate is asked for until it is ready."""


class Bench(Protocol):
    """A target of one kind in memory, on which an old revision serves."""

    kind: Kind
    spec: Location
    artifacts: Artifacts
    """A release that changes something."""
    actions: Sequence[str]
    """Every AWS action that the kind's rights name, as `lambda:GetAlias`."""

    def target(self) -> Target:
        """The adapter, for one release."""

    def state(self) -> Any:
        """All that callers of the target could notice: what serves, with which shares, and every setting."""

    def shares(self) -> dict[str, int]:
        """What share of the traffic each revision has, in percent, by the revision's id."""

    def writes(self) -> int:
        """How often something was written."""

    def empty(self) -> None:
        """Nothing serves. Asked by `Beginning` alone."""

    def drift(self) -> None:
        """Somebody moves all traffic by hand to a revision that no release knows."""

    def reconfigure(self) -> None:
        """Somebody changes, by hand, what the next candidate would be made of. Asked by `Settings` alone."""

    def delete(self, revision: Revision) -> None:
        """Somebody deletes a revision."""

    def unsettle(self) -> None:
        """From now on the target takes its time with each move. Asked by `Settling` alone."""

    def settle(self) -> None:
        """The moves that were made take effect."""

    def before_write(self, others: Callable[[], object]) -> None:
        """What others do between the next look and its write, once."""

    def lose_answers(self) -> None:
        """From now on the client loses the first answer to each write and sends the write again."""

    def refuse(self, action: str, *, throttled: bool = False) -> None:
        """From now on AWS refuses this action, to the role or because of throttling."""

    def allow(self) -> None:
        """AWS refuses nothing any longer."""


class Release:
    """One planned release, under a fencing number."""

    def __init__(self, bench: Bench, *, fence: int = FENCE) -> None:
        self.bench, self.target, self.fence = bench, bench.target(), fence
        self.change: Change = self.target.plan(bench.artifacts, {}, weighted=bench.kind.weighted)
        self.candidate = self.change.candidate
        self.etag = (self.change.baseline or {}).get("etag", "")

    def prepare(self) -> None:
        """Makes the candidate, asking as often as the state machine would."""
        for _ in range(PATIENCE):
            prepared = self.target.prepare(self.bench.artifacts, self.change.candidate)
            if prepared.wait == 0:
                assert prepared.candidate is not None
                self.candidate = prepared.candidate
                return
        pytest.fail("the candidate is never ready")

    def move(self, percent: int) -> Move:
        """This share, from where the target was last seen."""
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

    def restore(self, *, fence: int = NEWER) -> str:
        """Gives the baseline all traffic."""
        return self.target.restore(baseline=self.change.baseline, candidate=self.candidate, fence=fence)

    def expected(self, percent: int) -> dict[str, int]:
        """The shares that this one leads to."""
        baseline = self.change.baseline
        shares = {self.candidate["id"]: percent} | ({baseline["id"]: 100 - percent} if baseline else {})
        return {revision: share for revision, share in shares.items() if share}


def questions(release: Release) -> dict[str, Callable[[], object]]:
    """Everything that is asked before anybody approves."""
    target, artifacts = release.target, release.bench.artifacts
    return {
        "check": lambda: target.check(release.change.baseline),
        "dry_run": lambda: target.dry_run(artifacts),
        "restorable": lambda: target.restorable(release.change.baseline),
        "plan": lambda: target.plan(artifacts, {}, weighted=release.bench.kind.weighted),
    }


def acts(release: Release, percent: int) -> dict[str, Callable[[], object]]:
    """Everything that is asked after it was approved and prepared, in order."""
    target = release.target
    return {
        "verify_unchanged": lambda: target.verify_unchanged(release.move(percent)),
        "set_weight": lambda: release.set_weight(percent),
        "verify_weight": lambda: target.verify_weight(release.move(percent)),
        "restore": release.restore,
    }


class Conformance(ABC):
    """Derive from it, or from those below that fit the kind, and say how a bench is made."""

    begins_with_nothing = False
    """Whether the kind can release where nothing serves yet: see `Beginning`."""

    @abstractmethod
    def make(self) -> Bench:
        """A new one, on which nothing has happened."""

    @pytest.fixture
    def bench(self) -> Bench:
        return self.make()

    @pytest.fixture
    def release(self, bench: Bench) -> Release:
        """Planned and prepared."""
        release = Release(bench)
        release.prepare()
        return release

    @pytest.fixture
    def share(self, bench: Bench) -> int:
        """A share that the kind can give before all of it."""
        return 10 if bench.kind.weighted else 100

    # ---- the record ------------------------------------------------------------------------------------------------

    def test_a_kind_says_what_it_is(self, bench: Bench) -> None:
        release = Release(bench)
        baseline = release.change.baseline
        assert baseline is not None
        assert bench.kind.describe(bench.spec, baseline)
        assert bench.kind.where(bench.spec)
        assert set(bench.kind.artifacts) == set(bench.artifacts)
        assert all(bench.kind.artifacts.values())
        assert bench.kind.step_seconds > 0
        assert bench.kind.settle_seconds > 0
        assert {"id", "digest", "etag", "data"} <= set(baseline)
        bench.kind.subject(bench.spec, baseline)

    # ---- before anybody approves -----------------------------------------------------------------------------------

    def test_what_is_asked_before_approval_changes_nothing_however_often(self, bench: Bench) -> None:
        release, before = Release(bench), bench.state()
        for _ in range(2):
            for question in questions(release).values():
                question()
        assert bench.state() == before
        assert bench.writes() == 0

    def test_a_plan_that_is_made_twice_is_the_same(self, bench: Bench) -> None:
        first, second = Release(bench), Release(bench)
        assert first.change == second.change
        assert first.change.summary
        assert first.change.nothingToChange is False
        assert first.candidate["id"] == "", "nothing was made"

    def test_what_serves_already_is_nothing_to_change(self, release: Release, bench: Bench) -> None:
        release.set_weight(100)
        bench.settle()
        again = Release(bench)
        assert again.change.nothingToChange
        assert again.change.baseline is not None
        assert again.change.baseline["digest"] == release.candidate["digest"]

    # ---- the candidate ---------------------------------------------------------------------------------------------

    def test_a_candidate_is_made_once_however_often_it_is_asked_for(
        self, release: Release, bench: Bench
    ) -> None:
        made, before, shares = release.candidate, bench.state(), bench.shares()
        release.prepare()
        assert release.candidate == made
        assert made["id"]
        assert made["digest"] == release.change.candidate["digest"]
        assert bench.state() == before
        assert list(shares.values()) == [100]
        assert made["id"] not in shares

    def test_a_candidate_that_its_twin_makes_at_the_same_time_is_one(self, bench: Bench) -> None:
        release, twin = Release(bench), Release(bench)
        bench.before_write(twin.prepare)
        release.prepare()
        twin.prepare()  # where the plan has made it, there was no write to be beside of
        assert release.candidate == twin.candidate

    def test_a_candidate_whose_answer_was_lost_is_made_once(self, bench: Bench) -> None:
        bench.lose_answers()
        release = Release(bench)
        release.prepare()
        made = release.candidate
        release.prepare()
        assert release.candidate == made

    # ---- twice, late, with its twin --------------------------------------------------------------------------------

    def test_a_share_that_was_given_is_not_given_again(self) -> None:
        for percent in (1, 10, 29, 50, 99, 100) if self.make().kind.weighted else (100,):
            bench = self.make()
            release = Release(bench)
            release.prepare()
            act, before = release.move(percent), bench.writes()
            etags = {release.target.set_weight(act) for _ in range(3)}
            release.target.verify_unchanged(act)
            assert len(etags) == 1
            assert bench.writes() == before + 1
            bench.settle()
            assert bench.shares() == release.expected(percent)
            assert release.target.verify_weight(act) == 0

    def test_steps_follow_each_other(self, release: Release, bench: Bench, share: int) -> None:
        for percent in dict.fromkeys((share, 100)):
            release.set_weight(percent)
            bench.settle()
            assert bench.shares() == release.expected(percent)

    def test_a_share_that_its_twin_gives_at_the_same_time_is_given_once(
        self, release: Release, bench: Bench, share: int
    ) -> None:
        act, before = release.move(share), bench.writes()
        bench.before_write(lambda: release.target.set_weight(act))
        release.target.set_weight(act)
        assert bench.writes() == before + 1
        bench.settle()
        assert bench.shares() == release.expected(share)

    def test_a_write_whose_answer_was_lost_is_ones_own(
        self, release: Release, bench: Bench, share: int
    ) -> None:
        bench.lose_answers()
        release.set_weight(share)
        bench.settle()
        assert bench.shares() == release.expected(share)
        release.set_weight(100)
        assert "again" in release.restore()

    @pytest.mark.parametrize("moved", [False, True])
    def test_a_share_that_comes_after_the_restore_is_refused(
        self, release: Release, bench: Bench, share: int, moved: bool
    ) -> None:
        if moved:
            release.set_weight(share)
        late = replace(release.move(100), fence=FENCE)
        release.restore()
        bench.settle()
        for act in (release.target.verify_unchanged, release.target.set_weight):
            with pytest.raises((TargetMoved, LockLost)):
                act(late)
        assert bench.shares() == release.expected(0)

    def test_a_share_that_is_on_its_way_during_the_restore_is_refused(
        self, release: Release, bench: Bench, share: int
    ) -> None:
        bench.before_write(release.restore)
        with pytest.raises((TargetMoved, LockLost)):
            release.set_weight(share)
        bench.settle()
        assert bench.shares() == release.expected(0)

    def test_a_baseline_is_restored_once_however_often_it_is_asked_for(
        self, release: Release, bench: Bench, share: int
    ) -> None:
        release.set_weight(share)
        bench.settle()
        before = bench.writes()
        for _ in range(3):
            assert release.restore()
            bench.settle()
            assert bench.shares() == release.expected(0)
        assert bench.writes() == before + 1

    def test_a_baseline_that_its_twin_restores_at_the_same_time_is_restored(
        self, release: Release, bench: Bench, share: int
    ) -> None:
        release.set_weight(share)
        bench.settle()
        bench.before_write(release.restore)
        try:
            release.restore()
        except RetryableError:  # looked at again
            release.restore()
        bench.settle()
        assert bench.shares() == release.expected(0)

    # ---- an older fencing number -----------------------------------------------------------------------------------

    def test_an_older_number_may_change_nothing(self, release: Release, bench: Bench, share: int) -> None:
        newer = Release(bench, fence=NEWER)
        newer.prepare()
        newer.set_weight(share)
        bench.settle()
        before = bench.state()
        for act in (
            lambda: release.target.verify_unchanged(release.move(100)),
            lambda: release.set_weight(100),
            lambda: release.restore(fence=FENCE),
        ):
            with pytest.raises((LockLost, TargetMoved)):
                act()
        with pytest.raises(LockLost):
            release.restore(fence=FENCE)
        assert bench.state() == before

    # ---- drift and deletion ----------------------------------------------------------------------------------------

    @pytest.mark.parametrize("moved", [False, True])
    def test_what_somebody_moved_by_hand_is_not_overwritten(
        self, release: Release, bench: Bench, share: int, moved: bool
    ) -> None:
        if moved:
            release.set_weight(share)
            bench.settle()
        bench.drift()
        before = bench.state()
        for act in (
            lambda: release.target.check(release.change.baseline),
            lambda: release.target.verify_unchanged(release.move(100)),
            lambda: release.set_weight(100),
            release.restore,
        ):
            with pytest.raises(TargetMoved):
                act()
        assert bench.state() == before

    def test_what_somebody_moves_by_hand_between_look_and_write_is_not_overwritten(
        self, release: Release, bench: Bench, share: int
    ) -> None:
        bench.before_write(bench.drift)
        with pytest.raises(TargetMoved):
            release.set_weight(share)
        assert release.candidate["id"] not in bench.shares()

    def test_a_candidate_that_was_deleted_gets_no_traffic(
        self, release: Release, bench: Bench, share: int
    ) -> None:
        bench.delete(release.candidate)
        shares = bench.shares()
        for act in (
            lambda: release.target.verify_unchanged(release.move(share)),
            lambda: release.set_weight(share),
        ):
            with pytest.raises(FinalError):
                act()
        assert bench.shares() == shares
        assert release.restore(), "a rollback needs no candidate"

    def test_a_baseline_that_was_deleted_is_missing(self, release: Release, bench: Bench) -> None:
        release.set_weight(100)
        bench.settle()
        assert release.change.baseline is not None
        bench.delete(release.change.baseline)
        before = bench.state()
        for act in (lambda: release.target.exists(release.change.baseline or {}), release.restore):
            with pytest.raises(BaselineMissing):
                act()
        assert bench.state() == before

    def test_a_baseline_that_is_there_exists(self, release: Release) -> None:
        assert release.change.baseline is not None
        release.target.exists(release.change.baseline)

    # ---- rights, and an AWS that does not answer -------------------------------------------------------------------

    def scenario(self, bench: Bench) -> list[tuple[str, Callable[[], object]]]:
        """Every act, in the order of a release, so that each right is used."""
        release, share = Release(bench), 10 if bench.kind.weighted else 100
        steps = [
            *questions(release).items(),
            ("prepare", release.prepare),
            ("prepare, again", release.prepare),
            *acts(release, share).items(),
        ]
        if release.change.baseline is None:  # removed, and nothing to look for
            return [step for step in steps if step[0] not in ("check", "restorable")]
        return [*steps, ("exists", lambda: release.target.exists(release.change.baseline or {}))]

    def refusals(self, action: str, *, throttled: bool) -> Iterator[tuple[str, Exception]]:
        """Each act of a release, and of a first one, that fails while AWS refuses one action; later it works."""
        for first in (False, True) if self.begins_with_nothing else (False,):
            for number in range(len(self.scenario(self.make()))):
                bench = self.make()
                if first:
                    bench.empty()
                steps = self.scenario(bench)
                for _, act in steps[:number]:
                    act()
                for name, act in steps[number : number + 1]:
                    before = bench.state()
                    bench.refuse(action, throttled=throttled)
                    try:
                        act()
                    except (CredentialsRefused, AwsUnavailable) as error:
                        assert bench.state() == before, f"{name} without {action} changed something"
                        yield name, error
                        bench.allow()
                        act()

    def test_without_a_right_each_act_says_so_and_changes_nothing(self, bench: Bench) -> None:
        for action in bench.actions:
            refused = list(self.refusals(action, throttled=False))
            assert refused, f"a right that nobody needs: {action}"
            for name, error in refused:
                assert isinstance(error, CredentialsRefused), f"{name} without {action}"

    def test_throttling_is_told_from_a_refusal_and_the_act_can_be_repeated(self, bench: Bench) -> None:
        for action in bench.actions:
            for name, error in self.refusals(action, throttled=True):
                assert isinstance(error, AwsUnavailable), f"{name} without {action}"

    def test_an_artifact_of_another_name_is_refused_before_anything_is_touched(self, bench: Bench) -> None:
        (only,) = list(bench.artifacts.values())[:1]
        for ask in (bench.target().dry_run, lambda it: bench.target().plan(it, {}, weighted=False)):
            with pytest.raises(TargetInvalid):
                ask({"another": only})
        assert bench.writes() == 0


class Beginning(Conformance):
    """A kind that can release where nothing serves yet."""

    begins_with_nothing = True

    @pytest.fixture
    def first(self, bench: Bench) -> Release:
        """Planned and prepared where nothing serves."""
        bench.empty()
        release = Release(bench)
        release.prepare()
        return release

    def test_a_first_release_can_be_removed_again(self, first: Release, bench: Bench) -> None:
        assert first.change.baseline is None
        for _ in range(2):
            first.set_weight(100)
        bench.settle()
        assert bench.shares() == first.expected(100)
        for _ in range(2):
            first.restore()
        bench.settle()
        assert bench.shares() == {}


class Settings(Conformance):
    """A kind whose candidate is also made of settings that stand outside of the release."""

    def test_other_settings_are_a_change(self, release: Release, bench: Bench) -> None:
        release.set_weight(100)
        bench.settle()
        bench.reconfigure()
        assert Release(bench).change.nothingToChange is False

    def test_a_candidate_that_would_be_another_one_than_was_approved_is_not_made(self, bench: Bench) -> None:
        release, shares = Release(bench), bench.shares()
        bench.reconfigure()
        before = bench.writes()
        for ask in (release.prepare, lambda: release.target.verify_unchanged(release.move(0))):
            with pytest.raises(PlanChanged):
                ask()
        assert bench.writes() == before
        assert bench.shares() == shares

    def test_a_change_by_hand_while_the_candidate_is_made_is_noticed(self, bench: Bench) -> None:
        release, shares = Release(bench), bench.shares()
        bench.before_write(bench.reconfigure)
        with pytest.raises(PlanChanged):
            release.prepare()
        assert bench.shares() == shares


class Settling(Conformance):
    """A kind whose moves take their time."""

    def test_a_move_that_takes_its_time_is_waited_for(
        self, release: Release, bench: Bench, share: int
    ) -> None:
        bench.unsettle()
        release.set_weight(100)
        assert 0 < release.target.verify_weight(release.move(100)) <= bench.kind.settle_seconds
        bench.settle()
        assert release.target.verify_weight(release.move(100)) == 0

    def test_a_restore_that_takes_its_time_has_not_failed(self, release: Release, bench: Bench) -> None:
        release.set_weight(100)
        bench.settle()
        bench.unsettle()
        for _ in range(2):
            assert release.restore()
        assert release.target.verify_weight(release.move(0)) > 0
        bench.settle()
        assert release.target.verify_weight(release.move(0)) == 0
        assert bench.shares() == release.expected(0)

    def test_a_share_can_be_restored_while_it_is_still_taking_its_time(
        self, release: Release, bench: Bench
    ) -> None:
        bench.unsettle()
        release.set_weight(100)
        release.restore()
        bench.settle()
        assert bench.shares() == release.expected(0)
