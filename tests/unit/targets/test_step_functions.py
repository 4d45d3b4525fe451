"""Specific to state machines: comparing definitions, versions, unconditional alias writes, executions."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import IO, Any

import pytest
from botocore.exceptions import ReadTimeoutError

from tagship.aws.rights import session_policy
from tagship.health import MetricCheck
from tagship.model.errors import (
    AwsUnavailable,
    BaselineMissing,
    CandidateUnhealthy,
    CredentialsRefused,
    LockLost,
    PlanChanged,
    TargetInvalid,
    TargetMoved,
)
from tagship.model.release import PinnedObject
from tagship.targets import step_functions
from tagship.targets import step_functions_definition as definitions
from tests.unit.tables import aws_error
from tests.unit.targets.conformance import FENCE, NEWER, Release
from tests.unit.targets.machines import ARN, CHARGE, ROLE, Checked, ago, definition
from tests.unit.targets.test_step_functions_conformance import NEW, SPEC, MachineBench

FUNCTION = "arn:aws:lambda:eu-central-1:123456789012:function:storefront-charge"


@pytest.fixture
def bench() -> MachineBench:
    return MachineBench()


def planned(bench: MachineBench, document: Any) -> Any:
    bench.bring(document)
    return bench.target().plan(bench.artifacts, {}, weighted=True)


def looked_into(bench: MachineBench, document: Any) -> tuple[str, list[str]]:
    @contextmanager
    def opened(pinned: PinnedObject) -> Iterator[IO[bytes]]:
        yield io.BytesIO(bench.states.objects[pinned.key])

    bench.bring(document)
    said, problems = bench.target().look_into(bench.artifacts, opened)
    return said, list(problems)


def invoking(**parameters: Any) -> dict[str, Any]:
    return {"Type": "Task", "Resource": "arn:aws:states:::lambda:invoke", **parameters, "End": True}


# ---- the definition -------------------------------------------------------------------------------------------------


def test_a_valid_definition_is_confirmed(bench: MachineBench) -> None:
    assert looked_into(bench, NEW) == ("order.asl.json defines 2 states, beginning with Charge.", [])


@pytest.mark.parametrize(
    "content, said",
    [
        (b"StartAt: Charge", "it is not JSON"),
        (b"[" * 100_000, "it is not JSON"),
        (b"\xff", "not UTF-8"),
        (b"[]", "not a JSON object"),
        (b" " * (definitions.MOST_BYTES + 1), "larger than 1 MB"),
        ({"States": {}}, "no StartAt"),
        ({"StartAt": "A", "States": {}}, "no States"),
        ({"StartAt": "A", "States": {"A": {"Type": "Map", "ItemProcessor": {}}}}, "A has no States"),
        (b'{"StartAt": "A", "States": {"A": {"Type": "Fail"}, "A": {"Type": "Pass"}}}', "A appears twice"),
        (b'{"StartAt": "A", "States": {"A": {"Type": "Pass", "Comment": "\\ud800"}}}', "lone surrogate"),
        (definition(Other={"Type": "Task", "Resource": "${Unknown}"}), r"nothing replaces \$\{Unknown\}"),
    ],
)
def test_an_invalid_definition_is_refused_before_approval(
    bench: MachineBench, content: Any, said: str
) -> None:
    (problem,) = looked_into(bench, content)[1]
    with pytest.raises(TargetInvalid, match=said) as refused:
        bench.target().plan(bench.artifacts, {}, weighted=True)
    assert problem.partition(": ")[2] in str(refused.value)
    assert bench.writes() == 0


def test_a_change_too_long_to_list_in_a_request_is_refused(bench: MachineBench) -> None:
    bench.bring(definition(**{f"State {number}": {"Type": "Succeed"} for number in range(5_000)}))
    with pytest.raises(TargetInvalid, match=r"500\d differences\) that no request for approval can list"):
        bench.target().plan(bench.artifacts, {}, weighted=True)


def test_values_that_differ_between_stages_are_substituted(bench: MachineBench) -> None:
    document = definition(Other={"Type": "Task", "Resource": "${Charge}", "End": True})
    bench.bring(document)
    release = Release(bench)
    release.prepare()
    made = json.loads(bench.states.versions[release.candidate["id"]]["definition"])
    assert made["States"]["Other"]["Resource"] == CHARGE


def test_a_differently_formatted_definition_is_no_change(bench: MachineBench) -> None:
    bench.bring(json.dumps(definition(), indent=4, sort_keys=True).encode())
    assert bench.target().plan(bench.artifacts, {}, weighted=True).nothingToChange


def test_each_difference_is_a_line_dangerous_ones_first_without_data(bench: MachineBench) -> None:
    before = definition(
        Old={"Type": "Pass", "End": True},
        Kept={"Type": "Pass", "Result": "hunter2", "End": True},
        Each={"Type": "Map", "ItemProcessor": {"StartAt": "In", "States": {"In": {"Type": "Succeed"}}}},
    )
    bench.states.change(definition=json.dumps(before))
    bench.states.point({bench.states.publish(): 100})
    bench.states.change(roleArn=f"{ROLE}-2")
    after = definition(
        Kept={"Type": "Pass", "Result": "hunter3", "Next": "Ship"},
        Each={
            "Type": "Map",
            "ItemProcessor": {
                "ProcessorConfig": {"Mode": "DISTRIBUTED"},
                "StartAt": "In",
                "States": {"In": {"Type": "Fail"}, "Deep": {"Type": "Succeed"}},
            },
        },
        Refund=invoking(Parameters={"FunctionName": f"{FUNCTION}:7"}),
    )
    after["TimeoutSeconds"] = 60
    after["States"]["Charge"]["Resource"] = "arn:aws:states:::sqs:sendMessage"
    bench.bring(after)
    bench.spec = replace(SPEC, executionRoles=(ROLE, f"{ROLE}-2"))
    change = bench.target().plan(bench.artifacts, {}, weighted=True)
    assert change.summary == [
        "the alias live of storefront: version 2 → a new version",
        f"Role: {ROLE} → {ROLE}-2",
        f"Calls for the first time: {FUNCTION}:7",
        "Calls for the first time: sqs:sendMessage",
        f"No longer calls: {CHARGE}",
        "Time-out of an execution (s): none → 60",
        "State Old: removed",
        f"State Charge: calls {CHARGE} → sqs:sendMessage",
        "State Kept: Next none → Ship, End true → none, Result changed",
        "State Each: how its inner states run changed",
        "State Each / In: Type Succeed → Fail",
        "State Each / Deep: added, Succeed",
        f"State Refund: added, Task that calls {FUNCTION}:7",
        "Running executions stay on their version until they end, also after a rollback.",
        (
            "Executions that are started without the alias use the new definition as soon as the release is "
            "approved, before its health is checked."
        ),
    ]
    assert not change.warnings


@pytest.mark.parametrize(
    "credentials, shown",
    [
        ({"RoleArn": "arn:aws:iam::210987654321:role/admin"}, "arn:aws:iam::210987654321:role/admin"),
        ({"RoleArn.$": "$.role"}, "chosen at run time"),
        ({"RoleArn": "{% $states.input.role %}"}, "chosen at run time"),
        ("{% $role %}", "chosen at run time"),
    ],
)
def test_a_role_that_a_task_assumes_is_shown(bench: MachineBench, credentials: Any, shown: str) -> None:
    bench.bring(definition(Other=invoking(Parameters={"FunctionName": CHARGE}, Credentials=credentials)))
    change = bench.target().plan(bench.artifacts, {}, weighted=True)
    assert f"Takes on a role for the first time: {shown}" in change.summary


def test_changed_settings_of_the_state_machine_are_shown(bench: MachineBench) -> None:
    bench.states.change(
        tracingConfiguration={"enabled": True}, encryptionConfiguration={"kmsKeyId": "alias/orders"}
    )
    lines = planned(bench, definition()).summary
    assert lines[1:4] == [
        "Encryption key: none → alias/orders",
        "Tracing: false → true",
        "Definition: no state changes what it does.",
    ]


@pytest.mark.parametrize(
    "state, named",
    [
        ({"Type": "Task", "Resource": FUNCTION, "End": True}, "storefront-charge"),
        (invoking(Parameters={"FunctionName": FUNCTION}), "storefront-charge"),
        (invoking(Parameters={"FunctionName": "storefront-charge"}), "storefront-charge"),
        (invoking(Parameters={"FunctionName": f"{FUNCTION}:$LATEST"}), "storefront-charge"),
        (invoking(Arguments={"FunctionName": "{% $f %}"}), "what is chosen at run time"),
        (invoking(Parameters={"FunctionName.$": "$.f"}), "what is chosen at run time"),
        (
            {
                "Type": "Task",
                "Resource": "arn:aws:states:::states:startExecution.sync:2",
                "Parameters": {"StateMachineArn": ARN},
                "End": True,
            },
            "storefront",
        ),
        ({"Type": "Task", "Resource": f"{FUNCTION}:7", "End": True}, ""),
        (invoking(Parameters={"FunctionName": FUNCTION, "Qualifier": "live"}), ""),
        (invoking(Arguments={"FunctionName": "storefront-charge:live"}), ""),
        ({"Type": "Task", "Resource": "arn:aws:states:::sns:publish", "End": True}, ""),
    ],
)
def test_approvers_are_warned_of_unversioned_calls(
    bench: MachineBench, state: dict[str, Any], named: str
) -> None:
    """Fault 118."""
    inner = {"Type": "Parallel", "Branches": [{"StartAt": "Call", "States": {"Call": state}}]}
    warnings = planned(bench, definition(Both=inner)).warnings
    assert [warning.split(" without ")[0] for warning in warnings] == (
        [f"Both / Call calls {named}"] if named else []
    )


def test_aws_validates_the_definition_at_the_gate(bench: MachineBench) -> None:
    bench.states.diagnostics = [
        {"severity": "WARNING", "code": "PASS", "message": "no effect", "location": "/States/Ship"}
    ]
    assert bench.target().dry_run(bench.artifacts).warning == (
        "Step Functions warns: PASS: no effect at /States/Ship"
    )
    bench.states.diagnostics.append(
        {"severity": "ERROR", "code": "MISSING_TRANSITION_TARGET", "message": "Next is unknown"}
    )
    with pytest.raises(TargetInvalid, match="MISSING_TRANSITION_TARGET: Next is unknown"):
        bench.target().dry_run(bench.artifacts)
    bench.states.diagnostics += [bench.states.diagnostics[-1]] * 60
    with pytest.raises(TargetInvalid, match=r"Next is unknown … and 52 more$"):
        bench.target().dry_run(bench.artifacts)


def test_approvers_read_that_somebody_elses_definition_is_replaced(bench: MachineBench) -> None:
    """Fault 120."""
    release = Release(bench)
    release.prepare()
    release.set_weight(10)
    release.restore()
    assert not planned(bench, definition(after="Better")).warnings, (
        "a release that was rolled back is no drift"
    )
    bench.states.change(definition=json.dumps(definition(after="ByHand")))
    (warning,) = planned(bench, definition(after="Better")).warnings
    assert warning.startswith("Someone else changed the definition of storefront itself")
    assert not planned(bench, definition(after="ByHand")).warnings, "it is this release's"


# ---- the state machine ----------------------------------------------------------------------------------------------


def test_a_role_that_is_not_configured_is_refused(bench: MachineBench) -> None:
    bench.states.change(roleArn="arn:aws:iam::123456789012:role/admin")
    for ask in (lambda: bench.target().check(None), lambda: planned(bench, NEW)):
        with pytest.raises(TargetInvalid, match="not among the target's executionRoles"):
            ask()


def test_callers_that_bypass_the_alias_are_named(bench: MachineBench) -> None:
    """Fault 119."""
    bench.states.begin("ours", version="1", alias="live")
    bench.states.begin("pinned", version="1")
    bench.states.begin("long ago", startDate=ago(days=8))
    assert bench.target().check(None).warning == ""
    bench.states.begin("nightly")
    found = bench.target().check(None)
    warning = found.warning
    assert (
        "1 execution was started on storefront itself and not through the alias (the newest: nightly)"
        in warning
    )
    assert warning.endswith("Point their callers at the alias live.")
    assert found.remedies == [f"Start executions with the alias {ARN}:live, not with {ARN}"]


def test_a_split_alias_is_refused(bench: MachineBench) -> None:
    bench.states.change(definition=json.dumps(NEW))
    bench.states.point({"1": 90, bench.states.publish(): 10})
    for ask in (lambda: bench.target().check(None), bench.target().serving, lambda: planned(bench, NEW)):
        with pytest.raises(TargetInvalid, match="version 1 with 90 %, version 2 with 10 %"):
            ask()


@pytest.mark.parametrize("number, said", [(899, ""), (900, "has 900 of at most 1000 versions")])
def test_the_remaining_versions_quota_is_checked(bench: MachineBench, number: int, said: str) -> None:
    bench.states.versions |= {str(each): bench.states.versions["1"] for each in range(2, number + 1)}
    warning = bench.target().check(None).warning
    assert said in warning if said else not warning


def test_a_state_machine_without_versions_left_is_refused(bench: MachineBench) -> None:
    bench.states.versions |= {str(each): bench.states.versions["1"] for each in range(2, 1001)}
    with pytest.raises(TargetInvalid, match="as many as Step Functions allows"):
        bench.target().check(None)


def test_a_key_without_permission_is_reported(bench: MachineBench) -> None:
    bench.states.refused = ("states:DescribeStateMachine", aws_error("KmsAccessDeniedException"))
    with pytest.raises(TargetInvalid, match="KmsAccessDeniedException"):
        bench.target().check(None)


def test_the_permissions_with_the_longest_names_fit_a_session_policy() -> None:
    arn = f"arn:aws-us-gov:iam::123456789012:role/{'r' * 64}"
    spec = replace(SPEC, stateMachine="m" * 80, region="ap-southeast-2", role=arn, executionRoles=(arn,) * 2)
    rights = step_functions.rights(spec, objects=[f"arn:aws:s3:::{'b' * 63}/releases/{'a' * 40}/v1.0.0/*"])
    assert session_policy(rights)


def test_a_metric_check_counts_executions_by_version() -> None:
    asked = step_functions.KIND.subject(SPEC, {"id": "12", "digest": "", "data": {}})
    assert asked.requests is not None
    assert asked.requests.dimensions == {"StateMachineArn": ARN, "Version": "{version}"}
    check = MetricCheck(type="metric", name="started", expression="a", maxValue=1)
    assert not list(check.lacks(asked))


# ---- the candidate --------------------------------------------------------------------------------------------------


def test_changes_after_the_plan_are_not_overwritten(bench: MachineBench) -> None:
    """Fault 120."""
    release = Release(bench)
    bench.states.change(definition=json.dumps(definition(after="ByHand")))
    before = dict(bench.states.latest)
    for ask in (release.prepare, lambda: release.target.verify_unchanged(release.move(0))):
        with pytest.raises(PlanChanged, match="someone else changed storefront after the plan was made"):
            ask()
    assert bench.states.latest == before


def test_an_existing_definition_is_published_as_it_is(bench: MachineBench) -> None:
    bench.states.change(definition=json.dumps(NEW))
    revision = bench.states.latest["revisionId"]
    release = Release(bench)
    release.prepare()
    assert bench.states.versions[release.candidate["id"]]["revisionId"] == revision
    assert bench.states.versions[release.candidate["id"]]["description"] == "tagship storefront v1.4.0"


@pytest.mark.parametrize("ends", ["FAILED", "TIMED_OUT", "ABORTED"])
@pytest.mark.parametrize("kind", ["STANDARD", "EXPRESS"])
def test_a_synthetic_execution_that_fails_stops_the_release_before_any_traffic(
    bench: MachineBench, ends: str, kind: str
) -> None:
    """Fault 121."""
    bench.states.latest["type"] = bench.states.versions["1"]["type"] = kind
    bench.states.ends_as = ends
    release = Release(bench)
    with pytest.raises(CandidateUnhealthy, match=rf"ended as {ends} \(Refused: the card\)"):
        release.prepare()
    assert bench.shares() == {"1": 100}
    (tried,) = bench.states.executions
    assert tried["input"] == {"orderId": "synthetic"}
    assert tried["stateMachineVersionArn"] == f"{ARN}:2"


def test_a_synthetic_execution_is_started_once_and_waited_for(bench: MachineBench) -> None:
    bench.states.ends_as = "RUNNING"
    target, release = bench.target(), Release(bench)
    waits = [target.prepare(bench.artifacts, release.candidate, release.made.append).wait for _ in range(3)]
    assert waits == [2, 2, 2]
    bench.states.now = ago(seconds=-61)
    with pytest.raises(CandidateUnhealthy, match=r"did not end within 60 s.*stop-execution"):
        target.prepare(bench.artifacts, release.candidate, release.made.append)
    assert len(bench.states.executions) == 1
    bench.states.now, bench.states.ends_as = ago(minutes=-20), "SUCCEEDED"  # another attempt
    release.prepare()
    assert release.candidate["id"] == "2"
    assert len(bench.states.executions) == 2


def test_an_express_execution_that_does_not_end_in_time_stops_the_release(bench: MachineBench) -> None:
    bench.states.latest["type"] = bench.states.versions["1"]["type"] = "EXPRESS"
    release = Release(bench)
    bench.states.refused = ("states:StartSyncExecution", ReadTimeoutError(endpoint_url="https://sync-states"))
    with pytest.raises(CandidateUnhealthy, match="did not end within 8 s"):
        release.prepare()
    bench.refuse("states:StartSyncExecution", throttled=True)
    with pytest.raises(AwsUnavailable):
        release.prepare()


def test_an_express_state_machine_is_released_and_rolled_back(bench: MachineBench) -> None:
    bench.states.latest["type"] = bench.states.versions["1"]["type"] = "EXPRESS"
    release = Release(bench)
    assert bench.target().check(release.change.baseline).warning == ""
    release.prepare()
    release.set_weight(10)
    assert release.restore().endswith(
        "Not undone: executions that had started on version 2. They run to their end within 5 minutes."
    )
    assert bench.shares() == {"1": 100}


def test_an_unpublished_candidate_gets_no_traffic(bench: MachineBench) -> None:
    release = Release(bench)
    with pytest.raises(TargetInvalid, match="no version of storefront was published yet"):
        release.set_weight(10)
    assert bench.shares() == {"1": 100}


# ---- traffic without a precondition ---------------------------------------------------------------------------------


def prepared(bench: MachineBench, *, fence: int = FENCE) -> Release:
    release = Release(bench, fence=fence)
    release.prepare()
    return release


def test_a_late_move_reverts_itself_to_the_newer_ones_routing(bench: MachineBench) -> None:
    """Fault 122. The restore comes between the late move's last look and its write."""
    release = prepared(bench)
    bench.states.moved = release.restore
    with pytest.raises(LockLost, match="fencing number 8"):
        release.set_weight(50)
    assert bench.shares() == {"1": 100}
    assert "fence 8" in bench.states.aliases["live"]["description"]
    assert set(bench.states.tags) == {"tagship:fence:8"}


