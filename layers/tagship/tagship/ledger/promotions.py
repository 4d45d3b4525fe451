"""Promotions to the next stage: opened with the release's success, ended once, by a fact."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import cast

from tagship.ledger.table import Change, Fact, Ledger, Refused, application_key
from tagship.model.facts import FactKind
from tagship.model.records import FactRecord, PromotionRecord, ReleaseKey

_CHANGES = (
    FactKind.RELEASE_SUCCEEDED,
    FactKind.BASELINE_ADOPTED,
    FactKind.ALARM_FIRED,
    FactKind.ROLLBACK_TRIGGERED,
)
"""Facts that can end a release's time as the healthy, current one."""


def opened(ledger: Ledger, release: ReleaseKey, *, to: str, since: str, due: str) -> Change:
    """The change for the transaction that writes the success. Another attempt of the same tag starts again."""
    return ledger.put(
        {
            "pk": application_key(release["application"]),
            "sk": _key(release["tag"]),
            "kind": "promotion",
            "open": "promotion",
            "application": release["application"],
            "tag": release["tag"],
            "attempt": release["attempt"],
            "to": to,
            "since": since,
            "due": due,
        }
    )


def get(ledger: Ledger, application: str, tag: str) -> PromotionRecord | None:
    """A release's promotion, if it has one; `ended` is in it once it is over."""
    found = ledger.get(application_key(application), _key(tag))
    return cast("PromotionRecord | None", found)


def open_ones(ledger: Ledger) -> Iterator[PromotionRecord]:
    """Every open promotion, of all applications."""
    for item in ledger.open_of("promotion"):
        found = ledger.get(str(item["pk"]), str(item["sk"]))
        if found and "open" in found:
            yield cast("PromotionRecord", found)


def sending(ledger: Ledger, promotion: PromotionRecord) -> bool:
    """Records, before it happens, that the manifest may be in the next stage. Returns False if the promotion has ended."""
    try:
        ledger.write(_changed(ledger, promotion, sending=True))
    except Refused:
        return False
    return True


def fact_of(promotion: PromotionRecord, name: FactKind, *, data: Mapping[str, object]) -> Fact:
    """How it ended."""
    return Fact(
        application=promotion["application"],
        tag=promotion["tag"],
        attempt=promotion["attempt"],
        name=name,
        data={"to": promotion["to"], "since": promotion["since"], "due": promotion["due"], **data},
    )


def end(ledger: Ledger, promotion: PromotionRecord, fact: Fact) -> bool:
    """Ends it with a fact, once; returns False if it had already ended."""
    try:
        return ledger.record(fact, _changed(ledger, promotion, remove=("open",), ended=str(fact.name)))
    except Refused:
        return False


def since_success(ledger: Ledger, promotion: PromotionRecord) -> Iterator[FactRecord]:
    """The application's facts since this release succeeded, newest first: only those that may prevent the promotion.

    The success is found by its key, not by its name, so an appended second success can't hide an alarm.
    """
    application, tag, attempt = promotion["application"], promotion["tag"], promotion["attempt"]
    own = ledger.fact(application, tag, attempt, FactKind.RELEASE_SUCCEEDED)
    after = int(own["seq"]) if own else 0
    yield from ledger.facts_in_order(application, after=after, newest_first=True, only=_CHANGES)


def _changed(
    ledger: Ledger, promotion: PromotionRecord, *, remove: tuple[str, ...] = (), **attributes: object
) -> Change:
    """While it is open, and of this attempt."""
    return ledger.update(
        application_key(promotion["application"]),
        _key(promotion["tag"]),
        only_if="attribute_exists(#open) AND #attempt = :attempt",
        values={":attempt": promotion["attempt"]},
        remove=remove,
        **attributes,
    )


def _key(tag: str) -> str:
    return f"PROMOTION#{tag}"
