"""n of m: one bad answer does not fail a flapping service, and one good answer does not pass it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace

from tagship.health.verdict import SAYS_SO, CheckResult, Verdict

BUDGET_SECONDS = 50
"""The limit for all requests of a check together: well within the state's time-out, however slow each one is."""
INVOCATION_SECONDS = 20
"""The time assumed for one invocation of a check, so that all stay in their budget; the client's time-out enforces it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """The result of one request."""

    verdict: Verdict
    ms: int
    why: str = ""
    """Why it did not pass."""
    status: int | None = None
    tls_days: int | None = None
    """How many days the certificate is still valid."""
    says_so: bool = False
    """It understands the check and reports itself that it is not healthy."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Percentile:
    """A limit for this percentile of the answers, instead of for each."""

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
    """Sends one request after the other, until all are sent, passing is impossible, or time is short.

    `longest` is how many seconds one request can take; the budget counts from the clock reading `begun`.
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
    """The result, with the percentile of the passed answers: the smallest time that this share of them did not exceed."""
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
    if own := sum(answer.says_so for answer in answers):
        numbers[SAYS_SO] = own
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
    """The problem of a check that requires more healthy answers than it sends requests."""
    if must_pass > requests:
        yield "mustPass", f"requires {must_pass} healthy answers from {requests} requests"
