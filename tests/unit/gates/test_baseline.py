"""The baseline gate knows what a rollback would restore, or says that there is nothing."""

from __future__ import annotations

import pytest

from tagship.gates import Verdict, baseline
from tagship.model.errors import AwsUnavailable, BaselineMissing, CredentialsRefused, TargetInvalid
from tests.unit.gates.cases import REVISION, FakeTarget, InRole, case


def test_what_serves_can_be_restored():
    asked = FakeTarget()
    result = baseline.check(case(target=asked, production="v1.3.0"))
    assert (result.verdict, result.why, result.warning) == (
        Verdict.PASSED,
        "A rollback would restore version 1 of storefront.",
        "",
    )
    assert asked.asked == [("restorable", REVISION)]


def test_a_first_release_is_told_as_such():
    """Fault 46."""
    result = baseline.check(case(target=FakeTarget(restores=None)))
    assert (result.verdict, result.why) == (Verdict.PASSED, "Nothing serves now.")
    assert result.warning == (
        "There is nothing to go back to: a rollback of this release would leave nothing that serves."
    )


@pytest.mark.parametrize(
    "error",
    [
        BaselineMissing("Version 1 is gone."),
        TargetInvalid("Traffic is split."),
        CredentialsRefused("It may not look."),
    ],
    ids=str,
)
def test_what_can_not_be_restored_stops_the_release(error):
    result = baseline.check(case(target=FakeTarget(raises={"restorable": error})))
    assert (result.verdict, result.why) == (Verdict.FAILED, str(error))


def test_why_a_role_can_not_be_assumed_is_told_once_by_the_target_gate():
    refused = CredentialsRefused("The role can't be assumed.", "This trust policy allows it: {}")
    result = baseline.check(case(in_role=InRole(refused=refused)))
    assert (result.verdict, result.why, result.remedy) == (
        Verdict.FAILED,
        "The role can't be assumed.",
        "Fix what the target gate names.",
    )


def test_aws_that_can_not_answer_is_asked_again_by_the_state_machine():
    with pytest.raises(AwsUnavailable):
        baseline.check(case(target=FakeTarget(raises={"restorable": AwsUnavailable("throttled")})))
