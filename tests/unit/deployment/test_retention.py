"""Retention deletes old revisions one by one under the lock, and none that a rollback needs."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tagship.deployment import retention
from tagship.deployment.locations import location_of
from tagship.deployment.retention import Done, Fate
from tagship.ledger import adoption, lock, made, releases
from tagship.ledger.table import Fact, Ledger
from tagship.model.application import Retention
from tagship.model.errors import LockHeld, LockKept, LockLost, RetentionRefused, TargetInvalid
from tagship.model.facts import FactKind
from tagship.model.records import Revision
from tagship.model.release import Status
from tagship.targets.kind import Stored
from tests.unit.builders import APPLICATION, record, revision
from tests.unit.tables import Clock, MemoryTable

KIM = "arn:aws:iam::000000000000:user/kim"


@dataclass(slots=True)
class Shop:
    """An application whose releases make versions 1, 2, 3 …; version 0 was there before."""

    clock: Clock = field(default_factory=Clock)
    table: MemoryTable = field(default_factory=MemoryTable)
    versions: int = 0
    serving: str = "0"
    deleted: list[str] = field(default_factory=list)
    refuses: tuple[str, ...] = ()
    at_deletion: Any = None

    @property
    def ledger(self) -> Ledger:
        return Ledger(client=self.table, table="ledger", stage="test", now=self.clock, pause=lambda _: None)

    # ---- what happens ------------------------------------------------------------------------------------------------

    def starts(self, *, proven: bool = True) -> str:
        """A release is planned on what serves, and its candidate is made. One that is not proven stays without an id."""
        self.versions += 1
        self.clock.forward(60)
        tag = f"v1.{self.versions}.0"
        releases.claim(self.ledger, record(tag=tag, execution=tag))  # type: ignore[arg-type]
        location = {
            "location": "here",
            "baseline": revision(self.serving),
            "candidate": {**revision(str(self.versions)), **({} if proven else {"id": ""})},
            "etag": "",
        }
        current = releases.current(self.ledger, APPLICATION)
        plan = {"from": current["tag"] if current else None, "to": tag, "locations": [location]}
        fact = Fact(application=APPLICATION, tag=tag, attempt=1, name=FactKind.DEPLOYMENT_PLANNED)
        releases.mark(self.ledger, fact, plan=plan, replaces=current)
        made.add(self.ledger, releases.get(self.ledger, APPLICATION, tag), revision(str(self.versions)))  # type: ignore[arg-type]
        return tag

    def ends(self, tag: str, status: Status) -> None:
        serves: Any = None
        if status is Status.SUCCEEDED:
            self.serving = location_of(releases.get(self.ledger, APPLICATION, tag))["candidate"]["id"]
            serves = {
                "application": APPLICATION,
                "tag": tag,
                "attempt": 1,
                "revision": revision(self.serving),
                "since": self.clock().isoformat(),
            }
        assert releases.end(
            self.ledger,
            application=APPLICATION,
            tag=tag,
            attempt=1,
            status=status,
            why="so",
            execution=tag,
            serves=serves,
        )

    def succeeds(self) -> str:
        tag = self.starts()
        self.ends(tag, Status.SUCCEEDED)
        return tag

    def goes_back(self, tag: str) -> None:
        """Its baseline serves again, which must still be there."""
        baseline = location_of(releases.get(self.ledger, APPLICATION, tag))["baseline"]
        assert baseline is not None
        assert baseline["id"] not in self.deleted, f"a rollback of {tag} needs version {baseline['id']}"
        self.serving = baseline["id"]
        self.ends(tag, Status.ROLLED_BACK)

    # ---- the target --------------------------------------------------------------------------------------------------

    def stored(self, known: Sequence[Revision]) -> Sequence[Stored]:
        there = [str(number) for number in range(self.versions + 1) if str(number) not in self.deleted]
        return [
            Stored(name=f"version {each}", revisions=[it for it in known if it["id"] == each])
            for each in there
        ]

    def delete(self, stored: Stored) -> None:
        if self.at_deletion:
            self.at_deletion()
        number = stored.revisions[0]["id"]
        if number in self.refuses:
            raise TargetInvalid(f"version {number} is in use")
        self.deleted.append(number)

    def fates(self, policy: Retention | None) -> list[Fate]:
        records = releases.every(self.ledger, APPLICATION)
        return retention.fates(
            policy,
            records,
            self.stored(retention.recorded(records, made.every(self.ledger, APPLICATION))),
            made=made.every(self.ledger, APPLICATION),
            current=releases.current(self.ledger, APPLICATION),
            serving=revision(self.serving),  # type: ignore[arg-type]
            now=self.clock(),
        )

    def apply(self, policy: Retention | None) -> Generator[Done]:
        current = releases.current(self.ledger, APPLICATION)
        assert current is not None
        return retention.apply(
            self.ledger,
            self,
            current,
            self.fates(policy),
            look=lambda: self.fates(policy),
            who=KIM,
        )


POLICY = Retention(releases=2, days=0)


def going(fates: Sequence[Fate]) -> list[str]:
    return [fate.stored.name for fate in fates if not fate.stays]


@pytest.fixture
def shop() -> Shop:
    """v1.1.0 to v1.5.0 succeeded; the last serves."""
    shop = Shop()
    for _ in range(5):
        shop.succeeds()
    shop.clock.forward(60)
    return shop


def test_the_newest_releases_are_kept_with_the_baseline_of_each(shop: Shop) -> None:
    """Fault 97."""
    assert going(shop.fates(POLICY)) == ["version 1", "version 2"]
    why = {fate.stored.name: fate.stays for fate in shop.fates(POLICY)}
    assert why["version 0"] == "the ledger records no release that made it"
    assert why["version 3"] == "a rollback of v1.4.0 restores it"
    assert why["version 4"] == "a rollback of v1.5.0 restores it"
    assert why["version 5"] == "it serves traffic"


def test_without_a_policy_or_a_current_release_everything_is_kept(shop: Shop) -> None:
    assert going(shop.fates(None)) == []
    records = releases.every(shop.ledger, APPLICATION)
    stored = shop.stored(retention.recorded(records, {}))
    found = retention.fates(POLICY, records, stored, made={}, current=None, serving=None, now=shop.clock())
    assert going(found) == []


def test_recent_and_explicitly_named_revisions_are_kept(shop: Shop) -> None:
    assert going(shop.fates(Retention(releases=2, days=1))) == []
    shop.clock.forward(86_400)
    assert going(shop.fates(Retention(releases=2, days=1))) == ["version 1", "version 2"]
    kept = shop.fates(Retention(releases=2, days=1, keep=("v1.1.0",)))
    assert going(kept) == ["version 2"]
    assert kept[1].stays == "v1.1.0 is named in retention.keep"


def test_revisions_in_use_are_kept(shop: Shop) -> None:
    records = releases.every(shop.ledger, APPLICATION)
    stored = [Stored(name="version 1", revisions=[revision("1")], used="a canary points at it")]  # type: ignore[list-item]
    current = releases.current(shop.ledger, APPLICATION)
    (found,) = retention.fates(
        POLICY, records, stored, made={}, current=current, serving=None, now=shop.clock()
    )
    assert found.stays == "a canary points at it"


def test_a_shared_revision_is_deleted_only_with_its_last_release(shop: Shop) -> None:
    """Two releases with one template: the older one alone would allow its deletion."""
    records = releases.every(shop.ledger, APPLICATION)
    stored = [Stored(name="template", revisions=[revision("4"), revision("1")])]  # type: ignore[list-item]
    current = releases.current(shop.ledger, APPLICATION)
    (found,) = retention.fates(
        POLICY, records, stored, made={}, current=current, serving=None, now=shop.clock()
    )
    assert found.stays == "a rollback of v1.5.0 restores it"
    assert found.releases == ("v1.4.0", "v1.1.0")


def test_a_release_in_progress_keeps_its_candidate_and_its_baseline(shop: Shop) -> None:
    waits = shop.starts()
    for _ in range(4):
        shop.succeeds()
    why = {fate.stored.name: fate.stays for fate in shop.fates(POLICY)}
    assert why["version 5"] == f"a rollback of {waits} restores it"
    assert why["version 6"] == f"{waits} is RUNNING"
    assert going(shop.fates(POLICY)) == ["version 1", "version 2", "version 3", "version 4", "version 7"]


def test_a_failed_releases_revision_is_deleted_but_not_before_its_ending(shop: Shop) -> None:
    """Fault 97: its candidate was never proven, so its plan names no version."""
    failing = shop.starts(proven=False)
    assert {it.stored.name: it.stays for it in shop.fates(POLICY)}["version 6"] == f"{failing} is RUNNING"
    shop.ends(failing, Status.INVALID)
    found = {it.stored.name: it for it in shop.fates(POLICY)}["version 6"]
    assert (found.releases, found.stays) == ((failing,), "")
    young = {it.stored.name: it.stays for it in shop.fates(Retention(releases=2, days=1))}
    assert young["version 6"] == f"{failing} is younger than 1 day"


def test_a_planned_object_is_deleted_if_its_release_was_never_deployed(shop: Shop) -> None:
    """A stack's template is stored before anyone is asked; the candidate has no id yet."""
    rejected = shop.starts(proven=False)
    planned = location_of(releases.get(shop.ledger, APPLICATION, rejected))["candidate"]
    shop.ends(rejected, Status.REJECTED)
    records, current = releases.every(shop.ledger, APPLICATION), releases.current(shop.ledger, APPLICATION)
    stored = [Stored(name="template", revisions=[planned])]
    (found,) = retention.fates(
        POLICY, records, stored, made={}, current=current, serving=None, now=shop.clock()
    )
    assert (found.releases, found.stays) == ((rejected,), "")


