"""Verifies the chain of an application's facts: every link is computed again, and the first broken one is reported.

Each fact has a number (`seq`, from 1 on), the digest of the previous fact (`previous`, empty for the first) and its own
(`digest`, over everything else in it). Only `read` queries the table.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import pairwise
from typing import Any

from tagship.ledger.table import Ledger, digest_of, fact_key
from tagship.model.records import FactRecord, HeadRecord

Read = Mapping[str, Any]
"""A fact, or the head, as it was read; nothing in it is trusted before it is verified."""


class Break(StrEnum):
    """What is wrong with a link."""

    MISSING = "missing"
    ALTERED = "altered"
    REORDERED = "reordered"
    HEAD = "head"
    REWRITTEN = "rewritten"
    HIDDEN = "hidden"
    """A delete marker hides evidence, or its name has a second version."""
    NO_EVIDENCE = "no evidence"


@dataclass(frozen=True, slots=True, kw_only=True)
class Broken:
    """The first broken link."""

    kind: Break
    seq: int
    """The number of the fact at which the chain is broken."""
    what: str
    """In a sentence."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Anchor:
    """The state of a chain at some time, stored where nobody can change it: a number and the digest of that fact."""

    seq: int
    digest: str
    where: str


def read(ledger: Ledger, application: str, *, since: int = 1) -> tuple[HeadRecord | None, list[FactRecord]]:
    """The head, and the facts of an application from a number on, consistent with each other while others write."""
    before = head_of(ledger, application)
    facts = ledger.read_facts_since(application, since)
    if before and (_number(facts[-1]) if facts else since - 1) <= int(before["last"]):
        return before, facts
    after = head_of(ledger, application)
    if before and after and before != after:
        # Someone wrote while we read: facts after our first read of the head are left for the next run.
        return before, [fact for fact in facts if _number(fact) <= int(before["last"])]
    return after, facts


def head_of(ledger: Ledger, application: str) -> HeadRecord | None:
    """The number and the digest of the application's last fact: `{last, digest}`; None if there is none."""
    item = ledger.head(application)
    return {"last": item["last"], "digest": item["digest"]} if item else None


def verify(
    application: str,
    facts: Sequence[Read],
    *,
    head: Read | None,
    anchors: Iterable[Anchor] = (),
) -> Broken | None:
    """The complete chain of an application from its first fact to its head; None if every link is intact."""
    numbers = [_number(fact) for fact in facts]
    previous = ""
    for seq, fact in enumerate(facts, start=1):
        broken = (
            _itself(application, fact, seq)
            or _place(numbers, seq)
            or _link(fact, previous, seq, before=seq - 1)
        )
        if broken:
            return broken
        previous = fact["digest"]
    return _head(facts, head, last=len(facts)) or _anchored(
        {seq: fact["digest"] for seq, fact in enumerate(facts, 1)}, anchors
    )


def verify_part(application: str, facts: Sequence[Read], *, anchors: Iterable[Anchor] = ()) -> Broken | None:
    """Some facts of a chain, in order: each by itself, and each link between two consecutive ones.

    This cannot detect missing facts between them: that needs the complete chain.
    """
    before, previous = 0, ""
    for fact in facts:
        seq = _number(fact)
        broken = _itself(application, fact, seq)
        if broken:
            return broken
        if seq <= before:
            return Broken(
                kind=Break.REORDERED,
                seq=seq,
                what=f"Fact {seq} comes after fact {before}, which was recorded later.",
            )
        if seq == before + 1 and (broken := _link(fact, previous, seq, before=before)):
            return broken
        before, previous = seq, fact["digest"]
    return _anchored({_number(fact): fact["digest"] for fact in facts}, anchors, whole=False)


def verify_end(application: str, facts: Sequence[Read], *, head: Read | None) -> Broken | None:
    """The end of a chain, from the first of these facts to its head, with nothing missing between them."""
    numbers = [_number(fact) for fact in facts]
    gap = next((one + 1 for one, other in pairwise(numbers) if other > one + 1), 0)
    broken = verify_part(application, facts)
    if broken is None and gap:
        broken = Broken(kind=Break.MISSING, seq=gap, what=f"Fact {gap} is missing.")
    return broken or _head(facts, head, last=numbers[-1] if numbers else 0)


def digest_holds(fact: Read) -> bool:
    """Whether a fact matches its digest; one that cannot be serialized does not."""
    content = {name: value for name, value in fact.items() if name != "digest"}
    try:
        return bool(digest_of(content) == fact.get("digest"))
    except (TypeError, ValueError, ArithmeticError, RecursionError):
        return False


