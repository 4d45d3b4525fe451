"""One holder at a time; the fencing number only increases, and a late holder can change nothing."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import pytest

from tagship.ledger import lock
from tagship.ledger.table import Fact, Ledger
from tagship.model.errors import LockHeld, LockKept, LockLost
from tests.unit.tables import meanwhile


def acquire(ledger: Ledger, tag: str = "v1.4.0", **changes: Any) -> lock.Lock:
    return lock.acquire(
        ledger,
        **{"application": "storefront", "tag": tag, "attempt": 1, "execution": f"arn:{tag}", "seconds": 900}
        | changes,
    )


def renew(ledger: Ledger, fence: int, seconds: int = 900) -> lock.Lock:
    return lock.renew(ledger, application="storefront", fence=fence, seconds=seconds)


def holder(ledger: Ledger) -> lock.Holder | None:
    return lock.holder(ledger, "storefront")


def end(ledger: Ledger, *, kept: bool = False) -> None:
    """As an ending does it, in its transaction."""
    present = holder(ledger)
    assert present is not None
    change = (lock.kept if kept else lock.freed)(ledger, application="storefront", fence=present.fence)
    fact = Fact(application="storefront", tag=present.tag, attempt=1, name="Ended", key=str(present.fence))
    assert ledger.record(fact, change)


def item(ledger: Ledger) -> dict[str, Any]:
    """The lock's item in the table."""
    found = ledger.get("APPLICATION#storefront", "LOCK")
    assert found is not None
    return {name: value for name, value in found.items() if name not in ("pk", "sk")}


def lock_facts(ledger: Ledger) -> list[tuple[str, int]]:
    facts = ledger.facts_in_order("storefront")
    return [(fact["tag"], fact["data"]["fence"]) for fact in facts if fact["name"] == "Lock Acquired"]


def test_the_first_holder_gets_fencing_number_one_and_its_lease(ledger):
    assert acquire(ledger) == lock.Lock(fence=1, leaseEnds="2026-11-23T10:15:00.000Z")
    assert holder(ledger) == lock.Holder(
        tag="v1.4.0",
        attempt=1,
        execution="arn:v1.4.0",
        fence=1,
        leaseEnds="2026-11-23T10:15:00.000Z",
        since="2026-11-23T10:00:00.000Z",
    )


def test_the_lock_and_its_fact_name_the_holder(ledger):
    acquire(ledger)
    held = {"tag": "v1.4.0", "attempt": 1, "execution": "arn:v1.4.0", "leaseEnds": "2026-11-23T10:15:00.000Z"}
    since = {"since": "2026-11-23T10:00:00.000Z"}
    assert item(ledger) == held | since | {"fence": 1, "kind": "lock", "open": "lock"}
    fact = ledger.fact("storefront", "v1.4.0", 1, "Lock Acquired", "1")
    assert (fact["execution"], fact["data"]) == (
        "arn:v1.4.0",
        {"fence": 1, "leaseEnds": "2026-11-23T10:15:00.000Z"},
    )


def test_it_is_taken_only_while_its_conditions_hold(ledger):
    holds = ledger.update("APPLICATION#storefront", "RELEASE#v1.4.0", only_if="attribute_exists(pk)", seen=1)
    with pytest.raises(LockHeld, match="did not get the lock"):
        acquire(ledger, only_while=[holds])
    assert holder(ledger) is None
    ledger.write(
        ledger.update("APPLICATION#storefront", "RELEASE#v1.4.0", only_if="attribute_not_exists(pk)", seen=0)
    )
    assert acquire(ledger, only_while=[holds]).fence == 1


def test_an_application_that_was_never_locked_has_no_holder(ledger):
    assert holder(ledger) is None


def test_applications_do_not_block_each_other(ledger):
    assert acquire(ledger).fence == acquire(ledger, application="basket").fence == 1


def test_another_release_waits_while_the_lease_runs(ledger, clock):
    """Fault 26."""
    acquire(ledger)
    clock.forward(899)
    with pytest.raises(
        LockHeld, match=r"^storefront v1\.5\.0 waits: v1\.4\.0 is in progress\. Nothing was changed\.$"
    ):
        acquire(ledger, "v1.5.0")
    assert lock_facts(ledger) == [("v1.4.0", 1)]


