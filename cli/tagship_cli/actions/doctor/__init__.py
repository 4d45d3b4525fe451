"""The checks of `tagship doctor`, for before the first release and for incidents."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from tagship_cli.actions.doctor import account, applications, stack
from tagship_cli.actions.doctor.finding import Finding, Question, Subject, Verdict, warning
from tagship_cli.failures import AwsRefused

QUESTIONS: Sequence[tuple[str, Question]] = (
    ("clock", account.clock),
    ("stack", stack.standing),
    ("stack", stack.drift),
    ("stack", stack.version),
    ("mail", account.mail_account),
    ("mail", account.sender),
    ("functions", account.functions),
    ("ci", account.publisher),
    ("queues", stack.queues),
)
"""The checks in the order of their output: the subject of each, and its function."""


def examine(subject: Subject, names: Sequence[str] = ()) -> Iterator[Finding]:
    """Every finding about the stage and the named applications; about all applications if none is named."""
    for about, question in QUESTIONS:
        yield from _asked(about, question, subject)
    yield from _asked("applications", lambda here: applications.examine(here, names), subject)


def _asked(about: str, question: Question, subject: Subject) -> Iterator[Finding]:
    try:
        yield from question(subject)
    except AwsRefused as refused:
        yield unseen(about, refused)


def unseen(about: str, refused: AwsRefused) -> Finding:
    """A check that AWS did not answer."""
    problem, _, advice = refused.message.partition("\n")
    return warning(
        about, f"Not checked. {problem}", advice or "Run the check again with an identity that can read it."
    )


__all__ = ["QUESTIONS", "Finding", "Subject", "Verdict", "examine", "unseen"]
