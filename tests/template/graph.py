"""Rules for every state machine definition. Each check yields the problems of a definition.

test_definitions.py runs them on both definitions; test_planted_faults.py plants faults and expects each one to be
found.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from tagship.aws.calls import LAMBDA_FAULTS
from tagship.model import errors
from tagship.model.release import Status
from tests.template.cloudformation import functions, resources
from tests.template.dataflow import followed, has
from tests.template.definitions import (
    COMBINATIONS,
    Body,
    Machine,
    State,
    after,
    dynamic,
    function_of,
    is_end,
    reachable,
    rules,
    snake,
)
from tests.template.sources import reads

Check = Callable[[Machine], Iterator[str]]

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
# Errors of an execution that are not one of the ledger's endings, and why.
ENDS_BESIDE_THE_LEDGER = {
    "TagAlreadyUsed": "the tag is another release's, whose own ending stands",
    "RetryRefused": "no attempt began; how the release ended before stands",
    "EndingNotRecorded": "the ledger can't be written now; the supervisor writes the ending",
}

# The features of all engines: AWS, Step Functions Local, LocalStack, the embedded engine and moto.
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
        "$$.Execution.StartTime",
        "$$.Task.Token",
        "$$.Map.Item.Value",
        "$$.Map.Item.Value.check",
        "$$.Map.Item.Value.index",
        "$$.Map.Item.Index",
    }
)
RESOURCES = frozenset(
    {
        "arn:aws:states:::lambda:invoke",
        "arn:aws:states:::lambda:invoke.waitForTaskToken",
        "arn:aws:states:::states:startExecution.sync:2",
    }
)
_LOOKS_LIKE_A_PATH = re.compile(r"\$([.$]|$)|States\.\w+\(")
SIMPLE_PATH = re.compile(r"\$(\.[A-Za-z_]\w*)*")
RETRY_FIELDS = {"ErrorEquals", "IntervalSeconds", "MaxAttempts", "BackoffRate", "MaxDelaySeconds"}
TRANSIENT = {"AwsUnavailable", "LedgerBusy", "Lambda.TooManyRequestsException", "Lambda.ServiceException"}
RETRIED_TIMEOUTS = {"rollback.RestoreBaseline": "nothing matters more than this state"}

# Ways from a failure to a Succeed that are meant.
NOT_A_FAILURE = {
    "release.ShiftTraffic: PauseOrdered": "nothing moved: people are asked before it does",
    "release.PauseFirst": "the same",
    "release.Shifted": "ShiftTraffic has moved the traffic; a target that has not settled is waited for",
    "release.PauseRollout: States.Timeout": "health is looked at again, and people are still asked; one may then continue",
    "release.RequestApproval: States.Timeout": "the approvers are reminded, and asked again; one may then approve",
    "release.CheckHealth: States.ALL": "JudgeHealth judges that no check answered: it is an error (test_definitions.py)",
    "release.ChecksErrored": "the same",
}
GUARDED = {
    "rollback.DidItWork": "lets nothing through to Succeeded but what the ledger calls ROLLED_BACK or ABORTED",
}


# ---- the graph -----------------------------------------------------------------------------------------------------


def every_way_leads_to_a_state_that_exists(machine: Machine) -> Iterator[str]:
    """StartAt, Next, Default, and the Next of each rule and each Catch."""
    for place, level in machine.levels():
        if level["StartAt"] not in level["States"]:
            yield f"{place} starts at {level['StartAt']}, which does not exist"
        for name, body in level["States"].items():
            for how, where in after(body).items():
                if where not in level["States"]:
                    yield f"{place}.{name}: {how} leads to {where}, which does not exist"


def every_state_can_be_reached(machine: Machine) -> Iterator[str]:
    """From the start of its level."""
    for place, level in machine.levels():
        for name in level["States"].keys() - reachable(level["States"], level["StartAt"]):
            yield f"{place}.{name} can't be reached"


def every_state_has_a_way_to_an_end(machine: Machine) -> Iterator[str]:
    """No loop is without an exit."""
    for place, level in machine.levels():
        for name in level["States"]:
            if not any(is_end(level["States"][way]) for way in reachable(level["States"], name)):
                yield f"{place}.{name} never comes to an end"


def a_state_either_ends_or_leads_on(machine: Machine) -> Iterator[str]:
    """Never both, never neither."""
    for state in machine.states():
        if ("Next" in state.body or state.body["Type"] == "Choice") == is_end(state.body):
            yield f"{state} must have either Next or End"


def a_state_name_stands_once(machine: Machine) -> Iterator[str]:
    """Mocks and metrics find a state by its name at any depth."""
    names = [state.name for state in machine.states()]
    yield from {f"{name} appears twice" for name in names if names.count(name) > 1}


def every_choice_has_rules_and_a_default(machine: Machine) -> Iterator[str]:
    """So that every answer leads somewhere."""
    for state in machine.states():
        if state.body["Type"] == "Choice" and not (state.body.get("Choices") and "Default" in state.body):
            yield f"{state} lacks its rules or its default"


def every_choice_compares_as_all_engines_can(machine: Machine) -> Iterator[str]:
    """One comparison of one variable a rule, and a Next in the outermost rule only."""
    for state in machine.states():
        outermost = state.body.get("Choices", [])
        for rule in rules(outermost):
            tests = set(rule) - {"Variable", "Next"}
            alone = len(tests) == 1 and ("Variable" in rule) != bool(tests & COMBINATIONS)
            if not alone or not tests <= COMPARISONS | COMBINATIONS:
                yield f"{state} has a rule that compares {sorted(tests)}"
            if ("Next" in rule) != any(rule is each for each in outermost):
                yield f"{state} has a rule whose Next is missing or not outermost"


def maps_run_inline_and_all_at_once(machine: Machine) -> Iterator[str]:
    """Nothing else is the same on all engines."""
    for state in machine.states():
        if state.body["Type"] == "Map":
            processor = state.body["ItemProcessor"]
            if set(processor) != {"ProcessorConfig", "StartAt", "States"}:
                yield f"{state} has {sorted(processor)}"
            elif processor["ProcessorConfig"] != {"Mode": "INLINE"}:
                yield f"{state} runs as {processor['ProcessorConfig']}"


def a_state_asks_for_nothing_that_an_engine_lacks(machine: Machine) -> Iterator[str]:
    """Which finds a misspelt field too."""
    for state in machine.states():
        for name in sorted(set(state.body) - set(FIELDS.get(state.body["Type"], "").split())):
            yield f"{state} has {name}, which not every engine knows for {state.body['Type']}"


# ---- time-outs, retries, failure paths -----------------------------------------------------------------------------


def nothing_waits_for_ever(machine: Machine) -> Iterator[str]:
    """The execution and each of its tasks have one time-out, of at least a second."""
    if not _is_seconds(machine.definition.get("TimeoutSeconds")):
        yield f"{machine.name} has no time-out"
    for task in machine.tasks():
        literal, path = task.body.get("TimeoutSeconds"), task.body.get("TimeoutSecondsPath")
        if (literal is None) == (path is None) or not (path or _is_seconds(literal)):
            yield f"{task} must have one time-out, of at least a second"


def every_task_has_a_failure_path_for_whatever_happens(machine: Machine) -> Iterator[str]:
    """The last Catch, and no other, is for States.ALL."""
    for task in machine.tasks():
        catches = [catch["ErrorEquals"] for catch in task.body.get("Catch", [])]
        if not catches or catches[-1] != ["States.ALL"]:
            yield f"{task} does not catch everything at last"
        if any("States.ALL" in names for names in catches[:-1]):
            yield f"{task} has a Catch after the one for everything"


def an_error_stands_in_one_catch(machine: Machine) -> Iterator[str]:
    """The first one wins, so a second one would never be used."""
    for task in machine.tasks():
        names = [name for catch in task.body.get("Catch", []) for name in catch["ErrorEquals"]]
        if len(names) != len(set(names)):
            yield f"{task} catches an error twice"


def what_went_wrong_is_kept_with_what_was_there(machine: Machine) -> Iterator[str]:
    """A Catch without a ResultPath would replace all data with the error."""
    for task in machine.tasks():
        for catch in task.body.get("Catch", []):
            if catch.get("ResultPath") != "$.error":
                yield f"{task} writes an error to {catch.get('ResultPath', '$')}"


def every_task_is_retried_when_aws_or_the_ledger_is_busy(machine: Machine) -> Iterator[str]:
    """A transient error ends no release."""
    for task in machine.tasks():
        retries = [retry for retry in task.body.get("Retry", []) if retry.get("MaxAttempts") != 0]
        names = {name for retry in retries for name in retry["ErrorEquals"]}
        required = TRANSIENT if function_of(task) else {"StepFunctions.SdkClientException"}
        if not (required <= names or "States.ALL" in names):
            yield f"{task} does not retry {sorted(required - names)}"


def an_error_stands_in_one_retry(machine: Machine) -> Iterator[str]:
    """The first match wins; anything after States.ALL is never read."""
    for task in machine.tasks():
        retries = task.body.get("Retry", [])
        names = [name for retry in retries for name in retry["ErrorEquals"]]
        if len(names) != len(set(names)):
            yield f"{task} retries an error twice"
        if any("States.ALL" in retry["ErrorEquals"] for retry in retries[:-1]):
            yield f"{task} has a Retry after the one for everything"


def every_retry_says_how_often_and_how_long_it_waits(machine: Machine) -> Iterator[str]:
    """In numbers that AWS takes: 1 s or longer, never shorter from try to try, within the longest pause."""
    for task in machine.tasks():
        for retry in task.body.get("Retry", []):
            attempts, interval = retry.get("MaxAttempts"), retry.get("IntervalSeconds", 1)
            if set(retry) - RETRY_FIELDS or not isinstance(attempts, int) or attempts < 0:
                yield f"{task} has a Retry that is not complete: {retry}"
            elif attempts and not {"IntervalSeconds", "BackoffRate"} <= set(retry):
                yield f"{task} has a Retry that does not say how long it waits: {retry}"
            elif interval < 1 or retry.get("BackoffRate", 1) < 1:
                yield f"{task} has a Retry that waits too short: {retry}"
            elif not interval < retry.get("MaxDelaySeconds", 31_622_400) <= 31_622_400:
                yield f"{task} has a Retry whose longest pause is not longer than its first: {retry}"


def a_timeout_is_retried_only_where_nothing_matters_more(machine: Machine) -> Iterator[str]:
    """The single attempt used up its time."""
    for task in machine.tasks():
        names = {name for retry in task.body.get("Retry", []) for name in retry["ErrorEquals"]}
        if (
            names & {"States.ALL", "States.Timeout", "States.TaskFailed"}
            and str(task) not in RETRIED_TIMEOUTS
        ):
            yield f"{task} retries a time-out"


def every_error_is_ours_or_awss(machine: Machine) -> Iterator[str]:
    """Step Functions matches the exact name and does not report a name that nothing raises."""
    ours = {name for name, kind in vars(errors).items() if isinstance(kind, type)}
    known = ours - {"TagshipError", "RetryableError", "FinalError"} | AWS_ERRORS
    for state in machine.states():
        for rule in (*state.body.get("Retry", []), *state.body.get("Catch", [])):
            for name in sorted(set(rule["ErrorEquals"]) - known):
                yield f"{state} names {name}, which nobody raises"


def a_failed_execution_says_how_it_ended_and_why(machine: Machine) -> Iterator[str]:
    """With an error of the contract, and a cause."""
    endings = {status.error for status in Status if status.error} | set(ENDS_BESIDE_THE_LEDGER)
    for state in machine.states():
        if state.body["Type"] == "Fail":
            for name in ("Error", "Cause"):
                if (name in state.body) == (f"{name}Path" in state.body):
                    yield f"{state} must have one of {name} and {name}Path"
            if state.body.get("Error", "ReleaseInvalid") not in endings:
                yield f"{state} ends with {state.body['Error']}, which is no ending"


def every_ending_is_a_status_of_the_ledger(machine: Machine) -> Iterator[str]:
    """With the error that belongs to it."""
    for state in machine.states():
        if gives_an_ending(state):
            given = state.body["Parameters"]
            if given.get("status") not in set(Status):
                yield f"{state} gives the status {given.get('status')}"
            elif given.get("error") != Status(given["status"]).error:
                yield f"{state} gives {given.get('error')} for {given['status']}"


def what_has_failed_never_ends_as_succeeded(machine: Machine) -> Iterator[str]:
    """From every Catch, and from every state that says how it failed."""
    for way, states, start in failures(machine):
        if way not in NOT_A_FAILURE:
            guarded = {name: body for name, body in states.items() if f"{machine.name}.{name}" in GUARDED}
            unguarded = states | {name: {**body, "Choices": []} for name, body in guarded.items()}
            for name in sorted(reachable(unguarded, start)):
                if unguarded[name]["Type"] == "Succeed":
                    yield f"{way} leads to {name}"


# ---- what a state reads and hands over -----------------------------------------------------------------------------


def paths_are_plain_and_known_to_all_engines(machine: Machine) -> Iterator[str]:
    """Plain paths, a few intrinsic functions, and the few paths of the context that exist."""
    for state in machine.states():
        for path in dynamic(state.body):
            yield from (f"{state} reads {argument}" for argument in _not_plain(path))


def a_context_path_stands_where_it_has_a_value(machine: Machine) -> Iterator[str]:
    """The token in a task that waits for it, an item in what a Map selects."""
    for state in machine.states():
        for path in dynamic(state.body):
            if path == "$$.Task.Token" and state.body["Type"] != "Task":
                yield f"{state} reads {path}"
            if path.startswith("$$.Map.") and state.body["Type"] != "Map":
                yield f"{state} reads {path}"


def a_path_is_read_and_not_handed_over_as_text(machine: Machine) -> Iterator[str]:
    """`tag: $.tag` hands over the four letters; `tag.$: $.tag` hands over the tag."""
    for state in machine.states():
        yield from (f"{state} hands over {text} as it is written" for text in _literal_paths(state.body))
        yield from (f"{state} reads {text}, which is no path" for text in _no_paths(state.body))


def whatever_a_state_reads_was_written_on_every_way_to_it(machine: Machine) -> Iterator[str]:
    """A missing field ends the execution with States.Runtime, which no Catch handles."""
    yield from sorted(followed(machine)[0].missing)


def a_function_finds_in_its_event_whatever_it_takes_from_it(machine: Machine) -> Iterator[str]:
    """From the fields that its handler reads."""
    payloads = followed(machine)[0].payloads
    for task in machine.tasks():
        if function_of(task):
            given = payloads.get(task.name) or {}
            for path in sorted(reads(snake(task.name))):
                if not has(given, ("Payload", *path)):
                    yield f"{task} does not hand over {'.'.join(path)}"


def only_a_task_that_waits_for_its_token_hands_it_over(machine: Machine) -> Iterator[str]:
    """Without its token such a task waits until its time-out, whatever people decide."""
    for task in machine.tasks():
        waits = task.body["Resource"].endswith(".waitForTaskToken")
        if waits != ("$$.Task.Token" in set(dynamic(task.body.get("Parameters", {})))):
            yield f"{task} waits for a token that it does not hand over, or the other way round"


def a_task_calls_a_function_or_the_rollback_and_nothing_else(machine: Machine) -> Iterator[str]:
    """Only the request for approval and a pause wait for people."""
    for task in machine.tasks():
        if task.body["Resource"] not in RESOURCES:
            yield f"{task} calls {task.body['Resource']}"
        waits = task.body["Resource"].endswith(".waitForTaskToken")
        if waits != (str(task) in ("release.RequestApproval", "release.PauseRollout")):
            yield f"{task} waits for people, or does not and should"


def a_function_gets_a_payload_of_its_own_and_the_execution_that_asks(machine: Machine) -> Iterator[str]:
    """Logs and the ledger name the execution."""
    for task in machine.tasks():
        if function_of(task):
            parameters = task.body["Parameters"]
            if set(parameters) != {"FunctionName", "Payload"}:
                yield f"{task} has the parameters {sorted(parameters)}"
            elif parameters["Payload"].get("execution.$") != "$$.Execution.Id":
                yield f"{task} does not say which execution asks"


def a_state_its_folder_and_its_function_have_one_name(machine: Machine) -> Iterator[str]:
    """All except the state that starts the rollback, which is a separate state machine."""
    for task in machine.tasks():
        function = function_of(task)
        if function is None:
            if str(task) != "release.RollBack":
                yield f"{task} calls no function"
        elif function != f"{task.name}Function":
            yield f"{task} calls {function}"
        elif functions()[function]["CodeUri"] != f"functions/{snake(task.name)}/":
            yield f"{task} calls what stands in {functions()[function]['CodeUri']}"


def what_a_definition_leaves_open_is_what_the_template_puts_in(machine: Machine) -> Iterator[str]:
    """By name, no more and no less."""
    properties = resources("AWS::Serverless::StateMachine")[MACHINE_OF[machine.name]]
    for name in sorted(machine.placeholders() ^ set(properties["DefinitionSubstitutions"])):
        yield f"{machine.name}: {name} is left open and not put in, or put in and not left open"


CHECKS: tuple[Check, ...] = (
    every_way_leads_to_a_state_that_exists,
    every_state_can_be_reached,
    every_state_has_a_way_to_an_end,
    a_state_either_ends_or_leads_on,
    a_state_name_stands_once,
    every_choice_has_rules_and_a_default,
    every_choice_compares_as_all_engines_can,
    maps_run_inline_and_all_at_once,
    a_state_asks_for_nothing_that_an_engine_lacks,
    nothing_waits_for_ever,
    every_task_has_a_failure_path_for_whatever_happens,
    an_error_stands_in_one_catch,
    what_went_wrong_is_kept_with_what_was_there,
    every_task_is_retried_when_aws_or_the_ledger_is_busy,
    an_error_stands_in_one_retry,
    every_retry_says_how_often_and_how_long_it_waits,
    a_timeout_is_retried_only_where_nothing_matters_more,
    every_error_is_ours_or_awss,
    a_failed_execution_says_how_it_ended_and_why,
    every_ending_is_a_status_of_the_ledger,
    what_has_failed_never_ends_as_succeeded,
    paths_are_plain_and_known_to_all_engines,
    a_context_path_stands_where_it_has_a_value,
    a_path_is_read_and_not_handed_over_as_text,
    whatever_a_state_reads_was_written_on_every_way_to_it,
    a_function_finds_in_its_event_whatever_it_takes_from_it,
    only_a_task_that_waits_for_its_token_hands_it_over,
    a_task_calls_a_function_or_the_rollback_and_nothing_else,
    a_function_gets_a_payload_of_its_own_and_the_execution_that_asks,
    a_state_its_folder_and_its_function_have_one_name,
    what_a_definition_leaves_open_is_what_the_template_puts_in,
)


def gives_an_ending(state: State) -> bool:
    """Whether it is a Pass state that says how a release ended."""
    return state.body["Type"] == "Pass" and state.body.get("ResultPath") == "$.ending"


def failures(machine: Machine) -> Iterator[tuple[str, Mapping[str, Body], str]]:
    """Every path after a failure, with where it begins and its states."""
    for place, level in machine.levels():
        for name, body in level["States"].items():
            for catch in body.get("Catch", []):
                yield f"{place}.{name}: {','.join(catch['ErrorEquals'])}", level["States"], catch["Next"]
            if body["Type"] == "Pass" and name not in ("RolledBack", "Aborted"):
                yield f"{place}.{name}", level["States"], name


def _is_seconds(value: Any) -> bool:
    """A number of seconds, or one that the template puts in."""
    if isinstance(value, str):
        return re.fullmatch(r"\$\{\w+Seconds\}", value) is not None
    return isinstance(value, int) and value >= 1


def _not_plain(path: str) -> Iterator[str]:
    arguments = [path]
    if path.startswith("States."):
        yield from sorted(set(re.findall(r"States\.\w+", path)) - INTRINSICS)
        arguments = re.findall(r"\$[\w.$]*", path)
    for argument in arguments:
        if argument not in CONTEXT and not SIMPLE_PATH.fullmatch(argument):
            yield argument


def _literal_paths(value: Any, name: str = "") -> Iterator[str]:
    """Texts that look like paths in places where nothing reads them."""
    if isinstance(value, dict):
        for key, inside in value.items():
            if key != "ItemProcessor":
                yield from _literal_paths(inside, key)
    elif isinstance(value, list):
        for inside in value:
            yield from _literal_paths(inside, name)
    elif isinstance(value, str) and _LOOKS_LIKE_A_PATH.match(value) and not _is_read(name):
        yield value


def _is_read(name: str) -> bool:
    return name.endswith((".$", "Path")) or name in ("Variable", "Comment")


def _no_paths(value: Any) -> Iterator[str]:
    """Fields whose name ends with `.$` and whose value is neither a path nor an intrinsic function."""
    text = json.dumps(value)
    yield from re.findall(r'"\w+\.\$": "((?!\$|States\.)[^"]*)"', text)
