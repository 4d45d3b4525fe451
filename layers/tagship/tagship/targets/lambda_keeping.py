"""Keeps a function's versions: the alias that holds the baseline, and the storage for code."""

from __future__ import annotations

from typing import TYPE_CHECKING

from botocore.exceptions import ClientError

from tagship.aws.calls import REFUSED_CREDENTIALS, calling, code_of
from tagship.model.errors import BaselineMissing, TargetInvalid

if TYPE_CHECKING:
    from mypy_boto3_lambda import LambdaClient
    from mypy_boto3_lambda.type_defs import CreateAliasRequestTypeDef, GetAccountSettingsResponseTypeDef

_ALIAS_CHARACTERS = 128
_NEARLY_FULL = 0.9
"""The share of the account's code storage from which approvers are warned."""


def holding(alias: str) -> str:
    """The name of the alias that holds the baseline of this one."""
    return f"tagship-baseline-of-{alias}"[:_ALIAS_CHARACTERS]


def hold(client: LambdaClient, *, function: str, alias: str, version: str, release: str, fence: int) -> None:
    """Points a separate alias, which nobody calls, at the baseline, so that Lambda refuses to delete that version.

    So no clean-up tool can remove what a rollback needs. The next release points the alias at its own baseline.

    Raises BaselineMissing if the version is already gone, CredentialsRefused, AwsUnavailable.
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
        if code_of(error) != "ResourceConflictException":  # a duplicate has created it
            raise


def storage_of(client: LambdaClient, *, release: str) -> GetAccountSettingsResponseTypeDef:
    """The account's storage for code.

    Raises CredentialsRefused, AwsUnavailable.
    """
    with calling(f"{release}: looking at the account's storage for code", **REFUSED_CREDENTIALS):
        return client.get_account_settings()


def room_for(found: GetAccountSettingsResponseTypeDef, size: int, *, release: str) -> str:
    """A warning if the account has little code storage left; empty if it has enough. `size` is in bytes.

    Raises TargetInvalid if the release does not fit.
    """
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
