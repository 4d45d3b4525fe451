"""The target gate asks in the application's role, and lets nothing through that could not be changed."""

from __future__ import annotations

import pytest

from tagship.gates import Verdict, target
from tagship.model.errors import (
    AwsUnavailable,
    CandidateNotReady,
    CredentialsRefused,
    TargetInvalid,
    TargetMoved,
)
from tagship.targets.kind import Finding
from tests.unit.builders import application, configured
from tests.unit.gates.cases import REVISION, FakeTarget, InRole, case

REFUSED = CredentialsRefused("The role can't be assumed (AccessDenied).", "This trust policy allows it: {}")


def test_a_target_that_can_be_changed_passes_with_a_dry_run():
    asked = FakeTarget()
    in_role = InRole()
    result = target.check(case(target=asked, in_role=in_role, production="v1.3.0"))
    assert (result.verdict, result.why) == (
        Verdict.PASSED,
        "storefront can be changed. The upload passed its dry run.",
    )
    assert asked.asked == [("check", REVISION), ("dry_run", ["function"])]
    assert [service for service, _ in in_role.asked] == ["lambda"]


def test_the_targets_warnings_are_shown_to_approvers():
    result = target.check(
        case(target=FakeTarget(stands=Finding(said="It can be changed.", warning="The last update failed.")))
    )
    assert (result.verdict, result.warning) == (Verdict.PASSED, "The last update failed.")
    both = FakeTarget(
        stands=Finding(said="It can be changed.", warning="The last update failed."),
        dry=Finding(said="", warning="Its state is pending."),
    )
    assert target.check(case(target=both)).warning == "The last update failed. Its state is pending."


def test_a_role_that_cannot_be_assumed_is_refused_with_the_trust_policy():
    """Fault 37."""
    result = target.check(case(in_role=InRole(refused=REFUSED)))
    assert (result.verdict, result.why, result.remedy, result.cause) == (
        Verdict.FAILED,
        "The role can't be assumed (AccessDenied).",
        "This trust policy allows it: {}",
        "",  # it is the gate that says why
    )


def test_a_role_in_another_account_is_refused_before_it_is_assumed():
    """Fault 37."""
    asked, in_role, pinned = FakeTarget(), InRole(), configured(application())
    pinned["document"]["target"]["role"] = "arn:aws:iam::999999999999:role/tagship-app-storefront"
    result = target.check(case(target=asked, in_role=in_role, configuration=pinned))
    assert result.verdict is Verdict.FAILED
    assert "is in account 999999999999; the target is in 000000000000" in result.why
    assert (asked.asked, in_role.asked) == ([], [])


@pytest.mark.parametrize("what", ["check", "dry_run"])
@pytest.mark.parametrize(
    "error, remedy",
    [
        (TargetInvalid("There is no function."), "Fix the target"),
        (TargetMoved("Somebody else moved it."), "tagship adopt"),
        (CredentialsRefused("It may not read the code."), "tagship role"),
    ],
    ids=str,
)
def test_an_unchangeable_or_drifted_target_stops_the_release(what, error, remedy):
    """Faults 30, 33, 37."""
    result = target.check(case(target=FakeTarget(raises={what: error})))
    assert (result.verdict, result.why) == (Verdict.FAILED, str(error))
    assert remedy in result.remedy


@pytest.mark.parametrize("error", [AwsUnavailable("throttled"), CandidateNotReady("still changing")], ids=str)
def test_a_transient_error_is_retried_by_the_state_machine(error):
    """Fault 12."""
    with pytest.raises(type(error)):
        target.check(case(target=FakeTarget(raises={"check": error})))
