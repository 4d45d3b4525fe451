"""Puts the checks to what serves before a release, so that people know before they approve what a rollback could show."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import fields, replace
from typing import Any

from tagship.health import Check, CheckResult, Given
from tagship.health.verdict import REASON, can_answer
from tagship.model.errors import TagshipError
from tagship.text.plain import line

SECONDS = 12
"""All checks together: far inside the gate's own time. What has not answered by then is not known."""


def ask(
    checks: Sequence[Check], given: Callable[[Check], Given], *, seconds: float = SECONDS
) -> Mapping[str, dict[str, Any]]:
    """By the check's name: `{answers, why}`. Checks that look back are not asked; what can't be asked now is left out."""
    asking = [check for check in checks if not check.LOOKS_BACK]
    if not asking:
        return {}
    pool = ThreadPoolExecutor(max_workers=len(asking))
    try:
        waiting = [pool.submit(_once, check, given(check)) for check in asking]
        wait(waiting, timeout=seconds)
        found = [each.result() for each in waiting if each.done()]
    finally:
        pool.shutdown(wait=False, cancel_futures=True)
    return {
        result.check: {"answers": can_answer(result), "why": line(result.why, REASON)}
        for result in found
        if result
    }


def _once(check: Check, given: Given) -> CheckResult | None:
    """One request is enough to know whether the question is understood; None where it could not be put."""
    once: dict[str, Any] = {"requests": 1, "mustPass": 1}
    single = replace(check, **once) if once.keys() <= {each.name for each in fields(check)} else check
    try:
        return single.run(given)
    except TagshipError:
        return None