def test_revisions_that_a_waiting_release_would_create_are_kept(shop: Shop) -> None:
    """It has no id yet; what an old release left has the same content."""
    waits = shop.starts()
    same: Any = {**revision("1"), "digest": revision("6")["digest"]}
    records = releases.every(shop.ledger, APPLICATION)
    current = releases.current(shop.ledger, APPLICATION)
    stored = [Stored(name="site", revisions=[same])]
    (found,) = retention.fates(
        POLICY, records, stored, made={}, current=current, serving=None, now=shop.clock()
    )
    assert found.stays == f"{waits} is RUNNING"


def test_each_deletion_happens_under_the_lock_and_is_recorded_first(shop: Shop) -> None:
    held = []
    shop.at_deletion = lambda: held.append(lock.holder(shop.ledger, APPLICATION))
    done = list(shop.apply(POLICY))
    assert [(it.fate.stored.name, it.refused) for it in done] == [("version 1", ""), ("version 2", "")]
    assert shop.deleted == ["1", "2"]
    assert [(it.tag, it.execution, it.upkeep) for it in held if it] == [("v1.5.0", KIM, True)] * 2
    assert lock.holder(shop.ledger, APPLICATION) is None
    (fact,) = [it for it in shop.ledger.facts_of(APPLICATION, "v1.5.0") if it["name"] == "Retention Applied"]
    assert (fact["who"], fact["data"]["revisions"]) == (KIM, ["version 1", "version 2"])
    assert going(shop.fates(POLICY)) == []


