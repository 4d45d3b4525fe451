"""Every way a release can end, by the real definitions and the real handlers."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from tests.flow.harness import (
    BUCKET,
    Ended,
    World,
    code_of,
    error_named,
    manifest_of,
    once_it_serves,
    wait_for,
)

FREE = "the lock is free"


def sick_from(version: int) -> Any:
    """Versions from this one on say that they are ill, once they have traffic."""

    def answer(asked: str, event: dict[str, Any]) -> Any:
        healthy = int(asked) < version
        return {"healthy": healthy, "reasons": [] if healthy else ["the basket is empty"]}

    return once_it_serves(answer)


def assert_ended(world: World, ended: Ended, tag: str, status: str, error: str = "") -> None:
    """The execution, the ledger and the lock agree; the release has exactly one ending."""
    assert (ended.status, ended.error) == ("FAILED" if error else "SUCCEEDED", error), ended
    record = world.record(tag)
    assert record["status"] == status, record["why"]
    assert ("tag" in world.holder()) == (status == "ROLLBACK_FAILED"), FREE
    endings = [name for name in world.facts(tag) if name.startswith("Release ") or name == "Rollback Failed"]
    assert len(endings) == 2, endings  # "Release Read", and the one ending


def assert_nothing_changed(world: World, version: str = "1") -> None:
    """The target is as before."""
    assert world.alias() == (version, {})


# ---- SUCCEEDED -----------------------------------------------------------------------------------------------------------


def test_a_good_release_gets_all_traffic_and_becomes_current(world: World) -> None:
    ended = world.release("v1.0.0")
    assert_ended(world, ended, "v1.0.0", "SUCCEEDED")
    assert world.alias() == ("2", {})
    current = world.ledger.get("APPLICATION#storefront", "CURRENT")
    assert current is not None and (current["tag"], current["revision"]["id"]) == ("v1.0.0", "2")
    assert world.facts("v1.0.0") == [
        "Release Read",
        "Lock Acquired",
        "Gates Passed",
        "Deployment Planned",
        "Approval Requested",
        "Approval Granted",
        "Lock Acquired",
        "Deployment Started",
        "Candidate Proven",
        "Traffic Shifted",
        "Health Checked",
        "Traffic Shifted",
        "Health Checked",
        "Release Succeeded",
    ]


@pytest.mark.parametrize(
    "strategy, shares",
    [
        ({"type": "all-at-once"}, [100]),
        ({"type": "canary", "percent": 5, "bake": 0}, [5, 100]),
        ({"type": "linear", "percent": 30, "bake": 0}, [30, 60, 90, 100]),
        ({"type": "steps", "steps": [{"percent": 1}, {"percent": 50}, {"percent": 100}]}, [1, 50, 100]),
    ],
)
def test_every_strategy_moves_its_shares_in_order(
    world: World, strategy: dict[str, Any], shares: list[int]
) -> None:
    world.configure(strategy=strategy)
    assert_ended(world, world.release("v1.0.0"), "v1.0.0", "SUCCEEDED")
    moved = [
        fact["data"]["percent"]
        for fact in world.ledger.facts_of("storefront", "v1.0.0")
        if fact["name"] == "Traffic Shifted"
    ]
    assert moved == shares


def test_identical_code_succeeds_without_an_approval(world: World) -> None:
    """Fault 31."""
    world.release("v1.0.0")
    ended = world.release("v1.0.1", code=code_of("v1.0.0"), decide="")
    assert_ended(world, ended, "v1.0.1", "SUCCEEDED")
    assert "RequestApproval" not in ended.entered
    assert world.alias() == ("2", {})
    assert "nothing had to change" in world.record("v1.0.1")["why"]


def test_two_approvals_are_needed_where_two_are_required(world: World) -> None:
    world.configure(approval={"approvers": ["ana@example.com", "bo@example.com"], "required": 2})
    arn = world.start(world.upload("v1.0.0"))
    world.decide(arn)
    assert world.describe(arn)["status"] == "RUNNING"
    world.decide(arn, who="bo@example.com")
    assert_ended(world, world.ended(arn), "v1.0.0", "SUCCEEDED")


# ---- DUPLICATE, TagAlreadyUsed -------------------------------------------------------------------------------------------


def test_ten_events_at_once_are_one_release_and_nine_duplicates(world: World) -> None:
    """Fault 1."""
    order = world.upload("v1.0.0")
    with ThreadPoolExecutor(10) as pool:
        arns = list(pool.map(lambda _: world.start(order), range(10)))
    owner = wait_for(lambda: world.record("v1.0.0")["execution"] if world.mails() else None, "the first link")
    world.decide(owner)
    endings = {arn: world.ended(arn) for arn in arns}
    assert [ended.status for ended in endings.values()] == ["SUCCEEDED"] * 10
    assert sorted(ended.entered[-1] for ended in endings.values()) == ["Duplicate"] * 9 + ["Succeeded"]
    assert len(world.mails()) == 1


def test_a_used_tag_with_other_bytes_is_refused_and_the_first_release_is_unaffected(world: World) -> None:
    """Fault 5."""
    world.release("v1.0.0")
    ended = world.ended(world.start(world.upload("v1.0.0", code=b"other")))
    assert (ended.status, ended.error) == ("FAILED", "TagAlreadyUsed")
    assert "Nothing was changed" in ended.cause
    assert world.record("v1.0.0")["status"] == "SUCCEEDED"
    assert world.facts("v1.0.0")[-1] == "Tag Already Used"
    assert world.alias() == ("2", {})


# ---- INVALID -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "fields, why",
    [
        ({"manifest": b"{"}, "not JSON"),
        ({"manifest": b"\xff\xfe"}, "not UTF-8"),
        ({"manifest": b"[" * 5000}, "release.json"),
        ({"manifest": b"x" * 270_000}, "larger than 256 KiB"),
        ({"manifest": {"schemaVersion": 1}}, "artifacts: is missing"),
        ({"author": "no address"}, "author: must be a plain mail address"),
        (
            {"artifacts": [{"name": "function", "file": "gone.zip", "sha256": "0" * 64, "size": 1}]},
            "gone.zip not found",
        ),
        (
            {"artifacts": [{"name": "function", "file": "../x", "sha256": "0" * 64, "size": 1}]},
            "artifacts[0].file",
        ),
        (
            {"artifacts": [{"name": "function", "file": "storefront.zip", "sha256": "0" * 64, "size": 1}]},
            "bytes; the manifest",
        ),
        ({"tagInManifest": "v9.9.9"}, "tagInManifest: is not a field here"),
    ],
)
def test_an_invalid_manifest_ends_invalid_and_names_the_field(
    world: World, fields: dict[str, Any], why: str
) -> None:
    """Fault 7."""
    ended = world.release("v1.0.0", decide="", **fields)
    assert_ended(world, ended, "v1.0.0", "INVALID", "ReleaseInvalid")
    assert why in ended.cause and "Traceback" not in ended.cause, ended.cause
    assert_nothing_changed(world)
    assert not world.mails()


def test_wrong_bytes_of_the_right_size_end_invalid(world: World) -> None:
    """Fault 8."""
    good = manifest_of("v1.0.0", code_of("v1.0.0"))
    good["artifacts"][0]["sha256"] = "0" * 64
    ended = world.release("v1.0.0", decide="", manifest=good)
    assert_ended(world, ended, "v1.0.0", "INVALID", "ReleaseInvalid")
    assert "SHA-256" in ended.cause


def test_a_tag_older_than_the_current_one_ends_invalid(world: World) -> None:
    """Fault 6."""
    world.release("v1.1.0")
    ended = world.release("v1.0.9", decide="")
    assert_ended(world, ended, "v1.0.9", "INVALID", "ReleaseInvalid")
    assert "not newer than v1.1.0" in ended.cause
    assert_nothing_changed(world, "2")


def test_an_application_without_configuration_ends_invalid(world: World) -> None:
    ended = world.ended(world.start(world.upload("v1.0.0", application="backoffice")))
    assert (ended.status, ended.error) == ("FAILED", "ReleaseInvalid")
    assert "tagship apply" in json.dumps(
        world.ledger.get("APPLICATION#backoffice", "RELEASE#v1.0.0"), default=str
    )


@pytest.mark.parametrize(
    "key",
    ["releases/storefront/1.0/release.json", "releases/a/b/c/release.json", "releases/X/v1.0.0/release.json"],
)
def test_an_upload_without_application_and_tag_is_refused(world: World, key: str) -> None:
    ended = world.ended(world.start({"bucket": BUCKET, "key": key, "versionId": "x"}))
    assert (ended.status, ended.error, ended.entered[-1]) == ("FAILED", "ReleaseInvalid", "NotARelease")
    assert "is not " in ended.cause
    assert "errorMessage" not in ended.cause


def test_a_gate_that_raises_fails(world: World) -> None:
    world.plant("run_gate", error_named("KeyError", "the gate is broken"))
    ended = world.release("v1.0.0", decide="")
    assert_ended(world, ended, "v1.0.0", "INVALID", "ReleaseInvalid")
    assert "the gate is broken" in ended.cause


def test_a_strategy_that_exceeds_its_budget_ends_invalid(world: World) -> None:
    world.configure(strategy={"type": "linear", "percent": 10, "bake": 200})
    ended = world.release("v1.0.0", decide="")
    assert_ended(world, ended, "v1.0.0", "INVALID", "ReleaseInvalid")
    assert "Shorten the strategy's bakes" in ended.cause


# ---- REJECTED, EXPIRED, SUPERSEDED ---------------------------------------------------------------------------------------


def test_a_rejection_ends_the_release_with_its_reason(world: World) -> None:
    ended = world.release("v1.0.0", decide="reject", reason="not today")
    assert_ended(world, ended, "v1.0.0", "REJECTED", "ReleaseRejected")
    assert "ana@example.com" in ended.cause and "not today" in ended.cause
    assert_nothing_changed(world)


def test_without_a_decision_reminders_are_sent_and_the_release_expires(world: World) -> None:
    """Fault 18."""
    world.configure(approval={"approvers": ["ana@example.com"], "expires": 2, "remindEvery": 1})
    ended = world.release("v1.0.0", decide="")
    assert_ended(world, ended, "v1.0.0", "EXPIRED", "ApprovalExpired")
    assert ended.entered.count("RequestApproval") >= 2
    assert any("Reminder" in mail.subject for mail in world.mails())
    assert world.browse("GET", world.links("ana@example.com")[0])["statusCode"] == 410
    assert_nothing_changed(world)


def test_a_newer_release_supersedes_one_that_waits_for_approval(world: World) -> None:
    """Fault 24."""
    older = world.start(world.upload("v1.0.0"))
    link = world.link(older)
    newer = world.start(world.upload("v1.1.0"))
    assert_superseded = world.ended(older)
    assert (assert_superseded.status, assert_superseded.error) == ("FAILED", "ReleaseSuperseded")
    assert "v1.1.0" in assert_superseded.cause
    assert link is not None and world.press_blindly(link)["statusCode"] == 409
    world.decide(newer)
    assert_ended(world, world.ended(newer), "v1.1.0", "SUCCEEDED")
    assert world.record("v1.0.0")["status"] == "SUPERSEDED"


def test_an_older_release_ends_while_a_newer_one_is_deployed(world: World) -> None:
    ended: list[Ended] = []

    def meanwhile(event: dict[str, Any]) -> Any:
        ended.append(world.release("v1.0.0", decide=""))
        return world.handlers["shift_traffic"](event, None)

    world.plant("shift_traffic", meanwhile)
    assert_ended(world, world.release("v1.1.0"), "v1.1.0", "SUCCEEDED")
    (older,) = ended
    assert older.error == "ReleaseSuperseded" and "the newer v1.1.0 is being deployed" in older.cause
    assert world.record("v1.0.0")["status"] == "SUPERSEDED"


# ---- ROLLED_BACK, ROLLBACK_FAILED, ABORTED -------------------------------------------------------------------------------


def test_a_release_that_is_unhealthy_at_ten_percent_is_rolled_back(world: World) -> None:
    world.release("v1.0.0")
    world.health = sick_from(3)
    ended = world.release("v1.1.0")
    assert_ended(world, ended, "v1.1.0", "ROLLED_BACK", "ReleaseRolledBack")
    assert "the basket is empty" in ended.cause
    assert world.alias() == ("2", {})
    current = world.ledger.get("APPLICATION#storefront", "CURRENT")
    assert current is not None and current["tag"] == "v1.0.0"


def test_a_baseline_that_is_unhealthy_after_the_rollback_calls_a_person_and_keeps_the_lock(
    world: World,
) -> None:
    world.health = sick_from(0)
    ended = world.release("v1.0.0")
    assert_ended(world, ended, "v1.0.0", "ROLLBACK_FAILED", "RollbackFailed")
    assert world.alias() == ("1", {})
    assert world.holder()["kept"] is True
    blocked = world.release("v1.1.0", decide="")
    assert blocked.error == "ReleaseInvalid"
    assert "a person must act first" in blocked.cause


def test_the_longest_notes_are_stored_whole_and_shortened_at_a_line_break_when_sent(world: World) -> None:
    """Fault 90: 40,000 characters, of which each takes three bytes."""
    lines = "\n".join(["好" * 79] * 499) + "\n"
    notes = lines + "末" * (40_000 - len(lines))
    ended = world.release("v1.0.0", notes=notes)
    assert ended.status == "SUCCEEDED", ended
    assert world.record("v1.0.0")["manifest"]["notes"] == notes
    (mail,) = world.mails()
    assert "<bdi>" + "好" * 79 + "</bdi>" in mail.body and "末" not in mail.body
    assert "the approval page shows the full notes" in mail.body
    assert len(mail.body) < 30_000


def test_a_stop_before_traffic_moves_ends_aborted_and_changes_nothing(world: World) -> None:
    arn = world.start(world.upload("v1.0.0"))
    link = world.link(arn)
    ended = world.stop(arn)
    assert ended.status == "ABORTED"
    for _ in range(2):  # the event may come twice
        world.supervise(ended)
    assert world.record("v1.0.0")["status"] == "ABORTED"
    assert "tag" not in world.holder(), FREE
    assert world.facts("v1.0.0").count("Release Aborted") == 1
    assert link is not None and world.press_blindly(link)["statusCode"] == 409
    assert_nothing_changed(world)


def test_a_stop_event_without_input_and_cause_ends_aborted_with_traffic_restored(
    world: World,
) -> None:
    """Fault 77: EventBridge leaves a large input out of the event."""
    world.stopping("judge_health")
    arn = world.start(world.upload("v1.0.0"))
    world.decide(arn)
    assert world.ended(arn).status == "ABORTED"
    detail = {
        "executionArn": arn,
        "status": "ABORTED",
        "input": None,
        "inputDetails": {"included": False},
    }
    for _ in range(2):
        assert world.handlers["supervise"]({"detail": detail}, None)["did"] in ("rollback", "nothing")
    wait_for(lambda: True if world.record("v1.0.0")["status"] == "ABORTED" else None, "the ending")
    assert world.alias() == ("1", {})
    assert "tag" not in world.holder(), FREE


def test_a_stop_after_traffic_moved_restores_the_baseline_and_ends_aborted(world: World) -> None:
    """Fault 28."""
    world.stopping("judge_health")
    arn = world.start(world.upload("v1.0.0"))
    world.decide(arn)
    ended = world.ended(arn)
    assert ended.status == "ABORTED" and world.alias() == ("1", {"2": 0.1})
    for _ in range(2):
        world.supervise(ended)
    wait_for(lambda: True if world.record("v1.0.0")["status"] == "ABORTED" else None, "the ending")
    assert world.alias() == ("1", {})
    assert "tag" not in world.holder(), FREE
    assert world.facts("v1.0.0").count("Rollback Triggered") == 1


# ---- a rollback by hand --------------------------------------------------------------------------------------------------


def rolled_back_by_hand(world: World, tag: str) -> Ended:
    """As an operator starts it, in the console or with the command line."""
    order = {
        "application": "storefront",
        "tag": tag,
        "trigger": "operator",
        "why": "customers complain",
        "by": "kim",
    }
    return world.ended(world.start(order, "rollback"))


def test_an_operator_rolls_back_the_current_release(world: World) -> None:
    world.release("v1.0.0")
    world.release("v1.1.0")
    ended = rolled_back_by_hand(world, "v1.1.0")
    assert ended.status == "SUCCEEDED", ended
    assert world.alias() == ("2", {})
    assert world.record("v1.1.0")["status"] == "ROLLED_BACK"
    current = world.ledger.get("APPLICATION#storefront", "CURRENT")
    assert current is not None
    assert current["tag"] == "v1.0.0"
    assert "tag" not in world.holder(), FREE
    triggered = next(
        fact for fact in world.ledger.facts_of("storefront", "v1.1.0") if fact["name"] == "Rollback Triggered"
    )
    assert (triggered["who"], triggered["data"]["why"]) == ("kim", "customers complain")


def test_an_older_release_is_not_rolled_back_over_a_newer_one(world: World) -> None:
    world.release("v1.0.0")
    world.release("v1.1.0")
    ended = rolled_back_by_hand(world, "v1.0.0")
    assert (ended.status, ended.error) == ("FAILED", "RollbackRefused")
    assert "v1.1.0 is deployed now" in ended.cause
    assert world.alias() == ("3", {})
    assert world.record("v1.0.0")["status"] == "SUCCEEDED"
    assert "tag" not in world.holder(), FREE


def test_a_failed_rollback_is_repeated_once_the_target_is_fixed_and_frees_the_lock(
    world: World,
) -> None:
    world.health = sick_from(0)
    world.release("v1.0.0")
    assert world.holder()["kept"] is True
    world.health = sick_from(2)
    ended = rolled_back_by_hand(world, "v1.0.0")
    assert ended.status == "SUCCEEDED", ended
    assert world.record("v1.0.0")["status"] == "ROLLED_BACK"
    assert "tag" not in world.holder(), FREE


@pytest.mark.parametrize(
    "order",
    [
        {},
        {"application": "storefront"},
        {"application": "storefront", "tag": "v7.0.0", "trigger": "operator", "why": "x"},
    ],
)
def test_an_invalid_rollback_request_is_refused_and_leaves_no_trace(
    world: World, order: dict[str, str]
) -> None:
    ended = world.ended(world.start(order, "rollback"))
    assert ended.status == "FAILED"
    assert ended.error in ("RollbackRefused", "ApplicationUnknown")
    assert world.alias() == ("1", {})
    assert "tag" not in world.holder(), FREE
