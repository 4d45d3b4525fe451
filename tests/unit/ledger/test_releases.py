"""A tag is claimed once, a release ends once, and what production runs follows every ending."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from tagship.ledger import lock, releases
from tagship.ledger.table import Fact, Item, Ledger, application_key
from tagship.model.errors import ApplicationUnknown, LedgerBusy, LockHeld, LockLost
from tagship.model.facts import ENDINGS
from tagship.model.release import Retry, Status
from tests.unit.builders import EXECUTION, record, sha256
from tests.unit.tables import Clock, meanwhile

LITTLE: dict[str, Any] = {"manifest": None, "objects": {}, "release": {}, "configuration": {}}
OTHER = "arn:aws:states:us-east-1:000000000000:execution:release:other"


def facts(ledger: Ledger, tag: str = "v1.4.0") -> list[str]:
    return [fact["name"] for fact in ledger.facts_of("storefront", tag)]


def current(ledger: Ledger) -> str | None:
    item = releases.current(ledger, "storefront")
    return item["tag"] if item else None


def release(ledger: Ledger, tag: str = "v1.4.0", **attributes: Any) -> Item:
    """Claimed, and holding the lock; with what its steps have marked meanwhile, and no more than the tests look at."""
    claimed = record(tag=tag, execution=f"arn:{tag}", digest=sha256(tag.encode())) | LITTLE
    assert releases.claim(ledger, claimed)[0] == "claimed"
    lock.acquire(ledger, application="storefront", tag=tag, attempt=1, execution=f"arn:{tag}", seconds=900)
    previous = releases.current(ledger, "storefront")
    ledger.write(
        ledger.update(
            "APPLICATION#storefront",
            f"RELEASE#{tag}",
            only_if="attribute_exists(pk)",
            replaces=previous,
            **attributes,
        )
    )
    return releases.get(ledger, "storefront", tag)


def end(ledger: Ledger, status: Status, tag: str = "v1.4.0", **changes: Any) -> bool:
    serves = {
        "application": "storefront",
        "tag": tag,
        "attempt": 1,
        "revision": {"version": tag},
        "since": "now",
    }
    asked = {
        "application": "storefront",
        "tag": tag,
        "attempt": 1,
        "status": status,
        "why": f"because of {status}",
        "execution": f"arn:{tag}",
        "serves": serves if status is Status.SUCCEEDED else None,
    }
    return releases.end(ledger, **asked | changes)


def roll_back(
    ledger: Ledger, status: Status = Status.ROLLED_BACK, tag: str = "v1.4.0", *, again: str = ""
) -> bool:
    """As the rollback state machine does: it takes the lock, then writes the ending."""
    execution = f"arn:rollback{again} of {tag}"
    lock.acquire(
        ledger,
        application="storefront",
        tag=tag,
        attempt=1,
        execution=execution,
        seconds=900,
        taking_over=True,
    )
    return end(ledger, status, tag, execution=execution)


# ---- claim ---------------------------------------------------------------------------------------------------------


def test_the_first_execution_claims_the_tag_and_starts_the_release(ledger):
    outcome, claimed = releases.claim(ledger, record())
    assert outcome == "claimed"
    assert claimed == releases.get(ledger, "storefront", "v1.4.0")
    assert (claimed["status"], claimed["attempt"], claimed["readAt"]) == (
        "RUNNING",
        1,
        "2026-11-23T10:00:00.000Z",
    )
    (fact,) = ledger.facts_of("storefront", "v1.4.0")
    assert (fact["name"], fact["execution"]) == ("Release Read", EXECUTION)
    assert fact["data"] == {
        "digest": sha256(b"release.json"),
        "author": "dana@example.com",
        "commit": "0123456789abcdef0123456789abcdef01234567",
        "createdAt": "2026-11-23T09:40:00Z",
    }


def test_the_same_execution_gets_the_same_answer_twice(ledger, clock):
    """Fault 29."""
    first = releases.claim(ledger, record())
    clock.forward(5)
    assert releases.claim(ledger, record()) == first
    assert facts(ledger) == ["Release Read"]


def test_another_execution_with_the_same_bytes_is_a_duplicate(ledger):
    """Fault 1."""
    releases.claim(ledger, record())
    outcome, known = releases.claim(ledger, record(execution=OTHER))
    assert (outcome, known["execution"]) == ("duplicate", EXECUTION)
    assert facts(ledger) == ["Release Read"]


def test_other_bytes_under_a_used_tag_are_refused_and_recorded_once(ledger):
    """Fault 5."""
    releases.claim(ledger, record())
    other = sha256(b"other bytes")
    for _ in range(2):
        outcome, known = releases.claim(ledger, record(execution=OTHER, digest=other))
        assert (outcome, known["digest"]) == ("refused", sha256(b"release.json"))
    read, refused = ledger.facts_of("storefront", "v1.4.0")
    assert (read["name"], refused["name"]) == ("Release Read", "Tag Already Used")
    assert refused["data"] == {"known": sha256(b"release.json"), "refused": other}
    releases.claim(ledger, record(execution=OTHER, digest=sha256(b"yet others")))
    assert len(facts(ledger)) == 3


def test_a_tag_stays_used_after_its_release_has_ended(ledger):
    release(ledger)
    end(ledger, Status.INVALID)
    assert releases.claim(ledger, record(execution=OTHER))[0] == "refused"


def test_of_ten_concurrent_claims_one_gets_the_tag(ledger):
    """Fault 1."""

    def claim(number: int) -> str:
        while True:
            try:
                return releases.claim(ledger, record(execution=f"arn:{number}"))[0]
            except LedgerBusy:  # as the state machine asks again
                continue

    with ThreadPoolExecutor(5) as pool:
        assert sorted(pool.map(claim, range(10))) == ["claimed"] + ["duplicate"] * 9
    assert facts(ledger) == ["Release Read"]


def test_an_unreadable_manifest_still_claims_its_tag(ledger):
    """Fault 7: its gate reports the problem to the author."""
    outcome, claimed = releases.claim(
        ledger, record(manifest=None, problems=["is not UTF-8 (byte 0)"], objects={})
    )
    assert (outcome, claimed["manifest"]) == ("claimed", None)
    (fact,) = ledger.facts_of("storefront", "v1.4.0")
    assert fact["data"]["author"] == fact["data"]["createdAt"] == ""


def test_an_unclaimed_release_is_unknown(ledger):
    with pytest.raises(
        ApplicationUnknown, match=r"storefront v9\.9\.9 is not in the ledger of stage production"
    ):
        releases.get(ledger, "storefront", "v9.9.9")


# ---- on its way ----------------------------------------------------------------------------------------------------


def step_fact(name: str = "Gates Passed", **changes: Any) -> Fact:
    return Fact(**{"application": "storefront", "tag": "v1.4.0", "attempt": 1, "name": name} | changes)


def test_a_step_is_recorded_with_its_findings(ledger):
    release(ledger)
    assert releases.mark(ledger, step_fact(), phase="planning", gates=[{"gate": "tag", "verdict": "passed"}])
    found = releases.get(ledger, "storefront", "v1.4.0")
    assert (found["phase"], found["gates"]) == ("planning", [{"gate": "tag", "verdict": "passed"}])


def test_a_repeated_step_is_recorded_once(ledger):
    """Fault 29."""
    release(ledger)
    assert releases.mark(ledger, step_fact(), percent=10)
    assert not releases.mark(ledger, step_fact(), percent=99)
    assert releases.get(ledger, "storefront", "v1.4.0")["percent"] == 10


@pytest.mark.parametrize("status", [Status.INVALID, Status.SUCCEEDED, Status.ABORTED])
def test_a_late_step_records_nothing_after_the_ending(ledger, status):
    """Fault 27."""
    release(ledger)
    end(ledger, status)
    with pytest.raises(LockLost, match=r"the release has already ended\. Gates Passed was not recorded"):
        releases.mark(ledger, step_fact(), percent=50)
    with pytest.raises(LockLost, match="no traffic was moved"):
        releases.moving(ledger, application="storefront", tag="v1.4.0", attempt=1, step=0)
    found = releases.get(ledger, "storefront", "v1.4.0")
    assert "percent" not in found
    assert "moved" not in found
    assert "Gates Passed" not in facts(ledger)


def test_another_attempts_step_records_nothing(ledger):
    release(ledger)
    with pytest.raises(LockLost):
        releases.mark(ledger, step_fact(attempt=2), percent=50)
    with pytest.raises(LockLost):
        releases.moving(ledger, application="storefront", tag="v1.4.0", attempt=2, step=0)


def test_the_ledger_records_a_traffic_move_before_it_happens(ledger):
    release(ledger)
    for _ in range(2):
        releases.moving(ledger, application="storefront", tag="v1.4.0", attempt=1, step=0)
    assert releases.get(ledger, "storefront", "v1.4.0")["moved"] is True


def test_durations_start_with_recorded_facts(ledger, clock):
    claimed = release(ledger)
    clock.forward(60)
    ledger.record(step_fact("Rollback Triggered", key="one"))
    assert releases.since(
        ledger, claimed, ValidationDuration="Release Read", DeploymentDuration="Deployment Started"
    ) == {"ValidationDuration": "2026-11-23T10:00:00.000Z"}
    assert releases.since(ledger, claimed, key="one", RollbackDuration="Rollback Triggered") == {
        "RollbackDuration": "2026-11-23T10:01:00.000Z"
    }
    assert releases.since(ledger, claimed, key="two", RollbackDuration="Rollback Triggered") == {}


# ---- endings -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "status", [status for status in Status if status not in (Status.RUNNING, Status.ROLLBACK_FAILED)]
)
def test_an_ending_is_written_with_its_fact_and_frees_the_lock(ledger, status):
    release(ledger)
    assert end(ledger, status, data={"durations": {}})
    found = releases.get(ledger, "storefront", "v1.4.0")
    assert (found["status"], found["why"], found["endedAt"]) == (
        status,
        f"because of {status}",
        "2026-11-23T10:00:00.000Z",
    )
    last = ledger.facts_of("storefront", "v1.4.0")[-1]
    assert last["name"] == ENDINGS[status]
    assert last["data"] == {
        "status": status,
        "why": f"because of {status}",
        "readAt": found["readAt"],
        "after": "RUNNING",
        "moved": False,
        "durations": {},
    }
    assert lock.holder(ledger, "storefront") is None


def test_a_failed_rollback_keeps_the_lock(ledger):
    """Fault 45."""
    release(ledger)
    assert end(ledger, Status.ROLLBACK_FAILED)
    assert lock.holder(ledger, "storefront").kept


def test_every_ending_has_its_fact():
    assert set(ENDINGS) == set(Status) - {Status.RUNNING}


MAY_FOLLOW = {
    Status.SUCCEEDED: {Status.ROLLED_BACK, Status.ROLLBACK_FAILED},
    Status.ROLLBACK_FAILED: {Status.ROLLED_BACK, Status.ABORTED},
}
"""Only a rollback ends what has ended."""


@pytest.mark.parametrize("first", [status for status in Status if status is not Status.RUNNING])
def test_the_first_ending_is_final(ledger, first):
    release(ledger)
    assert end(ledger, first)
    before = releases.get(ledger, "storefront", "v1.4.0")
    for second in set(Status) - {Status.RUNNING} - MAY_FOLLOW.get(first, set()):
        assert not end(ledger, second)
    assert releases.get(ledger, "storefront", "v1.4.0") == before
    assert facts(ledger) == [
        "Release Read",
        "Lock Acquired",
        ENDINGS[first],
    ]


def test_of_two_concurrent_endings_one_is_recorded(ledger):
    release(ledger)
    between = meanwhile(ledger, lambda: end(ledger, Status.REJECTED))
    assert not end(between, Status.EXPIRED)
    assert releases.get(ledger, "storefront", "v1.4.0")["status"] == "REJECTED"


def taken_over(ledger: Ledger, execution: str = "arn:rollback") -> None:
    lock.acquire(
        ledger,
        application="storefront",
        tag="v1.4.0",
        attempt=1,
        execution=execution,
        seconds=9,
        taking_over=True,
    )


@pytest.mark.parametrize("status", [Status.SUCCEEDED, Status.INVALID, Status.ROLLED_BACK])
def test_during_a_rollback_nobody_else_can_end_the_release(ledger, status):
    """Otherwise the lock would be free, or the release would count as current, while its traffic is moved back."""
    release(ledger)
    assert not end(meanwhile(ledger, lambda: taken_over(ledger)), status)
    assert releases.get(ledger, "storefront", "v1.4.0")["status"] == "RUNNING"
    assert end(ledger, Status.ROLLED_BACK, execution="arn:rollback")
    assert lock.holder(ledger, "storefront") is None


def test_a_release_that_lost_its_lock_cannot_succeed(ledger, clock):
    release(ledger)
    clock.forward(1000)
    release(ledger, "v1.5.0")
    assert not end(ledger, Status.SUCCEEDED)
    assert end(ledger, Status.SUCCEEDED, "v1.5.0")


def test_a_release_that_waits_for_a_paused_one_says_what_to_do(ledger):
    release(ledger)
    claimed = record(tag="v1.5.0", execution="arn:v1.5.0") | LITTLE
    releases.claim(ledger, claimed)
    newer = releases.get(ledger, "storefront", "v1.5.0")
    taking = {"attempt": 1, "execution": "arn:v1.5.0", "seconds": 9}
    with pytest.raises(
        LockHeld, match=r"^storefront v1\.5\.0 waits: v1\.4\.0 is in progress\. Nothing was changed\.$"
    ):
        releases.take_lock(ledger, newer, **taking)
    pause = {"number": 1, "state": "open", "until": "2026-11-23T15:05:00.000Z", "before": 1}
    ledger.write(
        ledger.update(
            application_key("storefront"),
            "RELEASE#v1.4.0",
            only_if="attribute_exists(pk)",
            pause=pause,
            percent=10,
        )
    )
    with pytest.raises(LockHeld) as held:
        releases.take_lock(ledger, newer, **taking)
    assert str(held.value) == (
        "storefront v1.5.0 waits: v1.4.0 is in progress. Nothing was changed. The rollout of v1.4.0 is paused at 10 % and "
        "waits for a person until 2026-11-23 15:05 UTC. Continue it (tagship resume storefront v1.4.0 --stage production), "
        "roll it back (tagship rollback storefront v1.4.0 --stage production) or stop it (tagship abort storefront v1.4.0 "
        "--stage production); then retry v1.5.0 if it has ended."
    )


def test_a_lock_is_taken_only_if_the_release_is_unchanged_since_it_was_read(ledger):
    """A call that is late by the release's whole life locks nothing."""
    claimed = record(tag="v1.4.0", execution="arn:v1.4.0") | LITTLE
    releases.claim(ledger, claimed)
    asked = {"application": "storefront", "tag": "v1.4.0", "attempt": 1, "execution": "arn:v1.4.0"}
    stands = releases.standing(ledger, **asked, status=Status.RUNNING)
    end(ledger, Status.INVALID)
    with pytest.raises(LockHeld):
        lock.acquire(ledger, **asked, seconds=9, only_while=[stands])
    assert lock.holder(ledger, "storefront") is None


