"""Adopts the current version: someone changed the target by hand, and an operator makes that the baseline of the next
release.
"""

from __future__ import annotations

from collections.abc import Mapping

from tagship.ledger import lock, releases
from tagship.ledger.table import Fact, Ledger, Refused, timestamp
from tagship.model.errors import AdoptionRefused
from tagship.model.facts import FactKind
from tagship.model.records import CurrentRecord, ReleaseRecord, Revision
from tagship.model.release import Status


def adopt(ledger: Ledger, application: str, serving: Revision, *, who: str, why: str) -> CurrentRecord:
    """The new current release in the ledger. A lock that was kept after a failed rollback is released with it.

    Raises AdoptionRefused if there is nothing to adopt, while a release is in progress, and for a barred release.
    """
    current, present = releases.current(ledger, application), lock.holder(ledger, application)
    if current is None and not (present and present.kept):
        raise AdoptionRefused(
            f"Tagship has deployed no release of {application}, so there is nothing to adopt: the next release "
            "uses the version that serves traffic as its baseline. Nothing was changed."
        )
    if present is not None and not present.kept:
        raise AdoptionRefused(
            f"{application} {present.tag} is in progress. Wait until it ends, or stop it with `tagship abort`. "
            "Nothing was changed."
        )
    if current and present is None and _is_same(current["revision"], serving):
        raise AdoptionRefused(
            f"There is nothing to adopt: according to the ledger {application} runs {current['tag']}, and that "
            "is what serves traffic. Nothing was changed."
        )
    release = _release_of(ledger, application, serving)
    known = release or current or releases.get(ledger, application, present.tag if present else "")
    adopted: CurrentRecord = {
        "application": application,
        "tag": known["tag"],
        "attempt": known["attempt"],
        "revision": serving,
        "since": timestamp(ledger.now()),
        "watchEnds": "",
        "adopted": {"by": who, "why": why, "foreign": _is_foreign(release)},
    }
    data = {
        "why": why,
        "serves": serving["id"],
        "tag": "" if adopted["adopted"]["foreign"] else adopted["tag"],
        "before": current["tag"] if current else "",
        "beforeServed": current["revision"]["id"] if current else "",
        "unlocked": present.tag if present else "",
    }
    fact = Fact(
        application=application,
        tag=adopted["tag"],
        attempt=adopted["attempt"],
        name=FactKind.BASELINE_ADOPTED,
        key=adopted["since"],
        who=who,
        data=data,
    )
    changes = [
        releases.currently(ledger, adopted, before=current),
        *([lock.freed(ledger, application=application, fence=present.fence)] if present else []),
    ]
    try:
        ledger.record(fact, *changes)
    except Refused as refused:
        raise AdoptionRefused(
            f"A release or a rollback of {application} has just changed what is deployed. Nothing was "
            "adopted. Run the command again."
        ) from refused
    return adopted


def _is_foreign(release: ReleaseRecord | None) -> bool:
    """Whether no successful release made it. Raises AdoptionRefused for a barred one."""
    if release is not None and (barred := release.get("barred")):
        raise AdoptionRefused(
            f"{release['application']} {release['tag']} serves traffic, but it is barred: {barred['why']} "
            "Deploy another version by hand first. Nothing was changed."
        )
    return release is None or release["status"] != Status.SUCCEEDED


def _release_of(ledger: Ledger, application: str, serving: Revision) -> ReleaseRecord | None:
    """The newest release that made exactly this revision; None if none did."""
    made = [
        record
        for record in releases.every(ledger, application)
        if any(_is_same(standing["candidate"], serving) for standing in record.get("standing") or ())
    ]
    return max(made, key=lambda record: str(record["readAt"]), default=None)


def _is_same(one: Mapping[str, object], other: Mapping[str, object]) -> bool:
    return (one["id"], one["data"]) == (other["id"], other["data"])
