"""The evidence of an ended release: one document with everything that led to its ending, made from the ledger alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tagship.ledger import approvals, releases
from tagship.ledger.chain import Anchor
from tagship.ledger.table import Item, Ledger, digest_of
from tagship.model.errors import EventNotUnderstood

KIND = "tagship evidence"
VERSION = 1
_OF_THE_RELEASE = (
    *("digest", "execution", "readAt", "manifest", "problems", "objects", "configuration", "gates", "plan"),
    *("replaces", "proposal"),
)
_OF_THE_APPROVAL = (
    *("id", "status", "digest", "author", "approvers", "required", "askedAt", "expiresAt", "decisions"),
    *("rules", "countInEveryRule", "closedBy"),
)
"""An explicit list, so that other attributes of an item (a task token, a link, a thread) never leave the ledger."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ending:
    """Which fact ended which release."""

    application: str
    tag: str
    seq: int

    @classmethod
    def in_event(cls, event: object) -> Ending | None:
        """The fact that a person names, `{"fact": {application, tag, seq}}`; None if the event names none.

        Raises EventNotUnderstood for an invalid name.
        """
        if not isinstance(event, Mapping) or "fact" not in event:
            return None
        found = event["fact"] if isinstance(event["fact"], Mapping) else {}
        application, tag, seq = (found.get(name) for name in ("application", "tag", "seq"))
        if not (isinstance(application, str) and application and isinstance(tag, str) and type(seq) is int):
            raise EventNotUnderstood(
                "An outcome needs the text fields application and tag and the number seq."
            )
        return cls(application=application, tag=tag, seq=seq)


def bundle(ledger: Ledger, application: str, tag: str, *, ended: int) -> Item:
    """Everything up to the fact with the number `ended`, the ending.

    The same ending always gives the same document: a later rollback is in the evidence of that rollback's ending.

    Raises ApplicationUnknown if the ledger has no such release, LookupError if it has no such fact.
    """
    record = releases.get(ledger, application, tag)
    facts = [fact for fact in ledger.facts_of(application, tag) if fact["seq"] <= ended]
    if not facts or facts[-1]["seq"] != ended:
        raise LookupError(f"{application} {tag} has no fact {ended}.")
    ending = facts[-1]
    request = approvals.get(ledger, record["approval"]) if record.get("approval") else None
    content: Item = {
        "kind": KIND,
        "version": VERSION,
        "application": application,
        "tag": tag,
        "attempt": ending["attempt"],
        "stage": ending["stage"],
        "status": ending["data"].get("status", ""),
        "why": ending["data"].get("why", ""),
        "ended": {name: ending[name] for name in ("seq", "at", "name", "digest")},
        "release": _some(record, _OF_THE_RELEASE),
        "approval": _some(request, _OF_THE_APPROVAL) if request else None,
        "facts": facts,
    }
    return content | {"digest": digest_of(content)}


def _some(record: Mapping[str, object], names: Sequence[str]) -> Item:
    return {name: record[name] for name in names if name in record}


def key_of(evidence: Mapping[str, Any]) -> str:
    """Its key; the name alone contains the number and digest of the fact at that time."""
    ended = evidence["ended"]
    return f"{evidence['application']}/{evidence['tag']}/{ended['seq']:010}-{ended['digest']}.json"


def anchor_of(key: str) -> Anchor | None:
    """The number and digest in the name of a piece of evidence; None for another name."""
    parts = key.removesuffix(".json").split("/")
    seq, dash, digest = parts[-1].partition("-")
    if len(parts) != 3 or not dash or not seq.isdecimal() or not key.endswith(".json"):
        return None
    return Anchor(seq=int(seq), digest=digest, where=f"the evidence of {parts[0]} {parts[1]}")
