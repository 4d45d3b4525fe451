"""Both state machines: every way leads somewhere, every failure has its path, and nothing asks for what an engine lacks."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from tagship.gates.gate import GateResult
from tagship.gates.gate import judge as judge_gates
from tagship.health.judging import in_words
from tagship.health.verdict import CheckResult, Verdict
from tagship.health.verdict import judge as judge_health
from tests.template import definitions
from tests.template.cloudformation import functions, functions_beside_the_flow, resources
from tests.template.definitions import (
    MACHINES,
    ROOT,
    Body,
    after,
    all_states,
    function_of,
    load,
    snake,
    tasks,
)
from tests.template.graph import (
    CHECKS,
    ENDS_BESIDE_THE_LEDGER,
    GUARDED,
    MACHINE_OF,
    NOT_A_FAILURE,
    RETRIED_TIMEOUTS,
    Check,
    failures,
)


def is_success(states: Mapping[str, Body], name: str) -> bool:
    return bool(states[name]["Type"] == "Succeed")


def inner(machine: str, map_state: str, name: str) -> Body:
    body: Body = load(machine)["States"][map_state]["ItemProcessor"]["States"][name]
    return body


def filled(body: Body) -> dict[str, Any]:
    """A Pass state's result, with placeholder text for every path."""
    return {name.removesuffix(".$"): value for name, value in body["Parameters"].items()}


every_machine = pytest.mark.parametrize("machine", MACHINES)


# ---- what is true of any definition --------------------------------------------------------------------------------


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
@every_machine
def test_a_definition_passes_every_check(machine: str, check: Check) -> None:
    assert [*check(definitions.machine(machine))] == []


# ---- the files -----------------------------------------------------------------------------------------------------


@every_machine
def test_a_definition_is_valid_yaml_before_substitution(machine: str) -> None:
    assert set(load(machine)) == {"Comment", "StartAt", "TimeoutSeconds", "States"}


@every_machine
def test_a_function_placeholder_is_replaced_with_that_function(machine: str) -> None:
    filled = resources("AWS::Serverless::StateMachine")[MACHINE_OF[machine]]["DefinitionSubstitutions"]
    for name, value in filled.items():
        if name.endswith("FunctionArn"):
            assert value == {"Fn::GetAtt": [name.removesuffix("Arn"), "Arn"]}


@every_machine
def test_the_machines_are_standard_so_that_a_release_can_wait_for_people(machine: str) -> None:
    properties = resources("AWS::Serverless::StateMachine")[MACHINE_OF[machine]]
    assert properties["Type"] == "STANDARD"
    assert properties["DefinitionUri"] == f"statemachine/{machine}.asl.yaml"


# ---- the cautious way ----------------------------------------------------------------------------------------------


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
def test_an_unexpected_answer_takes_the_cautious_path(machine: str, choice: str, cautious: str) -> None:
    assert load(machine)["States"][choice]["Default"] == cautious


def test_traffic_moves_further_only_after_a_healthy_verdict() -> None:
    """A clear failure is rolled back at once; an unfinished bake continues; otherwise only healthy passes."""
    unhealthy, error, baking, pausing, not_healthy, *moving_on = load("release")["States"]["WhatNext"][
        "Choices"
    ]
    for clear, verdict in ((unhealthy, "unhealthy"), (error, "error")):
        assert clear == {"Variable": "$.health.verdict", "StringEquals": verdict, "Next": "HealthFailed"}
    assert baking == {"Variable": "$.health.wait", "NumericGreaterThanEquals": 1, "Next": "Bake"}
    assert pausing == {"Variable": "$.health.pauses", "BooleanEquals": True, "Next": "PauseRollout"}
    assert not_healthy == {
        "Not": {"Variable": "$.health.verdict", "StringEquals": "healthy"},
        "Next": "HealthFailed",
    }
    assert [rule["Next"] for rule in moving_on] == ["OutOfTime", "CompleteRelease", "OutOfTime"]


# ---- a failure never ends as SUCCEEDED -----------------------------------------------------------------------------


