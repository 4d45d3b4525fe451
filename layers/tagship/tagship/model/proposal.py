"""A change of an application's configuration, as somebody proposes it: a release with a document and no files."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from tagship.model.release import APPLICATION_NAME

DOCUMENT_BYTES = 8192
"""What a parameter of the advanced tier may have."""
PREFIX = "configuration-"
_SCOPE = "group."
_TAG = re.compile(PREFIX + r"([1-9][0-9]{0,5})")
_BY_AT_MOST = 300
_WHY_AT_MOST = 500


def scope_of(group: str) -> str:
    """Under which name the ledger keeps a group: `group.platform`. No application's name has a dot."""
    return f"{_SCOPE}{group}"


def group_of(scope: str) -> str:
    """The group that a name in the ledger stands for; empty for an application's."""
    return scope.removeprefix(_SCOPE) if scope.startswith(_SCOPE) else ""


def tag_of(number: int) -> str:
    """Under which name the ledger keeps an application's n-th proposal: `configuration-4`."""
    return f"{PREFIX}{number}"


def number_of(tag: str) -> int:
    """Which of an application's proposals a tag names; 0 for a release's tag."""
    match = _TAG.fullmatch(tag)
    return int(match[1]) if match else 0


def is_proposal(tag: str) -> bool:
    """Whether a tag names a change of a configuration. No release has such a tag: those begin with `v`."""
    return bool(number_of(tag))


@dataclass(frozen=True, slots=True, kw_only=True)
class Proposal:
    """Who proposes which document. Nothing of it is believed before it was approved."""

    application: str
    tag: str
    document: Mapping[str, object]
    by: str
    """Who says that they propose it; as with a release's author, it is what they say."""
    emergency: str = ""
    """Why it can't wait for the end of a freeze."""
    owners: str = ""
    """Why the stack's owners are asked instead of those whom the configuration in force names; all of them must approve."""

    @classmethod
    def from_dict(cls, data: object) -> Proposal:
        """From an execution's input.

        Raises ValueError for what is no proposal.
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
        return cls(
            application=data["application"],
            tag=data["tag"],
            document=data["document"],
            by=data["by"].strip()[:_BY_AT_MOST],
            emergency=data["emergency"].strip()[:_WHY_AT_MOST],
            owners=data["owners"].strip()[:_WHY_AT_MOST],
        )
