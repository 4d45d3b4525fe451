"""Faults that are more than a state that fails (test_matrix.py has those): targets moved by hand, locks that change
hands, two releases at once, channels that are down, rollbacks that are cut off.

Whatever happens, in the end one of baseline and candidate serves all traffic, the lock is free (or kept, for
ROLLBACK_FAILED), and the release has one ending.
"""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from botocore.client import BaseClient

from tagship.deployment import restoring
from tagship.ledger import releases
from tagship.ledger.table import Fact, Ledger
from tests.flow.harness import STAGE, Ended, World, aws_error, client_of, error_named, wait_for, well_only
from tests.slack_server import slack

ONLY_BACK_ONCE = {"check_health": 1, "judge_health": 1}
"""How often the forward way calls a function before the rollback does, in a release that fails its first health check."""


def assert_at_rest(world: World, tag: str) -> str:
    """The invariant; answers with the ending."""
    record = world.record(tag)
    version, weights = world.alias()
    assert weights == {}, "traffic is split"
    assert version == ("2" if record["status"] == "SUCCEEDED" else "1"), record
    assert ("tag" in world.holder()) == (record["status"] == "ROLLBACK_FAILED"), "the lock"
    endings = [name for name in world.facts(tag) if re.fullmatch(r"Release (?!Read).*|Rollback Failed", name)]
    assert len(endings) == 1, endings
    return str(record["status"])


def begun(world: World) -> str:
    """A release on its way, approved if it gets so far."""
    arn = world.start(world.upload("v1.0.0"))
    world.decide(arn)
    return arn


def supervised(world: World, arn: str) -> Ended:
    """The end of an execution, and what the supervisor makes of it."""
    ended = world.ended(arn)
    if ended.status != "SUCCEEDED" and "read_release" in {name for name, _ in world.calls}:
        world.supervise(ended)
        wait_for(lambda: True if "RUNNING" not in world.statuses("rollback") else None, "the rollbacks' end")
    return ended


@pytest.mark.parametrize("folder", ["restore_baseline", "end_release"])
def test_a_rollback_that_fails_for_good_calls_a_person_and_never_counts_as_success(
    world: World, folder: str
) -> None:
    """Fault 45."""
    world.health = well_only("1")
    _plant_in_the_rollback(world, folder, [error_named("Unforeseen")] * 20)
    arn = begun(world)
    ended = world.ended(arn)
    assert ended.status == "FAILED" and ended.error in ("RollbackFailed", "EndingNotRecorded")
    if folder == "restore_baseline":
        assert world.record("v1.0.0")["status"] == "ROLLBACK_FAILED"
        assert world.holder()["kept"] is True
        assert world.alias() == ("1", {"2": 0.1})
        return
    if (
        folder == "end_release"
    ):  # the ledger could not be written at all; when it can again, the supervisor does
        world.plants.clear()
        sfn = client_of("stepfunctions")
        (dead,) = sfn.list_executions(stateMachineArn=world.machines["rollback"])["executions"]
        world.supervise(world.ended(dead["executionArn"]))
        world.supervise(ended)
        assert world.record("v1.0.0")["status"] == "ROLLBACK_FAILED"
        assert world.holder()["kept"] is True


def test_a_restore_is_retried_four_times_before_a_person_is_called(world: World) -> None:
    world.health = well_only("1")
    world.plant("restore_baseline", error_named("Unforeseen"), times=4)
    assert supervised(world, begun(world)).error == "ReleaseRolledBack"
    assert assert_at_rest(world, "v1.0.0") == "ROLLED_BACK"


@pytest.mark.parametrize("step", [1, 2])
def test_a_manual_alias_change_is_detected_and_not_overwritten(world: World, step: int) -> None:
    """Fault 30."""
    third = world.publish_by_hand()

    def by_hand(event: dict[str, Any]) -> Any:
        world.move_by_hand(third)
        return world.handlers["shift_traffic"](event, None)

    world.plants["shift_traffic"] = [
        *([lambda event: world.handlers["shift_traffic"](event, None)] * (step - 1)),
        by_hand,
    ]
    ended = supervised(world, begun(world))
    assert world.alias() == (third, {}), "overwritten"
    status = world.record("v1.0.0")["status"]
    assert (status, ended.error) == (
        ("INVALID", "ReleaseInvalid") if step == 1 else ("ROLLBACK_FAILED", "RollbackFailed")
    )
    assert "changed by someone else" in ended.cause