def test_a_late_step_of_the_same_release_reverts_itself_too(bench: MachineBench) -> None:
    release = prepared(bench)
    late, newer = release.move(10), release.move(50)
    bench.states.moved = lambda: release.target.set_weight(newer)
    with pytest.raises(LockLost):
        release.target.set_weight(late)
    assert bench.shares() == {"1": 50, "2": 50}


def test_another_change_of_the_state_machine_in_progress_is_waited_for(bench: MachineBench) -> None:
    """Fault 95: Step Functions refuses concurrent requests; nobody has moved the alias."""
    release = prepared(bench)
    bench.states.refused = (
        "states:UpdateStateMachineAlias",
        aws_error("ConflictException", message="Updating or deleting a resource can cause inconsistency."),
    )
    with pytest.raises(AwsUnavailable, match="can cause inconsistency"):
        release.set_weight(10)
    bench.states.refused = None
    release.set_weight(10)
    assert bench.shares() == {"1": 90, "2": 10}


def test_a_late_first_move_is_removed_again(bench: MachineBench) -> None:
    bench.empty()
    release = prepared(bench)
    bench.states.moved = release.restore
    with pytest.raises(LockLost):
        release.set_weight(100)
    assert bench.shares() == {}


def test_the_baseline_is_held_so_that_nobody_deletes_it(bench: MachineBench) -> None:
    release = prepared(bench)
    release.set_weight(10)
    assert set(bench.states.aliases) == {"live"}, "it is routed to"
    release.set_weight(100)
    assert bench.states.aliases["tagship-baseline-of-live"]["routes"] == {"1": 100}
    release.restore()
    again = prepared(bench, fence=NEWER + 1)
    again.set_weight(100)
    assert bench.states.aliases["tagship-baseline-of-live"]["routes"] == {"1": 100}