def test_a_second_attempt_of_the_same_release_waits_too(ledger):
    acquire(ledger)
    with pytest.raises(LockHeld):
        acquire(ledger, attempt=2, execution="arn:second")
    with pytest.raises(LockHeld):
        acquire(ledger, execution="arn:second")


def test_the_same_execution_keeps_its_number_and_extends_its_lease(ledger, clock):
    """Fault 29."""
    acquire(ledger)
    clock.forward(60)
    assert acquire(ledger) == lock.Lock(fence=1, leaseEnds="2026-11-23T10:16:00.000Z")
    assert lock_facts(ledger) == [("v1.4.0", 1)]


def test_a_dead_holder_is_succeeded_under_the_next_number_after_its_lease(ledger, clock):
    """Fault 27."""
    acquire(ledger)
    clock.forward(900)
    assert acquire(ledger, "v1.5.0").fence == 2
    assert holder(ledger).tag == "v1.5.0"


def test_a_succeeded_holder_can_change_nothing(ledger, clock):
    """Fault 27: the late writes of a dead holder."""
    late = acquire(ledger)
    clock.forward(900)
    acquire(ledger, "v1.5.0")
    with pytest.raises(
        LockLost,
        match=r"^storefront: this execution's fencing number 1 is no longer the newest, or its lease has ended\. "
        r"It has changed nothing since then and can no longer change anything\.$",
    ):
        renew(ledger, late.fence)
    assert holder(ledger).leaseEnds == "2026-11-23T10:30:00.000Z"


def test_a_renewed_lease_starts_now(ledger, clock):
    fence = acquire(ledger).fence
    clock.forward(600)
    assert renew(ledger, fence, 1200).leaseEnds == "2026-11-23T10:30:00.000Z"
    clock.forward(899)
    with pytest.raises(LockHeld):
        acquire(ledger, "v1.5.0")


def test_a_slow_holder_continues_if_nobody_took_the_lock(ledger, clock):
    fence = acquire(ledger).fence
    clock.forward(5000)
    assert renew(ledger, fence).fence == fence


def test_a_lease_renewed_at_the_last_moment_is_not_taken(ledger, clock):
    fence = acquire(ledger).fence
    clock.forward(900)
    with pytest.raises(LockHeld, match="did not get the lock"):
        acquire(meanwhile(ledger, lambda: renew(ledger, fence)), "v1.5.0")
    assert renew(ledger, fence).fence == fence
    assert lock_facts(ledger) == [("v1.4.0", 1)]


def test_a_lock_kept_at_the_last_moment_is_not_taken(ledger, clock):
    acquire(ledger)
    clock.forward(900)
    with pytest.raises(LockHeld, match="did not get the lock"):
        acquire(meanwhile(ledger, lambda: end(ledger, kept=True)), "v1.5.0")
    assert (holder(ledger).tag, holder(ledger).kept) == ("v1.4.0", True)


@pytest.mark.parametrize("before", ["never locked", "freed", "ended"])
def test_of_two_concurrent_requests_one_gets_the_lock(ledger, clock, before):
    """Fault 26."""
    if before != "never locked":
        acquire(ledger)
    if before == "freed":
        end(ledger)
    clock.forward(900)
    with pytest.raises(LockHeld, match=r"did not get the lock, .*; nothing was changed\.$"):
        acquire(meanwhile(ledger, lambda: acquire(ledger, "v1.6.0")), "v1.5.0")
    assert holder(ledger).tag == "v1.6.0"


def test_of_many_concurrent_requests_one_gets_the_lock(ledger):
    """Fault 26."""

    def ask(number: int) -> bool:
        try:
            acquire(ledger, f"v1.{number}.0")
        except LockHeld:
            return False
        return True

    with ThreadPoolExecutor(6) as pool:
        assert sorted(pool.map(ask, range(6))) == [False] * 5 + [True]
    assert len(lock_facts(ledger)) == 1


# ---- a rollback takes over -----------------------------------------------------------------------------------------


def test_a_rollback_takes_its_releases_lock_under_a_higher_number_during_the_lease(ledger):
    late = acquire(ledger)
    over = acquire(ledger, execution="arn:rollback", taking_over=True)
    assert over.fence == 2
    with pytest.raises(LockLost):
        renew(ledger, late.fence)
    assert renew(ledger, over.fence).fence == 2


