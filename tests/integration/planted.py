"""Runs in front of a copy of a deployed function in the fault matrix: calls the function, or raises a planted fault.

The copy has the function's code, role and settings. The test writes into a folder which release meets which fault in
which state; the workers of one function count together there.
"""

from __future__ import annotations

import json
import os
import time
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

import app
import boto3
from botocore.awsrequest import AWSResponse
from botocore.endpoint import Endpoint
from botocore.exceptions import ClientError

_WHERE = json.loads(Path(__file__).with_name("planted.json").read_text())
_send = Endpoint._send
_TWICE = {
    "is throttled by Lambda twice": "Lambda.TooManyRequestsException",
    "is lost by Lambda twice": "Lambda.Unknown",
    "is unavailable twice": "AwsUnavailable",
}
"""The error raised for the first two attempts."""


def handler(event: dict[str, Any], context: Any) -> Any:
    """The function's own answer, unless this release meets a fault in this state."""
    order = event.get("release") or event["order"]
    application = order.get("application") or order["key"].split("/")[1]
    first = partial(_first, application)
    match _fault_of(application):
        case "raises what nobody foresaw":
            raise _named("Unforeseen")
        case "is never available":
            raise _named("AwsUnavailable")
        case "times out":
            time.sleep(context.get_remaining_time_in_millis() / 1000 + 60)
        case fault if fault in _TWICE and first(2):
            raise _named(_TWICE[fault])
        case "has its AWS call answered with 5xx twice" if first(2):
            return _answered_with_500(event, context)
        case "runs twice" if first(1):
            app.handler(event, context)
            raise _named("AwsUnavailable")
        case "is stopped by a person" if first(1):
            _stop(event["execution"])
    answer = app.handler(event, context)
    if (_WHERE["state"], _cell_of(application)[0]) == ("release.ShiftTraffic", "release.AwaitStable"):
        return {**answer, "settled": False, "wait": 0}
    return answer


def _fault_of(application: str) -> str:
    state, fault = _cell_of(application)
    return fault if state == _WHERE["state"] else ""


def _cell_of(application: str) -> tuple[str, str]:
    """The state in which this release meets its fault, and the fault."""
    written = Path(_WHERE["folder"], f"{application}.json")
    state, fault = json.loads(written.read_text()) if written.exists() else ("", "")
    return str(state), str(fault)


def _named(name: str) -> Exception:
    error: Exception = type(name, (Exception,), {})("planted")
    return error


def _first(application: str, times: int) -> bool:
    """True as often as that, whichever worker is asked."""
    for number in range(times):
        with suppress(FileExistsError):
            os.close(os.open(Path(_WHERE["folder"], f"{application}-{number}"), os.O_CREAT | os.O_EXCL))
            return True
    return False


class _Nothing:
    def stream(self, **_: Any) -> Any:
        yield b""


def _answered_with_500(event: dict[str, Any], context: Any) -> Any:
    """On the wire, so that the SDK tries again as it is configured to, in vain."""

    def refused(_endpoint: Any, request: Any) -> AWSResponse:
        return AWSResponse(request.url, 500, {}, _Nothing())

    Endpoint._send = refused
    try:
        return app.handler(event, context)
    finally:
        Endpoint._send = _send


def _stop(execution: str) -> None:
    """With the account's own key, because no function of the stack may stop it."""
    with suppress(ClientError):
        boto3.client(
            "stepfunctions", aws_access_key_id=_WHERE["account"], aws_secret_access_key="test"
        ).stop_execution(executionArn=execution)
