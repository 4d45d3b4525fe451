"""watch: follows a release until it ends, the timeout is reached, or the person stops it; it changes nothing."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tagship.ledger import releases
from tagship.model.errors import AwsUnavailable
from tagship.model.release import Status
from tagship_cli.commands.watch import progress
from tagship_cli.place import World


def test_it_follows_a_release_to_success_and_exits_with_0(stage: Any) -> None:
    made = stage.release().waiting()
    stage.clock.during = [
        lambda: None,
        lambda: made.decided("ana@example.com"),
        lambda: made.decided("bo@example.com").started(),
        lambda: made.shifted(1),
        lambda: made.checked(1).shifted(2),
        lambda: made.checked(2).ended(Status.SUCCEEDED, "It serves all traffic."),
    ]
    result = stage.run("watch", "storefront", "v1.4.0")
    assert result.exit_code == 0
    output = result.stdout
    assert output.count("waits for approval by") == 1
    assert (
        output.index("ana@example.com approved it")
        < output.index("10 % of traffic")
        < output.index("SUCCEEDED\n")
    )
    assert output.endswith("storefront v1.4.0 SUCCEEDED after 21 s\n  It serves all traffic.\n")


@pytest.mark.parametrize(
    "status",
    [
        Status.INVALID,
        Status.REJECTED,
        Status.EXPIRED,
        Status.ROLLED_BACK,
        Status.ROLLBACK_FAILED,
        Status.ABORTED,
    ],
)
def test_any_other_ending_is_a_failure(stage: Any, status: Status) -> None:
    stage.release().waiting().ended(status, "So it was.")
    result = stage.run("watch", "storefront", "v1.4.0")
    assert result.exit_code == 1
    assert f"storefront v1.4.0 {status} after" in result.stdout


def test_without_a_tag_it_watches_the_lock_holder(stage: Any) -> None:
    first = stage.release("v1.4.0").locked()
    stage.clock.pause(10)
    stage.release("v1.5.0")
    stage.clock.during = [lambda: first.ended(Status.SUCCEEDED)]
    result = stage.run("watch", "storefront")
    assert result.exit_code == 0
    assert result.stdout.startswith("storefront v1.4.0 in development")


def test_without_a_tag_and_without_a_release_it_says_so(stage: Any) -> None:
    stage.release().succeeded()
    result = stage.run("watch", "storefront")
    assert result.exit_code == 1
    assert "No release of 'storefront' is in progress in development." in result.stderr


def test_a_just_published_release_is_waited_for(stage: Any) -> None:
    stage.clock.during = [
        lambda: None,
        lambda: stage.release().locked(),
        lambda: stage.release().ended(Status.SUCCEEDED),
    ]
    result = stage.run("watch", "storefront", "v1.4.0")
    assert result.exit_code == 0
    assert result.stdout.count("is not in the ledger of development yet; waiting for it to start.") == 1


def test_an_upload_that_is_never_read_is_abandoned_with_a_hint(stage: Any) -> None:
    result = stage.run("watch", "storefront", "v1.4.0")
    assert result.exit_code == 1
    assert "storefront v1.4.0 has not started after 3 min" in result.stderr
    assert "Check that it was published to this stage" in result.stderr


@pytest.mark.parametrize("timeout, seconds", [("30", 30), ("PT1M", 60)])
def test_at_its_timeout_the_release_continues(stage: Any, timeout: str, seconds: int) -> None:
    made, began = stage.release().waiting(), stage.clock.now()
    result = stage.run("watch", "storefront", "v1.4.0", "--timeout", timeout)
    assert result.exit_code == 1
    assert f"Stopped watching after {seconds} s. The release continues." in result.stderr
    assert (stage.clock.now() - began).total_seconds() == seconds
    assert made.record["status"] == "RUNNING"


def test_an_invalid_timeout_is_a_usage_error(stage: Any) -> None:
    result = stage.run("watch", "storefront", "--timeout", "soon")
    assert result.exit_code == 2
    assert "'soon' is neither whole seconds nor a duration like PT30M" in result.stderr


def test_ctrl_c_does_not_affect_the_release_and_says_so(stage: Any) -> None:
    made = stage.release().waiting()

    def interrupt() -> None:
        raise KeyboardInterrupt

    stage.clock.during = [interrupt]
    before = made.stage.ledger.facts_of("storefront", "v1.4.0")
    result = stage.run("watch", "storefront")
    assert result.exit_code == 1
    assert "Stopped watching. The release continues." in result.stderr
    assert "Watch it again: tagship watch storefront v1.4.0 --stage development" in result.stderr
    assert made.stage.ledger.facts_of("storefront", "v1.4.0") == before


def test_a_short_aws_outage_is_waited_out(stage: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    made, get, calls = stage.release().waiting(), releases.get, iter(range(100))

    def sometimes(*arguments: Any) -> Any:
        if next(calls) in (1, 2):
            raise AwsUnavailable("Reading the ledger: AWS can't be reached.")
        return get(*arguments)

    monkeypatch.setattr(releases, "get", sometimes)
    stage.clock.during = [lambda: None, lambda: None, lambda: None, lambda: made.ended(Status.SUCCEEDED)]
    result = stage.run("watch", "storefront", "v1.4.0")
    assert result.exit_code == 0
    assert result.stdout.count("AWS can't be reached. The release continues; trying again.") == 1


def test_an_aws_refusal_exits_with_3_and_says_that_the_release_continues(stage: Any) -> None:
    stage.release()
    result = stage.run("watch", "storefront", "v1.4.0", "--stack", "another")
    assert result.exit_code == 3
    assert "There is no stack another in eu-central-1" in result.stderr


def test_a_rollback_after_success_is_followed_to_its_end(stage: Any) -> None:
    from tagship.ledger.table import Fact

    made = stage.release().succeeded()
    fact = {"application": "storefront", "tag": "v1.4.0", "attempt": 1, "execution": made.execution}
    stage.ledger.record(Fact(**fact, name="Rollback Triggered", data={"trigger": "alarm", "why": "5xx"}))
    stage.clock.during = [lambda: None, lambda: made.ended(Status.ROLLED_BACK, "5xx")]
    result = stage.run("watch", "storefront", "v1.4.0")
    assert result.exit_code == 1
    assert "storefront v1.4.0 ROLLED_BACK after" in result.stdout


def test_json_is_one_document_per_line(stage: Any) -> None:
    made = stage.release().waiting()
    stage.clock.during = [lambda: made.ended(Status.ABORTED, "Stopped.")]
    lines = [json.loads(line) for line in stage.run("watch", "storefront", "--json").stdout.splitlines()]
    assert [line["fact"]["name"] for line in lines[:-1]][-1] == "Release Aborted"
    assert lines[-1]["ended"]["status"] == "ABORTED"
    assert len({line["fact"]["seq"] for line in lines[:-1]}) == len(lines) - 1


def test_facts_of_other_releases_are_not_shown(stage: Any) -> None:
    made = stage.release().waiting()
    stage.clock.during = [
        lambda: stage.release("v1.5.0"),
        lambda: made.ended(Status.SUPERSEDED, "Superseded by v1.5.0."),
    ]
    output = stage.run("watch", "storefront", "v1.4.0").stdout
    assert output.count("was read") == 1


def test_on_a_terminal_the_last_line_shows_the_current_phase(
    stage: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tagship_cli.views.screen.on_terminal", lambda: True)
    monkeypatch.setenv("COLUMNS", "120")
    made = stage.release().waiting().decided("ana@example.com").decided("bo@example.com").started().shifted(1)
    stage.clock.during = [lambda: made.checked(1).shifted(2).checked(2).ended(Status.SUCCEEDED)]
    output = stage.run("watch", "storefront", color=True).stdout
    where = "v1.4.0 serves 10 % of traffic (step 1 of 2) and is baking, 1 min left"
    assert f"{where} ░░░░░░░░░░ 0 s of 20 min" in output
    assert "\r\x1b[2K" in output


def test_without_a_terminal_no_line_is_overwritten(stage: Any) -> None:
    stage.release().succeeded()
    output = stage.run("watch", "storefront", "v1.4.0").stdout
    assert "\r" not in output
    assert "\x1b" not in output


@pytest.mark.parametrize(
    "seconds, expected",
    [
        (-5, "░░░░░░░░░░ 0 s of 20 min"),
        (0, "░░░░░░░░░░ 0 s of 20 min"),
        (360, "▓▓▓░░░░░░░ 6 min of 20 min"),
        (1200, "▓▓▓▓▓▓▓▓▓▓ 20 min of 20 min"),
        (9000, "▓▓▓▓▓▓▓▓▓▓ 20 min of 20 min"),
    ],
)
def test_the_used_share_of_a_budget_is_shown(seconds: int, expected: str) -> None:
    began = datetime(2026, 11, 23, 14, 5, tzinfo=UTC)
    ends = began + timedelta(seconds=1200)
    assert progress(began, ends, began + timedelta(seconds=seconds)) == expected


@pytest.mark.parametrize(
    "brought, phase, seconds",
    [
        (lambda made: made.locked(), "gates", 300),
        (lambda made: made.waiting(), "approval", 14_400),
        (lambda made: made.waiting().started().shifted(1), "baking", 1200),
        (lambda made: made.waiting().started().shifted(1).going_back(), "rollback", 600),
    ],
)
def test_the_current_phase_shows_the_time_limit(stage: Any, brought: Any, phase: str, seconds: int) -> None:
    from tagship_cli.place import Place
    from tagship_cli.views import overview

    stage.configure()
    brought(stage.release())
    place = Place(named_stage="development", world=World(now=stage.clock.now))
    (underway,) = overview.of(place, "storefront").underway
    assert underway.now.phase == phase
    assert underway.now.budget is not None
    assert (underway.now.budget[1] - underway.now.budget[0]).total_seconds() == seconds
