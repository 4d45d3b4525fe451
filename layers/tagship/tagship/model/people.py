"""Who is who: one mailbox is one person with one vote, by whichever address and whichever way they come."""

from __future__ import annotations

import unicodedata

from tagship.model.records import Decision

CLAIMED = "claimed "
"""Before the identity of a decision for whose approver AWS does not vouch."""

_GMAIL = ("gmail.com", "googlemail.com")


def person(address: str) -> str:
    """One spelling for one mailbox: `Ana@Example.com ` and `ana+2@example.com` are both `ana@example.com`.

    Dots count, since at most providers `a.na` is somebody else. Not at Gmail, where nobody else can have that address
    (https://support.google.com/mail/answer/7436150), under either of its domains.
    """
    plain = unicodedata.normalize("NFKC", address).strip().casefold()
    name, at, domain = plain.rpartition("@")
    name, domain = name.partition("+")[0] or name, domain.rstrip(".")
    if domain in _GMAIL:
        name, domain = name.replace(".", "") or name, _GMAIL[0]
    return name + at + domain


def is_claimed(identity: str) -> bool:
    """Whether nobody but the person themselves says that the identity is the approver's."""
    return identity.startswith(CLAIMED)


def counts(decision: Decision, *, stage: str) -> bool:
    """Whether a decision is somebody's: in production an approval is not whose approver nobody vouches for.

    A rejection always is: at worst a release was stopped.
    """
    claimed = is_claimed(str(decision.get("identity") or ""))
    return not (claimed and stage == "production" and decision["decision"] == "approve")
