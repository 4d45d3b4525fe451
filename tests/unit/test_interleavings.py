"""Whatever happens to an application's releases, in whatever order: never two holders, a lost baseline, or two endings.

Duplicate events, retries, stops, late writes, rollbacks by several at once: Hypothesis lets them take turns, within a
function too, and after each turn looks at the ledger and the target.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import hypothesis.strategies as st
import pytest
from hypothesis import Phase, settings
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from tagship.ledger import approvals, lock, releases
from tagship.ledger.table import Item
from tagship.model.errors import TagshipError
from tagship.model.facts import ENDINGS
from tagship.model.release import Status
from tests.unit.interleaved import NAME, TAGS, Execution, World
from tests.unit.tables import MemoryTable

EXAMPLES = int(os.environ.get("TAGSHIP_INTERLEAVINGS", "80"))
LEGAL = {
    Status.SUCCEEDED: (Status.ROLLED_BACK, Status.ROLLBACK_FAILED),
    Status.ROLLBACK_FAILED: (Status.ROLLED_BACK, Status.ABORTED),
}
"""Endings that may follow an ending: only a rollback's, after success or after a failed rollback."""
_ENDINGS = {name: status for status, name in ENDINGS.items()}
_ANY = st.integers(0, 99)
_WAYS = (0, 1, 1, 5, 7, 8, 9, 10, 11, 12, 14)
"""How many calls an execution has made: 1 leads to the lock, 7 to the first share, 10 to all traffic, 14 to the end."""
_STEPS = st.sampled_from((1, 1, 2, 3, 9))