# ---- a rollback -----------------------------------------------------------------------------------------------------


def test_a_rollback_lists_the_executions_it_cannot_undo(bench: MachineBench) -> None:
    """Faults 61 and 123."""
    release = prepared(bench)
    release.set_weight(50)
    for number in range(12):
        bench.states.begin(f"order-{number}", version="2", alias="live")
    bench.states.begin("old", version="1", alias="live")
    said = release.restore()
    assert "Not undone: 12 executions are still running on version 2 and will end there: order-11, " in said
    assert "order-2 and 2 more. All of them: aws stepfunctions list-executions" in said
    assert "old" not in said


def test_a_rollback_continues_if_executions_cannot_be_listed(bench: MachineBench) -> None:
    for throttled in (False, True):
        release = prepared(bench)
        release.set_weight(50)
        bench.refuse("states:ListExecutions", throttled=throttled)
        assert "they could not be listed" in release.restore()
        assert bench.shares() == {"1": 100}
        bench.states = MachineBench().states
    bench.refuse("states:ListExecutions")
    with pytest.raises(CredentialsRefused):
        bench.target().check(None)


def test_an_alias_that_is_used_by_now_is_not_removed(bench: MachineBench) -> None:
    """Fault 99."""
    bench.empty()
    release = prepared(bench)
    release.set_weight(100)
    bench.states.begin("order-1", version="2", alias="live")
    with pytest.raises(BaselineMissing, match="executions were started with the alias live"):
        release.restore()
    assert bench.shares() == {"2": 100}


