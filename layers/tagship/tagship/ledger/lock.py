"""One release of an application at a time: a lease, and a fencing number that every change to the target carries.

The number only increases. Each new holder gets the next one. If another holder has taken over the lease, the old holder's
number is stale at its next change, which is then refused.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from tagship.ledger.table import Change, Fact, Item, Ledger, Refused, application_key, timestamp
from tagship.model.errors import LockHeld, LockKept, LockLost
from tagship.model.facts import FactKind
from tagship.text.times import clock, moment

LOCK = "LOCK"
SPARE_SECONDS = 120
"""Added to the work that a lease covers, so that it never ends while its holder is merely slow."""


def lease(*seconds: int) -> int:
    """The seconds of a lease for this work."""
    return sum(seconds) + SPARE_SECONDS


@dataclass(frozen=True, slots=True, kw_only=True)
class Lock:
    """A holder's lock."""

    fence: int
    leaseEnds: str
    recorded: bool = False
    """Whether the fact that was to follow it was recorded with it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Holder:
    """The current holder of the lock."""

    tag: str
    attempt: int
    execution: str
    fence: int
    leaseEnds: str
    since: str
    """When the holder took it."""
    kept: bool = False
    """Kept for a person after a failed rollback: it does not expire."""
    rollback: bool = False
    """A rollback of the release took it over."""
    upkeep: bool = False
    """No release is running: a person deletes old revisions, in the name of the current release."""

    @property
    def who(self) -> str:
        """The holder, in words."""
        return f"{self.execution}, who is deleting old revisions" if self.upkeep else self.tag

    def alive(self, now: datetime) -> bool:
        """Whether the lease is still valid."""
        return self.kept or self.leaseEnds > timestamp(now)

    def rolls_back(self, now: datetime) -> bool:
        """Whether a rollback is running; not one that failed, which another may follow."""
        return self.rollback and not self.kept and self.alive(now)


def holder(ledger: Ledger, application: str) -> Holder | None:
    """The holder of the application's lock, if there is one (the lease may have expired)."""
    return _holder_in(ledger.get(application_key(application), LOCK) or {})


def holder_to_follow(ledger: Ledger, application: str) -> Holder | None:
    """The holder, for a caller that then takes the lock: `acquire` is refused if it has changed since."""
    return _holder_in(ledger.peek(application_key(application), LOCK) or {})


def _holder_in(item: Item) -> Holder | None:
    if "tag" not in item:
        return None
    return Holder(
        tag=item["tag"],
        attempt=item["attempt"],
        execution=item["execution"],
        fence=item["fence"],
        leaseEnds=item["leaseEnds"],
        kept=item.get("kept", False),
        rollback=item.get("rollback", False),
        upkeep=item.get("upkeep", False),
        since=item["since"],
    )


def open_ones(ledger: Ledger) -> list[tuple[str, Holder]]:
    """Every application whose lock is held and not kept for a person, with the holder."""
    found = [(str(item["pk"]), ledger.get(str(item["pk"]), LOCK) or {}) for item in ledger.open_of("lock")]
    return [
        (pk.removeprefix(application_key("")), present)
        for pk, item in found
        if (present := _holder_in(item)) and not present.kept
    ]


def acquire(
    ledger: Ledger,
    *,
    application: str,
    tag: str,
    attempt: int,
    execution: str,
    seconds: int,
    taking_over: bool = False,
    details: Mapping[str, object] | None = None,
    only_while: Sequence[Change] = (),
    then: Fact | None = None,
) -> Lock:
    """Takes the lock for this execution, or renews it; `details` are added to its fact.

    `only_while` are conditions on the release, so that an ended release gets no lock. `then` is a fact that is recorded in
    the same transaction; not if the lock is only renewed, and not if that fact was recorded before: the caller must record
    it itself then (`Lock.recorded`).

    `taking_over` lets a rollback take the lock from the release that it rolls back: it gets the next fencing number
    even during that release's lease, so that no late write of the release reaches the target. It can't take the lock
    from another running rollback. A lock kept for a person stays kept until an ending frees it. So does the lock of a
    rollback whose lease has expired: it died, and what serves is unknown until somebody has checked.

    Raises LockHeld if another release has it or something has changed since it was read, LockKept if it is kept for a
    person.
    """
    pk = application_key(application)
    item = ledger.get(pk, LOCK) or {}
    known = int(item.get("fence", 0))
    ends = timestamp(ledger.now() + timedelta(seconds=seconds))
    present = _holder_in(item)
    if present and present.execution == execution and (present.tag, present.attempt) == (tag, attempt):
        return renew(ledger, application=application, fence=present.fence, seconds=seconds)
    entitled = (
        taking_over
        and present is not None
        and (present.tag, present.attempt) == (tag, attempt)
        and not present.rolls_back(ledger.now())
    )
    if present and (present.alive(ledger.now()) or present.rollback) and not entitled:
        raise _held(application, tag, present)
    only_if = "#fence = :known" if item else "attribute_not_exists(pk)"
    values: dict[str, object] = {":known": known} if item else {}
    if present and not entitled:  # its lease has ended, and it was neither renewed nor kept since it was read
        only_if += " AND #leaseEnds = :ended AND attribute_not_exists(#kept)"
        values[":ended"] = present.leaseEnds
    by_a_rollback: dict[str, Any] = {"rollback": True} if taking_over else {}
    change = ledger.update(
        pk,
        LOCK,
        only_if=only_if,
        values=values,
        remove=("upkeep",),
        kind="lock",
        open="lock",
        tag=tag,
        attempt=attempt,
        execution=execution,
        fence=known + 1,
        leaseEnds=ends,
        since=timestamp(ledger.now()),
        **by_a_rollback,
    )
    fact = Fact(
        application=application,
        tag=tag,
        attempt=attempt,
        name=FactKind.LOCK_ACQUIRED,
        key=str(known + 1),
        execution=execution,
        data={"fence": known + 1, "leaseEnds": ends, **(details or {})},
    )
    try:
        recorded = ledger.record(fact, change, *only_while, then=then)
    except Refused as refused:
        recorded = False
        if then and refused.index > len(only_while):  # an earlier try recorded it: the lock alone
            then = None
            with suppress(Refused):
                recorded = ledger.record(fact, change, *only_while)
    if not recorded:
        raise LockHeld(
            f"{application} {tag} did not get the lock, because another release took it first. It waits; "
            "nothing was changed."
        )
    return Lock(fence=known + 1, leaseEnds=ends, recorded=then is not None)


