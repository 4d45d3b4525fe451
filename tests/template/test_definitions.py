"""Both state machines: every way leads somewhere, every failure has its path, and nothing asks for what an engine lacks."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

import pytest

from tagship.aws.calls import LAMBDA_FAULTS
from tagship.gates.gate import GateResult
from tagship.gates.gate import judge as judge_gates
from tagship.health.verdict import CheckResult, Verdict
from tagship.health.verdict import judge as judge_health
from tagship.model import errors
from tagship.model.release import Status
from tests.template.cloudformation import functions, functions_beside_the_flow, resources
from tests.template.definitions import (
    COMBINATIONS,
    MACHINES,
    ROOT,
    Body,
    State,
    after,
    all_levels,
    all_states,
    dynamic,
    function_of,
    is_end,
    load,
    placeholders,
    reachable,
    rules,
    snake,
    states_of,
    tasks,
)

MACHINE_OF = {"release": "ReleaseStateMachine", "rollback": "RollbackStateMachine"}

# Names that AWS gives to errors: https://docs.aws.amazon.com/step-functions/latest/dg/concepts-error-handling.html and the
# pages of the two integrations that are used.
AWS_ERRORS = frozenset(
    {
        *LAMBDA_FAULTS,
        "States.ALL",
        "States.Timeout",
        "StepFunctions.AWSStepFunctionsException",
        "StepFunctions.ExecutionLimitExceeded",
        "StepFunctions.ExecutionLimitExceededException",
        "StepFunctions.SdkClientException",
        "StepFunctions.ThrottlingException",
    }
)
# What an execution may end with that is not one of the ledger's endings, and why.
ENDS_BESIDE_THE_LEDGER = {
    "TagAlreadyUsed": "the tag is another release's, whose own ending stands",
    "RetryRefused": "no attempt began; how the release ended before stands",
    "EndingNotRecorded": "the ledger can't be written now; the supervisor writes the ending",
}

# What all four engines have: AWS, Step Functions Local, the embedded engine and moto. Anything else is a decision.
FIELDS = {
    "Task": "Type Comment Resource Parameters ResultSelector ResultPath OutputPath TimeoutSeconds TimeoutSecondsPath "
    "Retry Catch Next End",
    "Map": "Type Comment ItemsPath ItemSelector ItemProcessor ResultPath Next End",
    "Choice": "Type Comment Choices Default",
    "Pass": "Type Comment Parameters ResultPath Next End",
    "Wait": "Type Comment Seconds SecondsPath Next End",
    "Succeed": "Type Comment",
    "Fail": "Type Comment Error Cause ErrorPath CausePath",
}
COMPARISONS = {
    "BooleanEquals",
    "StringEquals",
    "NumericEquals",
    "NumericLessThan",
    "NumericLessThanPath",
    "NumericGreaterThanEquals",
    "NumericGreaterThanEqualsPath",
}
INTRINSICS = {
    "States.Format",
    "States.ArrayGetItem",
    "States.ArrayLength",
    "States.MathAdd",
    "States.StringToJson",
    "States.JsonToString",
}
CONTEXT = frozenset(
    {
        "$$.Execution.Id",
        "$$.Task.Token",
        "$$.Map.Item.Value",
        "$$.Map.Item.Value.check",
        "$$.Map.Item.Value.index",
        "$$.Map.Item.Index",
    }
)
SIMPLE_PATH = re.compile(r"\$(\.[A-Za-z_]\w*)*")
RETRY_FIELDS = {"ErrorEquals", "IntervalSeconds", "MaxAttempts", "BackoffRate", "MaxDelaySeconds"}

# Ways from a failure to a Succeed that are meant.
NOT_A_FAILURE = {
    "release.RequestApproval: States.Timeout": "the approvers are reminded, and asked again; one may then approve",
}
GUARDED = {
    "rollback.DidItWork": "lets nothing through to Succeeded but what the ledger calls ROLLED_BACK or ABORTED",
}


def is_success(states: Mapping[str, Body], name: str) -> bool:
    return bool(states[name]["Type"] == "Succeed")


def inner(machine: str, map_state: str, name: str) -> Body:
    body: Body = load(machine)["States"][map_state]["ItemProcessor"]["States"][name]
    return body


def filled(body: Body) -> dict[str, Any]:
    """What a Pass state answers, with some text wherever a path would be read."""
    return {name.removesuffix(".$"): value for name, value in body["Parameters"].items()}


def gives_an_ending(state: State) -> bool:
    return state.body["Type"] == "Pass" and state.body.get("ResultPath") == "$.ending"


def gives_a_failure(name: str, body: Body) -> bool:
    """Pass states that say how it failed; what succeeded without a failure is no failure."""
    if body["Type"] != "Pass":
        return False
    return name not in ("RolledBack", "Aborted")


def ids(states: list[State]) -> list[str]:
    return [str(state) for state in states]


every_machine = pytest.mark.parametrize("machine", MACHINES)
every_task = pytest.mark.parametrize("task", tasks(), ids=ids(tasks()))
every_state = pytest.mark.parametrize("state", all_states(), ids=ids(all_states()))


# ---- the files -----------------------------------------------------------------------------------------------------


@every_machine
def test_a_definition_reads_as_yaml_before_anything_is_put_into_it(machine: str) -> None:
    assert set(load(machine)) == {"Comment", "StartAt", "TimeoutSeconds", "States"}


@every_machine
def test_what_a_definition_leaves_open_is_what_the_template_puts_in(machine: str) -> None:
    properties = resources("AWS::Serverless::StateMachine")[MACHINE_OF[machine]]
    assert properties["DefinitionUri"] == f"statemachine/{machine}.asl.yaml"
    assert placeholders(machine) == set(properties["DefinitionSubstitutions"])


@every_machine
def test_a_functions_place_in_a_definition_is_filled_with_that_function(machine: str) -> None:
    filled = resources("AWS::Serverless::StateMachine")[MACHINE_OF[machine]]["DefinitionSubstitutions"]
    for name, value in filled.items():
        if name.endswith("FunctionArn"):
            assert value == {"Fn::GetAtt": [name.removesuffix("Arn"), "Arn"]}


@every_machine
def test_the_machines_are_standard_so_that_a_release_may_wait_for_people(machine: str) -> None:
    assert resources("AWS::Serverless::StateMachine")[MACHINE_OF[machine]]["Type"] == "STANDARD"


# ---- the graph -----------------------------------------------------------------------------------------------------


def test_every_state_leads_to_a_state_that_exists() -> None:
    for place, level in all_levels():
        assert level["StartAt"] in level["States"], place
        for name, body in level["States"].items():
            for how, where in after(body).items():
                assert where in level["States"], f"{place}.{name}: {how} leads to {where}, which is not there"


def test_every_state_can_be_reached() -> None:
    for place, level in all_levels():
        assert reachable(level["States"], level["StartAt"]) == set(level["States"]), place


def test_from_every_state_there_is_a_way_to_an_end() -> None:
    for place, level in all_levels():
        for name in level["States"]:
            ways = reachable(level["States"], name)
            assert any(is_end(level["States"][way]) for way in ways), f"{place}.{name} goes round for ever"


def test_a_state_either_ends_or_leads_on() -> None:
    for state in all_states():
        leads_on = "Next" in state.body or state.body["Type"] == "Choice"
        assert leads_on != is_end(state.body), state


def test_a_state_name_stands_once_in_a_machine_because_mocks_and_metrics_find_it_by_name() -> None:
    for machine in MACHINES:
        names = [state.name for state in states_of(machine)]
        assert len(names) == len(set(names)), machine


@pytest.mark.parametrize("state", [it for it in all_states() if it.body["Type"] == "Choice"], ids=str)
def test_every_choice_has_a_default_so_that_no_answer_is_without_a_way(state: State) -> None:
    assert "Default" in state.body


@pytest.mark.parametrize(
    "machine, choice, cautious",
    [
        ("release", "WhatWasRead", "TagAlreadyUsed"),
        ("release", "GatesPassed", "Invalid"),
        ("release", "AnythingToChange", "RequestApproval"),
        ("release", "HowDecided", "Expired"),
        ("rollback", "AnythingServes", "AwaitStable"),
        ("rollback", "Healthy", "BaselineUnhealthy"),
        ("rollback", "DidItWork", "Failed"),
    ],
)
def test_an_answer_that_nobody_foresaw_takes_the_cautious_way(
    machine: str, choice: str, cautious: str
) -> None:
    assert load(machine)["States"][choice]["Default"] == cautious


def test_traffic_moves_on_only_after_a_healthy_verdict_was_looked_for_first() -> None:
    """What is clearly wrong goes back at once; a bake that is not over goes on; and then only healthy passes."""
    unhealthy, error, baking, not_healthy, *moving_on = load("release")["States"]["WhatNext"]["Choices"]
    for clear, verdict in ((unhealthy, "unhealthy"), (error, "error")):
        assert clear == {"Variable": "$.health.verdict", "StringEquals": verdict, "Next": "HealthFailed"}
    assert baking == {"Variable": "$.health.wait", "NumericGreaterThanEquals": 1, "Next": "Bake"}
    assert not_healthy == {
        "Not": {"Variable": "$.health.verdict", "StringEquals": "healthy"},
        "Next": "HealthFailed",
    }
    assert [rule["Next"] for rule in moving_on] == ["OutOfTime", "CompleteRelease", "OutOfTime"]


# ---- time-outs, retries, failure paths -----------------------------------------------------------------------------


@every_task
def test_no_task_waits_for_ever(task: State) -> None:
    assert ("TimeoutSeconds" in task.body) != ("TimeoutSecondsPath" in task.body)


@every_task
def test_every_task_has_a_failure_path_for_whatever_happens(task: State) -> None:
    *named, last = task.body["Catch"]
    assert last["ErrorEquals"] == ["States.ALL"]
    assert all("States.ALL" not in catch["ErrorEquals"] for catch in named)


@every_task
def test_what_went_wrong_stands_in_the_data_beside_what_was_there(task: State) -> None:
    assert {catch["ResultPath"] for catch in task.body["Catch"]} == {"$.error"}


@every_task
def test_every_task_that_calls_a_function_asks_again_when_aws_or_the_ledger_is_busy(task: State) -> None:
    retried = [
        name for retry in task.body["Retry"] if retry.get("MaxAttempts") != 0 for name in retry["ErrorEquals"]
    ]
    if function_of(task) is None:
        assert retried
    elif "States.ALL" not in retried:
        assert {
            "AwsUnavailable",
            "LedgerBusy",
            "Lambda.TooManyRequestsException",
            "Lambda.ServiceException",
        } <= {*retried}


@every_task
def test_a_name_stands_in_one_retry_of_a_task_because_the_first_one_wins(task: State) -> None:
    names = [name for retry in task.body["Retry"] for name in retry["ErrorEquals"]]
    assert len(names) == len(set(names))
    for retry in task.body["Retry"][:-1]:
        assert "States.ALL" not in retry["ErrorEquals"]


@every_task
def test_every_retry_says_how_often_and_how_long_it_waits(task: State) -> None:
    for retry in task.body["Retry"]:
        assert set(retry) <= RETRY_FIELDS
        assert retry["MaxAttempts"] == 0 or {"IntervalSeconds", "BackoffRate"} <= set(retry)
        assert retry.get("MaxDelaySeconds", 31_622_400) > retry.get("IntervalSeconds", 1)


def test_a_time_out_is_retried_only_where_nothing_matters_more() -> None:
    retrying = [
        str(task)
        for task in tasks()
        for retry in task.body["Retry"]
        if {"States.ALL", "States.Timeout", "States.TaskFailed"} & set(retry["ErrorEquals"])
    ]
    assert retrying == ["rollback.RestoreBaseline"]


def test_every_name_of_an_error_is_ours_or_awss() -> None:
    ours = {name for name, kind in vars(errors).items() if isinstance(kind, type)} - {"TagshipError"}
    branches = {"RetryableError", "FinalError"}
    for state in all_states():
        for rule in (*state.body.get("Retry", []), *state.body.get("Catch", [])):
            assert set(rule["ErrorEquals"]) <= ours - branches | AWS_ERRORS, state


def test_a_literal_error_of_an_execution_is_one_of_the_contracts_endings() -> None:
    endings = {status.error for status in Status if status.error} | set(ENDS_BESIDE_THE_LEDGER)
    literal = {state.body["Error"] for state in all_states() if "Error" in state.body}
    assert literal <= endings


@pytest.mark.parametrize("state", [it for it in all_states() if it.body["Type"] == "Fail"], ids=str)
def test_a_failed_execution_says_how_it_ended_and_why(state: State) -> None:
    assert ("Error" in state.body) != ("ErrorPath" in state.body)
    assert ("Cause" in state.body) != ("CausePath" in state.body)


def test_every_ending_that_a_state_gives_is_a_status_of_the_ledger() -> None:
    given = {
        str(state): state.body["Parameters"]["status"] for state in all_states() if gives_an_ending(state)
    }
    assert given
    assert set(given.values()) <= set(Status), given


# ---- a failure never ends as SUCCEEDED -----------------------------------------------------------------------------


def failures() -> Iterator[tuple[str, Mapping[str, Body], str]]:
    """Every way on which something has gone wrong, where it begins, and among which states."""
    for place, level in all_levels():
        for name, body in level["States"].items():
            for catch in body.get("Catch", []):
                yield f"{place}.{name}: {','.join(catch['ErrorEquals'])}", level["States"], catch["Next"]
            if gives_a_failure(name, body):
                yield f"{place}.{name}", level["States"], name


@pytest.mark.parametrize("way, states, start", [*failures()], ids=[way for way, *_ in failures()])
def test_what_has_failed_never_ends_as_succeeded(way: str, states: dict[str, Body], start: str) -> None:
    if way in NOT_A_FAILURE:
        return
    machine = way.split(".", maxsplit=1)[0]
    guarded = {name: body for name, body in states.items() if f"{machine}.{name}" in GUARDED}
    unguarded = states | {name: {**body, "Choices": []} for name, body in guarded.items()}
    ends = {name for name in reachable(unguarded, start) if unguarded[name]["Type"] == "Succeed"}
    assert ends == set()


def test_every_exception_that_is_listed_here_is_still_one() -> None:
    assert set(NOT_A_FAILURE) <= {way for way, *_ in failures()}
    assert set(GUARDED) <= {str(state) for state in all_states()}
    assert set(ENDS_BESIDE_THE_LEDGER) <= {state.body.get("Error") for state in all_states()}


def test_a_rollback_succeeds_only_by_the_two_endings_that_mean_it() -> None:
    choice = load("rollback")["States"]["DidItWork"]
    assert [(rule["Variable"], rule["StringEquals"], rule["Next"]) for rule in choice["Choices"]] == [
        ("$.ending.status", "ROLLED_BACK", "Succeeded"),
        ("$.ending.status", "ABORTED", "Succeeded"),
    ]
    leading = {
        name for name, body in load("rollback")["States"].items() if "Succeeded" in after(body).values()
    }
    assert leading == {"DidItWork"}


def test_a_release_succeeds_only_when_it_is_complete_or_was_read_before() -> None:
    states = load("release")["States"]
    leading = {
        (name, end)
        for name, body in states.items()
        for end in after(body).values()
        if is_success(states, end)
    }
    assert leading == {("CompleteRelease", "Succeeded"), ("WhatWasRead", "Duplicate")}


def test_a_gate_that_errored_counts_as_failed() -> None:
    result = filled(inner("release", "RunGates", "GateErrored"))
    assert judge_gates([{**result, "gate": "tag"}])[0] is False
    assert GateResult(**result).as_dict() == result, "it has the form of any other answer"


@every_machine
def test_a_health_check_that_errored_is_not_healthy(machine: str) -> None:
    result = filled(inner(machine, "CheckHealth", "CheckErrored"))
    assert judge_health([CheckResult.from_dict(result)]).verdict is Verdict.ERROR
    assert set(result) >= {"check", "verdict", "why", "numbers"}


# ---- one definition, four engines ----------------------------------------------------------------------------------


@every_state
def test_a_state_asks_for_nothing_that_an_engine_lacks(state: State) -> None:
    assert set(state.body) <= set(FIELDS[state.body["Type"]].split())


def test_choices_compare_only_as_all_engines_can() -> None:
    for state in all_states():
        for rule in rules(state.body.get("Choices", [])):
            assert set(rule) - {"Variable", "Next"} <= COMPARISONS | COMBINATIONS, state


@every_state
def test_paths_are_plain_and_intrinsic_functions_are_those_that_all_engines_have(state: State) -> None:
    for path in dynamic(state.body):
        if path.startswith("States."):
            assert set(re.findall(r"States\.\w+", path)) <= INTRINSICS
            path_arguments = re.findall(r"\$[\w.$]*", path)
        else:
            path_arguments = [path]
        for argument in path_arguments:
            assert argument in CONTEXT or SIMPLE_PATH.fullmatch(argument), argument


@pytest.mark.parametrize("state", [it for it in all_states() if it.body["Type"] == "Map"], ids=str)
def test_maps_run_inline_and_all_at_once(state: State) -> None:
    processor = state.body["ItemProcessor"]
    assert set(processor) == {"ProcessorConfig", "StartAt", "States"}
    assert processor["ProcessorConfig"] == {"Mode": "INLINE"}


@every_task
def test_a_task_calls_a_function_or_the_way_back_and_nothing_else(task: State) -> None:
    assert task.body["Resource"] in (
        "arn:aws:states:::lambda:invoke",
        "arn:aws:states:::lambda:invoke.waitForTaskToken",
        "arn:aws:states:::states:startExecution.sync:2",
    )


def test_only_the_request_for_approval_waits_for_people() -> None:
    waiting = [str(task) for task in tasks() if task.body["Resource"].endswith("waitForTaskToken")]
    assert waiting == ["release.RequestApproval"]


@every_task
def test_a_function_gets_a_payload_of_its_own_and_the_execution_that_asks(task: State) -> None:
    if function_of(task) is None:
        return
    assert set(task.body["Parameters"]) == {"FunctionName", "Payload"}
    assert task.body["Parameters"]["Payload"]["execution.$"] == "$$.Execution.Id"


# ---- one name ------------------------------------------------------------------------------------------------------


@every_task
def test_a_state_its_folder_and_its_function_have_one_name(task: State) -> None:
    function = function_of(task)
    if function is None:
        assert str(task) == "release.RollBack"
        return
    assert function == f"{task.name}Function"
    assert functions()[function]["CodeUri"] == f"functions/{snake(task.name)}/"


def test_every_folder_of_functions_is_one_function_of_the_template() -> None:
    folders = {path.parent.name for path in (ROOT / "functions").glob("*/app.py")}
    assert folders == {snake(name.removesuffix("Function")) for name in functions()}


def test_every_function_is_a_state_or_is_started_by_something_else() -> None:
    called = {function_of(task) for task in tasks()} - {None}
    assert called | functions_beside_the_flow() == set(functions())
    assert not called & functions_beside_the_flow()