@pytest.mark.parametrize("step", [1, 2])
def test_a_shift_that_dies_after_its_write_and_before_its_record_is_rolled_back(
    world: World, step: int
) -> None:
    """Fault 29."""
    mark, left = releases.mark, [step]

    def dying(ledger: Ledger, fact: Fact, **attributes: Any) -> bool:
        left[0] -= fact.name == "Traffic Shifted"
        if not left[0]:
            raise error_named("Sandbox.Timedout")
        return mark(ledger, fact, **attributes)

    world.patch.setattr(releases, "mark", dying)
    assert supervised(world, begun(world)).error == "ReleaseRolledBack"
    assert assert_at_rest(world, "v1.0.0") == "ROLLED_BACK"


def test_a_target_that_changed_after_approval_is_not_deployed_to(world: World) -> None:
    """Faults 30 and 34."""
    arn = world.start(world.upload("v1.0.0"))
    world.link(arn)
    third = world.publish_by_hand()
    world.move_by_hand(third)
    world.decide(arn)
    ended = supervised(world, arn)
    assert ended.error == "ReleaseInvalid" and "changed by someone else" in ended.cause
    assert world.alias() == (third, {})


def test_an_unapproved_release_is_not_deployed(world: World) -> None:
    """Fault 25."""

    def swapped(event: dict[str, Any]) -> Any:
        record = world.record("v1.0.0")
        (planned,) = record["plan"]["locations"]
        swapped = planned | {"candidate": planned["candidate"] | {"digest": "another"}}
        world.put(record | {"plan": record["plan"] | {"locations": [swapped]}})
        return world.handlers["recheck_release"](event, None)

    world.plant("recheck_release", swapped)
    ended = supervised(world, begun(world))
    assert ended.error == "ReleaseInvalid" and "not what was approved" in ended.cause
    assert assert_at_rest(world, "v1.0.0") == "INVALID"


def test_a_holder_that_lost_its_lock_changes_nothing(world: World) -> None:
    """Fault 27."""

    def late(event: dict[str, Any]) -> Any:
        world.put(world.holder() | {"fence": 9, "tag": "v9.0.0", "execution": "another"})
        return world.handlers["shift_traffic"](event, None)

    world.plant("shift_traffic", late)
    ended = world.ended(begun(world))
    assert ended.error == "ReleaseInvalid" and "fencing number 2 is no longer the newest" in ended.cause
    assert world.alias() == ("1", {})
    assert world.holder()["tag"] == "v9.0.0", "another's lock was freed"


def test_two_concurrent_releases_run_one_after_the_other(world: World) -> None:
    """Fault 26."""
    world.configure(strategy={"type": "canary", "percent": 10, "bake": 1})
    first = world.start(world.upload("v1.0.0"))
    world.decide(first)
    second = world.start(world.upload("v1.1.0"))
    assert world.ended(first).status == "SUCCEEDED"
    world.decide(second)
    assert world.ended(second).status == "SUCCEEDED"
    facts = [(fact["tag"], fact["name"]) for fact in world.ledger.facts_in_order("storefront")]
    assert facts.index(("v1.1.0", "Lock Acquired")) > facts.index(("v1.0.0", "Release Succeeded"))


def test_a_role_that_cannot_be_assumed_stops_the_release_before_any_change(world: World) -> None:
    """Fault 37."""
    world.refuse("AssumeRole", aws_error("AccessDenied", 403))
    ended = supervised(world, begun(world))
    assert ended.error == "ReleaseInvalid"
    assert "tagship-app-storefront cannot be assumed (AccessDenied)" in ended.cause
    assert '"sts:ExternalId":"tagship-production"' in ended.cause, "the trust policy that would allow it"
    assert assert_at_rest(world, "v1.0.0") == "INVALID"
    assert "plan" not in world.record("v1.0.0")


def test_the_gates_wait_for_a_role_that_was_just_created(world: World) -> None:
    """Fault 74: IAM refuses a fresh role or trust for some seconds."""
    ask, left = BaseClient._make_api_call, [3]

    def fresh(client: Any, name: str, parameters: Any) -> Any:
        if name == "AssumeRole" and left[0]:
            left[0] -= 1
            raise aws_error("AccessDenied", 403)
        return ask(client, name, parameters)

    world.patch.setattr(BaseClient, "_make_api_call", fresh)
    assert world.release("v1.0.0").status == "SUCCEEDED"
    assert left == [0]


