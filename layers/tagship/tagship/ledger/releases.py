"""A release's record: claimed once, updated by each step, ended once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any, cast

from tagship.ledger import lock
from tagship.ledger.table import Change, Fact, Item, Ledger, Refused, application_key, timestamp
from tagship.model.errors import ApplicationUnknown, LedgerBusy, LockHeld, LockLost, PauseOrdered
from tagship.model.facts import ENDING_KINDS, ENDINGS, FactKind
from tagship.model.proposal import is_proposal
from tagship.model.records import (
    CurrentRecord,
    FactRecord,
    Known,
    NewRelease,
    ReleaseKey,
    ReleaseRecord,
    Waits,
    document_of,
    manifest_of,
)
from tagship.model.release import Retry, Status
from tagship.text.plain import shorten
from tagship.text.times import moment

CURRENT = "CURRENT"
_STORED = ("pk", "sk", "kind", "open")
ASKED = "approval"
"""The phase of a release that waits for people. It does not hold the lock: others can go first."""
DELAYED = "window"
"""The phase of an approved release that waits for its window, without the lock. A newer release can end it."""

AGAIN = "again"
"""The phase of a release that is planned again because another one went first."""
BEGUN = "deployment"
"""The phase of a release whose deployment has begun."""

_TRIES = 5
_MAY_END_AS = dict.fromkeys(Status, (Status.RUNNING,)) | {
    Status.ROLLED_BACK: (Status.RUNNING, Status.SUCCEEDED, Status.ROLLBACK_FAILED),
    Status.ABORTED: (Status.RUNNING, Status.ROLLBACK_FAILED),
    Status.ROLLBACK_FAILED: (Status.RUNNING, Status.SUCCEEDED),
}
"""Only a rollback can change an ending: of a release that had succeeded, or after a failed rollback."""

RETRIED = frozenset(
    {
        Status.INVALID,
        Status.REJECTED,
        Status.EXPIRED,
        Status.SUPERSEDED,
        Status.ROLLED_BACK,
        Status.ABORTED,
    }
)
"""Endings after which the same tag can have a new attempt: production is as it was before."""


def claim(ledger: Ledger, record: NewRelease, *, retry: Retry | None = None) -> tuple[str, ReleaseRecord]:
    """Claims the tag's next attempt for this execution: the first one, unless a retry asks for another.

    Returns the outcome and the release's record: "claimed"; "duplicate" if the same bytes were read before; "refused" for
    other bytes under a used tag, which is recorded as a fact; "declined" for a retry that is not possible.

    The same execution can call this twice and gets the same result.
    """
    if retry is not None:
        return _claim_again(ledger, record, retry)
    item = _new(ledger, record, attempt=1)
    try:
        if ledger.record(_read(item), ledger.put(_stored(item), only_if="attribute_not_exists(pk)")):
            return "claimed", item
    except Refused:
        pass  # it exists already: the same result as for an existing fact
    known = get(ledger, record["application"], record["tag"])
    if known["execution"] == record["execution"]:
        return "claimed", known
    if known["digest"] == record["digest"]:
        return "duplicate", known
    return _other_bytes(ledger, record, known)


def _claim_again(ledger: Ledger, record: NewRelease, retry: Retry) -> tuple[str, ReleaseRecord]:
    """An attempt can follow only the previous one, and only after its ending: the condition checks both."""
    known = _found(ledger, record["application"], record["tag"])
    if known and (known["execution"], known["attempt"]) == (record["execution"], retry.attempt):
        ledger.record(_read(known))
        return "claimed", known
    if known and known["digest"] != record["digest"]:
        return _other_bytes(ledger, record, known)
    item = _new(ledger, record, attempt=retry.attempt)
    if known:
        item["before"] = {
            "attempt": known["attempt"],
            "status": known["status"],
            "why": shorten(known.get("why", ""), 500),
        }
    if retry.attempt != (known["attempt"] if known else 0) + 1 or (known and retry_refused(known)):
        return "declined", known or item
    condition, values = "attribute_not_exists(pk)", {}
    if known:
        condition = "#status = :known AND #attempt = :attempt AND attribute_not_exists(#barred)"
        values = {":known": known["status"], ":attempt": known["attempt"]}
    fact = Fact(
        application=item["application"],
        tag=item["tag"],
        attempt=retry.attempt,
        name=FactKind.RELEASE_RETRIED,
        who=retry.by,
        execution=item["execution"],
        data={"why": retry.why, "after": known["status"] if known else ""},
    )
    try:
        recorded = ledger.record(fact, ledger.put(_stored(item), only_if=condition, values=values))
    except Refused:
        recorded = False
    if not recorded:  # another retry was faster
        return "declined", get(ledger, record["application"], record["tag"])
    ledger.record(_read(item))
    return "claimed", item


def retry_refused(record: ReleaseRecord) -> str:
    """Why this release cannot have a new attempt; empty if it can."""
    if is_proposal(record["tag"]):
        return "propose a configuration change again with `tagship apply`."
    if barred := record.get("barred"):
        return f"it has been barred since {barred['at']} and can never be deployed again: {barred['why']}"
    if record["status"] == Status.RUNNING:
        return "it is in progress."
    if record["status"] == Status.SUCCEEDED:
        return "it has already succeeded."
    if record["status"] not in RETRIED:
        return "its rollback failed. When the target is fixed, roll it back again; then you can retry it."
    return ""


def _new(ledger: Ledger, record: NewRelease, *, attempt: int) -> ReleaseRecord:
    now = timestamp(ledger.now())
    return cast("ReleaseRecord", {"status": Status.RUNNING, "attempt": attempt, "readAt": now, **record})


def _stored(record: ReleaseRecord) -> Item:
    key = {"pk": application_key(record["application"]), "sk": _key(record["tag"])}
    return {**key, "kind": "release", "open": "release", **record}


def _read(item: ReleaseRecord) -> Fact:
    manifest = item["manifest"]
    return Fact(
        application=item["application"],
        tag=item["tag"],
        attempt=item["attempt"],
        name=FactKind.CONFIGURATION_PROPOSED if is_proposal(item["tag"]) else FactKind.RELEASE_READ,
        execution=item["execution"],
        data={
            "digest": item["digest"],
            "author": manifest["author"] if manifest else "",
            "commit": manifest["commit"] if manifest else "",
            "createdAt": manifest["createdAt"] if manifest else "",
        },
    )


def _other_bytes(ledger: Ledger, record: NewRelease, known: ReleaseRecord) -> tuple[str, ReleaseRecord]:
    fact = Fact(
        application=known["application"],
        tag=known["tag"],
        attempt=known["attempt"],
        name=FactKind.TAG_ALREADY_USED,
        key=record["digest"][:16],
        execution=record["execution"],
        data={"known": known["digest"], "refused": record["digest"]},
    )
    ledger.record(fact)
    return "refused", known


def get(ledger: Ledger, application: str, tag: str) -> ReleaseRecord:
    """The release's current record.

    Raises ApplicationUnknown if the ledger has none.
    """
    record = _found(ledger, application, tag)
    if record is None:
        raise ApplicationUnknown(f"Release {application} {tag} is not in the ledger of stage {ledger.stage}.")
    return record


def read_ahead(ledger: Ledger, application: str, tag: str, *also: str) -> None:
    """Reads a release's record and more of its application, by sort key, with one request, for the reads that follow."""
    pk = application_key(application)
    ledger.read_ahead(*((pk, sk) for sk in (_key(tag), *also)))


