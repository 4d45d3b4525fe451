"""Two acts on one alias, which has no precondition: their calls follow each other in many orders."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable, Sequence
from copy import deepcopy
from dataclasses import dataclass, field
from typing import Any

from tagship.model.errors import LockLost, NotStable, TargetMoved
from tagship.targets.step_functions_machine import StateMachine
from tests.unit.targets.conformance import FENCE, NEWER, Release
from tests.unit.targets.test_static_site_turns import Taking, Turns
from tests.unit.targets.test_step_functions_conformance import SPEC, MachineBench

CALLS = 10
"""An action's calls at most: reads of alias, tags and version, a tag, reads, a write, a read of the tags."""
ORDERS = [
    [0] * first + [1] * second + [0, 1] * CALLS for first in range(CALLS) for second in range(CALLS)
] + [random.Random(seed).sample([0, 1] * CALLS, 2 * CALLS) for seed in range(150)]
"""Whose turn it is, call by call: each act stopped once at each call, and orders by chance."""


@dataclass
class Both:
    """A release that is prepared, once for all orders, and two adapters for it."""

    bench: MachineBench = field(default_factory=MachineBench)
    release: Release = field(init=False)

    def __post_init__(self) -> None:
        self.release = Release(self.bench)
        self.release.prepare()

    def run(self, order: Sequence[int], *acts: Callable[[StateMachine], Any]) -> list[Any]:
        """Each action's result, or the error that it ended with."""
        states, turns, answers = self.bench.states, Turns(order), [None, None]
        states.aliases, states.tags = deepcopy({"live": self.stands}), {}

        def run(who: int) -> None:
            client: Any = Taking(turns, who, states)
            target = StateMachine(
                application="storefront", tag="v1.4.0", spec=SPEC, states=client, trying=client, s3=states
            )
            try:
                answers[who] = acts[who](target)
            except Exception as error:  # noqa: BLE001 (whatever it was, the test looks at it)
                answers[who] = error
            turns.end(who)

        other = threading.Thread(target=run, args=(1,))
        other.start()
        run(0)
        other.join()
        return answers

    @property
    def stands(self) -> dict[str, Any]:
        return {"description": "", "routes": {"1": 100}}

    def move(self, percent: int) -> Callable[[StateMachine], str]:
        return lambda target: target.set_weight(self.release.move(percent))

    def restore(self, target: StateMachine) -> str:
        for _ in range(3):
            try:
                return self._restore(target)
            except NotStable:  # the rollback machine asks again
                continue
        return self._restore(target)

    def _restore(self, target: StateMachine) -> str:
        return target.restore(
            baseline=self.release.change.baseline, candidate=self.release.candidate, fence=NEWER
        )


def test_a_restore_wins_over_a_late_step() -> None:
    """Fault 122."""
    both, late = Both(), set()
    for order in ORDERS:
        moved, restored = both.run(order, both.move(10), both.restore)
        assert isinstance(restored, str), order
        assert isinstance(moved, str | TargetMoved | LockLost), order
        live = both.bench.states.aliases["live"]
        assert live["routes"] == {"1": 100}, order
        assert live["description"].endswith(f"fence {NEWER}"), order
        assert f"tagship:fence:{NEWER}" in both.bench.states.tags, order
        late.add(type(moved))
    assert late >= {str, LockLost}, "some orders let the step come first, some refuse it"


def test_duplicates_that_give_the_same_share_both_succeed() -> None:
    both = Both()
    for order in ORDERS[::3]:
        first, second = both.run(order, both.move(10), both.move(10))
        assert first == second, order
        live = both.bench.states.aliases["live"]
        assert live["routes"] == {"1": 90, "2": 10}, order
        assert live["description"].endswith(f"fence {FENCE}"), order
