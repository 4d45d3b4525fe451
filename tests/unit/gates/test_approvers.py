"""The approvers gate: a policy that nobody can satisfy stops the release before anybody is asked."""

from __future__ import annotations

import pytest

from tagship.gates import Verdict, approvers
from tests.unit.builders import application, configured, manifest
from tests.unit.gates.cases import case


def judged(*addresses, required=1, author="dana@example.com", **policy):
    approval = {"approvers": list(addresses), "required": required, **policy}
    return approvers.check(
        case(
            configuration=configured(application(approval=approval)),
            manifest=manifest(author=author),
        )
    )


ANA, BO, CHI = "ana@example.com", "bo@example.com", "chi@example.com"


@pytest.mark.parametrize(
    "given, required, author, may, verdict",
    [
        ((ANA, BO), 2, "dana@example.com", False, Verdict.PASSED),
        ((ANA, BO), 2, ANA, False, Verdict.FAILED),
        ((ANA, BO), 2, "Ana@Example.com", False, Verdict.FAILED),
        ((ANA, BO), 2, ANA, True, Verdict.PASSED),
        ((ANA, BO), 1, ANA, False, Verdict.PASSED),
        ((ANA,), 1, ANA, False, Verdict.FAILED),
        ((ANA,), 1, ANA, True, Verdict.PASSED),
    ],
)
def test_the_author_is_removed_before_counting(given, required, author, may, verdict):
    assert judged(*given, required=required, author=author, authorMayApprove=may).verdict is verdict


def test_it_names_the_possible_approvers_and_the_remedy():
    result = judged(ANA, BO, required=2, author=ANA)
    assert (
        result.why
        == f"The policy requires 2 approvals, but only {BO} can decide, because {ANA} is the author."
    )
    assert result.remedy == "Add approvers or require fewer approvals, then run `tagship retry`."


def test_a_sole_approver_who_is_the_author_leaves_nobody():
    """Fault 102."""
    assert "nobody can decide" in judged(ANA, author=ANA).why


def test_everyone_who_can_decide_is_named():
    assert (
        "only ana@example.com, bo@example.com can decide" in judged(ANA, BO, CHI, required=3, author=CHI).why
    )


def test_a_policy_that_can_be_met_is_reported_with_its_numbers():
    assert judged(ANA, BO, CHI, required=2).why == "2 of 3 must approve."


# ---- rules ---------------------------------------------------------------------------------------------------------


def ruled(*rules, author="dana@example.com", members=(), **policy):
    pinned = {"platform": {"members": list(members), "tag": "configuration-1", "digest": ""}}
    configuration = configured(application(approval={"rules": list(rules), **policy})) | {"groups": pinned}
    return approvers.check(case(configuration=configuration, manifest=manifest(author=author)))


PLATFORM = {"group": "platform"}


@pytest.mark.parametrize(
    "members, author, verdict",
    [
        ((ANA, BO), "dana@example.com", Verdict.PASSED),
        ((ANA, BO), ANA, Verdict.PASSED),
        ((ANA,), ANA, Verdict.FAILED),
        ((ANA, BO), CHI, Verdict.FAILED),
        ((CHI,), "dana@example.com", Verdict.FAILED),
        ((), "dana@example.com", Verdict.FAILED),
    ],
)
def test_each_rule_must_be_met_by_different_people_without_the_author(members, author, verdict):
    """Fault 127."""
    assert ruled(PLATFORM, {"approvers": [CHI]}, members=members, author=author).verdict is verdict


def test_it_names_the_rule_that_cannot_be_met():
    result = ruled(PLATFORM, {"approvers": [CHI]}, members=[ANA], author=ANA)
    assert result.why.endswith("ana@example.com is the author. 1 approval missing for group platform.")


def test_it_names_every_rule_that_cannot_be_met():
    result = ruled(PLATFORM, {"approvers": [CHI], "required": 1}, members=[CHI], author=CHI)
    assert result.why.endswith(
        "is the author. 1 approval missing for group platform. 1 approval missing for chi@example.com."
    )


def test_a_person_in_two_rules_suffices_for_both_only_if_the_policy_says_so():
    both = (PLATFORM, {"approvers": [ANA]})
    assert ruled(*both, members=[ANA]).verdict is Verdict.FAILED
    assert ruled(*both, members=[ANA], countInEveryRule=True).verdict is Verdict.PASSED


def test_it_says_how_many_more_approvers_warnings_may_require():
    result = ruled(PLATFORM, members=[ANA, BO], extraForWarnings=1)
    assert result.why == "1 of 2 must approve, and up to 1 more if the plan has warnings."