def of_attempt(ledger: Ledger, release: ReleaseKey) -> ReleaseRecord:
    """The release's current record, if this attempt is the current one.

    Raises LockLost if the tag has a newer attempt: the call is late.
    """
    record = get(ledger, release["application"], release["tag"])
    if record["attempt"] != release["attempt"]:
        raise LockLost(
            f"{release['application']} {release['tag']}: attempt {record['attempt']} has started meanwhile. This call, "
            "for an earlier attempt, changed nothing."
        )
    return record


def _found(ledger: Ledger, application: str, tag: str) -> ReleaseRecord | None:
    item = ledger.get(application_key(application), _key(tag))
    return _record(item) if item else None


def _record(item: Item) -> ReleaseRecord:
    return cast("ReleaseRecord", {name: value for name, value in item.items() if name not in _STORED})


def current(ledger: Ledger, application: str) -> CurrentRecord | None:
    """The release in production, according to the ledger; None before the first release, and after its rollback."""
    item = ledger.get(application_key(application), CURRENT)
    return cast("CurrentRecord", item) if item and "tag" in item else None


def mark(ledger: Ledger, fact: Fact, **attributes: Any) -> bool:
    """Records a fact, and its change to a release that is still running; False if it was recorded before.

    Raises LockLost if the release has ended meanwhile: a late call must not change anything.
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
            f"{fact.application} {fact.tag}: the release has already ended. {fact.name} was not recorded, and "
            "this release can no longer change anything."
        ) from refused


def end(
    ledger: Ledger,
    *,
    application: str,
    tag: str,
    status: Status,
    why: str,
    execution: str,
    attempt: int,
    who: str = "tagship",
    serves: CurrentRecord | None = None,
    data: Mapping[str, object] | None = None,
    only_in: str = "",
    also: Sequence[Change] = (),
    unless_moved: bool = False,
    known: ReleaseRecord | None = None,
) -> bool:
    """Writes the ending with its fact, releases the lock (keeps it for ROLLBACK_FAILED), and updates the current release.

    `serves` is the new current release; after the rollback of the current one, it is its predecessor. `attempt` is the
    one that ends: a late call that finds a newer attempt ends nothing. `also` is written with the ending. `known` is the
    record that the caller has just read; the write is refused if it has changed, and it is read again.

    False if the release has an ending already: the first one is final. Also False if it is not, or no longer, in the
    phase `only_in`; with `unless_moved`, if its traffic has moved; and if someone else must end it: while a rollback is
    running, others can only alert a person, and a release that has lost the lock cannot succeed.
    """
    for _ in range(_TRIES):
        record, known = known or get(ledger, application, tag), None
        if record["status"] not in _MAY_END_AS[status] or record["attempt"] != attempt:
            if record["status"] == status == Status.ROLLBACK_FAILED and record["attempt"] == attempt:
                _keep_lock(ledger, record, execution)
            return False
        if (only_in and record.get("phase") != only_in) or (unless_moved and record.get("moved")):
            return False
        present = lock.holder(ledger, application)
        if _is_anothers(ledger, present, record, status, execution):
            return False
        locked_by = record.get("lockedBy")
        fact = Fact(
            application=application,
            tag=tag,
            attempt=record["attempt"],
            name=ENDINGS[status],
            who=who,
            execution=execution,
            data={
                "status": status,
                "why": why,
                "readAt": record["readAt"],
                "after": record["status"],
                "moved": bool(record.get("moved")),
                **(data or {}),
            },
        )
        changes = [
            ledger.update(
                application_key(application),
                _key(tag),
                only_if="#status = :known AND #attempt = :attempt"
                + (" AND #phase = :phase" if only_in else "")
                + (" AND attribute_not_exists(#moved)" if unless_moved else "")
                # A waiting release has no lock to release: a rollback that takes it for this release must be detected here.
                + (" AND #lockedBy = :lockedBy" if locked_by else " AND attribute_not_exists(#lockedBy)"),
                values={":known": record["status"], ":attempt": attempt}
                | ({":phase": only_in} if only_in else {})
                | ({":lockedBy": locked_by} if locked_by else {}),
                remove=("open",),
                status=status,
                why=why,
                endedAt=timestamp(ledger.now()),
            ),
            *_lock_change(ledger, present, record, status),
            *_current_change(ledger, application, record, status, serves),
            *also,
        ]
        try:
            return ledger.record(fact, *changes)
        except Refused:
            continue  # the ending was written, or the lock was taken, between our read and our write: read again
    raise LedgerBusy(f"{application} {tag}: its outcome {status} could not be written in {_TRIES} attempts.")


def delay(ledger: Ledger, record: ReleaseRecord, *, why: str, opens: str) -> None:
    """Records that an approved release waits for its window; recorded again whenever the reason for waiting changes.

    Raises LockLost if the release has ended, or begun, meanwhile.
    """
    now = timestamp(ledger.now())
    before = record.get("waits")
    waits: Waits = {"since": before["since"] if before else now, "opens": opens, "why": why}
    if before == waits:
        return
    change = ledger.update(
        application_key(record["application"]),
        _key(record["tag"]),
        only_if="#status = :running AND #attempt = :attempt AND #phase <> :deployment",
        values={":running": Status.RUNNING, ":attempt": record["attempt"], ":deployment": BEGUN},
        phase=DELAYED,
        waits=waits,
    )
    fact = _fact_of(record, FactKind.DEPLOYMENT_DELAYED, key=now, data={"why": why, "opens": opens})
    try:
        ledger.record(fact, change)
    except Refused as refused:
        raise LockLost(
            f"{record['application']} {record['tag']}: the release has already ended; it no longer waits."
        ) from refused


def override_calendar(ledger: Ledger, record: ReleaseRecord, *, closed: str) -> None:
    """Records that an emergency is deployed although it is frozen or no window is open, and the reason for it."""
    manifest = manifest_of(record)
    data = {"why": manifest.get("emergency", ""), "author": manifest["author"], "closed": closed}
    ledger.record(_fact_of(record, FactKind.CALENDAR_OVERRIDDEN, data=data))


def _fact_of(record: ReleaseRecord, name: FactKind, *, data: Mapping[str, object], key: str = "") -> Fact:
    return Fact(
        application=record["application"],
        tag=record["tag"],
        attempt=record["attempt"],
        name=name,
        key=key,
        execution=record["execution"],
        data=data,
    )


def ending_of(ledger: Ledger, application: str, tag: str, attempt: int) -> FactRecord | None:
    """The newest ending of an attempt, as a fact, with the release's record of that time, whatever the tag did since."""
    found = [ledger.fact(application, tag, attempt, name) for name in ENDING_KINDS]
    return max((fact for fact in found if fact), key=lambda fact: int(fact["seq"]), default=None)


