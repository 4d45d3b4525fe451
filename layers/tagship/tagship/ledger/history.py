"""An application's releases, newest first, read only as far back as needed: with queries, never a scan."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import cast

from tagship.ledger.table import Ledger, application_key
from tagship.model.facts import ENDING_KINDS, FactKind
from tagship.model.records import FactRecord, ReleaseRecord

SUMMARY = (
    *("application", "tag", "attempt", "stage", "status", "why", "readAt", "endedAt", "execution"),
    *("manifest.author", "manifest.commit", "plan.from"),
)
"""The summary of a release in a list."""
_FEW, _MANY = 25, 100
"""Releases that are read at once: few for a screen, as many as BatchGetItem allows for longer lists."""
_READ = (FactKind.RELEASE_READ, FactKind.CONFIGURATION_PROPOSED)
_BEGINNINGS = (*_READ, FactKind.LOCK_ACQUIRED)


@dataclass(frozen=True, slots=True, kw_only=True)
class Recent:
    """What was touched lately."""

    touched: tuple[str, ...]
    """Tags that were read, or took the lock, newest first: every release that has not ended is among them."""
    ended: FactRecord | None
    """The newest ending, however old: its tag may have a new attempt since."""


def recent(ledger: Ledger, application: str, *, since: str) -> Recent:
    """Back to a given time, and further only until there is an ending."""
    touched: dict[str, None] = {}
    ended: FactRecord | None = None
    for fact in ledger.facts_in_order(application, newest_first=True, only=(*_BEGINNINGS, *ENDING_KINDS)):
        if fact["at"] < since and ended is not None:
            break
        if fact["name"] in ENDING_KINDS:
            ended = ended or fact
        elif fact["at"] >= since:
            touched[fact["tag"]] = None
    return Recent(touched=tuple(touched), ended=ended)


def newest(ledger: Ledger, application: str, *, since: str = "") -> Iterator[ReleaseRecord]:
    """Summaries of the releases that were read since then, newest first, as many as the caller takes."""
    batch: list[str] = []
    many = _FEW
    seen: set[str] = set()
    for fact in ledger.facts_in_order(application, newest_first=True, only=_READ):
        if fact["at"] < since:
            break
        if fact["tag"] in seen:
            continue
        seen.add(fact["tag"])
        batch.append(fact["tag"])
        if len(batch) == many:
            yield from summaries(ledger, application, batch)
            batch, many = [], _MANY
    yield from summaries(ledger, application, batch)


def summaries(ledger: Ledger, application: str, tags: Sequence[str]) -> list[ReleaseRecord]:
    """Summaries of these releases, in this order."""
    keys = [(application_key(application), f"RELEASE#{tag}") for tag in tags]
    found = {item["tag"]: item for item in ledger.get_many(keys, *SUMMARY)} if keys else {}
    return [cast("ReleaseRecord", found[tag]) for tag in tags if tag in found]
