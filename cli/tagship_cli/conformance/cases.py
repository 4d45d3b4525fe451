"""The promises that every kind of target keeps, one case each: the action, the expected result, and how to fix a
failure.

Each action is tried twice, late, at the same time as a duplicate, with an older fencing number, after drift, after the
candidate or the baseline was deleted, and with each permission missing in turn.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

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
from tagship_cli.conformance.bench import (
    Bench,
    Release,
    acts,
    holds,
    prepared,
    questions,
    refused,
    same,
    stands,
    wrote_once,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Make:
    """Creates a new bench."""

    bench: Callable[[], Bench]
    can: frozenset[str]
    """The abilities that the bench has: names of ACTS_OF_OTHERS."""

    def __call__(self) -> Bench:
        return self.bench()


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One promise."""

    name: str
    """A sentence that describes the behaviour."""
    act: str
    """The action that it tests."""
    needs: frozenset[str]
    """The abilities that it needs: names of ACTS_OF_OTHERS."""
    remedy: str
    """How to fix a failure."""
    keeps: Callable[[Make], None]
    """Raises Unkept, or an error of the target, if the promise is broken."""


CASES: list[Case] = []
"""In the order of a release."""


def case(act: str, *needs: str, remedy: str) -> Callable[[Callable[[Make], None]], Callable[[Make], None]]:
    """Adds a case. Its name is the function's docstring."""

    def added(keeps: Callable[[Make], None]) -> Callable[[Make], None]:
        name = (keeps.__doc__ or "").strip().rstrip(".")
        CASES.append(Case(name=name, act=act, needs=frozenset(needs), remedy=remedy, keeps=keeps))
        return keeps

    return added


_LOOKS = "Before approval the function may only read: move all writes to prepare, set_weight or restore."
_SAME_PLAN = "Compute the plan from the release and the target alone: no times, no random names."
_ONCE = (
    "Check whether an earlier request with the same fence did this already; if so, answer with the same etag "
    "and write nothing."
)
_FENCE = (
    "Store the fencing number with the target, in the same write that moves the target, "
    "and refuse a smaller number with LockLost."
)
_FOREIGN = "Compare the target with etag in the same call that writes, and answer TargetMoved if it differs."
_MADE_ONCE = (
    "Derive the candidate's id from the release, and check whether the candidate exists before you make it."
)
_RESTORE = "Give the baseline all traffic in one call, without looking up the candidate."


# ---- the protocol of custom functions ------------------------------------------------------------------------------


@case("(any)", "ask", remedy="Answer TargetInvalid to an act that the function does not know.")
def unknown_act(make: Make) -> None:
    """An unknown act is refused"""
    _is_error(_asked(make(), act="tagship_conformance"), "TargetInvalid")


@case("(any)", "ask", remedy="Answer TargetInvalid to a schemaVersion that the function was not written for.")
def unknown_version(make: Make) -> None:
    """A version of the protocol that the function does not know is refused"""
    _is_error(_asked(make(), act="serving", schemaVersion=99), "TargetInvalid")


@case("exists", "ask", remedy="Look up the revision, and answer BaselineMissing if it does not exist.")
def unknown_revision(make: Make) -> None:
    """A revision that never existed is missing"""
    bench = make()
    unknown: Any = {"id": "tagship-conformance-no-such-revision", "digest": "0" * 64, "data": {}}
    refused("exists", lambda: bench.target().exists(unknown), BaselineMissing)


@case(
    "set_weight",
    "ask",
    remedy="Look up the candidate before you write, and answer TargetInvalid if it does not exist.",
)
def unknown_candidate(make: Make) -> None:
    """A candidate that never existed gets no traffic"""
    release = prepared(make())
    before = release.bench.state()
    release.candidate = {**release.candidate, "id": "tagship-conformance-no-such-revision"}
    refused("set_weight", lambda: release.set_weight(release.share), FinalError)
    same(release.bench.state(), before, "The current revision afterwards")


def _asked(bench: Any, **about: Any) -> Any:
    return bench.ask({"source": "tagship", "schemaVersion": 1, "idempotencyKey": "0" * 64} | about)


def _is_error(answer: Any, name: str) -> None:
    error = answer.get("error") if isinstance(answer, dict) else None
    same(error.get("name") if isinstance(error, dict) else None, name, "The error's name")


# ---- before approval -----------------------------------------------------------------------------------------------


