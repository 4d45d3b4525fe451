"""What approvers read about a change set, what stops a release before it, and how a stack is restored."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import IO, Any

import pytest

from tagship.aws.rights import policy, session_policy
from tagship.model.documents import read_application
from tagship.model.errors import (
    AwsUnavailable,
    BaselineMissing,
    CandidateNotReady,
    CredentialsRefused,
    NotStable,
    PlanChanged,
    TagshipError,
    TargetInvalid,
    TargetMoved,
)
from tagship.model.records import Revision
from tagship.model.release import PinnedObject
from tagship.targets import cloudformation_changes as words
from tagship.targets.cloudformation_stack import KIND
from tagship.targets.kind import Change
from tagship_cli.actions import role
from tests.unit.builders import application
from tests.unit.tables import aws_error
from tests.unit.targets.conformance import Release
from tests.unit.targets.stacks import NEW, OLD, SPEC, FakeStacks, artifacts, change, target, template
from tests.unit.targets.test_cloudformation_conformance import StackBench


@pytest.fixture
def stacks() -> FakeStacks:
    return FakeStacks(drift="IN_SYNC")


def plan(stacks: FakeStacks, *, spec: Any = SPEC, **parameters: str) -> Change:
    return target(stacks, spec=spec).plan(artifacts(), parameters, weighted=False)


def asked(stacks: FakeStacks, action: str) -> dict[str, Any]:
    """The parameters of this action's last call."""
    return next(about for name, about in reversed(stacks.calls) if name == f"cloudformation:{action}")


@pytest.fixture
def bench() -> StackBench:
    return StackBench()


@pytest.fixture
def release(bench: StackBench) -> Release:
    release = Release(bench)
    release.prepare()
    return release


# ---- the plan ------------------------------------------------------------------------------------------------------


TABLE, ROLE = "AWS::DynamoDB::Table", "AWS::IAM::Role"
DETAILS = [{"Target": {"Name": "KeySchema"}}, {"Target": {"Name": "TableName"}}]


def test_approvers_read_losses_first(stacks: FakeStacks) -> None:
    """Faults 55 and 110."""
    found = (
        change("Add", "Queue", "AWS::SQS::Queue"),
        change("Modify", "Function", "AWS::Lambda::Function"),
        change("Modify", "Role", ROLE, replaced="Conditional"),
        change("Modify", "Orders", TABLE, replaced="True", Details=DETAILS),
        change("Remove", "Logs", "AWS::Logs::LogGroup", PolicyAction="Retain"),
        change("Dynamic", "Macro", "Custom::Thing"),
        change("Modify", "Bucket", "AWS::S3::Bucket", replaced="Conditional"),
        change("Remove", "Policy", "AWS::IAM::Policy"),
    )
    stacks.changes = [{"ResourceChange": each} for each in found]
    made = plan(stacks)
    assert list(made.warnings) == [
        "DELETES AWS::Logs::LogGroup Logs (the old one is kept)",
        "REPLACES AWS::DynamoDB::Table Orders with all its data, because of KeySchema and TableName",
        (
            "MAY REPLACE AWS::S3::Bucket Bucket with all its data: CloudFormation decides this only during "
            "the update"
        ),
        "DELETES AWS::IAM::Policy Policy",
        "MAY CHANGE Custom::Thing Macro: CloudFormation decides this only during the update",
        "MAY REPLACE AWS::IAM::Role Role: CloudFormation decides this only during the update",
    ]
    name = asked(stacks, "CreateChangeSet")["ChangeSetName"]
    assert list(made.summary) == [
        f"the stack storefront: 8 changes by the change set {name}",
        *made.warnings,
        "Changes AWS::Lambda::Function Function",
        "Adds AWS::SQS::Queue Queue",
    ]


