"""Decides which old revisions to delete: by the policy, and never one that a rollback could need.

The decision is pure. Deleting holds the application's lock: a release that starts meanwhile waits, and a rollback takes
the lock, which stops the deleting.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from tagship.deployment.locations import location_of
from tagship.ledger import lock
from tagship.ledger.table import Fact, Ledger, timestamp
from tagship.model.application import Retention
from tagship.model.errors import RetentionRefused, TagshipError
from tagship.model.facts import FactKind
from tagship.model.proposal import is_proposal
from tagship.model.records import CurrentRecord, ReleaseRecord, Revision
from tagship.model.release import Status
from tagship.targets.kind import Keeper, Stored
from tagship.text.words import count

LEASE_SECONDS = 300
"""The lease in seconds, renewed before each deletion. A crashed run blocks the next release no longer than this."""
_OPEN = (Status.RUNNING, Status.ROLLBACK_FAILED)
"""Statuses of releases that may still move traffic or be rolled back, although another one is current."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fate:
    """Whether one stored thing is kept or deleted."""

    stored: Stored
    releases: tuple[str, ...]
    """The tags of its releases, newest first."""
    stays: str
    """Why it is kept; empty if it is deleted."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Done:
    """The result of one deletion."""

    fate: Fate
    refused: str = ""
    """Why it was not deleted."""


Made = Mapping[str, Sequence[Revision]]
"""The revisions that each tag's attempts made, deployed or not."""


def recorded(records: Sequence[ReleaseRecord], made: Made) -> list[Revision]:
    """Every revision that these releases made, planned or would restore."""
    found: list[Revision] = []
    for record in records:
        found += [*_made(record, made), *_restored(record)]
    return list({(each["id"], each["digest"]): each for each in found}.values())


def fates(
    policy: Retention | None,
    records: Sequence[ReleaseRecord],
    stored: Sequence[Stored],
    *,
    made: Made,
    current: CurrentRecord | None,
    serving: Revision | None,
    now: datetime,
    others: Mapping[str, Sequence[Revision]] | None = None,
    stored_as: Callable[[Revision], Iterable[str]] = lambda revision: [str(revision)],
) -> list[Fate]:
    """What is kept and what is deleted, and why, in the target's order.

    `current` is the current release in the ledger, `serving` the target's own answer; both are kept. Anything that
    `others`, the stage's other applications, have recorded is kept too, compared by the kind's `stored_as`.
    """
    needed = _needed(records, made, current, serving)
    chosen = _chosen(policy, records, made, now) if policy else {}
    tags = [(_name(it), record["tag"]) for record in _newest_first(records) for it in _made(record, made)]
    found = []
    for each in stored:
        own = {_name(revision) for revision in each.revisions}
        names = [name for revision in each.revisions for name in (revision["id"], revision["digest"])]
        of = tuple(dict.fromkeys(tag for name, tag in tags if name in own))
        why = next((needed[it] for it in names if it in needed), "") or each.used
        if not why and of:
            ours = {each.stored_as} - {""} or {
                it for revision in each.revisions for it in stored_as(revision)
            }
            theirs = (
                name
                for name, known in (others or {}).items()
                if not ours.isdisjoint(it for revision in known for it in stored_as(revision))
            )
            why = next((f"{name} has released it too" for name in theirs), "")
        if not why and not of:
            why = "the ledger records no release that made it"
        if not why and policy is None:
            why = "no retention is configured"
        if not why and current is None:
            why = "according to the ledger, no release is deployed"
        why = why or next((chosen[it] for it in names if it in chosen), "")
        found.append(Fate(stored=each, releases=of, stays=why))
    return found


Reasons = dict[str, str]
"""Why a revision is kept, by its id and its digest, because a planned one has no id yet."""


def _keep(reasons: Reasons, revision: Revision | None, why: str) -> None:
    if revision:
        for name in filter(None, (revision["id"], revision["digest"])):
            reasons.setdefault(name, why)


def _needed(
    records: Sequence[ReleaseRecord], made: Made, current: CurrentRecord | None, serving: Revision | None
) -> Reasons:
    """Revisions that are kept under any policy: they serve, may serve soon, or may be restored."""
    needed: Reasons = {}
    _keep(needed, serving, "it serves traffic")
    if current:
        _keep(needed, current["revision"], f"according to the ledger, it is deployed ({current['tag']})")
    for record in records:
        is_current = bool(current and current["tag"] == record["tag"])
        if is_current or record["status"] in _OPEN:
            for revision in _restored(record):
                _keep(needed, revision, f"a rollback of {record['tag']} restores it")
        if record["status"] in _OPEN:
            for revision in _made(record, made):
                _keep(needed, revision, f"{record['tag']} is {record['status']}")
    return needed


