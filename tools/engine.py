"""The embedded engine: MiniStack, corrected in memory when it starts.

Run it in the engine's own environment, where its version is pinned:

    GATEWAY_PORT=4566 .venv-engine/bin/python tools/engine.py

`tools.stack.Engine` does that, with separate folders and a clean environment. No file of the package is
changed, and each correction makes the engine do what AWS documents. tests/integration/test_engine_corrections.py
tests each of them, and fails when the engine no longer needs it. Then delete the correction.

With --tasks=N, at most N tasks of state machines call their functions at a time. AWS has capacity for all of them; a single
machine that starts a hundred processes at once has none of them ready in time.

With --with-parent, the engine ends when its standard input is closed, so that it never outlives the program that started it.
"""

import base64
import contextlib
import contextvars
import copy
import functools
import hashlib
import inspect
import json
import os
import pickle
import queue
import random
import signal
import sys
import tempfile
import threading
import types
import zipfile
from collections.abc import Callable
from email.utils import parseaddr
from importlib.metadata import version
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs
from xml.etree.ElementTree import SubElement

import ministack.core.lambda_runtime as runtime
import yaml
from ministack.core import cloudfront_js, iam_actions, iam_evaluator
from ministack.core.responses import json_response
from ministack.services import cloudfront, cloudwatch, dynamodb, eventbridge, iam, kms, s3
from ministack.services import lambda_svc as lambdas
from ministack.services import stepfunctions as states
from ministack.services.cloudformation import provisioners

VERSION = "1.5.33"

_this_thread = threading.local()
_invoking = contextvars.ContextVar("invoking", default=False)
_uploaded = contextvars.ContextVar("uploaded", default="")
_qualified: contextvars.ContextVar[dict[str, Any]] = contextvars.ContextVar("qualified")
"""The version and the alias with which an execution was started."""


def keep_exception_names() -> None:
    """A handler's exception reaches the caller with its class name and stack trace.

    AWS returns errorType, errorMessage and stackTrace; Step Functions matches Retry and Catch on the errorType,
    and passes all three on as the cause. The unmodified engine names every exception Runtime.HandlerError, so no
    Catch ever matches.
    """
    stock = '"error": str(e), "trace": traceback.format_exc()'
    stack = "traceback.format_tb(e.__traceback__)[1:]"  # without the worker's own frame
    script = runtime._PYTHON_WORKER_SCRIPT
    runtime._PYTHON_WORKER_SCRIPT = _replaced(
        script, stock, f'{stock}, "errorType": type(e).__name__, "stackTrace": {stack}'
    )

    invoke_worker, execute = runtime.Worker.invoke, lambdas._execute_function_warm

    def invoke_and_remember(worker: Any, *args: Any, **kwargs: Any) -> Any:
        _this_thread.answer = invoke_worker(worker, *args, **kwargs)
        return _this_thread.answer

    def execute_and_name(function: Any, event: Any, request_id: str) -> Any:
        _this_thread.answer = {}
        result = execute(function, event, request_id)
        answer, body = _this_thread.answer, result.get("body")
        if result.get("error") and isinstance(body, dict):
            if "errorType" in answer:
                body |= {
                    "errorType": answer["errorType"],
                    "requestId": request_id,
                    "stackTrace": answer["stackTrace"],
                }
            elif answer.get("error") == "Worker process died":
                body["errorType"] = "Runtime.ExitError"
        return result

    runtime.Worker.invoke = invoke_and_remember
    lambdas._execute_function_warm = execute_and_name


def keep_processes_that_raised() -> None:
    """A function that raised is called again in the same process, as in AWS: only a crash or a time-out ends the process.

    The unmodified engine ends the process after every exception, so every retry has a cold start.
    """
    stock, ours = (
        f'{{"status": {status}, "error": str(e), "trace"' for status in ('"error"', '"ok", "raised": True')
    )
    runtime._PYTHON_WORKER_SCRIPT = _replaced(runtime._PYTHON_WORKER_SCRIPT, stock, ours)
    invoke_worker = runtime.Worker.invoke

    def invoke_and_mark(worker: Any, *args: Any, **kwargs: Any) -> Any:
        answer = invoke_worker(worker, *args, **kwargs)
        if answer.get("raised"):
            answer["status"] = "error"
        return answer

    runtime.Worker.invoke = invoke_and_mark


