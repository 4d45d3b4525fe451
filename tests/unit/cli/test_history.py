"""history: how each release ended, and one of them from its upload to its ending, readable at three in the morning."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tagship.model.release import Status
from tagship.story import narrator as story
from tagship_cli.views import screen


def test_releases_are_listed_newest_first_with_their_endings(stage: Any) -> None:
    stage.release("v1.3.0").succeeded()
    stage.clock.pause(600)
    made = stage.release("v1.4.0").waiting()
    stage.clock.pause(150)
    made.decided("ana@example.com", "reject", "no").ended(
        Status.REJECTED, "ana@example.com rejected it (no)."
    )
    stage.clock.pause(60)
    stage.release("v1.5.0")
    lines = stage.run("history", "storefront").stdout.splitlines()
    assert lines[0] == "storefront in development, newest first; times in UTC"
    assert [line.split()[:2] for line in lines[2::2]] == [
        ["v1.5.0", "RUNNING"],
        ["v1.4.0", "REJECTED"],
        ["v1.3.0", "SUCCEEDED"],
    ]
    assert lines[4].endswith("2026-11-23 14:15  2 min 30 s  dana@example.com")
    assert lines[3::2] == [
        "    in progress",
        "    ana@example.com rejected it (no).",
        "    It serves all traffic.",
    ]


def test_on_a_terminal_a_reason_ends_with_its_line_and_in_a_log_it_is_whole(
    stage: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    why = "storefront v1.4.0: " + "the gate target failed, " * 20 + "so nothing was changed."
    stage.release("v1.4.0").ended(Status.ABORTED, why)
    assert f"    {why}" in stage.run("history", "storefront").stdout.splitlines()
    monkeypatch.setattr(screen, "on_terminal", lambda: True)
    assert max(map(len, stage.run("history", "storefront").stdout.splitlines())) <= 100


def test_older_releases_are_mentioned_with_the_option_that_shows_them(stage: Any) -> None:
    for minor in range(3):
        stage.release(f"v1.{minor}.0").locked().ended(Status.ABORTED)
        stage.clock.pause(60)
    output = stage.run("history", "storefront", "--limit", "2").stdout
    assert "v1.0.0" not in output
    assert "There are older releases: use --limit 10 to see more." in output
    assert "older" not in stage.run("history", "storefront", "--limit", "3").stdout


def tags(stage: Any, *arguments: str) -> list[str]:
    document = json.loads(stage.run("history", "storefront", *arguments, "--json").stdout)
    return [release["tag"] for release in document["releases"]]


def test_a_list_contains_only_matching_releases(stage: Any) -> None:
    stage.release("v1.0.0").ended(Status.INVALID)
    stage.clock.pause(3600)
    stage.release("v1.1.0", author="eli@example.com").ended(Status.ABORTED)
    stage.clock.pause(3600)
    stage.release("v1.2.0").ended(Status.INVALID)
    assert tags(stage, "--status", "invalid") == ["v1.2.0", "v1.0.0"]
    assert tags(stage, "--status", "INVALID", "--status", "ABORTED", "--limit", "2") == ["v1.2.0", "v1.1.0"]
    assert tags(stage, "--author", "Eli@example.com") == ["v1.1.0"]
    assert tags(stage, "--since", "90m") == ["v1.2.0", "v1.1.0"]
    assert tags(stage, "--since", "2026-11-23T16:00:00+00:00") == ["v1.2.0"]
    assert "No release matches." in stage.run("history", "storefront", "--status", "EXPIRED").stdout
    assert stage.run("history", "storefront", "--status", "WELL").exit_code == 2


def test_the_list_as_json(stage: Any) -> None:
    stage.release("v1.3.0").succeeded()
    document = json.loads(stage.run("history", "storefront", "--json").stdout)
    assert document["releases"][0] | {"execution": ""} == {
        "application": "storefront",
        "tag": "v1.3.0",
        "attempt": 1,
        "stage": "development",
        "status": "SUCCEEDED",
        "why": "It serves all traffic.",
        "began": "2026-11-23T14:05:00.000Z",
        "ended": "2026-11-23T14:05:00.000Z",
        "seconds": 0.0,
        "author": "dana@example.com",
        "commit": "8f1d5a0b6f3c4c3f8e0d2b7a9c1e5f60718293a4",
        "from": "v1.3.0",
        "execution": "",
    }


@pytest.mark.parametrize("arguments", [("shop",), ("storefront", "--tag", "v9.9.9")])
def test_an_unknown_release_is_a_failure(stage: Any, arguments: tuple[str, ...]) -> None:
    stage.release()
    result = stage.run("history", *arguments)
    assert result.exit_code == 1
    assert "in the ledger of stage" in result.stderr


def test_one_release_is_shown_as_a_timeline_of_its_facts(stage: Any) -> None:
    made = stage.release().locked().gated()
    stage.clock.pause(5)
    made.planned().asked()
    stage.clock.pause(65)
    made.decided("ana@example.com", "approve", "looks good").decided("bo@example.com")
    made.started().shifted(1)
    stage.clock.pause(60)
    made.checked(1).shifted(2).checked(2).ended(Status.SUCCEEDED, "storefront v1.4.0 serves all traffic.")
    assert stage.run("history", "storefront", "--tag", "v1.4.0").stdout == (
        "storefront v1.4.0 in development, acme/storefront 8f1d5a0 by dana@example.com\nMon 23 Nov 2026, "
        "times in UTC\n14:05:00  ·  was read, and its files are pinned: commit 8f1d5a0 by "
        "dana@example.com\n14:05:00  ·  acquired the lock (fencing number 1)\n14:05:00  ✓  passed its gates: "
        "manifest, tag and integrity\n14:05:05  ·  planned: from v1.3.0 to v1.4.0\n             the alias "
        "live of storefront: version 6 → version 7\n14:05:05  !  waits for approval by ana@example.com, "
        "bo@example.com and chi@example.com\n14:06:10  ✓  ana@example.com approved it; more approvals are "
        "needed\n             “looks good”\n14:06:10  ✓  bo@example.com approved it: that is enough\n14:06:10 "
        " ·  deployment started: 10 %, then 100 % of traffic; no step starts after 14:26:10\n14:06:10  ·  10 "
        "% of traffic goes to v1.4.0 (step 1 of 2), monitored for 1 min\n14:07:10  ✓  health after step 1 of "
        "2: healthy\n14:07:10  ·  100 % of traffic goes to v1.4.0 (step 2 of 2)\n14:07:10  ✓  health after "
        "step 2 of 2: healthy\n14:07:10  ✓  SUCCEEDED\n\nstorefront v1.4.0 SUCCEEDED after 2 min 10 s\n  "
        "storefront v1.4.0 serves all traffic.\n"
    )


def test_a_change_of_day_is_shown_in_the_timeline(stage: Any) -> None:
    made = stage.release().waiting()
    stage.clock.pause(12 * 3600)
    made.ended(Status.ABORTED)
    assert (
        "\nTue 24 Nov 2026\n02:05:00  ✗  ABORTED\n"
        in stage.run("history", "storefront", "--tag", "v1.4.0").stdout
    )


def test_a_running_release_says_how_to_watch(stage: Any) -> None:
    stage.release()
    output = stage.run("history", "storefront", "--tag", "v1.4.0").stdout
    assert output.endswith("Watch it: tagship watch storefront v1.4.0 --stage development\n")


def test_one_release_as_json_has_all_its_facts(stage: Any) -> None:
    stage.release().succeeded()
    document = json.loads(stage.run("history", "storefront", "--tag", "v1.4.0", "--json").stdout)
    assert document["status"] == "SUCCEEDED"
    assert [fact["name"] for fact in document["facts"]][:3] == [
        "Release Read",
        "Lock Acquired",
        "Gates Passed",
    ]
    assert [fact["seq"] for fact in document["facts"]] == sorted(fact["seq"] for fact in document["facts"])


# ---- endings -------------------------------------------------------------------------------------------------------


def timeline_of(stage: Any) -> str:
    output: str = stage.run("history", "storefront", "--tag", "v1.4.0").stdout
    return output[output.index("\n\n") :]


def test_invalid_names_the_gate_the_reason_and_the_remedy(stage: Any) -> None:
    stage.release().locked().gated(
        failing="tag", why="v1.4.0 is older than v1.5.0", remedy="Publish v1.5.1."
    ).ended(Status.INVALID, "storefront v1.4.0: the gate tag failed.")
    timeline = stage.run("history", "storefront", "--tag", "v1.4.0").stdout
    assert (
        "✗  stopped by the gate tag\n             tag: v1.4.0 is older than v1.5.0. Publish v1.5.1.\n"
        in timeline
    )
    assert "Nothing was changed: the same version serves traffic as before." in timeline_of(stage)
    assert "Publish v1.5.1." in timeline_of(stage)
    assert (
        "https://eu-central-1.console.aws.amazon.com/states/home?region=eu-central-1#/v2/executions/"
        in timeline_of(stage)
    )


def test_invalid_shows_how_to_retry_if_its_reason_advises_it(stage: Any) -> None:
    stage.release().waiting().ended(
        Status.INVALID, "The smoke test failed. Publish a new tag, or retry this one."
    )
    assert "To retry it: tagship retry storefront v1.4.0 --stage development --reason '…'" in timeline_of(
        stage
    )


@pytest.mark.parametrize("status", [Status.REJECTED, Status.EXPIRED, Status.SUPERSEDED, Status.ABORTED])
def test_an_ending_before_traffic_says_that_nothing_was_changed(stage: Any, status: Status) -> None:
    stage.release().waiting().ended(status, "So it was.")
    assert f"storefront v1.4.0 {status} after" in timeline_of(stage)
    assert "Why: So it was." in timeline_of(stage)
    assert "Nothing was changed: the same version serves traffic as before." in timeline_of(stage)


def test_rolled_back_names_the_current_version_and_says_no_action_is_needed(stage: Any) -> None:
    stage.release().waiting().started().shifted(1).checked(
        1, "unhealthy", why="0 of 5 passed"
    ).going_back().fact("Baseline Restored", {"what": "live sends all traffic to version 6 again."}).checked(
        1, subject="baseline"
    ).ended(Status.ROLLED_BACK, "1 of 1 check is unhealthy.")
    timeline = stage.run("history", "storefront", "--tag", "v1.4.0").stdout
    assert (
        "✗  health after step 1 of 2: unhealthy\n             http https://x: unhealthy, 0 of 5 passed\n"
        in timeline
    )
    assert "✗  rolling back: it was not healthy at 10 % of traffic\n" in timeline
    assert "·  baseline restored: live sends all traffic to version 6 again.\n" in timeline
    assert "✓  the restored baseline is healthy\n" in timeline
    assert "v1.3.0 serves all traffic again and is healthy. No action is needed now." in timeline_of(stage)


def test_an_inconclusive_check_says_what_follows(stage: Any) -> None:
    made = stage.release().waiting().started().shifted(1)
    made.checked(1, "inconclusive", why="no data", goesOn=True, until=None)
    made.checked(
        1, "inconclusive", why="no data", goesOn=True, until="2026-11-23T14:09:00.000Z", extended=True
    )
    timeline = stage.run("history", "storefront", "--tag", "v1.4.0").stdout
    assert "!  health in step 1 of 2: inconclusive; checked again\n" in timeline
    assert "!  health in step 1 of 2: inconclusive; the bake is extended\n" in timeline


def test_aborted_after_traffic_moved_says_that_the_baseline_was_restored(stage: Any) -> None:
    stage.release().waiting().started().shifted(1).ended(Status.ABORTED, "Stopped by a person.")
    assert "Traffic had moved, so v1.3.0 was restored and serves all traffic again." in timeline_of(stage)


def test_a_failed_rollback_says_who_must_do_what_and_where(stage: Any) -> None:
    stage.release().waiting().started().shifted(1).going_back().ended(
        Status.ROLLBACK_FAILED, "The alias is gone."
    )
    output = timeline_of(stage)
    assert "Why: The alias is gone." in output
    assert "A PERSON MUST ACT NOW. Users may get v1.4.0, v1.3.0, or a share of each." in output
    assert "the alias live of storefront (account 123456789012, eu-central-1)" in output
    assert "Before this release it was version 6." in output
    assert "4. Then: tagship rollback storefront --stage development --reason" in output
    assert "the lock is kept and no other release of storefront can start" in output


# ---- facts in words ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name, data, text",
    [
        ("Tag Already Used", {"refused": "abc", "known": "def"}, "a tag can be used only once"),
        ("Approvers Reminded", {"approvers": ["a@x", "b@x"]}, "reminded a@x and b@x"),
        (
            "Approval Error",
            {"channel": "mail", "failed": {"a@x": "MessageRejected"}},
            "could not notify a@x by mail",
        ),
        (
            "Approvers Reminded",
            {"approvers": ["a@x"], "escalatedTo": ["b@x"]},
            "reminded a@x, and notified b@x",
        ),
        ("Approval Expired", {"why": "w"}, "the approval request expired"),
        ("Approval Superseded", {"why": "w"}, "a newer release arrived"),
        (
            "Link Refused",
            {"reason": "expired"},
            "an approval link was refused (expired) from somebody",
        ),
        ("Approver Signed In", {"identity": "https://id.example.com 1"}, "somebody signed in to view it"),
        ("Rollback Triggered", {"trigger": "alarm", "why": "w"}, "rolling back: an alarm fired"),
        ("Rollback Triggered", {"trigger": "moonlight", "why": "w"}, "rolling back: moonlight"),
        ("Something New", {"why": "it was time"}, "Something New: it was time"),
        ("Something New", {}, "Something New"),
        ("Traffic Shifted", {"in another": "form"}, "Traffic Shifted"),
        ("Gates Failed", {"results": [None]}, "Gates Failed"),
    ],
)
def test_every_fact_has_a_description_even_an_unknown_one(name: str, data: dict[str, Any], text: str) -> None:
    fact = {"name": name, "data": data, "who": "somebody", "tag": "v1.4.0", "at": "2026-11-23T14:05:00.000Z"}
    assert text in story.describe(fact).text


def test_an_unknown_status_is_shown_unchanged() -> None:
    assert story.mood_of("PAUSED") is story.Mood.PLAIN
    assert story.ending({"status": "PAUSED"}) == []


@pytest.mark.parametrize(
    "identity, says",
    [
        ("arn:aws:sts::000000000000:assumed-role/ops/ana", "on the command line, as arn:"),
        ("https://id.example.com 1", "signed in as https://id.example.com 1"),
        ("slack T0123 U0123", "by a button in Slack, as T0123 U0123"),
    ],
)
def test_a_decision_says_how_the_person_was_identified(identity: str, says: str) -> None:
    data = {"decision": "approve", "status": "OPEN", "reason": "", "identity": identity}
    fact = {
        "name": "Approval Given",
        "data": data,
        "who": "ana",
        "tag": "v1",
        "at": "2026-11-23T14:05:00.000Z",
    }
    assert story.describe(fact).more[0].startswith(says)
