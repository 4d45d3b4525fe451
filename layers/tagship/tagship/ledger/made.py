"""Every revision that releases have made on a target, whether or not it ever served traffic: it can be deleted by name."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import cast

from tagship.ledger.table import Ledger, Refused, application_key
from tagship.model.records import ReleaseKey, Revision


def add(ledger: Ledger, release: ReleaseKey, revision: Revision) -> None:
    """Records a revision once, by its digest if it has no id yet. Late calls and ended releases are not refused: what
    exists must be known.

    Raises LedgerBusy, AwsUnavailable.
    """
    tag = release["tag"]
    change = ledger.update(
        application_key(release["application"]),
        _key(f"{tag}#{revision['id'] or revision['digest']}"),
        only_if="attribute_not_exists(pk)",
        kind="made",
        tag=tag,
        attempt=release["attempt"],
        revision=revision,
    )
    with suppress(Refused):
        ledger.write(change)


def every(ledger: Ledger, application: str) -> Mapping[str, Sequence[Revision]]:
    """The revisions that each tag's attempts have made."""
    found: dict[str, list[Revision]] = defaultdict(list)
    for item in ledger.query(application_key(application), _key("")):
        found[str(item["tag"])].append(cast("Revision", item["revision"]))
    return found


def _key(rest: str) -> str:
    return f"MADE#{rest}"