def test_a_session_that_expires_after_traffic_moved_rolls_the_release_back(world: World) -> None:
    """Fault 37."""

    def works(event: dict[str, Any]) -> Any:
        return world.handlers["shift_traffic"](event, None)

    def expired(event: dict[str, Any]) -> Any:
        def ask(client: Any, name: str, parameters: Any) -> Any:
            if name == "UpdateAlias":
                raise aws_error("ExpiredTokenException", 403)
            return make(client, name, parameters)

        make = BaseClient._make_api_call
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(BaseClient, "_make_api_call", ask)
            return works(event)

    world.plant("shift_traffic", works)
    world.plant("shift_traffic", expired)
    ended = supervised(world, begun(world))
    assert ended.error == "ReleaseRolledBack" and "ExpiredTokenException" in ended.cause
    assert ended.entered.count("ShiftTraffic") == 2
    assert assert_at_rest(world, "v1.0.0") == "ROLLED_BACK"


def test_if_no_mail_can_be_sent_the_release_fails_with_that_reason(world: World) -> None:
    world.refuse("SendEmail", aws_error("MessageRejected"))
    ended = supervised(world, begun(world))
    assert ended.error == "ReleaseInvalid" and "no approver could be notified" in ended.cause
    assert "Approval Error" in world.facts("v1.0.0")
    assert assert_at_rest(world, "v1.0.0") == "INVALID"


