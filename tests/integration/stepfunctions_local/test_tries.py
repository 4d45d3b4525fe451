"""Every Retry of both machines, counted by an independent interpreter: how often a task is tried, and what happens then."""

from __future__ import annotations

import pytest

from tests.integration.stepfunctions_local.places import Ended, Place
from tests.integration.stepfunctions_local.test_mocked_paths import given
from tests.integration.stepfunctions_local.tries import Tries, all_tries
from tests.template.definitions import MACHINES

pytestmark = pytest.mark.xdist_group("mocks")

every_case = pytest.mark.parametrize("case", all_tries(), ids=lambda case: f"{case.task.machine}-{case.name}")


@pytest.fixture(scope="module")
def ended(interpreter: Place) -> dict[tuple[str, str], Ended]:
    """All these cases, once, and the cases that they begin with."""
    found = {}
    for machine in MACHINES:
        cases = [case for case in all_tries() if case.task.machine == machine]
        inputs = {case.name: given(machine, case.base) for case in cases}
        found |= {(machine, name): end for name, end in interpreter.run(machine, inputs).items()}
        bases = {case.base: given(machine, case.base) for case in cases}
        found |= {
            (machine, name): end
            for name, end in interpreter.run(machine, bases, named=lambda base: f"{base}-base").items()
        }
    return found


@every_case
def test_a_task_is_retried_as_often_as_its_retry_says(
    ended: dict[tuple[str, str], Ended], case: Tries
) -> None:
    first, *others = [
        each for each in ended[case.task.machine, case.name].scheduled if each.state == case.task.name
    ]
    tries = 1 + [each.visit for each in others].count(first.visit)
    assert tries == len(case.throws) + case.recovers


@every_case
def test_a_task_that_recovers_continues_and_one_without_retries_left_takes_its_catch(
    ended: dict[tuple[str, str], Ended], case: Tries
) -> None:
    end, base = ended[case.task.machine, case.name], ended[case.task.machine, case.base]
    if case.recovers:
        assert (end.status, end.error, end.entered) == (base.status, base.error, base.entered)
    else:
        assert case.caught in end.entered + end.entered_inside
