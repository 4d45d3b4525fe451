"""calendar: no freeze applies and a window is open, or the release may wait for that, or it is an emergency."""

from __future__ import annotations

from tagship.gates.gate import Case, Gate, GateResult, failed, passed, unanswered
from tagship.model import schedule

_NAME = "calendar"


def check(case: Case) -> GateResult:
    """RecheckRelease checks again before any traffic moves."""
    if case.configuration is None or case.manifest is None:
        return unanswered(_NAME)
    rules = case.configuration.gates
    windows = [schedule.window(text) for text in rules.windows]
    found = schedule.standing(windows, case.freezes(), case.now)
    why = schedule.why_closed(windows, found)
    if case.manifest.emergency:
        return _emergency(case.manifest.author, case.manifest.emergency, why)
    if found.is_open:
        open_now = (
            f"A window is open ({', '.join(rules.windows)})" if windows else "No windows are configured"
        )
        return passed(_NAME, f"{open_now}, and nothing is frozen.")
    if found.opens is None or found.opens > case.now + schedule.LONGEST_WAIT:
        return failed(
            _NAME,
            f"{why} It cannot be deployed within the next {schedule.LONGEST_WAIT.days} days.",
            "Retry the release when it can be deployed, or publish a new tag as an emergency (--emergency).",
        )
    opens = schedule.in_words(found.opens, windows)
    if rules.whenClosed == "wait":
        return passed(
            _NAME,
            f"{why} The release waits.",
            warning=f"After approval, traffic moves no sooner than {opens}. {why}",
        )
    return failed(
        _NAME,
        f"{why} It may be deployed from {opens}.",
        "Retry the release then, or publish a new tag as an emergency (--emergency). To let releases wait by "
        "themselves, set gates.whenClosed: wait.",
    )


def _emergency(author: str, reason: str, why: str) -> GateResult:
    """Passed, with a warning: now all approvers must approve. The important part comes first, because long texts are cut."""
    passes = f"It ignores: {why}" if why else "It ignores any freeze or closed window until it is deployed."
    return passed(
        _NAME,
        why or "Nothing blocks it now.",
        warning=f"EMERGENCY, declared by {author}: everyone who may decide must approve. "
        f"Reason: {reason.strip().removesuffix('.')}. {passes}",
    )


GATE = Gate(name=_NAME, check=check, shares=True)