def _number(fact: Read) -> int:
    seq = fact.get("seq")
    return seq if isinstance(seq, int) and not isinstance(seq, bool) else 0


def _itself(application: str, fact: Read, seq: int) -> Broken | None:
    if not digest_holds(fact):
        return Broken(
            kind=Break.ALTERED,
            seq=seq,
            what=f"Fact {seq}{_called(fact)} was altered: its content does not match its digest.",
        )
    if fact.get("application") != application:
        return Broken(
            kind=Break.ALTERED,
            seq=seq,
            what=(
                f"Fact {seq}{_called(fact)} belongs to {fact.get('application')!r}, not to {application!r}."
            ),
        )
    if fact.get("kind") != "fact":
        what = f"Fact {seq}{_called(fact)} is not a fact but {fact.get('kind')!r}: it was hidden from the channels."
        return Broken(kind=Break.ALTERED, seq=seq, what=what)
    if not str(fact.get("sk")).startswith(_key_of(fact)):
        what = f"Fact {seq}{_called(fact)} is stored under another key: it was hidden from the channels."
        return Broken(kind=Break.ALTERED, seq=seq, what=what)
    return None


def _key_of(fact: Read) -> str:
    """How the key of a fact begins."""
    attempt = fact.get("attempt")
    number = attempt if isinstance(attempt, int) else 0
    return fact_key(str(fact.get("tag")), number, str(fact.get("name")), "")


def _place(numbers: Sequence[int], seq: int) -> Broken | None:
    found = numbers[seq - 1]
    if found == seq:
        return None
    if seq in numbers or found < seq:
        return Broken(
            kind=Break.REORDERED,
            seq=seq,
            what=f"Fact {found} is in the place of fact {seq}: the order was changed.",
        )
    gap = f"Facts {seq} to {found - 1} are" if found - 1 > seq else f"Fact {seq} is"
    return Broken(kind=Break.MISSING, seq=seq, what=f"{gap} missing: the next one is fact {found}.")


def _link(fact: Read, previous: str, seq: int, *, before: int) -> Broken | None:
    if fact.get("previous") == previous:
        return None
    if not before:
        what = (
            f"Fact {seq} is the first, but refers to an earlier one: the beginning of the chain was cut off."
        )
        return Broken(kind=Break.MISSING, seq=seq, what=what)
    what = (
        f"Fact {before} was altered and given a new digest: fact {seq}{_called(fact)} was written after a "
        "different fact."
    )
    return Broken(kind=Break.ALTERED, seq=before, what=what)


def _head(facts: Sequence[Read], head: Read | None, *, last: int) -> Broken | None:
    if head is None:
        if not facts:
            return None
        return Broken(
            kind=Break.HEAD, seq=last, what=f"There are {last} facts, but no head that ends the chain."
        )
    ends = int(head["last"])
    if ends > last:
        gap = f"Facts {last + 1} to {ends} are" if ends > last + 1 else f"Fact {ends} is"
        return Broken(
            kind=Break.MISSING,
            seq=last + 1,
            what=f"{gap} missing at the end: the head says that {ends} is the last.",
        )
    if ends < last:
        return Broken(
            kind=Break.HEAD,
            seq=ends,
            what=f"The head names {ends} as the last fact, but there are {last}.",
        )
    if facts and facts[-1]["digest"] != head["digest"]:
        return Broken(
            kind=Break.HEAD,
            seq=last,
            what=f"The last fact, {last}{_called(facts[-1])}, is not the one that the head names.",
        )
    return None


def _anchored(
    digests: Mapping[int, object], anchors: Iterable[Anchor], *, whole: bool = True
) -> Broken | None:
    """A chain that was rewritten from some fact on is consistent in itself, but differs from the copy stored elsewhere."""
    for anchor in sorted(anchors, key=lambda anchor: anchor.seq):
        if digests.get(anchor.seq) == anchor.digest or (not whole and anchor.seq not in digests):
            continue
        if anchor.seq not in digests:
            what = f"Fact {anchor.seq} is missing, although it existed when {anchor.where} was written."
            return Broken(kind=Break.MISSING, seq=anchor.seq, what=what)
        what = (
            f"Fact {anchor.seq}, or an earlier one, differs from what it was when {anchor.where} was written: "
            "the chain was rewritten since then."
        )
        return Broken(kind=Break.REWRITTEN, seq=anchor.seq, what=what)
    return None


def _called(fact: Read) -> str:
    name, tag = fact.get("name"), fact.get("tag")
    return f" ({name} of {tag})" if isinstance(name, str) and isinstance(tag, str) else ""