def test_if_mail_is_down_slack_has_the_link_and_the_outcome(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    """Fault 21. And neither the link nor the webhook is in a log, a state's history or a fact."""
    caplog.set_level("INFO")
    world.refuse("SendEmail", aws_error("ServiceUnavailable", 503))
    secret = f"tagship/{STAGE}/storefront/slack"
    world.configure(notifications={"slackWebhookSecret": secret})
    with slack() as here:
        client_of("secretsmanager").create_secret(Name=secret, SecretString=here.secret("ana@example.com"))
        arn = world.start(world.upload("v1.0.0"))
        found = re.search(
            r"https://[^|\s]+\?t=[\w-]+", str(wait_for(lambda: here.to("ana") or None, "a message"))
        )
        assert found
        link = found[0]
        assert world.press(link, decide="approve")["statusCode"] == 200
        assert world.ended(arn).status == "SUCCEEDED"
        message = {"channel": "slack", "application": "storefront"}
        granted = "FACT#v1.0.0#0001#Approval Granted#ana@example.com"
        record = {
            "messageId": "1",
            "receiptHandle": "none",
            "body": json.dumps(message | {"fact": granted}),
            "attributes": {
                "ApproximateReceiveCount": "1",
                "MessageGroupId": "slack-storefront",
                "MessageDeduplicationId": "slack-1",
            },
        }
        assert world.handlers["notify"]({"Records": [record]}, None) == {"batchItemFailures": []}
        asked, outcome = here.to("channel")
        assert asked["text"].startswith("Approval needed: storefront v1.0.0")
        assert "ana@example.com approved it: that is enough" in outcome["blocks"][1]["text"]["text"]
        assert "?t=" not in str(here.to("channel"))
    facts = world.ledger.facts_of("storefront", "v1.0.0")
    (error,) = [fact for fact in facts if fact["name"] == "Approval Error"]
    assert error["data"]["failed"] == {"ana@example.com": "ServiceUnavailable"}
    history = client_of("stepfunctions").get_execution_history(executionArn=arn, maxResults=1000)
    logged = caplog.text + "".join(str(record.__dict__) for record in caplog.records)
    for secret in (link.partition("?t=")[2], "services/T0"):
        for place in (logged, str(history), str(facts)):
            assert secret not in place


def _plant_in_the_rollback(world: World, folder: str, faults: list[Exception]) -> None:
    """After the calls that the forward way makes."""
    world.plants[folder] = [
        *([lambda event: world.handlers[folder](event, None)] * ONLY_BACK_ONCE.get(folder, 0)),
    ]
    for fault in faults:
        world.plant(folder, fault)


def test_a_rollback_that_is_stopped_halfway_calls_a_person(world: World) -> None:
    world.health = well_only("1")
    _plant_in_the_rollback(world, "judge_health", [])
    world.plants["judge_health"].append(_stop_and_work(world, "judge_health"))
    arn = begun(world)
    world.ended(arn)
    rollback = client_of("stepfunctions").list_executions(stateMachineArn=world.machines["rollback"])
    stopped = world.ended(rollback["executions"][0]["executionArn"])
    assert stopped.status == "ABORTED"
    for _ in range(2):
        world.supervise(stopped)
    assert world.record("v1.0.0")["status"] == "ROLLBACK_FAILED"
    assert world.holder()["kept"] is True


def test_a_deployment_that_exceeds_its_budget_is_rolled_back_even_if_healthy(world: World) -> None:
    world.configure(strategy={"type": "all-at-once", "bake": 0})

    def late(event: dict[str, Any]) -> Any:
        deployment = event["deployment"] | {"deadline": "2020-01-01T00:00:00.000Z"}
        return world.handlers["judge_health"](event | {"deployment": deployment}, None)

    world.plant("judge_health", late)
    ended = supervised(world, begun(world))
    assert ended.error == "ReleaseRolledBack"
    assert "ran out of its deployment budget" in ended.cause
    assert assert_at_rest(world, "v1.0.0") == "ROLLED_BACK"


def test_the_supervisor_records_an_ending_that_the_execution_could_not_write(
    world: World,
) -> None:
    world.plant("end_release", error_named("Unforeseen"), times=5)
    arn = world.start(world.upload("v1.0.0"))
    world.decide(arn, decide="reject", reason="no")
    ended = supervised(world, arn)
    assert ended.error == "ReleaseRejected"
    assert ended.entered[-1] == "EndingNotRecorded"
    assert assert_at_rest(world, "v1.0.0") == "REJECTED"


def _stop_and_work(world: World, folder: str) -> Any:
    def stop(event: dict[str, Any]) -> Any:
        client_of("stepfunctions").stop_execution(executionArn=event["execution"])
        return world.handlers[folder](event, None)

    return stop


def order(trigger: str = "operator") -> dict[str, str]:
    return {"application": "storefront", "tag": "v1.0.0", "trigger": trigger, "why": "slow", "by": "kim"}


def test_a_release_that_moved_no_traffic_is_rolled_back_too(world: World) -> None:
    world.link(world.start(world.upload("v1.0.0")))
    assert world.ended(world.start(order(), "rollback")).status == "SUCCEEDED"
    assert assert_at_rest(world, "v1.0.0") == "ROLLED_BACK"
    restored = next(
        fact for fact in world.ledger.facts_of("storefront", "v1.0.0") if fact["name"] == "Baseline Restored"
    )
    assert restored["data"]["served"] == []


def test_a_release_that_completes_during_its_rollback_does_not_succeed(world: World) -> None:
    """Faults 29, 47: while its traffic is moved back, a release does not succeed, and no other one gets its lock."""
    failed: list[str] = []

    def meanwhile(event: dict[str, Any]) -> Any:
        world.start(order(), "rollback")
        wait_for(lambda: "Baseline Restored" in world.facts("v1.0.0") or None, "the restored baseline")
        try:
            return world.handlers["complete_release"](event, None)
        except Exception as error:
            failed.append(type(error).__name__)
            raise

    def until_it_is_back(event: dict[str, Any]) -> Any:
        if event["subject"] == "baseline":
            wait_for(lambda: "LockLost" in failed or None, "the late completion")
        return world.handlers["judge_health"](event, None)

    world.plant("complete_release", meanwhile)
    world.plant("judge_health", until_it_is_back, times=3)
    ended = world.ended(begun(world))
    assert failed == ["LockLost"]
    assert (ended.status, ended.error) == ("FAILED", "ReleaseRolledBack")
    assert assert_at_rest(world, "v1.0.0") == "ROLLED_BACK"


def test_a_supervisor_rollback_stopped_before_it_begins_calls_a_person(
    world: World,
) -> None:
    """Fault 28, twice: nobody would continue the release, and its traffic would stay split."""

    def cut_off(event: dict[str, Any]) -> Any:
        client_of("stepfunctions").stop_execution(executionArn=event["execution"])
        raise error_named("Sandbox.Timedout")

    world.stopping("shift_traffic")
    ended = world.ended(begun(world))
    world.plant("restore_baseline", cut_off)
    assert world.supervise(ended)["did"] == "rollback"
    (rollback,) = world.rollbacks()
    assert world.supervise(rollback)["did"] == "ended"
    assert world.record("v1.0.0")["status"] == "ROLLBACK_FAILED"
    assert world.holder()["kept"] is True


def test_a_stop_after_success_rolls_nothing_back(world: World) -> None:
    """Fault 28: the supervisor had begun the rollback when the last step, still at work, wrote the ending."""
    world.release("v1.0.0")
    ended = world.ended(world.start(order("abort"), "rollback"))
    assert (ended.status, ended.error) == ("FAILED", "RollbackRefused")
    assert "it had already succeeded when its execution ended" in ended.cause
    assert world.supervise(ended)["did"] == "nothing"
    assert assert_at_rest(world, "v1.0.0") == "SUCCEEDED"


# ---- what AWS does and moto does not -------------------------------------------------------------------------------


def moving_concurrency(world: World, looks: int) -> None:
    """Lambda with provisioned concurrency: after each move the version before has all weight for so many looks."""
    ask, left = BaseClient._make_api_call, [0]
    before = ["1"]

    def answered(client: Any, name: str, parameters: Any) -> Any:
        if name == "UpdateAlias":
            before[0], left[0] = world_alias(ask, client), looks
        found = ask(client, name, parameters)
        if name == "GetAlias" and left[0]:
            left[0] -= 1
            found["RoutingConfig"] = {"AdditionalVersionWeights": {before[0]: 1.0}}
        return found

    def world_alias(ask: Any, client: Any) -> str:
        where = {"FunctionName": "storefront", "Name": "live"}
        return str(ask(client, "GetAlias", where)["FunctionVersion"])

    world.patch.setattr(BaseClient, "_make_api_call", answered)


def test_slow_provisioned_concurrency_is_waited_for_and_the_release_succeeds(
    world: World,
) -> None:
    """Faults 63 and 86."""
    world.configure(strategy={"type": "all-at-once", "bake": 0})
    moving_concurrency(world, looks=2)
    ended = world.release("v1.0.0")
    assert ended.status == "SUCCEEDED", ended
    assert "AwaitSettled" in ended.entered
    assert world.alias() == ("2", {})


def test_a_rollback_while_provisioned_concurrency_moves_does_not_fail(world: World) -> None:
    """Faults 63 and 86: the alias is restored at once, and its concurrency follows."""
    world.configure(strategy={"type": "all-at-once", "bake": 0})
    world.health = well_only("1")
    moving_concurrency(world, looks=3)
    ended = world.release("v1.0.0")
    assert ended.error == "ReleaseRolledBack", ended
    (rollback,) = world.rollbacks()
    assert "AwaitSettled" in rollback.entered
    assert assert_at_rest(world, "v1.0.0") == "ROLLED_BACK"


def test_a_busy_target_is_waited_for_without_a_rollback(world: World) -> None:
    """Fault 95: UpdateAlias is throttled while many applications release."""
    ask, left = BaseClient._make_api_call, [4]

    def busy(client: Any, name: str, parameters: Any) -> Any:
        if name == "UpdateAlias" and left[0]:
            left[0] -= 1
            raise aws_error("TooManyRequestsException", 429)
        return ask(client, name, parameters)

    world.patch.setattr(BaseClient, "_make_api_call", busy)
    assert world.release("v1.0.0").status == "SUCCEEDED"
    assert left == [0]
    assert world.rollbacks() == []


def test_if_the_target_stays_busy_the_release_is_rolled_back_and_nobody_is_called(world: World) -> None:
    """Fault 95: nothing has moved, and the rollback's own write is refused too."""
    ask = BaseClient._make_api_call

    def busy(client: Any, name: str, parameters: Any) -> Any:
        if name == "UpdateAlias":
            raise aws_error("ResourceConflictException", 409)
        return ask(client, name, parameters)

    world.patch.setattr(BaseClient, "_make_api_call", busy)
    world.patch.setattr(restoring, "LAST_WRITE_SECONDS", 0)
    ended = supervised(world, begun(world))
    assert ended.error == "ReleaseRolledBack", ended
    assert world.alias() == ("1", {})
    facts = world.ledger.facts_of("storefront", "v1.0.0")
    (restored,) = (fact for fact in facts if fact["name"] == "Baseline Restored")
    assert restored["data"]["what"].startswith("it already serves all traffic, so nothing had to be moved.")
    assert assert_at_rest(world, "v1.0.0") == "ROLLED_BACK"


def test_a_move_whose_response_was_lost_is_recognized(world: World) -> None:
    """Fault 79: the SDK asks again, and its own first write has changed the revision."""
    ask, lost = BaseClient._make_api_call, [1]

    def unheard(client: Any, name: str, parameters: Any) -> Any:
        answer = ask(client, name, parameters)
        if name == "UpdateAlias" and lost:
            lost.pop()
            return ask(client, name, parameters)  # as the SDK does behind our back
        return answer

    world.patch.setattr(BaseClient, "_make_api_call", unheard)
    assert world.release("v1.0.0").status == "SUCCEEDED"
    assert not lost
    assert world.alias() == ("2", {})
