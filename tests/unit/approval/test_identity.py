"""Which AWS identities prove who decides."""

from __future__ import annotations

import pytest

from tagship.approval.identity import address_of, identity_of, proven

ACCOUNT = "123456789012"
CENTER = f"arn:aws:sts::{ACCOUNT}:assumed-role/AWSReservedSSO_Release_0123456789abcdef/ana@example.com"
USER = f"arn:aws:iam::{ACCOUNT}:user/ana@example.com"
CHOSEN = f"arn:aws:sts::{ACCOUNT}:assumed-role/Developer/ana@example.com"


@pytest.mark.parametrize(
    "arn",
    [CENTER, USER, f"arn:aws:iam::{ACCOUNT}:user/people/ana@example.com", CENTER.replace("arn:aws:", "arn:aws-us-gov:")],
)  # fmt: skip
def test_a_name_that_the_caller_cannot_choose_is_proven(arn: str) -> None:
    assert proven(arn)
    assert identity_of(arn, "Ana@example.com") == arn


@pytest.mark.parametrize(
    "arn",
    [
        CHOSEN,
        f"arn:aws:sts::{ACCOUNT}:assumed-role/AWSReservedSSO_Release/ana@example.com",
        f"arn:aws:sts::{ACCOUNT}:assumed-role/MyAWSReservedSSO_Release_0123456789abcdef/ana@example.com",
        f"arn:aws:sts::{ACCOUNT}:federated-user/ana@example.com",
        f"arn:aws:sts::{ACCOUNT}:assumed-role/x/user/ana@example.com",
        f"arn:aws:iam::{ACCOUNT}:root",
        "",
        f"{CHOSEN}\n{USER}",
    ],
)
def test_a_self_chosen_name_is_claimed(arn: str) -> None:
    assert not proven(arn)
    assert identity_of(arn, "ana@example.com") == f"claimed {arn}"


def test_a_stack_pattern_proves_only_the_matching_role() -> None:
    patterns = (f"arn:aws:sts::{ACCOUNT}:assumed-role/Release/*",)
    assert proven(CHOSEN.replace("Developer", "Release"), patterns)
    assert not proven(CHOSEN, patterns)
    assert not proven(CHOSEN.replace("Developer", "Releases"), patterns)


def test_a_proven_identity_of_somebody_else_is_claimed() -> None:
    assert identity_of(CENTER, "bo@example.com") == f"claimed {CENTER}"
    deployer = f"arn:aws:iam::{ACCOUNT}:user/deployer"
    assert address_of(deployer) == ""
    assert identity_of(deployer, "ana@example.com") == f"claimed {deployer}"