def follow_alias_weights() -> None:
    """A call to an alias goes to one of its two versions, by the alias's routing weights.

    The unmodified engine stores the weights but sends every call to the alias's main version, so a canary never gets
    a request. Only calls are weighted: reading an alias's configuration always returns the main version's.
    """
    invoke, effective = lambdas._invoke, lambdas._effective_func_record_for_qualifier

    def drawn(function: Any, qualifier: str | None) -> str | None:
        alias = ((function or {}).get("aliases") or {}).get(qualifier) or {}
        dice = random.random()  # noqa: S311 (traffic, not secrets)
        for candidate, weight in (
            (alias.get("RoutingConfig") or {}).get("AdditionalVersionWeights") or {}
        ).items():
            if dice < weight:
                return str(candidate)
            dice -= weight
        return qualifier

    async def invoke_drawn(
        name: str, event: Any, headers: Any, path_qualifier: str | None = None, query_params: Any = None
    ) -> Any:
        qualifier = path_qualifier or lambdas._qp_first(query_params or {}, "Qualifier")
        version_drawn = drawn(lambdas._functions.get(name), qualifier)
        return await invoke(
            name,
            event,
            headers,
            version_drawn if version_drawn != qualifier else path_qualifier,
            query_params,
        )

    def to_invoke[**P, T](look: Callable[P, T]) -> Callable[P, T]:
        def looking(*arguments: P.args, **more: P.kwargs) -> T:
            token = _invoking.set(True)
            try:
                return look(*arguments, **more)
            finally:
                _invoking.reset(token)

        return looking

    def effective_or_drawn(function: Any, qualifier: str | None) -> Any:
        return effective(function, drawn(function, qualifier) if _invoking.get() else qualifier)

    lambdas._invoke = invoke_drawn
    lambdas._get_func_record_for_ref = to_invoke(lambdas._get_func_record_for_ref)
    lambdas._effective_func_record_for_qualifier = effective_or_drawn
    lambdas._poll_sqs = to_invoke(lambdas._poll_sqs)  # each batch of a queue is a call


def read_time_outs_from_input() -> None:
    """A task's TimeoutSecondsPath is read from the state's input.

    The approval's time-out comes from the application's configuration in this way. The unmodified engine ignores the
    path and waits forever.
    """
    execute_task = states._execute_task

    def execute_timed_task(state: Any, raw_input: Any, execution: Any, context: Any) -> Any:
        if path := state.get("TimeoutSecondsPath"):
            state = {**state, "TimeoutSeconds": states._resolve_path(path, raw_input)}
        return execute_task(state, raw_input, execution, context)

    states._execute_task = execute_timed_task


def fail_tasks_whose_function_raised() -> None:
    """A function that raises behind lambda:invoke.waitForTaskToken fails its task at once.

    The unmodified engine swallows the exception and waits for a token that nobody received.
    """
    wait_for_callback, call_lambda = states._invoke_with_callback, states._call_lambda

    def wait_knowing_the_token(resource: str, payload: Any, token: str, state: Any) -> Any:
        _this_thread.token = token
        try:
            return wait_for_callback(resource, payload, token, state)
        finally:
            _this_thread.token = None

    def call_or_fail_the_task(*args: Any, **kwargs: Any) -> Any:
        try:
            return call_lambda(*args, **kwargs)
        except states._ExecutionError as error:
            waiting = states._task_tokens.get(getattr(_this_thread, "token", None))
            if waiting:
                waiting["error"] = {"Error": error.error, "Cause": error.cause}
                waiting["event"].set()
            raise

    states._invoke_with_callback = wait_knowing_the_token
    states._call_lambda = call_or_fail_the_task


def read_yaml_definitions() -> None:
    """A state machine's definition can be YAML, as CloudFormation accepts it.

    The unmodified engine deploys such a definition but can't run it.
    """
    definition = provisioners._sfn_definition
    provisioners._sfn_definition = lambda properties: json.dumps(yaml.safe_load(definition(properties)))


def add_versions_to_upload_events() -> None:
    """The event of an upload into a versioned bucket contains the object's version-id.

    Tagship pins the manifest by it. The unmodified engine omits it, so Tagship would read the newest version instead.
    """
    fire, dispatch = s3._fire_s3_event, eventbridge._dispatch_event

    def fire_with_version(*args: Any, version_id: str | None = None, **kwargs: Any) -> Any:
        token = _uploaded.set(version_id or "")
        try:
            return fire(*args, version_id=version_id, **kwargs)
        finally:
            _uploaded.reset(token)

    def dispatch_with_version(event: Any, *args: Any, **kwargs: Any) -> Any:
        if event.get("Source") == "aws.s3" and _uploaded.get():
            detail = json.loads(event["Detail"])
            detail["object"]["version-id"] = _uploaded.get()
            event = {**event, "Detail": json.dumps(detail)}
        return dispatch(event, *args, **kwargs)

    s3._fire_s3_event = fire_with_version
    eventbridge._dispatch_event = dispatch_with_version


