"""Exports and verifies for `tagship audit`: the ledger's chain, an export of it, and a release's evidence."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, cast

from tagship.deployment.binding import release_digest
from tagship.ledger import chain, evidence
from tagship.ledger.chain import Anchor, Break, Broken
from tagship.ledger.table import Item, timestamp
from tagship.model.facts import ENDING_KINDS
from tagship.model.records import ReleaseRecord
from tagship_cli.failures import Failed, trying
from tagship_cli.place import Place

KIND = "tagship audit export"
VERSION = 1
LONGEST_FILE = 1024**3
"""The limit for a file: ten times the size of ten thousand releases."""


KEPT_WITHIN = timedelta(hours=1)
"""The time in which a release's evidence may reach the bucket after the release has ended."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Checked:
    """What was verified, and the first problem found."""

    what: str
    application: str
    facts: int
    broken: Broken | None
    anchors: int = 0
    """The number of evidence files that the chain was compared with."""
    without_evidence: tuple[str, ...] = ()
    """Endings without stored evidence."""
    hidden: tuple[str, ...] = ()
    """Names in the evidence bucket whose versions someone has hidden."""
    not_checked: str = ""
    """What this kind of verification cannot show."""

    def as_dict(self) -> dict[str, object]:
        """For programs."""
        broken = self.broken
        return {
            "what": self.what,
            "application": self.application,
            "facts": self.facts,
            "evidence": self.anchors,
            "withoutEvidence": list(self.without_evidence),
            "hidden": list(self.hidden),
            "whole": broken is None,
            "broken": {"kind": broken.kind, "seq": broken.seq, "what": broken.what} if broken else None,
        }


# ---- online --------------------------------------------------------------------------------------------------------


