"""Timeouts, attempts and pauses add up to the budgets for all parameters: the worst case still fits.

An attempt lasts at most its `TimeoutSeconds`. After a failed attempt that is retried, AWS pauses `IntervalSeconds`,
each time `BackoffRate` times as long, never longer than `MaxDelaySeconds`. Each Retry counts its own attempts, so in
the worst case all of them are used up. A Map without `MaxConcurrency` runs its items concurrently, so it lasts as long
as its longest item.
"""

from __future__ import annotations

import itertools
import re
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tagship.deployment.restoring import LAST_WRITE_SECONDS, PATIENCE_SECONDS
from tagship.deployment.settling import AFTER_SETTLING_SECONDS, rollback_settle_by
from tagship.gates import together as together_in_a_task
from tagship.health import LambdaCheck, sampling
from tagship.ledger.approvals import MOST_PLANNINGS
from tagship.ledger.lock import SPARE_SECONDS
from tagship.model.application import AllAtOnce, Canary, Health, Linear, Step, Steps, Strategy
from tagship.model.rollout import (
    EVENTS_FOR_LOOKS,
    LOOK_EVENTS,
    longest_step,
    look_every,
    seconds_needed,
    traffic_steps,
)
from tagship.model.schedule import LONGEST_WAIT, LOOK_AGAIN
from tagship.targets.lambda_alias import KIND
from tests.template.cloudformation import defaults, functions, resources, seconds, smallest, template
from tests.template.definitions import Body, State, function_of, load, reachable, states_of, tasks
from tests.template.sources import module

LOOK = ["CheckHealth", "JudgeHealth"]
MACHINE_OF = {"release": "ReleaseStateMachine", "rollback": "RollbackStateMachine"}
BUDGETS = ("ValidationTimeoutSeconds", "HealthTimeoutSeconds", "RollbackTimeoutSeconds")
TRANSITION_SECONDS = 1
"""The time that Step Functions itself takes between two states, with a margin."""


def allowed(parameter: str) -> list[int]:
    """The values that are tried: all that are listed, or the bounds and the default."""
    described = template()["Parameters"][parameter]
    if "AllowedValues" in described:
        return [int(value) for value in described["AllowedValues"]]
    return sorted({described["MinValue"], described["Default"], described["MaxValue"]})


def combinations() -> list[Body]:
    """Every combination of budgets that can be deployed."""
    values = itertools.product(*map(allowed, BUDGETS))
    return [defaults() | dict(zip(BUDGETS, each, strict=True)) for each in values]


def written(parameters: Body) -> str:
    return "-".join(str(parameters[name]) for name in BUDGETS)


every_combination = pytest.mark.parametrize("parameters", combinations(), ids=written)


# ---- how long a state may take -------------------------------------------------------------------------------------


def time_out(task: State, parameters: Body) -> int:
    """The longest duration of one attempt."""
    value: Any = task.body["TimeoutSeconds"]
    if isinstance(value, int):
        return value
    filled = resources("AWS::Serverless::StateMachine")[MACHINE_OF[task.machine]]["DefinitionSubstitutions"]
    return seconds(filled[value.removeprefix("${").removesuffix("}")], parameters)


def pauses(retry: Body) -> list[float]:
    """AWS's pause before each further attempt."""
    return [
        min(
            retry["IntervalSeconds"] * retry["BackoffRate"] ** count, retry.get("MaxDelaySeconds", 31_622_400)
        )
        for count in range(retry["MaxAttempts"])
    ]


REFUSED_AT_ONCE = ["Lambda.TooManyRequestsException"]
REFUSED_SECONDS = 0.3
"""A call that Lambda throttles runs nothing and takes only the time of the call."""
ANOTHERS_TIME = ["RollbackUnderway"]
"""Waiting for another rollback of the same release takes that rollback's budget."""


def longest(task: State, parameters: Body) -> float:
    """All attempts at their longest, and all pauses between them."""
    own = [retry for retry in task.body["Retry"] if retry["ErrorEquals"] != ANOTHERS_TIME]
    waits = [pause for retry in own if retry["MaxAttempts"] for pause in pauses(retry)]
    refused = sum(retry["MaxAttempts"] for retry in own if retry["ErrorEquals"] == REFUSED_AT_ONCE)
    tries = (1 + len(waits) - refused) * time_out(task, parameters) + refused * REFUSED_SECONDS
    return tries + sum(waits) + TRANSITION_SECONDS


def task(machine: str, name: str) -> State:
    return next(state for state in states_of(machine) if state.name == name)


