"""The embedded engine does what AWS documents, with its corrections; each is needed as long as the stock engine differs.

A test here that fails on the stock engine is good news: its correction in tools/engine.py can go.
"""

from __future__ import annotations

import base64
import io
import json
import time
import uuid
import zipfile
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.request import urlopen

import boto3
import pytest
from botocore.exceptions import ClientError

from tools.stack import ACCOUNT, REGION, Engine

# both engines belong to one worker
pytestmark = pytest.mark.xdist_group("corrections")

ROLE = f"arn:aws:iam::{ACCOUNT}:role/any"
SECONDS_TO_WAIT = 4
QUEUED, QUEUED_SECONDS = 16, 60
"""So many messages all draw one version once in 32,768 times."""
PAUSE, SILENCE = 0.15, 0.05
"""Seconds that the stock engine adds to each execution, and to each call of a function that logs nothing."""
IMPORTED = """
import sys

def handler(event, context):
    return "botocore" in sys.modules
"""
FUNCTION = """
import os

class GateError(Exception):
    pass

def check(event):
    raise GateError("the gate is closed")

def handler(event, context):
    print("a line")
    if event.get("fail"):
        check(event)
    return {"version": context.function_version, "process": os.getpid()}
"""


@pytest.fixture(scope="module")
def corrected(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    engine = Engine.start(tmp_path_factory.mktemp("corrected"))
    make_role(engine, "any", Action="states:*", Resource="*")
    yield engine
    engine.stop()


@pytest.fixture(scope="module")
def stock(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    engine = Engine.start(tmp_path_factory.mktemp("stock"), stock=True)
    make_role(engine, "any", Action="states:*", Resource="*")
    yield engine
    engine.stop()


def test_an_exception_is_caught_by_name_and_its_cause_is_lambdas_response(corrected: Engine) -> None:
    execution = run(corrected, catching("GateError"))
    error = json.loads(execution["output"])["error"]
    cause = json.loads(error["Cause"])
    assert error["Error"] == "GateError"
    assert cause["errorType"] == "GateError"
    assert cause["errorMessage"] == "the gate is closed"
    assert [frame.split(", in ")[1].split("\n")[0] for frame in cause["stackTrace"]] == ["handler", "check"]


def test_an_exception_reaches_a_direct_caller_with_its_name(corrected: Engine) -> None:
    answer = corrected.client("lambda").invoke(
        FunctionName=function(corrected), Payload=json.dumps({"fail": True})
    )
    assert answer["FunctionError"] == "Unhandled"
    assert json.load(answer["Payload"])["errorType"] == "GateError"


def test_the_stock_engine_still_loses_the_names_of_exceptions(stock: Engine) -> None:
    assert run(stock, catching("GateError"))["status"] == "FAILED"


def test_a_function_that_raised_runs_again_in_the_same_process(corrected: Engine) -> None:
    before, after = processes_before_and_after_an_exception(corrected)
    assert before == after


def test_the_stock_engine_still_restarts_a_function_that_raised(stock: Engine) -> None:
    before, after = processes_before_and_after_an_exception(stock)
    assert before != after


def test_an_alias_with_weights_calls_both_versions(corrected: Engine) -> None:
    assert called_through_alias(corrected) == {"1", "2"}


def test_a_function_url_on_an_alias_with_weights_calls_both_versions(corrected: Engine) -> None:
    assert called_through_url(corrected) == {"1", "2"}


def test_a_queue_on_an_alias_with_weights_calls_both_versions(corrected: Engine) -> None:
    assert called_by_a_queue(corrected) == {"1", "2"}


def test_the_stock_engine_still_ignores_the_weights_for_queues(stock: Engine) -> None:
    assert called_by_a_queue(stock) == {"1"}


def test_reading_an_alias_with_weights_always_reads_its_own_version(corrected: Engine) -> None:
    name = weighted(corrected)
    lambdas = corrected.client("lambda")
    read = {
        lambdas.get_function_configuration(FunctionName=name, Qualifier="live")["Version"] for _ in range(40)
    }
    assert read == {"1"}


def test_the_stock_engine_still_ignores_the_weights_of_aliases(stock: Engine) -> None:
    assert called_through_alias(stock) == {"1"}


def test_a_task_times_out_after_the_seconds_in_its_input(corrected: Engine) -> None:
    execution = run(corrected, waiting_for_a_token({"TimeoutSecondsPath": "$.seconds"}), {"seconds": 1})
    assert (execution["status"], execution["error"]) == ("FAILED", "States.Timeout")


def test_the_stock_engine_still_ignores_time_outs_in_the_input(stock: Engine) -> None:
    execution = run(stock, waiting_for_a_token({"TimeoutSecondsPath": "$.seconds"}), {"seconds": 1})
    assert execution["status"] == "RUNNING"


def test_a_function_that_raises_fails_a_task_that_waits_for_a_token(corrected: Engine) -> None:
    execution = run(corrected, waiting_for_a_token({"TimeoutSeconds": 60}), {"fail": True})
    assert (execution["status"], execution["error"]) == ("FAILED", "GateError")


def test_the_stock_engine_still_waits_for_a_token_that_nobody_has(stock: Engine) -> None:
    execution = run(stock, waiting_for_a_token({"TimeoutSeconds": 60}), {"fail": True})
    assert execution["status"] == "RUNNING"


def test_a_definition_in_yaml_runs(corrected: Engine) -> None:
    assert run_from_yaml(corrected)["status"] == "SUCCEEDED"


def test_the_stock_engine_still_fails_on_yaml_definitions(stock: Engine) -> None:
    assert run_from_yaml(stock)["status"] == "FAILED"


def test_the_event_of_an_upload_names_the_version(corrected: Engine) -> None:
    uploaded, event = upload_and_event(corrected)
    assert event["version-id"] == uploaded


def test_the_stock_engine_still_omits_the_version_of_an_upload(stock: Engine) -> None:
    _, event = upload_and_event(stock)
    assert "version-id" not in event


def test_a_range_of_an_object_version_returns_that_range(corrected: Engine) -> None:
    assert part_of_a_version(corrected) == b"part"


def test_the_stock_engine_still_reads_the_whole_version(stock: Engine) -> None:
    assert part_of_a_version(stock) == b"a part of it"


def test_permission_to_read_an_alias_is_enough_to_read_it(corrected: Engine) -> None:
    assert read_alias_with_that_right_alone(corrected) == "1"


def test_the_stock_engine_still_requires_another_permission_for_an_alias(stock: Engine) -> None:
    with pytest.raises(ClientError, match="lambda:ListAliases"):
        read_alias_with_that_right_alone(stock)


def test_permission_to_call_one_version_allows_exactly_that(corrected: Engine) -> None:
    assert call_version_1_with_the_right_to(corrected, ":1") == 204
    for other in ("", ":2"):
        with pytest.raises(ClientError, match="not authorized"):
            call_version_1_with_the_right_to(corrected, other)


def test_the_stock_engine_still_ignores_which_version_may_be_called(stock: Engine) -> None:
    with pytest.raises(ClientError, match="not authorized"):
        call_version_1_with_the_right_to(stock, ":1")


def test_permission_to_send_mail_from_one_address_allows_exactly_that(corrected: Engine) -> None:
    mail_with_the_right_to_that_sender_alone(corrected, "me@example.com")
    assert [mail.to for mail in corrected.mails()] == ["you@example.com"]
    with pytest.raises(ClientError, match="not authorized"):
        mail_with_the_right_to_that_sender_alone(corrected, "somebody-else@example.com")


def test_the_stock_engine_still_ignores_senders(stock: Engine) -> None:
    with pytest.raises(ClientError, match="not authorized"):
        mail_with_the_right_to_that_sender_alone(stock, "me@example.com")


def test_permission_to_read_an_aliass_concurrency_is_enough(corrected: Engine) -> None:
    assert (
        look_at_concurrency_with_that_right_alone(corrected)
        == "ProvisionedConcurrencyConfigNotFoundException"
    )


def test_the_stock_engine_still_requires_another_permission_for_an_aliass_concurrency(stock: Engine) -> None:
    assert "AccessDenied" in look_at_concurrency_with_that_right_alone(stock)


def test_permission_on_the_keys_of_one_alias_allows_exactly_that(corrected: Engine) -> None:
    assert sign_with_the_right_to_an_alias_alone(corrected, "alias/tagship-mine")
    with pytest.raises(ClientError, match="not authorized"):
        sign_with_the_right_to_an_alias_alone(corrected, "alias/another")


def test_the_stock_engine_still_ignores_key_aliases(stock: Engine) -> None:
    with pytest.raises(ClientError, match="not authorized"):
        sign_with_the_right_to_an_alias_alone(stock, "alias/tagship-mine")


def test_permission_on_parameters_under_one_path_allows_exactly_that(corrected: Engine) -> None:
    assert read_with_the_right_to_a_path_alone(corrected, "/mine") == []
    with pytest.raises(ClientError, match="not authorized"):
        read_with_the_right_to_a_path_alone(corrected, "/another")


def test_the_stock_engine_still_requires_permission_on_all_parameters(stock: Engine) -> None:
    with pytest.raises(ClientError, match="not authorized"):
        read_with_the_right_to_a_path_alone(stock, "/mine")


def test_permission_to_send_a_message_is_enough_for_a_batch(corrected: Engine) -> None:
    assert queued_with_the_right_to_send_alone(corrected) == ["1"]


def test_the_stock_engine_still_requires_another_permission_for_a_batch(stock: Engine) -> None:
    with pytest.raises(ClientError, match="not authorized"):
        queued_with_the_right_to_send_alone(stock)


def test_permission_on_one_cloudfront_function_allows_exactly_that(corrected: Engine) -> None:
    assert changed_with_the_right_to_one_function(corrected, "mine") == "published"
    with pytest.raises(ClientError, match="not authorized to perform: cloudfront:"):
        changed_with_the_right_to_one_function(corrected, "theirs")


def test_the_stock_engine_still_requires_permission_on_all_cloudfront_functions(stock: Engine) -> None:
    with pytest.raises(ClientError, match="not authorized to perform: cloudfront:"):
        changed_with_the_right_to_one_function(stock, "mine")


def test_a_cloudfront_function_can_be_tested(corrected: Engine) -> None:
    assert tried_out(corrected, "function handler(event) { return event.request; }") == {
        "FunctionErrorMessage": "",
        "FunctionOutput": '{"request": {"uri": "/"}}',
    }
    assert "missing" in tried_out(corrected, "function handler() { missing(); }")["FunctionErrorMessage"]


def test_the_stock_engine_still_cannot_test_cloudfront_functions(stock: Engine) -> None:
    with pytest.raises(ClientError, match="TestFunction"):
        tried_out(stock, "function handler(event) { return event.request; }")


def test_a_role_is_trusted_by_its_own_arn(corrected: Engine) -> None:
    assumed_by_the_role_that_is_trusted(corrected)


def test_the_stock_engine_still_compares_the_sessions_arn(stock: Engine) -> None:
    with pytest.raises(ClientError, match="AccessDenied"):
        assumed_by_the_role_that_is_trusted(stock)


def test_permission_on_its_state_machine_is_enough_to_answer_a_waiting_task(corrected: Engine) -> None:
    assert answered_with_the_right_to(corrected, "*") == "SUCCEEDED"
    with pytest.raises(ClientError, match="AccessDenied"):
        answered_with_the_right_to(corrected, "another-*")


def test_the_stock_engine_still_requires_permission_on_everything(stock: Engine) -> None:
    with pytest.raises(ClientError, match="AccessDenied"):
        answered_with_the_right_to(stock, "*")


def test_an_execution_runs_the_version_that_its_arn_names(corrected: Engine) -> None:
    ran = executed_by_alias_and_version(corrected)
    assert set(ran["live"]) == {"1", "2"}, "an alias draws one of its two versions"
    assert set(ran["1"]) == {"1"}
    assert ran["unqualified"] == ["3"]


def test_the_stock_engine_still_always_runs_the_newest_definition(stock: Engine) -> None:
    assert executed_by_alias_and_version(stock) == {"live": ["3"] * 16, "1": ["3"], "unqualified": ["3"]}


def test_executions_are_listed_by_the_version_and_the_alias_that_started_them(corrected: Engine) -> None:
    assert listed_by_version_and_alias(corrected) == {
        "": ["", "live", "live"],
        ":2": ["live"],
        ":live": ["live"] * 2,
    }


def test_the_stock_engine_still_lists_none_by_version_or_alias(stock: Engine) -> None:
    assert listed_by_version_and_alias(stock) == {"": [""] * 3, ":2": [], ":live": []}


def test_the_executions_of_a_version_are_counted(corrected: Engine) -> None:
    assert counted_of_a_version(corrected) == {"ExecutionsStarted": 1, "ExecutionsSucceeded": 1}


def test_the_stock_engine_still_counts_no_executions(stock: Engine) -> None:
    assert counted_of_a_version(stock) == {}


def test_the_right_to_one_state_machine_is_one_to_its_versions_aliases_and_tags(corrected: Engine) -> None:
    moved_with_the_right_to_one_machine(corrected, mine=True)
    with pytest.raises(ClientError, match="AccessDenied"):
        moved_with_the_right_to_one_machine(corrected, mine=False)


def test_the_stock_engine_still_requires_a_permission_on_all_state_machines(stock: Engine) -> None:
    with pytest.raises(ClientError, match="AccessDenied"):
        moved_with_the_right_to_one_machine(stock, mine=True)


def test_the_right_to_one_ecs_service_is_that_and_no_more(corrected: Engine) -> None:
    deployed_with_the_right_to_one_service(corrected, mine=True)
    with pytest.raises(ClientError, match="AccessDenied"):
        deployed_with_the_right_to_one_service(corrected, mine=False)


def test_the_stock_engine_still_requires_a_right_on_the_whole_cluster(stock: Engine) -> None:
    with pytest.raises(ClientError, match="AccessDenied"):
        deployed_with_the_right_to_one_service(stock, mine=True)


def test_a_simulation_knows_its_context(corrected: Engine) -> None:
    assert simulated_passing_of_a_role(corrected, to="states.amazonaws.com") == "allowed"
    assert simulated_passing_of_a_role(corrected, to="lambda.amazonaws.com") == "implicitDeny"


def test_the_stock_engine_still_simulates_without_the_context(stock: Engine) -> None:
    assert simulated_passing_of_a_role(stock, to="states.amazonaws.com") == "implicitDeny"


def test_a_role_can_be_assumed_with_an_external_id_condition(corrected: Engine) -> None:
    assumed_with_the_right_to_an_external_id(corrected, ExternalId="mine")
    with pytest.raises(ClientError, match="AccessDenied"):
        assumed_with_the_right_to_an_external_id(corrected)


def test_the_stock_engine_still_ignores_the_callers_external_id(stock: Engine) -> None:
    with pytest.raises(ClientError, match="AccessDenied"):
        assumed_with_the_right_to_an_external_id(stock, ExternalId="mine")


def test_an_upload_with_publish_creates_one_version(corrected: Engine) -> None:
    assert versions_of_an_upload_and_of_publishing_after_it(corrected) == ("1", "1")


def test_the_stock_engine_still_creates_a_second_version(stock: Engine) -> None:
    assert versions_of_an_upload_and_of_publishing_after_it(stock) == ("1", "2")


def test_a_dry_run_of_an_upload_changes_nothing(corrected: Engine) -> None:
    before, rehearsed, after = digests_before_and_after_a_dry_run(corrected)
    assert before == after != rehearsed


def test_the_stock_engine_still_uploads_in_a_dry_run(stock: Engine) -> None:
    before, rehearsed, after = digests_before_and_after_a_dry_run(stock)
    assert before != after == rehearsed


def test_a_bucket_policy_can_require_that_nothing_is_overwritten(corrected: Engine) -> None:
    put_under_a_policy(corrected, IfNoneMatch="*")
    with pytest.raises(ClientError, match="AccessDenied"):
        put_under_a_policy(corrected)


def test_the_stock_engine_still_denies_uploads_under_such_a_policy(stock: Engine) -> None:
    with pytest.raises(ClientError, match="AccessDenied"):
        put_under_a_policy(stock, IfNoneMatch="*")


def test_a_stack_can_contain_saved_queries(corrected: Engine) -> None:
    create_a_saved_query(corrected)


def test_the_stock_engine_still_refuses_saved_queries(stock: Engine) -> None:
    with pytest.raises(ClientError, match="Unrecognized resource types"):
        create_a_saved_query(stock)


def test_a_stack_can_contain_alarms_over_metric_math(corrected: Engine) -> None:
    assert made_alarm(corrected) == ["CREATE_COMPLETE"]


def test_the_stock_engine_still_refuses_such_alarms(stock: Engine) -> None:
    assert made_alarm(stock) != ["CREATE_COMPLETE"]


def test_an_execution_begins_at_once(corrected: Engine) -> None:
    assert fastest_execution(corrected) < PAUSE


def test_the_stock_engine_still_pauses_before_each_execution(stock: Engine) -> None:
    assert fastest_execution(stock) >= PAUSE


def test_a_call_is_answered_when_its_function_has_returned(corrected: Engine) -> None:
    assert fastest_silent_call(corrected) < SILENCE


def test_the_stock_engine_still_waits_for_the_log_of_a_silent_function(stock: Engine) -> None:
    assert fastest_silent_call(stock) >= SILENCE


def test_the_answer_of_a_call_has_all_that_the_function_logged(corrected: Engine) -> None:
    logged = [f"line {number}" for number in range(100)]
    code = "def handler(event, context):\n    for number in range(100):\n        print('line', number)\n"
    for _ in range(3):
        assert log_of(corrected, function(corrected, code)).splitlines() == logged


def test_the_log_of_a_call_that_raised_is_complete_too(corrected: Engine) -> None:
    assert "a line" in log_of(corrected, function(corrected), fail=True)


def test_a_function_starts_without_imports_of_its_own(corrected: Engine) -> None:
    assert call(corrected, function(corrected, IMPORTED)) is False


def test_the_stock_engine_still_imports_botocore_into_every_function(stock: Engine) -> None:
    assert call(stock, function(stock, IMPORTED)) is True


def test_functions_share_the_files_of_a_layer(corrected: Engine) -> None:
    assert len(files_of_one_layer(corrected)) == 1


def test_the_stock_engine_still_unpacks_a_layer_for_each_function(stock: Engine) -> None:
    assert len(files_of_one_layer(stock)) == 2


def test_a_large_partition_and_a_large_item_answer_the_same_and_sooner(
    corrected: Engine, stock: Engine
) -> None:
    """The fastest of several tries, on the same machine: about half here, so less than 0.85 of it is safe to require."""
    ours, theirs = large_table(corrected), large_table(stock)
    assert found_and_written(corrected, ours) == found_and_written(stock, theirs)
    assert fastest(lambda: find_one(corrected, ours)) < fastest(lambda: find_one(stock, theirs)) * 0.85
    assert fastest(lambda: write_one(corrected, ours)) < fastest(lambda: write_one(stock, theirs)) * 0.85


def made_alarm(engine: Engine) -> list[str]:
    metric = {"Namespace": "Any", "MetricName": "Failed", "Dimensions": [{"Name": "Stage", "Value": "x"}]}
    alarm = {
        "AlarmName": unique(),
        "ComparisonOperator": "GreaterThanThreshold",
        "EvaluationPeriods": 1,
        "Threshold": 10,
        "Metrics": [
            {"Id": "rate", "Expression": "100 * failed"},
            {
                "Id": "failed",
                "ReturnData": False,
                "MetricStat": {"Metric": metric, "Period": 60, "Stat": "Sum"},
            },
        ],
    }
    resource = {"Type": "AWS::CloudWatch::Alarm", "Properties": alarm}
    cloudformation, name = engine.client("cloudformation"), unique()
    cloudformation.create_stack(StackName=name, TemplateBody=json.dumps({"Resources": {"Alarm": resource}}))
    deadline = time.monotonic() + SECONDS_TO_WAIT
    while True:
        found = [stack["StackStatus"] for stack in cloudformation.describe_stacks(StackName=name)["Stacks"]]
        if found != ["CREATE_IN_PROGRESS"] or time.monotonic() > deadline:
            return found
        time.sleep(0.1)


def create_a_saved_query(engine: Engine) -> None:
    query = {
        "Type": "AWS::Logs::QueryDefinition",
        "Properties": {"Name": "errors", "QueryString": "fields @message"},
    }
    engine.client("cloudformation").create_stack(
        StackName=unique(), TemplateBody=json.dumps({"Resources": {"Query": query}})
    )


def catching(error: str) -> dict[str, Any]:
    return {
        "Type": "Task",
        "Resource": "arn:aws:states:::lambda:invoke",
        "Parameters": {"Payload": {"fail": True}},
        "Catch": [{"ErrorEquals": [error], "ResultPath": "$.error", "Next": "Caught"}],
        "Next": "Caught",
    }


def waiting_for_a_token(time_out: dict[str, Any]) -> dict[str, Any]:
    return {
        "Type": "Task",
        "Resource": "arn:aws:states:::lambda:invoke.waitForTaskToken",
        "Parameters": {"Payload": {"token.$": "$$.Task.Token", "fail.$": "$.fail"}},
        **time_out,
        "Next": "Caught",
    }


def run(engine: Engine, task: dict[str, Any], given: dict[str, Any] | None = None) -> Any:
    task["Parameters"]["FunctionName"] = function(engine)
    machine = {"StartAt": "Task", "States": {"Task": task, "Caught": {"Type": "Succeed"}}}
    arn = engine.client("stepfunctions").create_state_machine(
        name=unique(), definition=json.dumps(machine), roleArn=ROLE
    )["stateMachineArn"]
    return execute(engine, arn, {"fail": False} | (given or {}))


def run_from_yaml(engine: Engine) -> Any:
    machine = "# a comment\nStartAt: Done\nStates:\n  Done: {Type: Succeed}\n"
    template = {
        "Resources": {
            "Machine": {
                "Type": "AWS::StepFunctions::StateMachine",
                "Properties": {"StateMachineName": unique(), "RoleArn": ROLE, "DefinitionString": machine},
            }
        },
        "Outputs": {"Arn": {"Value": {"Ref": "Machine"}}},
    }
    cloudformation, name = engine.client("cloudformation"), unique()
    cloudformation.create_stack(StackName=name, TemplateBody=json.dumps(template))
    cloudformation.get_waiter("stack_create_complete").wait(StackName=name, WaiterConfig={"Delay": 1})
    arn = cloudformation.describe_stacks(StackName=name)["Stacks"][0]["Outputs"][0]["OutputValue"]
    return execute(engine, arn, {})


def execute(engine: Engine, machine: str, given: dict[str, Any]) -> Any:
    """The execution's state when it has ended, or at the deadline."""
    states = engine.client("stepfunctions")
    arn = states.start_execution(stateMachineArn=machine, input=json.dumps(given), name=unique())[
        "executionArn"
    ]
    return ended(engine, arn)


def ended(engine: Engine, arn: str) -> Any:
    """An execution's state when it has ended, or at the deadline; then it is stopped."""
    states, deadline = engine.client("stepfunctions"), time.monotonic() + SECONDS_TO_WAIT
    while (execution := states.describe_execution(executionArn=arn))["status"] == "RUNNING":
        if time.monotonic() > deadline:
            states.stop_execution(executionArn=arn)
            break
        time.sleep(0.05)
    return execution


def zipped(code: str, *, name: str = "app.py") -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr(name, code)
    return packed.getvalue()


def function(engine: Engine, code: str = FUNCTION, **more: Any) -> str:
    name = unique()
    engine.client("lambda").create_function(
        FunctionName=name,
        Runtime="python3.13",
        Role=ROLE,
        Handler="app.handler",
        Code={"ZipFile": zipped(code)},
        Timeout=10,
        **more,
    )
    return name


def call(engine: Engine, name: str) -> Any:
    return json.load(engine.client("lambda").invoke(FunctionName=name, Payload="{}")["Payload"])


def log_of(engine: Engine, name: str, **event: Any) -> str:
    answer = engine.client("lambda").invoke(FunctionName=name, LogType="Tail", Payload=json.dumps(event))
    return base64.b64decode(answer["LogResult"]).decode()


def fastest_execution(engine: Engine) -> float:
    machine = {"StartAt": "Done", "States": {"Done": {"Type": "Succeed"}}}
    arn = engine.client("stepfunctions").create_state_machine(
        name=unique(), definition=json.dumps(machine), roleArn=ROLE
    )["stateMachineArn"]
    done = [execute(engine, arn, {}) for _ in range(5)]
    return min((each["stopDate"] - each["startDate"]).total_seconds() for each in done)


def fastest(step: Callable[[], object]) -> float:
    """Seconds of the fastest of ten; the first may also start a process."""
    seconds = []
    for _ in range(10):
        began = time.monotonic()
        step()
        seconds.append(time.monotonic() - began)
    return min(seconds)


def fastest_silent_call(engine: Engine) -> float:
    name = function(engine, "def handler(event, context):\n    return None\n")
    return fastest(lambda: call(engine, name))


def large_table(engine: Engine) -> str:
    """A partition of 1,000 items, and an item with 5,000 values."""
    name, client = unique(), engine.client("dynamodb")
    client.create_table(
        TableName=name,
        KeySchema=[{"AttributeName": "pk", "KeyType": "HASH"}, {"AttributeName": "sk", "KeyType": "RANGE"}],
        AttributeDefinitions=[{"AttributeName": each, "AttributeType": "S"} for each in ("pk", "sk")],
        BillingMode="PAY_PER_REQUEST",
    )
    items = [{"pk": {"S": "many"}, "sk": {"S": f"{number:04}"}} for number in range(1000)]
    for first in range(0, len(items), 25):
        puts = [{"PutRequest": {"Item": item}} for item in items[first : first + 25]]
        client.batch_write_item(RequestItems={name: puts})
    large = {"pk": {"S": "large"}, "sk": {"S": "1"}, "values": {"L": [{"S": "v"}] * 5000}}
    client.put_item(TableName=name, Item=large)
    return name


def find_one(engine: Engine, table: str) -> Any:
    return engine.client("dynamodb").query(
        TableName=table,
        KeyConditionExpression="pk = :pk AND begins_with(sk, :sk)",
        ExpressionAttributeValues={":pk": {"S": "many"}, ":sk": {"S": "0042"}},
    )["Items"]


def write_one(engine: Engine, table: str) -> None:
    engine.client("dynamodb").update_item(
        TableName=table,
        Key={"pk": {"S": "large"}, "sk": {"S": "1"}},
        UpdateExpression="SET seen = :seen",
        ConditionExpression="attribute_exists(pk)",
        ExpressionAttributeValues={":seen": {"S": "yes"}},
    )


def found_and_written(engine: Engine, table: str) -> tuple[Any, Any]:
    write_one(engine, table)
    key = {"pk": {"S": "large"}, "sk": {"S": "1"}}
    written = engine.client("dynamodb").get_item(TableName=table, Key=key)["Item"]
    return find_one(engine, table), written


def files_of_one_layer(engine: Engine) -> set[int]:
    """The inodes of a layer's file, as two functions see it."""
    layer = engine.client("lambda").publish_layer_version(
        LayerName=unique(), Content={"ZipFile": zipped("", name="python/shared.py")}
    )["LayerVersionArn"]
    code = "import os, shared\n\ndef handler(event, context):\n    return os.stat(shared.__file__).st_ino\n"
    return {call(engine, function(engine, code, Layers=[layer])) for _ in range(2)}


def weighted(engine: Engine) -> str:
    name = function(engine)
    lambdas = engine.client("lambda")
    first = lambdas.publish_version(FunctionName=name)["Version"]
    lambdas.update_function_configuration(FunctionName=name, Description="another version")
    second = lambdas.publish_version(FunctionName=name)["Version"]
    lambdas.create_alias(
        FunctionName=name,
        Name="live",
        FunctionVersion=first,
        RoutingConfig={"AdditionalVersionWeights": {second: 0.5}},
    )
    return name


def processes_before_and_after_an_exception(engine: Engine) -> tuple[int, int]:
    name = function(engine)
    before, _, after = [
        json.load(
            engine.client("lambda").invoke(FunctionName=name, Payload=json.dumps({"fail": fail}))["Payload"]
        )
        for fail in (False, True, False)
    ]
    return before["process"], after["process"]


def called_through_alias(engine: Engine) -> set[str]:
    name = weighted(engine)
    answers = [
        engine.client("lambda").invoke(FunctionName=name, Qualifier="live", Payload="{}") for _ in range(40)
    ]
    assert {answer["ExecutedVersion"] for answer in answers} <= {"1", "2"}
    return {json.load(answer["Payload"])["version"] for answer in answers}


def called_by_a_queue(engine: Engine) -> set[str]:
    """Two at a time, so that few processes are started. Each process of a version has its own stream of log lines."""
    name, sqs, logs = weighted(engine), engine.client("sqs"), engine.client("logs")
    queue, group = sqs.create_queue(QueueName=name)["QueueUrl"], f"/aws/lambda/{name}"
    logs.create_log_group(logGroupName=group)
    engine.client("lambda").create_event_source_mapping(
        EventSourceArn=f"arn:aws:sqs:{REGION}:{ACCOUNT}:{name}",
        FunctionName=f"{name}:live",
        BatchSize=1,
        ScalingConfig={"MaximumConcurrency": 2},
    )
    for number in range(QUEUED):
        sqs.send_message(QueueUrl=queue, MessageBody=str(number))
    deadline = time.monotonic() + QUEUED_SECONDS
    while time.monotonic() < deadline:
        found = [
            event
            for event in logs.filter_log_events(logGroupName=group)["events"]
            if "a line" in event["message"]
        ]
        if len(found) == QUEUED:
            return {event["logStreamName"].split("[")[1].split("]")[0] for event in found}
        time.sleep(0.1)
    raise AssertionError(f"{QUEUED} messages were not handled within {QUEUED_SECONDS} s")


def called_through_url(engine: Engine) -> set[str]:
    address = engine.client("lambda").create_function_url_config(
        FunctionName=weighted(engine), Qualifier="live", AuthType="NONE"
    )["FunctionUrl"]
    answers = set()
    for _ in range(40):
        with urlopen(engine.function_url(address), timeout=10) as answer:
            answers.add(json.load(answer)["version"])
    return answers


def upload_and_event(engine: Engine) -> tuple[str, dict[str, Any]]:
    """The version that S3 gave an upload, and the object in the upload's event."""
    s3, sqs, events, name = (*(engine.client(each) for each in ("s3", "sqs", "events")), unique())
    s3.create_bucket(Bucket=name)
    s3.put_bucket_versioning(Bucket=name, VersioningConfiguration={"Status": "Enabled"})
    s3.put_bucket_notification_configuration(
        Bucket=name, NotificationConfiguration={"EventBridgeConfiguration": {}}
    )
    queue = sqs.create_queue(QueueName=name)["QueueUrl"]
    arn = sqs.get_queue_attributes(QueueUrl=queue, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    events.put_rule(
        Name=name, EventPattern=json.dumps({"source": ["aws.s3"], "detail": {"bucket": {"name": [name]}}})
    )
    events.put_targets(Rule=name, Targets=[{"Id": "queue", "Arn": arn}])
    version = s3.put_object(Bucket=name, Key="release.json", Body=b"{}")["VersionId"]
    [message] = sqs.receive_message(QueueUrl=queue, WaitTimeSeconds=5)["Messages"]
    return version, json.loads(message["Body"])["detail"]["object"]


def assumed_by_the_role_that_is_trusted(engine: Engine) -> None:
    """A role that trusts another one by its ARN is assumed in that one."""
    trusted = unique()
    trust = policy(
        Principal={"AWS": f"arn:aws:iam::{ACCOUNT}:root"},
        Action="sts:AssumeRole",
        Condition={"ArnLike": {"aws:PrincipalArn": f"arn:aws:iam::{ACCOUNT}:role/{trusted[:-3]}*"}},
    )
    role = engine.client("iam").create_role(RoleName=unique(), AssumeRolePolicyDocument=trust)["Role"]["Arn"]
    client_that_may(engine, "sts", name=trusted, Action="sts:AssumeRole", Resource=role).assume_role(
        RoleArn=role, RoleSessionName="tester"
    )


def machine_with_versions(engine: Engine) -> str:
    """Versions 1 and 2 share the alias `live`; a third definition is not published. Each answers with its number."""

    def saying(number: str) -> str:
        only = {"Type": "Pass", "Result": number, "End": True}
        return json.dumps({"StartAt": "Only", "States": {"Only": only}})

    states = engine.client("stepfunctions")
    arn = str(
        states.create_state_machine(name=unique(), definition=saying("1"), roleArn=ROLE, publish=True)[
            "stateMachineArn"
        ]
    )
    states.update_state_machine(stateMachineArn=arn, definition=saying("2"), publish=True)
    states.update_state_machine(stateMachineArn=arn, definition=saying("3"))
    states.create_state_machine_alias(
        name="live",
        routingConfiguration=[{"stateMachineVersionArn": f"{arn}:{each}", "weight": 50} for each in (1, 2)],
    )
    return arn


def start(engine: Engine, machine: str) -> str:
    return str(
        engine.client("stepfunctions").start_execution(stateMachineArn=machine, name=unique())["executionArn"]
    )


def executed_by_alias_and_version(engine: Engine) -> dict[str, list[str]]:
    """Which definition ran, by what was named."""
    arn = machine_with_versions(engine)
    asked = {"live": [f"{arn}:live"] * 16, "1": [f"{arn}:1"], "unqualified": [arn]}
    started = {named: [start(engine, each) for each in machines] for named, machines in asked.items()}
    return {
        named: [json.loads(ended(engine, execution)["output"]) for execution in executions]
        for named, executions in started.items()
    }


def listed_by_version_and_alias(engine: Engine) -> dict[str, list[str]]:
    """The aliases with which executions were started, as lists of the machine, a version and an alias say them."""
    states, arn = engine.client("stepfunctions"), machine_with_versions(engine)
    for number in (1, 2):  # first all on version 1, then all on version 2
        states.update_state_machine_alias(
            stateMachineAliasArn=f"{arn}:live",
            routingConfiguration=[{"stateMachineVersionArn": f"{arn}:{number}", "weight": 100}],
        )
        start(engine, f"{arn}:live")
    described = states.describe_execution(executionArn=start(engine, arn))
    assert "stateMachineVersionArn" not in described
    return {
        qualifier: sorted(
            each.get("stateMachineAliasArn", "").rpartition(":")[2]
            for each in states.list_executions(stateMachineArn=arn + qualifier)["executions"]
        )
        for qualifier in ("", ":2", ":live")
    }


def counted_of_a_version(engine: Engine) -> dict[str, float]:
    """The sums of one execution's metrics, of its version alone."""
    arn = machine_with_versions(engine)
    ended(engine, start(engine, f"{arn}:1"))
    now, cloudwatch, sums = datetime.now(UTC), engine.client("cloudwatch"), {}
    for metric in ("ExecutionsStarted", "ExecutionsSucceeded", "ExecutionsFailed"):
        points = cloudwatch.get_metric_statistics(
            Namespace="AWS/States",
            MetricName=metric,
            Dimensions=[{"Name": "StateMachineArn", "Value": arn}, {"Name": "Version", "Value": "1"}],
            StartTime=now - timedelta(minutes=5),
            EndTime=now + timedelta(minutes=5),
            Period=60,
            Statistics=["Sum"],
        )["Datapoints"]
        if points:
            sums[metric] = sum(point["Sum"] for point in points)
    return sums


def moved_with_the_right_to_one_machine(engine: Engine, *, mine: bool) -> None:
    """Somebody with the right to one state machine moves and marks an alias, and creates another."""
    arn = machine_with_versions(engine)
    right = arn if mine else machine_with_versions(engine)
    routing = [{"stateMachineVersionArn": f"{arn}:2", "weight": 100}]
    mover = client_that_may(engine, "stepfunctions", Action="states:*", Resource=right)
    mover.tag_resource(resourceArn=arn, tags=[{"key": "moved", "value": "yes"}])
    mover.update_state_machine_alias(stateMachineAliasArn=f"{arn}:live", routingConfiguration=routing)
    mover.create_state_machine_alias(name="another", routingConfiguration=routing)
    mover.delete_state_machine_version(stateMachineVersionArn=f"{arn}:1")


def deployed_with_the_right_to_one_service(engine: Engine, *, mine: bool) -> None:
    """Somebody with the right to one service and one family registers a revision, deploys it and marks the service."""
    ecs, name = engine.client("ecs"), unique()
    task = {"family": name, "containerDefinitions": [{"name": "web", "image": "web", "memory": 64}]}
    ecs.create_cluster(clusterName=name)
    ecs.register_task_definition(**task)
    for service in ("mine", "theirs"):
        ecs.create_service(cluster=name, serviceName=service, taskDefinition=name, desiredCount=1)
    here = f"arn:aws:ecs:{REGION}:{ACCOUNT}"
    allowed = [f"{here}:service/{name}/{'mine' if mine else 'theirs'}", f"{here}:task-definition/{name}:*"]
    deployer = client_that_may(engine, "ecs", Action="ecs:*", Resource=allowed)
    deployer.register_task_definition(**task)
    deployer.describe_services(cluster=name, services=["mine"])
    deployer.list_service_deployments(cluster=name, service="mine")
    deployer.update_service(cluster=name, service="mine", taskDefinition=f"{name}:2")
    deployer.tag_resource(
        resourceArn=f"{here}:service/{name}/mine", tags=[{"key": "deployed", "value": "yes"}]
    )


def simulated_passing_of_a_role(engine: Engine, *, to: str) -> str:
    """Whether a role may pass another to a service, which may be passed to Step Functions alone."""
    role = make_role(
        engine,
        unique(),
        Action="iam:PassRole",
        Resource=ROLE,
        Condition={"StringEquals": {"iam:PassedToService": "states.amazonaws.com"}},
    )
    passed_to = {
        "ContextKeyName": "iam:PassedToService",
        "ContextKeyValues": [to],
        "ContextKeyType": "string",
    }
    (found,) = engine.client("iam").simulate_principal_policy(
        PolicySourceArn=role, ActionNames=["iam:PassRole"], ResourceArns=[ROLE], ContextEntries=[passed_to]
    )["EvaluationResults"]
    return str(found["EvalDecision"])


def assumed_with_the_right_to_an_external_id(engine: Engine, **given: str) -> None:
    """The caller may assume roles only with an external id; the role itself requires none."""
    role = make_role(engine, unique(), Action="states:*", Resource="*")
    right = {"Condition": {"Null": {"sts:ExternalId": "false"}}}
    client_that_may(engine, "sts", Action="sts:AssumeRole", Resource=role, **right).assume_role(
        RoleArn=role, RoleSessionName="tester", **given
    )


def answered_with_the_right_to(engine: Engine, machines: str) -> str:
    """How an execution ends whose waiting task was answered by somebody with the right to these machines."""
    states, sqs, name = engine.client("stepfunctions"), engine.client("sqs"), unique()
    queue = sqs.create_queue(QueueName=name)["QueueUrl"]
    task = {
        "Type": "Task",
        "Resource": "arn:aws:states:::sqs:sendMessage.waitForTaskToken",
        "Parameters": {"QueueUrl": queue, "MessageBody": {"token.$": "$$.Task.Token"}},
        "TimeoutSeconds": 2 * SECONDS_TO_WAIT,
        "End": True,
    }
    machine = states.create_state_machine(
        name=name, definition=json.dumps({"StartAt": "Task", "States": {"Task": task}}), roleArn=ROLE
    )["stateMachineArn"]
    execution = states.start_execution(stateMachineArn=machine, name=name)["executionArn"]
    (message,) = sqs.receive_message(QueueUrl=queue, WaitTimeSeconds=SECONDS_TO_WAIT)["Messages"]
    on = f"arn:aws:states:{REGION}:{ACCOUNT}:stateMachine:{machines}"
    answering = client_that_may(engine, "stepfunctions", Action="states:SendTaskSuccess", Resource=on)
    answering.send_task_success(taskToken=json.loads(message["Body"])["token"], output="{}")
    return str(ended(engine, execution)["status"])


def versions_of_an_upload_and_of_publishing_after_it(engine: Engine) -> tuple[str, str]:
    functions, name = engine.client("lambda"), function(engine)
    code = zipped(FUNCTION + "# another")
    first = functions.update_function_code(FunctionName=name, ZipFile=code, Publish=True)["Version"]
    return first, functions.publish_version(FunctionName=name)["Version"]


def digests_before_and_after_a_dry_run(engine: Engine) -> tuple[str, str, str]:
    """The digests of the function's code before, in the dry run, and after."""
    functions, s3, name = engine.client("lambda"), engine.client("s3"), function(engine)
    s3.create_bucket(Bucket=name)
    s3.put_object(Bucket=name, Key="code.zip", Body=zipped(FUNCTION + "# another"))
    before = functions.get_function_configuration(FunctionName=name)["CodeSha256"]
    rehearsed = functions.update_function_code(
        FunctionName=name, S3Bucket=name, S3Key="code.zip", DryRun=True
    )["CodeSha256"]
    return before, rehearsed, functions.get_function_configuration(FunctionName=name)["CodeSha256"]


def look_at_concurrency_with_that_right_alone(engine: Engine) -> str:
    """The error's code."""
    name = weighted(engine)
    arn = f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:{name}"
    looking = client_that_may(
        engine, "lambda", Action="lambda:GetProvisionedConcurrencyConfig", Resource=[arn, f"{arn}:*"]
    )
    with pytest.raises(ClientError) as caught:
        looking.get_provisioned_concurrency_config(FunctionName=name, Qualifier="live")
    return str(caught.value.response["Error"]["Code"])


def call_version_1_with_the_right_to(engine: Engine, which: str) -> int:
    """The status of the answer."""
    name = function(engine)
    engine.client("lambda").publish_version(FunctionName=name)
    on = f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:{name}{which}"
    caller = client_that_may(engine, "lambda", Action="lambda:InvokeFunction", Resource=on)
    answer = caller.invoke(FunctionName=name, Qualifier="1", InvocationType="DryRun")
    return int(answer["ResponseMetadata"]["HTTPStatusCode"])


def read_alias_with_that_right_alone(engine: Engine) -> str:
    name = weighted(engine)
    reader = client_that_may(engine, "lambda", Action="lambda:GetAlias", Resource="*")
    return str(reader.get_alias(FunctionName=name, Name="live")["FunctionVersion"])


def mail_with_the_right_to_that_sender_alone(engine: Engine, sender: str) -> None:
    identities = f"arn:aws:ses:{REGION}:{ACCOUNT}:identity/*"
    right = {"Condition": {"StringEquals": {"ses:FromAddress": "me@example.com"}}}
    engine.client("ses").verify_email_identity(EmailAddress=sender)
    client_that_may(engine, "ses", Action="ses:SendEmail", Resource=identities, **right).send_email(
        Source=sender,
        Destination={"ToAddresses": ["you@example.com"]},
        Message={"Subject": {"Data": "Hello"}, "Body": {"Text": {"Data": "It's me."}}},
    )


def sign_with_the_right_to_an_alias_alone(engine: Engine, alias: str) -> bytes:
    kms = engine.client("kms")
    key = kms.create_key(KeySpec="ECC_NIST_P256", KeyUsage="SIGN_VERIFY")["KeyMetadata"]["KeyId"]
    kms.create_alias(AliasName=alias, TargetKeyId=key)
    right = {"Condition": {"StringLike": {"kms:RequestAlias": "alias/tagship-*"}}}
    keys = f"arn:aws:kms:{REGION}:{ACCOUNT}:key/*"
    signer = client_that_may(engine, "kms", Action="kms:Sign", Resource=keys, **right)
    answer = signer.sign(
        KeyId=alias, Message=b"0" * 32, MessageType="DIGEST", SigningAlgorithm="ECDSA_SHA_256"
    )
    return bytes(answer["Signature"])


def read_with_the_right_to_a_path_alone(engine: Engine, path: str) -> list[Any]:
    below = f"arn:aws:ssm:{REGION}:{ACCOUNT}:parameter/mine"
    reader = client_that_may(engine, "ssm", Action="ssm:GetParametersByPath", Resource=below)
    return list(reader.get_parameters_by_path(Path=path)["Parameters"])


def queued_with_the_right_to_send_alone(engine: Engine) -> list[str]:
    url = engine.client("sqs").create_queue(QueueName=unique())["QueueUrl"]
    sender = client_that_may(engine, "sqs", Action="sqs:SendMessage", Resource="*")
    answer = sender.send_message_batch(QueueUrl=url, Entries=[{"Id": "1", "MessageBody": "one"}])
    return [each["Id"] for each in answer["Successful"]]


def put_under_a_policy(engine: Engine, **headers: Any) -> None:
    s3, bucket = engine.client("s3"), unique()
    s3.create_bucket(Bucket=bucket)
    statement = {
        "Effect": "Deny",
        "Principal": "*",
        "Action": "s3:PutObject",
        "Resource": f"arn:aws:s3:::{bucket}/*",
        "Condition": {"Null": {"s3:if-none-match": "true"}},
    }
    s3.put_bucket_policy(
        Bucket=bucket, Policy=json.dumps({"Version": "2012-10-17", "Statement": [statement]})
    )
    writer = client_that_may(engine, "s3", Action="s3:PutObject", Resource="*")
    writer.put_object(Bucket=bucket, Key="once", Body=b"{}", **headers)


def part_of_a_version(engine: Engine) -> bytes:
    s3, name = engine.client("s3"), unique()
    s3.create_bucket(Bucket=name)
    s3.put_bucket_versioning(Bucket=name, VersioningConfiguration={"Status": "Enabled"})
    version = s3.put_object(Bucket=name, Key="key", Body=b"a part of it")["VersionId"]
    s3.put_object(Bucket=name, Key="key", Body=b"another version")
    answer = s3.get_object(Bucket=name, Key="key", VersionId=version, Range="bytes=2-5")
    return bytes(answer["Body"].read())


def changed_with_the_right_to_one_function(engine: Engine, allowed_name: str) -> str:
    """Reads, changes and publishes a CloudFront function, with the right to the one called `mine`."""
    cloudfront, names = engine.client("cloudfront"), {name: unique() for name in ("mine", "theirs")}
    configuration = {"Comment": "", "Runtime": "cloudfront-js-2.0"}
    for name in names.values():
        cloudfront.create_function(Name=name, FunctionConfig=configuration, FunctionCode=b"// old")
    may = [f"cloudfront:{what}Function" for what in ("Describe", "Get", "Update", "Publish")]
    mine = f"arn:aws:cloudfront::{ACCOUNT}:function/{names['mine']}"
    client, name = client_that_may(engine, "cloudfront", Action=may, Resource=mine), names[allowed_name]
    etag = client.get_function(Name=name, Stage="DEVELOPMENT")["ETag"]
    client.update_function(Name=name, IfMatch=etag, FunctionConfig=configuration, FunctionCode=b"// new")
    etag = client.get_function(Name=name, Stage="DEVELOPMENT")["ETag"]
    client.publish_function(Name=name, IfMatch=etag)
    client.describe_function(Name=name, Stage="LIVE")
    code = client.get_function(Name=name, Stage="LIVE")["FunctionCode"].read()
    return "published" if code == b"// new" else "not published"


def tried_out(engine: Engine, code: str) -> dict[str, str]:
    """What a caller learns about a function's code with permission to test only that function."""
    cloudfront, name = engine.client("cloudfront"), unique()
    configuration = {"Comment": "", "Runtime": "cloudfront-js-2.0"}
    cloudfront.create_function(Name=name, FunctionConfig=configuration, FunctionCode=code.encode())
    etag = cloudfront.get_function(Name=name, Stage="DEVELOPMENT")["ETag"]
    mine = f"arn:aws:cloudfront::{ACCOUNT}:function/{name}"
    client = client_that_may(engine, "cloudfront", Action="cloudfront:TestFunction", Resource=mine)
    event = json.dumps({"version": "1.0", "request": {"uri": "/"}}).encode()
    answer = client.test_function(Name=name, IfMatch=etag, Stage="DEVELOPMENT", EventObject=event)
    return {each: answer["TestResult"].get(each, "") for each in ("FunctionErrorMessage", "FunctionOutput")}


def client_that_may(engine: Engine, service: str, *, name: str = "", **right: Any) -> Any:
    role = make_role(engine, name or unique(), **right)
    credentials = engine.client("sts").assume_role(RoleArn=role, RoleSessionName="tester")["Credentials"]
    session: Any = boto3.session.Session()
    return session.client(
        service,
        endpoint_url=engine.endpoint,
        region_name=REGION,
        aws_access_key_id=credentials["AccessKeyId"],
        aws_secret_access_key=credentials["SecretAccessKey"],
        aws_session_token=credentials["SessionToken"],
    )


def make_role(engine: Engine, name: str, **right: Any) -> str:
    trusted = {"Principal": {"AWS": f"arn:aws:iam::{ACCOUNT}:root"}, "Action": "sts:AssumeRole"}
    iam = engine.client("iam")
    arn = iam.create_role(RoleName=name, AssumeRolePolicyDocument=policy(**trusted))["Role"]["Arn"]
    iam.put_role_policy(RoleName=name, PolicyName="may", PolicyDocument=policy(**right))
    return str(arn)


def policy(**allowed: Any) -> str:
    return json.dumps({"Version": "2012-10-17", "Statement": [{"Effect": "Allow", **allowed}]})


def unique() -> str:
    return f"n{uuid.uuid4().hex[:12]}"
