"""Translates AWS's errors into Tagship's, in one place: which can be retried, and which cannot."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from botocore import exceptions
from botocore.exceptions import BotoCoreError, ClientError

from tagship.model.errors import AwsUnavailable, CredentialsRefused, TagshipError

LAMBDA_FAULTS = (
    "Lambda.ServiceException",
    "Lambda.AWSLambdaException",
    "Lambda.SdkClientException",
    "Lambda.TooManyRequestsException",
    "Lambda.ClientExecutionTimeoutException",
    "Lambda.Unknown",
)
"""Lambda's own transient errors, by their names in Step Functions: the definitions retry them."""
_TRANSIENT = frozenset(
    {
        "Throttling",
        "ThrottlingException",
        "ThrottlingError",
        "Throttled",
        "ThrottledException",
        "RequestThrottled",
        "RequestThrottledException",
        "TooManyRequestsException",
        "RequestLimitExceeded",
        "ProvisionedThroughputExceededException",
        "BandwidthLimitExceeded",
        "SlowDown",
        "OverLimit",
        "LimitExceededException",
        "EC2ThrottledException",
        "KMSThrottling",
        "KmsThrottled",
        "KmsThrottlingException",
        "ServiceUnavailable",
        "InternalError",
        "RequestTimeout",
        "RequestTimeoutException",
        "PriorRequestNotComplete",
        # S3, while another write of the same key is in progress
        "OperationAborted",
        "ConditionalRequestConflict",
        # an item that a running transaction holds; botocore does not retry this
        "TransactionConflictException",
        "TransactionInProgressException",
    }
)
"""AWS's transient errors: each service has its own names, and not all of them come with the status 429 or 5xx."""
_WILL_PASS = re.compile(
    r"S3 Error Code: (InternalError|SlowDown|ServiceUnavailable|RequestTimeout)\b"
    r"|Too many concurrent attempts"
    r"|Rate exceeded"
)
"""Words of errors that will pass, although AWS gives them a code that stands for final ones too: S3's errors inside another
service's, concurrent requests, and throttling."""
INVOKING_AGAIN: Mapping[str, type[TagshipError]] = dict.fromkeys(
    (
        "ServiceException",
        "ResourceConflictException",
        "SnapStartNotReadyException",
        "SnapStartTimeoutException",
        "EC2ThrottledException",
    ),
    AwsUnavailable,
)
"""Further transient errors of a Lambda invocation that say nothing about the function."""
REFUSED_CREDENTIALS: Mapping[str, type[TagshipError]] = dict.fromkeys(
    (
        "AccessDenied",
        "AccessDeniedException",
        "ExpiredToken",
        "ExpiredTokenException",
        "InvalidClientTokenId",
        "UnrecognizedClientException",
    ),
    CredentialsRefused,
)
"""Errors about credentials that are expired or insufficient; for calls with an application's role."""
_LOST = (exceptions.ConnectionError, exceptions.HTTPClientError, exceptions.IncompleteReadError)


def code_of(error: ClientError) -> str:
    """AWS's error code."""
    return str(error.response.get("Error", {}).get("Code", ""))


def message_of(error: ClientError) -> str:
    """AWS's own message, without the request's parameters."""
    return str(error.response.get("Error", {}).get("Message", ""))


def is_unavailable(error: Exception) -> bool:
    """Throttled, 5xx, not reached, or interrupted during the response: a retry may help."""
    if isinstance(error, ClientError):
        status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
        code = code_of(error).removeprefix("KMS.")  # S3 so marks the errors of a bucket's key
        return code in _TRANSIENT or status == 429 or status >= 500 or _will_pass(error)
    return isinstance(error, _LOST)


def _will_pass(error: ClientError) -> bool:
    return _WILL_PASS.search(message_of(error)) is not None


@contextmanager
def calling(what: str, **refusals: type[TagshipError]) -> Iterator[None]:
    """Wraps an adapter's calls; `what` describes the attempt, `refusals` maps AWS's error codes to errors.

    Raises AwsUnavailable for throttling, 5xx and lost connections; the mapped errors for the named codes; all other
    errors unchanged, because an unexpected one must not be disguised.
    """
    try:
        yield
    except ClientError as error:
        code = code_of(error)
        if code in refusals and not _will_pass(error):
            raise refusals[code](f"{what}: AWS refused ({code}): {message_of(error)}") from error
        if is_unavailable(error):
            raise AwsUnavailable(
                f"{what}: AWS is temporarily unavailable ({code}): {message_of(error)}"
            ) from error
        raise
    except BotoCoreError as error:
        if is_unavailable(error):
            raise AwsUnavailable(f"{what}: AWS cannot be reached: {error}") from error
        raise
