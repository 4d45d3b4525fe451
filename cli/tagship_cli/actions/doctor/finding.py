"""The findings of `tagship doctor`, and what it examines."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any


class Verdict(StrEnum):
    """The severity. A check that could not run is a warning, because it has not passed."""

    OK = "ok"
    WARNING = "warning"
    WRONG = "wrong"


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One line of the output."""

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
    """The stage to examine, and access to it."""

    stage: str
    account: str
    flags: str
    """The flags that a suggested command needs to reach this stage."""
    stack: Mapping[str, Any]
    """The stack as CloudFormation describes it."""
    outputs: Mapping[str, str]
    parameters: Mapping[str, str]
    now: Callable[[], datetime]
    client: Callable[..., Any]
    """A client for an AWS service in this stage's region; `region=` selects another one."""
    reach: Callable[[str], None]
    """Connects to a host by https. Raises OSError if it does not respond."""


Question = Callable[[Subject], Iterator[Finding]]
"""Raises AwsRefused if AWS refuses or does not answer."""


def ok(about: str, said: str) -> Finding:
    """No action is needed."""
    return Finding(about=about, verdict=Verdict.OK, said=said)


def warning(about: str, said: str, remedy: str) -> Finding:
    """A release works now but may fail later, or the check could not run."""
    return Finding(about=about, verdict=Verdict.WARNING, said=said, remedy=remedy)


def wrong(about: str, said: str, remedy: str) -> Finding:
    """A release fails, or nobody would notice that it does."""
    return Finding(about=about, verdict=Verdict.WRONG, said=said, remedy=remedy)