def borrow(ledger: Ledger, *, application: str, tag: str, attempt: int, execution: str, seconds: int) -> Lock:
    """Takes a free lock while no release is running, in the name of the current release.

    A release that starts in the meantime waits. A rollback of the current release takes the lock, as it would from the
    release. The sweep ignores it. If the holder dies, the lock stays held until the lease ends.

    Raises LockHeld while a release has the lock, LockKept if it is kept for a person.
    """
    pk = application_key(application)
    item = ledger.get(pk, LOCK) or {}
    known, present = int(item.get("fence", 0)), _holder_in(item)
    if present and present.kept:
        raise LockKept(
            f"{application}: the rollback of {present.tag} failed, and a person must act first. Nothing was changed."
        )
    if present and (not present.upkeep or present.alive(ledger.now())):
        who = present.execution if present.upkeep else f"release {present.tag}"
        raise LockHeld(
            f"{application}: {who} is changing it. Nothing was changed. Run the command again when that is done."
        )
    only_if = "#fence = :known" if item else "attribute_not_exists(pk)"
    values: dict[str, object] = {":known": known} if item else {}
    if present:  # somebody died with it
        only_if += " AND #leaseEnds = :ended"
        values[":ended"] = present.leaseEnds
    ends = timestamp(ledger.now() + timedelta(seconds=seconds))
    change = ledger.update(
        pk,
        LOCK,
        only_if=only_if,
        values=values,
        kind="lock",
        tag=tag,
        attempt=attempt,
        execution=execution,
        fence=known + 1,
        leaseEnds=ends,
        since=timestamp(ledger.now()),
        upkeep=True,
    )
    try:
        ledger.write(change)
    except Refused as refused:
        raise LockHeld(
            f"{application}: a release took the lock at this moment. Nothing was changed."
        ) from refused
    return Lock(fence=known + 1, leaseEnds=ends)


def give_back(ledger: Ledger, *, application: str, fence: int) -> bool:
    """Frees a borrowed lock; returns False if somebody else has it by now."""
    try:
        ledger.write(freed(ledger, application=application, fence=fence))
    except Refused:
        return False
    return True


def renew(ledger: Ledger, *, application: str, fence: int, seconds: int) -> Lock:
    """Extends the lease, which proves that this fencing number is still the newest: required before every change to a
    target.

    Raises LockLost if it is not.
    """
    ends = timestamp(ledger.now() + timedelta(seconds=seconds))
    try:
        ledger.write(renewed(ledger, application=application, fence=fence, seconds=seconds))
    except Refused as refused:
        raise lost(application, fence) from refused
    return Lock(fence=fence, leaseEnds=ends)


def renewed(ledger: Ledger, *, application: str, fence: int, seconds: int) -> Change:
    """The extended lease, for a write of its own or with another change; refused unless the number is the newest."""
    ends = timestamp(ledger.now() + timedelta(seconds=seconds))
    return ledger.update(
        application_key(application),
        LOCK,
        only_if="#fence = :fence AND attribute_exists(#tag)",
        values={":fence": fence},
        leaseEnds=ends,
    )


def lost(application: str, fence: int) -> LockLost:
    """The error of an execution whose number is no longer the newest."""
    return LockLost(
        f"{application}: this execution's fencing number {fence} is no longer the newest, or its lease has "
        "ended. It has changed nothing since then and can no longer change anything."
    )


def freed(ledger: Ledger, *, application: str, fence: int) -> Change:
    """The released lock, for the transaction that asks people or writes the ending; the number stays."""
    return ledger.update(
        application_key(application),
        LOCK,
        only_if="#fence = :fence",
        values={":fence": fence},
        remove=("tag", "attempt", "execution", "leaseEnds", "since", "kept", "rollback", "upkeep", "open"),
    )


def kept(ledger: Ledger, *, application: str, fence: int) -> Change:
    """The lock kept for a person, for the transaction that writes ROLLBACK_FAILED."""
    return ledger.update(
        application_key(application),
        LOCK,
        only_if="#fence = :fence",
        values={":fence": fence},
        remove=("open",),
        kept=True,
    )


def _held(application: str, tag: str, present: Holder) -> LockHeld | LockKept:
    if present.kept:
        return LockKept(
            f"{application} {tag} cannot start: {present.tag} ended ROLLBACK_FAILED, and a person must act "
            f"first. Nothing was changed. When the target is fixed, roll back {present.tag} again: this "
            "releases the lock."
        )
    if present.upkeep:
        return LockHeld(
            f"{application} {tag} waits for the lock: {present.who}, has had it since {clock(moment(present.since))} and "
            f"releases it by {clock(moment(present.leaseEnds))}. Nothing was changed."
        )
    return LockHeld(f"{application} {tag} waits: {present.tag} is in progress. Nothing was changed.")
