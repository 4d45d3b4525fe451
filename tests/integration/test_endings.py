"""The main endings on the real stack: from an upload by the command line to the ledger, the lock and the alias."""

from __future__ import annotations

import json
import re
from datetime import timedelta

from tagship.runtime import utc_now
from tests.integration.conftest import Pipeline, wait_for
from tools import people
from tools.storefront import ALARM

NAMES = ("bucket", "key", "versionId")


def serving(pipeline: Pipeline) -> str:
    """The one version that has all the traffic."""
    version, weights = pipeline.alias()
    assert weights == {}, "traffic is split"
    return version


def test_a_good_release_is_deployed(pipeline: Pipeline) -> None:
    before = serving(pipeline)
    tag = pipeline.publish()
    assert pipeline.decide(tag).status == 200
    execution = pipeline.ended(pipeline.execution(tag))
    assert execution["status"] == "SUCCEEDED"
    record = pipeline.settled(tag, "SUCCEEDED")
    assert serving(pipeline) == record["standing"][0]["candidate"]["id"] != before
    current = pipeline.item("CURRENT")
    assert current is not None and current["tag"] == tag
    entered = pipeline.entered(pipeline.execution(tag))
    assert len(entered) < 40, entered


def test_an_alarm_during_a_bake_rolls_the_release_back_at_once(pipeline: Pipeline) -> None:
    """In a session that may only read alarms."""
    before = serving(pipeline)
    pipeline.configure(strategy={"bake": 600}, health={"every": 1})
    tag = pipeline.publish()
    pipeline.decide(tag)
    wait_for(lambda: pipeline.alias()[1] or None, "the first share")
    # The engine rounds an alarm's time to seconds: one of this second would count as fired before the deployment.
    later = utc_now() + timedelta(seconds=1)
    wait_for(lambda: utc_now() > later or None, "the next second")
    cloudwatch = pipeline.client("cloudwatch")
    cloudwatch.set_alarm_state(AlarmName=ALARM, StateValue="ALARM", StateReason="Many calls failed.")
    try:
        record = pipeline.settled(tag, "ROLLED_BACK")
    finally:
        cloudwatch.set_alarm_state(AlarmName=ALARM, StateValue="OK", StateReason="The test is over.")
    assert f"{ALARM} has been firing since" in record["why"]
    assert serving(pipeline) == before


def test_a_second_event_of_the_same_upload_is_a_duplicate(pipeline: Pipeline) -> None:
    """Fault 1."""
    tag = pipeline.publish()
    first = pipeline.execution(tag)
    order = json.loads(pipeline.client("stepfunctions").describe_execution(executionArn=first)["input"])
    assert set(order) == set(NAMES)
    again = pipeline.ended(pipeline.start(order))
    assert again["status"] == "SUCCEEDED"
    assert json.loads(again["output"])["release"]["outcome"] == "duplicate"
    pipeline.decide(tag)
    assert pipeline.ended(first)["status"] == "SUCCEEDED"


def test_a_used_tag_with_other_bytes_is_refused(pipeline: Pipeline) -> None:
    """Fault 5."""
    tag = pipeline.publish()
    pipeline.decide(tag)
    pipeline.settled(tag, "SUCCEEDED")
    before = serving(pipeline)
    bucket = pipeline.stack.outputs["ReleaseBucketName"]
    key = f"releases/storefront/{tag}/release.json"
    body = pipeline.client("s3").get_object(Bucket=bucket, Key=key)["Body"].read()
    # No publisher can do this (the bucket's policy refuses it); the policy is lifted to show what holds behind it.
    policy = pipeline.client("s3").get_bucket_policy(Bucket=bucket)["Policy"]
    pipeline.client("s3").delete_bucket_policy(Bucket=bucket)
    try:
        version = pipeline.client("s3").put_object(Bucket=bucket, Key=key, Body=body + b"\n")["VersionId"]
    finally:
        pipeline.client("s3").put_bucket_policy(Bucket=bucket, Policy=policy)
    ended = pipeline.ended(pipeline.start({"bucket": bucket, "key": key, "versionId": version}))
    assert (ended["status"], ended["error"]) == ("FAILED", "TagAlreadyUsed")
    assert serving(pipeline) == before
    pipeline.settled(tag, "SUCCEEDED")


def test_an_older_tag_is_refused_by_its_gate(pipeline: Pipeline) -> None:
    """Fault 6."""
    tag = pipeline.publish()
    pipeline.decide(tag)
    pipeline.settled(tag, "SUCCEEDED")
    before = serving(pipeline)
    pipeline.storefront.publish("v0.9.0")
    ended = pipeline.ended(pipeline.execution("v0.9.0"))
    assert (ended["status"], ended["error"]) == ("FAILED", "ReleaseInvalid")
    assert f"v0.9.0 is not newer than {tag}" in ended["cause"]
    pipeline.settled("v0.9.0", "INVALID")
    assert serving(pipeline) == before


