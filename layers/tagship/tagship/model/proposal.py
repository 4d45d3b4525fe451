"""A proposed change of an application's configuration: a release with a document and no files."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from tagship.model.release import APPLICATION_NAME, BY_CHARACTERS
from tagship.text.plain import shorten

DOCUMENT_BYTES = 8192
"""The limit of a parameter in the advanced tier."""
PREFIX = "configuration-"
_SCOPE = "group."
_TAG = re.compile(PREFIX + r"([1-9][0-9]{0,5})")
WHY_CHARACTERS = 500
"""The longest reason for a proposal, which approvers read first."""


def scope_of(group: str) -> str:
    """A group's name in the ledger: `group.platform`. No application's name contains a dot."""
    return f"{_SCOPE}{group}"


def group_of(scope: str) -> str:
    """The group of a name in the ledger; empty for an application's name."""
    return scope.removeprefix(_SCOPE) if scope.startswith(_SCOPE) else ""


def tag_of(number: int) -> str:
    """The name of an application's n-th proposal in the ledger: `configuration-4`."""
    return f"{PREFIX}{number}"


def number_of(tag: str) -> int:
    """The number of the proposal that a tag names; 0 for a release's tag."""
    match = _TAG.fullmatch(tag)
    return int(match[1]) if match else 0


def is_proposal(tag: str) -> bool:
    """Whether a tag names a change of a configuration. No release has such a tag: those begin with `v`."""
    return bool(number_of(tag))


@dataclass(frozen=True, slots=True, kw_only=True)
class Proposal:
    """The proposer and the document. Nothing in it is trusted before it is approved."""

    application: str
    tag: str
    document: Mapping[str, object]
    by: str
    """The proposer's name; like a release's author, it is not verified."""
    emergency: str = ""
    """Why it cannot wait for the end of a freeze."""
    owners: str = ""
    """Why the stack's owners are asked instead of the current approvers; all of them must approve."""

    @classmethod
    def from_dict(cls, data: object) -> Proposal:
        """From an execution's input.

        Raises ValueError for an invalid proposal.
        """
        fields = {
            "application": str,
            "tag": str,
            "document": dict,
            "by": str,
            "emergency": str,
            "owners": str,
        }
        if not isinstance(data, Mapping) or set(data) | {"owners"} != set(fields):
            raise ValueError(
                "a proposal has the fields application, tag, document, by and emergency, and optionally owners"
            )
        data = {"owners": "", **data}
        if not all(type(data[name]) is kind for name, kind in fields.items()) or not data["by"].strip():
            raise ValueError("a proposal's document must be an object; all other fields must be text")
        if not re.fullmatch(APPLICATION_NAME, group_of(data["application"]) or data["application"]):
            raise ValueError(f"{data['application'][:80]!r} is not a valid application name")
        if not is_proposal(data["tag"]):
            raise ValueError(f"{data['tag'][:80]!r} must be configuration- followed by a number")
        whys = {name: data[name].strip() for name in ("emergency", "owners")}
        for name, why in whys.items():
            if len(why) > WHY_CHARACTERS:
                raise ValueError(
                    f"a proposal's {name} has {len(why):,} characters; at most {WHY_CHARACTERS:,} are allowed"
                )
        return cls(
            application=data["application"],
            tag=data["tag"],
            document=data["document"],
            by=shorten(data["by"].strip(), BY_CHARACTERS),
            emergency=whys["emergency"],
            owners=whys["owners"],
        )