def together(machine: str, names: list[str], parameters: Body) -> float:
    return sum(longest(task(machine, name), parameters) for name in names)


# ---- the budgets ---------------------------------------------------------------------------------------------------


def test_the_default_budgets_are_the_required_ones() -> None:
    given = defaults()
    assert given["ValidationTimeoutSeconds"] == 300
    assert given["DeploymentTimeoutSeconds"] == 1200
    assert given["HealthTimeoutSeconds"] == 300
    assert given["RollbackTimeoutSeconds"] == 600


@pytest.mark.parametrize(
    "parameter, most",
    [
        ("ValidationTimeoutSeconds", 300),
        ("DeploymentTimeoutSeconds", 1200),
        ("HealthTimeoutSeconds", 300),
        ("RollbackTimeoutSeconds", 600),
    ],
)
def test_no_budget_can_be_longer_than_required(parameter: str, most: int) -> None:
    assert max(allowed(parameter)) == most


@every_combination
def test_all_gates_and_the_judgement_fit_into_the_validations_budget(parameters: Body) -> None:
    assert (
        together("release", ["RunGate", "JudgeGates"], parameters) <= parameters["ValidationTimeoutSeconds"]
    )


def test_mapped_tasks_wait_for_their_turn_while_the_account_has_no_concurrency_left() -> None:
    """Fault 78: a new account runs 10 functions at once; all tasks of a Map, a minute long, must get their turn."""
    for name, least in (("RunGate", 50), ("CheckHealth", 20)):
        first = task("release", name).body["Retry"][0]
        assert first["ErrorEquals"] == REFUSED_AT_ONCE, (
            "in front of the list that has two tries for everything"
        )
        assert sum(pauses(first)) >= least


@pytest.mark.parametrize("machine", ["release", "rollback"])
@every_combination
def test_all_health_checks_and_the_judgement_fit_into_healths_budget(parameters: Body, machine: str) -> None:
    assert together(machine, ["CheckHealth", "JudgeHealth"], parameters) <= parameters["HealthTimeoutSeconds"]


@every_combination
def test_a_rollback_in_which_everything_fails_except_the_last_attempt_fits_its_budget(
    parameters: Body,
) -> None:
    """The ending is then written by its own state. The execution's timeout, which nothing catches, is never reached."""
    after = together("rollback", ["AwaitStable", *LOOK, "EndRelease"], parameters)
    assert after <= AFTER_SETTLING_SECONDS, (
        "what settles at the last moment is still checked, and its ending written"
    )
    restoring = longest(task("rollback", "RestoreBaseline"), parameters)
    assert parameters["RollbackTimeoutSeconds"] - restoring - AFTER_SETTLING_SECONDS >= 25, (
        "and it has time to settle"
    )


def test_the_rest_of_a_rollbacks_budget_is_left_for_settling() -> None:
    started = datetime(2026, 1, 1, tzinfo=UTC)

    def left(*, after: int, kind_seconds: int = 900) -> float:
        now = started + timedelta(seconds=after)
        by = rollback_settle_by(kind_seconds, rollback_seconds=600, started=started, now=now)
        return (by - now).total_seconds()

    assert left(after=2) == 600 - AFTER_SETTLING_SECONDS - 2
    assert left(after=100) == 600 - AFTER_SETTLING_SECONDS - 100
    assert left(after=2, kind_seconds=60) == 60


def test_a_rollback_has_the_same_budget_for_its_execution_and_for_those_who_wait() -> None:
    assert load("rollback")["TimeoutSeconds"] == "${RollbackTimeoutSeconds}"
    assert task("release", "RollBack").body["TimeoutSeconds"] == "${RollbackTimeoutSeconds}"


SETTLING = {"AwaitStable", "Settled", "AwaitSettled"}
"""They lead back to one another, until a deadline that AwaitStable keeps."""


def test_a_rollback_visits_each_state_once_except_the_wait_for_settling() -> None:
    states = load("rollback")["States"]
    for name, body in states.items():
        for following in (*body.get("Choices", []), *body.get("Catch", []), body):
            if "Next" in following and name not in SETTLING:
                assert name not in reachable(states, following["Next"]), name


@pytest.mark.parametrize("machine", ["release", "rollback"])
def test_maps_run_all_items_concurrently(machine: str) -> None:
    for state in states_of(machine):
        if state.body["Type"] == "Map":
            assert not {"MaxConcurrency", "MaxConcurrencyPath"} & set(state.body), state