class Interleavings(RuleBasedStateMachine):
    """Three tags of one application, and everything that may happen to them."""

    @initialize(first=st.sampled_from(_WAYS), second=st.sampled_from(_WAYS), approved=st.booleans())
    def begin(self, first, second, approved):
        """Nothing was released yet, or something was; and a release is somewhere on its way."""
        self.world = World(MemoryTable())
        self.baselines: dict[tuple[str, int, int], Any] = {}
        for tag, way, decide in ((TAGS[0], first, True), (TAGS[1], second, approved)):
            execution = self.world.upload(tag)
            for _ in range(way):
                self.people_decide(decide)
                self.world.go_on(execution)

    def teardown(self) -> None:
        if hasattr(self, "world"):
            self._comes_to_rest()

    # ---- what happens ----------------------------------------------------------------------------------------------

    @rule(tag=st.sampled_from(TAGS), again=st.booleans())
    def an_upload_arrives_or_somebody_retries(self, tag, again):
        (self.world.retry if again else self.world.upload)(tag)

    @rule(tag=st.sampled_from(TAGS), to=st.sampled_from(("", "", "", *TAGS)))
    def an_operator_rolls_back(self, tag, to):
        self.world.roll_back(tag, to=to)

    @rule(tag=st.sampled_from(TAGS))
    def a_rollback_for_a_stop_comes_late(self, tag):
        self.world.roll_back(tag, trigger="abort")

    @rule(approve=st.booleans())
    def people_decide(self, approve):
        for tag in TAGS:
            self.world.decide(tag, "approve" if approve else "reject")

    @rule(which=_ANY, steps=st.integers(1, 9), healthy=_ANY)
    def an_execution_goes_on(self, which, steps, healthy):
        if execution := self._running(which):
            self._on(execution, steps, healthy=healthy % 4 != 3)

    @rule(first=_ANY, second=_ANY, steps=_STEPS)
    def another_goes_on_between_its_look_and_its_write(self, first, second, steps):
        if execution := self._running(first):
            other = self._running(second)
            self._meanwhile(execution, lambda: other and self._on(other, steps))

    @rule(which=_ANY, steps=_STEPS)
    def it_is_rolled_back_between_its_look_and_its_write(self, which, steps):
        if execution := self._running(which):

            def happens() -> None:
                self.world.roll_back(execution.order["tag"])
                self._on(self.world.executions[-1], steps)

            self._meanwhile(execution, happens)

    @rule(which=_ANY)
    def it_is_stopped_and_supervised_between_its_look_and_its_write(self, which):
        if execution := self._running(which):

            def happens() -> None:
                self.world.stop(execution)
                self._supervised(execution)

            self._meanwhile(execution, happens)

    @rule(which=_ANY, backwards=st.booleans())
    def all_its_calls_are_made_again_however_late(self, which, backwards):
        execution = self.world.executions[which % len(self.world.executions)]
        for call in list(reversed(execution.asked) if backwards else execution.asked):
            with suppress(TagshipError):
                self.world.again(call)

    @rule(which=_ANY, tag=st.sampled_from(TAGS), steps=_STEPS)
    def its_lease_ends_another_begins_and_it_goes_on(self, which, tag, steps):
        execution = self._running(which)
        self.world.clock.forward(2000)
        self._on(self.world.upload(tag), 2)
        if execution:
            self._on(execution, steps)

    @rule(which=_ANY, supervised=st.booleans())
    def an_execution_is_stopped(self, which, supervised):
        if execution := self._running(which):
            self.world.stop(execution)
            if supervised:
                self._supervised(execution)

    @rule(which=_ANY)
    def the_end_of_an_execution_is_reported(self, which):
        self._supervised(self.world.executions[which % len(self.world.executions)])

    @rule(seconds=st.sampled_from([1, 60, 1500]), swept=st.booleans())
    def time_passes(self, seconds, swept):
        self.world.clock.forward(seconds)
        if swept:
            self.world.sweep()

    def _on(self, execution: Execution, steps: int, *, healthy: bool = True) -> None:
        for _ in range(steps):
            self.world.go_on(execution, healthy=healthy)
            self.people_decide(True)

    def _running(self, which: int) -> Execution | None:
        running = [each for each in self.world.executions if each.status == "RUNNING" and each.at != "waits"]
        return running[which % len(running)] if running else None

    def _meanwhile(self, execution: Execution, happens: Callable[[], object]) -> None:
        self.world.table.happens = happens
        self.world.go_on(execution)
        self.world.table.happens = None

    def _supervised(self, execution: Execution) -> None:
        with suppress(TagshipError):
            self.world.supervise(execution)

    # ---- what always holds -----------------------------------------------------------------------------------------

    @invariant()
    def it_holds(self) -> None:
        if not hasattr(self, "world"):
            return
        facts = list(self.world.ledger.facts_in_order(NAME))
        records = list(self.world.ledger.query(f"APPLICATION#{NAME}", "RELEASE#"))
        self._never_two_holders(facts)
        self._never_two_endings(facts, records)
        self._never_a_lost_baseline(records)
        # While it is on its way the target is between two versions, and after ROLLBACK_FAILED a person looks.
        if not any(
            each["status"] == Status.ROLLBACK_FAILED
            or (each["status"] == Status.RUNNING and each.get("moved"))
            for each in records
        ):
            self._serves_what_the_ledger_says()

    def _never_two_holders(self, facts: list[Item]) -> None:
        """The world itself looks at each write of the lock and of the alias."""
        granted = [fact["data"]["fence"] for fact in facts if fact["name"] == "Lock Acquired"]
        assert granted == sorted(set(granted)), "a number was given twice"

    def _never_two_endings(self, facts: list[Item], records: list[Item]) -> None:
        seen: dict[tuple[str, int], Status] = {}
        for fact in facts:
            if ending := _ENDINGS.get(fact["name"]):
                attempt = (fact["tag"], fact["attempt"])
                assert attempt not in seen or ending in LEGAL.get(seen[attempt], ()), (attempt, seen, ending)
                seen[attempt] = ending
        for each in self.world.executions:
            if each.status == "SUCCEEDED" and "lock" in each.data:
                attempt = (each.order["tag"], each.data["release"]["attempt"])
                said = {fact["name"] for fact in facts if (fact["tag"], fact["attempt"]) == attempt}
                assert "Release Succeeded" in said, (
                    "an execution says that it succeeded, and the ledger does not"
                )
        for record in records:
            stands = seen.get((record["tag"], record["attempt"]), Status.RUNNING)
            assert record["status"] == stands, "the record says something else than its facts"

    def _never_a_lost_baseline(self, records: list[Item]) -> None:
        for record in records:
            if plan := record.get("plan"):
                (planned,) = plan["locations"]
                chosen = (planned.get("replaced"), planned["baseline"])
                which = (record["tag"], record["attempt"], plan["planning"])
                known = self.baselines.setdefault(which, planned["baseline"])
                assert known in chosen, "the baseline was written anew"
                self.baselines[which] = planned["baseline"]

    def _serves_what_the_ledger_says(self) -> None:
        if lock.holder(self.world.ledger, NAME) is None:
            current = releases.current(self.world.ledger, NAME)
            assert self.world.function.serving == (current["revision"]["id"] if current else "1", {})

    # ---- how it ends -----------------------------------------------------------------------------------------------

    def _comes_to_rest(self) -> None:
        """Everybody decides, every execution continues, every ending is reported, and a sweep runs: nothing is left
        open."""
        world = self.world
        for turn in range(200):
            world.clock.forward(60)
            self.people_decide(True)
            going = [each for each in world.executions if each.status == "RUNNING"]
            for each in going:
                world.go_on(each)
            if turn % 10 == 9:
                for each in world.executions:
                    self._supervised(each)
                if not world.sweep() and all(each.status != "RUNNING" for each in world.executions):
                    break
        self.it_holds()
        stands = {
            record["tag"]: record["status"]
            for record in world.ledger.query(f"APPLICATION#{NAME}", "RELEASE#")
        }
        assert Status.RUNNING not in stands.values(), "a release is left on its way"
        holder = lock.holder(world.ledger, NAME)
        assert holder is None or (holder.kept and stands[holder.tag] == Status.ROLLBACK_FAILED), holder
        assert not approvals.open_ones(world.ledger), "a request is left open"
        assert all(each.status != "RUNNING" for each in world.executions), "an execution waits for ever"