def read_ranges_of_versions() -> None:
    """A request for a `Range` of an object's version returns that range, as it does for the newest version.

    The unmodified engine returns the whole version, so a reader takes its beginning for the requested range.
    """
    get = s3._get_object

    def get_the_part(
        bucket: str, key: str, headers: Any = None, query_params: Any = None, *more: Any, **named: Any
    ) -> Any:
        status, answered, body = get(bucket, key, headers, query_params, *more, **named)
        wanted = (headers or {}).get("range", "") if (query_params or {}).get("versionId") else ""
        part = s3._parse_range(wanted, len(body)) if wanted and status == 200 else None
        if part is None:
            return status, answered, body
        start, end = part
        given = {name: value for name, value in answered.items() if "checksum" not in name.lower()}
        given |= {
            "Content-Length": str(end - start + 1),
            "Content-Range": f"bytes {start}-{end}/{len(body)}",
        }
        return 206, given, body[start : end + 1]

    s3._get_object = get_the_part


def authorize_alias_actions() -> None:
    """Reading, moving and deleting an alias, and reading its concurrency, each need their own permission.

    With AUTH=true the engine enforces the roles' policies. The unmodified engine checks the first three as
    lambda:ListAliases, and the last as lambda:GetFunction.
    """
    action_of = iam_actions._lambda_action
    on_one_alias = {"GET": "GetAlias", "PUT": "UpdateAlias", "DELETE": "DeleteAlias"}

    def action_on_alias(method: str, path: str) -> Any:
        match path.strip("/").split("/"):
            case [*_, "functions", _, "aliases", _] if method in on_one_alias:
                return on_one_alias[method]
            case [*_, "functions", _, "provisioned-concurrency"] if method == "GET":
                return "GetProvisionedConcurrencyConfig"
        return action_of(method, path)

    iam_actions._lambda_action = action_on_alias


def authorize_calls_by_version() -> None:
    """A permission on a function does not cover its versions and aliases, nor the other way round.

    ("Lambda is changing their authorization strategy", aws/aws-cdk, pull request 19464.) The unmodified engine checks the
    function's own ARN, whichever version is called.
    """
    resource_of = iam_actions.extract_resource_arn

    def resource_or_version(
        service: str, method: str, path: str, headers: Any, body: bytes, *where: Any
    ) -> Any:
        found = resource_of(service, method, path, headers, body, *where)
        called = service == "lambda" and path.endswith("/invocations")
        qualifier = lambdas._qp_first(where[0] or {}, "Qualifier") if called else None
        return f"{found}:{qualifier}" if qualifier else found

    iam_actions.extract_resource_arn = resource_or_version


def authorize_mail_by_sender() -> None:
    """A permission to send mail can be limited to one address: by its identity's ARN and by ses:FromAddress.

    The unmodified engine supports neither for ses:SendEmail, so such a permission allows nothing.
    """
    context_of, resource_of = iam_actions.request_tag_context, iam_actions.extract_resource_arn

    def sender_in(body: bytes) -> str:
        return parseaddr(parse_qs(body.decode(errors="replace")).get("Source", [""])[0])[1]

    def context_with_sender(service: str, action: str, body: bytes, parameters: Any) -> Any:
        context = context_of(service, action, body, parameters)
        return {**context, "ses:FromAddress": sender_in(body)} if service == "ses" else context

    def resource_or_sender(
        service: str, method: str, path: str, headers: Any, body: bytes, *where: Any
    ) -> Any:
        if service == "ses" and (sender := sender_in(body)):
            _, region, account = where
            return f"arn:aws:ses:{region}:{account}:identity/{sender}"
        return resource_of(service, method, path, headers, body, *where)

    iam_actions.request_tag_context = context_with_sender
    iam_actions.extract_resource_arn = resource_or_sender


def authorize_keys_by_alias() -> None:
    """A request that names a KMS key by its alias is authorized on that key, and kms:RequestAlias is the alias.

    The unmodified engine uses the alias itself as the resource and does not support the condition, so such a permission
    allows nothing.
    """
    context_of, resource_of = iam_actions.request_tag_context, iam_actions.extract_resource_arn

    def alias_in(body: bytes) -> str:
        try:
            key = str(json.loads(body or b"{}").get("KeyId", ""))
        except ValueError:
            return ""
        return key[key.index("alias/") :] if "alias/" in key else ""

    def context_with_alias(service: str, action: str, body: bytes, parameters: Any) -> Any:
        context = context_of(service, action, body, parameters)
        alias = alias_in(body) if service == "kms" else ""
        return {**context, "kms:RequestAlias": alias} if alias else context

    def resource_or_key(service: str, method: str, path: str, headers: Any, body: bytes, *where: Any) -> Any:
        alias = alias_in(body) if service == "kms" else ""
        key = kms._resolve_key(alias) if alias else None
        return key["Arn"] if key else resource_of(service, method, path, headers, body, *where)

    iam_actions.request_tag_context = context_with_alias
    iam_actions.extract_resource_arn = resource_or_key


