"""One invocation of a Lambda function whose answer is judged: called once, read within limits."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from botocore.exceptions import ClientError, ReadTimeoutError

from tagship.aws.calls import INVOKING_AGAIN, calling, code_of, message_of
from tagship.text.plain import line

if TYPE_CHECKING:
    from mypy_boto3_lambda import LambdaClient
    from mypy_boto3_lambda.type_defs import InvocationRequestTypeDef

ANSWER_BYTES = 64 * 1024
"""The part of an answer that is read; a longer one is not valid."""
_CANNOT_START = frozenset(
    {
        "EFSIOException",
        "EFSMountConnectivityException",
        "EFSMountFailureException",
        "EFSMountTimeoutException",
        "InvalidRuntimeException",
        "InvalidSecurityGroupIDException",
        "InvalidSubnetIDException",
        "InvalidZipFileException",
        "KMSAccessDeniedException",
        "KMSDisabledException",
        "KMSInvalidStateException",
        "KMSNotFoundException",
    }
)
"""Errors of Invoke about the function's own settings. Most come with the status 502, as if Lambda itself had failed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Invoked:
    """The answer: a document, or in `raised` the function's error."""

    document: object
    """None if it is not JSON, too long, or nested too deeply."""
    raised: str = ""


def invoke(client: LambdaClient, request: InvocationRequestTypeDef, *, label: str, about: str) -> Invoked:
    """One invocation.

    Raises AwsUnavailable when Lambda throttled, failed or could not be reached; ClientError when it refused.
    """
    with calling(f"Invoking {label} {about}", **INVOKING_AGAIN):
        try:
            answer = client.invoke(**request)
            payload = answer["Payload"].read(ANSWER_BYTES + 1)
        except ReadTimeoutError:
            return Invoked(document=None, raised=f"{label} did not answer in time")
        except ClientError as error:
            if code_of(error) not in _CANNOT_START:
                raise
            why = line(message_of(error), 300).rstrip(".")
            return Invoked(document=None, raised=f"{label} cannot be started ({code_of(error)}): {why}")
    document = _document(payload)
    if answer.get("FunctionError"):
        return Invoked(document=document, raised=f"{label} raised {_raised(document)}")
    return Invoked(document=document)


def refused(error: ClientError, label: str) -> str:
    """Why a function can't be asked at all, and what to do about it."""
    return (
        f"{label} cannot be invoked ({code_of(error)}): {line(message_of(error), 300)}. It must exist, and the "
        "application's role must be allowed lambda:InvokeFunction on it."
    )


def _document(payload: bytes) -> object:
    try:
        return json.loads(payload) if len(payload) <= ANSWER_BYTES else None
    except (ValueError, RecursionError):
        return None


def _raised(document: object) -> str:
    if not isinstance(document, Mapping):
        return "an error without a description"
    kind, message = document.get("errorType") or "an error", document.get("errorMessage") or "no message"
    return f"{line(kind, 100)}: {line(message, 500)}"
