"""Which people suffice for which rules, compared with trying everything."""

from __future__ import annotations

from itertools import permutations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tagship.model.documents import policy_problem
from tagship.model.records import RuleData
from tagship.model.rules import everyone, filling, lacking, named, places, rules_of

PEOPLE = [f"{name}@example.com" for name in ("ana", "bo", "chi", "dan", "eve")]
ANA, BO, CHI, DAN, EVE = PEOPLE

some_people = st.lists(st.sampled_from(PEOPLE), unique=True)
a_rule = st.builds(
    lambda who, required: RuleData(group="", approvers=who, required=required),
    st.lists(st.sampled_from(PEOPLE), unique=True, min_size=1),
    st.integers(1, 3),
)
some_rules = st.lists(a_rule, min_size=1, max_size=3)


def rule(*approvers: str, required: int = 1, group: str = "") -> RuleData:
    return {"group": group, "approvers": list(approvers), "required": required}


def places_of(rules: list[RuleData], people: list[str], **options: bool) -> list[list[str]]:
    filled = filling(rules, people, **options)
    assert [each for each, _ in filled] == rules
    return [those for _, those in filled]


def suffice_by_trying(rules: list[RuleData], people: list[str]) -> bool:
    """Every assignment of different people to the places of each rule."""
    seats = [each["approvers"] for each in rules for _ in range(places(each))]
    return any(
        all(who in able for who, able in zip(chosen, seats, strict=True))
        for chosen in permutations(people, len(seats))
    )


@given(some_rules, some_people)
@settings(max_examples=150)
def test_people_satisfy_the_rules_exactly_if_brute_force_finds_an_assignment(rules, people):
    assert (not lacking(rules, people)) is suffice_by_trying(rules, people)


def test_a_place_is_found_by_moving_one_person_after_another():
    assert places_of([rule(ANA, CHI), rule(ANA, BO), rule(BO)], [ANA, BO, CHI]) == [[CHI], [ANA], [BO]]


@given(some_rules, some_people)
@settings(max_examples=100)
def test_with_counting_in_every_rule_people_satisfy_exactly_if_each_rule_has_enough(rules, people):
    enough = all(len({*people} & {*each["approvers"]}) >= each["required"] for each in rules)
    assert (not lacking(rules, people, in_every_rule=True)) is enough


@given(some_rules, some_people, st.sampled_from(PEOPLE), st.booleans())
@settings(max_examples=100)
def test_one_more_approval_never_makes_it_worse(rules, people, another, in_every_rule):
    before = places_of(rules, people, in_every_rule=in_every_rule)
    after = places_of(rules, [*people, another], in_every_rule=in_every_rule)
    assert all(len(now) >= len(then) for then, now in zip(before, after, strict=True))


@given(some_rules, some_people, st.booleans())
@settings(max_examples=100)
def test_nobody_fills_a_place_of_a_rule_without_them_or_two_places(rules, people, in_every_rule):
    filled = places_of(rules, people, in_every_rule=in_every_rule)
    for each, those in zip(rules, filled, strict=True):
        assert {*those} <= {*each["approvers"]} & {*people}
        assert len(those) == len({*those}) <= places(each)
    if not in_every_rule:
        seated = [who for those in filled for who in those]
        assert len(seated) == len({*seated})


@given(some_rules, st.booleans())
@settings(max_examples=30)
def test_nobody_never_satisfies(rules, in_every_rule):
    assert lacking(rules, [], in_every_rule=in_every_rule)


def test_an_earlier_approver_moves_to_another_rule_to_make_room():
    rules = [rule(ANA, BO), rule(ANA)]
    assert places_of(rules, [ANA]) == [[ANA], []]
    assert places_of(rules, [ANA, BO]) == [[BO], [ANA]]


@pytest.mark.parametrize("spelling", ["ANA@Example.com", "ana+2@example.com"])
def test_one_mailbox_is_one_person_in_all_rules(spelling):
    assert lacking([rule(ANA), rule(spelling)], [ANA, spelling]) == [(rule(spelling), 1)]
    gmail = [rule("a.na@gmail.com"), rule("ana@googlemail.com")]
    assert len(lacking(gmail, ["a.na@gmail.com", "ana@gmail.com"])) == 1
    assert everyone(gmail) == ["a.na@gmail.com"]


def test_a_rule_that_requires_zero_requires_one():
    assert lacking([rule(ANA, required=0)], []) == [(rule(ANA, required=0), 1)]


def test_the_short_form_is_one_rule():
    short = {"approvers": [ANA, BO], "required": 2, "rules": []}
    long = {"approvers": [], "required": 1, "rules": [{"group": None, "approvers": [ANA, BO], "required": 2}]}
    assert rules_of(short, {}) == rules_of(long, {}) == [rule(ANA, BO, required=2)]


def test_a_group_is_its_members_and_an_unknown_group_is_empty():
    policy = {
        "approvers": [],
        "required": 1,
        "rules": [{"group": "platform", "approvers": [], "required": 1}],
    }
    known = {"platform": {"members": [ANA, BO], "tag": "configuration-1", "digest": ""}}
    assert rules_of(policy, known) == [rule(ANA, BO, group="platform")]
    assert rules_of(policy, {}) == [rule(group="platform")]
    assert lacking(rules_of(policy, {}), PEOPLE)


@pytest.mark.parametrize(
    "policy, problem",
    [
        ({"rules": [rule(ANA), rule(BO)]}, ""),
        (
            {"rules": [rule(ANA), rule(ANA)]},
            (
                "can't be met by the 1 person that it names: ana@example.com needs 1 more person, because each person "
                "counts in one rule only"
            ),
        ),
        ({"rules": [rule(ANA), rule(ANA)], "countInEveryRule": True}, ""),
        (
            {"rules": [rule(ANA, BO, CHI, required=2), rule(ANA, BO, required=2)]},
            (
                "can't be met by the 3 people that it names: ana@example.com or bo@example.com needs 1 more person, "
                "because each person counts in one rule only"
            ),
        ),
        (
            {"rules": [rule(ANA), rule(BO)], "extraForWarnings": 1},
            "asks for up to 1 more approval for warnings, but only 0 of its people would be left",
        ),
        ({"rules": [rule(ANA), rule(BO, CHI)], "extraForWarnings": 1}, ""),
        (
            {"rules": [rule(*(f"p{n}@example.com" for n in range(21)))]},
            "names 21 people; at most 20 can be asked",
        ),
    ],
)
def test_a_policy_that_nobody_can_meet_is_reported_with_a_reason(policy, problem):
    assert policy_problem(policy, {}) == problem


def test_a_rule_has_a_readable_name():
    assert named(rule(ANA, BO)) == "ana@example.com or bo@example.com"
    assert named(rule(ANA, group="platform")) == "group platform"
    assert named(rule(ANA) | {"why": ["The table is replaced."]}) == "any other approver, because of warnings"
    emergency = rule(ANA) | {"why": ["This is an emergency."], "of": [rule(ANA)]}
    assert named(emergency) == "every approver, because this is an emergency"
    assert named(rule()) == "nobody"
