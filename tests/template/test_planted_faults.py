"""Faults planted into both definitions, one at a time, wherever each fits: the check meant for it finds every one."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from tests.template import graph
from tests.template.definitions import MACHINES, Body, Machine, dynamic, machine
from tests.template.graph import Check


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """A mistake that a developer could make."""

    name: str
    found_by: Check
    plants: Callable[[Machine], Iterator[Machine]]


# ---- where a fault fits --------------------------------------------------------------------------------------------


def in_states(
    fits: Callable[[Body], Any], change: Callable[[Body], Any]
) -> Callable[[Machine], Iterator[Machine]]:
    """Machines with the fault planted in each state where it fits."""

    def plants(sound: Machine) -> Iterator[Machine]:
        for index, state in enumerate(sound.states()):
            if fits(state.body):
                broken = copied(sound)
                change(list(broken.states())[index].body)
                yield broken

    return plants


def in_levels(change: Callable[[Body], Any]) -> Callable[[Machine], Iterator[Machine]]:
    """The machine itself changed, then each machine inside one of its Maps."""

    def plants(sound: Machine) -> Iterator[Machine]:
        for index, _ in enumerate(sound.levels()):
            broken = copied(sound)
            change(list(broken.levels())[index][1])
            yield broken

    return plants


def in_each(
    found: Callable[[Body], list[Any]], change: Callable[[Body, int], Any]
) -> Callable[[Machine], Iterator[Machine]]:
    """A machine for each part of each state: a rule of a Choice, a Retry, a Catch, a path."""

    def plants(sound: Machine) -> Iterator[Machine]:
        for index, state in enumerate(sound.states()):
            for part in range(len(found(state.body))):
                broken = copied(sound)
                change(list(broken.states())[index].body, part)
                yield broken

    return plants


def copied(sound: Machine) -> Machine:
    return Machine(name=sound.name, definition=copy.deepcopy(sound.definition))


def a(kind: str) -> Callable[[Body], bool]:
    return lambda body: bool(body["Type"] == kind)


def has(*names: str) -> Callable[[Body], bool]:
    return lambda body: set(names) <= set(body)


def listed(name: str) -> Callable[[Body], list[Any]]:
    return lambda body: list(body.get(name, []))


def payload(body: Body) -> Body:
    found: Body = body.get("Parameters", {}).get("Payload", {})
    return found


def read_in_payload(body: Body) -> list[str]:
    """The data fields that a task passes; those of the context have their own fault."""
    return [
        name for name, value in payload(body).items() if name.endswith(".$") and not value.startswith("$$")
    ]


def renamed(body: Body, old: str, new: str) -> None:
    body[new] = body.pop(old)


def to_a_success(sound: Machine) -> Iterator[Machine]:
    """Every Catch and every ending of a failure leads to where a release succeeds."""
    for place, states, _ in graph.failures(sound):
        name, _, errors = place.removeprefix(f"{sound.name}.").partition(": ")
        if place in graph.NOT_A_FAILURE or "Succeeded" not in states:
            continue
        broken = copied(sound)
        body = broken.definition["States"][name]
        for catch in body.get("Catch", []):
            if ",".join(catch["ErrorEquals"]) == errors:
                catch["Next"] = "Succeeded"
        if not errors:
            body["Next"] = "Succeeded"
        yield broken


def state_of_another_level(sound: Machine) -> Iterator[Machine]:
    """A state inside a Map leads to one outside it, which the Map can't see."""
    for index, (_, level) in enumerate(sound.levels()):
        for name, body in level["States"].items():
            if index and body.get("End"):
                broken = copied(sound)
                changed = list(broken.levels())[index][1]["States"][name]
                del changed["End"]
                changed["Next"] = broken.definition["StartAt"]
                yield broken


def same_name_inside_and_outside(sound: Machine) -> Iterator[Machine]:
    for index, (_, level) in enumerate(sound.levels()):
        if index:
            broken = copied(sound)
            inside = list(broken.levels())[index][1]
            inside["States"][sound.definition["StartAt"]] = inside["States"].pop(level["StartAt"])
            yield broken


def misspelt_substitution(sound: Machine) -> Iterator[Machine]:
    yield from in_states(
        lambda body: "FunctionName" in body.get("Parameters", {}),
        lambda body: body["Parameters"].update(
            FunctionName=body["Parameters"]["FunctionName"].replace("Arn}", "Anr}")
        ),
    )(sound)