def test_every_listed_exception_still_applies() -> None:
    assert set(NOT_A_FAILURE) <= {way for name in MACHINES for way, *_ in failures(definitions.machine(name))}
    assert set(RETRIED_TIMEOUTS) <= {str(task) for task in tasks()}
    assert set(GUARDED) <= {str(state) for state in all_states()}
    assert set(ENDS_BESIDE_THE_LEDGER) <= {state.body.get("Error") for state in all_states()}


def test_a_rollback_succeeds_only_through_its_two_successful_endings() -> None:
    choice = load("rollback")["States"]["DidItWork"]
    assert [(rule["Variable"], rule["StringEquals"], rule["Next"]) for rule in choice["Choices"]] == [
        ("$.ending.status", "ROLLED_BACK", "Succeeded"),
        ("$.ending.status", "ABORTED", "Succeeded"),
    ]
    leading = {
        name for name, body in load("rollback")["States"].items() if "Succeeded" in after(body).values()
    }
    assert leading == {"DidItWork"}


def test_a_release_succeeds_only_if_it_is_complete_stored_or_a_duplicate() -> None:
    states = load("release")["States"]
    leading = {
        (name, end)
        for name, body in states.items()
        for end in after(body).values()
        if is_success(states, end)
    }
    assert leading == {
        ("CompleteRelease", "Succeeded"),
        ("StoreConfiguration", "Succeeded"),
        ("WhatWasRead", "Duplicate"),
    }


def test_an_approved_configuration_change_is_stored_and_never_deployed() -> None:
    first, second, *_ = load("release")["States"]["HowDecided"]["Choices"]
    assert [each["StringEquals"] for each in first["And"]] == ["approved", "proposed"]
    assert (first["Next"], second["Next"]) == ("StoreConfiguration", "RecheckRelease")
    read = {
        each["StringEquals"]: each["Next"] for each in load("release")["States"]["WhatWasRead"]["Choices"]
    }
    assert read["proposed"] == "RequestApproval"
    assert read["unchanged"] == "StoreConfiguration"


def test_a_gate_with_an_error_counts_as_failed() -> None:
    result = filled(inner("release", "RunGates", "GateErrored"))
    assert judge_gates([{**result, "gate": "tag"}])[0] is False
    assert GateResult(**result).as_dict() == result, "it has the form of any other answer"


@every_machine
def test_checks_without_any_answer_are_not_healthy(machine: str) -> None:
    (given,) = load(machine)["States"]["ChecksErrored"]["Parameters"]["results"]
    errored = filled({"Parameters": given}) | {"checks": ["lambda storefront", "alarm 5xx"]}
    results = in_words([errored])
    assert [result["check"] for result in results] == ["lambda storefront", "alarm 5xx"]
    assert judge_health([CheckResult.from_dict(result) for result in results]).verdict is Verdict.ERROR
    assert load(machine)["States"]["ChecksErrored"]["Next"] == "JudgeHealth"


def test_an_error_verdict_is_rolled_back_before_anything_else_is_evaluated() -> None:
    first, second, *_ = load("release")["States"]["WhatNext"]["Choices"]
    assert [(each["StringEquals"], each["Next"]) for each in (first, second)] == [
        ("unhealthy", "HealthFailed"),
        ("error", "HealthFailed"),
    ]
    healthy, unanswered = load("rollback")["States"]["Healthy"]["Choices"]
    assert [each["StringEquals"] for each in (healthy, unanswered)] == ["healthy", "unanswered"]


# ---- one name ------------------------------------------------------------------------------------------------------


def test_every_function_folder_is_one_function_of_the_template() -> None:
    folders = {path.parent.name for path in (ROOT / "functions").glob("*/app.py")}
    assert folders == {snake(name.removesuffix("Function")) for name in functions()}


def test_every_function_is_a_state_or_has_another_trigger() -> None:
    called = {function_of(task) for task in tasks()} - {None}
    assert called | functions_beside_the_flow() == set(functions())
    assert not called & functions_beside_the_flow()