# ---- one try -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "each", [it for it in tasks() if "TimeoutSeconds" in it.body and function_of(it)], ids=str
)
def test_a_hanging_function_ends_before_the_flow_continues_without_it(each: State) -> None:
    function = functions()[function_of(each) or ""]
    for parameters in combinations():
        assert seconds(function["Timeout"], parameters) < time_out(each, parameters), written(parameters)


@every_combination
def test_the_longest_check_answers_before_its_function_times_out(parameters: Body) -> None:
    function = functions()["CheckHealthFunction"]
    assert seconds(function["Timeout"], parameters) >= sampling.BUDGET_SECONDS + 5


def test_gates_that_share_a_task_have_their_results_before_the_function_times_out() -> None:
    """Fault 13: a gate that hangs then has its own error, and the others keep their results."""
    assert functions()["RunGateFunction"]["Timeout"] >= together_in_a_task.SECONDS + 5


def test_a_function_receives_the_budgets_that_its_state_machine_enforces() -> None:
    variables = template()["Globals"]["Function"]["Environment"]["Variables"]
    for budget in ("Deployment", "Health", "Rollback", "Approval"):
        assert variables[f"TAGSHIP_{budget.upper()}_SECONDS"] == {"Ref": f"{budget}TimeoutSeconds"}


# ---- a deployment --------------------------------------------------------------------------------------------------
#
# A deployment's end is not one time-out, because its length is the application's own choice. Three rules keep it:
#   1. before approval: a strategy whose steps need more than the budget does not pass the gate `budget`;
#   2. before each further step: WhatNext compares what is left (`secondsLeft`) with what the step needs (`nextNeeds`: its
#      bake and KIND.step_seconds) and sends a release that is late to the rollback, with its reason;
#   3. within a step everything has a time-out, so that no step hangs.


def test_before_each_step_the_remaining_budget_is_compared_with_the_steps_need() -> None:
    choices = load("release")["States"]["WhatNext"]["Choices"]
    assert choices[-1] == {
        "Variable": "$.health.secondsLeft",
        "NumericLessThanPath": "$.deployment.nextNeeds",
        "Next": "OutOfTime",
    }
    ways = reachable(load("release")["States"], "OutOfTime")
    assert "RollBack" in ways
    assert "ShiftTraffic" not in ways


STRATEGIES: list[Strategy] = [
    AllAtOnce(type="all-at-once"),
    Canary(type="canary"),
    Linear(type="linear"),
    Steps(type="steps", steps=(Step(percent=1, bake=1000), Step(percent=100, bake=150))),
]


@pytest.mark.parametrize("strategy", STRATEGIES, ids=lambda strategy: strategy.type)
def test_a_step_needs_its_bake_plus_the_time_to_move_and_check(strategy: Strategy) -> None:
    for step in traffic_steps(strategy, KIND.step_seconds):
        assert step.needs == step.bake + KIND.step_seconds


@pytest.mark.parametrize("strategy", STRATEGIES, ids=lambda strategy: strategy.type)
def test_every_default_strategy_fits_the_deployment_budget(strategy: Strategy) -> None:
    assert (
        seconds_needed(traffic_steps(strategy, KIND.step_seconds)) <= defaults()["DeploymentTimeoutSeconds"]
    )


def test_the_shortest_deployment_budget_has_room_for_one_step() -> None:
    assert smallest("DeploymentTimeoutSeconds") >= KIND.step_seconds


@every_combination
def test_one_step_ends_in_bounded_time_despite_failures(parameters: Body) -> None:
    """Besides its bake, at most this long; then the release is rolled back."""
    step = together("release", ["ShiftTraffic", "AwaitStable", "CheckHealth", "JudgeHealth"], parameters)
    assert step <= 280 + parameters["HealthTimeoutSeconds"]


# ---- waiting -------------------------------------------------------------------------------------------------------


def test_a_release_waits_for_the_lock_as_long_as_another_may_deploy_and_roll_back() -> None:
    (waiting,) = [
        retry
        for retry in task("release", "AcquireLock").body["Retry"]
        if retry["ErrorEquals"] == ["LockHeld"]
    ]
    assert sum(pauses(waiting)) >= max(allowed("DeploymentTimeoutSeconds")) + max(
        allowed("RollbackTimeoutSeconds")
    )


def test_the_execution_outlives_the_longest_approval_and_all_budgets() -> None:
    parameters = defaults()
    before_approval = ["ReadRelease", "AcquireLock", "RunGate", "JudgeGates", "PlanDeployment"]
    after_approval = ["RemindApprovers", "RecheckRelease", "CompleteRelease", "RollBack", "EndRelease"]
    one_step = ["ShiftTraffic", "AwaitStable", "CheckHealth", "JudgeHealth"]
    needed = together("release", before_approval + after_approval + one_step, parameters)
    needed += max(allowed("ApprovalTimeoutSeconds")) + max(allowed("DeploymentTimeoutSeconds"))
    needed += LONGEST_WAIT.total_seconds()
    assert load("release")["TimeoutSeconds"] >= needed