def test_an_ending_that_loses_every_race_is_retryable(ledger):
    release(ledger)
    rollbacks = iter(range(100))

    def take_over() -> None:
        taken_over(ledger, f"arn:rollback {next(rollbacks)}")
        ledger.now.forward(10)  # it died

    with pytest.raises(LedgerBusy, match="its outcome ROLLED_BACK could not be written in 5 attempts"):
        end(meanwhile(ledger, take_over, times=100), Status.ROLLED_BACK)
    assert releases.get(ledger, "storefront", "v1.4.0")["status"] == "RUNNING"


def test_an_ending_leaves_another_releases_lock_alone(ledger, clock):
    release(ledger)
    clock.forward(900)
    release(ledger, "v1.5.0")
    assert end(ledger, Status.ABORTED)
    assert lock.holder(ledger, "storefront").tag == "v1.5.0"


# ---- what production runs ------------------------------------------------------------------------------------------


def test_before_the_first_release_nothing_is_current(ledger):
    release(ledger)
    assert current(ledger) is None


def test_a_successful_release_becomes_current(ledger):
    release(ledger)
    end(ledger, Status.SUCCEEDED)
    found = releases.current(ledger, "storefront")
    assert (found["tag"], found["revision"]) == ("v1.4.0", {"version": "v1.4.0"})


