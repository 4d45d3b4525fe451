"""AWS refusals are classified: retryable, named here, or unexpected."""

from __future__ import annotations

import pytest
from botocore.exceptions import (
    ClientError,
    ConnectTimeoutError,
    EndpointConnectionError,
    IncompleteReadError,
    NoCredentialsError,
    ParamValidationError,
    ReadTimeoutError,
    ResponseStreamingError,
)

from tagship.aws.calls import calling, code_of, is_unavailable, message_of
from tagship.model.errors import AwsUnavailable, TargetInvalid, TargetMoved
from tests.unit.tables import aws_error

UNAVAILABLE = [
    aws_error("ThrottlingException"),
    aws_error("Throttling"),
    aws_error("TooManyRequestsException", status=429),
    aws_error("ProvisionedThroughputExceededException"),
    aws_error("SlowDown", status=503),
    # each service has its own word for it
    *map(
        aws_error,
        (
            "Throttled",
            "ThrottlingError",
            "RequestThrottled",
            "RequestThrottledException",
            "RequestTimeoutException",
            "BandwidthLimitExceeded",
            "PriorRequestNotComplete",
            "EC2ThrottledException",
            "KMSThrottling",
            "KmsThrottlingException",
            "KmsThrottled",
            "OverLimit",
            "OperationAborted",
            "ConditionalRequestConflict",
        ),
    ),
    aws_error("WhateverItIsCalledNext", status=429),
    # a bucket with a KMS key
    aws_error("KMS.ThrottlingException"),
    # what passes, under the name of what does not
    aws_error(
        "InvalidParameterValueException",
        message="Error occurred while GetObject. S3 Error Code: InternalError. S3 Error Message: Please try again.",
    ),
    aws_error(
        "InvalidParameterValueException", message="Error occurred while GetObject. S3 Error Code: SlowDown. …"
    ),
    aws_error(
        "ClientException",
        message="Too many concurrent attempts to create a new revision of the specified family.",
    ),
    aws_error("ValidationError", message="Rate exceeded"),
    aws_error("InternalFailure", status=500),
    aws_error("ServiceException", status=502),
    aws_error("", status=503),
    EndpointConnectionError(endpoint_url="https://lambda.example.com"),
    ConnectTimeoutError(endpoint_url="https://lambda.example.com"),
    ReadTimeoutError(endpoint_url="https://lambda.example.com"),
    ResponseStreamingError(error="reset"),
    IncompleteReadError(actual_bytes=3, expected_bytes=7),
]
FINAL = [
    aws_error("AccessDeniedException", status=403),
    aws_error("ResourceNotFoundException", status=404),
    aws_error("ValidationException"),
    aws_error(
        "InvalidParameterValueException",
        message="Error occurred while GetObject. S3 Error Code: NoSuchVersion.",
    ),
    aws_error("ClientException", message="Too many volumes."),
    aws_error("KMS.DisabledException"),
    NoCredentialsError(),
    ParamValidationError(report="a field is missing"),
]


@pytest.mark.parametrize("error", UNAVAILABLE, ids=str)
def test_throttling_5xx_and_lost_connections_are_retryable(error):
    """Fault 39."""
    assert is_unavailable(error)
    with (
        pytest.raises(AwsUnavailable, match="Looking at the alias") as caught,
        calling("Looking at the alias"),
    ):
        raise error
    assert caught.value.__cause__ is error


@pytest.mark.parametrize("error", FINAL, ids=str)
def test_an_unexpected_refusal_is_raised_unchanged(error):
    assert not is_unavailable(error)
    with pytest.raises(type(error)) as caught, calling("Looking at the alias"):
        raise error
    assert caught.value is error


def test_an_expected_refusal_gets_its_name_and_names_the_attempt():
    error = aws_error("PreconditionFailedException", status=412, message="The RevisionId does not match")
    with (
        pytest.raises(TargetMoved) as caught,
        calling("v1.4.0: moving the alias", PreconditionFailedException=TargetMoved, Other=TargetInvalid),
    ):
        raise error
    assert str(caught.value) == (
        "v1.4.0: moving the alias: AWS refused (PreconditionFailedException): The RevisionId does not match"
    )


def test_an_expected_name_takes_precedence_over_throttling():
    with pytest.raises(TargetInvalid), calling("Uploading", LimitExceededException=TargetInvalid):
        raise aws_error("LimitExceededException")


def test_other_exceptions_are_raised_unchanged():
    with pytest.raises(ZeroDivisionError), calling("Counting"):
        raise ZeroDivisionError


def test_a_response_without_a_code_has_none():
    bare = ClientError({}, "Operation")
    assert (code_of(bare), message_of(bare), is_unavailable(bare)) == ("", "", False)


@pytest.mark.parametrize("code", ["TransactionConflictException", "TransactionInProgressException"])
def test_an_item_held_by_a_transaction_is_retryable(code: str) -> None:
    """Fault 68: botocore's standard mode does not try it again by itself."""
    with pytest.raises(AwsUnavailable), calling("Writing the lock"):
        raise aws_error(code)


def test_a_named_refusal_that_will_pass_is_retried():
    """Fault 39. The adapter names the code as final; the message says that it is not."""
    error = aws_error("ClientException", message="Too many concurrent attempts to create a new revision")
    with pytest.raises(AwsUnavailable), calling("Registering", ClientException=TargetInvalid):
        raise error
