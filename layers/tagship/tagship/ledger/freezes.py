"""Freezes: times in which one application, or every application, must not be deployed. They are lifted, never deleted."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import replace
from datetime import date, datetime

from tagship.ledger.table import Fact, Item, Ledger, Refused, application_key, timestamp
from tagship.model.facts import FactKind
from tagship.model.recurrence import Recurrence
from tagship.model.schedule import EVERY_APPLICATION, Freeze


def standing(ledger: Ledger, application: str) -> tuple[Freeze, ...]:
    """The freezes that apply to an application now or later: its own and those of all applications, sorted by their
    beginning.
    """
    scopes = dict.fromkeys((application, EVERY_APPLICATION))
    found = [freeze for scope in scopes for freeze in of(ledger, scope)]
    return tuple(sorted(found, key=lambda freeze: (freeze.starts, freeze.id)))


def of(ledger: Ledger, scope: str) -> Iterator[Freeze]:
    """The freezes of one application, or of EVERY_APPLICATION, that were not lifted and have not ended."""
    now = ledger.now()
    for item in ledger.query(application_key(scope), "FREEZE#"):
        freeze = _freeze(item, now)
        if "liftedAt" not in item and freeze.ends > now:
            yield freeze


def freeze(ledger: Ledger, requested: Freeze) -> tuple[Freeze, bool]:
    """Records a freeze. Returns its record, and whether it is new.

    If one with the same end and reason exists, whoever made it, that one is returned: a second run does nothing.
    """
    for known in of(ledger, requested.application):
        if is_same(known, requested):
            return known, False
    requested = _with_new_id(ledger, requested)
    fact = _fact(
        requested,
        FactKind.FROZEN,
        who=requested.author,
        data={
            "why": requested.reason,
            "starts": timestamp(requested.starts),
            "ends": timestamp(requested.ends),
            **({"again": requested.again.rule} if requested.again else {}),
        },
    )
    item = {
        "pk": application_key(requested.application),
        "sk": _key(requested.id),
        "kind": "freeze",
        "id": requested.id,
        "application": requested.application,
        "author": requested.author,
        "reason": requested.reason,
        "starts": timestamp(requested.starts),
        "ends": timestamp(requested.ends),
        **({"calendar": requested.calendar} if requested.calendar else {}),
        **(_stored(requested.again) if requested.again else {}),
    }
    return requested, ledger.record(fact, ledger.put(item, only_if="attribute_not_exists(pk)"))


def _with_new_id(ledger: Ledger, requested: Freeze) -> Freeze:
    """A lifted freeze stays lifted: what is frozen again, with the same times and reason, is another one."""
    pk = application_key(requested.application)
    while lifted := (ledger.get(pk, _key(requested.id)) or {}).get("liftedAt"):
        source = f"{requested.id} {lifted}"
        requested = replace(requested, id=hashlib.sha256(source.encode()).hexdigest()[:8])
    return requested


def is_same(known: Freeze, requested: Freeze) -> bool:
    """Whether a recorded freeze is what is requested: with this reason until this end, or with this rule."""
    same = (known.ends, known.reason, known.again) == (requested.ends, requested.reason, requested.again)
    return same and known.starts <= requested.starts


def unfreeze(ledger: Ledger, known: Freeze, *, author: str, reason: str) -> bool:
    """Ends a freeze now; False if it was lifted before."""
    now = ledger.now()
    fact = _fact(
        known,
        FactKind.UNFROZEN,
        who=author,
        data={"why": reason, "frozenBecause": known.reason, "wouldHaveEnded": timestamp(known.ends)},
    )
    change = ledger.update(
        application_key(known.application),
        _key(known.id),
        only_if="attribute_exists(pk) AND attribute_not_exists(#liftedAt)",
        liftedAt=timestamp(now),
        liftedBy=author,
        liftedBecause=reason,
    )
    try:
        return ledger.record(fact, change)
    except Refused:
        return False


def _freeze(item: Item, now: datetime) -> Freeze:
    """Its record; for one that repeats, with the current or next time."""
    starts, ends, again = _moment(item["starts"]), _moment(item["ends"]), None
    if "rule" in item:
        again = Recurrence(
            rule=item["rule"],
            zone=item["zone"],
            first=date.fromisoformat(item["first"]),
            days=int(item["days"]),
        )
        starts, ends = again.next(now) or (starts, ends)
    return Freeze(
        id=item["id"],
        application=item["application"],
        reason=item["reason"],
        author=item["author"],
        starts=starts,
        ends=ends,
        again=again,
        calendar=item.get("calendar", ""),
    )


def _stored(again: Recurrence) -> dict[str, str | int]:
    return {"rule": again.rule, "zone": again.zone, "first": again.first.isoformat(), "days": again.days}


def _fact(freeze: Freeze, name: FactKind, *, who: str, data: dict[str, str]) -> Fact:
    """It concerns no release: its tag is empty."""
    return Fact(
        application=freeze.application, tag="", attempt=0, name=name, key=freeze.id, who=who, data=data
    )


def _moment(text: str) -> datetime:
    return datetime.fromisoformat(text)


def _key(freeze_id: str) -> str:
    return f"FREEZE#{freeze_id}"
