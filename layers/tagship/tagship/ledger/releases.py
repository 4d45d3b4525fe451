"""The release as it stands: claimed once, marked as it goes, ended once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from tagship.errors import ApplicationUnknown, LedgerBusy, LockLost
from tagship.ledger import lock
from tagship.ledger.table import Change, Fact, Item, Ledger, Refused, application_key, timestamp
from tagship.release import Status

_CURRENT = "CURRENT"
DELAYED = "window"
"""The phase of a release that is approved and waits for its window. A newer one may end it, as long as it is in it."""

_TRIES = 5
_MAY_END_AS = dict.fromkeys(Status, (Status.RUNNING,)) | {
    Status.ROLLED_BACK: (Status.RUNNING, Status.SUCCEEDED, Status.ROLLBACK_FAILED),
    Status.ABORTED: (Status.RUNNING, Status.ROLLBACK_FAILED),
    Status.ROLLBACK_FAILED: (Status.RUNNING, Status.SUCCEEDED),
}
"""Only a rollback may end what has ended: of a release that had succeeded, or after one that failed."""

ENDING_FACTS = {
    Status.SUCCEEDED: "Release Succeeded",
    Status.INVALID: "Release Invalid",
    Status.REJECTED: "Release Rejected",
    Status.EXPIRED: "Release Expired",
    Status.SUPERSEDED: "Release Superseded",
    Status.ROLLED_BACK: "Release Rolled Back",
    Status.ROLLBACK_FAILED: "Rollback Failed",
    Status.ABORTED: "Release Aborted",
}


def claim(ledger: Ledger, record: Mapping[str, Any]) -> tuple[str, Item]:
    """Claims the tag for this execution: ("claimed" | "duplicate" | "refused", the release as it stands).

    The same execution may ask twice and gets the same answer; another one with the same bytes is a duplicate; other bytes
    under a used tag are refused, and the attempt is a fact.
    """
    application, tag = record["application"], record["tag"]
    item = {
        "pk": application_key(application),
        "sk": _key(tag),
        "kind": "release",
        "status": Status.RUNNING,
        "attempt": 1,
        "readAt": timestamp(ledger.now()),
        **record,
    }
    fact = Fact(
        application=application,
        tag=tag,
        attempt=1,
        name="Release Read",
        execution=record["execution"],
        data={
            "digest": record["digest"],
            "author": (record.get("manifest") or {}).get("author", ""),
            "commit": (record.get("manifest") or {}).get("commit", ""),
            "createdAt": (record.get("manifest") or {}).get("createdAt", ""),
        },
    )
    try:
        if ledger.record(fact, ledger.put(item, only_if="attribute_not_exists(pk)")):
            return "claimed", item
    except Refused:
        pass  # it stands already: the same answer as for a fact that stands
    known = get(ledger, application, tag)
    if known["execution"] == record["execution"]:
        return "claimed", known
    if known["digest"] == record["digest"]:
        return "duplicate", known
    ledger.record(
        replace(
            fact,
            attempt=known["attempt"],
            name="Tag Already Used",
            key=record["digest"][:16],
            data={"known": known["digest"], "refused": record["digest"]},
        )
    )
    return "refused", known


def get(ledger: Ledger, application: str, tag: str) -> Item:
    """The release as it stands.

    Raises ApplicationUnknown when the ledger has none.
    """
    item = ledger.get(application_key(application), _key(tag))
    if item is None:
        raise ApplicationUnknown(f"The ledger of stage {ledger.stage} has no release {application} {tag}.")
    return item


def all_of(ledger: Ledger, application: str) -> list[Item]:
    """Every release of an application, newest first."""
    items = ledger.query(application_key(application), "RELEASE#")
    return sorted(items, key=lambda item: str(item["readAt"]), reverse=True)


def current(ledger: Ledger, application: str) -> Item | None:
    """What production runs, as far as Tagship brought it there; None before the first release, and after its rollback."""
    item = ledger.get(application_key(application), _CURRENT)
    return item if item and "tag" in item else None


def mark(ledger: Ledger, fact: Fact, **attributes: Any) -> bool:
    """Records a fact, and what it changes about a release that is still running; False if it was recorded before.

    Raises LockLost when the release has ended meanwhile: whoever is late may change nothing any more.
    """
    change = ledger.update(
        application_key(fact.application),
        _key(fact.tag),
        only_if="#status = :running AND #attempt = :attempt",
        values={":running": Status.RUNNING, ":attempt": fact.attempt},
        **attributes,
    )
    try:
        return ledger.record(fact, change)
    except Refused as refused:
        raise LockLost(
            f"{fact.application} {fact.tag}: the release has ended meanwhile; {fact.name!r} was not recorded, and nothing "
            "may be changed any more."
        ) from refused


def end(
    ledger: Ledger,
    *,
    application: str,
    tag: str,
    status: Status,
    why: str,
    execution: str,
    who: str = "tagship",
    serves: Mapping[str, Any] | None = None,
    data: Mapping[str, Any] | None = None,
    only_in: str = "",
) -> bool:
    """Writes the ending with its fact, frees the lock (keeps it for ROLLBACK_FAILED), and moves what is current.

    That is what `serves` says; after the rollback of what was current, it is what was current before.

    False when the release had this ending, or another, before: the first ending stands. False too when it is not, or no
    longer, in the phase `only_in`.
    """
    for _ in range(_TRIES):
        record = get(ledger, application, tag)
        if record["status"] not in _MAY_END_AS[status] or (only_in and record.get("phase") != only_in):
            return False
        fact = Fact(
            application=application,
            tag=tag,
            attempt=record["attempt"],
            name=ENDING_FACTS[status],
            who=who,
            execution=execution,
            data={"status": status, "why": why, "readAt": record["readAt"], **(data or {})},
        )
        changes = [
            ledger.update(
                application_key(application),
                _key(tag),
                only_if="#status = :known AND #attempt = :attempt"
                + (" AND #phase = :phase" if only_in else ""),
                values={":known": record["status"], ":attempt": record["attempt"]}
                | ({":phase": only_in} if only_in else {}),
                status=status,
                why=why,
                endedAt=timestamp(ledger.now()),
            ),
            *_lock_change(ledger, application, record, status),
            *_current_change(ledger, application, record, status, serves),
        ]
        try:
            return ledger.record(fact, *changes)
        except Refused:
            continue  # the ending was written, or the lock changed hands, between our look and our write: look again
    raise LedgerBusy(f"{application} {tag}: its ending {status} could not be written in {_TRIES} tries.")


def delay(ledger: Ledger, record: Item, *, why: str, opens: str) -> None:
    """Says that an approved release waits for its window; told again whenever what it waits for has become another.

    Raises LockLost when the release has ended, or begun, meanwhile.
    """
    now = timestamp(ledger.now())
    waits = {"since": (record.get("waits") or {}).get("since", now), "opens": opens, "why": why}
    if record.get("waits") == waits:
        return
    change = ledger.update(
        application_key(record["application"]),
        _key(record["tag"]),
        only_if="#status = :running AND #attempt = :attempt AND #phase <> :deployment",
        values={":running": Status.RUNNING, ":attempt": record["attempt"], ":deployment": "deployment"},
        phase=DELAYED,
        waits=waits,
    )
    fact = _fact_of(record, "Deployment Delayed", key=now, data={"why": why, "opens": opens})
    try:
        ledger.record(fact, change)
    except Refused as refused:
        raise LockLost(
            f"{record['application']} {record['tag']}: the release has ended meanwhile; it does not wait any more."
        ) from refused


def override_calendar(ledger: Ledger, record: Item, *, closed: str) -> None:
    """Says that an emergency is deployed although it is frozen or no window is open, and by whose reason."""
    manifest = record["manifest"]
    data = {"why": manifest["emergency"], "author": manifest["author"], "closed": closed}
    ledger.record(_fact_of(record, "Calendar Overridden", data=data))


def _fact_of(record: Item, name: str, *, data: Mapping[str, Any], key: str = "") -> Fact:
    return Fact(
        application=record["application"],
        tag=record["tag"],
        attempt=record["attempt"],
        name=name,
        key=key,
        execution=record["execution"],
        data=data,
    )


def moving(ledger: Ledger, *, application: str, tag: str, attempt: int) -> None:
    """Says, before the act, that traffic may have moved from here on: whoever finds this release dead restores its baseline.

    Raises LockLost when the release has ended meanwhile.
    """
    change = ledger.update(
        application_key(application),
        _key(tag),
        only_if="#status = :running AND #attempt = :attempt",
        values={":running": Status.RUNNING, ":attempt": attempt},
        moved=True,
    )
    try:
        ledger.write(change)
    except Refused as refused:
        raise LockLost(
            f"{application} {tag}: the release has ended meanwhile; no traffic was moved."
        ) from refused


def roll_back_refused(ledger: Ledger, record: Item) -> str:
    """Why this release can't be rolled back now; empty where it can.

    What is on its way, what ended ROLLBACK_FAILED, and what production runs can be. Of anything else the baseline is
    history: putting it back would undo a later release.
    """
    if record["status"] in (Status.RUNNING, Status.ROLLBACK_FAILED):
        return "" if record.get("plan") else "it was never planned, so it has changed nothing."
    running = current(ledger, record["application"])
    if record["status"] == Status.SUCCEEDED and running and running["tag"] == record["tag"]:
        return ""
    now = f"production runs {running['tag']}" if running else "production runs no release"
    return f"it ended {record['status']}, and {now}."


def since(ledger: Ledger, release: Mapping[str, Any], *, key: str = "", **facts: str) -> dict[str, str]:
    """When each of these facts happened to a release, by the name of the duration that it began; the others are left out."""
    found = {
        name: ledger.fact(release["application"], release["tag"], release["attempt"], fact, key)
        for name, fact in facts.items()
    }
    return {name: fact["at"] for name, fact in found.items() if fact}


def _lock_change(ledger: Ledger, application: str, record: Item, status: Status) -> list[Change]:
    present = lock.holder(ledger, application)
    if present is None or (present.tag, present.attempt) != (record["tag"], record["attempt"]):
        return []
    if status is Status.ROLLBACK_FAILED:
        return [lock.kept(ledger, application=application, present=present)]
    return [lock.freed(ledger, application=application, present=present)]


def _current_change(
    ledger: Ledger, application: str, record: Item, status: Status, serves: Mapping[str, Any] | None
) -> list[Change]:
    pk = application_key(application)
    if status is Status.ROLLED_BACK:
        present = current(ledger, application)
        if present is None or (present["tag"], present["attempt"]) != (record["tag"], record["attempt"]):
            return []
        serves = record.get("previous") or {}
    if serves is None:
        return []
    return [ledger.put({**serves, "pk": pk, "sk": _CURRENT, "kind": "current"})]


def _key(tag: str) -> str:
    return f"RELEASE#{tag}"
