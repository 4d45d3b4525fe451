"""Identifies people: one mailbox is one person with one vote, whichever address or channel they use."""

from __future__ import annotations

import unicodedata

from tagship.model.records import Decision

CLAIMED = "claimed "
"""The prefix of a decision's identity that AWS does not confirm as the approver's."""

_GMAIL = ("gmail.com", "googlemail.com")


def person(address: str) -> str:
    """The canonical spelling of a mailbox: `Ana@Example.com ` and `ana+2@example.com` are both `ana@example.com`.

    Dots count, because at most providers `a.na` is someone else; but not at Gmail, where nobody else can have that
    address (https://support.google.com/mail/answer/7436150), under either of its domains.
    """
    plain = unicodedata.normalize("NFKC", address).strip().casefold()
    name, at, domain = plain.rpartition("@")
    name, domain = name.partition("+")[0] or name, domain.rstrip(".")
    if domain in _GMAIL:
        name, domain = name.replace(".", "") or name, _GMAIL[0]
    return name + at + domain


def is_claimed(identity: str) -> bool:
    """Whether only the person themselves claims that the identity is the approver's."""
    return identity.startswith(CLAIMED)


def counts(decision: Decision, *, stage: str) -> bool:
    """Whether a decision counts: in production, an approval needs proof of the approver's identity.

    A rejection always counts: at worst it stops a release.
    """
    claimed = is_claimed(str(decision.get("identity") or ""))
    return not (claimed and stage == "production" and decision["decision"] == "approve")
