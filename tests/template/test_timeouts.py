"""A stalled call, its function, and the state that waits for it end in that order, whatever fails.

The client gives up first (its timeouts, times its attempts), then Lambda ends the function, then Step Functions stops
waiting. Lambda may take 10 s to start an environment; that is outside the function's timeout and inside the state's.
"""

from __future__ import annotations

import ast

import pytest
from botocore.config import Config

from tagship.aws import clients
from tagship.aws.calls import LAMBDA_FAULTS
from tagship.health.beforehand import CANDIDATE_SECONDS
from tagship.targets import lambda_functions
from tests.template.cloudformation import defaults, functions, seconds
from tests.template.definitions import State, function_of, snake, tasks
from tests.template.sources import everything_behind, module
from tests.template.test_budgets import REFUSED_AT_ONCE, combinations, time_out, written

COLD_START_SECONDS = 10
"""The longest that Lambda lets an environment start (Lambda's quotas: initialization)."""
LONGEST_PAUSE_SECONDS = 1
"""Between two tries in botocore's standard mode: at most 1 s before the second."""
CONFIGS = {name: value for name, value in vars(clients).items() if isinstance(value, Config)}

waiting = [it for it in tasks() if "TimeoutSeconds" in it.body and function_of(it)]


def longest_call(config: Config) -> float:
    """One call whose every connection stalls."""
    tries = config.retries["total_max_attempts"]
    return tries * (config.connect_timeout + config.read_timeout) + (tries - 1) * LONGEST_PAUSE_SECONDS


def configs_of(function: str) -> set[str]:
    """The time-outs with which a function calls AWS: those that it or anything behind it names, and the usual ones."""
    folder = snake(function.removesuffix("Function"))
    behind = everything_behind(f"functions.{folder}") - {"tagship.aws.clients"}
    if folder != "run_gate":  # others know the gates' names alone
        behind = {name for name in behind if not name.startswith("tagship.gates.")}
    named = {
        node.id
        for name in behind
        for node in ast.walk(module(name).tree)
        if isinstance(node, ast.Name) and node.id in CONFIGS
    }
    return {"_CONFIG"} | named - (set() if uploads(folder) else {"UPLOADING"})


def uploads(folder: str) -> bool:
    """Whether a function tells the target's adapter what it may upload; run_gate does so in its gates."""
    own = ast.walk(module(f"functions.{folder}").tree)
    return folder == "run_gate" or any(isinstance(it, ast.keyword) and it.arg == "objects" for it in own)


def test_every_client_has_explicit_retries_and_timeouts() -> None:
    assert set(CONFIGS) >= {"_CONFIG", "UPLOADING", "ASKED_ONCE", "QUICK"}
    for name, config in CONFIGS.items():
        assert config.retries["mode"] == "standard", name
        assert 1 <= config.retries["total_max_attempts"] <= 2, name


@pytest.mark.parametrize("name", functions())
def test_a_call_that_stalls_ends_before_the_function_that_makes_it(name: str) -> None:
    """Fault 69: otherwise one lost packet kills the function, and rolls back a healthy release."""
    for parameters in combinations():
        lives = seconds(functions()[name]["Timeout"], parameters)
        for config in configs_of(name):
            assert longest_call(CONFIGS[config]) < lives, f"{config}, {written(parameters)}"


def test_a_candidate_is_uploaded_and_checked_within_one_invocation() -> None:
    """A slow upload, a slow ledger write, a slow activation, and a candidate that answers as late as allowed."""
    lives = seconds(functions()["ProveCandidateFunction"]["Timeout"], defaults())
    calls = longest_call(clients.UPLOADING) + longest_call(clients._CONFIG) + CANDIDATE_SECONDS
    assert calls + sum(lambda_functions._LOOKS) < lives
    assert longest_call(clients.ASKED_ONCE) < CANDIDATE_SECONDS


@pytest.mark.parametrize("task", waiting, ids=str)
def test_a_function_that_starts_cold_and_hangs_ends_before_its_state_times_out(task: State) -> None:
    """Fault 75."""
    function = functions()[function_of(task) or ""]
    for parameters in combinations():
        lives = seconds(function["Timeout"], parameters)
        assert lives < time_out(task, parameters) - COLD_START_SECONDS, written(parameters)


@pytest.mark.parametrize("task", [it for it in tasks() if function_of(it)], ids=str)
def test_every_state_retries_the_same_list_of_transient_errors(task: State) -> None:
    """Fault 70: besides our own names, other waited-for calls come first."""
    retries = [retry for retry in task.body["Retry"] if retry["MaxAttempts"]]
    transient = ["AwsUnavailable", "LedgerBusy", *LAMBDA_FAULTS]
    lists = [[name for name in retry["ErrorEquals"] if name in transient] for retry in retries]
    everything = any("States.ALL" in retry["ErrorEquals"] for retry in retries)
    # Concurrent map tasks wait longer for their turn, so they have their own list.
    apart = [name for name in transient if name not in REFUSED_AT_ONCE]
    assert everything or [names for names in lists if names] in ([transient], [REFUSED_AT_ONCE, apart])