@pytest.mark.parametrize(
    "status", [Status.INVALID, Status.REJECTED, Status.ROLLED_BACK, Status.ROLLBACK_FAILED, Status.ABORTED]
)
def test_an_unsuccessful_release_never_becomes_current(ledger, status):
    release(ledger, "v1.3.0")
    end(ledger, Status.SUCCEEDED, "v1.3.0")
    release(ledger)
    end(ledger, status)
    assert current(ledger) == "v1.3.0"


def test_a_late_ending_does_not_become_current(ledger):
    release(ledger)
    end(ledger, Status.ABORTED)
    assert not end(ledger, Status.SUCCEEDED)
    assert current(ledger) is None


def test_after_rolling_back_the_current_release_the_previous_one_is_current(ledger):
    release(ledger, "v1.3.0")
    end(ledger, Status.SUCCEEDED, "v1.3.0")
    before = releases.current(ledger, "storefront")
    release(ledger)
    end(ledger, Status.SUCCEEDED)
    assert roll_back(ledger)
    assert before is not None
    assert releases.current(ledger, "storefront") == {**before, "since": "2026-11-23T10:00:00.000Z"}
    assert lock.holder(ledger, "storefront") is None
    assert facts(ledger)[-2:] == ["Lock Acquired", "Release Rolled Back"]