def authorize_parameters_by_path() -> None:
    """The permission to read the parameters below a path is checked against that path.

    The unmodified engine looks for the name of a single parameter, finds none, and requires a permission on everything.
    """
    resource_of = iam_actions.extract_resource_arn

    def resource_or_path(service: str, method: str, path: str, headers: Any, body: bytes, *where: Any) -> Any:
        if service == "ssm" and headers.get("x-amz-target", "").endswith(".GetParametersByPath"):
            _, region, account = where
            return f"arn:aws:ssm:{region}:{account}:parameter{json.loads(body)['Path']}"
        return resource_of(service, method, path, headers, body, *where)

    iam_actions.extract_resource_arn = resource_or_path


def authorize_batches_of_messages() -> None:
    """A batch of messages needs the permission to send one, sqs:SendMessage; IAM has no other for it.

    The unmodified engine requires sqs:SendMessageBatch.
    """
    action_of = iam_actions._action_from_target

    def action_on_each_message(headers: Any) -> Any:
        found = action_of(headers)
        return "SendMessage" if found == "SendMessageBatch" else found

    iam_actions._action_from_target = action_on_each_message


def authorize_edge_functions() -> None:
    """A permission to read, change or publish a CloudFront function is checked against that function.

    The unmodified engine knows only distributions, and requires a permission on everything.
    """
    resource_of = iam_actions.extract_resource_arn

    def resource_or_function(
        service: str, method: str, path: str, headers: Any, body: bytes, *where: Any
    ) -> Any:
        match path.strip("/").split("/"):
            case [_, "function", name, *_] if service == "cloudfront":
                return f"arn:aws:cloudfront::{where[2]}:function/{name}"
        return resource_of(service, method, path, headers, body, *where)

    iam_actions.extract_resource_arn = resource_or_function


def run_edge_function_tests() -> None:
    """TestFunction runs a CloudFront function's code for an event, and returns the result.

    The unmodified engine lacks this operation, although it runs the same code for visitors.
    """
    handle = cloudfront.handle_request

    async def handle_or_try_out(method: str, path: str, headers: Any, body: bytes, *more: Any) -> Any:
        match path.strip("/").split("/"):
            case [_, "function", name, "test"] if method == "POST" and name in cloudfront._functions:
                function, asked = cloudfront._functions[name], cloudfront._parse_body(body)
                if headers.get("if-match") != function["dev_etag"]:
                    return cloudfront._error(
                        "InvalidIfMatchVersion", "The If-Match version is not valid.", 400
                    )
                stage = cloudfront._text(asked, "Stage") or "DEVELOPMENT"
                code = cloudfront._function_view(function, stage)["code"]
                event = json.loads(base64.b64decode(cloudfront._text(asked, "EventObject")))
                return cloudfront._xml_response("TestResult", tried_out(code, event))
        return await handle(method, path, headers, body, *more)

    def tried_out(code: bytes, event: Any) -> Any:
        output, error = "", ""
        try:
            returned = cloudfront_js.evaluate(code, event)
            output = json.dumps({"response" if "statusCode" in returned else "request": returned})
        except cloudfront_js.CloudFrontFunctionError as failed:
            error = str(failed)

        def build(root: Any) -> None:
            for name, text in (("FunctionErrorMessage", error), ("FunctionOutput", output)):
                SubElement(root, name).text = text

        return build

    cloudfront.handle_request = handle_or_try_out


def use_the_role_as_principal() -> None:
    """In a session of a role, aws:PrincipalArn is the role's ARN, whatever the name of the session.

    Trust policies use it to name this stack's functions. The unmodified engine uses the session's ARN, so such a trust
    policy matches nobody.
    """
    resolve = iam_evaluator._resolve_condition_key

    def resolve_or_name_the_role(key: str, context: Any) -> Any:
        found = resolve(key, context)
        if key.lower() != "aws:principalarn" or ":assumed-role/" not in str(found):
            return found
        _, _, _, _, account, session = found.split(":", 5)
        return iam._roles.get_scoped(account, None, session.split("/")[1])["Arn"]

    iam_evaluator._resolve_condition_key = resolve_or_name_the_role


def authorize_task_answers_by_machine() -> None:
    """The permission to answer a waiting task is checked against its state machine.

    The unmodified engine requires a permission on everything.
    """
    execute_task, wait_for_callback = states._execute_task, states._invoke_with_callback
    resource_of = iam_actions.extract_resource_arn
    machines: dict[str, str] = {}

    def execute_known_task(state: Any, raw_input: Any, execution: Any, context: Any) -> Any:
        _this_thread.machine = execution["stateMachineArn"]
        return execute_task(state, raw_input, execution, context)

    def wait_knowing_the_machine(resource: str, payload: Any, token: str, state: Any) -> Any:
        machines[token] = _this_thread.machine
        return wait_for_callback(resource, payload, token, state)

    def resource_or_machine(
        service: str, method: str, path: str, headers: Any, body: bytes, *where: Any
    ) -> Any:
        if service == "states" and headers.get("x-amz-target", "").startswith("AWSStepFunctions.SendTask"):
            return machines.get(json.loads(body)["taskToken"], "*")
        return resource_of(service, method, path, headers, body, *where)

    states._execute_task, states._invoke_with_callback = execute_known_task, wait_knowing_the_machine
    iam_actions.extract_resource_arn = resource_or_machine


