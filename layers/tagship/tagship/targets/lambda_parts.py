"""A revision of several functions: one `Revision` that contains one for each, and the texts that name all of them.

A target with one function has no parts: its revision is the function's own.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence

from tagship.model.records import Revision
from tagship.text.words import listed

PARTS, ABSENT, OF = "parts", "absent", "of"
"""Keys in a revision's data: the revision of each function; the aliases that did not exist; and a part's own alias."""


def parts_of(revision: Revision) -> Sequence[Revision]:
    """One for each function; the revision itself if it is of one function."""
    parts: Sequence[Revision] = revision["data"].get(PARTS) or (revision,)
    return parts


def part_of(revision: Revision | None, of: str) -> Revision | None:
    """The part for this alias; None if there is none."""
    return (
        next((each for each in parts_of(revision) if each["data"].get(OF, of) == of), None)
        if revision
        else None
    )


def is_absent(revision: Revision | None, of: str) -> bool:
    """Whether this alias was recorded as missing, which differs from not being recorded at all."""
    return revision is None or of in revision["data"].get(ABSENT, ())


def whole(parts: Mapping[str, Revision | None]) -> Revision | None:
    """Combines parts, by alias in the target's order, into one revision; None if no alias exists."""
    found = {of: part for of, part in parts.items() if part}
    if len(parts) == 1 or not found:
        return next(iter(found.values()), None)
    digests = "".join(f"{of} {part['digest'] if part else ''}\n" for of, part in parts.items())
    made = all(part["id"] for part in found.values())
    revision: Revision = {
        "id": ", ".join(f"{name_of(of)} {part['id']}" for of, part in found.items()) if made else "",
        "digest": hashlib.sha256(digests.encode()).hexdigest(),
        "data": {
            PARTS: [
                {"id": part["id"], "digest": part["digest"], "data": part["data"]} for part in found.values()
            ],
            ABSENT: [of for of, part in parts.items() if not part],
        },
    }
    etags = [part.get("etag", "") if part else "" for part in parts.values()]
    return {**revision, "etag": joined(etags)} if any(etags) else revision


def joined(etags: Sequence[str]) -> str:
    """Combines the aliases' etags; an etag is empty if its alias did not exist."""
    return ",".join(etags)


def apart(etag: str, parts: int) -> Sequence[str]:
    """Splits a combined etag into each alias's own."""
    etags = etag.split(",")
    return [*etags, *[""] * (parts - len(etags))]


def name_of(of: str) -> str:
    """The function's name in an alias's ARN."""
    return of.split(":")[6]


def described(revision: Revision | None) -> str:
    """`version 7`, or `version 7 of storefront and version 12 of worker`; empty for a planned revision."""
    if not revision or not revision["id"]:
        return ""
    parts = parts_of(revision)
    if PARTS not in revision["data"]:
        return f"version {revision['id']}"
    return listed(f"version {part['id']} of {name_of(part['data'][OF])}" for part in parts)


__all__ = [
    "OF",
    "apart",
    "described",
    "is_absent",
    "joined",
    "name_of",
    "part_of",
    "parts_of",
    "whole",
]
