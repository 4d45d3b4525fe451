"""All checks run concurrently. One check cannot lose another's result, and silence is not healthy."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from typing import ClassVar

import pytest

from tagship.health import AlarmCheck, CheckResult, Given, LambdaCheck, Verdict
from tagship.health.together import checks_for, look
from tagship.model.errors import AwsUnavailable, CredentialsRefused
from tests.unit.builders import subject


@dataclass(frozen=True, kw_only=True)
class Check:
    """Answers with a verdict, raises, or waits until it is let go."""

    LOOKS_BACK: ClassVar[int] = 0
    does: object = Verdict.HEALTHY
    meets: threading.Barrier | None = None
    held: threading.Event = field(default_factory=threading.Event)

    def run(self, given):
        if self.meets:
            self.meets.wait(timeout=20)
        if isinstance(self.does, Exception):
            raise self.does
        if self.does is None:
            self.held.wait(20)
        return CheckResult(check=given.name, verdict=self.does or Verdict.HEALTHY, why="so it is")


def looked(*checks, of="candidate", seconds=20):
    """By the check's name, which is its position in the list."""
    asked = [
        (
            check,
            Given(
                name=str(number), application="a", tag="v1.0.0", client={}.get, subject=of, offers=subject()
            ),
        )
        for number, check in enumerate(checks)
    ]
    results = look(asked, seconds=seconds)
    assert [result.check for result in results] == [given.name for _, given in asked]
    return [result.verdict for result in results]


THROTTLED = AwsUnavailable("Reading alarms: throttled")


def test_all_checks_run_concurrently():
    meets = threading.Barrier(20)
    assert looked(*[Check(meets=meets)] * 20) == [Verdict.HEALTHY] * 20


def test_a_hanging_or_refused_check_is_an_error_and_the_others_keep_their_results():
    hanging = Check(does=None)
    try:
        found = looked(Check(), hanging, Check(does=CredentialsRefused("no", "")), seconds=0.2)
    finally:
        hanging.held.set()
    assert found == [Verdict.HEALTHY, Verdict.ERROR, Verdict.ERROR]


@pytest.mark.parametrize("error", [ValueError("NaN"), KeyError("Values"), RecursionError()], ids=repr)
def test_an_unexpected_error_in_one_check_does_not_lose_the_other_results(error):
    found = looked(Check(does=Verdict.UNHEALTHY), Check(does=error), Check())
    assert found == [Verdict.UNHEALTHY, Verdict.ERROR, Verdict.HEALTHY]


def test_a_throttled_check_is_retried_and_named():
    with pytest.raises(AwsUnavailable, match=r"^1: Reading alarms: throttled"):
        looked(Check(), Check(does=THROTTLED), Check(does=Verdict.INCONCLUSIVE))


@pytest.mark.parametrize("gravest", [Verdict.UNHEALTHY, Verdict.ERROR])
def test_a_candidate_that_is_rolled_back_anyway_waits_for_no_throttled_check(gravest):
    assert looked(Check(does=THROTTLED), Check(does=gravest)) == [Verdict.ERROR, gravest]


def test_a_restored_baseline_is_judged_by_all_its_checks():
    """A check that could not answer before the release does not count afterwards, so one bad answer does not decide."""
    with pytest.raises(AwsUnavailable):
        looked(Check(does=THROTTLED), Check(does=Verdict.UNHEALTHY), of="baseline")


def test_without_checks_there_are_no_results():
    assert looked(of="baseline") == []


def test_checks_of_past_data_do_not_run_on_a_restored_baseline():
    lambda_check, alarm = LambdaCheck(type="lambda"), AlarmCheck(type="alarm", names=("storefront-5xx",))
    assert checks_for((lambda_check, alarm), subject="candidate") == [lambda_check, alarm]
    assert checks_for((lambda_check, alarm), subject="baseline") == [lambda_check]
