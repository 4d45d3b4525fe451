"""The baseline gate finds what a rollback would restore, or says that there is nothing."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tagship.gates import Verdict, baseline
from tagship.model.errors import AwsUnavailable, BaselineMissing, CredentialsRefused, TargetInvalid
from tagship.targets.kind import Finding
from tests.unit.builders import application, configured
from tests.unit.gates.cases import REVISION, FakeTarget, InRole, case


def test_the_current_revision_can_be_restored():
    asked = FakeTarget()
    result = baseline.check(case(target=asked, production="v1.3.0"))
    assert (result.verdict, result.why, result.warning) == (
        Verdict.PASSED,
        "A rollback would restore version 1 of storefront.",
        "",
    )
    assert asked.asked == [("restorable", REVISION)]


def test_a_first_release_is_reported_as_such():
    """Fault 46."""
    result = baseline.check(case(target=FakeTarget(restores=None)))
    assert (result.verdict, result.why) == (Verdict.PASSED, "Nothing serves traffic now.")
    assert result.warning == ("This is the first release: after a rollback, nothing would serve traffic.")


@pytest.mark.parametrize(
    "error",
    [
        BaselineMissing("Version 1 is gone."),
        TargetInvalid("Traffic is split."),
        CredentialsRefused("It may not look."),
    ],
    ids=str,
)
def test_a_current_revision_that_cannot_be_restored_stops_the_release(error):
    result = baseline.check(case(target=FakeTarget(raises={"restorable": error})))
    assert (result.verdict, result.why) == (Verdict.FAILED, str(error))


def test_only_the_target_gate_explains_why_a_role_cannot_be_assumed():
    refused = CredentialsRefused("The role can't be assumed.", "This trust policy allows it: {}")
    result = baseline.check(case(in_role=InRole(refused=refused)))
    assert (result.verdict, result.why, result.remedy, result.cause) == (
        Verdict.FAILED,
        "The role can't be assumed.",
        "Fix what the target gate names.",
        "target",
    )


def test_an_unavailable_aws_is_retried_by_the_state_machine():
    with pytest.raises(AwsUnavailable):
        baseline.check(case(target=FakeTarget(raises={"restorable": AwsUnavailable("throttled")})))


ANSWERS = {"lambda storefront": {"answers": True, "why": "1 of 1 requests passed."}}
SILENT = {"lambda storefront": {"answers": False, "why": 'The answer is not {"healthy": true}.'}}


def test_the_current_revision_is_health_checked_and_the_result_is_passed_on():
    questions = []

    def ask(configuration, revision):
        questions.append((configuration.target.function, revision))
        return ANSWERS

    result = baseline.check(replace(case(production="v1.3.0"), ask_what_serves=ask))
    assert questions == [("storefront", REVISION)]
    assert (result.verdict, result.warning) == (Verdict.PASSED, "")
    assert result.seen == {"answers": {"lambda storefront": True}}


def test_approvers_read_that_the_current_revision_cannot_answer_the_check():
    """Fault 89."""
    result = baseline.check(case(production="v1.3.0", answers=SILENT))
    assert result.verdict is Verdict.PASSED
    assert result.warning == (
        "A rollback would restore v1.3.0, but could not check its health. "
        'lambda storefront: The answer is not {"healthy": true}.'
    )
    assert result.seen == {"answers": {"lambda storefront": False}}


def test_approvers_read_of_each_check_that_the_current_revision_cannot_answer():
    both = (
        SILENT | {"http": {"answers": False, "why": "It answers 404."}} | {"custom smoke": {"answers": True}}
    )
    assert baseline.check(case(production="v1.3.0", answers=both)).warning == (
        "A rollback would restore v1.3.0, but could not check its health. "
        'lambda storefront: The answer is not {"healthy": true}. http: It answers 404.'
    )


def test_approvers_read_the_targets_own_warning_first():
    target = FakeTarget(restores=Finding(said="version 1 of storefront", warning="It is not held."))
    result = baseline.check(case(production="v1.3.0", target=target, answers=SILENT))
    assert result.warning.startswith("It is not held. A rollback would restore v1.3.0, but could not")


def test_a_revision_that_tagship_did_not_release_is_named_as_its_target_names_it():
    result = baseline.check(case(answers=SILENT))
    assert result.warning.startswith("A rollback would restore version 1 of storefront, but")


def test_approvers_read_that_checks_of_past_data_cannot_verify_a_rollback():
    only_alarms = configured(application(health={"checks": [{"type": "alarm", "names": ["storefront-5xx"]}]}))
    result = baseline.check(case(production="v1.3.0", configuration=only_alarms))
    assert result.warning == (
        "After a rollback, no check could tell whether v1.3.0 is healthy: for some minutes, alarms and metrics still show "
        "the candidate. A check of type http, lambda or custom could tell."
    )


def test_if_nothing_is_deployed_nothing_is_checked():
    result = baseline.check(case(target=FakeTarget(restores=None), answers=SILENT))
    assert "cannot answer" not in result.warning
    assert result.seen == {}