def check_ledger(place: Place, application: str) -> Checked:
    """Verifies the complete current chain and compares it with the evidence of every ending.

    Raises Failed if the ledger has no fact of the application.
    """
    with trying(f"Reading the ledger of {place.stage}"):
        head, facts = chain.read(place.ledger, application)
    if not facts and head is None:
        raise Failed(f"The ledger of {place.stage} has no facts of {application!r}.")
    with trying("Listing the evidence"):
        kept = _evidence(place, application)
    without = [
        fact for fact in facts if fact.get("name") in ENDING_KINDS and fact.get("seq") not in kept.numbers
    ]
    return Checked(
        what=f"the ledger of {place.stage}",
        application=application,
        facts=len(facts),
        broken=chain.verify(application, facts, head=head, anchors=kept.anchors)
        or _hidden(kept)
        or _overdue(without, since=place.now - KEPT_WITHIN),
        anchors=len(kept.anchors),
        without_evidence=tuple(map(_ending, without)),
        hidden=kept.hidden,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Evidence:
    """Every version in the bucket, including hidden ones: a plain S3 listing omits what someone has hidden."""

    anchors: tuple[Anchor, ...]
    hidden: tuple[str, ...]

    @property
    def numbers(self) -> set[int]:
        return {anchor.seq for anchor in self.anchors}


def _evidence(place: Place, application: str) -> _Evidence:
    versions: dict[str, int] = {}
    marked: set[str] = set()
    pages = place.client("s3").get_paginator("list_object_versions")
    for page in pages.paginate(Bucket=place.output("EvidenceBucketName"), Prefix=f"{application}/"):
        for found in page.get("Versions", []):
            versions[found["Key"]] = versions.get(found["Key"], 0) + 1
        marked.update(found["Key"] for found in page.get("DeleteMarkers", []))
    anchors = (evidence.anchor_of(key) for key in sorted(versions))
    written_again = {key for key, count in versions.items() if count > 1}
    return _Evidence(
        anchors=tuple(anchor for anchor in anchors if anchor is not None),
        hidden=tuple(sorted(marked | written_again)),
    )


def _hidden(kept: _Evidence) -> Broken | None:
    if not kept.hidden:
        return None
    first = evidence.anchor_of(kept.hidden[0])
    return Broken(
        kind=Break.HIDDEN,
        seq=first.seq if first else 0,
        what=(
            f"This is an attack: someone added a delete marker or a second version to {kept.hidden[0]} in the "
            "evidence bucket. Tagship never does this. The chain was verified against the versions behind it."
        ),
    )


def _overdue(without: Sequence[chain.Read], *, since: datetime) -> Broken | None:
    overdue = [fact for fact in without if fact["at"] < timestamp(since)]
    if not overdue:
        return None
    return Broken(
        kind=Break.NO_EVIDENCE,
        seq=overdue[0]["seq"],
        what=f"{_ending(overdue[0])} ended more than an hour ago, but has no evidence. See docs/audit.md, "
        "“Missing evidence”.",
    )


def _ending(fact: chain.Read) -> str:
    return f"{fact['tag']} ({fact['name']}, fact {fact['seq']})"


def export(place: Place, application: str, tag: str | None) -> Item:
    """An application's facts in the ledger, or those of one release; with the head of the chain.

    Raises Failed if there are none.
    """
    with trying(f"Reading the ledger of {place.stage}"):
        if tag:
            head, facts = chain.head_of(place.ledger, application), place.ledger.facts_of(application, tag)
        else:
            head, facts = chain.read(place.ledger, application)
    if not facts:
        of = f"{application} {tag}" if tag else application
        raise Failed(f"The ledger of {place.stage} has no facts of {of}.")
    return {
        "kind": KIND,
        "version": VERSION,
        "application": application,
        "stage": place.stage,
        "tag": tag,
        "exportedAt": timestamp(place.now),
        "head": head,
        "facts": facts,
    }


def written(document: Mapping[str, Any]) -> Iterator[str]:
    """An export as text, one fact per line."""
    opening = {name: value for name, value in document.items() if name != "facts"}
    yield json.dumps(opening, ensure_ascii=False)[:-1] + ', "facts": [\n'
    for number, fact in enumerate(document["facts"], start=1):
        comma = "," if number < len(document["facts"]) else ""
        yield json.dumps(fact, ensure_ascii=False) + comma + "\n"
    yield "]}\n"


# ---- offline -------------------------------------------------------------------------------------------------------


def check_export(path: Path) -> Checked:
    """Verifies an export by itself: that it is complete, not that the ledger still matches it.

    Raises Failed if it is not an export.
    """
    document = _document(path, KIND, VERSION)
    application, facts, head = document["application"], document["facts"], document.get("head")
    if head is not None and not (isinstance(head, dict) and isinstance(head.get("last"), int)):
        raise Failed(f"{path}: its head is not valid.")
    if document.get("tag"):
        return Checked(
            what=f"the export {path}",
            application=application,
            facts=len(facts),
            broken=chain.verify_part(application, facts),
            not_checked=f"It contains only the facts of {document['tag']}; "
            "this check can't detect a fact that was left out.",
        )
    return Checked(
        what=f"the export {path}",
        application=application,
        facts=len(facts),
        broken=chain.verify(application, facts, head=head),
    )


def check_bundle(path: Path) -> Checked:
    """Verifies a piece of evidence by itself: its facts, its digest, and that it contains what was approved.

    Raises Failed if it is not evidence.
    """
    document = _document(path, evidence.KIND, evidence.VERSION)
    application, facts = document["application"], document["facts"]
    return Checked(
        what=f"the evidence {path}",
        application=application,
        facts=len(facts),
        broken=chain.verify_part(application, facts) or _bundle_broken(document, path),
        not_checked="This check can't detect a fact that was left out between them. "
        f"tagship audit verify {application} compares the ledger's chain with all evidence.",
    )


def _bundle_broken(document: Item, path: Path) -> Broken | None:
    facts, ended = document["facts"], document.get("ended") or {}
    last = facts[-1] if facts else {}
    seq = last.get("seq", 0)
    if not facts or any(last.get(name) != ended.get(name) for name in ("seq", "at", "name", "digest")):
        return Broken(kind=Break.MISSING, seq=seq, what="The outcome that it names is not its last fact.")
    name = evidence.anchor_of("/".join((document["application"], str(document.get("tag")), path.name)))
    if name and (name.seq, name.digest) != (seq, last.get("digest")):
        return Broken(
            kind=Break.REWRITTEN,
            seq=seq,
            what=f"Its file name is for fact {name.seq}, with a different digest than its content.",
        )
    if not chain.digest_holds(document):
        return Broken(
            kind=Break.ALTERED,
            seq=seq,
            what="The content around the facts was altered: the document does not match its digest.",
        )
    return _approval_broken(document, seq)


def _approval_broken(document: Item, seq: int) -> Broken | None:
    """The digest that people approved binds the bytes, the configuration and the plan."""
    release, approval = document.get("release") or {}, document.get("approval")
    plan = release.get("plan")
    if approval and plan and approval.get("digest") != release_digest(cast("ReleaseRecord", release), plan):
        return Broken(
            kind=Break.ALTERED,
            seq=seq,
            what="The approval request was for a different release or plan than the one in this evidence.",
        )
    return None


def _document(path: Path, kind: str, version: int) -> Item:
    try:
        with path.open("rb") as file:
            text = file.read(LONGEST_FILE + 1)
        found = json.loads(text) if len(text) <= LONGEST_FILE else None
    except (ValueError, RecursionError) as error:
        raise Failed(f"{path} is not JSON: {error}") from error
    except OSError as error:
        raise Failed(f"{path} can't be read: {error.strerror}") from error
    if not (
        isinstance(found, dict)
        and found.get("kind") == kind
        and isinstance(found.get("application"), str)
        and isinstance(found.get("facts"), list)
        and all(isinstance(fact, dict) for fact in found["facts"])
    ):
        raise Failed(f"{path} does not contain Tagship's {kind.removeprefix('tagship ')}.")
    if found.get("version") != version:
        raise Failed(
            f"{path} has version {found.get('version')!r}; this version of Tagship reads version {version}."
        )
    document: Item = found
    return document