def test_a_rollback_takes_the_lock_only_from_the_holder_that_it_has_seen(ledger):
    """What it decided, it decided for that holder; the state machine retries."""
    acquire(ledger)
    seen = lock.holder_to_follow(ledger, "storefront")
    assert seen == holder(replace(ledger))
    another = replace(ledger)
    acquire(another, execution="arn:another rollback", taking_over=True)
    end(another)
    with pytest.raises(LockHeld):
        acquire(ledger, execution="arn:rollback", taking_over=True)
    assert acquire(ledger, execution="arn:rollback", taking_over=True).fence == 3, "it has looked again"


def test_an_application_that_was_never_locked_has_no_holder_to_follow(ledger):
    assert lock.holder_to_follow(ledger, "storefront") is None


def test_a_rollback_takes_the_lock_even_if_its_release_renews_concurrently(ledger):
    late = acquire(ledger)
    between = meanwhile(ledger, lambda: renew(ledger, late.fence))
    assert acquire(between, execution="arn:rollback", taking_over=True).fence == 2


def test_a_rollback_does_not_take_another_releases_lock(ledger):
    acquire(ledger, "v1.5.0")
    with pytest.raises(LockHeld):
        acquire(ledger, execution="arn:rollback", taking_over=True)
    with pytest.raises(LockHeld):
        acquire(ledger, "v1.5.0", attempt=2, execution="arn:rollback", taking_over=True)


def test_a_second_rollback_does_not_take_the_lock_from_the_first(ledger):
    """Fault 47."""
    acquire(ledger)
    first = acquire(ledger, execution="arn:rollback one", taking_over=True)
    with pytest.raises(LockHeld):
        acquire(ledger, execution="arn:rollback two", taking_over=True)
    assert acquire(ledger, execution="arn:rollback one", taking_over=True).fence == first.fence


def test_after_a_dead_rollback_the_next_gets_a_higher_number_and_the_dead_one_can_change_nothing(
    ledger, clock
):
    acquire(ledger)
    first = acquire(ledger, execution="arn:rollback one", taking_over=True)
    clock.forward(3600)
    second = acquire(ledger, execution="arn:rollback two", taking_over=True)
    assert (first.fence, second.fence) == (2, 3)
    with pytest.raises(LockLost):
        renew(ledger, first.fence)


def test_a_rollback_of_an_ended_release_takes_the_free_lock(ledger):
    acquire(ledger)
    end(ledger)
    assert acquire(ledger, execution="arn:rollback", taking_over=True).fence == 2


# ---- endings -------------------------------------------------------------------------------------------------------


def test_a_freed_lock_has_no_holder_and_keeps_its_number(ledger):
    late = acquire(ledger)
    end(ledger)
    assert holder(ledger) is None
    with pytest.raises(LockLost):
        renew(ledger, late.fence)
    assert acquire(ledger, "v1.5.0").fence == 2


@pytest.mark.parametrize("taking_over", [False, True])
def test_a_freed_lock_keeps_only_its_number(ledger, taking_over):
    acquire(ledger, taking_over=taking_over)
    end(ledger)
    assert item(ledger) == {"fence": 1, "kind": "lock"}


def test_a_sweep_finds_every_held_lock_that_is_not_kept_for_a_person(ledger):
    acquire(ledger)
    acquire(ledger, application="basket")
    ((one, _), (other, found)) = sorted(lock.open_ones(ledger), key=lambda each: each[0], reverse=True)
    assert (one, other) == ("storefront", "basket")
    assert found == lock.holder(ledger, "basket")
    end(ledger, kept=True)
    assert [application for application, _ in lock.open_ones(ledger)] == ["basket"]
    acquire(ledger, execution="arn:rollback", taking_over=True)
    assert {application for application, _ in lock.open_ones(ledger)} == {"basket"}, "a person has it in hand"
    end(ledger)
    assert [application for application, _ in lock.open_ones(ledger)] == ["basket"]


def test_keeping_a_lock_preserves_all_its_fields(ledger):
    acquire(ledger)
    held = item(ledger)
    end(ledger, kept=True)
    del held["open"]
    assert item(ledger) == held | {"kept": True}


