"""baseline: the version in production is known and a rollback can restore it; reports whether it can answer the checks."""

from __future__ import annotations

from collections.abc import Mapping

from tagship.gates.gate import Case, Gate, GateResult, passed, refused, unanswered
from tagship.model.errors import FinalError
from tagship.text.plain import line

_NAME = "baseline"


def check(case: Case) -> GateResult:
    """A first release has nothing to roll back to, and a baseline may not answer the checks: approvers see both.

    Raises AwsUnavailable.
    """
    if case.configuration is None:
        return unanswered(_NAME)
    try:
        restorable = case.target.restorable(case.revision)
    except FinalError as error:
        return refused(
            _NAME, error, "Make the target serve one revision that can be restored, then retry the release."
        )
    if restorable is None:
        return passed(
            _NAME,
            "Nothing serves traffic now.",
            warning="This is the first release: after a rollback, nothing would serve traffic.",
        )
    answers = case.ask_what_serves(case.configuration, case.revision)
    return passed(
        _NAME,
        f"A rollback would restore {restorable.said}.",
        warning=" ".join(
            filter(
                None,
                (
                    restorable.warning,
                    _unanswerable(answers, serves=case.production or restorable.said, case=case),
                ),
            )
        ),
        answers={check: answer["answers"] for check, answer in answers.items()},
    )


def _unanswerable(answers: Mapping[str, Mapping[str, object]], *, serves: str, case: Case) -> str:
    """The warning for approvers: a rollback would restore it, but could not show that it is healthy."""
    assert case.configuration is not None
    silent = [f"{check}: {answer['why']}" for check, answer in answers.items() if not answer["answers"]]
    if silent:
        return f"A rollback would restore {serves}, but could not check its health. {line(' '.join(silent), 400)}"
    if all(check.LOOKS_BACK for check in case.configuration.health.checks):
        return (
            f"After a rollback, no check could tell whether {serves} is healthy: for some minutes, alarms and metrics "
            "still show the candidate. A check of type http, lambda or custom could tell."
        )
    return ""


GATE = Gate(name=_NAME, check=check, shares=True)