def test_a_first_release_that_a_duplicate_removes_concurrently_is_removed(bench: MachineBench) -> None:
    bench.empty()
    release = prepared(bench)
    release.set_weight(100)
    bench.states.moved = release.restore
    assert "removed again" in release.restore()
    assert bench.shares() == {}


def test_a_deleted_alias_is_created_again_only_by_a_rollback(
    bench: MachineBench,
) -> None:
    release = prepared(bench)
    release.set_weight(10)
    bench.empty()
    for act in (
        lambda: release.set_weight(100),
        lambda: release.target.verify_weight(release.move(100)),
        lambda: bench.target().check(release.change.baseline),
    ):
        with pytest.raises(TargetMoved):
            act()
    release.restore()
    assert bench.shares() == {"1": 100}


def test_a_recreated_state_machine_has_no_baseline(bench: MachineBench) -> None:
    release = prepared(bench)
    assert release.change.baseline is not None
    release.target.restorable(release.change.baseline)
    bench.states.versions["1"]["definition"] = json.dumps(definition(after="Other"))
    for ask in (release.target.exists, release.target.restorable):
        with pytest.raises(BaselineMissing, match="was created again"):
            ask(release.change.baseline)


def test_the_serving_version_can_be_adopted(bench: MachineBench) -> None:
    serves = bench.target().serving()
    assert serves is not None
    assert serves["id"] == "1"
    assert bench.target().check(serves).said.endswith("has not changed since the last release.")