def run_state_machine_versions() -> None:
    """An execution runs the version in its ARN, or one of an alias's two versions, drawn by their weights.

    ("How Step Functions associates executions with a version or alias", Step Functions Developer Guide.) The unmodified
    engine always runs the newest definition.
    """
    start, emit = states._start_execution, states._emit_execution_status_event
    machines, versions = states._state_machines, states._state_machine_versions
    kind = type(machines)

    def started_with(asked: str) -> dict[str, str]:
        alias = states._state_machine_aliases.get(asked)
        if alias is None:
            return {"stateMachineVersionArn": asked} if asked in versions else {}
        routes = alias["routingConfiguration"]
        (drawn,) = random.choices(  # noqa: S311 (traffic, not secrets)
            [each["stateMachineVersionArn"] for each in routes], [each["weight"] for each in routes]
        )
        return {"stateMachineVersionArn": drawn, "stateMachineAliasArn": asked}

    def start_version(asked: Any) -> Any:
        arn, _, _ = asked.get("stateMachineArn", "").partition("#")
        token = _qualified.set(started_with(arn))  # the execution's own thread inherits it
        try:
            return start(asked)
        finally:
            _qualified.reset(token)

    def get_as_of_the_version(self: Any, key: Any, default: Any = None) -> Any:
        machine = kind.get(self, key, default)
        version = versions.get(_qualified.get({}).get("stateMachineVersionArn"))
        if machine is None or version is None or version["stateMachineArn"] != key:
            return machine
        return {**machine, **{name: version[name] for name in ("definition", "roleArn", "type")}}

    def emit_and_remember(execution: Any) -> None:
        if execution["status"] == "RUNNING":
            execution["qualified"] = _qualified.get({})
        emit(execution)

    machines.__class__ = type("Machines", (kind,), {"__slots__": (), "get": get_as_of_the_version})
    states._start_execution, states._emit_execution_status_event = start_version, emit_and_remember


def list_executions_of_versions() -> None:
    """DescribeExecution and ListExecutions return an execution's version and alias; a list can be limited to one of them.

    (ListExecutions, Step Functions API Reference.) The unmodified engine does not store them, and returns empty lists for
    them. Here, the list of a version or an alias has a single page.
    """
    describe, listed = states._describe_execution, states._list_executions

    def qualified(execution: str) -> dict[str, Any]:
        return dict((states._executions.get(execution) or {}).get("qualified", {}))

    def describe_version(asked: Any) -> Any:
        answer = describe(asked)
        if answer[0] != 200:
            return answer
        return json_response(json.loads(answer[2]) | qualified(asked["executionArn"]))

    def list_versions(asked: Any) -> Any:
        arn = asked.get("stateMachineArn")
        named = arn in states._state_machine_versions or arn in states._state_machine_aliases
        all_of_it = (
            {**asked, "stateMachineArn": arn.rpartition(":")[0], "maxResults": 10**6} if named else asked
        )
        answer = listed(all_of_it)
        if answer[0] != 200:
            return answer
        body = json.loads(answer[2])
        found = [each | qualified(each["executionArn"]) for each in body["executions"]]
        if named:
            found = [each for each in found if arn in each.values()][: asked.get("maxResults") or 1000]
        return json_response(body | {"executions": found})

    states._describe_execution, states._list_executions = describe_version, list_versions


def count_executions() -> None:
    """CloudWatch counts started and ended executions by state machine, and by their version and alias.

    ("Monitoring Step Functions metrics using Amazon CloudWatch", Step Functions Developer Guide.) The unmodified engine
    counts none.
    """
    emit = states._emit_execution_status_event
    named = {
        "RUNNING": "ExecutionsStarted",
        "SUCCEEDED": "ExecutionsSucceeded",
        "FAILED": "ExecutionsFailed",
        "ABORTED": "ExecutionsAborted",
    }
    dimensions = {"stateMachineVersionArn": "Version", "stateMachineAliasArn": "Alias"}

    def emit_and_count(execution: Any) -> None:
        emit(execution)
        machine, ran_with = {"StateMachineArn": execution["stateMachineArn"]}, execution.get("qualified", {})
        for more in ({}, *({dimensions[name]: arn.rpartition(":")[2]} for name, arn in ran_with.items())):
            cloudwatch.record_metric(
                "AWS/States", named[execution["status"]], 1, "Count", {**machine, **more}
            )

    states._emit_execution_status_event = emit_and_count