def about(ledger: Ledger, fact: FactRecord) -> Known:
    """The release that a fact is about, with the configuration that applies to it.

    A freeze is about no release: it gets the configuration of the current release, if any.

    Raises ApplicationUnknown if the ledger has no record of the fact's release.
    """
    if fact["tag"]:
        return cast("Known", get(ledger, fact["application"], fact["tag"]))
    running = current(ledger, fact["application"])
    configuration = get(ledger, fact["application"], running["tag"])["configuration"] if running else None
    return {"configuration": configuration}


def moving(
    ledger: Ledger,
    *,
    application: str,
    tag: str,
    attempt: int,
    step: int,
    only_while: Sequence[Change] = (),
) -> None:
    """Records, before the change, that the step with this index begins and traffic may move from here on: if this release
    dies, its baseline is restored.

    `only_while` is written with it; Refused if one of its conditions fails.

    Raises PauseOrdered if the rollout pauses before this step, LockLost if the release has ended meanwhile.
    """
    change = ledger.update(
        application_key(application),
        _key(tag),
        only_if="#status = :running AND #attempt = :attempt AND "
        "(attribute_not_exists(#pauseBefore) OR #pauseBefore > :step)",
        values={":running": Status.RUNNING, ":attempt": attempt, ":step": step},
        moved=True,
        step=step,
    )
    try:
        ledger.write(change, *only_while)
    except Refused as refused:
        if refused.index:
            raise
        known = get(ledger, application, tag)
        if (known["status"], known["attempt"]) == (Status.RUNNING, attempt):
            raise PauseOrdered(
                f"{application} {tag}: the rollout pauses before step {step + 1}. No further traffic was moved."
            ) from refused
        raise LockLost(
            f"{application} {tag}: the release has already ended; no traffic was moved."
        ) from refused


