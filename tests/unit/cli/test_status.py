"""status: the current release, releases in progress with their phase, the awaited people, and a kept lock."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest

from tagship.ledger import lock, promotions, releases
from tagship.model.release import Status


def test_without_applications_it_says_how_to_begin(stage: Any) -> None:
    result = stage.run("status")
    assert result.exit_code == 0
    assert "No application is configured in development." in result.stdout
    assert "tagship apply application.yaml --stage development" in result.stdout


def test_every_configured_application_is_shown(stage: Any) -> None:
    stage.configure()
    stage.configure(application="warehouse")
    output = stage.run("status").stdout
    assert output.index("storefront in development") < output.index("warehouse in development")
    assert output.count("nothing by Tagship yet") == 2


def test_an_unknown_application_is_reported_with_the_known_ones(stage: Any) -> None:
    stage.configure()
    result = stage.run("status", "shop")
    assert result.exit_code == 1
    assert "The stage development has no application 'shop'" in result.stderr
    assert "Its applications: storefront." in result.stderr


def test_the_current_release_is_shown_with_its_start_time(stage: Any) -> None:
    stage.configure()
    stage.release("v1.3.0").succeeded()
    stage.clock.pause(3 * 3600)
    output = stage.run("status", "storefront").stdout
    assert "deployed    v1.3.0 since Mon 23 Nov 2026, 14:05 UTC, 3 h ago" in output
    assert "in progress nothing" in output
    assert "last ended  v1.3.0 SUCCEEDED" in output


def test_after_a_manual_rollback_the_start_time_is_that_of_the_rollback(stage: Any) -> None:
    stage.release("v1.3.0").succeeded()
    stage.clock.pause(3 * 3600)
    later = stage.release("v1.4.0").succeeded()
    before = releases.current(stage.ledger, "storefront")
    assert before is not None and before["tag"] == "v1.4.0"
    stage.ledger.write(
        stage.ledger.update(
            "APPLICATION#storefront",
            "RELEASE#v1.4.0",
            only_if="attribute_exists(pk)",
            replaces={**before, "tag": "v1.3.0", "since": "2026-11-23T14:05:00.000Z"},
        )
    )
    stage.clock.pause(3600)
    later.ended(Status.ROLLED_BACK)
    output = stage.run("status", "storefront").stdout
    assert "deployed    v1.3.0 since Mon 23 Nov 2026, 18:05 UTC, just now" in output


def promoted(stage: Any, *, due: str = "2026-11-24T14:05:00.000Z") -> Any:
    """v1.3.0 runs, and its promotion to staging is due a day later."""
    made = stage.release("v1.3.0").succeeded()
    key = {"application": "storefront", "tag": "v1.3.0", "attempt": 1}
    change = promotions.opened(stage.ledger, key, to="staging", since="2026-11-23T14:05:00.000Z", due=due)
    fact = _fact_of(made, "Watch Ended", {})
    assert stage.ledger.record(fact, change)
    return made


def test_a_promotion_shows_its_due_time(stage: Any) -> None:
    promoted(stage)
    output = stage.run("status", "storefront").stdout
    assert "promotion   to staging Tue 24 Nov 2026, 14:05 UTC, in 24 h" in output
    found = json.loads(stage.run("status", "storefront", "--json").stdout)["applications"][0]["promotion"]
    assert found == {
        "to": "staging",
        "due": "2026-11-24T14:05:00.000Z",
        "state": "waiting",
        "why": "",
    }


def test_an_overdue_promotion_says_what_blocks_it_or_that_the_next_sweep_starts_it(stage: Any) -> None:
    promoted(stage)
    stage.clock.pause(25 * 3600)
    assert (
        "promotion   to staging: due, and starts within 15 minutes"
        in stage.run("status", "storefront").stdout
    )
    stage.release("v1.4.0").locked()
    output = stage.run("status", "storefront").stdout
    assert "promotion   to staging: held, because v1.4.0 is in progress" in output


def test_a_refused_promotion_says_why(stage: Any) -> None:
    promoted(stage)
    (promotion,) = promotions.open_ones(stage.ledger)
    fact = promotions.fact_of(promotion, "Promotion Refused", data={"why": "v1.3.0 was barred."})
    assert promotions.end(stage.ledger, promotion, fact)
    output = stage.run("status", "storefront").stdout
    assert "promotion   refused, to staging: v1.3.0 was barred." in output


def test_times_are_local_with_utc_added(stage: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    stage.release("v1.3.0").succeeded()
    monkeypatch.setenv("TZ", "Europe/Berlin")
    time.tzset()
    assert "since Mon 23 Nov 2026, 15:05 CET (14:05 UTC)" in stage.run("status", "storefront").stdout
    monkeypatch.setenv("TZ", "Pacific/Auckland")
    time.tzset()
    assert (
        "since Tue 24 Nov 2026, 03:05 NZDT (Mon 23 Nov, 14:05 UTC)"
        in stage.run("status", "storefront").stdout
    )


LATER = "2026-11-23T15:00:00.000Z"


@pytest.mark.parametrize(
    "prepare, phase, text",
    [
        (lambda made: made, "waiting", "is waiting for the lock"),
        (lambda made: made.locked(), "gates", "is running its gates"),
        (lambda made: made.locked().gated(), "planning", "passed its gates and is being planned"),
        (lambda made: made.waiting(), "approval", "is waiting for approval (0 of 2 approvals)"),
        (lambda made: made.waiting().decided("ana@example.com"), "approval", "is waiting for approval (1 of 2 approvals)"),
        (
            lambda made: made.waiting().decided("ana@example.com").decided("bo@example.com"),
            "approval",
            "is approved; the next step is starting",
        ),
        (lambda made: made.waiting().started(), "deployment", "is approved; the first traffic moves now"),
        (
            lambda made: made.waiting().started().shifted(1),
            "baking",
            "serves 10 % of traffic (step 1 of 2) and is baking",
        ),
        (
            lambda made: made.waiting().started().shifted(1).checked(1),
            "deployment",
            "is healthy so far; deciding the next step",
        ),
        (
            lambda made: made.waiting().started().shifted(1).checked(1, "inconclusive", goesOn=True, until=None),
            "baking",
            "serves 10 % of traffic (step 1 of 2) and is baking",
        ),
        (
            lambda made: made.waiting().started().shifted(1).checked(1, "inconclusive", goesOn=True, until=LATER),
            "baking",
            "serves 10 % of traffic (step 1 of 2) and is baking",
        ),
        (
            lambda made: made.waiting().started().shifted(1).checked(1).shifted(2),
            "health",
            "serves 100 % of traffic (step 2 of 2); checking its health",
        ),
        (
            lambda made: made.waiting().started().shifted(1).going_back(),
            "rollback",
            "is being rolled back: restoring the baseline; until then it serves 10 % of traffic",
        ),
        (
            lambda made: made.waiting().started().shifted(1).going_back().fact("Baseline Restored", {"what": "x"}),
            "rollback",
            "is being rolled back: the baseline serves all traffic and is being checked",
        ),
    ],
)  # fmt: skip
def test_a_release_in_progress_is_shown_with_its_phase(
    stage: Any, prepare: Any, phase: str, text: str
) -> None:
    prepare(stage.release())
    assert f"v1.4.0 {text}" in stage.run("status", "storefront").stdout
    underway = json.loads(stage.run("status", "storefront", "--json").stdout)["applications"][0]["underway"]
    assert [(each["tag"], each["phase"], each["text"]) for each in underway] == [("v1.4.0", phase, text)]


def test_the_traffic_share_is_the_current_one(stage: Any) -> None:
    made = stage.release().waiting().started().shifted(1)
    for then, percent in (
        (lambda: made, 10),
        (made.going_back, 10),
        (lambda: made.fact("Baseline Restored", {"what": "x"}), 0),
    ):
        then()
        document = json.loads(stage.run("status", "storefront", "--json").stdout)["applications"][0]
        assert [each["percent"] for each in document["underway"]] == [percent]


def test_an_extended_bake_shows_its_new_end(stage: Any) -> None:
    stage.release().waiting().started().shifted(1).checked(1, "inconclusive", goesOn=True, until=LATER)
    (underway,) = json.loads(stage.run("status", "storefront", "--json").stdout)["applications"][0][
        "underway"
    ]
    assert underway["until"] == "2026-11-23T15:00:00+00:00"


def test_a_waiting_release_shows_the_approvers_and_how_to_decide(stage: Any) -> None:
    stage.release().waiting().decided("bo@example.com")
    output = stage.run("status", "storefront", "--region", "eu-central-1").stdout
    assert "waiting for ana@example.com and chi@example.com" in output
    assert "expires Mon 23 Nov 2026, 18:05 UTC, in 4 h" in output
    assert "decide: tagship approve storefront v1.4.0 --stage development --region eu-central-1" in output


def test_a_release_waiting_for_the_lock_names_its_holder(stage: Any) -> None:
    stage.release("v1.4.0").waiting().started()
    stage.clock.pause(5)
    stage.release("v1.5.0")
    output = stage.run("status", "storefront").stdout
    assert "v1.5.0 is waiting for the lock (held by v1.4.0)" in output
    assert "lock        held by v1.4.0, lease ends in" in output


def test_a_release_waiting_for_retention_says_who_runs_it_and_until_when(
    stage: Any,
) -> None:
    stage.release("v1.3.0").succeeded()
    kim = "arn:aws:iam::123456789012:user/kim"
    lock.borrow(stage.ledger, application="storefront", tag="v1.3.0", attempt=1, execution=kim, seconds=300)
    stage.clock.pause(60)
    stage.release("v1.4.0")
    output = " ".join(stage.run("status", "storefront").stdout.split())
    assert f"v1.4.0 is waiting for the lock (held by {kim}, who is deleting old revisions)" in output
    assert f"lock held by {kim}, who is deleting old revisions, since Mon 23 Nov 2026, 14:05 UTC" in output
    assert "Its lease ends in 4 min. A rollback does not wait for it." in output
    found = json.loads(stage.run("status", "storefront", "--json").stdout)["applications"][0]["lock"]
    assert (found["retention"], found["holder"], found["since"][:16]) == (True, kim, "2026-11-23T14:05")


def test_an_expired_lease_is_reported(stage: Any) -> None:
    stage.release().locked(seconds=60)
    stage.clock.pause(600)
    output = stage.run("status", "storefront").stdout
    assert "its lease has expired, so its execution may have died; the next release takes the lock" in output


def test_the_lease_of_a_rollback_that_has_ended_is_no_other_release_s(stage: Any) -> None:
    stage.release().waiting().started().shifted(1).going_back()
    held = {"application": "storefront", "tag": "v1.4.0", "attempt": 1, "execution": "arn:rollback"}
    lock.acquire(stage.ledger, **held, seconds=60, taking_over=True)
    stage.clock.pause(600)
    output = stage.run("status", "storefront").stdout
    assert "its execution may have died; the sweep takes over within 15 minutes" in output


def test_a_kept_lock_is_the_most_prominent_line(stage: Any) -> None:
    stage.release().waiting().started().shifted(1).going_back().ended(
        Status.ROLLBACK_FAILED, "The alias is gone."
    )
    output = stage.run("status", "storefront").stdout
    assert "BLOCKED: v1.4.0 ended ROLLBACK_FAILED. No release can start until a person acts." in output
    assert "what to do: tagship history storefront --tag v1.4.0" in output
    assert (
        json.loads(stage.run("status", "--json", "storefront").stdout)["applications"][0]["lock"]["kept"]
        is True
    )


def test_the_last_failure_is_shown_with_its_reason(stage: Any) -> None:
    stage.configure()
    stage.release().locked().gated(failing="tag").ended(
        Status.INVALID, "storefront v1.4.0: the gate tag failed."
    )
    output = stage.run("status", "storefront").stdout
    assert "last ended  v1.4.0 INVALID Mon 23 Nov 2026, 14:05 UTC, just now" in output
    assert "storefront v1.4.0: the gate tag failed." in output


def test_a_release_rolled_back_after_success_is_in_progress_again(stage: Any) -> None:
    made = stage.release().succeeded()
    made.locked()
    stage.ledger.record(_fact_of(made, "Rollback Triggered", {"trigger": "alarm", "why": "5xx"}))
    document = json.loads(stage.run("status", "storefront", "--json").stdout)["applications"][0]
    assert document["runs"]["tag"] == "v1.4.0"
    assert [each["phase"] for each in document["underway"]] == ["rollback"]


def test_a_release_with_watched_alarms_says_until_when(stage: Any) -> None:
    stage.release().succeeded()
    key = {"pk": {"S": "APPLICATION#storefront"}, "sk": {"S": "CURRENT"}}
    for ends, shown in (("2026-11-23T14:35:00.000Z", True), ("2026-11-23T14:04:00.000Z", False)):
        stage.client("dynamodb").update_item(
            TableName="ledger",
            Key=key,
            UpdateExpression="SET watchEnds = :ends",
            ExpressionAttributeValues={":ends": {"S": ends}},
        )
        assert (
            "an alarm rolls it back automatically until 14:35" in stage.run("status", "storefront").stdout
        ) == shown


def _fact_of(made: Any, name: str, data: dict[str, Any]) -> Any:
    from tagship.ledger.table import Fact

    return Fact(
        application=made.application, tag=made.tag, attempt=1, name=name, execution=made.execution, data=data
    )


def test_a_missing_configuration_is_reported_before_it_stops_the_next_release(stage: Any) -> None:
    stage.release().succeeded()
    assert "no: there is no configuration in development" in stage.run("status", "storefront").stdout


def test_the_stage_can_come_before_the_command_or_from_the_environment(stage: Any) -> None:
    assert "in staging" in stage.run("--stage", "staging", "status").stdout
    assert "in staging" in stage.run("status", env={"TAGSHIP_STAGE": "staging"}).stdout
    assert (
        "in production"
        in stage.run("status", "--stage", "production", env={"TAGSHIP_STAGE": "staging"}).stdout
    )
    assert "in production" in stage.run("--stage", "staging", "status", "--stage", "production").stdout
    assert (
        "in production"
        in stage.run("--stage", "production", "status", env={"TAGSHIP_STAGE": "staging"}).stdout
    )


def test_an_unknown_stage_is_a_usage_error_everywhere(stage: Any) -> None:
    result = stage.run("status", env={"TAGSHIP_STAGE": "moon"})
    assert result.exit_code == 2
    assert "TAGSHIP_STAGE is 'moon'" in result.stderr


def test_during_a_retry_the_last_ending_is_still_shown(stage: Any) -> None:
    """The release is RUNNING then, and has no ending."""
    stage.release().locked().ended(Status.EXPIRED, "Nobody decided.").retried()
    output = stage.run("status", "storefront").stdout
    assert "last ended  v1.4.0 EXPIRED" in output
    assert "Nobody decided." in output
    last = json.loads(stage.run("status", "--json", "storefront").stdout)["applications"][0]["lastEnded"]
    assert (last["tag"], last["status"], last["why"]) == ("v1.4.0", "EXPIRED", "Nobody decided.")
    assert last["endedAt"].startswith("2026-11-23T")