@case("check, plan, exists, serving", remedy=_LOOKS)
def only_looks(make: Make) -> None:
    """Requests before approval change nothing, however often they are repeated"""
    bench = make()
    writes, release, before = bench.writes(), Release(bench), bench.state()
    for _ in range(2):
        for question in questions(release).values():
            question()
    same(bench.state(), before, "The current revision afterwards")
    etag = _baseline(release).get("etag")
    same(_baseline(Release(bench)).get("etag"), etag, "The target's etag afterwards")
    same(bench.writes(), writes, "Writes")


@case("plan", remedy=_SAME_PLAN)
def same_plan(make: Make) -> None:
    """A plan that is made twice is the same"""
    bench = make()
    first, second = Release(bench), Release(bench)
    for part in ("baseline", "candidate", "summary", "nothingToChange"):
        same(getattr(second.change, part), getattr(first.change, part), f"{part} of the second plan")
    holds(first.change.summary, "The plan has no summary")
    same(first.change.nothingToChange, False, "nothingToChange of a release that changes something")  # noqa: FBT003
    same(first.candidate["id"], "", "The candidate's id before it is made")


@case("plan", remedy="Compare the release's digest with the current revision's, and answer nothingToChange.")
def nothing_to_change(make: Make) -> None:
    """A release that already serves has nothing to change"""
    release = prepared(make())
    release.set_weight(100)
    stands(release, 100)
    again = Release(release.bench, later=2)
    holds(again.change.nothingToChange, "nothingToChange is not true")
    same(_baseline(again)["digest"], release.candidate["digest"], "The baseline's digest")
    release.restore()


@case("plan", remedy="Refuse a wrong artifact before you change anything.")
def wrong_artifact(make: Make) -> None:
    """An artifact of another name is refused before anything is touched"""
    bench = make()
    writes = bench.writes()
    other = {"another": next(iter(bench.artifacts.values()))}
    refused("dry_run", lambda: bench.target().dry_run(other), TargetInvalid)
    refused("plan", lambda: bench.target().plan(other, {}, weighted=False), TargetInvalid)
    same(bench.writes(), writes, "Writes")


@case("exists", remedy="exists answers {} for a revision that can serve again.")
def baseline_exists(make: Make) -> None:
    """A baseline that is there exists"""
    release = prepared(make())
    release.target.exists(_baseline(release))


# ---- the candidate -------------------------------------------------------------------------------------------------


@case("prepare", remedy=_MADE_ONCE)
def made_once(make: Make) -> None:
    """A candidate is made once, however often it is asked for, and gets no traffic yet"""
    release = prepared(make())
    bench, made = release.bench, release.candidate
    before = bench.state()
    release.prepare()
    same(release.candidate, made, "The candidate of the second request")
    holds(made["id"], "The candidate has no id")
    same(made["digest"], release.change.candidate["digest"], "The candidate's digest")
    holds(made in release.made, "The candidate was not recorded before it was ready")
    same(bench.state(), before, "The current revision afterwards")
    shares = bench.shares()
    same(list(shares.values()), [100], "The shares of the traffic")
    holds(made["id"] not in shares, "The candidate has traffic")


@case("prepare", "meet", remedy=_MADE_ONCE)
def twin_makes_one(make: Make) -> None:
    """Two requests that make the candidate at the same time make it once"""
    bench = make()
    release, twin = Release(bench), Release(bench)
    bench.before_write(twin.prepare)
    release.prepare()
    twin.prepare()  # if the plan made it, there was no write to run next to
    same(twin.candidate, release.candidate, "The twin's candidate")


@case("prepare", "lose", remedy=_MADE_ONCE)
def lost_answer_makes_one(make: Make) -> None:
    """A candidate whose answer was lost is made once"""
    bench = make()
    bench.lose_answers()
    release = prepared(bench)
    made = release.candidate
    release.prepare()
    same(release.candidate, made, "The candidate of the second request")


@case("prepare", "reconfigure", remedy="Include every setting of the candidate in its digest.")
def other_settings(make: Make) -> None:
    """Other settings are a change"""
    release = prepared(make())
    release.set_weight(100)
    release.bench.settle()
    release.bench.reconfigure()
    holds(not Release(release.bench).change.nothingToChange, "nothingToChange is true")


@case(
    "prepare",
    "reconfigure",
    remedy="Compare the digest before the candidate is made, and answer PlanChanged.",
)
def not_what_was_approved(make: Make) -> None:
    """A candidate that would be another one than was approved is not made"""
    release = Release(make())
    bench, shares = release.bench, release.bench.shares()
    bench.reconfigure()
    before = bench.writes()
    refused("prepare", release.prepare, PlanChanged)
    refused("verify_unchanged", lambda: release.target.verify_unchanged(release.move(0)), PlanChanged)
    same(bench.writes(), before, "Writes")
    same(bench.shares(), shares, "The shares of the traffic")


