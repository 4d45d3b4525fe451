"""The alias that holds the baseline's version, and the account's storage for code."""

from __future__ import annotations

from typing import Any

import pytest

from tagship.model.errors import AwsUnavailable, BaselineMissing, CredentialsRefused, TargetInvalid
from tagship.targets.lambda_keeping import hold, room_for, storage_of
from tests.unit.tables import aws_error
from tests.unit.targets.functions import FakeLambda

GIB = 1024**3


def held(functions: Any, version: str = "1") -> None:
    hold(
        functions, function="storefront", alias="live", version=version, release="storefront v1.4.0", fence=7
    )


# ---- the baseline ---------------------------------------------------------------------------------------------------


def test_the_alias_that_holds_a_version_says_why_it_exists():
    functions = FakeLambda()
    for _ in range(2):
        held(functions)
    alias = functions.aliases["tagship-baseline-of-live"]
    assert alias["FunctionVersion"] == "1"
    assert alias["Description"] == "keeps what a rollback of storefront v1.4.0 restores, fence 7"


@pytest.mark.parametrize("refused", ["update_alias", "create_alias"])
@pytest.mark.parametrize(
    "error, raised, said",
    [
        (
            aws_error("AccessDeniedException", status=403, message="no permission"),
            CredentialsRefused,
            "AWS refused (AccessDeniedException): no permission",
        ),
        (
            aws_error("TooManyRequestsException", status=429, message="slow down"),
            AwsUnavailable,
            "AWS is temporarily unavailable (TooManyRequestsException): slow down",
        ),
    ],
    ids=["refused", "unavailable"],
)
def test_a_version_that_cannot_be_held_is_named_with_its_function_and_release(refused, error, raised, said):
    functions = FakeLambda()
    functions.refuses[refused] = error
    with pytest.raises(raised) as failed:
        held(functions)
    assert str(failed.value) == (f"storefront v1.4.0: keeping version 1 of storefront for a rollback: {said}")


def test_a_version_that_is_already_gone_cannot_be_held():
    functions = FakeLambda()
    with pytest.raises(BaselineMissing) as failed:
        held(functions, "9")
    assert str(failed.value) == (
        "storefront v1.4.0: keeping version 9 of storefront for a rollback: AWS refused (ResourceNotFoundException): "
        "Function not found: storefront:9"
    )


# ---- the account's storage for code ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "used, size, warned",
    [(60 * GIB, 1, False), (67.5 * GIB, 0, False), (67.5 * GIB, 1, True), (75 * GIB - 5, 5, True)],
)
def test_an_account_with_little_storage_for_code_is_a_warning(used, size, warned):
    functions = FakeLambda(code_used=int(used))
    said = room_for(functions.get_account_settings(), size, release="storefront v1.4.0")
    expected = (
        f"The account's storage for Lambda code is nearly full: {used / GIB:.1f} of 75 GiB are used. Delete old versions "
        "(`tagship retention` shows which), or request a higher quota."
    )
    assert said == (expected if warned else "")


def test_a_package_that_does_not_fit_is_refused_with_what_to_do():
    functions = FakeLambda(code_used=int(999.9 * GIB), code_quota=1000 * GIB)
    with pytest.raises(TargetInvalid) as refused:
        room_for(functions.get_account_settings(), 481 * 1024**2 // 2, release="storefront v1.4.0")
    assert str(refused.value) == (
        "storefront v1.4.0: the account's storage for Lambda code is full: 999.9 of 1000 GiB are used, and the release "
        "needs 240.5 MiB. Nothing was changed. Delete old versions (`tagship retention` shows which), or request a "
        "higher quota (Service Quotas, AWS Lambda, Function and layer storage). Then retry the release."
    )


def test_a_missing_permission_to_look_at_the_accounts_storage_is_reported():
    functions = FakeLambda()
    functions.refuses["get_account_settings"] = aws_error(
        "AccessDeniedException", status=403, message="no permission"
    )
    with pytest.raises(CredentialsRefused) as refused:
        storage_of(functions, release="storefront v1.4.0")
    assert str(refused.value) == (
        "storefront v1.4.0: looking at the account's storage for code: AWS refused (AccessDeniedException): no permission"
    )
