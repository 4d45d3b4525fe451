"""What keeps the versions of a function: an alias that holds the baseline, and room for their code."""

from __future__ import annotations

from typing import TYPE_CHECKING

from botocore.exceptions import ClientError

from tagship.aws.calls import REFUSED_CREDENTIALS, calling, code_of
from tagship.model.errors import BaselineMissing, TargetInvalid

if TYPE_CHECKING:
    from mypy_boto3_lambda import LambdaClient
    from mypy_boto3_lambda.type_defs import CreateAliasRequestTypeDef

_ALIAS_CHARACTERS = 128
_NEARLY_FULL = 0.9
"""The share of the account's storage for code from which approvers are warned."""


def holding(alias: str) -> str:
    """The name of the alias that holds the baseline of this one."""
    return f"tagship-baseline-of-{alias}"[:_ALIAS_CHARACTERS]


def hold(client: LambdaClient, *, function: str, alias: str, version: str, release: str, fence: int) -> None:
    """Points an alias of its own at the baseline, which nobody calls: Lambda deletes no version that an alias points at.

    So no clean-up tool can take away what a rollback needs, until the next release holds its own baseline.

    Raises BaselineMissing when the version is gone already, CredentialsRefused, AwsUnavailable.
    """
    request: CreateAliasRequestTypeDef = {
        "FunctionName": function,
        "Name": holding(alias),
        "FunctionVersion": version,
        "Description": f"keeps what a rollback of {release} restores, fence {fence}",
        "RoutingConfig": {"AdditionalVersionWeights": {}},
    }
    what = f"{release}: keeping version {version} of {function} for a rollback"
    try:
        with calling(what, **REFUSED_CREDENTIALS):
            client.update_alias(**request)
    except ClientError as error:
        if code_of(error) != "ResourceNotFoundException":
            raise
        with calling(what, ResourceNotFoundException=BaselineMissing, **REFUSED_CREDENTIALS):
            _create(client, request)


def _create(client: LambdaClient, request: CreateAliasRequestTypeDef) -> None:
    try:
        client.create_alias(**request)
    except ClientError as error:
        if code_of(error) != "ResourceConflictException":  # our twin has made it
            raise


def room_for(client: LambdaClient, size: int, *, release: str) -> str:
    """A warning where the account has little room left for code; empty where it has enough. `size` is in bytes.

    Raises TargetInvalid where the release does not fit, CredentialsRefused, AwsUnavailable.
    """
    with calling(f"{release}: looking at the account's storage for code", **REFUSED_CREDENTIALS):
        found = client.get_account_settings()
    used, room = found["AccountUsage"]["TotalCodeSize"], found["AccountLimit"]["TotalCodeSize"]
    gib = f"{used / 1024**3:.1f} of {room / 1024**3:.0f} GiB"
    if used + size > room:
        raise TargetInvalid(
            f"{release}: the account's storage for Lambda code is full: {gib} are used, and the release needs "
            f"{size / 1024**2:.1f} MiB. Nothing was changed. Delete old versions (`tagship retention` shows which), or "
            "request a higher quota (Service Quotas, AWS Lambda, Function and layer storage). Then retry the release."
        )
    if used + size > _NEARLY_FULL * room:
        return (
            f"The account's storage for Lambda code is nearly full: {gib} are used. Delete old versions "
            "(`tagship retention` shows which), or request a higher quota."
        )
    return ""