def authorize_versions_by_machine() -> None:
    """A permission on a state machine also covers its versions, aliases and tags.

    "To authorize a version or an alias to invoke an API action, Step Functions uses the state machine's ARN instead of using
    the version ARN or alias ARN" ("Authorization for versions and aliases in Step Functions workflows", Step Functions
    Developer Guide). The unmodified engine requires a permission on everything, or on a state machine with the alias's
    name.
    """
    resource_of = iam_actions.extract_resource_arn

    def machine_in(asked: Any) -> str:
        for name in ("stateMachineAliasArn", "stateMachineVersionArn", "resourceArn", "stateMachineArn"):
            if ":stateMachine:" in (arn := str(asked.get(name, ""))):
                return ":".join(arn.split(":")[:7])
        for route in asked.get("routingConfiguration", ()):  # an alias that does not exist yet
            return machine_in(route)
        return ""

    def resource_or_machine(
        service: str, method: str, path: str, headers: Any, body: bytes, *where: Any
    ) -> Any:
        machine = machine_in(json.loads(body or b"{}")) if service == "states" else ""
        return machine or resource_of(service, method, path, headers, body, *where)

    iam_actions.extract_resource_arn = resource_or_machine


def authorize_ecs_services() -> None:
    """A permission to read, deploy or tag an ECS service is checked against that service; one to register, against the
    family.

    ("Actions, resources, and condition keys for Amazon Elastic Container Service", Service Authorization Reference.) The
    unmodified engine requires a permission on the service's cluster, and on everything for tags and task definitions.
    """
    resource_of = iam_actions.extract_resource_arn

    def named(asked: Any) -> str:
        services = asked.get("services") or [asked.get("service") or ""]
        if asked.get("resourceArn"):
            return str(asked["resourceArn"])
        if services[0] and asked.get("cluster"):
            return f"service/{asked['cluster'].rpartition('/')[2]}/{services[0].rpartition('/')[2]}"
        return f"task-definition/{asked['family']}:*" if "family" in asked else ""

    def resource_or_service(
        service: str, method: str, path: str, headers: Any, body: bytes, *where: Any
    ) -> Any:
        name = named(json.loads(body or b"{}")) if service == "ecs" and body[:1] == b"{" else ""
        if not name:
            return resource_of(service, method, path, headers, body, *where)
        _, region, account = where
        return name if name.startswith("arn:") else f"arn:aws:ecs:{region}:{account}:{name}"

    iam_actions.extract_resource_arn = resource_or_service


def authorize_by_external_id() -> None:
    """sts:ExternalId is supported in the policy of the caller that assumes a role.

    The unmodified engine supports it only in the role's trust policy, so a permission to assume roles only with an
    external ID allows nothing.
    """
    context_of = iam_actions.request_tag_context

    def context_with_external_id(service: str, action: str, body: bytes, parameters: Any) -> Any:
        context = context_of(service, action, body, parameters)
        given = parse_qs(body.decode(errors="replace")).get("ExternalId") if service == "sts" else None
        return {**context, "sts:externalid": given[0]} if given else context

    iam_actions.request_tag_context = context_with_external_id


def simulate_policies_with_context() -> None:
    """SimulatePrincipalPolicy uses the given context, such as the service that a role is passed to.

    (SimulatePrincipalPolicy, IAM API Reference, `ContextEntries`.) The unmodified engine ignores the context, so a
    permission with a condition counts as missing.
    """
    simulate, resolve = iam._simulate_principal_policy, iam_evaluator._resolve_condition_key
    given: contextvars.ContextVar[dict[str, str]] = contextvars.ContextVar("given")

    def simulate_in_it(parameters: Any) -> Any:
        names = [
            (key.removesuffix("ContextKeyName"), value[0].lower())
            for key, value in parameters.items()
            if key.startswith("ContextEntries.") and key.endswith("ContextKeyName")
        ]
        values = {name: parameters[f"{entry}ContextKeyValues.member.1"][0] for entry, name in names}
        token = given.set(values)
        try:
            return simulate(parameters)
        finally:
            given.reset(token)

    def resolve_in_it(key: str, context: Any) -> Any:
        return given.get({}).get(key.lower()) or resolve(key, context)

    iam._IAM_HANDLERS["SimulatePrincipalPolicy"] = simulate_in_it
    iam_evaluator._resolve_condition_key = resolve_in_it


def support_dry_runs_of_uploads() -> None:
    """UpdateFunctionCode with DryRun checks that the code exists, returns its digest, and changes nothing.

    The unmodified engine does not support DryRun, and uploads.
    """
    update = lambdas._update_code

    def update_or_dry_run(name: str, data: Any) -> Any:
        if not data.get("DryRun") or name not in lambdas._functions:
            return update(name, data)
        code = lambdas._fetch_code_from_s3(
            data["S3Bucket"], data["S3Key"], version_id=data.get("S3ObjectVersion")
        )
        if code is None:
            return lambdas.error_response_json(
                "InvalidParameterValueException", f"Failed to fetch code from {data['S3Key']}", 400
            )
        digest = base64.b64encode(hashlib.sha256(code).digest()).decode()
        return lambdas.json_response({**lambdas._functions[name]["config"], "CodeSha256": digest})

    lambdas._update_code = update_or_dry_run