def test_a_nested_stacks_own_changes_are_listed_and_not_its_possible_replacement(stacks: FakeStacks) -> None:
    stack = change(
        "Modify", "Data", "AWS::CloudFormation::Stack", replaced="Conditional", ChangeSetId="arn:nested"
    )
    stacks.changes = [{"ResourceChange": stack}]
    stacks.nested["arn:nested"] = {"Changes": [{"ResourceChange": change("Remove", "Orders", TABLE)}]}
    made = plan(stacks)
    assert list(made.warnings) == [
        "DELETES AWS::DynamoDB::Table Orders in the nested stack Data with all its data"
    ]
    assert asked(stacks, "CreateChangeSet")["IncludeNestedStacks"] is True
    del stack["ChangeSetId"]
    stacks.sets.clear()
    assert plan(stacks).warnings[0].startswith("MAY REPLACE AWS::CloudFormation::Stack Data")


def test_no_dangerous_change_is_left_out_of_a_long_list() -> None:
    many = [
        words.Change.from_aws(change("Modify" if number % 2 else "Remove", f"R{number:03}", ROLE))
        for number in range(200)
    ]
    lines, warnings = words.describe(many)
    assert len(warnings) == 100
    assert lines == [*warnings, "… and 100 more changes and additions"]


def test_a_plan_waits_while_cloudformation_computes(stacks: FakeStacks) -> None:
    stacks.computes = "CREATE_PENDING"
    with pytest.raises(CandidateNotReady, match="computing"):
        plan(stacks)
    (made,) = stacks.sets.values()
    made |= {"Status": "CREATE_COMPLETE", "ExecutionStatus": "AVAILABLE"}
    assert plan(stacks).candidate["data"]["changeSet"] == made["ChangeSetId"]


def test_no_changes_is_a_successful_result(stacks: FakeStacks) -> None:
    """Fault 32."""
    stacks.body = NEW
    made = plan(stacks)
    assert made.nothingToChange
    assert made.candidate == made.baseline
    assert stacks.sets == {}, "what failed is not left lying around"


def test_a_change_set_that_cannot_be_created_stops_the_release_with_its_reason(stacks: FakeStacks) -> None:
    stacks.computes = "FAILED"
    with pytest.raises(TargetInvalid, match="cannot create a change set for the stack storefront"):
        plan(stacks)
    assert stacks.sets == {}


def test_a_stale_change_set_is_created_again(stacks: FakeStacks) -> None:
    first = plan(stacks).candidate["data"]["changeSet"]
    stacks.sets[first]["ExecutionStatus"] = "OBSOLETE"
    with pytest.raises(CandidateNotReady, match="outdated"):
        plan(stacks)
    second = plan(stacks).candidate["data"]["changeSet"]
    assert second != first


def test_a_release_sets_its_parameters_and_the_others_stay(stacks: FakeStacks) -> None:
    made = plan(stacks, Size="large")
    assert "Parameter Size: small → large" in made.summary
    assert asked(stacks, "CreateChangeSet")["Parameters"] == [
        {"ParameterKey": "Secret", "UsePreviousValue": True},
        {"ParameterKey": "Size", "ParameterValue": "large"},
    ]
    assert made.candidate["data"]["parameters"] == {"Secret": "****", "Size": "large"}


@pytest.mark.parametrize(
    "parameters, why",
    [
        ({"Sise": "large"}, "takes no parameter Sise"),
        ({"Secret": "x"}, "Secret is a secret"),
    ],
)
def test_invalid_parameters_are_refused(stacks: FakeStacks, parameters: dict[str, str], why: str) -> None:
    with pytest.raises(TargetInvalid, match=why):
        plan(stacks, **parameters)
    assert stacks.sets == {}


def test_a_new_parameter_without_a_value_is_refused(stacks: FakeStacks) -> None:
    body = template("new", Parameters={"Colour": {"Type": "String"}})
    (key,) = stacks.uploads
    stacks.uploads[key] = body.encode()
    with pytest.raises(TargetInvalid, match="Colour has no value"):
        target(stacks).plan(artifacts(body), {}, weighted=False)