@case(
    "prepare",
    "reconfigure",
    "meet",
    remedy="Compare the candidate's digest again after it was made, and answer PlanChanged.",
)
def changed_while_made(make: Make) -> None:
    """A change by hand while the candidate is made is noticed"""
    release = Release(make())
    bench, shares = release.bench, release.bench.shares()
    bench.before_write(bench.reconfigure)
    refused("prepare", release.prepare, PlanChanged)
    same(bench.shares(), shares, "The shares of the traffic")


# ---- repeated, late and duplicate requests -------------------------------------------------------------------------


@case("set_weight", remedy=_ONCE)
def given_once(make: Make) -> None:
    """A repeated request does not give the share again"""
    for percent in (1, 10, 29, 50, 99, 100) if make().kind.weighted else (100,):
        release = prepared(make())
        bench, move = release.bench, release.move(percent)
        before = bench.writes()
        etags = {release.target.set_weight(move) for _ in range(3)}
        release.target.verify_unchanged(move)
        same(len(etags), 1, f"Different etags for the same {percent} %")
        wrote_once(bench, before)
        stands(release, percent)
        same(release.target.verify_weight(move), 0, "Seconds to wait for a move that has settled")


@case("set_weight", remedy="Take etag from the move before, and give the new share from there.")
def steps_follow(make: Make) -> None:
    """Steps follow each other"""
    release = prepared(make())
    for percent in dict.fromkeys((release.share, 100)):
        release.set_weight(percent)
        stands(release, percent)


@case("set_weight", "meet", remedy=_ONCE)
def twin_gives_once(make: Make) -> None:
    """Two requests that give the share at the same time give it once"""
    release = prepared(make())
    bench, move = release.bench, release.move(release.share)
    before = bench.writes()
    bench.before_write(lambda: release.target.set_weight(move))
    release.target.set_weight(move)
    wrote_once(bench, before)
    stands(release, release.share)


@case("set_weight", "lose", remedy=_ONCE)
def own_write(make: Make) -> None:
    """A write whose answer was lost is recognized"""
    release = prepared(make())
    release.bench.lose_answers()
    release.set_weight(release.share)
    stands(release, release.share)
    release.set_weight(100)
    holds(release.restore(), "The restore does not say what it did")


@case("set_weight", remedy=_FENCE)
def late_after_restore(make: Make) -> None:
    """A share that comes after the restore is refused"""
    for moved in (False, True):
        _comes_late(prepared(make()), moved=moved)


def _comes_late(release: Release, *, moved: bool) -> None:
    if moved:
        release.set_weight(release.share)
    late = release.move(100)
    release.restore()
    stands(release, 0)
    refused("verify_unchanged", lambda: release.target.verify_unchanged(late), TargetMoved, LockLost)
    refused("set_weight", lambda: release.target.set_weight(late), TargetMoved, LockLost)
    stands(release, 0)


@case("set_weight", "meet", remedy=_FENCE)
def late_during_restore(make: Make) -> None:
    """A share that is being given during the restore is refused"""
    release = prepared(make())
    release.bench.before_write(release.restore)
    refused("set_weight", lambda: release.set_weight(release.share), TargetMoved, LockLost)
    stands(release, 0)


@case("restore", remedy=_ONCE)
def restored_once(make: Make) -> None:
    """A baseline is restored once, however often it is asked for"""
    release = prepared(make())
    bench = release.bench
    release.set_weight(release.share)
    bench.settle()
    before = bench.writes()
    for _ in range(3):
        holds(release.restore(), "The restore does not say what it did")
        stands(release, 0)
    wrote_once(bench, before)


@case(
    "restore",
    "meet",
    remedy="If another restore writes at the same time, answer NotStable: Tagship asks again.",
)
def twin_restores(make: Make) -> None:
    """Two requests that restore the baseline at the same time restore it"""
    release = prepared(make())
    release.set_weight(release.share)
    release.bench.settle()
    release.bench.before_write(release.restore)
    try:
        release.restore()
    except RetryableError:  # checked below
        release.restore()
    stands(release, 0)


# ---- an older fencing number ---------------------------------------------------------------------------------------


@case("every act that moves", remedy=_FENCE)
def older_number(make: Make) -> None:
    """An older fencing number may change nothing"""
    bench = make()
    release = prepared(bench)
    newer = Release(bench, later=1)
    newer.prepare()
    newer.set_weight(newer.share)
    bench.settle()
    before = bench.state()
    late = release.move(100)
    refused("verify_unchanged", lambda: release.target.verify_unchanged(late), LockLost, TargetMoved)
    refused("set_weight", lambda: release.target.set_weight(late), LockLost, TargetMoved)
    refused("restore", lambda: release.restore(fence=release.fence), LockLost)
    same(bench.state(), before, "The current revision afterwards")
    stands(newer, newer.share)


