"""A requested rollback: who requested it and why, what it rolls back, what it restores, and whether it is possible."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import takewhile
from typing import Any

from tagship.deployment.locations import location_of
from tagship.ledger import approvals, lock, releases
from tagship.ledger.table import Fact, Ledger, timestamp
from tagship.model.errors import ApplicationUnknown, RollbackRefused, RollbackUnderway, RollbackUnsafe
from tagship.model.facts import FactKind
from tagship.model.records import ReleaseRecord
from tagship.model.release import BY_CHARACTERS, Status
from tagship.text.plain import shorten
from tagship.text.words import cause_in_words

TRIGGERS = (
    "health",
    "deadline",
    "failure",
    "alarm",
    "approver",
    "operator",
    "security",
    "supervisor",
    "abort",
)
_BY_A_PERSON = ("approver", "operator", "security")
"""People who request these have read what the release says about its rollback."""
_TEXTS = ("application", "tag", "trigger", "why")
_MEMBERS = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """The rollback state machine's input."""

    application: str
    tag: str
    trigger: str
    """Its trigger, one of TRIGGERS; any other text that a person typed counts as `operator`."""
    why: str
    by: str = "tagship"
    attempt: int = 0
    """The attempt of the tag that is meant; 0 for the current one."""
    to: str = ""
    """The release to restore; empty for the previous one."""
    seen: object = None
    """The numbers that led to it: a health check's, an alarm's."""

    @classmethod
    def from_dict(cls, order: object) -> Order:
        """From the execution's input, which anyone may have written.

        Raises RollbackRefused if it is not a valid order.
        """
        data = order if isinstance(order, Mapping) else {}
        attempt, to = data.get("attempt", 0), data.get("to", "")
        if (
            not all(isinstance(data.get(name), str) for name in _TEXTS)
            or type(attempt) is not int
            or not isinstance(to, str)
        ):
            raise RollbackRefused(
                f"A rollback order needs the text fields {', '.join(_TEXTS)}. Nothing was changed."
            )
        return cls(
            application=data["application"],
            tag=data["tag"],
            trigger=data["trigger"] if data["trigger"] in TRIGGERS else "operator",
            why=cause_in_words(data["why"]),
            by=shorten(str(data.get("by", "tagship")), BY_CHARACTERS),
            attempt=attempt,
            to=to,
            seen=_kept(data.get("seen")),
        )

    @property
    def title(self) -> str:
        """`storefront v1.4.0`."""
        return f"{self.application} {self.tag}"

    def fact(
        self, record: ReleaseRecord, name: FactKind, *, rollback: str, execution: str, **data: object
    ) -> Fact:
        """A fact about this rollback."""
        return Fact(
            application=self.application,
            tag=self.tag,
            attempt=record["attempt"],
            name=name,
            key=rollback,
            who=self.by,
            execution=execution,
            data=data,
        )

    def bar(self, now: datetime) -> dict[str, str]:
        """The attributes of a release that may never be deployed again."""
        return {"why": self.why, "by": self.by, "at": timestamp(now)}


def _kept(seen: object, *, levels: int = 8) -> object:
    """As much of `seen` as a fact can hold: DynamoDB nests 32 levels deep, and an item has at most 400 KB."""
    if isinstance(seen, Mapping | list) and (not levels or len(seen) > _MEMBERS):
        return "too large to record"
    if isinstance(seen, Mapping):
        return {str(name)[:100]: _kept(value, levels=levels - 1) for name, value in seen.items()}
    if isinstance(seen, list):
        return [_kept(value, levels=levels - 1) for value in seen]
    return shorten(seen, 1000) if isinstance(seen, str) else seen


def joined(
    ledger: Ledger,
    order: Order,
    record: ReleaseRecord,
    holder: lock.Holder | None,
    *,
    execution: str,
    rollback: str,
) -> bool:
    """Whether another rollback has done what this one was requested for, while this one waited for it.

    `holder` of the application's lock must have been read before `record`, or with it.

    Raises RollbackUnderway while the other one is running: two rollbacks never restore at the same time.
    """
    another = (
        holder is not None
        and (holder.tag, holder.attempt) == (record["tag"], record["attempt"])
        and holder.execution != execution
        and holder.rolls_back(ledger.now())
    )
    if holder is not None and another:
        data = {"trigger": order.trigger, "why": order.why, "other": holder.execution}
        ledger.record(
            order.fact(record, FactKind.ROLLBACK_JOINED, rollback=rollback, execution=execution, **data)
        )
        raise RollbackUnderway(
            f"{order.title} is already being rolled back; this rollback waits for the other one to end."
        )
    if record["status"] not in (Status.ROLLED_BACK, Status.ABORTED):
        return False
    waited = ledger.fact(order.application, order.tag, record["attempt"], FactKind.ROLLBACK_JOINED, rollback)
    return waited is not None