TestInterleavings = Interleavings.TestCase
TestInterleavings.settings = settings(
    parent=settings.get_profile("unit"),
    max_examples=EXAMPLES,
    stateful_step_count=25,
    phases=(Phase.generate,),
)


def lives(*turns: tuple[str, dict[str, Any]]) -> None:
    """One life, turn by turn."""
    machine = Interleavings()
    for name, given in turns:
        getattr(machine, name)(**given)
        machine.it_holds()
    machine.teardown()


_MOVING = ("begin", {"first": 8, "second": 0, "approved": True})
_COMPLETE = ("begin", {"first": 10, "second": 0, "approved": True})


@pytest.mark.parametrize(
    "turns",
    [
        pytest.param(
            [
                _MOVING,
                ("its_lease_ends_another_begins_and_it_goes_on", {"which": 0, "tag": TAGS[2], "steps": 9}),
            ],
            id="the holder of a lease that has ended moves more traffic",
        ),
        pytest.param(
            [_COMPLETE, ("it_is_rolled_back_between_its_look_and_its_write", {"which": 0, "steps": 1})],
            id="it completes while it is rolled back",
        ),
        pytest.param(
            [_COMPLETE, ("it_is_rolled_back_between_its_look_and_its_write", {"which": 0, "steps": 3})],
            id="it completes when it was rolled back",
        ),
        pytest.param(
            [
                _MOVING,
                ("an_execution_is_stopped", {"which": 0, "supervised": False}),
                ("an_operator_rolls_back", {"tag": TAGS[0], "to": ""}),
                ("it_is_stopped_and_supervised_between_its_look_and_its_write", {"which": 1}),
                ("its_lease_ends_another_begins_and_it_goes_on", {"which": 9, "tag": TAGS[2], "steps": 1}),
            ],
            id="a rollback dies, and another release comes",
        ),
        pytest.param(
            [
                ("begin", {"first": 1, "second": 1, "approved": True}),
                ("another_goes_on_between_its_look_and_its_write", {"first": 0, "second": 1, "steps": 1}),
            ],
            id="two ask for the lock at the same moment",
        ),
        pytest.param(
            [_COMPLETE, ("all_its_calls_are_made_again_however_late", {"which": 0, "backwards": False})],
            id="everything is done twice when all traffic is on the candidate",
        ),
        pytest.param(
            [
                _MOVING,
                ("an_execution_is_stopped", {"which": 0, "supervised": True}),
                ("an_execution_is_stopped", {"which": 1, "supervised": True}),
            ],
            id="the rollback of what was stopped is stopped before it begins",
        ),
        pytest.param(
            [
                ("begin", {"first": 11, "second": 0, "approved": True}),
                ("its_lease_ends_another_begins_and_it_goes_on", {"which": 0, "tag": TAGS[2], "steps": 0}),
                ("an_execution_goes_on", {"which": 2, "steps": 9, "healthy": 0}),
                ("an_execution_goes_on", {"which": 2, "steps": 9, "healthy": 0}),
                ("an_execution_goes_on", {"which": 0, "steps": 9, "healthy": 0}),
            ],
            id="it completes when its lease has ended and another release has come and gone",
        ),
        pytest.param(
            [
                ("begin", {"first": 11, "second": 0, "approved": True}),
                ("an_execution_goes_on", {"which": 0, "steps": 1, "healthy": 0}),
                ("an_operator_rolls_back", {"tag": TAGS[0], "to": ""}),
                ("an_execution_goes_on", {"which": 1, "steps": 1, "healthy": 0}),
                ("an_execution_is_stopped", {"which": 1, "supervised": True}),
                ("a_rollback_for_a_stop_comes_late", {"tag": TAGS[0]}),
            ],
            id="what had succeeded ends as stopped after a rollback that failed",
        ),
    ],
)
def test_known_bad_interleavings_pass(turns):
    lives(*turns)


def test_an_older_release_that_arrives_later_can_deploy_first_and_the_waiting_one_next():
    """Fault 83: even if the wake-up is lost; it is not sent here."""
    world = World(MemoryTable())
    newer = world.upload(TAGS[1])
    for _ in range(5):
        world.go_on(newer)
    older = world.upload(TAGS[0])
    for execution in (older, newer):
        while execution.status == "RUNNING":
            world.go_on(execution)
            world.decide(TAGS[0], "approve")
            world.decide(TAGS[1], "approve")
    record = releases.get(world.ledger, NAME, TAGS[1])
    assert (older.status, newer.status, record["planning"]) == ("SUCCEEDED", "SUCCEEDED", 2)
    assert record["plan"]["from"] == TAGS[0]
    assert world.function.serving == ("3", {})