def test_as_many_approvals_and_windows_as_a_release_may_wait_for_fit_into_its_execution() -> None:
    longest_approval = timedelta(seconds=max(allowed("ApprovalTimeoutSeconds")))
    needed = MOST_PLANNINGS * (longest_approval + LONGEST_WAIT)
    assert needed < timedelta(seconds=load("release")["TimeoutSeconds"])


def test_the_longest_wait_for_a_window_fits_into_the_execution_history() -> None:
    """25,000 events at most. A look is entered, scheduled, started, succeeded and exited; Choice and Wait add two each."""
    looks = LONGEST_WAIT / LOOK_AGAIN
    assert looks * (5 + 2 + 2) + EVENTS_FOR_LOOKS <= 20_000


def test_a_release_outside_its_window_waits_and_checks_again_and_can_do_nothing_else() -> None:
    states = load("release")["States"]
    assert states["RecheckRelease"]["Next"] == "MayBegin"
    assert states["MayBegin"]["Default"] == "AwaitWindow", "whatever it says, it does not say that it begins"
    assert states["AwaitWindow"]["Next"] == "RecheckRelease"
    assert [name for name, body in states.items() if body.get("Next") == "ShiftTraffic"] == []


def test_no_application_may_set_a_longer_approval_than_the_stacks_limit() -> None:
    text = module("tagship.model.application").path.read_text()
    (longest_asked,) = re.findall(r"expires: .*at\.Le\(([\d_]+)\)", text)
    assert int(longest_asked) == max(allowed("ApprovalTimeoutSeconds"))


def test_the_lock_outlives_a_step_until_the_rollback_holds_it() -> None:
    """ShiftTraffic's lease covers the bake, its extension of the same length, a health check after each, and the
    rollback."""
    for parameters in combinations():
        lease = longest_step(300, every=30, health_seconds=parameters["HealthTimeoutSeconds"])
        lease += parameters["RollbackTimeoutSeconds"] + SPARE_SECONDS
        step = 300 + 300 + together("release", ["ShiftTraffic", "AwaitStable", *LOOK, *LOOK], parameters)
        first_try = time_out(task("rollback", "RestoreBaseline"), parameters)
        assert step + first_try <= lease


def test_a_rollback_whose_write_is_refused_outlasts_every_call_of_the_release() -> None:
    """Fault 95: it counts as restored without its write only when no late write of the release can follow."""
    its = {
        name: seconds(functions()[f"{name}Function"]["Timeout"], {})
        for name in ("ShiftTraffic", "RestoreBaseline")
    }
    (retry,) = (
        each
        for each in task("rollback", "RestoreBaseline").body["Retry"]
        if each["ErrorEquals"] == ["States.ALL"]
    )
    assert its["ShiftTraffic"] < LAST_WRITE_SECONDS <= sum(pauses(retry)) + PATIENCE_SECONDS
    assert its["RestoreBaseline"] - 4 > PATIENCE_SECONDS, "the calls of that try need some seconds too"


# ---- the history of an execution -----------------------------------------------------------------------------------

HISTORY_EVENTS = 25_000
"""AWS's limit for an execution; one event more fails it, and no Catch handles that."""


def test_a_health_check_counts_the_history_events_of_its_states() -> None:
    """A task is entered, scheduled, started, succeeded and exited; Choice and Wait are entered and exited."""
    look = ("Bake", "CheckHealth", "JudgeHealth", "WhatNext")
    states = load("release")["States"]
    assert sum(5 if states[name]["Type"] == "Task" else 2 for name in look) == LOOK_EVENTS


@pytest.mark.parametrize("retried", [False, True])
def test_health_checks_leave_room_in_the_history_for_any_configuration(retried: bool) -> None:
    """A failed attempt is three events more, and its pauses make the check 3 s longer."""
    health = Health(checks=(LambdaCheck(type="lambda"),) * 20, every=1)
    seconds = max(allowed("DeploymentTimeoutSeconds"))
    each = look_every(health, deployment_seconds=seconds) + (3 if retried else 0)
    tries = 2 * 3 * 2 if retried else 0  # of CheckHealth and of JudgeHealth
    assert seconds / each * (LOOK_EVENTS + tries) <= HISTORY_EVENTS - 2_500
