"""Errors of commands: what was attempted, what AWS answered, what to do next, and the exit code.

| code | class | when |
|---|---|---|
| 1 | `Failed` | the release or the check failed, or the ledger refuses |
| 2 | click's `UsageError` | the command was used incorrectly |
| 3 | `AwsRefused` | AWS refused, could not be reached, or has no such stack |
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO, Any

import click


class Failed(click.ClickException):
    """The release or the check failed."""

    exit_code = 1

    def show(self, file: IO[Any] | None = None) -> None:  # noqa: ARG002 (click's signature)
        """Prints to standard error, with control characters made visible."""
        from tagship_cli.views.screen import bad, clean, complain

        headline, _, rest = self.format_message().partition("\n")
        complain(bad(headline), *(clean(rest).split("\n") if rest else ()))


class AwsRefused(Failed):
    """AWS refused, or could not be reached."""

    exit_code = 3


@contextmanager
def trying(what: str = "") -> Iterator[None]:
    """Names the attempted AWS operation in the error.

    Raises AwsRefused for errors of AWS or of the connection, Failed for Tagship's own refusals.
    """
    try:
        yield
    except (click.ClickException, click.exceptions.Exit, click.Abort):
        raise
    except Exception as error:
        failure = explained(what, error)
        if failure is None:
            raise
        raise failure from error


def explained(what: str, error: Exception) -> Failed | None:
    """Turns an error of boto3 or Tagship into a failure for people; None if it is a bug."""
    from botocore.exceptions import BotoCoreError, ClientError

    from tagship.model.errors import ApplicationUnknown, AwsUnavailable, TagshipError

    if isinstance(error, ClientError):
        return _refused(what, error)
    if isinstance(error, BotoCoreError):
        return _unasked(what, error)
    if isinstance(error, AwsUnavailable):
        return AwsRefused(f"{error}\nThe release itself is not affected. Try again in a moment.")
    if isinstance(error, ApplicationUnknown):
        return Failed(
            f"{error}\nCheck --stage: `tagship status` lists a stage's applications, and `tagship history APPLICATION` "
            "lists the releases of one."
        )
    if isinstance(error, TagshipError):
        return Failed(str(error))
    return None


def _refused(what: str, error: Any) -> AwsRefused:
    from tagship.aws.calls import code_of, message_of

    code, message = code_of(error), message_of(error)
    did = what or f"Calling {error.operation_name}"
    advice = next((advice for pattern, advice in _ADVICE if re.fullmatch(pattern, code)), "")
    problem = (
        f"{did}: AWS refused ({code}): {message.rstrip('.')}." if message else f"{did}: AWS refused ({code})."
    )
    return AwsRefused(f"{problem}\n{advice.format(operation=error.operation_name)}".rstrip())


_ADVICE = (
    (
        r"ExpiredToken(Exception)?|RequestExpired|TokenRefreshRequired",
        "Your session has ended: sign in again (for example `aws sso login`), then repeat the command.",
    ),
    (
        r"(InvalidClientTokenId|UnrecognizedClient|SignatureDoesNotMatch|AuthFailure|InvalidAccessKeyId)(Exception)?",
        "Your AWS credentials are not valid for this account or region: check --profile, AWS_PROFILE and the keys.",
    ),
    (
        r"AccessDenied(Exception)?|AuthorizationError|UnauthorizedOperation|Forbidden|403",
        "Your identity can't do this ({operation}). `aws sts get-caller-identity` shows it; --profile selects another.",
    ),
    (
        r"ResourceNotFoundException|NoSuchBucket|404",
        "Check --stage, --stack, --region and --profile: the stage is probably somewhere else.",
    ),
    (r"OptInRequired|RegionDisabledException", "Check --region: this account has not enabled that region."),
    (r"Throttl.*|TooManyRequests.*|RequestLimitExceeded|SlowDown", "AWS is busy: try again in a moment."),
)


def _unasked(what: str, error: object) -> AwsRefused:
    """No request reached AWS, or no response came back."""
    advice = next((advice for names, advice in _UNASKED if type(error).__name__ in names), "")
    did = f"{what}: " if what else ""
    return AwsRefused(f"{did}{_first_line(str(error))}\n{advice}".rstrip())


_UNASKED: tuple[tuple[frozenset[str], str], ...] = (
    (
        frozenset({"NoCredentialsError", "PartialCredentialsError", "CredentialRetrievalError"}),
        "No AWS credentials were found: sign in (for example `aws sso login`), or set AWS_PROFILE or --profile.",
    ),
    (
        frozenset({"SSOTokenLoadError", "UnauthorizedSSOTokenError", "TokenRetrievalError", "SSOError"}),
        "Your session has ended: sign in again with `aws sso login`, then repeat the command.",
    ),
    (
        frozenset({"ProfileNotFound", "ConfigNotFound", "ConfigParseError"}),
        "Check --profile and AWS_PROFILE; `aws configure list-profiles` lists your profiles.",
    ),
    (frozenset({"NoRegionError", "InvalidRegionError"}), "Set a region: --region or AWS_REGION."),
    (
        frozenset(
            {
                *(
                    "EndpointConnectionError",
                    "ConnectTimeoutError",
                    "ReadTimeoutError",
                    "ConnectionClosedError",
                ),
                *("HTTPClientError", "ProxyConnectionError", "SSLError", "ConnectionError"),
            }
        ),
        "Check the network, --region and AWS_ENDPOINT_URL, then try again.",
    ),
)


def _first_line(text: str) -> str:
    return text.strip().split("\n", 1)[0].rstrip(".") + "."