def test_a_template_replaced_in_the_bucket_is_noticed(stacks: FakeStacks) -> None:
    """Fault 115."""
    plan(stacks)
    stacks.sets.clear()
    for key in stacks.kept:
        stacks.kept[key] = template("forged").encode()
    with pytest.raises(PlanChanged, match="someone else wrote to storefront-templates"):
        plan(stacks)


def test_the_uploaded_template_is_the_one_in_the_manifest(stacks: FakeStacks) -> None:
    (key,) = stacks.uploads
    stacks.uploads[key] = b"{}"
    with pytest.raises(PlanChanged):
        plan(stacks)
    stacks.uploads.clear()
    with pytest.raises(TargetInvalid):
        plan(stacks)
    assert stacks.kept == {}


def test_alarms_are_rollback_triggers_of_the_update_but_not_of_a_rollback(bench: StackBench) -> None:
    spec = replace(SPEC, alarms=("storefront-errors",))
    plan(bench.stacks, spec=spec)
    place = "arn:aws:cloudwatch:eu-central-1:123456789012:alarm"
    trigger = {"Arn": f"{place}:storefront-errors", "Type": "AWS::CloudWatch::Alarm"}
    assert asked(bench.stacks, "CreateChangeSet")["RollbackConfiguration"] == {
        "RollbackTriggers": [trigger],
        "MonitoringTimeInMinutes": 0,
    }
    release = Release(bench)
    release.prepare()
    release.set_weight(100)
    release.restore()
    assert asked(bench.stacks, "UpdateStack")["RollbackConfiguration"] == {"RollbackTriggers": []}


def test_without_permission_to_create_a_change_set_the_plan_says_so(stacks: FakeStacks) -> None:
    stacks.refused = ("cloudformation:CreateChangeSet", aws_error("AccessDenied", status=403))
    with pytest.raises(CredentialsRefused):
        plan(stacks)
    stacks.refused = ("cloudformation:CreateChangeSet", aws_error("Throttling"))
    with pytest.raises(AwsUnavailable):
        plan(stacks)


# ---- the stack policy ----------------------------------------------------------------------------------------------

ALLOW: dict[str, Any] = {"Effect": "Allow", "Action": "Update:*", "Principal": "*", "Resource": "*"}
PROTECTED = {
    "Effect": "Deny",
    "Action": ["Update:Replace", "Update:Delete"],
    "Principal": "*",
    "Resource": "*",
    "Condition": {"StringEquals": {"ResourceType": [TABLE]}},
}


@pytest.mark.parametrize(
    "statements, found, refused",
    [
        ([ALLOW], change("Remove", "Orders", TABLE), False),
        ([ALLOW, PROTECTED], change("Remove", "Orders", TABLE), True),
        ([ALLOW, PROTECTED], change("Modify", "Orders", TABLE, replaced="Conditional"), True),
        ([ALLOW, PROTECTED], change("Modify", "Orders", TABLE), False),
        ([ALLOW, PROTECTED], change("Remove", "Role", ROLE), False),
        ([ALLOW, PROTECTED], change("Add", "Orders", TABLE), False),
        ([PROTECTED], change("Modify", "Role", ROLE), True),
        ([{**ALLOW, "Resource": "LogicalResourceId/Ro*"}], change("Modify", "Role", ROLE), False),
        ([{**ALLOW, "Resource": "LogicalResourceId/Ro*"}], change("Modify", "Orders", TABLE), True),
        (
            [
                ALLOW,
                {"Effect": "Deny", "NotAction": "Update:Modify", "NotResource": "LogicalResourceId/Orders"},
            ],
            change("Remove", "Role", ROLE),
            True,
        ),
        ([ALLOW, {**PROTECTED, "Condition": {"Odd": {}}}], change("Remove", "Role", ROLE), True),
    ],
)
def test_a_stack_policys_refusal_is_known_before_the_update(
    statements: list[Any], found: dict[str, Any], refused: bool
) -> None:
    changes = [words.Change.from_aws(found)]
    assert bool(words.refused_by(json.dumps({"Statement": statements}), changes)) is refused
    assert words.refused_by("", changes) == []


