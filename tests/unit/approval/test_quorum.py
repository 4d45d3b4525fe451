"""Whose decisions count, and the resulting state."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tagship.approval.errors import QuorumUnreachable
from tagship.approval.quorum import (
    approvals,
    awaited,
    check_reachable,
    decision_of,
    met,
    missing,
    needed,
    outcome,
    policy_of,
    rules_of,
    voters,
)
from tagship.model.people import CLAIMED
from tests.unit import builders
from tests.unit.approval.builders import ANA, BO, CHI, approved, rejected, sample


def test_one_approval_of_two_leaves_it_open_and_names_who_is_missing():
    record = sample(decisions=[approved(BO, 1)])
    assert outcome(record) == "open"
    assert missing(record) == [ANA, CHI]


def test_enough_approvals_approve():
    assert outcome(sample(decisions=[approved(BO, 1), approved(CHI, 2)])) == "approved"


@pytest.mark.parametrize("others", [[], [approved(BO, 1)], [approved(BO, 1), approved(ANA, 2)]])
def test_one_rejection_ends_it_regardless_of_approvals(others):
    assert outcome(sample(decisions=[*others, rejected(CHI, 3, reason="no")])) == "rejected"


def test_the_author_does_not_count():
    """Fault 20."""
    record = sample(author=ANA, required=1, decisions=[approved(ANA, 1)])
    assert outcome(record) == "open"
    assert approvals(record) == 0
    assert voters(record) == [BO, CHI]
    assert decision_of(record, ANA) is None


def test_the_author_cannot_reject_either():
    assert outcome(sample(author=ANA, decisions=[rejected(ANA, 1, reason="no")])) == "open"


def test_the_author_counts_if_configured():
    record = sample(author=ANA, required=1, authorMayApprove=True, decisions=[approved(ANA, 1)])
    assert outcome(record) == "approved"


@pytest.mark.parametrize("spelling", ["ANA@Example.COM", "  ana@example.com\n", "\uff41na@example.com"])
def test_different_spellings_of_an_address_are_one_person(spelling):
    assert outcome(sample(author=spelling, required=1, decisions=[approved(ANA, 1)])) == "open"
    assert voters(sample(approvers=[ANA, spelling, BO])) == [ANA, BO]
    twice = sample(approvers=[ANA, spelling, BO], decisions=[approved(ANA, 1), approved(spelling, 2)])
    assert outcome(twice) == "open"


def test_nobody_counts_twice():
    assert outcome(sample(decisions=[approved(BO, 1), approved(BO, 2)])) == "open"


def test_an_approval_by_a_person_who_is_not_an_approver_does_not_count():
    assert outcome(sample(required=1, decisions=[approved("eve@example.com", 1)])) == "open"


def test_an_unknown_decision_does_not_count():
    record = sample(required=1, decisions=[approved(BO, 1) | {"decision": "APPROVE"}])
    assert outcome(record) == "open"
    assert decision_of(record, BO) is None
    assert missing(record) == [ANA, BO, CHI]


def test_in_production_only_a_proven_identity_approves():
    claimed = approved(BO, 1) | {"identity": CLAIMED + "bo"}
    record = sample(required=1, decisions=[claimed])
    assert outcome(record) == "open"
    assert missing(record) == [ANA, BO, CHI]
    assert outcome(record | {"stage": "staging"}) == "approved"


@pytest.mark.parametrize("required", [0, -1])
def test_zero_approvals_approve_nothing(required):
    assert outcome(sample(required=required, decisions=[])) == "open"


@pytest.mark.parametrize(
    "changes, says",
    [
        (
            {"required": 4, "authorMayApprove": True},
            (
                r"^storefront v1\.4\.0 needs 4 approvals, but only 3 of its approvers can decide\. Nobody was asked and "
                r"nothing was changed\. Add approvers or lower approval\.required, apply the "
                r"configuration, then publish a new tag\.$"
            ),
        ),
        (
            {"required": 3, "author": BO},
            r"can decide, not counting the author bo@example\.com\. Nobody was asked",
        ),
        ({"required": 2, "approvers": [ANA, "Ana@Example.com"]}, "only 1"),
        (
            {"required": 0},
            (
                r"^storefront v1\.4\.0: approval\.required is 0\. At least one approval is required\. Nobody was asked and "
                r"nothing was changed\. Set it to 1 or more and apply the configuration\.$"
            ),
        ),
    ],
)
def test_an_unreachable_quorum_is_refused(changes, says):
    with pytest.raises(QuorumUnreachable, match=says):
        check_reachable(sample(**changes))


def test_a_reachable_quorum_reports_nothing():
    check_reachable(sample(required=1))
    check_reachable(sample(required=3))
    check_reachable(sample(required=3, author=BO, authorMayApprove=True))


@given(
    st.lists(
        st.tuples(st.sampled_from([ANA, BO, CHI, "dana@example.com", "eve@example.com"]), st.booleans())
    ),
    st.integers(1, 3),
)
def test_an_approval_always_has_enough_different_voters_and_no_rejection(made, required):
    record = sample(
        required=required,
        decisions=[approved(who, 1) | {"decision": "approve" if yes else "reject"} for who, yes in made],
    )
    first = {}
    for who, yes in made:
        if who in (ANA, BO, CHI):
            first.setdefault(who, yes)
    expected = "rejected" if not all(first.values()) else "approved" if len(first) >= required else "open"
    assert outcome(record) == expected


# ---- rules ---------------------------------------------------------------------------------------------------------

DAN, EVE = "dan@example.com", "eve@example.com"


def rule(*approvers, required=1, group=""):
    return {"group": group, "approvers": list(approvers), "required": required}


def ruled(*rules, **changes):
    asked = list(dict.fromkeys(who for each in rules for who in each["approvers"]))
    return sample(rules=list(rules), approvers=asked, **changes)


def test_all_rules_must_be_met_and_only_helpful_approvers_are_awaited():
    record = ruled(rule(ANA, BO, group="platform"), rule(CHI, DAN), decisions=[approved(ANA, 1)])
    assert (outcome(record), approvals(record), needed(record)) == ("open", 1, 2)
    assert missing(record) == [BO, CHI, DAN]
    assert awaited(record) == [CHI, DAN]
    assert [those for _, those in met(record)] == [[ANA], []]
    record["decisions"].append(approved(CHI, 2))
    assert outcome(record) == "approved"
    assert awaited(record) == []


def test_one_person_meets_only_one_rule_unless_the_policy_counts_them_in_every_rule():
    """Fault 20."""
    record = ruled(rule(ANA, BO), rule(ANA, CHI), decisions=[approved(ANA, 1)])
    assert outcome(record) == "open"
    assert awaited(record) == [BO, CHI]
    assert outcome(record | {"countInEveryRule": True}) == "approved"


def test_an_approval_that_counts_in_every_rule_is_counted_in_each():
    policy = ruled(rule(ANA, BO), rule(ANA, CHI, required=2))
    everywhere = policy | {"countInEveryRule": True}
    assert awaited(everywhere | {"decisions": [approved(BO, 1)]}) == [ANA, CHI]
    one = {"decisions": [approved(ANA, 1)]}
    assert (approvals(policy | one), awaited(policy | one)) == (1, [BO, CHI])
    assert (approvals(everywhere | one), awaited(everywhere | one)) == (2, [CHI])
    assert [those for _, those in met(everywhere | one)] == [[ANA], [ANA]]


def test_only_people_in_a_rule_can_vote_even_if_there_are_more_approvers():
    record = sample(approvers=[ANA, BO, CHI], rules=[rule(BO)])
    assert voters(record) == [BO]
    assert outcome(record | {"decisions": [approved(ANA, 1)]}) == "open"


def test_approvers_with_required_are_one_rule_without_a_group():
    assert list(rules_of(sample(required=2))) == [rule(ANA, BO, CHI, required=2)]


@pytest.mark.parametrize("every", [True, False])
def test_the_pinned_policy_decides_whether_an_approval_counts_in_every_rule(every):
    policy = {"rules": [{"approvers": [ANA], "required": 1}], "countInEveryRule": every}
    known = builders.record(configuration=builders.configured(builders.application(approval=policy)))
    assert policy_of(known)["countInEveryRule"] is every
    del known["configuration"]["document"]["approval"]["countInEveryRule"]
    assert policy_of(known)["countInEveryRule"] is False


def test_the_author_meets_no_rule_and_any_approvers_rejection_ends_it():
    record = ruled(rule(ANA), rule(BO, CHI), author=ANA, decisions=[approved(ANA, 1), approved(BO, 2)])
    assert outcome(record) == "open"
    with pytest.raises(
        QuorumUnreachable, match=r"needs 2 approvals, but only 2 .* 1 missing for ana@example\.com"
    ):
        check_reachable(record)
    assert outcome(record | {"decisions": [rejected(CHI, 1, reason="no")]}) == "rejected"


@given(
    st.lists(
        st.builds(rule, st.sampled_from([ANA, BO, CHI, DAN, EVE]), st.sampled_from([ANA, BO, CHI])),
        min_size=1,
        max_size=3,
    ),
    st.lists(st.sampled_from([ANA, BO, CHI, DAN, EVE]), unique=True, min_size=1),
    st.sampled_from([ANA, BO, "dana@example.com"]),
)
def test_only_an_awaited_approver_brings_a_request_forward(rules, order, author):
    record = ruled(*rules, author=author)
    for who in order:
        waited = awaited(record)
        before = approvals(record)
        record["decisions"] = [*record["decisions"], approved(who, 1)]
        assert (approvals(record) > before) is (who in waited)


def test_one_person_who_counts_in_every_rule_suffices_and_otherwise_each_empty_rule_is_named():
    alone = ruled(rule(ANA), rule(ANA))
    check_reachable(alone | {"countInEveryRule": True})
    with pytest.raises(QuorumUnreachable, match=r"; 1 missing for ana@example\.com\. Nobody"):
        check_reachable(alone)
    nobody = ruled(rule(BO), rule(CHI), rule(ANA), author=ANA)
    with pytest.raises(
        QuorumUnreachable, match=r"; 1 missing for nobody, 1 missing for ana@example\.com\. Nobody"
    ):
        check_reachable(nobody | {"rules": [rule(BO), rule(), rule(ANA)]})


def test_a_groups_members_are_those_the_release_pinned():
    policy = {"rules": [{"group": "platform", "required": 1}, {"approvers": [CHI], "required": 1}]}
    known = builders.record(configuration=builders.configured(builders.application(approval=policy)))
    assert policy_of(known)["approvers"] == [CHI]  # an unknown group has no members to ask
    pinned = {"platform": {"members": [ANA, BO], "digest": "d"}}
    found = policy_of(known | {"configuration": known["configuration"] | {"groups": pinned}})
    assert found["approvers"] == [ANA, BO, CHI]
    assert [(each["group"], each["approvers"]) for each in found["rules"]] == [
        ("platform", [ANA, BO]),
        ("", [CHI]),
    ]


def test_without_the_option_a_warning_requires_no_extra_approver():
    known = warned(0)
    del known["configuration"]["document"]["approval"]["extraForWarnings"]
    assert policy_of(known)["required"] == 2


# ---- one more approver for a warning -------------------------------------------------------------------------------

WARNINGS = ["Replaces the table Orders.", "Deletes the bucket Photos."]


def warned(most, warnings=WARNINGS, **changes):
    policy = {"approvers": [ANA, BO, CHI, DAN], "required": 2, "extraForWarnings": most}
    known = builders.record(configuration=builders.configured(builders.application(approval=policy)))
    return known | {"plan": {"warnings": warnings}} | changes


@pytest.mark.parametrize(
    "most, warnings, required",
    [(0, WARNINGS, 2), (1, WARNINGS, 3), (2, WARNINGS, 4), (2, WARNINGS[:1], 3), (2, [], 2)],
)
def test_each_warning_requires_one_more_approver_up_to_the_limit(most, warnings, required):
    assert policy_of(warned(most, warnings))["required"] == required


def test_the_extra_approver_for_a_warning_is_another_person():
    policy = policy_of(warned(1))
    ballot = {**policy, "stage": "production", "decisions": [approved(ANA, 1), approved(BO, 2)]}
    assert outcome(ballot) == "open"
    assert policy["rules"][1] == rule(ANA, BO, CHI, DAN) | {"why": WARNINGS}
    ballot["decisions"].append(approved(CHI, 3))
    assert outcome(ballot) == "approved"


def test_a_proposals_warnings_require_no_extra_approver():
    assert policy_of(warned(2, proposal={}))["required"] == 2


def test_too_few_approvers_for_the_warnings_are_refused():
    policy = policy_of(warned(1)) | {"author": ANA}
    few = sample(**policy | {"rules": [{**each, "approvers": [ANA, BO, CHI]} for each in policy["rules"]]})
    with pytest.raises(
        QuorumUnreachable, match=r"needs 3 approvals.*1 missing for any other approver, because of"
    ):
        check_reachable(few)


def test_an_emergency_requires_everybody_regardless_of_rules():
    known = warned(1)
    known["manifest"] = {**known["manifest"], "emergency": "Nobody can pay."}
    policy = policy_of(known)
    assert policy["required"] == 4
    everybody = {"why": ["This is an emergency."], "of": policy_of(warned(1))["rules"]}
    assert policy["rules"] == [rule(ANA, BO, CHI, DAN, required=4) | everybody]
