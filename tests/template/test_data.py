"""What a state reads has been written, on every way that leads to it; what a function reads, its state hands to it."""

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

# What a state hands over that its function does not take itself: the log's line names the release by it.
FOR_THE_LOG = {"execution", "release"}

calling_a_function = [task for task in tasks() if function_of(task)]


@pytest.mark.parametrize("machine", MACHINES)
def test_whatever_a_state_reads_was_written_on_every_way_that_leads_to_it(machine: str) -> None:
    assert flow_of(machine)[0].missing == set()


@pytest.mark.parametrize("machine", MACHINES)
def test_every_state_was_followed(machine: str) -> None:
    assert set(flow_of(machine)[0].entered) == {
        name for body in (load(machine), *maps(load(machine))) for name in body["States"]
    }


@pytest.mark.parametrize("task", calling_a_function, ids=str)
def test_a_function_finds_in_its_event_whatever_it_takes_from_it(task: State) -> None:
    given = flow_of(task.machine)[0].payloads[task.name]
    assert given is not None
    for path in reads(snake(task.name)):
        assert has(given["Payload"], path), f"{task} hands nothing over as {'.'.join(path)}"


@pytest.mark.parametrize("task", calling_a_function, ids=str)
def test_a_function_is_handed_nothing_that_it_does_not_take(task: State) -> None:
    handed = {name.removesuffix(".$") for name in task.body["Parameters"]["Payload"]}
    taken = {path[0] for path in reads(snake(task.name))} | may_read(snake(task.name))
    assert handed - taken <= FOR_THE_LOG


@pytest.mark.parametrize("task", calling_a_function, ids=str)
def test_a_log_line_can_name_the_release_from_every_event_but_the_first(task: State) -> None:
    given = flow_of(task.machine)[0].payloads[task.name]
    assert given is not None
    payload = given["Payload"]
    if str(task) != "release.ReadRelease":
        assert has(payload, ("release", "tag")) or has(payload, ("order", "tag"))


def test_a_rollback_says_to_whoever_waits_for_it_how_it_ended() -> None:
    output = flow_of("rollback")[1]
    assert output is not None
    assert has(output, ("ending", "status"))
    assert has(output, ("ending", "error"))
    assert has(output, ("ending", "cause"))


def test_a_rollback_is_started_with_what_it_asks_for() -> None:
    given = flow_of("release")[0].payloads["RollBack"]
    assert given is not None
    assert has(given, ("Input",))
    assert set(INPUTS["rollback"] or {}) <= set(given["Input"] or {})


def test_an_upload_starts_a_release_with_what_it_asks_for() -> None:
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


def test_what_only_one_of_two_ways_has_written_may_be_missing() -> None:
    second = {"Type": "Fail", "Error": "Any", "CausePath": "$.first.Payload.a"}
    assert little(First=TASK, Second=second).missing == set()
    assert little(First={**TASK, "Catch": CAUGHT}, Second=second).missing == {
        "Second reads $.first.Payload.a"
    }


def test_the_error_is_there_on_the_way_of_a_failure_only() -> None:
    second = {"Type": "Fail", "Error": "Any", "CausePath": "$.error.Cause"}
    only_caught = {**TASK, "Catch": CAUGHT, "Next": "Third"}
    assert little(First=only_caught, Second=second, Third={"Type": "Succeed"}).missing == set()
    assert little(First={**TASK, "Catch": CAUGHT}, Second=second).missing == {"Second reads $.error.Cause"}


def test_a_result_selector_leaves_only_what_it_selects() -> None:
    first = {**TASK, "ResultSelector": {"b.$": "$.Payload.a"}}
    second = {"Type": "Wait", "SecondsPath": "$.first.Payload.a", "Next": "Third"}
    assert little(First=first, Second=second, Third={"Type": "Succeed"}).missing == {
        "Second reads $.first.Payload.a"
    }


def test_what_stands_in_a_list_is_read_too() -> None:
    first = {"Type": "Pass", "Parameters": {"all": [{"one.$": "$.nothing"}]}, "Next": "Second"}
    assert little(First=first, Second={"Type": "Succeed"}).missing == {"First reads $.nothing"}


def test_a_result_without_a_place_of_its_own_takes_the_place_of_everything() -> None:
    first = {name: value for name, value in TASK.items() if name != "ResultPath"}
    second = {"Type": "Fail", "Error": "Any", "CausePath": "$.in"}
    assert little(First=first, Second=second).missing == {"Second reads $.in"}


def maps(machine: Body) -> list[Body]:
    return [body["ItemProcessor"] for body in machine["States"].values() if body["Type"] == "Map"]