def anothers_function(sound: Machine) -> Iterator[Machine]:
    yield from in_states(
        lambda body: "FunctionName" in body.get("Parameters", {}),
        lambda body: body["Parameters"].update(FunctionName="${SweepFunctionArn}"),
    )(sound)


def changed_at(name: str, **fields: Any) -> Callable[[Body, int], None]:
    return lambda body, index: body[name][index].update(fields)


def without(name: str, field: str) -> Callable[[Body, int], None]:
    return lambda body, index: body[name][index].pop(field, None)


def misspelt_path(body: Body, index: int) -> None:
    name = read_in_payload(body)[index]
    payload(body)[name] = "$.nobody.writes.this"


def literal_path(body: Body, index: int) -> None:
    name = read_in_payload(body)[index]
    renamed(payload(body), name, name.removesuffix(".$"))


def not_handed_over(body: Body, index: int) -> None:
    del payload(body)[read_in_payload(body)[index]]


def a_part_that_is_read_is_not_kept(sound: Machine) -> Iterator[Machine]:
    """Where no other state writes to the same place: then whatever reads it, reads this state's."""
    places = [state.body.get("ResultPath") for state in sound.states()]
    read = {path for state in sound.states() for path in dynamic(state.body)}
    for state in sound.states():
        for name in state.body.get("ResultSelector", {}):
            place = state.body["ResultPath"]
            if places.count(place) == 1 and f"{place}.{name.removesuffix('.$')}" in read:
                broken = copied(sound)
                changed = next(each for each in broken.states() if each.name == state.name)
                del changed.body["ResultSelector"][name]
                yield broken


