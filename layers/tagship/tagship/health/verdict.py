"""The verdict of a health check, and the combined verdict of several."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING

from tagship.text.plain import line

if TYPE_CHECKING:
    from botocore.exceptions import ClientError

REASON = 500
"""The length of a reason given by someone else, in characters."""
ASKING = "http, lambda or custom"
"""The types of checks that test what serves now; all others look back."""
_NAMED = 5
SAYS_SO = "saidUnhealthy"
"""Among a check's numbers: how often the checked function itself reported that it is not healthy."""


class Verdict(StrEnum):
    """The four verdicts; only the first one lets a release continue."""

    HEALTHY = "healthy"
    UNHEALTHY = "unhealthy"
    INCONCLUSIVE = "inconclusive"
    """The check ran, and its result proves neither: missing data is never healthy."""
    ERROR = "error"
    """The check itself failed."""


GRAVEST_FIRST = (Verdict.UNHEALTHY, Verdict.ERROR, Verdict.INCONCLUSIVE, Verdict.HEALTHY)


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckResult:
    """The result of one check, or of all of them together."""

    check: str
    verdict: Verdict
    why: str
    """Sentences for readers of the ledger, with the numbers that decided."""
    numbers: Mapping[str, float | int | str] = field(default_factory=dict)

    @property
    def ends_a_bake(self) -> bool:
        """Whether it is so clear that nothing is waited for."""
        return self.verdict in (Verdict.UNHEALTHY, Verdict.ERROR)

    def as_dict(self) -> dict[str, object]:
        """The form in the state machine's data."""
        return {
            "check": self.check,
            "verdict": self.verdict.value,
            "why": self.why,
            "numbers": dict(self.numbers),
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, object]) -> CheckResult:
        """From the state machine's data; an invalid result is an error, because it proves nothing."""
        check, verdict, why = (data.get(key) for key in ("check", "verdict", "why"))
        numbers = data.get("numbers")
        if not isinstance(verdict, str) or verdict not in set(Verdict):
            return cls(
                check=line(check or "unnamed"),
                verdict=Verdict.ERROR,
                why=f"It returned an unknown verdict: {line(verdict, 100)}.",
            )
        return cls(
            check=str(check or "unnamed"),
            verdict=Verdict(verdict),
            why=str(why or ""),
            numbers=dict(numbers) if isinstance(numbers, Mapping) else {},
        )


def judge(results: Sequence[CheckResult]) -> CheckResult:
    """All results combined: the worst verdict counts, and no results is never healthy."""
    found = Counter(result.verdict for result in results)
    numbers = {"checks": len(results)} | {verdict.value: found[verdict] for verdict in Verdict}
    if not results:
        why = "No check gave a result. No data is never healthy."
        return CheckResult(check="health", verdict=Verdict.INCONCLUSIVE, why=why, numbers=numbers)
    verdict = next(verdict for verdict in GRAVEST_FIRST if found[verdict])
    deciding = [result for result in results if result.verdict is verdict]
    return CheckResult(
        check="health", verdict=verdict, why=_sentence(deciding, len(results)), numbers=numbers
    )


def gravest(check: str, results: Mapping[str, CheckResult]) -> CheckResult:
    """One result of a check that asked several, by what each is called: the worst verdict counts, with its numbers."""
    verdict = next(verdict for verdict in GRAVEST_FIRST for it in results.values() if it.verdict is verdict)
    deciding = {name: it for name, it in results.items() if it.verdict is verdict}
    first, *_ = deciding.values()
    if len(results) == 1:
        return first
    return CheckResult(
        check=check,
        verdict=verdict,
        why=" ".join(f"{name}: {it.why}" for name, it in deciding.items()),
        numbers=first.numbers,
    )


def can_answer(result: CheckResult) -> bool:
    """Whether it understands the check: it is healthy, or reports itself that it is not."""
    return result.verdict is Verdict.HEALTHY or SAYS_SO in result.numbers


def judge_restored(
    results: Sequence[CheckResult], *, answered: Mapping[str, bool]
) -> tuple[CheckResult, bool]:
    """The combined verdict for a restored baseline, and whether its health is unknown.

    `answered` says, by check, whether the same revision could answer before the release. A check that it could not answer
    then proves nothing now; nor does an inconclusive one. Unhealthy counts if it could answer before, or was not checked.
    """
    failing = (Verdict.UNHEALTHY, Verdict.ERROR)
    decisive = [it for it in results if it.verdict in failing and answered.get(it.check, True)]
    if decisive:
        return judge(decisive), False
    unknown = [it for it in results if it.verdict is not Verdict.HEALTHY]
    if unknown:
        named = "; ".join(line(f"{it.check}: {it.why}", REASON).rstrip(".") for it in unknown[:_NAMED])
        why = f"{len(unknown)} of {len(results)} checks cannot tell whether it is healthy: {named}."
        return CheckResult(check="health", verdict=Verdict.INCONCLUSIVE, why=why), True
    if not results:
        why = (
            "The target was read and runs it, but no check can test it: alarms and metrics still show the candidate. A "
            f"check of type {ASKING} could tell."
        )
        return CheckResult(check="health", verdict=Verdict.INCONCLUSIVE, why=why), True
    return judge(results), False


def errored(check: str, why: str) -> CheckResult:
    """The result of a check that failed itself."""
    return CheckResult(check=check, verdict=Verdict.ERROR, why=why)


def unreadable(check: str, what: str, error: ClientError, *, action: str) -> CheckResult:
    """The result of a check that AWS did not let read `what`, with the permission that it needs."""
    from tagship.aws.calls import code_of, message_of

    return errored(
        check,
        f"{what} cannot be read ({code_of(error)}): {line(message_of(error), 300)}. The application's role must be "
        f"allowed {action}.",
    )


def _sentence(deciding: Sequence[CheckResult], checks: int) -> str:
    verb = "is" if len(deciding) == 1 else "are"
    named = "; ".join(
        line(f"{result.check}: {result.why}", REASON).rstrip(".") for result in deciding[:_NAMED]
    )
    others = f"; and {len(deciding) - _NAMED} more" if len(deciding) > _NAMED else ""
    checks_word = "check" if checks == 1 else "checks"
    return f"{len(deciding)} of {checks} {checks_word} {verb} {deciding[0].verdict.value}: {named}{others}."
