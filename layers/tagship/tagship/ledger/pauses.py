"""Pauses of a rollout: ordered, opened, ended. The release's record has the latest one, and `pauseBefore` holds a step back.

The order and the step that it holds back write the same item, so one of them comes first: an order is accepted exactly when
the step has not begun.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any, Literal

from tagship.ledger import releases
from tagship.ledger.table import Change, Fact, Ledger, Refused, application_key, timestamp
from tagship.model.errors import ApprovalClosed, LedgerBusy
from tagship.model.facts import FactKind
from tagship.model.pausing import MOST_PAUSES, paused_seconds
from tagship.model.records import PauseRecord, PauseTerms, ReleaseRecord, RequestRecord
from tagship.model.release import Status

_TRIES = 5


def next_step(record: ReleaseRecord) -> int:
    """The index of the step that a pause ordered now holds back; traffic moves once before the first one."""
    return max(1, record.get("step", 0) + 1)


def refused(record: ReleaseRecord) -> str:
    """Why the rollout of this release can no longer pause; empty if it can."""
    title = f"{record['application']} {record['tag']}"
    if record["status"] != Status.RUNNING:
        return f"{title} has already ended {record['status']}."
    if record.get("phase") != releases.BEGUN:
        return (
            f"The deployment of {title} has not begun (phase: {record.get('phase', 'beginning')}). To keep it from "
            "beginning, reject it or freeze the application."
        )
    steps = record["plan"]["steps"]
    if next_step(record) >= len(steps):
        return f"{title} has begun its last step, so there is nothing left to pause before."
    known = record.get("pause")
    ahead = sum("pause" in step for step in steps[next_step(record) : -1])
    if (known["number"] if known else 0) + ahead >= MOST_PAUSES:
        return f"{title} can pause at most {MOST_PAUSES} times, and its strategy needs the rest."
    return ""


def order(ledger: Ledger, record: ReleaseRecord, terms: PauseTerms, *, who: str, why: str) -> PauseRecord:
    """Holds the next step back until people answer. A pause that is ordered or open already stays as it is.

    `record` is the release as the caller has read it.

    Raises ApprovalClosed, with the reason, if the rollout can no longer pause.
    """
    for _ in range(_TRIES):
        known = record.get("pause")
        if known and known["state"] in ("ordered", "open") and record["status"] == Status.RUNNING:
            return known
        if reason := refused(record):
            raise ApprovalClosed(reason)
        begun = record.get("step")
        pause: PauseRecord = {
            "number": known["number"] + 1 if known else 1,
            "before": next_step(record),
            "state": "ordered",
            "by": who,
            "why": why,
            "timeout": terms["timeout"],
            "onTimeout": terms["onTimeout"],
        }
        change = _update(
            ledger,
            record,
            only_if="#status = :running AND #phase = :begun AND attribute_not_exists(#pauseBefore) AND "
            + ("attribute_not_exists(#step)" if begun is None else "#step = :step"),
            values={":running": Status.RUNNING, ":begun": releases.BEGUN}
            | ({} if begun is None else {":step": begun}),
            pause=pause,
            pauseBefore=pause["before"],
        )
        fact = _fact(
            record,
            FactKind.PAUSE_ORDERED,
            pause["number"],
            who=who,
            data={"why": why, "before": pause["before"], **terms},
        )
        try:
            if ledger.record(fact, change):
                return pause
        except Refused:
            pass  # the step has just begun, the release has ended, or somebody else ordered a pause: read again
        record = releases.get(ledger, record["application"], record["tag"])
    raise LedgerBusy(
        f"{record['application']} {record['tag']}: the pause could not be written in {_TRIES} attempts."
    )


def withdraw(ledger: Ledger, record: ReleaseRecord, *, who: str, why: str) -> bool:
    """Takes back an order whose pause has not begun; False if it has begun or ended meanwhile."""
    pause = record.get("pause")
    if pause is None or pause["state"] != "ordered":
        return False
    change = _update(
        ledger,
        record,
        only_if="#pause.#number = :number AND #pause.#state = :ordered",
        values={":number": pause["number"], ":ordered": "ordered"},
        remove=("pauseBefore",),
        pause={**pause, "state": "withdrawn", "endedBy": who, "endedBecause": why},
    )
    data = {"decision": "approve", "reason": why, "withdrawn": True}
    fact = _fact(record, FactKind.ROLLOUT_RESUMED, pause["number"], who=who, data=data)
    try:
        return ledger.record(fact, change)
    except Refused:
        return False


def opens(ledger: Ledger, record: ReleaseRecord, pause: PauseRecord) -> Change:
    """The change to a release whose pause begins, for the transaction that opens the request.

    It is refused if the release has ended, or the pause was ordered or withdrawn meanwhile.
    """
    known = record.get("pause")
    ordered = known is not None and known["number"] == pause["number"]
    return _update(
        ledger,
        record,
        only_if="#status = :running AND "
        + (
            "#pause.#number = :number AND #pause.#state = :ordered"
            if ordered
            else "attribute_not_exists(#pauseBefore)"
        ),
        values={":running": Status.RUNNING}
        | ({":number": pause["number"], ":ordered": "ordered"} if ordered else {}),
        pause=pause,
        pauseBefore=pause["before"],
    )


def ends(
    ledger: Ledger, request: RequestRecord, state: Literal["continued", "rejected"], *, who: str, why: str
) -> list[Change]:
    """The change to a release whose pause ends, for the transaction that answers its request; none if it is no pause's.

    A rejected pause still holds the next step back: nothing but the rollback follows.

    Raises ApprovalClosed if the release has ended, or the pause is no longer open.
    """
    terms = request.get("pause")
    if terms is None:
        return []
    record = releases.get(ledger, request["application"], request["tag"])
    pause = record.get("pause")
    over = (record["status"], record["attempt"]) != (Status.RUNNING, request["attempt"])
    if over or pause is None or (pause["number"], pause["state"]) != (terms["number"], "open"):
        raise ApprovalClosed("The pause has ended.")
    return [
        _update(
            ledger,
            record,
            only_if="#pause.#number = :number AND #pause.#state = :open",
            values={":number": pause["number"], ":open": "open"},
            remove=("pauseBefore",) if state == "continued" else (),
            pause={**pause, "state": state, "endedBy": who, "endedBecause": why},
            pausedSeconds=paused_seconds(record, ledger.now()),
        )
    ]


def asked_at(ledger: Ledger, *, seconds: int) -> dict[str, str]:
    """When a pause that begins now began, and when it ends."""
    now = ledger.now()
    return {"since": timestamp(now), "until": timestamp(now + timedelta(seconds=seconds))}


def _update(
    ledger: Ledger,
    record: ReleaseRecord,
    *,
    only_if: str,
    values: Mapping[str, object],
    remove: tuple[str, ...] = (),
    **attributes: Any,
) -> Change:
    return ledger.update(
        application_key(record["application"]),
        f"RELEASE#{record['tag']}",
        only_if=f"#attempt = :attempt AND {only_if}",
        values={":attempt": record["attempt"], **values},
        remove=remove,
        **attributes,
    )


def _fact(
    record: ReleaseRecord, name: FactKind, number: int, *, who: str, data: Mapping[str, object]
) -> Fact:
    return Fact(
        application=record["application"],
        tag=record["tag"],
        attempt=record["attempt"],
        name=name,
        key=key_of(number),
        who=who,
        execution=record["execution"],
        data={"number": number, **data},
    )


def key_of(number: int, key: str = "") -> str:
    """The key of a fact about a pause: an attempt can have several."""
    return f"pause {number} {key}".strip()