def publish_code_once() -> None:
    """PublishVersion makes no second version of code that UpdateFunctionCode with Publish has already published.

    The unmodified engine does not store which revision that version was made from.
    """
    update = lambdas._update_code

    def update_and_remember(name: str, data: Any) -> Any:
        answer = update(name, data)
        if data.get("Publish") and answer[0] == 200:
            made, function = json.loads(answer[2]), lambdas._functions[name]
            function["versions"][made["Version"]]["function_revision"] = made["RevisionId"]
        return answer

    lambdas._update_code = update_and_remember


def support_conditional_uploads_in_policies() -> None:
    """A bucket's policy can require `If-None-Match` (s3:if-none-match), so that nothing is overwritten.

    The unmodified engine does not support this condition, so such a policy denies every upload.
    """
    context_of = iam_actions.s3_service_context

    def context_with_the_header(action: str, query: Any, path: str = "", headers: Any = None) -> Any:
        context = context_of(action, query, path, headers)
        value = (headers or {}).get("if-none-match")
        return {**context, "s3:if-none-match": value} if action == "s3:PutObject" and value else context

    iam_actions.s3_service_context = context_with_the_header


def accept_saved_queries() -> None:
    """A stack can contain saved queries (AWS::Logs::QueryDefinition); here they are accepted and do nothing.

    The unmodified engine refuses a template with a resource type that it does not support.
    """
    provisioners._RESOURCE_HANDLERS["AWS::Logs::QueryDefinition"] = {
        "create": lambda logical, _properties, stack: (f"{stack}-{logical}", {}),
        "update": lambda physical, *_: (physical, {}),
        "delete": lambda *_: None,
    }


def accept_alarms_on_expressions() -> None:
    """A stack can contain alarms on metric math; here such an alarm has its name and its actions, and reads one metric.

    The unmodified engine refuses the stack. Neither computes expressions: tests/template/test_alarms.py does.
    """
    record_of = provisioners._cw_metric_alarm_record

    def record_of_the_first(name: str, properties: Any) -> Any:
        measured = [each["MetricStat"] for each in properties.get("Metrics", ()) if "MetricStat" in each]
        if not measured:
            return record_of(name, properties)
        plain = {key: value for key, value in properties.items() if key != "Metrics"}
        first = {"Statistic": measured[0]["Stat"], "Period": measured[0]["Period"], **measured[0]["Metric"]}
        return record_of(name, plain | first)

    provisioners._cw_metric_alarm_record = record_of_the_first


def begin_executions_at_once() -> None:
    """An execution begins when it is started.

    The unmodified engine sleeps for 0.15 s before each one, nested ones too.
    """
    source = inspect.getsource(states._run_execution)
    exec(_replaced(source, "    time.sleep(0.15)\n", ""), vars(states))  # noqa: S102 (its own source, but one line)


def answer_before_the_log_is_silent() -> None:
    """A call of a Python function is answered when the function has returned, with all that it logged.

    The unmodified engine waits until the log has been silent for 5 ms, or for 50 ms if the function logs nothing. Here, the
    process marks the end of each call in its log.
    """
    stock, end = "result = handler_fn(event, context)", "\0 end of the call"
    ours = f"""try:
                {stock}
            finally:
                print({end!r}, file=sys.__stderr__, flush=True)"""
    runtime._PYTHON_WORKER_SCRIPT = _replaced(runtime._PYTHON_WORKER_SCRIPT, stock, ours)
    drain = runtime.Worker._drain_stderr_bounded

    def drain_until_the_end(worker: Any) -> Any:
        if worker._proc is None or not worker.config.get("Runtime", "").startswith("python"):
            return drain(worker)
        lines: list[str] = []
        try:
            while (line := worker._stderr_queue.get(timeout=0.25)) != end:
                lines.append(line)
        except queue.Empty:
            pass  # a program that closed its standard error
        return "\n".join(lines)

    runtime.Worker._drain_stderr_bounded = drain_until_the_end


def import_only_what_a_function_imports() -> None:
    """A Python function's process imports what its own code imports.

    The unmodified engine imports botocore first, to count how deep functions call one another, which adds about 0.1 s to
    every cold start. Here, this is not counted.
    """
    runtime._PYTHON_WORKER_SCRIPT = _replaced(
        runtime._PYTHON_WORKER_SCRIPT, "    _ms_install_invoke_depth()\n    try:\n", "    try:\n"
    )