def test_a_release_that_the_stack_policy_refuses_stops_at_its_plan(stacks: FakeStacks) -> None:
    """Fault 116."""
    stacks.policy = json.dumps({"Statement": {**ALLOW, "Effect": "Deny"}})
    with pytest.raises(TargetInvalid, match="Update:Modify of AWS::SSM::Parameter Price"):
        plan(stacks)
    assert stacks.writes == 0


# ---- the gates -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "status, error, why",
    [
        ("gone", TargetInvalid, "does not exist"),
        ("REVIEW_IN_PROGRESS", TargetInvalid, "never created"),
        ("ROLLBACK_COMPLETE", TargetInvalid, "can no longer be updated"),
        ("UPDATE_IN_PROGRESS", CandidateNotReady, "someone else is changing it"),
        (
            "UPDATE_ROLLBACK_FAILED",
            TargetInvalid,
            "aws cloudformation continue-update-rollback --stack-name storefront",
        ),
        ("UPDATE_FAILED", TargetInvalid, "aws cloudformation rollback-stack"),
    ],
)
def test_a_stack_that_cannot_be_updated_is_refused_with_a_remedy(
    stacks: FakeStacks, status: str, error: type[TagshipError], why: str
) -> None:
    """Fault 54."""
    stacks.status = status
    for ask in (lambda: target(stacks).check(None), lambda: plan(stacks)):
        with pytest.raises(error, match=why):
            ask()
    assert stacks.writes == 0


def test_manual_changes_are_shown_before_approval(stacks: FakeStacks) -> None:
    assert target(stacks).check(None).warning == ""
    stacks.drift = "DRIFTED"
    assert "Price (modified). Changes by hand may be overwritten" in target(stacks).check(None).warning
    with pytest.raises(TargetInvalid, match=r"target\.drift is refuse"):
        target(stacks, spec=replace(SPEC, drift="refuse")).check(None)
    reverting = replace(SPEC, drift="revert")
    assert "undoes the changes by hand" in target(stacks, spec=reverting).check(None).warning
    plan(stacks, spec=reverting)
    assert asked(stacks, "CreateChangeSet")["DeploymentMode"] == "REVERT_DRIFT"
    stacks.drift = "NOT_CHECKED"
    assert "It is not known whether the stack storefront has drifted" in target(stacks).check(None).warning


@pytest.mark.parametrize(
    "content, why",
    [
        (OLD.encode(), ""),
        (b"AWSTemplateFormatVersion: '2010-09-09'\nResources:\n  A: {}\n", ""),
        (b"PK\x03\x04\xff", "not UTF-8"),
        (b"application: storefront", "has no Resources"),
    ],
)
def test_a_template_is_inspected(stacks: FakeStacks, content: bytes, why: str) -> None:
    @contextmanager
    def opened(_: PinnedObject) -> Iterator[IO[bytes]]:
        yield io.BytesIO(content)

    _, problems = target(stacks).look_into(artifacts(), opened)
    assert [why in problem for problem in problems] == ([True] if why else [])


# ---- during the update, and the rollback ---------------------------------------------------------------------------


def test_a_failed_update_is_rolled_back_by_cloudformation_with_its_reason(
    bench: StackBench, release: Release
) -> None:
    """Fault 111."""
    bench.unsettle()
    bench.stacks.fails = "Value must not be new. (Service: Ssm)"
    release.set_weight(100)
    bench.settle()
    with pytest.raises(TargetInvalid, match=r"UPDATE_ROLLBACK_COMPLETE\): Price: Value must not be new"):
        release.target.verify_weight(release.move(100))
    before = bench.writes()
    assert "again" in release.restore()
    assert release.target.verify_weight(release.move(0)) == 0
    assert bench.shares() == release.expected(0)
    assert bench.writes() == before, "CloudFormation has done it"


