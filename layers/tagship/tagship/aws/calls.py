"""AWS's refusals, put into Tagship's words once: what may be asked again, and what may not."""

from __future__ import annotations

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
"""Lambda's own transient faults, by Step Functions' names: the definitions try again what ends with one of them."""
_TRANSIENT = frozenset(
    {
        "Throttling",
        "ThrottlingException",
        "ThrottledException",
        "TooManyRequestsException",
        "RequestLimitExceeded",
        "ProvisionedThroughputExceededException",
        "SlowDown",
        "LimitExceededException",
        "ServiceUnavailable",
        "InternalError",
        "RequestTimeout",
        # an item that a running transaction holds just now; botocore does not try these again
        "TransactionConflictException",
        "TransactionInProgressException",
    }
)
"""AWS's refusals that pass by themselves, whichever service says so."""
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
"""What Lambda answers to an invocation, beside these, that says nothing about the function and passes."""
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
"""What services say of credentials that are no longer good, or not good enough; for calls in an application's role."""
_LOST = (exceptions.ConnectionError, exceptions.HTTPClientError, exceptions.IncompleteReadError)


def code_of(error: ClientError) -> str:
    """AWS's name for what it refused."""
    return str(error.response.get("Error", {}).get("Code", ""))


def message_of(error: ClientError) -> str:
    """AWS's own words, without the request's parameters."""
    return str(error.response.get("Error", {}).get("Message", ""))


def is_unavailable(error: Exception) -> bool:
    """Throttled, 5xx, not reached, or cut off in the middle of an answer: asking again may help."""
    if isinstance(error, ClientError):
        status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
        return code_of(error) in _TRANSIENT or status >= 500
    return isinstance(error, _LOST)


@contextmanager
def calling(what: str, **refusals: type[TagshipError]) -> Iterator[None]:
    """Wraps an adapter's calls; `what` is what was tried, `refusals` are AWS's error codes and what they mean here.

    Raises AwsUnavailable for throttling, 5xx and lost connections; the named errors for the named codes; everything else as
    it came, since a refusal that nobody foresaw must not be dressed up.
    """
    try:
        yield
    except ClientError as error:
        code = code_of(error)
        if code in refusals:
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
