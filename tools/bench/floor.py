"""What the embedded engine itself needs: an execution, a function that does nothing, a request.

No release on this engine can be faster than the states, calls and requests that it consists of.
"""

from __future__ import annotations

import io
import json
import time
import zipfile
from collections.abc import Callable, Mapping
from itertools import pairwise
from statistics import median
from typing import Any

from tools.bench.table import MILLISECONDS, Figure, Part, say
from tools.stack import Engine, LocalError

_NAME = "bench-floor"
_CODE = "def handler(event, context):\n    return {}\n"
CALLS = 20
_REQUESTS = 50
_LOOK_EVERY = 0.05
_LONGEST = 60
_WRITES = 3
_FIELDS = 10


def measure(engine: Engine, *, runs: int) -> list[Part]:
    """All of them, on a table and a function of their own.

    Raises LocalError if an execution does not succeed.
    """
    say("what the engine itself needs")
    call, (read, write) = _function(engine), _requests(engine)
    first = _timed(call)
    arn = engine.client("lambda").get_function_configuration(FunctionName=_NAME)["FunctionArn"]
    task = {
        "Type": "Task",
        "Resource": "arn:aws:states:::lambda:invoke",
        "Parameters": {"FunctionName": arn, "Payload": {}},
        "ResultPath": None,
    }
    empty = _machine(engine, "empty", {"State0": {"Type": "Pass"}})
    calling = _machine(engine, "calling", {f"State{number}": dict(task) for number in range(CALLS)})
    _run(engine, calling)  # the process is warm
    without = [_run(engine, empty) for _ in range(runs)]
    with_calls = [_run(engine, calling) for _ in range(runs)]
    calls = [(long - median(without)) / CALLS for long in with_calls]
    rows: Mapping[str, list[float]] = {
        "an execution of one state that does nothing": without,
        "each call of a function that does nothing, from a state machine": calls,
        "the first call of such a function, in a new process": [first],
        "one read of an item": [_median(read) for _ in range(runs)],
        f"one transaction of {_WRITES} items": [_median(write) for _ in range(runs)],
    }
    figures = [Figure(what=what, unit=MILLISECONDS, runs=seconds) for what, seconds in rows.items()]
    return [Part(title="What the engine itself needs", figures=figures)]


def _function(engine: Engine) -> Callable[[], object]:
    lambdas = engine.client("lambda")
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("index.py", _CODE)
    lambdas.create_function(
        FunctionName=_NAME,
        Runtime="python3.13",
        Role=lambdas.list_functions()["Functions"][0]["Role"],
        Handler="index.handler",
        Code={"ZipFile": packed.getvalue()},
    )
    lambdas.get_waiter("function_active_v2").wait(FunctionName=_NAME, WaiterConfig={"Delay": 1})
    return lambda: lambdas.invoke(FunctionName=_NAME)


def _requests(engine: Engine) -> tuple[Callable[[], object], Callable[[], object]]:
    dynamodb = engine.client("dynamodb")
    dynamodb.create_table(
        TableName=_NAME,
        KeySchema=[{"AttributeName": "pk", "KeyType": "HASH"}],
        AttributeDefinitions=[{"AttributeName": "pk", "AttributeType": "S"}],
        BillingMode="PAY_PER_REQUEST",
    )
    value = {"M": {"text": {"S": "a" * 30}, "number": {"N": "3"}}}
    items = [
        {"pk": {"S": str(number)}, **{f"field{field}": value for field in range(_FIELDS)}}
        for number in range(_WRITES)
    ]
    puts = [{"Put": {"TableName": _NAME, "Item": item}} for item in items]

    def write() -> object:
        return dynamodb.transact_write_items(TransactItems=puts)

    def read() -> object:
        return dynamodb.get_item(TableName=_NAME, Key={"pk": {"S": "0"}}, ConsistentRead=True)

    write()
    return read, write


def _machine(engine: Engine, name: str, states: dict[str, dict[str, Any]]) -> str:
    for before, after in pairwise(states):
        states[before]["Next"] = after
    states[next(reversed(states))]["End"] = True
    made: str = engine.client("stepfunctions").create_state_machine(
        name=f"{_NAME}-{name}",
        roleArn=engine.client("lambda").get_function_configuration(FunctionName=_NAME)["Role"],
        definition=json.dumps({"StartAt": next(iter(states)), "States": states}),
    )["stateMachineArn"]
    return made


def _run(engine: Engine, machine: str) -> float:
    """Seconds of one execution, by the engine's own clock."""
    states = engine.client("stepfunctions")
    execution = states.start_execution(stateMachineArn=machine)["executionArn"]
    deadline = time.monotonic() + _LONGEST
    while (found := states.describe_execution(executionArn=execution))["status"] == "RUNNING":
        if time.monotonic() > deadline:
            break
        time.sleep(_LOOK_EVERY)
    if found["status"] != "SUCCEEDED":
        raise LocalError(f"An execution of states that do nothing is {found['status']}.")
    seconds: float = (found["stopDate"] - found["startDate"]).total_seconds()
    return seconds


def _median(call: Callable[[], object]) -> float:
    return median(_timed(call) for _ in range(_REQUESTS))


def _timed(call: Callable[[], object]) -> float:
    began = time.monotonic()
    call()
    return time.monotonic() - began