# ---- old versions ---------------------------------------------------------------------------------------------------


def released(bench: MachineBench, number: int) -> Any:
    """A release that made version `number`, and succeeded."""
    bench.bring(definition(after=f"Release{number}"))
    release = prepared(bench, fence=number)
    release.set_weight(100)
    assert release.candidate["id"] == str(number)
    return release.candidate


def versions_of(bench: MachineBench) -> Any:
    assert step_functions.KIND.keeps
    return step_functions.KIND.keeps(
        application="storefront", spec=SPEC, client=lambda *_, **__: Checked(bench.states)
    )


def test_an_old_version_is_deleted_only_if_nothing_uses_it(bench: MachineBench) -> None:
    """Fault 97."""
    known = [bench.target().serving(), *(released(bench, number) for number in (2, 3, 4, 5))]
    bench.states.executions.clear()
    bench.states.begin("order-3", version="3", alias="live")
    bench.states.begin("nightly", version="2", status="SUCCEEDED")
    stored = versions_of(bench).stored(known)
    assert {each.name: each.used for each in stored} == {
        "version 1": "",
        "version 2": "",
        "version 3": "executions are running on it, order-3 among them",
        "version 4": "the alias tagship-baseline-of-live points at it",
        "version 5": "the alias live points at it",
    }
    for _ in range(2):
        versions_of(bench).delete(stored[1])
    assert sorted(bench.states.versions) == ["1", "3", "4", "5"]
    with pytest.raises(
        TargetInvalid, match=r"version 5 of storefront was not deleted.*referenced by an alias"
    ):
        versions_of(bench).delete(stored[4])
    with pytest.raises(
        TargetInvalid,
        match=r"no release in the ledger made it.*--state-machine-version-arn arn:.*:storefront:1 ",
    ):
        versions_of(bench).delete(replace(stored[0], revisions=()))
    with pytest.raises(
        TargetInvalid, match="version live of storefront was not deleted: it has no version number"
    ):
        versions_of(bench).delete(replace(stored[0], name="version live"))