def standing(
    ledger: Ledger,
    *,
    application: str,
    tag: str,
    attempt: int,
    status: str,
    execution: str,
    **attributes: Any,
) -> Change:
    """The condition that an attempt is unchanged since it was read, for the transaction that takes the lock for it.

    Otherwise a very late call would lock the application for a release that has ended. `attributes` change with it.
    """
    return ledger.update(
        application_key(application),
        _key(tag),
        only_if="#status = :status AND #attempt = :attempt",
        values={":status": status, ":attempt": attempt},
        lockedBy=execution,
        **attributes,
    )


def roll_back_refused(ledger: Ledger, record: ReleaseRecord) -> str:
    """Why this release cannot be rolled back now; empty if it can.

    Possible for a release in progress, one that ended ROLLBACK_FAILED, and the current one. The baseline of any other is
    outdated: restoring it would undo a later release.
    """
    if is_proposal(record["tag"]):
        return "it is a configuration change: propose the previous configuration with `tagship apply`."
    never_planned = "" if record.get("plan") else "it was never planned, so it has changed nothing."
    if record["status"] == Status.RUNNING:
        return never_planned
    running = current(ledger, record["application"])
    adopted = running.get("adopted") if running else None
    if adopted and adopted["foreign"]:
        why = adopted["why"].rstrip(".")
        return f"its version no longer serves traffic. {adopted['by']} adopted the version that does ({why})."
    if record["status"] == Status.ROLLBACK_FAILED:
        return never_planned
    if record["status"] == Status.SUCCEEDED and running and running["tag"] == record["tag"]:
        return ""
    now = f"{running['tag']} is deployed now" if running else "no release is deployed now"
    return f"it ended {record['status']}, and {now}."


