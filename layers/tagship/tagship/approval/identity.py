"""Which AWS identities prove a person: those whose name the caller cannot choose."""

from __future__ import annotations

import re
from collections.abc import Sequence
from fnmatch import fnmatchcase

from tagship.model.people import CLAIMED, person
from tagship.model.release import MAIL_ADDRESS

_USER = re.compile(r"arn:aws[a-z-]*:iam::\d{12}:user/(?:[^/]+/)*(?P<name>[^/]+)")
_IDENTITY_CENTER = re.compile(
    r"arn:aws[a-z-]*:sts::\d{12}:assumed-role/AWSReservedSSO_[\w+=,.@-]+_[0-9a-f]{16}/(?P<name>[^/]+)"
)


def address_of(arn: str) -> str:
    """The mail address at the end of an identity; empty if there is none."""
    name = arn.rsplit("/", 1)[-1] if "/" in arn else ""
    return name if re.search(MAIL_ADDRESS.pattern, name) else ""


def proven(arn: str, patterns: Sequence[str] = ()) -> bool:
    """Whether AWS guarantees the name in this ARN.

    It does for an IAM user, and for a session that IAM Identity Center created. Anyone who can assume a role chooses the
    name of the session, so other sessions count only if the stack's owner lists them by a pattern with `*`: the role's
    trust policy must then require the name (`sts:RoleSessionName`).
    """
    return bool(
        _USER.fullmatch(arn)
        or _IDENTITY_CENTER.fullmatch(arn)
        or any(fnmatchcase(arn, pattern) for pattern in patterns)
    )


def identity_of(arn: str, approver: str, patterns: Sequence[str] = ()) -> str:
    """The ARN that is recorded with a decision, marked as claimed if it does not prove that this is the approver."""
    is_proven = proven(arn, patterns) and person(address_of(arn)) == person(approver)
    return arn if is_proven else f"{CLAIMED}{arn}"