def test_after_rolling_back_a_first_release_nothing_is_current(ledger):
    """Fault 46."""
    release(ledger)
    end(ledger, Status.SUCCEEDED)
    assert roll_back(ledger)
    assert current(ledger) is None
    release(ledger, "v1.5.0")
    end(ledger, Status.SUCCEEDED, "v1.5.0")
    assert current(ledger) == "v1.5.0"


def test_a_repeated_rollback_that_succeeds_changes_the_current_release_too(ledger):
    """Fault 45."""
    release(ledger, "v1.3.0")
    end(ledger, Status.SUCCEEDED, "v1.3.0")
    release(ledger)
    end(ledger, Status.SUCCEEDED)
    assert roll_back(ledger, Status.ROLLBACK_FAILED)
    assert current(ledger) == "v1.4.0"
    assert roll_back(ledger, again=" again")
    assert current(ledger) == "v1.3.0"
    assert lock.holder(ledger, "storefront") is None


def test_a_rollback_that_fails_twice_still_keeps_the_lock(ledger, clock):
    """Fault 45."""
    release(ledger)
    assert roll_back(ledger, Status.ROLLBACK_FAILED)
    assert not roll_back(ledger, Status.ROLLBACK_FAILED, again=" again")
    clock.forward(5000)
    assert lock.holder(ledger, "storefront").alive(clock())