def unsafe_to_roll_back(record: ReleaseRecord) -> str:
    """Why the previous version cannot work after this release, according to its manifest; empty if it can."""
    manifest = record.get("manifest")
    return str(manifest.get("rollbackUnsafe", "")) if manifest else ""


def go_back_refused(record: ReleaseRecord, other: ReleaseRecord) -> str:
    """Why this release cannot be rolled back to that one; empty if it can.

    That one must have succeeded on the same target, and not been rolled back. A release in progress can only go back one
    step.
    """
    if record["status"] == Status.RUNNING:
        return f"{record['tag']} is in progress; roll it back first."
    if is_proposal(other["tag"]):
        return f"{other['tag']} is a configuration change."
    if other["tag"] == record["tag"]:
        return "that is the release being rolled back."
    if other["status"] != Status.SUCCEEDED:
        return f"{other['tag']} ended {other['status']}."
    if _place(record) != _place(other):
        return f"{other['tag']} was released to a different target."
    return ""


def _place(record: ReleaseRecord) -> Item:
    """The identity of the target, without the role that changes it."""
    target = document_of(record)["target"]
    return {name: value for name, value in target.items() if name not in ("role", "externalId")}


def turn_back(ledger: Ledger, fact: Fact, **attributes: Any) -> bool:
    """Records that a rollback begins, or a bar, with its change to the release: what is restored, that it is barred.

    False if it was recorded before.

    Raises LockLost if the tag has a newer attempt meanwhile.
    """
    change = ledger.update(
        application_key(fact.application),
        _key(fact.tag),
        only_if="#attempt = :attempt",
        values={":attempt": fact.attempt},
        **attributes,
    )
    try:
        return ledger.record(fact, *([change] if attributes else []))
    except Refused as refused:
        raise LockLost(
            f"{fact.application} {fact.tag}: it has already started again. Nothing was changed."
        ) from refused


def open_ones(ledger: Ledger) -> list[ReleaseRecord]:
    """The records of all releases that have not ended, of any application."""
    found = (ledger.get(str(item["pk"]), str(item["sk"])) for item in ledger.open_of("release"))
    return [_record(item) for item in found if item and item["status"] == Status.RUNNING]


def waiting(ledger: Ledger, application: str, *, but: str = "") -> list[ReleaseRecord]:
    """An application's releases that wait for people or for their window, `but` one; they do not hold the lock."""
    pk = application_key(application)
    others = [
        item["sk"] for item in ledger.open_of("release") if item["pk"] == pk and item["sk"] != _key(but)
    ]
    found = [ledger.get(pk, str(sk)) for sk in others]
    records = [_record(item) for item in found if item and item["status"] == Status.RUNNING]
    return [each for each in records if each["phase"] in (ASKED, DELAYED) and not is_proposal(each["tag"])]


def refuse_ended(record: ReleaseRecord, attempt: int) -> None:
    """Raises LockLost for an attempt that is no longer running."""
    if (record["status"], record["attempt"]) != (Status.RUNNING, attempt):
        raise LockLost(
            f"{record['application']} {record['tag']}: the release has already ended. No lock was taken for it."
        )


def take_lock(
    ledger: Ledger,
    record: ReleaseRecord,
    *,
    attempt: int,
    execution: str,
    seconds: int,
    details: Mapping[str, Any] | None = None,
) -> lock.Lock:
    """Takes the lock for an attempt that is still running, or extends its lease.

    Raises LockLost for one that has ended, LockHeld while another release has the lock, LockKept if it is kept for a
    person.
    """
    application, tag = record["application"], record["tag"]
    refuse_ended(record, attempt)
    running = standing(
        ledger,
        application=application,
        tag=tag,
        attempt=attempt,
        status=Status.RUNNING,
        execution=execution,
    )
    try:
        return lock.acquire(
            ledger,
            application=application,
            tag=tag,
            attempt=attempt,
            execution=execution,
            seconds=seconds,
            details=details,
            only_while=[running],
        )
    except LockHeld as error:
        if words := _paused_before(ledger, record):
            raise LockHeld(f"{error} {words}") from error
        raise