def test_an_update_in_progress_is_cancelled(bench: StackBench, release: Release) -> None:
    """Faults 56 and 113."""
    bench.unsettle()
    release.set_weight(100)
    assert "cancelled" in release.restore()
    assert bench.stacks.status == "UPDATE_ROLLBACK_IN_PROGRESS"
    assert "is being restored" in release.restore()
    assert release.target.verify_weight(release.move(0)) > 0
    bench.settle()
    assert release.target.verify_weight(release.move(0)) == 0
    assert bench.shares() == release.expected(0)


def test_an_obsolete_change_set_is_not_executed_and_no_other_is(bench: StackBench, release: Release) -> None:
    """Faults 53 and 112."""
    bench.stacks.by_hand()
    before = bench.writes()
    with pytest.raises(PlanChanged, match=r"obsolete.*plan and approve it again"):
        release.target.prepare(bench.artifacts, release.change.candidate, release.made.append)
    with pytest.raises(TargetMoved):
        release.set_weight(100)
    assert bench.writes() == before


def test_after_a_restore_before_the_update_nothing_can_be_executed(
    bench: StackBench, release: Release
) -> None:
    release.restore()
    assert bench.stacks.sets == {}
    assert bench.writes() == 0


def test_a_restore_resets_parameters_and_leaves_secrets_unchanged(bench: StackBench) -> None:
    made = bench.target().plan(bench.artifacts, {"Size": "large"}, weighted=False)
    bench.stacks._begin("by-a-test", NEW, {"Size": "large", "Secret": "s3cr3t"})
    assert made.baseline is not None
    bench.stacks.events[0]["ClientRequestToken"] = ""
    known = {**made.candidate, "etag": str(bench.stacks.updated)}
    bench.target().restore(baseline=made.baseline, candidate=known, fence=9)
    assert asked(bench.stacks, "UpdateStack")["Parameters"] == [
        {"ParameterKey": "Secret", "UsePreviousValue": True},
        {"ParameterKey": "Size", "ParameterValue": "small"},
    ]
    assert bench.stacks.parameters == {"Size": "small", "Secret": "s3cr3t"}


@pytest.mark.parametrize("status", ["UPDATE_COMPLETE_CLEANUP_IN_PROGRESS", "UPDATE_ROLLBACK_FAILED"])
def test_a_stack_that_accepts_no_update_now_is_retried(
    bench: StackBench, release: Release, status: str
) -> None:
    release.set_weight(100)
    bench.stacks.status = status
    with pytest.raises(NotStable, match=status):
        release.restore()


def test_a_failed_rollback_never_counts_as_done(bench: StackBench, release: Release) -> None:
    release.set_weight(100)
    bench.unsettle()
    bench.stacks.fails = "the old value is gone"
    release.restore()
    bench.settle()
    with pytest.raises(
        TargetInvalid, match=r"was not restored to the previous version.*the old value is gone"
    ):
        release.target.verify_weight(release.move(0))


def test_other_peoples_updates_are_not_cancelled(bench: StackBench, release: Release) -> None:
    bench.unsettle()
    bench.stacks._begin("Console-UpdateStack-1", NEW, dict(bench.stacks.parameters))
    before = bench.state()
    with pytest.raises(TargetMoved, match="Console-UpdateStack-1"):
        release.restore()
    assert bench.state() == before


def test_an_update_is_waited_for_before_its_first_event_appears(bench: StackBench, release: Release) -> None:
    """CloudFormation shows events a moment later."""
    move = release.move(100)
    assert release.target.verify_weight(move) > 0
    release.set_weight(100)
    assert release.target.verify_weight(move) == 0


