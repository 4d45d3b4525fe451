"""n of m: one bad answer does not condemn a flapping service, and one good answer does not acquit it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace

from tagship.health.verdict import SAYS_SO, CheckResult, Verdict

BUDGET_SECONDS = 50
"""All requests of a check together: far inside the state that waits for them, however slow each one is."""
INVOCATION_SECONDS = 20
"""What one invocation of a check is reckoned with, so that all stay in their budget; the client's time-out ends it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What one request came to."""

    verdict: Verdict
    ms: int
    why: str = ""
    """Why it did not pass."""
    status: int | None = None
    tls_days: int | None = None
    """How many days the certificate is still valid."""
    says_so: bool = False
    """It knows the question and says itself that it is not healthy."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Percentile:
    """A limit on how long that share of the answers takes, instead of on each."""

    percent: int
    most_ms: int


def sample(
    ask: Callable[[], Answer],
    *,
    check: str,
    requests: int,
    must_pass: int,
    begun: float,
    longest: float,
    clock: Callable[[], float],
    percentile: Percentile | None = None,
) -> CheckResult:
    """Asks one request after the other, until all are asked, passing is impossible, or time is short.

    `longest` is how many seconds one request may take, `begun` the reading from which the budget counts.
    """
    answers: list[Answer] = []
    passed = 0
    latest_start = begun + BUDGET_SECONDS - min(longest, BUDGET_SECONDS)
    while (
        len(answers) < requests and passed + requests - len(answers) >= must_pass and clock() <= latest_start
    ):
        answers.append(ask())
        passed += answers[-1].verdict is Verdict.HEALTHY
    result = _weigh(check, answers, requests=requests, must_pass=must_pass)
    if percentile is None or result.verdict is not Verdict.HEALTHY:
        return result
    return _held(result, percentile, [answer.ms for answer in answers if answer.verdict is Verdict.HEALTHY])


def _held(result: CheckResult, limit: Percentile, times: list[int]) -> CheckResult:
    """The result, with the percentile of what passed: the smallest time that this share of the answers did not exceed."""
    reached = sorted(times)[-(-limit.percent * len(times) // 100) - 1]
    numbers = {**result.numbers, f"p{limit.percent}Ms": reached}
    if reached <= limit.most_ms:
        return replace(result, numbers=numbers)
    why = f"{limit.percent} % of the answers took up to {reached} ms; the limit is {limit.most_ms} ms"
    return replace(
        result,
        verdict=Verdict.UNHEALTHY,
        why=f"{result.why.rstrip('.')}; {why}.",
        numbers={**numbers, "firstFailure": why},
    )


def _weigh(check: str, answers: list[Answer], *, requests: int, must_pass: int) -> CheckResult:
    passed = sum(answer.verdict is Verdict.HEALTHY for answer in answers)
    failed = [answer for answer in answers if answer.verdict is Verdict.UNHEALTHY]
    unclear = [answer for answer in answers if answer.verdict not in {Verdict.HEALTHY, Verdict.UNHEALTHY}]
    numbers: dict[str, float | int | str] = {
        "requests": requests,
        "asked": len(answers),
        "passed": passed,
        "mustPass": must_pass,
    }
    why = f"{passed} of {requests} requests passed; {must_pass} must pass"
    if times := sorted(answer.ms for answer in answers):
        numbers["medianMs"] = times[len(times) // 2]
        numbers["slowestMs"] = times[-1]
        why += f"; median {numbers['medianMs']} ms, slowest {numbers['slowestMs']} ms"
    if statuses := [answer.status for answer in answers if answer.status is not None]:
        numbers["lastStatus"] = statuses[-1]
    if days := [answer.tls_days for answer in answers if answer.tls_days is not None]:
        numbers["tlsDaysLeft"] = min(days)
    if said := sum(answer.says_so for answer in answers):
        numbers[SAYS_SO] = said
    if not_passed := failed + unclear:
        numbers["firstFailure"] = not_passed[0].why
        why += f"; {not_passed[0].why}"
    if passed >= max(1, must_pass):
        verdict = Verdict.HEALTHY
    elif len(failed) > requests - must_pass >= 0:
        verdict = Verdict.UNHEALTHY
    else:
        verdict = Verdict.INCONCLUSIVE
        if (not_asked := requests - len(answers)) and passed + not_asked >= must_pass:
            why += f"; {not_asked} were not sent, because all requests together may take {BUDGET_SECONDS} s"
    return CheckResult(check=check, verdict=verdict, why=f"{why}.", numbers=numbers)


def out_of_reach(requests: int, must_pass: int) -> Iterable[tuple[str, str]]:
    """The problem of a check that asks for more healthy answers than requests."""
    if must_pass > requests:
        yield "mustPass", f"requires {must_pass} healthy answers from {requests} requests"