def test_a_second_rollback_that_fails_keeps_the_lock_that_the_first_did_not_have(ledger, clock):
    """Fault 45."""
    release(ledger)
    clock.forward(5000)
    assert end(ledger, Status.ROLLBACK_FAILED)
    ledger.write(lock.freed(ledger, application="storefront", fence=1))
    assert not roll_back(ledger, Status.ROLLBACK_FAILED)
    clock.forward(5000)
    assert lock.holder(ledger, "storefront").kept


def test_an_older_releases_rollback_does_not_change_a_newer_current_one(ledger):
    release(ledger)
    end(ledger, Status.SUCCEEDED)
    release(ledger, "v1.5.0")
    end(ledger, Status.SUCCEEDED, "v1.5.0")
    roll_back(ledger)
    assert current(ledger) == "v1.5.0"


def test_only_the_current_release_or_one_that_moved_traffic_can_be_rolled_back(ledger):
    """Fault 48: restoring the baseline of any other release would undo a later release."""

    def refused(tag: str) -> str:
        return releases.roll_back_refused(ledger, releases.get(ledger, "storefront", tag))

    release(ledger, "v1.3.0", plan={"to": "v1.3.0"})
    assert refused("v1.3.0") == ""
    end(ledger, Status.SUCCEEDED, "v1.3.0")
    assert refused("v1.3.0") == ""
    release(ledger)
    assert refused("v1.4.0") == "it was never planned, so it has changed nothing."
    end(ledger, Status.SUCCEEDED)
    assert refused("v1.3.0") == "it ended SUCCEEDED, and v1.4.0 is deployed now."
    roll_back(ledger)
    assert refused("v1.4.0") == "it ended ROLLED_BACK, and v1.3.0 is deployed now."
    roll_back(ledger, tag="v1.3.0")
    assert refused("v1.3.0") == "it ended ROLLED_BACK, and no release is deployed now."