def _chosen(policy: Retention, records: Sequence[ReleaseRecord], made: Made, now: datetime) -> Reasons:
    """The revisions that the policy keeps."""
    chosen: Reasons = {}
    succeeded = [each for each in _newest_first(records) if each["status"] == Status.SUCCEEDED]
    newest = succeeded[: policy.releases]
    since = timestamp(now - timedelta(days=policy.days))
    for record in newest:
        _keep(chosen, _planned(record), f"it is among the newest {policy.releases} releases that succeeded")
    for record in records:
        if record["tag"] in policy.keep:
            _keep(chosen, _planned(record), f"{record['tag']} is named in retention.keep")
        if _at(record) > since:
            for revision in _made(record, made):
                _keep(chosen, revision, f"{record['tag']} is younger than {count(policy.days, 'day')}")
    for record in newest:
        for revision in _restored(record):
            _keep(chosen, revision, f"a rollback of {record['tag']} restores it")
    return chosen


def _is_planned(record: ReleaseRecord) -> bool:
    """A proposed configuration has a plan without a location."""
    return bool(record.get("plan") and record["plan"]["locations"])


def _planned(record: ReleaseRecord) -> Revision | None:
    """The revision that the release made or would make."""
    return location_of(record)["candidate"] if _is_planned(record) else None


def _made(record: ReleaseRecord, made: Made) -> list[Revision]:
    """Every revision that a release made: its candidate, and those named by no later attempt, plan or proof."""
    planned = _planned(record)
    return [*([planned] if planned else []), *made.get(record["tag"], ())]


def _name(revision: Revision) -> str:
    """Its id. A planned revision has none, but may have stored something, such as a stack's template."""
    return revision["id"] or revision["digest"]


def _restored(record: ReleaseRecord) -> Iterator[Revision]:
    """The revision that a rollback of the release restores, and the one it may still be on before that."""
    if _is_planned(record):
        location = location_of(record)
        yield from (each for each in (location["baseline"], location.get("replaced")) if each)
    if before := record.get("replaces"):
        yield before["revision"]


def _at(record: ReleaseRecord) -> str:
    return max(record["readAt"], record.get("endedAt", ""))


def _newest_first(records: Sequence[ReleaseRecord]) -> list[ReleaseRecord]:
    return sorted((each for each in records if not is_proposal(each["tag"])), key=_at, reverse=True)


def apply(
    ledger: Ledger,
    keeper: Keeper,
    current: CurrentRecord,
    shown: Sequence[Fate],
    *,
    look: Callable[[], Sequence[Fate]],
    who: str,
) -> Generator[Done]:
    """Deletes revisions one by one under the application's lock. A refused deletion does not stop the others.

    `look` computes the fates again under the lock: if they differ from those that were shown, nothing is deleted.

    Raises RetentionRefused, LockHeld, LockKept before anything is deleted, LockLost when a rollback took the lock over.
    """
    application = current["application"]
    taken = lock.borrow(
        ledger,
        application=application,
        tag=current["tag"],
        attempt=current["attempt"],
        execution=who,
        seconds=LEASE_SECONDS,
    )
    try:
        going = [fate for fate in look() if not fate.stays]
        if _names(going) != _names(fate for fate in shown if not fate.stays):
            raise RetentionRefused(
                f"{application}: what can be deleted changed since it was shown. Nothing was deleted. Run the command again."
            )
        _record(ledger, current, going, fence=taken.fence, who=who)
        for fate in going:
            lock.renew(ledger, application=application, fence=taken.fence, seconds=LEASE_SECONDS)
            yield _deleted(keeper, fate)
    finally:
        lock.give_back(ledger, application=application, fence=taken.fence)


def _deleted(keeper: Keeper, fate: Fate) -> Done:
    try:
        keeper.delete(fate.stored)
    except TagshipError as error:
        return Done(fate=fate, refused=str(error))
    return Done(fate=fate)


def _names(found: Iterable[Fate]) -> list[str]:
    return [fate.stored.name for fate in found]


def _record(ledger: Ledger, current: CurrentRecord, going: Sequence[Fate], *, fence: int, who: str) -> None:
    """Written before the first deletion, so that every deletion is recorded."""
    ledger.record(
        Fact(
            application=current["application"],
            tag=current["tag"],
            attempt=current["attempt"],
            name=FactKind.RETENTION_APPLIED,
            key=str(fence),
            who=who,
            data={"revisions": _names(going), "fence": fence},
        )
    )