def share_unpacked_layers() -> None:
    """All processes of functions with the same layer share its unpacked files, as they share a layer's storage in AWS.

    The unmodified engine checks and unpacks the layer's thousands of files again for each process.
    """
    unpacking = threading.Lock()

    class Layer(zipfile.ZipFile):
        """Only layers: a function's own code is small, and Node.js's gets links into its folder."""

        @property
        def _unpacked(self) -> Path | None:
            path = Path(str(self.filename))
            if not path.name.startswith("layer_"):
                return None
            with path.open("rb") as file:
                digest = hashlib.file_digest(file, "sha256").hexdigest()
            return Path(tempfile.gettempdir()) / f"layer-{digest}"

        def namelist(self) -> list[str]:
            known = self._unpacked
            return [] if known and known.exists() else super().namelist()

        def extractall(self, path: Any = None, *arguments: Any) -> None:
            shared = self._unpacked
            with unpacking if shared else contextlib.nullcontext():
                if not (shared and shared.exists()):
                    super().extractall(path, *arguments)
                if shared:
                    Path(path).rename(shared) if not shared.exists() else Path(path).rmdir()
                    Path(path).symlink_to(shared)

    runtime.zipfile = types.SimpleNamespace(**(vars(zipfile) | {"ZipFile": Layer}))


def parse_and_copy_faster() -> None:
    """DynamoDB parses each expression once, and copies items with pickle. Its answers stay the same.

    The unmodified engine parses a query's condition again for each item of the partition, which AWS reads by its key, and
    copies an item several times for each write, by a much slower way.
    """
    tokens = functools.lru_cache(maxsize=1000)(dynamodb._tokenize)
    copied = vars(copy) | {"deepcopy": lambda item: pickle.loads(pickle.dumps(item))}  # noqa: S301 (its own)
    dynamodb._tokenize = lambda expression: list(tokens(expression))
    dynamodb._condition_syntax_error = functools.lru_cache(maxsize=1000)(dynamodb._condition_syntax_error)
    dynamodb.copy = types.SimpleNamespace(**copied)


def _replaced(text: str, old: str, new: str) -> str:
    if text.count(old) != 1:
        sys.exit(
            f"MiniStack {VERSION} differs from what the corrections expect: it does not contain {old!r} exactly once."
        )
    return text.replace(old, new)


def end_with_the_parent() -> None:
    """Ends the engine when its standard input is closed, which happens however the parent ends."""

    def wait() -> None:
        sys.stdin.buffer.read()
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=wait, daemon=True).start()


def limit_concurrent_tasks(most: int) -> None:
    """At most this many tasks call their functions at a time. A task's time-out begins when its call begins.

    This is an option, not a correction. Tasks that wait for a token or for another execution do not count.
    """
    invoke, turns = states._invoke_resource_with_timeout, threading.BoundedSemaphore(most)

    def invoke_in_turn(resource: str, *arguments: Any) -> Any:
        if "lambda:invoke" not in resource:
            return invoke(resource, *arguments)
        with turns:
            return invoke(resource, *arguments)

    states._invoke_resource_with_timeout = invoke_in_turn


def main() -> None:
    """Correct the engine, then run it until it gets a signal to end."""
    installed = version("ministack")
    if installed != VERSION:
        sys.exit(
            f"This launcher corrects MiniStack {VERSION}, but {installed} is installed. Review each correction "
            "with tests/integration/test_engine_corrections.py before you change VERSION and requirements/engine.in."
        )
    keep_exception_names()
    keep_processes_that_raised()
    follow_alias_weights()
    read_time_outs_from_input()
    fail_tasks_whose_function_raised()
    read_yaml_definitions()
    add_versions_to_upload_events()
    read_ranges_of_versions()
    authorize_alias_actions()
    authorize_calls_by_version()
    authorize_mail_by_sender()
    authorize_keys_by_alias()
    authorize_parameters_by_path()
    authorize_batches_of_messages()
    authorize_edge_functions()
    run_edge_function_tests()
    use_the_role_as_principal()
    authorize_task_answers_by_machine()
    run_state_machine_versions()
    list_executions_of_versions()
    count_executions()
    authorize_versions_by_machine()
    authorize_ecs_services()
    simulate_policies_with_context()
    authorize_by_external_id()
    publish_code_once()
    support_dry_runs_of_uploads()
    support_conditional_uploads_in_policies()
    accept_saved_queries()
    accept_alarms_on_expressions()
    begin_executions_at_once()
    answer_before_the_log_is_silent()
    import_only_what_a_function_imports()
    share_unpacked_layers()
    parse_and_copy_faster()
    for option in sys.argv[1:]:
        if option.startswith("--tasks="):
            sys.argv.remove(option)
            limit_concurrent_tasks(int(option.partition("=")[2]))
    if "--with-parent" in sys.argv:
        sys.argv.remove("--with-parent")  # MiniStack reads what is left
        end_with_the_parent()

    from ministack.app import main as run

    run()


if __name__ == "__main__":
    main()
