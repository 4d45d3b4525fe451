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


ANA, BO = "ana@example.com", "bo@example.com"


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
def test_the_author_is_taken_out_before_it_is_counted(given, required, author, may, verdict):
    assert judged(*given, required=required, author=author, authorMayApprove=may).verdict is verdict


def test_it_says_who_may_decide_and_what_to_do():
    result = judged(ANA, BO, required=2, author=ANA)
    assert result.why == f"The policy requires 2 approvals, but only {BO} may decide: {ANA} is the author."
    assert result.remedy == "Add approvers or require fewer approvals, then run `tagship retry`."


def test_a_sole_approver_who_is_the_author_leaves_nobody():
    """Fault 102."""
    assert "nobody may decide" in judged(ANA, author=ANA).why
