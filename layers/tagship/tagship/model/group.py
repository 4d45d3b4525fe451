"""A group of approvers: a separate document that applications' rules name."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar

import annotated_types as at

from tagship.model.application import Stage
from tagship.model.fields import CONFIG, Example, Matching
from tagship.model.release import APPLICATION_NAME, APPLICATION_NAME_WORDS, MAIL_ADDRESS


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """People who approve as members of a group, in one stage."""

    __pydantic_config__ = CONFIG
    EXAMPLE: ClassVar[Example] = {
        "group": "platform",
        "members": ["ana@example.com", "bo@example.com", "chi@example.com"],
        "required": 2,
        "stage": "production",
    }

    group: Annotated[str, Matching(APPLICATION_NAME, APPLICATION_NAME_WORDS)]
    """The group's name, as rules have it: a lower-case letter, then letters, digits and `-`, 2 to 40 in all."""
    members: Annotated[tuple[Annotated[str, MAIL_ADDRESS], ...], at.MinLen(1), at.MaxLen(20)]
    """The members' mail addresses. Addresses that differ only after `+` are one person."""
    required: Annotated[int, at.Ge(1), at.Le(20)] = 1
    """How many members must approve a change of the group. In a guarded stage, a rule can't require more of the group."""
    stage: Stage | None = None
    """The only stage that accepts this document. Without it, any stage accepts it."""