def test_a_refused_deletion_does_not_stop_the_others(shop: Shop) -> None:
    shop.refuses = ("1",)
    assert [it.refused for it in shop.apply(POLICY)] == ["version 1 is in use", ""]
    assert shop.deleted == ["2"]


def test_a_release_that_starts_meanwhile_waits_and_then_continues(shop: Shop) -> None:
    tag = shop.starts()
    known = {"application": APPLICATION, "tag": tag, "attempt": 1, "execution": tag, "seconds": 900}

    def comes() -> None:
        with pytest.raises(LockHeld, match=f"waits for the lock: {KIM}, who is deleting old revisions"):
            lock.acquire(shop.ledger, **known)

    shop.at_deletion = comes
    assert len(list(shop.apply(POLICY))) == 2
    lock.acquire(shop.ledger, **known)
    with pytest.raises(LockHeld, match=f"release {tag} is changing it"):
        list(shop.apply(POLICY))


def test_a_rollback_takes_the_lock_and_nothing_more_is_deleted(shop: Shop) -> None:
    def rolls_back() -> None:
        known = {"application": APPLICATION, "tag": "v1.5.0", "attempt": 1, "execution": "a rollback"}
        lock.acquire(shop.ledger, **known, seconds=600, taking_over=True)

    deleting = shop.apply(POLICY)
    next(deleting)
    rolls_back()
    with pytest.raises(LockLost):
        next(deleting)
    assert shop.deleted == ["1"]
    holder = lock.holder(shop.ledger, APPLICATION)
    assert holder is not None
    assert (holder.rollback, holder.upkeep, holder.execution) == (True, False, "a rollback")


def test_an_interrupted_run_returns_the_lock(shop: Shop) -> None:
    deleting = shop.apply(POLICY)
    next(deleting)
    deleting.close()
    assert shop.deleted == ["1"]
    assert lock.holder(shop.ledger, APPLICATION) is None


def test_a_crashed_run_blocks_nobody_after_its_lease(shop: Shop) -> None:
    taken = {"application": APPLICATION, "tag": "v1.5.0", "attempt": 1, "execution": KIM}
    lock.borrow(shop.ledger, **taken, seconds=300)
    assert lock.open_ones(shop.ledger) == [], "a sweep would take it for a rollback that died"
    with pytest.raises(LockHeld, match=f"{KIM} is changing it"):
        list(shop.apply(POLICY))
    shop.clock.forward(301)
    assert len(list(shop.apply(POLICY))) == 2


