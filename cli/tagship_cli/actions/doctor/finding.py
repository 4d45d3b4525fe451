"""What a look at a stage finds, and what is looked at."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any


class Verdict(StrEnum):
    """How bad it is. What could not be looked at is a warning: it has not passed."""

    OK = "ok"
    WARNING = "warning"
    WRONG = "wrong"


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One line of the answer."""

    about: str
    verdict: Verdict
    said: str
    remedy: str = ""

    def as_dict(self) -> dict[str, str]:
        """As `--json` prints it."""
        return {
            "about": self.about,
            "verdict": self.verdict,
            "said": self.said,
            "remedy": self.remedy,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """The stage that is looked at, and the means to do it."""

    stage: str
    account: str
    flags: str
    """What a command that is named as a remedy needs to work here."""
    stack: Mapping[str, Any]
    """As CloudFormation describes it."""
    outputs: Mapping[str, str]
    parameters: Mapping[str, str]
    now: Callable[[], datetime]
    client: Callable[..., Any]
    """An AWS service in this stage's region; `region=` chooses another."""
    reach: Callable[[str], None]
    """Asks a host by https. Raises OSError when nothing answers."""


Question = Callable[[Subject], Iterator[Finding]]
"""Raises AwsRefused when AWS does not say."""


def ok(about: str, said: str) -> Finding:
    """Nothing to do."""
    return Finding(about=about, verdict=Verdict.OK, said=said)


def warning(about: str, said: str, remedy: str) -> Finding:
    """A release works today and may not tomorrow, or nobody could look."""
    return Finding(about=about, verdict=Verdict.WARNING, said=said, remedy=remedy)


def wrong(about: str, said: str, remedy: str) -> Finding:
    """A release fails, or nobody notices that it does."""
    return Finding(about=about, verdict=Verdict.WRONG, said=said, remedy=remedy)
