"""Two acts on one CloudFront function, whose calls follow each other in every possible order."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest

from tagship.model.errors import LockLost, NotStable, TargetMoved
from tagship.targets.static_site_adapter import StaticSite
from tagship.targets.static_site_function import Code
from tests.unit.targets.conformance import FENCE, NEWER, Release
from tests.unit.targets.sites import SPEC
from tests.unit.targets.test_static_site_conformance import SiteBench

CALLS = 6
"""Each action's CloudFront calls: two reads, an edit, a read, an optional test, a publication, an optional read."""
ORDERS = [
    [0 if at in first else 1 for at in range(2 * CALLS)]
    for first in itertools.combinations(range(2 * CALLS), CALLS)
]
"""Whose turn it is, call by call: all 924 orders of two acts of that length."""
SOME = ORDERS[::3]


@dataclass
class Turns:
    """Lets the calls of two acts happen in one order; an act that has ended gives its turns to the other."""

    order: Sequence[int]
    at: int = 0
    ended: set[int] = field(default_factory=set)
    changed: threading.Condition = field(default_factory=threading.Condition)

    def take(self, who: int, call: Callable[[], Any]) -> Any:
        with self.changed:
            assert self.changed.wait_for(lambda: self._is_next(who), timeout=10), "nobody takes the next turn"
            try:
                return call()
            finally:
                self.at += 1
                self.changed.notify_all()

    def end(self, who: int) -> None:
        with self.changed:
            self.ended.add(who)
            self.changed.notify_all()

    def _is_next(self, who: int) -> bool:
        return 1 - who in self.ended or self.at >= len(self.order) or self.order[self.at] == who


class Taking:
    """A client of CloudFront that waits for its turn."""

    def __init__(self, turns: Turns, who: int, client: Any) -> None:
        self._turns, self._who, self._client = turns, who, client

    def __getattr__(self, name: str) -> Any:
        asked = getattr(self._client, name)
        return lambda **request: self._turns.take(self._who, lambda: asked(**request))


@dataclass
class Both:
    """A release that is prepared, once for all orders, and two adapters for it."""

    bench: SiteBench = field(default_factory=SiteBench)
    release: Release = field(init=False)
    stood: dict[str, str] = field(init=False)

    def __post_init__(self) -> None:
        self.release = Release(self.bench)
        self.release.prepare()
        self.stood = dict(self.bench.site.cloudfront.copies)

    def run(self, order: Sequence[int], *acts: Callable[[StaticSite], Any]) -> list[Any]:
        """Each action's result, or the error that it ended with."""
        site, turns, answers = self.bench.site, Turns(order), [None, None]
        site.cloudfront.copies = dict(self.stood)
        site.cloudfront.settle()

        def run(who: int) -> None:
            client: Any = Taking(turns, who, site.cloudfront)
            target = StaticSite(
                application="storefront", tag="v1.4.0", spec=SPEC, s3=site.s3, cloudfront=client
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

    def move(self, target: StaticSite) -> str:
        return target.set_weight(self.release.move(10))

    def restore(self, target: StaticSite) -> str:
        for _ in range(3):
            try:
                return self._restore(target)
            except NotStable:  # the rollback machine asks again
                continue
        return self._restore(target)

    def _restore(self, target: StaticSite) -> str:
        return target.restore(
            baseline=self.release.change.baseline, candidate=self.release.candidate, fence=NEWER
        )

    def live(self) -> Code:
        code = Code.read(self.bench.site.cloudfront.copies["LIVE"])
        assert code is not None
        return code


@pytest.fixture(
    scope="module", params=[True, False], ids=["publishing renames", "publishing does not rename"]
)
def both(request: pytest.FixtureRequest) -> Both:
    """Whether publishing gives the edited copy another ETag, AWS does not say."""
    both = Both()
    both.bench.site.cloudfront.renames = request.param
    return both


def test_a_restore_wins_over_a_late_step(both: Both) -> None:
    late = set()
    for order in ORDERS:
        moved, restored = both.run(order, both.move, both.restore)
        assert isinstance(restored, str), order
        assert isinstance(moved, str | TargetMoved | LockLost), order
        assert both.live().fence == NEWER, order
        assert [it.percent for it in both.live().serves] == [100], order
        assert both.live().serves[0].id != both.release.candidate["id"], order
        late.add(type(moved))
    assert late == {str, TargetMoved, LockLost}, "some orders let the step come first, some refuse it"


def test_duplicates_give_a_share_once(both: Both) -> None:
    for order in SOME:
        first, second = both.run(order, both.move, both.move)
        assert first == second, order
        assert both.live().fence == FENCE, order
        assert [it.percent for it in both.live().serves] == [10, 90], order


def test_duplicates_restore_once(both: Both) -> None:
    for order in SOME:
        both.run([], both.move, lambda _: None)
        both.stood, before = dict(both.bench.site.cloudfront.copies), both.stood
        first, second = both.run(order, both.restore, both.restore)
        both.stood = before
        assert isinstance(first, str), order
        assert isinstance(second, str), order
        assert [it.percent for it in both.live().serves] == [100], order
