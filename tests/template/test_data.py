"""Every field that a state reads was written on every path to it; every field that a function reads is passed to it."""

from __future__ import annotations

from typing import Any

import pytest

from tests.template.dataflow import INPUTS, Flow, flow_of, has
from tests.template.definitions import (
    MACHINES,
    Body,
    State,
    function_of,
    load,
    snake,
    tasks,
)
from tests.template.sources import may_read, reads

# Fields that a state passes only for the log, which names the release.
FOR_THE_LOG = {"execution", "release"}

calling_a_function = [task for task in tasks() if function_of(task)]


@pytest.mark.parametrize("machine", MACHINES)
def test_every_field_that_a_state_reads_was_written_on_every_path_to_it(machine: str) -> None:
    assert flow_of(machine)[0].missing == set()


@pytest.mark.parametrize("machine", MACHINES)
def test_every_state_was_visited(machine: str) -> None:
    assert set(flow_of(machine)[0].entered) == {
        name for body in (load(machine), *maps(load(machine))) for name in body["States"]
    }


@pytest.mark.parametrize("task", calling_a_function, ids=str)
def test_a_functions_event_contains_every_field_it_reads(task: State) -> None:
    given = flow_of(task.machine)[0].payloads[task.name]
    assert given is not None
    for path in reads(snake(task.name)):
        assert has(given["Payload"], path), f"{task} hands nothing over as {'.'.join(path)}"


@pytest.mark.parametrize("task", calling_a_function, ids=str)
def test_a_function_receives_no_field_that_it_does_not_read(task: State) -> None:
    handed = {name.removesuffix(".$") for name in task.body["Parameters"]["Payload"]}
    taken = {path[0] for path in reads(snake(task.name))} | may_read(snake(task.name))
    assert handed - taken <= FOR_THE_LOG


@pytest.mark.parametrize("task", calling_a_function, ids=str)
def test_log_lines_can_name_the_release_for_every_event_except_the_first(task: State) -> None:
    given = flow_of(task.machine)[0].payloads[task.name]
    assert given is not None
    payload = given["Payload"]
    if str(task) != "release.ReadRelease":
        assert has(payload, ("release", "tag")) or has(payload, ("order", "tag"))


def test_a_rollback_reports_its_outcome_to_those_who_wait() -> None:
    output = flow_of("rollback")[1]
    assert output is not None
    assert has(output, ("ending", "status"))
    assert has(output, ("ending", "error"))
    assert has(output, ("ending", "cause"))


def test_a_rollback_starts_with_its_required_input() -> None:
    given = flow_of("release")[0].payloads["RollBack"]
    assert given is not None
    assert has(given, ("Input",))
    assert set(INPUTS["rollback"] or {}) <= set(given["Input"] or {})


def test_an_upload_starts_a_release_with_its_required_input() -> None:
    from tests.template.cloudformation import resources

    (target,) = resources("AWS::Events::Rule")["UploadRule"]["Targets"]
    assert set(target["InputTransformer"]["InputPathsMap"].values()) == {
        "$.detail.bucket.name",
        "$.detail.object.key",
        "$.detail.object.version-id",
    }
    for name in INPUTS["release"] or {}:
        assert f'"{name}": <' in target["InputTransformer"]["InputTemplate"]


# ---- the interpretation itself, on little machines -----------------------------------------------------------------


def little(**states: Any) -> Flow:
    followed = Flow(results=lambda name, body: {"Payload": {"a": None}})
    followed.follow({"StartAt": "First", "States": states}, {"in": None})
    return followed


TASK: Body = {"Type": "Task", "Resource": "any", "ResultPath": "$.first", "Next": "Second"}
CAUGHT = [{"ErrorEquals": ["States.ALL"], "ResultPath": "$.error", "Next": "Second"}]


def test_a_field_written_on_only_one_of_two_paths_may_be_missing() -> None:
    second = {"Type": "Fail", "Error": "Any", "CausePath": "$.first.Payload.a"}
    assert little(First=TASK, Second=second).missing == set()
    assert little(First={**TASK, "Catch": CAUGHT}, Second=second).missing == {
        "Second reads $.first.Payload.a"
    }


def test_the_error_field_exists_only_on_failure_paths() -> None:
    second = {"Type": "Fail", "Error": "Any", "CausePath": "$.error.Cause"}
    only_caught = {**TASK, "Catch": CAUGHT, "Next": "Third"}
    assert little(First=only_caught, Second=second, Third={"Type": "Succeed"}).missing == set()
    assert little(First={**TASK, "Catch": CAUGHT}, Second=second).missing == {"Second reads $.error.Cause"}


def test_a_result_selector_keeps_only_its_selection() -> None:
    first = {**TASK, "ResultSelector": {"b.$": "$.Payload.a"}}
    second = {"Type": "Wait", "SecondsPath": "$.first.Payload.a", "Next": "Third"}
    assert little(First=first, Second=second, Third={"Type": "Succeed"}).missing == {
        "Second reads $.first.Payload.a"
    }


def test_fields_inside_lists_are_read_too() -> None:
    first = {"Type": "Pass", "Parameters": {"all": [{"one.$": "$.nothing"}]}, "Next": "Second"}
    assert little(First=first, Second={"Type": "Succeed"}).missing == {"First reads $.nothing"}


def test_a_result_without_a_result_path_replaces_the_input() -> None:
    first = {name: value for name, value in TASK.items() if name != "ResultPath"}
    second = {"Type": "Fail", "Error": "Any", "CausePath": "$.in"}
    assert little(First=first, Second=second).missing == {"Second reads $.in"}


def maps(machine: Body) -> list[Body]:
    return [body["ItemProcessor"] for body in machine["States"].values() if body["Type"] == "Map"]