# ---- drift and deletion --------------------------------------------------------------------------------------------


@case("every act that moves", "drift", remedy=_FOREIGN)
def moved_by_hand(make: Make) -> None:
    """A change by hand is not overwritten"""
    for moved in (False, True):
        _meets_another(prepared(make()), moved=moved)


def _meets_another(release: Release, *, moved: bool) -> None:
    bench, target = release.bench, release.target
    if moved:
        release.set_weight(release.share)
        bench.settle()
    bench.drift()
    before = bench.state()
    refused("check", lambda: target.check(release.change.baseline), TargetMoved)
    refused("verify_unchanged", lambda: target.verify_unchanged(release.move(100)), TargetMoved)
    refused("set_weight", lambda: release.set_weight(100), TargetMoved)
    refused("verify_weight", lambda: target.verify_weight(release.move(release.share)), TargetMoved)
    refused("restore", release.restore, TargetMoved)
    same(bench.state(), before, "The current revision afterwards")


@case("set_weight", "drift", "meet", remedy=_FOREIGN)
def moved_between(make: Make) -> None:
    """A change by hand between read and write is not overwritten"""
    release = prepared(make())
    release.bench.before_write(release.bench.drift)
    refused("set_weight", lambda: release.set_weight(release.share), TargetMoved)
    holds(release.candidate["id"] not in release.bench.shares(), "The candidate has traffic")


@case("restore", "drift", "overtake", remedy=_FOREIGN)
def moved_during_restore(make: Make) -> None:
    """A change by hand between a restore's read and its write is not overwritten"""
    release = prepared(make())
    bench = release.bench
    release.set_weight(release.share)
    bench.settle()
    moved: list[object] = []

    def drift() -> None:
        bench.drift()
        moved.append(bench.shares())

    bench.before_write(drift)
    try:
        release.restore()
    except RetryableError:  # Tagship asks again
        refused("restore", release.restore, TargetMoved)
    except TargetMoved:
        pass
    same(bench.shares(), moved[0], "The shares of the traffic")


@case("set_weight", "delete", remedy="Look up the candidate before you write anything. " + _RESTORE)
def candidate_deleted(make: Make) -> None:
    """A candidate that was deleted gets no traffic, and a restore works without it"""
    release = prepared(make())
    bench = release.bench
    bench.delete(release.candidate)
    shares = bench.shares()
    share = release.share
    refused("verify_unchanged", lambda: release.target.verify_unchanged(release.move(share)), FinalError)
    refused("set_weight", lambda: release.set_weight(share), FinalError)
    same(bench.shares(), shares, "The shares of the traffic")
    holds(release.restore(), "The restore does not say what it did")


@case("restore", "delete", remedy=_RESTORE)
def candidate_deleted_with_traffic(make: Make) -> None:
    """A candidate that was deleted while it had traffic does not stop a restore"""
    release = prepared(make())
    release.set_weight(release.share)
    release.bench.settle()
    release.bench.delete(release.candidate)
    holds(release.restore(), "The restore does not say what it did")
    stands(release, 0)


@case(
    "restore",
    "delete",
    remedy="Look up the baseline before you write, and answer BaselineMissing if it does not exist.",
)
def baseline_deleted(make: Make) -> None:
    """A baseline that was deleted is missing"""
    release = prepared(make())
    bench, baseline = release.bench, _baseline(release)
    release.set_weight(100)
    bench.settle()
    bench.delete(baseline)
    before = bench.state()
    refused("exists", lambda: release.target.exists(baseline), BaselineMissing)
    refused("restore", release.restore, BaselineMissing)
    same(bench.state(), before, "The current revision afterwards")


# ---- a first release, and slow targets -----------------------------------------------------------------------------


@case(
    "restore",
    "empty",
    remedy="If nothing served traffic before the release, nothing may serve traffic after a restore.",
)
def first_release(make: Make) -> None:
    """A first release can be removed again"""
    bench = make()
    bench.empty()
    first = prepared(bench)
    same(first.change.baseline, None, "The baseline if nothing serves traffic")
    for _ in range(2):
        first.set_weight(100)
    stands(first, 100)
    for _ in range(2):
        first.restore()
    bench.settle()
    same(bench.shares(), {}, "The shares of the traffic")