def test_a_rejection_ends_the_release_with_its_reason(pipeline: Pipeline) -> None:
    before = serving(pipeline)
    tag = pipeline.publish()
    assert pipeline.decide(tag, "reject", "the sale begins at noon").status == 200
    ended = pipeline.ended(pipeline.execution(tag))
    assert (ended["status"], ended["error"]) == ("FAILED", "ReleaseRejected")
    assert "the sale begins at noon" in ended["cause"]
    pipeline.settled(tag, "REJECTED")
    assert serving(pipeline) == before


def test_without_a_decision_the_release_expires_after_a_reminder(pipeline: Pipeline) -> None:
    """Fault 18."""
    pipeline.configure(
        approval={"approvers": ["ana@example.com"], "required": 1, "expires": 12, "remindEvery": 2}
    )
    before = serving(pipeline)
    tag = pipeline.publish()
    ended = pipeline.ended(pipeline.execution(tag))
    assert (ended["status"], ended["error"]) == ("FAILED", "ApprovalExpired")
    subjects = [mail.subject for mail in pipeline.stack.mails(about=tag)]
    assert [subject for subject in subjects if "Reminder" in subject], (subjects, pipeline.facts(tag))
    pipeline.settled(tag, "EXPIRED")
    assert serving(pipeline) == before


def test_a_newer_release_supersedes_a_waiting_one(pipeline: Pipeline) -> None:
    """Fault 24."""
    older = pipeline.publish()
    pipeline.link(older)
    newer = pipeline.publish()
    ended = pipeline.ended(pipeline.execution(older))
    assert (ended["status"], ended["error"]) == ("FAILED", "ReleaseSuperseded")
    pipeline.settled(older, "SUPERSEDED")
    pipeline.decide(newer)
    pipeline.settled(newer, "SUCCEEDED")


def test_a_broken_release_is_rolled_back(pipeline: Pipeline) -> None:
    before = serving(pipeline)
    tag = pipeline.publish(broken=True)
    pipeline.decide(tag)
    ended = pipeline.ended(pipeline.execution(tag))
    assert (ended["status"], ended["error"]) == ("FAILED", "ReleaseRolledBack")
    assert "the price list can't be read" in ended["cause"]
    pipeline.settled(tag, "ROLLED_BACK")
    assert serving(pipeline) == before


def test_a_stop_while_traffic_is_split_restores_the_baseline(pipeline: Pipeline) -> None:
    """Fault 28."""
    pipeline.configure(strategy={"bake": 30})
    before = serving(pipeline)
    tag = pipeline.publish()
    pipeline.decide(tag)
    wait_for(lambda: True if pipeline.alias()[1] else None, "ten percent on the candidate")
    execution = pipeline.execution(tag)
    pipeline.client("stepfunctions").stop_execution(executionArn=execution, cause="not now")
    assert pipeline.ended(execution)["status"] == "ABORTED"
    pipeline.settled(tag, "ABORTED")
    assert serving(pipeline) == before


def test_a_stop_during_approval_changes_nothing_and_closes_the_link(pipeline: Pipeline) -> None:
    before = serving(pipeline)
    tag = pipeline.publish()
    link = pipeline.link(tag)
    execution = pipeline.execution(tag)
    pipeline.client("stepfunctions").stop_execution(executionArn=execution)
    pipeline.settled(tag, "ABORTED")
    assert people.look(link).status in (200, 409)
    assert 'name="form"' not in people.look(link).text
    assert serving(pipeline) == before


def test_a_manual_alias_change_is_not_overwritten_and_a_person_is_called(pipeline: Pipeline) -> None:
    """Fault 30."""
    pipeline.configure(strategy={"bake": 4})
    before = serving(pipeline)
    tag = pipeline.publish()
    pipeline.decide(tag)
    wait_for(lambda: True if pipeline.alias()[1] else None, "ten percent on the candidate")
    functions = pipeline.client("lambda")
    functions.update_function_configuration(FunctionName="storefront", Description="by hand")
    by_hand = functions.publish_version(FunctionName="storefront")["Version"]
    functions.update_alias(
        FunctionName="storefront",
        Name="live",
        FunctionVersion=by_hand,
        RoutingConfig={"AdditionalVersionWeights": {}},
    )
    ended = pipeline.ended(pipeline.execution(tag))
    assert (ended["status"], ended["error"]) == ("FAILED", "RollbackFailed")
    pipeline.settled(tag, "ROLLBACK_FAILED")
    assert serving(pipeline) == by_hand
    lock = pipeline.item("LOCK")
    assert lock is not None and lock["kept"] is True
    # A person puts it right, with the command that the message names.
    assert f"--function-version {before}" in ended["cause"]
    functions.update_alias(FunctionName="storefront", Name="live", FunctionVersion=before)
    pipeline.free_the_lock_by_hand()


def test_no_log_contains_a_link_or_a_task_token(pipeline: Pipeline) -> None:
    tag = pipeline.publish()
    link = pipeline.link(tag)
    pipeline.decide(tag)
    pipeline.settled(tag, "SUCCEEDED")
    secret = link.partition("?t=")[2]
    logged = pipeline.logs()
    assert "AcquireLock" in logged or "done" in logged, "the logs are read"
    assert secret not in logged
    assert not re.search(r"[?&]t=[A-Za-z0-9_-]{20}", logged)
    assert "taskToken" not in logged