def test_a_former_holder_cannot_free_the_lock(ledger, clock):
    acquire(ledger)
    stale = holder(ledger)
    clock.forward(900)
    acquire(ledger, "v1.5.0")
    for change in (lock.freed, lock.kept):
        fact = Fact(application="storefront", tag="v1.4.0", attempt=1, name="Ended")
        with pytest.raises(Exception, match="did not hold"):
            ledger.record(fact, change(ledger, application="storefront", fence=stale.fence))
    assert holder(ledger).tag == "v1.5.0"


def test_a_kept_lock_does_not_expire(ledger, clock):
    """Fault 45."""
    acquire(ledger)
    end(ledger, kept=True)
    clock.forward(30 * 24 * 3600)
    with pytest.raises(
        LockKept,
        match=r"cannot start: .* ended ROLLBACK_FAILED, and a person must act first\. .*: this releases the lock\.$",
    ):
        acquire(ledger, "v1.5.0")
    assert holder(ledger).alive(clock())


def test_a_kept_lock_stays_kept_during_a_repeated_rollback_and_after_it_fails_again(ledger, clock):
    """Fault 45."""
    acquire(ledger)
    end(ledger, kept=True)
    again = acquire(ledger, execution="arn:rollback two", taking_over=True)
    assert again.fence == 2
    clock.forward(30 * 24 * 3600)
    with pytest.raises(LockKept):
        acquire(ledger, "v1.5.0")


def test_a_successful_repeated_rollback_frees_a_kept_lock(ledger):
    acquire(ledger)
    end(ledger, kept=True)
    acquire(ledger, execution="arn:rollback two", taking_over=True)
    end(ledger)
    assert acquire(ledger, "v1.5.0").fence == 3
    assert not holder(ledger).kept


def test_fencing_numbers_only_increase(ledger, clock):
    for number in range(1, 6):
        assert acquire(ledger, f"v1.{number}.0").fence == number
        if number % 2:
            end(ledger)
        clock.forward(900)
    assert [fence for _, fence in lock_facts(ledger)] == [1, 2, 3, 4, 5]


def test_a_dead_rollbacks_lock_is_taken_only_by_another_rollback_of_the_release(ledger, clock):
    """Fault 27: what serves is unknown until somebody has checked."""
    acquire(ledger)
    acquire(ledger, execution="arn:rollback", taking_over=True)
    clock.forward(30 * 24 * 3600)
    with pytest.raises(LockHeld):
        acquire(ledger, "v1.5.0")
    assert acquire(ledger, execution="arn:rollback two", taking_over=True).fence == 3


# ---- borrowed for upkeep -------------------------------------------------------------------------------------------


def borrowed(ledger, tag="v1.4.0"):
    return lock.borrow(
        ledger, application="storefront", tag=tag, attempt=1, execution="ana by hand", seconds=300
    )


def test_a_borrowed_lock_excludes_others_until_it_is_returned(ledger):
    taken = borrowed(ledger)
    assert (taken.fence, taken.leaseEnds) == (1, holder(ledger).leaseEnds)
    with pytest.raises(LockHeld, match=r"ana by hand is changing it\. Nothing was changed\."):
        borrowed(ledger)
    with pytest.raises(
        LockHeld,
        match=r"^storefront v1\.5\.0 waits for the lock: ana by hand, who is deleting old revisions, has had it since "
        r"Mon 23 Nov 2026, 10:00 UTC and releases it by Mon 23 Nov 2026, 10:05 UTC\. Nothing was changed\.",
    ):
        acquire(ledger, "v1.5.0")
    assert lock.give_back(ledger, application="storefront", fence=taken.fence) is True
    assert holder(ledger) is None
    free = ledger.get("APPLICATION#storefront", lock.LOCK)
    assert (free["kind"], free["fence"], {"upkeep", "since", "leaseEnds"} & free.keys()) == ("lock", 1, set())
    assert acquire(ledger, "v1.5.0").fence == 2


def test_a_crashed_borrower_holds_the_lock_until_its_lease_ends(ledger, clock):
    first = borrowed(ledger)
    clock.forward(299)
    with pytest.raises(LockHeld):
        borrowed(ledger)
    clock.forward(2)
    second = borrowed(ledger)
    assert second.fence == first.fence + 1
    assert lock.give_back(ledger, application="storefront", fence=first.fence) is False
    assert holder(ledger).upkeep is True