@case(
    "verify_weight",
    "unsettle",
    remedy="verify_weight answers how many seconds to wait, and 0 once it has settled.",
)
def waited_for(make: Make) -> None:
    """Tagship waits for a slow move"""
    release = prepared(make())
    bench = release.bench
    bench.unsettle()
    release.set_weight(100)
    wait = release.target.verify_weight(release.move(100))
    holds(
        0 < wait <= bench.kind.settle_seconds, f"verify_weight answers {wait} while the move is in progress"
    )
    bench.settle()
    same(release.target.verify_weight(release.move(100)), 0, "Seconds to wait for a move that has settled")


@case(
    "restore",
    "unsettle",
    remedy="restore only starts the move; verify_weight answers whether it has settled.",
)
def slow_restore(make: Make) -> None:
    """A slow restore has not failed"""
    release = prepared(make())
    bench = release.bench
    release.set_weight(100)
    bench.settle()
    bench.unsettle()
    for _ in range(2):
        holds(release.restore(), "The restore does not say what it did")
    wait = release.target.verify_weight(release.move(0))
    holds(wait > 0, f"verify_weight answers {wait} while the restore is in progress")
    bench.settle()
    same(release.target.verify_weight(release.move(0)), 0, "Seconds to wait for a restore that has settled")
    same(bench.shares(), release.expected(0), "The shares of the traffic")


@case("restore", "unsettle", remedy=_RESTORE)
def restored_meanwhile(make: Make) -> None:
    """A restore works while a slow share is still moving"""
    release = prepared(make())
    release.bench.unsettle()
    release.set_weight(100)
    release.restore()
    stands(release, 0)


# ---- permissions and throttling ------------------------------------------------------------------------------------


def scenario(bench: Bench) -> list[tuple[str, Callable[[], object]]]:
    """Every action in the order of a release, so that each permission is used."""
    release = Release(bench)
    steps = [
        *questions(release).items(),
        ("prepare", release.prepare),
        ("prepare, again", release.prepare),
        *acts(release, release.share).items(),
    ]
    if release.change.baseline is None:  # removed, so there is nothing to check
        return [step for step in steps if step[0] not in ("check", "restorable")]
    return [*steps, ("exists", lambda: release.target.exists(_baseline(release)))]


_BEGINNINGS = frozenset({"empty", "unsettle"})


def _begun(make: Make, begins: str) -> Bench:
    bench = make()
    if begins:
        getattr(bench, begins)()
    return bench


def _refusals(make: Make, action: str, *, throttled: bool) -> Iterator[tuple[str, Exception]]:
    """Each action that fails while AWS refuses one permission. Afterwards, each works.

    This is repeated for a first release and for a slow target, because those may use other actions.
    """
    for begins in ("", *sorted(make.can & _BEGINNINGS)):
        for number in range(len(scenario(_begun(make, begins)))):
            bench = _begun(make, begins)
            steps = scenario(bench)
            for _, act in steps[:number]:
                act()
            for name, act in steps[number : number + 1]:
                before = bench.state()
                bench.refuse(action, throttled=throttled)
                try:
                    act()
                except (CredentialsRefused, AwsUnavailable) as error:
                    same(bench.state(), before, f"{name} without {action} changed something")
                    yield name, error
                    bench.allow()
                    act()


@case("every act", "refuse", remedy="If AWS denies the call, answer CredentialsRefused and write nothing.")
def without_a_right(make: Make) -> None:
    """Without a permission, each act reports it and changes nothing"""
    for action in make().actions:
        found = list(_refusals(make, action, throttled=False))
        holds(found, f"A right that nobody needs: {action}")
        for name, error in found:
            holds(isinstance(error, CredentialsRefused), f"{name} without {action} raised {error!r}")


@case("every act", "refuse", remedy="If AWS throttles the call, answer AwsUnavailable: Tagship asks again.")
def throttled(make: Make) -> None:
    """Throttling is not reported as a denial, and the act can be repeated"""
    for action in make().actions:
        for name, error in _refusals(make, action, throttled=True):
            holds(isinstance(error, AwsUnavailable), f"{name} without {action} raised {error!r}")


# ---- time ----------------------------------------------------------------------------------------------------------


@case(
    "every act",
    "watch",
    remedy="Start slow work and answer with wait or NotStable: Tagship asks again.",
)
def in_time(make: Make) -> None:
    """Every answer comes within 8 seconds"""
    bench: Any = make()
    act, seconds = bench.slowest
    holds(seconds < bench.SECONDS, f"The slowest answer, to {act}, took {seconds:.1f} s")


def _baseline(release: Release) -> Any:
    holds(release.change.baseline is not None, "The plan has no baseline, although something serves traffic")
    return release.change.baseline