def _paused_before(ledger: Ledger, record: ReleaseRecord) -> str:
    """What people can do if the release that has the lock is paused: it may keep the lock longer than others wait."""
    application, holder = record["application"], lock.holder(ledger, record["application"])
    if holder is None or holder.tag == record["tag"]:
        return ""
    other = get(ledger, application, holder.tag)
    pause, named = other.get("pause"), f"{application} {holder.tag}"
    if pause is None or pause["state"] != "open":
        return ""
    return (
        f"The rollout of {holder.tag} is paused at {other.get('percent', 0)} % and waits for a person until "
        f"{moment(pause['until']):%Y-%m-%d %H:%M} UTC. Continue it (tagship resume {named} --stage {ledger.stage}), roll it "
        f"back (tagship rollback {named} --stage {ledger.stage}) or stop it (tagship abort {named} --stage {ledger.stage}); "
        f"then retry {record['tag']} if it has ended."
    )


def since(ledger: Ledger, release: ReleaseKey, *, key: str = "", **facts: FactKind) -> dict[str, str]:
    """When each of these facts happened to a release, by the name of the duration that it began; missing ones are left
    out.
    """
    found = {
        name: ledger.fact(release["application"], release["tag"], release["attempt"], fact, key)
        for name, fact in facts.items()
    }
    return {name: fact["at"] for name, fact in found.items() if fact}


def _is_anothers(
    ledger: Ledger, present: lock.Holder | None, record: ReleaseRecord, status: Status, execution: str
) -> bool:
    if present is not None and present.execution == execution:
        return False
    if status is Status.SUCCEEDED:
        # What took the lock and no longer has it: its lease expired, and another release may have come and gone meanwhile.
        return present is not None or "lockedBy" in record
    if present is None:
        return False
    ours = (present.tag, present.attempt) == (record["tag"], record["attempt"])
    if (
        status is Status.ROLLBACK_FAILED
    ):  # alerting a person is always possible, and so is the success of a later rollback
        return False
    return ours and present.rolls_back(ledger.now())


def _keep_lock(ledger: Ledger, record: ReleaseRecord, execution: str) -> None:
    """Keeps the lock of a further rollback that failed too: the one before may have ended without the lock."""
    present = lock.holder(ledger, record["application"])
    if present is not None and present.execution == execution and not present.kept:
        with suppress(Refused):  # a newer rollback has it
            ledger.write(lock.kept(ledger, application=record["application"], fence=present.fence))


def _lock_change(
    ledger: Ledger, present: lock.Holder | None, record: ReleaseRecord, status: Status
) -> list[Change]:
    if present is None or (present.tag, present.attempt) != (record["tag"], record["attempt"]):
        return []
    application = record["application"]
    if status is Status.ROLLBACK_FAILED:
        return [lock.kept(ledger, application=application, fence=present.fence)]
    return [lock.freed(ledger, application=application, fence=present.fence)]


def _current_change(
    ledger: Ledger, application: str, record: ReleaseRecord, status: Status, serves: CurrentRecord | None
) -> list[Change]:
    pk = application_key(application)
    if status in (Status.ROLLED_BACK, Status.ABORTED):
        present = current(ledger, application)
        if present is None or (present["tag"], present["attempt"]) != (record["tag"], record["attempt"]):
            return []
        before = record.get("replaces")
        # It serves again from now on, not since its own deployment.
        again: CurrentRecord | None = {**before, "since": timestamp(ledger.now())} if before else None
        return [_currently(ledger, pk, again)]
    return [_currently(ledger, pk, serves)] if serves is not None else []


def _currently(ledger: Ledger, pk: str, serves: CurrentRecord | None) -> Change:
    return ledger.put({**({} if serves is None else serves), "pk": pk, "sk": CURRENT, "kind": "current"})


def currently(ledger: Ledger, serves: CurrentRecord, *, before: CurrentRecord | None) -> Change:
    """Replaces the current release, if it is still the one that was read."""
    item = {**serves, "pk": application_key(serves["application"]), "sk": CURRENT, "kind": "current"}
    if before is None:
        return ledger.put(item, only_if="attribute_not_exists(#since)")
    return ledger.put(item, only_if="#since = :since", values={":since": before["since"]})


def every(ledger: Ledger, application: str) -> list[ReleaseRecord]:
    """The records of all releases of an application."""
    return [_record(item) for item in ledger.query(application_key(application), _key(""))]


def _key(tag: str) -> str:
    return f"RELEASE#{tag}"
