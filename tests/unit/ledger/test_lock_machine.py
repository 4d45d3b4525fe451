"""For any sequence of actions on the lock: never two valid holders, and no number twice."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass

import hypothesis.strategies as st
from hypothesis import Phase, settings
from hypothesis.stateful import Bundle, RuleBasedStateMachine, initialize, invariant, rule

from tagship.ledger import lock
from tagship.ledger.table import Fact, Ledger
from tagship.model.errors import LockHeld, LockKept, LockLost
from tests.unit.tables import Clock, ledger_table, meanwhile

TAGS = ("v1.1.0", "v1.2.0", "v1.3.0")
LEASE = 100


@dataclass(frozen=True, slots=True)
class Claim:
    """A former or current holder of the lock."""

    tag: str
    execution: str
    fence: int


class Locking(RuleBasedStateMachine):
    """Releases and rollbacks of one application, on the real conditions of a table in memory."""

    claims = Bundle("claims")

    @initialize()
    def begin(self) -> None:
        self.stack = ExitStack()
        self.clock = Clock()
        client = self.stack.enter_context(ledger_table())
        self.ledger = Ledger(
            client=client, table="ledger", stage="test", now=self.clock, pause=lambda seconds: None
        )
        self.granted: list[int] = []
        self.endings = 0
        self.kept_for = ""

    def teardown(self) -> None:
        self.stack.close()

    def _acquire(self, ledger: Ledger, tag: str, execution: str, *, taking_over: bool) -> list[Claim]:
        before = lock.holder(self.ledger, "storefront")
        try:
            got = lock.acquire(
                ledger,
                application="storefront",
                tag=tag,
                attempt=1,
                execution=execution,
                seconds=LEASE,
                taking_over=taking_over,
            )
        except (LockHeld, LockKept):
            return []
        assert not self.kept_for or self.kept_for == tag, "a kept lock is its own release's alone"
        again = before is not None and (before.tag, before.execution) == (tag, execution)
        if not again or got.fence != before.fence:
            assert got.fence > max(self.granted, default=0), "a number only rises"
            self.granted.append(got.fence)
        return [Claim(tag, execution, got.fence)]

    @rule(target=claims, tag=st.sampled_from(TAGS))
    def a_release_asks(self, tag):
        found = self._acquire(self.ledger, tag, f"release of {tag}", taking_over=False)
        return found[0] if found else Claim(tag, "nobody", 0)

    @rule(target=claims, tag=st.sampled_from(TAGS), number=st.integers(1, 2))
    def a_rollback_takes_over(self, tag, number):
        found = self._acquire(self.ledger, tag, f"rollback {number} of {tag}", taking_over=True)
        return found[0] if found else Claim(tag, "nobody", 0)

    @rule(target=claims, tag=st.sampled_from(TAGS))
    def a_holder_renews_between_anothers_look_and_write(self, tag):
        """Its lease has ended, so the other saw the lock as free."""
        self.clock.forward(LEASE)
        present = lock.holder(self.ledger, "storefront")
        claim = Claim("", "", present.fence if present else 0)
        renewed: list[bool] = []
        ledger = meanwhile(self.ledger, lambda: renewed.append(self._renews(claim)))
        found = self._acquire(ledger, tag, f"second release of {tag}", taking_over=False)
        assert not (found and any(renewed)), "a lease that was renewed is not stolen"
        return found[0] if found else Claim(tag, "nobody", 0)

    @rule(claim=claims)
    def somebody_renews(self, claim):
        self._renews(claim)

    @rule(seconds=st.sampled_from([1, LEASE // 2, LEASE, 10 * LEASE]))
    def time_passes(self, seconds):
        self.clock.forward(seconds)

    @rule(claim=claims, failed=st.booleans())
    def a_release_ends(self, claim, failed):
        present = lock.holder(self.ledger, "storefront")
        if present is None or present.fence != claim.fence:
            return
        self.endings += 1
        change = (lock.kept if failed else lock.freed)(
            self.ledger, application="storefront", fence=present.fence
        )
        fact = Fact(application="storefront", tag=claim.tag, attempt=1, name="Ended", key=f"{self.endings}")
        assert self.ledger.record(fact, change)
        self.kept_for = claim.tag if failed else ""

    def _renews(self, claim: Claim) -> bool:
        try:
            lock.renew(self.ledger, application="storefront", fence=claim.fence, seconds=LEASE)
        except LockLost:
            return False
        assert claim.fence == max(self.granted), "only the newest number goes on"
        return True

    @invariant()
    def at_most_the_newest_number_may_go_on(self) -> None:
        if not getattr(self, "granted", None):
            return
        *older, newest = self.granted
        present = lock.holder(self.ledger, "storefront")
        assert present is None or present.fence == newest
        assert not any(self._renews(Claim("", "", fence)) for fence in older[-1:])


TestLocking = Locking.TestCase
TestLocking.settings = settings(
    parent=settings.get_profile("unit"), max_examples=12, stateful_step_count=12, phases=(Phase.generate,)
)