def test_a_recreated_state_machines_version_belongs_to_no_release(bench: MachineBench) -> None:
    known = [bench.target().serving()]
    assert [each.revisions for each in versions_of(bench).stored(known)] == [known]
    bench.states.versions["1"]["definition"] = json.dumps(definition(after="Other"))
    assert [each.revisions for each in versions_of(bench).stored(known)] == [[]]


def test_a_version_whose_step_died_before_recording_it_belongs_to_its_release(bench: MachineBench) -> None:
    """Fault 97. The state machine's role changes before the retry, which then refuses the plan."""
    recorded: list[Any] = []
    candidate = planned(bench, NEW).candidate

    def dies(revision: Any) -> None:
        if revision["id"]:
            raise KeyboardInterrupt
        recorded.append(revision)

    with pytest.raises(KeyboardInterrupt):
        bench.target().prepare(bench.artifacts, candidate, dies)
    lost = max(bench.states.versions, key=int)
    bench.states.change(roleArn=ROLE + "-2")
    bench.states.publish()  # the same definition with another role, by hand
    with pytest.raises(PlanChanged):
        bench.target().prepare(bench.artifacts, candidate, recorded.append)
    found = [each for each in versions_of(bench).stored([candidate, *recorded]) if each.revisions]
    assert [each.name for each in found] == [f"version {lost}"]
    versions_of(bench).delete(found[0])
    assert lost not in bench.states.versions
    assert not any(each.revisions for each in versions_of(bench).stored([candidate]))