FAULTS = (
    Fault(
        name="StartAt to nowhere",
        found_by=graph.every_way_leads_to_a_state_that_exists,
        plants=in_levels(lambda level: level.update(StartAt="Nowhere")),
    ),
    Fault(
        name="Next to nowhere",
        found_by=graph.every_way_leads_to_a_state_that_exists,
        plants=in_states(has("Next"), lambda body: body.update(Next="Nowhere")),
    ),
    Fault(
        name="Default to nowhere",
        found_by=graph.every_way_leads_to_a_state_that_exists,
        plants=in_states(has("Default"), lambda body: body.update(Default="Nowhere")),
    ),
    Fault(
        name="rule to nowhere",
        found_by=graph.every_way_leads_to_a_state_that_exists,
        plants=in_each(listed("Choices"), changed_at("Choices", Next="Nowhere")),
    ),
    Fault(
        name="Catch to nowhere",
        found_by=graph.every_way_leads_to_a_state_that_exists,
        plants=in_each(listed("Catch"), changed_at("Catch", Next="Nowhere")),
    ),
    Fault(
        name="Next out of a Map",
        found_by=graph.every_way_leads_to_a_state_that_exists,
        plants=state_of_another_level,
    ),
    Fault(
        name="state that nothing leads to",
        found_by=graph.every_state_can_be_reached,
        plants=in_levels(lambda level: level["States"].update(Island={"Type": "Pass", "End": True})),
    ),
    Fault(
        name="state that leads to itself",
        found_by=graph.every_state_has_a_way_to_an_end,
        plants=in_levels(
            lambda level: level.update(
                StartAt="Round", States=level["States"] | {"Round": {"Type": "Pass", "Next": "Round"}}
            )
        ),
    ),
    Fault(
        name="neither Next nor End",
        found_by=graph.a_state_either_ends_or_leads_on,
        plants=in_states(
            lambda body: {"Next", "End"} & set(body),
            lambda body: (body.pop("Next", None), body.pop("End", None)),
        ),
    ),
    Fault(
        name="both Next and End",
        found_by=graph.a_state_either_ends_or_leads_on,
        plants=in_states(has("Next"), lambda body: body.update(End=True)),
    ),
    Fault(
        name="one name inside and outside of a Map",
        found_by=graph.a_state_name_stands_once,
        plants=same_name_inside_and_outside,
    ),
    Fault(
        name="Choice without a Default",
        found_by=graph.every_choice_has_rules_and_a_default,
        plants=in_states(has("Default"), lambda body: body.pop("Default")),
    ),
    Fault(
        name="Choice without rules",
        found_by=graph.every_choice_has_rules_and_a_default,
        plants=in_states(has("Choices"), lambda body: body.update(Choices=[])),
    ),
    Fault(
        name="rule without a comparison",
        found_by=graph.every_choice_compares_as_all_engines_can,
        plants=in_each(
            listed("Choices"),
            lambda body, index: body["Choices"].__setitem__(
                index, {"Variable": "$.release", "Next": body["Choices"][index]["Next"]}
            ),
        ),
    ),
    Fault(
        name="comparison that does not exist",
        found_by=graph.every_choice_compares_as_all_engines_can,
        plants=in_each(listed("Choices"), changed_at("Choices", StringIs="claimed")),
    ),
    Fault(
        name="rule without a Next",
        found_by=graph.every_choice_compares_as_all_engines_can,
        plants=in_each(listed("Choices"), without("Choices", "Next")),
    ),
    Fault(
        name="misspelt field",
        found_by=graph.a_state_asks_for_nothing_that_an_engine_lacks,
        plants=in_states(has("ResultPath"), lambda body: renamed(body, "ResultPath", "ResultPth")),
    ),
    Fault(
        name="state type that does not exist",
        found_by=graph.a_state_asks_for_nothing_that_an_engine_lacks,
        plants=in_states(a("Pass"), lambda body: body.update(Type="Pas")),
    ),
    Fault(
        name="Map as a distributed run",
        found_by=graph.maps_run_inline_and_all_at_once,
        plants=in_states(
            a("Map"),
            lambda body: body["ItemProcessor"].update(ProcessorConfig={"Mode": "DISTRIBUTED"}),
        ),
    ),
    Fault(
        name="execution without a time-out",
        found_by=graph.nothing_waits_for_ever,
        plants=lambda sound: in_levels(lambda level: level.pop("TimeoutSeconds", None))(
            Machine(name=sound.name, definition={**sound.definition, "States": {}})
        ),
    ),
    Fault(
        name="task without a time-out",
        found_by=graph.nothing_waits_for_ever,
        plants=in_states(
            a("Task"), lambda body: (body.pop("TimeoutSeconds", None), body.pop("TimeoutSecondsPath", None))
        ),
    ),
    Fault(
        name="time-out of zero",
        found_by=graph.nothing_waits_for_ever,
        plants=in_states(has("TimeoutSeconds"), lambda body: body.update(TimeoutSeconds=0)),
    ),
    Fault(
        name="task without a Catch",
        found_by=graph.every_task_has_a_failure_path_for_whatever_happens,
        plants=in_states(has("Catch"), lambda body: body.pop("Catch")),
    ),
    Fault(
        name="Catch that does not catch everything",
        found_by=graph.every_task_has_a_failure_path_for_whatever_happens,
        plants=in_states(has("Catch"), lambda body: body["Catch"][-1].update(ErrorEquals=["States.Timeout"])),
    ),
    Fault(
        name="Catch after States.ALL",
        found_by=graph.every_task_has_a_failure_path_for_whatever_happens,
        plants=in_states(
            has("Catch"),
            lambda body: body["Catch"].append({**body["Catch"][-1], "ErrorEquals": ["AwsUnavailable"]}),
        ),
    ),
    Fault(
        name="error caught twice",
        found_by=graph.an_error_stands_in_one_catch,
        plants=in_states(
            has("Catch"),
            lambda body: body["Catch"].insert(0, {**body["Catch"][0]}),
        ),
    ),
    Fault(
        name="Catch that replaces all data",
        found_by=graph.what_went_wrong_is_kept_with_what_was_there,
        plants=in_each(listed("Catch"), without("Catch", "ResultPath")),
    ),
    Fault(
        name="Catch of an error that does not exist",
        found_by=graph.every_error_is_ours_or_awss,
        plants=in_each(listed("Catch"), changed_at("Catch", ErrorEquals=["TargetMovd"])),
    ),
    Fault(
        name="Retry of an error that does not exist",
        found_by=graph.every_error_is_ours_or_awss,
        plants=in_each(listed("Retry"), changed_at("Retry", ErrorEquals=["LedgerBussy"])),
    ),
    Fault(
        name="task without a Retry",
        found_by=graph.every_task_is_retried_when_aws_or_the_ledger_is_busy,
        plants=in_states(has("Retry"), lambda body: body.pop("Retry")),
    ),
    Fault(
        name="Retry after States.ALL",
        found_by=graph.an_error_stands_in_one_retry,
        plants=in_states(has("Retry"), lambda body: body["Retry"].insert(0, {"ErrorEquals": ["States.ALL"]})),
    ),
    Fault(
        name="error retried twice",
        found_by=graph.an_error_stands_in_one_retry,
        plants=in_states(has("Retry"), lambda body: body["Retry"].append({**body["Retry"][-1]})),
    ),
    Fault(
        name="time-out that is tried again",
        found_by=graph.a_timeout_is_retried_only_where_nothing_matters_more,
        plants=in_states(
            lambda body: body["Type"] == "Task" and "States.ALL" not in str(body["Retry"]),
            lambda body: body.update(Retry=[{"ErrorEquals": ["States.Timeout"], "MaxAttempts": 1}]),
        ),
    ),
    Fault(
        name="Retry without a count",
        found_by=graph.every_retry_says_how_often_and_how_long_it_waits,
        plants=in_each(listed("Retry"), without("Retry", "MaxAttempts")),
    ),
    Fault(
        name="Retry that waits shorter and shorter",
        found_by=graph.every_retry_says_how_often_and_how_long_it_waits,
        plants=in_each(
            listed("Retry"), changed_at("Retry", MaxAttempts=2, IntervalSeconds=1, BackoffRate=0.5)
        ),
    ),
    Fault(
        name="Retry without a pause",
        found_by=graph.every_retry_says_how_often_and_how_long_it_waits,
        plants=in_each(listed("Retry"), changed_at("Retry", MaxAttempts=2, IntervalSeconds=0, BackoffRate=2)),
    ),
    Fault(
        name="longest pause shorter than the first",
        found_by=graph.every_retry_says_how_often_and_how_long_it_waits,
        plants=in_each(
            listed("Retry"),
            changed_at("Retry", MaxAttempts=2, IntervalSeconds=5, BackoffRate=2, MaxDelaySeconds=5),
        ),
    ),
    Fault(
        name="Fail without a cause",
        found_by=graph.a_failed_execution_says_how_it_ended_and_why,
        plants=in_states(a("Fail"), lambda body: (body.pop("Cause", None), body.pop("CausePath", None))),
    ),
    Fault(
        name="Fail with an error that is no ending",
        found_by=graph.a_failed_execution_says_how_it_ended_and_why,
        plants=in_states(
            a("Fail"), lambda body: (body.pop("ErrorPath", None), body.update(Error="SomethingFailed"))
        ),
    ),
    Fault(
        name="ending that the ledger does not know",
        found_by=graph.every_ending_is_a_status_of_the_ledger,
        plants=in_states(
            lambda body: body["Type"] == "Pass" and body.get("ResultPath") == "$.ending",
            lambda body: body["Parameters"].update(status="ROLLEDBACK"),
        ),
    ),
    Fault(
        name="ending with the error of another",
        found_by=graph.every_ending_is_a_status_of_the_ledger,
        plants=in_states(
            lambda body: body["Type"] == "Pass" and body.get("ResultPath") == "$.ending",
            lambda body: body["Parameters"].update(error="ReleaseDuplicate"),
        ),
    ),
    Fault(
        name="failure that ends as SUCCEEDED",
        found_by=graph.what_has_failed_never_ends_as_succeeded,
        plants=to_a_success,
    ),
    Fault(
        name="misspelt path of the context",
        found_by=graph.paths_are_plain_and_known_to_all_engines,
        plants=in_states(
            lambda body: "execution.$" in payload(body),
            lambda body: payload(body).update({"execution.$": "$$.Executon.Id"}),
        ),
    ),
    Fault(
        name="intrinsic function that does not exist",
        found_by=graph.paths_are_plain_and_known_to_all_engines,
        plants=in_states(payload, lambda body: payload(body).update({"more.$": "States.Now()"})),
    ),
    Fault(
        name="path that only some engines know",
        found_by=graph.paths_are_plain_and_known_to_all_engines,
        plants=in_states(payload, lambda body: payload(body).update({"more.$": "$.steps[?(@.a)]"})),
    ),
    Fault(
        name="token outside of a task",
        found_by=graph.a_context_path_stands_where_it_has_a_value,
        plants=in_states(a("Pass"), lambda body: body.update(Parameters={"token.$": "$$.Task.Token"})),
    ),
    Fault(
        name="path handed over as text",
        found_by=graph.a_path_is_read_and_not_handed_over_as_text,
        plants=in_each(read_in_payload, literal_path),
    ),
    Fault(
        name="text that is read as a path",
        found_by=graph.a_path_is_read_and_not_handed_over_as_text,
        plants=in_states(payload, lambda body: payload(body).update({"subject.$": "candidate"})),
    ),
    Fault(
        name="path that no earlier state writes",
        found_by=graph.whatever_a_state_reads_was_written_on_every_way_to_it,
        plants=in_each(read_in_payload, misspelt_path),
    ),
    Fault(
        name="variable that no earlier state writes",
        found_by=graph.whatever_a_state_reads_was_written_on_every_way_to_it,
        plants=in_each(listed("Choices"), changed_at("Choices", Variable="$.nobody.writes")),
    ),
    Fault(
        name="wait, list or time-out that no earlier state writes",
        found_by=graph.whatever_a_state_reads_was_written_on_every_way_to_it,
        plants=in_states(
            lambda body: {"SecondsPath", "ItemsPath", "TimeoutSecondsPath"} & set(body),
            lambda body: body.update(
                {
                    name: "$.nobody"
                    for name in body
                    if name in ("SecondsPath", "ItemsPath", "TimeoutSecondsPath")
                }
            ),
        ),
    ),
    Fault(
        name="part of an answer that is not kept",
        found_by=graph.whatever_a_state_reads_was_written_on_every_way_to_it,
        plants=a_part_that_is_read_is_not_kept,
    ),
    Fault(
        name="nothing handed over of what a function reads",
        found_by=graph.a_function_finds_in_its_event_whatever_it_takes_from_it,
        plants=in_states(read_in_payload, lambda body: body["Parameters"].update(Payload={})),
    ),
    Fault(
        name="waitForTaskToken without its token",
        found_by=graph.only_a_task_that_waits_for_its_token_hands_it_over,
        plants=in_states(
            lambda body: "taskToken.$" in payload(body), lambda body: payload(body).pop("taskToken.$")
        ),
    ),
    Fault(
        name="task that waits for a token nobody sends",
        found_by=graph.only_a_task_that_waits_for_its_token_hands_it_over,
        plants=in_states(
            lambda body: body.get("Resource") == "arn:aws:states:::lambda:invoke",
            lambda body: body.update(Resource="arn:aws:states:::lambda:invoke.waitForTaskToken"),
        ),
    ),
    Fault(
        name="integration that is not Tagship's",
        found_by=graph.a_task_calls_a_function_or_the_rollback_and_nothing_else,
        plants=in_states(a("Task"), lambda body: body.update(Resource="arn:aws:states:::lambda:invok")),
    ),
    Fault(
        name="rollback that nobody waits for",
        found_by=graph.a_task_calls_a_function_or_the_rollback_and_nothing_else,
        plants=in_states(
            lambda body: "startExecution" in body.get("Resource", ""),
            lambda body: body.update(Resource="arn:aws:states:::states:startExecution"),
        ),
    ),
    Fault(
        name="function that does not learn its execution",
        found_by=graph.a_function_gets_a_payload_of_its_own_and_the_execution_that_asks,
        plants=in_states(
            lambda body: "execution.$" in payload(body), lambda body: payload(body).pop("execution.$")
        ),
    ),
    Fault(
        name="another state's function",
        found_by=graph.a_state_its_folder_and_its_function_have_one_name,
        plants=anothers_function,
    ),
    Fault(
        name="misspelt substitution",
        found_by=graph.what_a_definition_leaves_open_is_what_the_template_puts_in,
        plants=misspelt_substitution,
    ),
)


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name)
def test_a_planted_fault_is_found_everywhere(fault: Fault) -> None:
    planted = [broken for name in MACHINES for broken in fault.plants(machine(name))]
    assert planted, "it fits nowhere"
    assert [changes(broken) for broken in planted if not [*fault.found_by(broken)]] == []


def test_every_check_finds_a_planted_fault() -> None:
    assert {fault.found_by for fault in FAULTS} == set(graph.CHECKS)


def changes(broken: Machine) -> list[str]:
    """Which states are not as they are written."""
    written = {state.name: state.body for state in machine(broken.name).states()}
    return [state.name for state in broken.states() if written.get(state.name) != state.body]
