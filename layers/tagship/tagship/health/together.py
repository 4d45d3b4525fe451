"""Runs several checks concurrently, so that together they take as long as the slowest.

Each check has its own session in the application's role and its own result. If one hangs or fails, the others go on.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor, wait

from tagship.health import Check, CheckResult, Given, Verdict
from tagship.model.errors import AwsUnavailable, TagshipError
from tagship.text.plain import line

Answer = CheckResult | TagshipError | None
"""A check's result, the error that prevented it, or None if it did not answer in time."""

LOOK_SECONDS = 52
"""The limit of all checks: the slowest check's (`sampling.BUDGET_SECONDS`), within the function's timeout."""


def checks_for(checks: Sequence[Check], *, subject: str) -> list[Check]:
    """The checks to run on the candidate, or on a restored `baseline`: without those that read past data."""
    return [check for check in checks if subject == "candidate" or not check.LOOKS_BACK]


def look(checks: Sequence[tuple[Check, Given]], *, seconds: float = LOOK_SECONDS) -> list[CheckResult]:
    """Each check's result, in their order. A check that could not run, or did not answer in time, is an error.

    Raises AwsUnavailable if AWS throttled a check, so that all are retried; not if another check ends the bake anyway.
    """
    found = [
        (given, _result(given, answer, seconds=seconds))
        for (_, given), answer in zip(checks, ask(checks, seconds=seconds), strict=True)
    ]
    results = [result for _, result in found if isinstance(result, CheckResult)]
    unavailable = [(given, error) for given, error in found if isinstance(error, AwsUnavailable)]
    ends = any(result.verdict in (Verdict.UNHEALTHY, Verdict.ERROR) for result in results)
    for given, error in unavailable:
        # A restored baseline is not judged by its worst result alone, so all results are needed.
        if given.subject != "candidate" or not ends:
            raise AwsUnavailable(f"{given.name}: {error}") from error
    return [
        _error(given, result) if isinstance(result, AwsUnavailable) else result for given, result in found
    ]


def ask(checks: Sequence[tuple[Check, Given]], *, seconds: float) -> list[Answer]:
    """Runs every check once, concurrently; returns one answer for each, in their order."""
    if not checks:
        return []
    pool = ThreadPoolExecutor(max_workers=len(checks))
    try:
        answers = [pool.submit(_ask, check, given) for check, given in checks]
        wait(answers, timeout=seconds)
        return [answer.result() if answer.done() else None for answer in answers]
    finally:
        pool.shutdown(wait=False, cancel_futures=True)


def _ask(check: Check, given: Given) -> CheckResult | TagshipError:
    try:
        return check.run(given)
    except TagshipError as error:
        return error
    except Exception as error:  # noqa: BLE001 (an unexpected error in one check does not affect the others)
        return _error(given, f"It failed ({type(error).__name__}): {line(error, 300)}")


def _result(given: Given, answer: Answer, *, seconds: float) -> CheckResult | AwsUnavailable:
    match answer:
        case CheckResult() | AwsUnavailable():
            return answer
        case None:
            return _error(given, f"It did not answer within {seconds:g} s.")
        case _:
            return _error(given, answer)


def _error(given: Given, why: object) -> CheckResult:
    return CheckResult(check=given.name, verdict=Verdict.ERROR, why=str(why))