def test_a_delayed_cloudformation_status_is_not_taken_for_the_end(
    bench: StackBench, release: Release
) -> None:
    """Fault 114: describeStacks still says what was before, and the events know better."""
    bench.unsettle()
    release.set_weight(100)
    bench.stacks.late = True
    assert release.target.verify_weight(release.move(100)) > 0
    assert release.target.verify_weight(release.move(0)) > 0
    bench.stacks.late = False
    bench.settle()
    assert release.target.verify_weight(release.move(100)) == 0


def test_a_restore_right_after_the_execution_does_not_assume_that_nothing_started(
    bench: StackBench, release: Release
) -> None:
    (made,) = bench.stacks.sets.values()
    made["ExecutionStatus"] = "EXECUTE_IN_PROGRESS"
    with pytest.raises(NotStable, match="has just started"):
        release.restore()


def test_an_update_without_visible_events_is_not_cancelled(bench: StackBench, release: Release) -> None:
    """It may be anybody's."""
    bench.stacks.status = "UPDATE_IN_PROGRESS"
    with pytest.raises(NotStable, match="has just started"):
        release.restore()
    assert bench.writes() == 0


def test_a_stack_unchanged_for_90_days_has_no_events(stacks: FakeStacks) -> None:
    stacks.events.clear()
    assert target(stacks).check(None).said == "storefront can be updated."
    assert plan(stacks).baseline is not None


def test_another_kinds_revision_is_no_baseline_of_a_stack(bench: StackBench) -> None:
    function: Revision = {"id": "7", "digest": "d", "data": {"codeSha256": "c"}}
    with pytest.raises(BaselineMissing, match="7 is not a version of a stack"):
        bench.target().exists(function)
    assert bench.target().check(function).said, "and it has not drifted"


def test_an_application_with_an_unknown_baseline_is_not_changed(bench: StackBench, release: Release) -> None:
    release.set_weight(100)
    with pytest.raises(BaselineMissing):
        release.target.restore(baseline=None, candidate=release.candidate, fence=9)


# ---- rights --------------------------------------------------------------------------------------------------------


def test_a_role_can_be_passed_to_cloudformation_only() -> None:
    (passing,) = [
        it for it in policy(KIND.rights(SPEC, objects=()))["Statement"] if it["Action"] == ["iam:PassRole"]
    ]
    assert passing["Resource"] == [SPEC.serviceRole]
    assert passing["Condition"] == {"StringEquals": {"iam:PassedToService": "cloudformation.amazonaws.com"}}


def test_without_a_template_no_change_set_can_be_created() -> None:
    allowed = {action for right in KIND.rights(SPEC, objects=()) for action in right.actions}
    assert not allowed & {"cloudformation:CreateChangeSet", "s3:PutObject", "s3:GetObjectVersion"}


def test_the_longest_names_make_a_valid_sts_session() -> None:
    longest = f"arn:aws:iam::123456789012:role/{'r' * 64}"
    spec = replace(SPEC, stack="s" * 64, bucket="b" * 63, role=longest, serviceRole=longest)
    objects = [f"arn:aws:s3:::{'b' * 63}/releases/{'a' * 60}/{'t' * 60}/*"]
    assert session_policy(KIND.rights(spec, objects=objects))


def test_the_service_role_is_printed_too_and_trusts_cloudformation() -> None:
    document = application(strategy={"type": "all-at-once"})
    document["target"] = dict(KIND.example)
    document["health"] = {"checks": [{"type": "http", "url": "https://example.com/"}]}
    printed = role.template(
        read_application(document), bucket="releases", function_roles="arn:aws:iam::1:role/tagship-*"
    )
    assert set(printed["Resources"]) == {"Role", "ServiceRole"}
    made = printed["Resources"]["ServiceRole"]
    (trust,) = made["Properties"]["AssumeRolePolicyDocument"]["Statement"]
    assert trust["Principal"] == {"Service": "cloudformation.amazonaws.com"}
    assert made["Properties"]["RoleName"] == "storefront-stack"