def test_a_lease_that_ended_under_it_is_a_releases_again(shop: Shop) -> None:
    deleting = shop.apply(POLICY)
    next(deleting)
    shop.clock.forward(301)
    tag = shop.starts()
    lock.acquire(shop.ledger, application=APPLICATION, tag=tag, attempt=1, execution=tag, seconds=900)
    holder = lock.holder(shop.ledger, APPLICATION)
    assert holder is not None
    assert not holder.upkeep
    with pytest.raises(LockLost):
        next(deleting)


def test_a_lock_kept_for_a_person_is_left_alone(shop: Shop) -> None:
    tag = shop.starts()
    lock.acquire(shop.ledger, application=APPLICATION, tag=tag, attempt=1, execution=tag, seconds=900)
    shop.ends(tag, Status.ROLLBACK_FAILED)
    with pytest.raises(LockKept, match=f"the rollback of {tag} failed"):
        list(shop.apply(POLICY))


def test_a_revision_that_changed_since_the_preview_is_not_deleted(shop: Shop) -> None:
    deleting = shop.apply(POLICY)
    shop.succeeds()
    with pytest.raises(RetentionRefused, match=r"changed since it was shown\. Nothing was deleted"):
        next(deleting)
    assert shop.deleted == []
    assert lock.holder(shop.ledger, APPLICATION) is None


def test_a_release_that_takes_the_lock_at_this_moment_has_it(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = MemoryTable.update_item

    def after_a_release(self: MemoryTable, **request: Any) -> Any:
        monkeypatch.setattr(MemoryTable, "update_item", real)
        known = {"application": APPLICATION, "tag": "v1.6.0", "attempt": 1, "execution": "it"}
        lock.acquire(shop.ledger, **known, seconds=900)
        return real(self, **request)

    monkeypatch.setattr(MemoryTable, "update_item", after_a_release)
    with pytest.raises(LockHeld, match="took the lock at this moment"):
        next(shop.apply(POLICY))
    assert lock.holder(shop.ledger, APPLICATION).tag == "v1.6.0"  # type: ignore[union-attr]


HAPPENS = st.lists(
    st.sampled_from(
        ["succeeds", "starts", "fails", "is rolled back", "somebody adopts", "a day", "cleans up"]
    ),
    max_size=14,
)


@settings(max_examples=50)
@given(HAPPENS, st.integers(2, 4), st.integers(0, 2))
def test_nothing_that_a_rollback_could_need_is_ever_deleted(happens: list[str], kept: int, days: int) -> None:
    """Fault 97: after any history, every rollback that the ledger allows finds its baseline."""
    shop, policy = Shop(), Retention(releases=kept, days=days)
    shop.succeeds()
    for what in [*happens, "cleans up"]:
        current = releases.current(shop.ledger, APPLICATION)
        if what == "succeeds":
            shop.succeeds()
        elif what == "starts":
            shop.starts()
        elif what == "fails":
            shop.goes_back(shop.starts())
        elif what == "is rolled back" and current and _may_go_back(shop, current["tag"]):
            shop.goes_back(current["tag"])
        elif what == "somebody adopts" and current:
            shop.versions += 1
            shop.serving = str(shop.versions)
            adopted = adoption.adopt(
                shop.ledger,
                APPLICATION,
                revision(shop.serving),
                who=KIM,
                why="at night",  # type: ignore[arg-type]
            )
            assert adopted["revision"]["id"] == shop.serving
        elif what == "a day":
            shop.clock.forward(timedelta(days=1).total_seconds())
        elif what == "cleans up" and current:
            assert not [done.refused for done in shop.apply(policy) if done.refused]
            _everything_leads_back(shop, kept)


def _may_go_back(shop: Shop, tag: str) -> bool:
    return not releases.roll_back_refused(shop.ledger, releases.get(shop.ledger, APPLICATION, tag))


def _everything_leads_back(shop: Shop, kept: int) -> None:
    """By the rollback's own rules, not by the policy's."""
    records = releases.every(shop.ledger, APPLICATION)
    current = releases.current(shop.ledger, APPLICATION)
    assert current is not None
    assert not {shop.serving, current["revision"]["id"]} & set(shop.deleted)
    for each in records:
        if not releases.roll_back_refused(shop.ledger, each):
            baseline = location_of(each)["baseline"]
            assert baseline is not None
            assert baseline["id"] not in shop.deleted, f"a rollback of {each['tag']} needs it"
    succeeded = sorted(
        (it for it in records if it["status"] == Status.SUCCEEDED), key=lambda it: it["endedAt"]
    )
    for other in succeeded[-kept:]:
        assert location_of(other)["candidate"]["id"] not in shop.deleted, f"--to {other['tag']} needs it"