# ---- waiting for a window ------------------------------------------------------------------------------------------


def delay(ledger: Ledger, *, why: str = "It is frozen.", opens: str = "at noon") -> None:
    releases.delay(ledger, releases.get(ledger, "storefront", "v1.4.0"), why=why, opens=opens)


def test_a_waiting_release_records_each_reason_once_with_its_start(ledger: Ledger, clock: Clock) -> None:
    release(ledger, phase="approval")
    delay(ledger)
    since = releases.get(ledger, "storefront", "v1.4.0")["waits"]["since"]
    clock.forward(900)
    delay(ledger)
    clock.forward(900)
    delay(ledger, opens="at three")
    known = releases.get(ledger, "storefront", "v1.4.0")
    assert known["phase"] == releases.DELAYED
    assert known["waits"] == {"since": since, "opens": "at three", "why": "It is frozen."}
    assert facts(ledger).count("Deployment Delayed") == 2


def test_a_started_or_ended_release_no_longer_waits(ledger: Ledger) -> None:
    release(ledger, phase="deployment")
    with pytest.raises(LockLost):
        delay(ledger)
    end(ledger, Status.INVALID)
    with pytest.raises(LockLost):
        delay(ledger)
    assert "Deployment Delayed" not in facts(ledger)


def test_a_newer_release_supersedes_only_waiting_ones(ledger: Ledger) -> None:
    """Between the read and the write it may have started; then it continues and keeps its lock."""
    release(ledger, phase="approval")
    assert end(ledger, Status.SUPERSEDED, only_in=releases.DELAYED) is False
    delay(ledger)

    def begins() -> None:
        begun = Fact(application="storefront", tag="v1.4.0", attempt=1, name="Deployment Started")
        releases.mark(ledger, begun, phase="deployment")

    assert end(meanwhile(ledger, begins), Status.SUPERSEDED, only_in=releases.DELAYED) is False
    assert releases.get(ledger, "storefront", "v1.4.0")["status"] == Status.RUNNING
    assert lock.holder(ledger, "storefront") is not None


def test_a_superseded_waiting_release_frees_the_lock_and_cannot_start(ledger: Ledger) -> None:
    release(ledger, phase="approval")
    delay(ledger)
    assert end(ledger, Status.SUPERSEDED, only_in=releases.DELAYED) is True
    assert lock.holder(ledger, "storefront") is None
    begun = Fact(application="storefront", tag="v1.4.0", attempt=1, name="Deployment Started")
    with pytest.raises(LockLost):
        releases.mark(ledger, begun, phase="deployment")
    assert end(ledger, Status.INVALID) is False, "the first ending stands"


def test_an_attempt_records_how_the_previous_one_ended(ledger):
    release(ledger)
    assert end(ledger, Status.INVALID, why="integrity: the file is not there.")
    again = record(tag="v1.4.0", execution="arn:again", digest=sha256(b"v1.4.0")) | LITTLE
    outcome, claimed = releases.claim(
        ledger, again, retry=Retry(attempt=2, by="arn:ops", why="it is there now")
    )
    assert outcome == "claimed"
    found = releases.get(ledger, "storefront", "v1.4.0")
    assert claimed["before"] == found["before"]
    assert found["before"]["attempt"] == 1
    assert found["before"]["status"] == "INVALID"
    assert found["before"]["why"] == "integrity: the file is not there."
