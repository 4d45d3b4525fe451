"""A notice says what happened, what serves now, what is needed from whom, and where to look."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tagship.model.facts import ENDINGS, FactKind, Level
from tagship.notices.notice import is_sent, notice_of
from tagship.story.narrator import _WORDS, Mood
from tests.unit.builders import locations
from tests.unit.notices.facts import FACT, fact

RECORD = {
    "application": "storefront",
    "tag": "v1.4.0",
    "stage": "production",
    "attempt": 1,
    "status": "RUNNING",
    "plan": {"from": "v1.3.0", "locations": locations("7", "8")},
    "gates": [{"gate": "tag", "verdict": "failed", "why": "is older.", "remedy": "Publish a newer tag."}],
}
ASKED = {
    "approvers": ["ana@example.com", "bo@example.com"],
    "required": 1,
    "expiresAt": "2026-11-23T14:00:00.000Z",
}
SHIFTED = {"percent": 10, "step": 1, "of": 2, "bake": 60}


def notice_about(name, data=None, *, level=Level.EVERYTHING, record=RECORD, **changes):
    """The notice about a fact of this name."""
    return notice_of(fact(name, data, **changes), record, level=level)


@pytest.mark.parametrize(
    "name, data, status, serves",
    [
        ("Approval Requested", ASKED, "RUNNING", "v1.3.0 serves all traffic."),
        ("Traffic Shifted", SHIFTED, "RUNNING", "10 % v1.4.0, 90 % v1.3.0."),
        ("Traffic Shifted", SHIFTED | {"percent": 100}, "RUNNING", "v1.4.0 serves all traffic."),
        ("Release Succeeded", {}, "SUCCEEDED", "v1.4.0 serves all traffic."),
        ("Release Rolled Back", {"why": "x"}, "ROLLED_BACK", "v1.3.0 serves all traffic."),
        ("Release Invalid", {"why": "x"}, "INVALID", "v1.3.0 serves all traffic."),
        (
            "Rollback Failed",
            {"why": "x"},
            "ROLLBACK_FAILED",
            "Users may get v1.4.0, v1.3.0, or a share of each.",
        ),
    ],
)
def test_it_names_the_current_release(name, data, status, serves):
    assert notice_about(name, data, record=RECORD | {"status": status}).serves == serves


def test_without_a_known_current_release_that_line_is_left_out():
    assert (
        notice_about("Release Read", {"commit": "", "author": ""}, record=RECORD | {"plan": None}).serves
        == ""
    )


def test_it_lists_the_next_steps_and_for_whom():
    assert notice_about("Approval Requested", ASKED).needed == (
        (
            "Approval by 1 of ana@example.com and bo@example.com, each with a personal link; the request "
            "expires in 3 h 59 min."
        ),
    )
    reminded = {"approvers": ["ana@example.com"], "expiresAt": "2026-11-23T14:00:00.000Z"}
    assert notice_about("Approvers Reminded", reminded).needed == (
        "Waiting for ana@example.com; the request expires in 3 h 59 min.",
    )
    assert notice_about("Release Invalid", {"why": "x"}, record=RECORD | {"status": "INVALID"}).needed == (
        "Publish a newer tag.",
    )
    failed = notice_about("Rollback Failed", {"why": "x"}, record=RECORD | {"status": "ROLLBACK_FAILED"})
    assert failed.needed[0].startswith("A PERSON MUST ACT NOW.")
    assert notice_about("Traffic Shifted", SHIFTED).needed == ()


def test_an_ending_shows_its_duration_and_reason():
    notice = notice_about(
        "Release Rolled Back",
        {"why": "5 of 5 answers were 500.", "readAt": "2026-11-23T09:48:00.000Z"},
        record=RECORD | {"status": "ROLLED_BACK"},
    )
    assert (
        notice.text == "ROLLED_BACK: the previous release serves all traffic again, 12 min after it was read"
    )
    assert notice.more == ("5 of 5 answers were 500.",)
    assert notice.mood is Mood.BAD


def test_it_links_to_the_execution():
    assert notice_about("Traffic Shifted", SHIFTED).look == (
        "https://us-east-1.console.aws.amazon.com/states/home?region=us-east-1#/v2/executions/details/"
        "arn:aws:states:us-east-1:000000000000:execution:release:one"
    )


@pytest.mark.parametrize(
    "name, durations, said",
    [
        (
            "Release Succeeded",
            {"DeploymentDuration": "2026-11-23T09:53:00.000Z", "LeadTime": "2026-11-23T08:00:00Z"},
            ("The deployment took 7 min.", "The lead time from upload to full traffic was 2 h."),
        ),
        (
            "Release Rolled Back",
            {"RollbackDuration": "2026-11-23T09:59:36.250Z"},
            ("The rollback took 24 s.",),
        ),
        ("Release Succeeded", {"DeploymentDuration": ""}, ()),
        ("Gates Failed", {"ValidationDuration": "2026-11-23T09:59:36.250Z"}, ()),
    ],
)
def test_an_ending_shows_the_durations_of_its_phases(name, durations, said):
    data = {"readAt": "2026-11-23T09:48:00.000Z", "durations": durations, "results": []}
    assert notice_about(name, data, record=RECORD | {"status": "ROLLED_BACK"}).more == said


@pytest.mark.parametrize("level", Level)
@pytest.mark.parametrize("name", sorted(set(ENDINGS.values()) - {"Release Succeeded", "Release Superseded"}))
def test_a_bad_ending_is_sent_at_every_level(level, name):
    record = RECORD | {"status": {fact: status for status, fact in ENDINGS.items()}[name]}
    assert notice_about(name, {"why": "x"}, level=level, record=record)


@pytest.mark.parametrize(
    "name, quietest",
    [
        ("Rollback Triggered", Level.PROBLEMS),
        ("Release Succeeded", Level.MILESTONES),
        ("Approval Requested", Level.MILESTONES),
        ("Deployment Started", Level.MILESTONES),
        ("Traffic Shifted", Level.EVERYTHING),
    ],
)
def test_each_level_includes_the_quieter_one(name, quietest):
    data = (
        ASKED
        | SHIFTED
        | {"trigger": "health", "why": "x", "steps": [], "deadline": "2026-11-23T10:20:00.000Z"}
    )
    heard = [level for level in Level if notice_about(name, data, level=level)]
    assert heard == [level for level in Level if level.includes(quietest)]


def test_unhealthy_checks_are_sent():
    checked = {"verdict": "unhealthy", "subject": "candidate", "step": 1, "checks": []}
    assert (
        notice_about("Health Checked", checked, level=Level.PROBLEMS).text == "health after step 1: unhealthy"
    )
    assert is_sent(fact("Health Checked", checked), Level.PROBLEMS)
    assert notice_about("Health Checked", checked | {"verdict": "healthy"}) is None
    assert not is_sent(fact("Health Checked", checked | {"verdict": "healthy"}))


@pytest.mark.parametrize("name", ["Lock Acquired", "Link Refused", "Gates Passed", "Something New"])
def test_facts_that_nobody_needs_are_not_sent(name):
    assert not is_sent(fact(name))
    assert notice_about(name) is None


def test_every_sent_fact_has_a_description():
    assert {kind for kind in FactKind if is_sent(fact(kind))} <= set(_WORDS)


@given(st.text(max_size=80), st.text(max_size=80))
def test_no_text_adds_a_line_or_hides_a_character(why, who):
    """Fault 52."""
    notice = notice_of(
        fact("Release Rejected", {"why": why}, who=who),
        RECORD | {"status": "REJECTED"},
        level=Level.EVERYTHING,
    )
    for text in (notice.text, *notice.more, *notice.needed, notice.serves, notice.subject):
        assert len(text.splitlines()) <= 1
        assert all(character.isprintable() for character in text)


def test_the_sample_fact_is_sent():
    assert notice_of(FACT | {"data": SHIFTED}, RECORD, level=Level.EVERYTHING).text == (
        "10 % of traffic goes to v1.4.0 (step 1 of 2), monitored for 1 min"
    )


@pytest.mark.parametrize("application, about", [("storefront", "storefront"), ("*", "every application")])
def test_a_freeze_is_sent_although_it_belongs_to_no_release(application, about):
    data = {"why": "the sale", "ends": "2026-11-24T10:00:00.000Z"}
    of_none = {"application": application, "tag": "", "who": "arn:ana", "execution": ""}
    notice = notice_about("Frozen", data, record={}, **of_none)
    assert notice.subject == f"{about} in production"
    assert notice.text == "frozen by arn:ana until Tue 24 Nov 2026, 10:00 UTC"
    assert notice.more == ("the sale",)


def test_a_promotions_notice_shows_its_outcome_and_the_next_steps():
    times = {"to": "production", "since": "2026-11-23T14:00:00.000Z", "due": "2026-11-24T14:00:00.000Z"}
    promoted = notice_about("Release Promoted", times | {"address": "s3://there/"}, stage="staging")
    assert "promoted to production, after it stayed current and healthy for 24 h" in promoted.text
    assert "serves all traffic" not in promoted.text, "by then another release may"
    refused = notice_about("Promotion Refused", times | {"why": "An alarm fired."}, stage="staging")
    assert "not promoted to production: An alarm fired" in refused.text
    assert "tagship promote storefront v1.4.0 --from staging --to production" in refused.more[0]