def bars_only(ledger: Ledger, order: Order, record: ReleaseRecord, *, rollback: str, execution: str) -> str:
    """Bars a release that was rolled back before, for another reason or by someone else; empty if it was not rolled back.

    Raises RollbackRefused if another attempt is meant, LockLost if a new attempt begins at this moment.
    """
    back = record["status"] in (Status.ROLLED_BACK, Status.ABORTED)
    if order.trigger != "security" or order.to or not back:
        return ""
    if other := _another_attempt(order, record):
        raise RollbackRefused(f"{order.title} is not barred: {other} Nothing was changed.")
    fact = order.fact(record, FactKind.RELEASE_BARRED, rollback=rollback, execution=execution, why=order.why)
    releases.turn_back(ledger, fact, barred=order.bar(ledger.now()))
    return "The release was rolled back before. From now on it cannot be deployed again."


def _another_attempt(order: Order, record: ReleaseRecord) -> str:
    if order.attempt in (0, record["attempt"]):
        return ""
    return f"the order is for attempt {order.attempt}, but the release is at attempt {record['attempt']}."


def refuse(ledger: Ledger, order: Order, record: ReleaseRecord) -> None:
    """Raises RollbackRefused if it cannot, or may not, be rolled back."""
    too_late = order.trigger in ("abort", "supervisor") and record["status"] == Status.SUCCEEDED
    if refused := (
        _another_attempt(order, record)
        or ("it had already succeeded when its execution ended." if too_late else "")
        or releases.roll_back_refused(ledger, record)
    ):
        raise RollbackRefused(f"{order.title} cannot be rolled back: {refused} Nothing was changed.")


def refuse_unsafe(order: Order, record: ReleaseRecord) -> None:
    """Raises RollbackUnsafe if the release declares that the previous version cannot work after it, and no person asked."""
    why = releases.unsafe_to_roll_back(record)
    if why and order.trigger not in _BY_A_PERSON:
        raise RollbackUnsafe(
            f"{order.title} was not rolled back, because its rollback is marked unsafe: {why.rstrip('.')}. "
            f"Reason for the rollback: {order.why} Traffic was not moved. Decide: publish a fix, or restore "
            "the previous version anyway with `tagship rollback`."
        )


def leading_to(ledger: Ledger, order: Order, record: ReleaseRecord) -> dict[str, Any]:
    """The change to a release that is rolled back further than to the previous one: its baseline; otherwise nothing.

    The previous baseline stays as `replaced`, because the target may still be on it.

    Raises RollbackRefused if the other release cannot be restored.
    """
    if not order.to or order.to == record["plan"]["from"]:
        return {}
    try:
        other = releases.get(ledger, order.application, order.to)
    except ApplicationUnknown as error:
        raise RollbackRefused(f"{order.title} cannot be rolled back to {order.to}: {error}") from error
    if refused := releases.go_back_refused(record, other):
        raise RollbackRefused(
            f"{order.title} cannot be rolled back to {order.to}: {refused} Nothing was changed."
        )
    plan, baseline = record["plan"], location_of(other)["candidate"]
    (planned,) = plan["locations"]
    return {
        "plan": {
            **plan,
            "from": order.to,
            "locations": [{**planned, "baseline": baseline, "replaced": planned["baseline"]}],
        },
        "replaces": {
            "application": order.application,
            "tag": order.to,
            "attempt": other["attempt"],
            "revision": baseline,
            "since": timestamp(ledger.now()),
        },
    }


def make_way(ledger: Ledger, order: Order, record: ReleaseRecord, *, execution: str) -> None:
    """Ends a release that has the lock and has not moved traffic, because the baseline of its plan is about to change.

    A release that has moved traffic keeps the lock, and its own health checks decide.
    """
    if record["status"] != Status.SUCCEEDED:
        return
    holder = lock.holder(ledger, order.application)
    if holder is None or holder.tag == order.tag:
        return
    other = releases.get(ledger, order.application, holder.tag)
    if other["status"] != Status.RUNNING or other["attempt"] != holder.attempt:
        return
    why = (
        f"{order.title}, which was deployed, was rolled back while {other['tag']} was in progress, so the "
        f"plan of {other['tag']} is outdated. Nothing was changed. Retry it."
    )
    ended = releases.end(
        ledger,
        application=order.application,
        tag=other["tag"],
        attempt=other["attempt"],
        status=Status.INVALID,
        why=why,
        execution=execution,
        unless_moved=True,
    )
    if ended and other.get("approval"):
        approvals.close(ledger, other["approval"], status="CLOSED", why=why, execution=execution)


def shares_of(ledger: Ledger, record: ReleaseRecord) -> list[tuple[int, datetime]]:
    """The candidate's shares of the traffic in percent, and when it got each; empty if it had none."""
    release = (record["application"], record["tag"], record["attempt"])
    keys = [f"{index:03}" for index in range(len(record["plan"].get("steps", ())))]
    facts = ledger.facts_with(*release, FactKind.TRAFFIC_SHIFTED, keys)
    return [
        (fact["data"]["percent"], datetime.fromisoformat(fact["at"]))
        for fact in takewhile(bool, facts)
        if fact
    ]


def served(shifts: Sequence[tuple[int, datetime]], *, until: datetime) -> list[dict[str, int]]:
    """The candidate's shares, and for how many seconds it had each."""
    ends = [*(at for _, at in shifts), until][1:]  # none if the first shift died before it was recorded
    return [
        {"percent": percent, "seconds": max(0, round((end - began).total_seconds()))}
        for (percent, began), end in zip(shifts, ends, strict=True)
    ]
