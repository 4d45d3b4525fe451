"""The lambda target: what is planned, how traffic moves, and that what somebody else did is seen and never overwritten."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from typing import Any

import pytest
from botocore.exceptions import ClientError

from tagship.model.errors import (
    AwsUnavailable,
    BaselineMissing,
    CandidateNotReady,
    CredentialsRefused,
    LockLost,
    NotStable,
    PlanChanged,
    TargetInvalid,
    TargetMoved,
)
from tagship.model.records import Revision
from tagship.targets.kind import Change, Move, Prepared
from tests.unit.builders import sha256
from tests.unit.tables import aws_error
from tests.unit.targets.functions import (
    BUCKET,
    FOREIGN,
    KEY,
    NEW,
    OLD,
    FakeLambda,
    artifacts,
    digest,
    target,
)

BY_HAND = (
    "aws lambda update-alias --function-name storefront --name live --region us-east-1 --function-version {} "
    "--routing-config AdditionalVersionWeights={{}}"
)


class Release:
    """One planned and prepared release of storefront, and its way through traffic steps under a fencing number."""

    def __init__(self, functions: FakeLambda, *, fence: int = 7) -> None:
        self.target = target(functions)
        change = self.target.plan(artifacts(), {}, weighted=True)
        self.baseline, self.candidate = change.baseline, change.candidate
        if not change.nothingToChange:
            self.candidate = self.target.prepare(artifacts(), change.candidate, lambda _: None).candidate
        self.etag = (change.baseline or {}).get("etag", "")
        self.fence = fence

    @property
    def revisions(self) -> dict[str, Any]:
        return {"baseline": self.baseline, "candidate": self.candidate}

    def move(self, percent: int, **changes: Any) -> Move:
        return Move(**self.revisions | {"percent": percent, "etag": self.etag, "fence": self.fence} | changes)

    def shift(self, percent: int) -> None:
        self.etag = self.target.set_weight(self.move(percent))

    def settled(self, percent: int) -> bool:
        return self.target.verify_weight(self.move(percent)) == 0

    def restore(self, *, fence: int = 8) -> str:
        return self.target.restore(**self.revisions, fence=fence)


def plan(functions: FakeLambda, code: bytes = NEW, *, weighted: bool = True) -> Change:
    return target(functions).plan(artifacts(code), {}, weighted=weighted)


def prepare(functions: FakeLambda, change: Change, code: bytes = NEW, **options: Any) -> Prepared:
    return target(functions, **options).prepare(artifacts(code), change.candidate, lambda _: None)


@pytest.fixture
def functions() -> FakeLambda:
    return FakeLambda()


@pytest.fixture
def release(functions: FakeLambda) -> Release:
    return Release(functions)


@pytest.fixture
def first(functions: FakeLambda) -> Release:
    """A release where nothing serves yet."""
    functions.aliases.clear()
    return Release(functions)


# ---- plan ----------------------------------------------------------------------------------------------------------

OF = "arn:aws:lambda:us-east-1:000000000000:function:storefront:live"


def test_a_plan_describes_the_candidate_and_changes_nothing(functions):
    change = plan(functions)
    assert change.candidate["id"] == ""
    assert change.candidate["data"] == {"codeSha256": digest(NEW), "of": OF}
    assert change.baseline is not None
    assert change.baseline["id"] == "1"
    assert change.baseline["etag"] == functions.aliases["live"]["RevisionId"]
    assert change.nothingToChange is False
    assert functions.serving == ("1", {})
    assert functions.writes == []


def test_an_approver_sees_the_changes(functions):
    assert plan(functions).summary == [
        "the alias live of storefront: version 1 → a new version",
        f"Code: {sha256(OLD)[:12]} → {sha256(NEW)[:12]} ({len(NEW)} bytes)",
    ]


def test_a_repeated_plan_is_identical(functions):
    """Fault 29."""
    assert plan(functions) == plan(functions)
    assert list(functions.versions) == ["1"]


def test_code_and_configuration_that_already_serve_are_nothing_to_change(functions):
    """Fault 31."""
    change = plan(functions, OLD)
    assert change.nothingToChange
    assert change.candidate == change.baseline
    assert change.summary == [
        "Nothing to change: the alias live of storefront already runs this code and configuration, as version 1."
    ]
    assert functions.writes == []


def test_identical_code_is_compared_with_the_serving_version_not_with_the_last_upload(functions):
    functions.by_hand()
    assert plan(functions, OLD).nothingToChange


@pytest.mark.parametrize(
    "changed, line",
    [
        ({"MemorySize": 512}, "Configuration: memory (MB) 256 → 512"),
        ({"Handler": "evil.handler"}, "Configuration: handler index.handler → evil.handler"),
        ({"Layers": [{"Arn": "arn:layer:2"}]}, "Configuration: layers none → arn:layer:2"),
        (
            {"SnapStart": {"ApplyOn": "PublishedVersions"}},
            "Configuration: SnapStart None → PublishedVersions",
        ),
        (
            {"Environment": {"Variables": {"TABLE": "orders", "TOKEN": "0ther"}}},
            "Environment variables changed: TOKEN",
        ),
        (
            {
                "Environment": {
                    "Variables": {"TABLE": "orders", "TOKEN": "s3cr3t", "AWS_LAMBDA_EXEC_WRAPPER": "/opt/x"}
                }
            },
            "Environment variables added: AWS_LAMBDA_EXEC_WRAPPER",
        ),
        ({"Environment": {"Variables": {"TABLE": "orders"}}}, "Environment variables removed: TOKEN"),
    ],
    ids=str,
)
def test_a_release_that_changes_only_the_configuration_is_planned_and_published(functions, changed, line):
    """Fault 82."""
    functions.latest |= changed
    change = plan(functions, OLD)
    assert not change.nothingToChange
    assert line in change.summary
    assert "Code: unchanged; only the configuration changes." in change.summary
    assert "s3cr3t" not in str(change)
    assert "0ther" not in str(change)
    prepared = prepare(functions, change, OLD)
    assert prepared.candidate is not None
    assert prepared.candidate["id"] == "2"


def test_dangerous_changes_come_before_the_code_and_the_rest(functions):
    functions.latest |= {"Timeout": 30, "Role": "arn:aws:iam::000000000000:role/admin"}
    summary = plan(functions, weighted=False).summary
    assert [line.split(" ")[1] for line in summary if line.startswith("Configuration")] == [
        "role",
        "time-out",
    ]


@pytest.mark.parametrize(
    "changed, what",
    [
        ({"Role": "arn:aws:iam::000000000000:role/admin"}, "role"),
        ({"DeadLetterConfig": {"TargetArn": "arn:aws:sqs:us-east-1:000000000000:dead"}}, "dead-letter queue"),
    ],
)
def test_versions_between_which_lambda_cannot_split_traffic_are_refused_before_approval(
    functions, changed, what
):
    """Faults 67 and 87."""
    functions.latest |= changed
    with pytest.raises(
        TargetInvalid, match=f"the {what} of storefront changed.* Use the strategy all-at-once"
    ):
        plan(functions)
    assert not plan(functions, weighted=False).nothingToChange
    assert functions.writes == []


def test_both_differences_between_which_lambda_cannot_split_traffic_are_named(functions):
    dead_letters = {"TargetArn": "arn:aws:sqs:us-east-1:000000000000:dead"}
    functions.latest |= {"Role": "arn:aws:iam::000000000000:role/admin", "DeadLetterConfig": dead_letters}
    with pytest.raises(TargetInvalid, match="the role and the dead-letter queue of storefront changed"):
        plan(functions)


def test_traffic_splits_on_an_alias_with_provisioned_concurrency_are_refused_before_approval(functions):
    """Faults 63 and 86."""
    functions.provisioned = True
    with pytest.raises(TargetInvalid) as refused:
        plan(functions)
    assert str(refused.value) == (
        "storefront v1.4.0: the alias live of storefront has provisioned concurrency, and Lambda cannot split traffic on "
        "such an alias. Nothing was changed. Use the strategy all-at-once, or remove the provisioned concurrency."
    )
    assert not plan(functions, weighted=False).nothingToChange


def test_an_alias_without_a_concurrency_of_its_own_may_split_traffic(functions):
    functions.refuses["get_provisioned_concurrency_config"] = aws_error(
        "ResourceNotFoundException", status=404
    )
    assert not plan(functions).nothingToChange
    functions.refuses["get_provisioned_concurrency_config"] = aws_error("AccessDeniedException", status=403)
    with pytest.raises(
        CredentialsRefused,
        match=r"^storefront v1\.4\.0: looking at the concurrency of the alias live of storefront: ",
    ):
        plan(functions)


def test_a_published_version_that_is_not_the_approved_one_is_refused(release):
    """Fault 25."""
    approved: Revision = {**release.candidate, "digest": "another configuration"}
    with pytest.raises(PlanChanged, match="the version that was published is not the one that was approved"):
        release.target.prepare(artifacts(), approved, lambda _: None)


def test_unreadable_variables_cannot_be_approved(functions):
    functions.latest |= {"Environment": {"Error": {"ErrorCode": "AccessDeniedException"}}}
    with pytest.raises(TargetInvalid, match=r"cannot be read \(AccessDeniedException\), .*kms:Decrypt"):
        plan(functions)


def test_an_artifact_with_another_name_is_not_a_functions_code(functions):
    with pytest.raises(TargetInvalid) as caught:
        target(functions).plan(artifacts(name="assets"), {}, weighted=True)
    assert str(caught.value) == (
        "storefront v1.4.0: a target of type lambda needs an artifact named 'function'; the manifest has assets. Nothing "
        "was changed."
    )
    assert functions.calls == []


def test_a_missing_function_is_refused(functions):
    functions.aliases.clear()
    with pytest.raises(TargetInvalid) as refused:
        target(functions, function="nothing").plan(artifacts(), {}, weighted=True)
    assert str(refused.value) == (
        "storefront v1.4.0: there is no function nothing in account 000000000000, us-east-1. Nothing was changed. Create "
        "it first, with the tool that manages your infrastructure."
    )


def test_a_throttled_look_at_the_alias_says_what_was_looked_at(functions):
    functions.refuses["get_alias"] = aws_error("TooManyRequestsException", status=429)
    with pytest.raises(
        AwsUnavailable, match=r"^storefront v1\.4\.0: looking at the alias live of storefront: "
    ):
        target(functions).serving()


@pytest.mark.parametrize(
    "version, weights, expected",
    [
        ("1", {"2": 0.25}, "version 1, 25 % to version 2"),
        ("1", {"2": 0.9}, "version 1, 90 % to version 2"),
        ("$LATEST", {}, r"version \$LATEST"),
    ],
)
def test_an_alias_without_a_clear_baseline_is_refused_before_approval(functions, version, weights, expected):
    """Fault 33."""
    functions.by_hand()
    functions.point(version, weights=weights)
    with pytest.raises(
        TargetInvalid, match=f"points at {expected}. Send all its traffic to one published version"
    ) as caught:
        plan(functions)
    assert BY_HAND.format("<version>") in str(caught.value)
    assert functions.writes == []


def test_a_first_release_says_that_nothing_is_deployed(functions):
    """Fault 46."""
    functions.aliases.clear()
    change = plan(functions)
    assert change.baseline is None
    assert change.summary == [
        (
            "the alias live of storefront does not exist; it will be created and will send all traffic to the "
            f"new version ({len(NEW)} bytes)."
        ),
        "Nothing serves traffic now: a rollback would remove the alias again.",
    ]
    assert functions.serving is None


def test_a_large_package_is_shown_in_mebibytes(functions):
    (artifact, pinned) = artifacts()["function"]
    for size, shown in (
        (4_404_019, "4.2 MiB"),
        (1_048_576, "1.0 MiB"),
        (1_048_575, "1024 KiB"),
        (9_999, "9999 bytes"),
    ):
        change = target(functions).plan(
            {"function": (replace(artifact, size=size), pinned)}, {}, weighted=True
        )
        assert change.summary[1].endswith(f"({shown})")


# ---- the candidate -------------------------------------------------------------------------------------------------


def test_the_candidate_is_uploaded_and_published_in_one_call_without_traffic(functions):
    change = plan(functions)
    prepared = prepare(functions, change)
    assert prepared == Prepared(candidate={**change.candidate, "id": "2"})
    assert functions.writes == ["update_function_code"]
    assert functions.serving == ("1", {})


def test_repeated_and_duplicate_requests_create_one_version(functions):
    """Fault 29."""
    change = plan(functions)
    assert prepare(functions, change) == prepare(functions, change)
    assert list(functions.versions) == ["1", "2"]


def test_code_that_is_still_being_processed_is_waited_for(functions):
    change = plan(functions)
    functions.takes = "InProgress"
    for _ in range(2):
        assert prepare(functions, change).wait > 0
    assert functions.writes.count("update_function_code") == 1
    functions.latest["LastUpdateStatus"] = "Successful"
    assert prepare(functions, change).candidate["id"] == "2"


def test_another_update_in_progress_is_waited_for_and_not_disturbed(functions):
    change = plan(functions)
    functions.latest["LastUpdateStatus"] = "InProgress"
    assert prepare(functions, change).wait > 0
    assert functions.writes == []


def test_code_that_lambda_refuses_ends_the_release(functions):
    change = plan(functions)
    functions.takes = "Failed"
    prepare(functions, change)
    with pytest.raises(
        TargetInvalid, match=r"rejected the code of storefront: the layer is gone\. No traffic was moved"
    ):
        prepare(functions, change)


def test_an_inactive_version_is_waited_for(functions):
    """Faults 35 and 73. The first look comes soon: most versions are active within a second."""
    change = plan(functions)
    functions.becomes = "Pending"
    assert [prepare(functions, change) for _ in range(3)] == [
        Prepared(wait=1),
        Prepared(wait=2),
        Prepared(wait=2),
    ]
    functions.versions["2"]["State"] = "Active"
    assert prepare(functions, change).candidate["id"] == "2"


@pytest.mark.parametrize("state", ["Active", "Failed"])
def test_a_version_that_settles_within_a_second_needs_no_second_call(functions, state):
    """Step Functions waits in whole seconds; the publishing itself is never repeated for it."""
    change, pauses = plan(functions), []
    functions.becomes = "Pending"

    def pause(seconds: float) -> None:
        pauses.append(seconds)
        if len(pauses) == 3:
            functions.versions["2"] |= {"State": state, "StateReason": "its init failed"}

    if state == "Failed":
        with pytest.raises(TargetInvalid, match="did not become active: its init failed"):
            prepare(functions, change, pause=pause)
    else:
        assert prepare(functions, change, pause=pause).candidate["id"] == "2"
    assert pauses == [0.3, 0.07, 0.07], "none is active at once"
    assert functions.writes == ["update_function_code"]


def test_a_slow_version_is_left_to_the_state_machine_within_a_second(functions):
    """Longer waits are the state machine's, and free."""
    change, pauses = plan(functions), []
    functions.becomes = "Pending"
    assert prepare(functions, change, pause=pauses.append) == Prepared(wait=1)
    assert 0 < sum(pauses) < 1


def test_a_version_that_fails_to_become_active_ends_the_release(functions):
    """Faults 73 and 88."""
    change = plan(functions)
    functions.becomes = "Failed"
    with pytest.raises(
        TargetInvalid,
        match=r"version 2 of storefront did not become active: its init failed\. No traffic was moved",
    ):
        prepare(functions, change)
    assert functions.serving == ("1", {})


@pytest.mark.parametrize(
    "changed", [{"Handler": "evil.handler"}, {"Environment": {"Variables": {}}}], ids=str
)
def test_a_configuration_changed_after_the_plan_is_not_published(functions, changed):
    """Fault 25."""
    change = plan(functions)
    functions.latest |= changed
    with pytest.raises(
        PlanChanged, match=r"the version that would be published is not the one that was approved"
    ):
        prepare(functions, change)
    assert functions.writes == []


def test_a_configuration_changed_between_read_and_upload_is_not_published(functions):
    """Fault 25: what was published is compared with what was approved."""
    change = plan(functions)
    functions.before["update_function_code"] = lambda: functions.latest.update(Handler="evil.handler")
    with pytest.raises(PlanChanged, match="the version that is published is not the one that was approved"):
        prepare(functions, change)
    assert functions.serving == ("1", {})


def test_other_code_uploaded_between_read_and_upload_is_not_overwritten(functions):
    change = plan(functions)
    functions.before["update_function_code"] = functions.by_hand
    assert prepare(functions, change).wait > 0
    assert all(version["CodeSha256"] != digest(NEW) for version in functions.versions.values())


def test_bytes_that_differ_from_the_manifest_are_no_candidate(functions):
    """Fault 25."""
    change = plan(functions)
    functions.uploads = dict.fromkeys(functions.uploads, b"other bytes")
    with pytest.raises(PlanChanged) as refused:
        prepare(functions, change)
    assert str(refused.value) == (
        "storefront v1.4.0: the uploaded code is not the code that was approved. No traffic was moved."
    )
    assert functions.serving == ("1", {})


@pytest.mark.parametrize(
    "code", ["InvalidParameterValueException", "ResourceConflictException", "PreconditionFailedException"]
)
def test_a_function_that_somebody_changes_while_its_version_is_published_is_read_again(
    functions, release, code
):
    functions.refuses["publish_version"] = aws_error(code)
    unpublished: Revision = {**release.candidate, "id": ""}
    assert release.target.prepare(artifacts(), unpublished, lambda _: None) == Prepared(wait=2)
    functions.refuses["publish_version"] = aws_error("TooManyRequestsException", status=429)
    with pytest.raises(AwsUnavailable, match=r"^storefront v1\.4\.0: publishing a version of storefront: "):
        release.target.prepare(artifacts(), unpublished, lambda _: None)


def test_a_version_that_an_earlier_call_made_is_waited_for_until_it_is_active_or_has_failed(
    functions, release
):
    functions.versions["2"]["State"] = "Pending"
    assert release.target.prepare(artifacts(), release.candidate, lambda _: None) == Prepared(wait=2)
    functions.versions["2"] |= {"State": "Failed", "StateReason": "its init failed"}
    with pytest.raises(TargetInvalid) as refused:
        release.target.prepare(artifacts(), release.candidate, lambda _: None)
    assert str(refused.value) == (
        "storefront v1.4.0: version 2 of storefront did not become active: its init failed. No traffic was moved."
    )


def test_a_deleted_upload_version_ends_the_release(functions):
    change = plan(functions)
    functions.uploads.clear()
    with pytest.raises(TargetInvalid, match="NoSuchVersion"):
        prepare(functions, change)


def test_the_longest_names_leave_room_for_the_fencing_number(functions):
    adapter = replace(target(functions, tag="v1.0.0-" + "x" * 121), application="a" * 40)
    change = adapter.plan(artifacts(), {}, weighted=True)
    candidate = adapter.prepare(artifacts(), change.candidate, lambda _: None).candidate
    move = Move(
        baseline=change.baseline, candidate=candidate, percent=10, etag=change.baseline["etag"], fence=10**12
    )
    adapter.set_weight(move)
    written = functions.aliases["live"]
    assert written["Description"].endswith(f", fence {10**12}")
    assert adapter.set_weight(replace(move, etag="")) == written["RevisionId"], "its own work"


def test_a_write_whose_response_was_lost_is_recognized(functions, release):
    """Fault 79: the client asks again behind our back, and meets the revision that its first try has made."""

    def first_try() -> None:
        functions.point("1", weights={"2": 0.1}, description="tagship storefront v1.4.0, fence 7")

    functions.before["update_alias"] = first_try
    release.shift(10)
    assert functions.serving == ("1", {"2": 0.1})
    assert release.etag == functions.aliases["live"]["RevisionId"]


def test_another_change_of_the_function_in_progress_is_waited_for(functions, release):
    """Fault 95: Lambda answers so while it still applies another change; nobody has moved the alias."""
    in_progress = aws_error("ResourceConflictException", status=409, message="An update is in progress")
    functions.refuses["update_alias"] = in_progress
    with pytest.raises(AwsUnavailable, match="An update is in progress"):
        release.shift(10)
    with pytest.raises(AwsUnavailable, match="An update is in progress"):
        release.restore()
    del functions.refuses["update_alias"]
    release.shift(10)
    assert functions.serving == ("1", {"2": 0.1})


def test_a_version_that_cannot_be_read_yet_is_waited_for(functions):
    """Fault 73: what was just published may not be visible at once."""
    change = plan(functions)
    read, unseen = functions._version, ["2", "2"]

    def not_yet(version: str) -> dict[str, Any]:
        if version in unseen:
            unseen.remove(version)
            raise aws_error("ResourceNotFoundException", status=404, message="Function not found")
        return read(version)

    functions._version = not_yet
    assert prepare(functions, change).wait > 0
    assert prepare(functions, change).wait > 0
    assert prepare(functions, change).candidate["id"] == "2"
    assert list(functions.versions) == ["1", "2"]


@pytest.mark.parametrize("code", ["CodeVerificationFailedException", "InvalidCodeSignatureException"])
def test_code_that_the_functions_signing_configuration_refuses_is_reported(functions, code):
    """Fault 33: a function can require signed code."""
    functions.refuses["get_ready (a dry run)"] = aws_error(code, message="The code signature is not valid")
    with pytest.raises(TargetInvalid, match="The code signature is not valid"):
        target(functions).dry_run(artifacts())


def test_another_share_under_the_same_number_is_not_ones_own_write(functions, release):
    """A duplicate of an earlier step writes between the read and the write."""
    functions.before["update_alias"] = lambda: functions.point(
        "1", weights={"2": 0.5}, description="tagship storefront v1.4.0, fence 7"
    )
    with pytest.raises(TargetMoved, match="PreconditionFailedException"):
        release.shift(10)
    assert functions.serving == ("1", {"2": 0.5})


# ---- shift ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("percent", [1, 7, 10, 29, 50, 99])
def test_the_candidate_gets_a_share(functions, release, percent):
    release.shift(percent)
    assert functions.serving == ("1", {"2": percent / 100})
    assert functions.aliases["live"]["Description"] == "tagship storefront v1.4.0, fence 7"


def test_at_100_percent_only_the_candidate_is_left(functions, release):
    for percent in (10, 50, 100):
        release.shift(percent)
    assert functions.serving == ("2", {})
    assert functions.writes.count("update_alias") == 3


@pytest.mark.parametrize("percent", [10, 100])
def test_a_completed_shift_is_not_repeated(functions, release, percent):
    """Fault 29."""
    release.target.verify_unchanged(release.move(percent))
    reached = release.target.set_weight(release.move(percent))
    release.target.verify_unchanged(release.move(percent))
    assert release.target.set_weight(release.move(percent)) == reached
    assert functions.writes.count("update_alias") == 1


@pytest.mark.parametrize(
    "by_hand", [("1", {}), ("2", {}), ("3", {}), ("1", {"3": 0.5}), ("1", {"2": 0.9})], ids=str
)
@pytest.mark.parametrize("steps", [0, 1])
def test_a_manual_alias_change_is_not_overwritten(functions, release, by_hand, steps):
    """Fault 30."""
    if steps:
        release.shift(10)
    functions.by_hand()
    functions.point(by_hand[0], weights=by_hand[1])
    for ask in (release.target.verify_unchanged, release.target.set_weight):
        with pytest.raises(
            TargetMoved,
            match=rf"was changed by someone else after the plan was made: it points at version {by_hand[0]}\b",
        ):
            ask(release.move(50))
    assert functions.serving == by_hand


def test_a_manual_change_between_read_and_write_is_not_overwritten(functions, release):
    """Fault 30: AWS's own precondition."""
    functions.before["update_alias"] = lambda: functions.point(functions.by_hand())
    with pytest.raises(TargetMoved, match="PreconditionFailedException"):
        release.shift(10)
    assert functions.serving == ("3", {})


def test_a_deleted_alias_is_not_created_again(functions, release):
    """Fault 30."""
    functions.aliases.clear()
    for ask in (release.target.verify_unchanged, release.target.set_weight):
        with pytest.raises(TargetMoved) as refused:
            ask(release.move(10))
        assert str(refused.value) == (
            "storefront v1.4.0: the alias live of storefront was deleted after the plan was made. Tagship changed nothing."
        )
    assert functions.serving is None


def test_a_lower_fencing_number_is_refused_by_the_alias_itself(functions, release):
    """Fault 27."""
    newer = Release(functions, fence=9)
    newer.shift(10)
    for ask in (release.target.verify_unchanged, release.target.set_weight):
        with pytest.raises(
            LockLost, match="changed with the newer fencing number 9, so 7 can no longer change it"
        ):
            ask(release.move(50))
    assert functions.serving == ("1", {"2": 0.1})


def test_the_same_share_under_another_number_is_not_ones_own_write(functions, release):
    Release(functions, fence=6).shift(10)
    with pytest.raises(TargetMoved):
        release.shift(10)


def test_a_candidate_with_other_code_than_planned_gets_no_traffic(functions, release):
    """Fault 25."""
    release.target.verify_unchanged(release.move(0))
    functions.versions["2"]["CodeSha256"] = digest(OLD)
    with pytest.raises(TargetMoved, match="version 2 of storefront does not have the code that was planned"):
        release.target.verify_unchanged(release.move(0))


def test_before_its_version_exists_a_candidate_is_what_would_be_published(functions):
    """The recheck after the approval: the code is not uploaded yet, and only the configuration can differ."""
    change = plan(functions)
    move = Move(
        baseline=change.baseline,
        candidate=change.candidate,
        percent=0,
        etag=(change.baseline or {}).get("etag", ""),
        fence=7,
    )
    target(functions).verify_unchanged(move)
    functions.latest["MemorySize"] = 1024
    with pytest.raises(PlanChanged) as refused:
        target(functions).verify_unchanged(move)
    assert str(refused.value) == (
        "storefront v1.4.0: the version that would be published is not the one that was approved: the configuration of "
        "storefront changed after the plan was made. No traffic was moved. Publish a new tag to plan and approve it again."
    )


def test_a_first_release_creates_the_alias_once(functions, first):
    first.target.verify_unchanged(first.move(100))
    reached = first.target.set_weight(first.move(100))
    assert functions.serving == ("2", {})
    assert first.target.set_weight(first.move(100)) == reached
    assert functions.writes.count("create_alias") == 1


@pytest.mark.parametrize("moment", ["before", "between look and write"])
def test_an_alias_that_somebody_else_created_is_not_used(functions, first, moment):
    """Fault 30."""
    if moment == "before":
        functions.point("1")
    else:
        functions.before["create_alias"] = lambda: functions.point("1")
    with pytest.raises(TargetMoved):
        first.shift(100)
    assert functions.serving == ("1", {})


# ---- settling ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("percent", [10, 100])
def test_a_share_that_reads_as_written_has_settled(release, percent):
    assert not release.settled(percent)
    release.shift(percent)
    assert release.settled(percent)


def test_everything_on_the_baseline_has_settled_when_no_weight_is_left(release):
    release.shift(10)
    assert not release.settled(0)
    release.restore()
    assert release.settled(0)


@pytest.mark.parametrize("percent", [10, 100])
def test_a_pending_version_has_not_settled(functions, release, percent):
    """Fault 35."""
    release.shift(percent)
    functions.versions["2"]["State"] = "Pending"
    assert not release.settled(percent)


def test_moving_provisioned_concurrency_is_waited_for(functions, release):
    """Fault 63.

    Lambda itself keeps the old version as the additional one, with all of the weight, until the new one is ready."""
    release.shift(100)
    functions.point("2", weights={"1": 1.0}, description="tagship storefront v1.4.0, fence 7")
    assert not release.settled(100)
    functions.point("2", description="tagship storefront v1.4.0, fence 7")
    assert release.settled(100)


def test_a_failed_version_never_settles(functions, release):
    release.shift(10)
    functions.versions["2"] |= {"State": "Failed", "StateReason": "no such subnet"}
    with pytest.raises(TargetInvalid, match="failed to become active: no such subnet"):
        release.settled(10)
    del functions.versions["2"]["StateReason"]
    with pytest.raises(TargetInvalid, match=r"failed to become active: no reason given$"):
        release.settled(10)


def test_a_version_without_a_state_has_settled(functions, release):
    release.shift(10)
    del functions.versions["2"]["State"]
    assert release.settled(10)


def test_a_deleted_alias_never_settles(functions, release):
    release.shift(100)
    functions.aliases.clear()
    with pytest.raises(TargetMoved, match="no longer exists"):
        release.settled(100)


@pytest.mark.parametrize("weights", [{}, {"2": 0.1}], ids=str)
def test_an_alias_moved_by_somebody_else_is_not_waited_for(functions, release, weights):
    """Fault 30."""
    release.shift(10)
    functions.point(functions.by_hand(), weights=weights)
    with pytest.raises(TargetMoved) as refused:
        release.settled(10)
    share = ", 10 % to version 2" if weights else ""
    assert str(refused.value) == (
        "storefront v1.4.0: the alias live of storefront was changed by someone else after the plan was made: it points "
        f"at version 3{share}. Tagship did not overwrite it."
    )


# ---- restore -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("percent", [10, 100])
def test_the_baseline_gets_all_traffic_in_one_write(functions, release, percent):
    release.shift(percent)
    before = len(functions.writes)
    assert release.restore() == "the alias live of storefront sends all traffic to version 1 again."
    assert functions.serving == ("1", {})
    assert functions.writes[before:] == ["update_alias"]
    assert functions.aliases["live"]["Description"] == "tagship storefront v1.4.0, fence 8"


def test_a_baseline_that_already_serves_is_reported(functions, release):
    assert release.restore() == "the alias live of storefront already sent all traffic to version 1."
    assert functions.serving == ("1", {})


def test_a_completed_restore_writes_nothing_again(functions, release):
    """Fault 29."""
    release.shift(10)
    release.restore()
    before = list(functions.writes)
    assert "already" in release.restore()
    assert functions.writes == before


def test_a_later_change_is_restored_again_under_the_same_number(functions, release):
    release.shift(10)
    release.restore(fence=8)
    functions.point("1", weights={"2": 0.5}, description="tagship storefront v1.4.0, fence 8")
    assert "again" in release.restore(fence=8)
    assert functions.serving == ("1", {})


def test_an_alias_without_a_fencing_number_is_written_too(functions, release):
    functions.point("1")
    assert "already" in release.restore(fence=1)
    assert functions.writes[-1] == "update_alias"


@pytest.mark.parametrize("percent", [0, 10])
def test_the_releases_pending_write_is_refused_after_the_restore(functions, release, percent):
    """Faults 27 and 28: it had renewed its lease and read the target, and was stopped just before its write."""
    if percent:
        release.shift(percent)
    release.restore()
    with pytest.raises((TargetMoved, LockLost)):
        release.shift(50)
    assert functions.serving == ("1", {})


def test_a_write_in_flight_during_the_restore_is_refused_by_aws(functions, release):
    """Fault 27."""
    functions.before["update_alias"] = release.restore
    with pytest.raises(TargetMoved):
        release.shift(10)
    assert functions.serving == ("1", {})


def test_a_foreign_version_is_not_overwritten_and_the_manual_command_is_shown(functions, release):
    """Fault 30."""
    release.shift(100)
    functions.point(functions.by_hand())
    with pytest.raises(TargetMoved, match=r"points at version 3\. Tagship did not overwrite it") as caught:
        release.restore()
    assert BY_HAND.format("1") in str(caught.value)
    assert functions.serving == ("3", {})


def test_a_foreign_share_is_not_overwritten_either(functions, release):
    functions.by_hand()
    functions.point("1", weights={"3": 0.1})
    with pytest.raises(TargetMoved, match="version 1, 10 % to version 3"):
        release.restore()
    assert functions.serving == ("1", {"3": 0.1})


def test_shares_of_the_releases_own_versions_are_restored_whoever_set_them(functions, release):
    functions.point("2", weights={"1": 0.4})
    release.restore()
    assert functions.serving == ("1", {})


def test_a_rollback_with_a_lower_number_is_refused(functions, release):
    functions.point("2", description="tagship storefront v1.4.0, fence 9")
    with pytest.raises(LockLost):
        release.restore(fence=8)
    assert functions.serving == ("2", {})


def test_a_concurrent_write_is_read_again(functions, release):
    release.shift(10)
    functions.before["update_alias"] = lambda: functions.point("2")
    with pytest.raises(
        NotStable, match=r"^storefront v1\.4\.0: moving the alias live of storefront: .*PreconditionFailed"
    ):
        release.restore()
    assert functions.serving == ("2", {})
    release.restore()
    assert functions.serving == ("1", {})


def test_a_restore_that_does_not_read_back_is_repeated(functions, release):
    release.shift(10)

    class Stale:
        def __init__(self) -> None:
            self.stood = dict(functions.aliases["live"])

        def __getattr__(self, name: str) -> Any:
            return (lambda **request: self.stood) if name == "get_alias" else getattr(functions, name)

    with pytest.raises(NotStable, match="is not restored: it points at version 1, 10 % to version 2"):
        target(Stale()).restore(**release.revisions, fence=8)


def test_a_restored_alias_that_somebody_deletes_at_once_is_restored_again(functions, release):
    release.shift(10)
    update = functions.update_alias

    def update_alias(**request: Any) -> Any:
        written = update(**request)
        del functions.aliases[request["Name"]]
        return written

    functions.update_alias = update_alias
    with pytest.raises(NotStable) as refused:
        release.restore()
    assert str(refused.value) == (
        "storefront v1.4.0: the alias live of storefront is not restored: it points at nothing."
    )
    assert release.restore() == "the alias live of storefront sends all traffic to version 1 again."


def test_a_restore_says_that_provisioned_concurrency_is_still_moving(functions, release):
    """Fault 63: until it has moved, Lambda itself gives all traffic to the version that had it."""
    release.shift(100)
    update = functions.update_alias

    def update_alias(**request: Any) -> Any:
        update(**request)
        functions.point("1", weights={"2": 1.0}, description=request["Description"])
        return functions.aliases["live"]

    functions.update_alias = update_alias
    assert release.restore() == (
        "the alias live of storefront will send all traffic to version 1 again as soon as Lambda has moved the "
        "provisioned concurrency there."
    )


def test_a_deleted_alias_is_created_again_for_the_baseline(functions, release):
    release.shift(10)
    functions.aliases.clear()
    assert release.restore() == "the alias live of storefront sends all traffic to version 1 again."
    assert functions.serving == ("1", {})


@pytest.mark.parametrize("alias", ["there", "gone"])
def test_a_deleted_baseline_is_reported_as_missing(functions, release, alias):
    release.shift(100)
    del functions.versions["1"]
    if alias == "gone":
        functions.aliases.clear()
    with pytest.raises(BaselineMissing):
        release.restore()


def test_if_nothing_was_deployed_before_the_alias_is_removed(functions, first):
    """Fault 46."""
    first.shift(100)
    for _ in range(2):
        assert first.restore() == (
            "the alias live of storefront was removed again: nothing served traffic before this release."
        )
        assert functions.serving is None
    assert functions.writes.count("delete_alias") == 1


def test_an_alias_that_somebody_else_created_is_not_removed(functions, first):
    """Fault 30."""
    functions.point(functions.by_hand())
    with pytest.raises(TargetMoved) as caught:
        first.restore()
    assert "aws lambda delete-alias --function-name storefront --name live --region us-east-1" in str(
        caught.value
    )
    assert functions.serving == ("3", {})


# ---- AWS -----------------------------------------------------------------------------------------------------------


ASKED = {
    "get_alias": lambda release: release.shift(10),
    "get_function_configuration": lambda release: release.target.plan(artifacts(), {}, weighted=True),
    "update_function_code": lambda release: Release(
        FakeLambda(refuses=release.target.parts[0].client.refuses)
    ),
    "publish_version": lambda release: release.target.prepare(
        artifacts(NEW), {**release.candidate, "id": ""}, lambda _: None
    ),
    "update_alias": lambda release: release.shift(10),
}


@pytest.mark.parametrize("operation", ASKED)
@pytest.mark.parametrize(
    "refusal, error",
    [
        (aws_error("AccessDeniedException", status=403), CredentialsRefused),
        (aws_error("ExpiredTokenException", status=403), CredentialsRefused),
        (aws_error("TooManyRequestsException", status=429), AwsUnavailable),
        (aws_error("ServiceException", status=500), AwsUnavailable),
        (aws_error("KMSAccessDeniedException", status=502), AwsUnavailable),
        (aws_error("SomethingNew"), ClientError),
    ],
    ids=str,
)
def test_each_aws_refusal_has_one_meaning(functions, release, operation, refusal, error):
    """Faults 37 and 39."""
    before = functions.serving
    functions.refuses[operation] = refusal
    with pytest.raises(error):
        ASKED[operation](release)
    assert functions.serving == before


def test_a_missing_permission_to_remove_the_alias_is_reported(functions, first):
    first.shift(100)
    functions.refuses["delete_alias"] = aws_error("AccessDeniedException", status=403)
    with pytest.raises(
        CredentialsRefused, match=r"^storefront v1.4.0: deleting the alias live of storefront: "
    ):
        first.restore()


# ---- what gates look at --------------------------------------------------------------------------------------------

RECORDED: Revision = {"id": "1", "digest": "", "data": {"codeSha256": digest(OLD)}}


@pytest.mark.parametrize("recorded", [None, RECORDED])
def test_a_function_that_matches_the_ledger_is_ready(recorded):
    function = FakeLambda()
    found = target(function).check(recorded)
    assert "storefront can be changed" in found.said
    assert found.warning == ""
    assert function.writes == []


@pytest.mark.parametrize(
    "latest, error, expected",
    [
        (
            {"State": "Failed", "StateReason": "its key is disabled"},
            TargetInvalid,
            "function storefront is in state Failed: its key is disabled",
        ),
        ({"State": "Failed"}, TargetInvalid, "in state Failed: no reason given"),
        (
            {"State": "Pending"},
            CandidateNotReady,
            r"someone else\. Retry the release when that change is done\.",
        ),
        ({"LastUpdateStatus": "InProgress"}, CandidateNotReady, "is being changed by someone else"),
        (
            {"FunctionArn": "arn:aws:lambda:us-east-1:999999999999:function:storefront:$LATEST"},
            TargetInvalid,
            "AWS returned arn:aws:lambda:us-east-1:999999999999:function:storefront",
        ),
        (
            {"FunctionArn": "arn:aws:lambda:eu-west-1:000000000000:function:storefront:$LATEST"},
            TargetInvalid,
            "instead of arn:aws:lambda:us-east-1:000000000000:function:storefront",
        ),
    ],
    ids=str,
)
def test_a_function_that_cannot_be_changed_is_not_ready(latest, error, expected):
    """Fault 33."""
    function = FakeLambda()
    function.latest |= latest
    with pytest.raises(error, match=rf"^storefront v1\.4\.0: .*{expected}"):
        target(function).check(None)


def test_a_missing_function_is_not_ready():
    with pytest.raises(TargetInvalid, match="there is no function"):
        target(FakeLambda(), function="basket").check(None)


def test_a_failed_update_is_a_warning_because_the_next_one_may_fix_it():
    function = FakeLambda()
    function.latest |= {"LastUpdateStatus": "Failed", "LastUpdateStatusReason": "the layer is gone"}
    assert target(function).check(None).warning == "The last update of storefront failed: the layer is gone."
    function.latest |= {"LastUpdateStatusReason": "The layer is gone."}
    assert target(function).check(None).warning == "The last update of storefront failed: The layer is gone."
    function.latest |= {"LastUpdateStatusReason": None}
    assert target(function).check(None).warning == "The last update of storefront failed: no reason given."


def test_a_manually_moved_alias_is_reported_with_the_command_to_restore_it():
    """Fault 30."""
    function = FakeLambda()
    function.point(function.by_hand())
    with pytest.raises(TargetMoved) as caught:
        target(function).check(RECORDED)
    assert (
        "points at version 2, but according to the ledger version 1 is deployed: someone else moved the alias"
        in str(caught.value)
    )
    assert "aws lambda update-alias --function-name storefront --name live" in str(caught.value)
    assert "--function-version 1" in str(caught.value)
    assert function.serving == ("2", {})


def test_records_of_another_function_or_alias_are_ignored():
    function = FakeLambda()
    function.point(function.by_hand())
    elsewhere = RECORDED | {"data": RECORDED["data"] | {"of": OF.replace("storefront", "basket")}}
    here = RECORDED | {"data": RECORDED["data"] | {"of": OF}}
    assert target(function).check(elsewhere).said == "storefront can be changed."
    assert target(function).restorable(elsewhere | {"id": "2"}) is not None
    with pytest.raises(TargetMoved):
        target(function).check(here)


def test_a_deleted_alias_is_reported_with_the_command_to_restore_it():
    function = FakeLambda()
    function.aliases.clear()
    with pytest.raises(TargetMoved, match=r"aws lambda create-alias .* --function-version 1"):
        target(function).check(RECORDED)
    assert "can be changed" in target(function).check(None).said


@pytest.mark.parametrize("weights, version", [({"2": 0.1}, "1"), ({}, "$LATEST")])
def test_split_traffic_or_latest_is_neither_ready_nor_restorable(weights, version):
    function = FakeLambda()
    function.by_hand()
    function.point(version, weights=weights)
    for look in (target(function).check, target(function).restorable):
        with pytest.raises(TargetInvalid, match="Send all its traffic to one published version"):
            look(None)


def test_a_dry_run_uploads_nothing():
    function = FakeLambda()
    assert target(function).dry_run(artifacts()).said == "The upload passed its dry run."
    assert function.writes == []
    assert function.latest["CodeSha256"] == digest(OLD)


@pytest.mark.parametrize(
    "code, error",
    [
        ("AccessDeniedException", CredentialsRefused),
        ("ExpiredTokenException", CredentialsRefused),
        ("InvalidParameterValueException", TargetInvalid),
        ("CodeStorageExceededException", TargetInvalid),
        ("ResourceConflictException", CandidateNotReady),
        ("TooManyRequestsException", AwsUnavailable),
    ],
)
def test_a_dry_runs_errors_have_names(code, error):
    function = FakeLambda(refuses={"get_ready (a dry run)": aws_error(code)})
    with pytest.raises(error, match="uploading the code of storefront"):
        target(function).dry_run(artifacts())


def test_a_release_without_the_artifact_has_no_dry_run():
    with pytest.raises(TargetInvalid, match="needs an artifact named 'function'"):
        target(FakeLambda()).dry_run(artifacts(name="site"))


def test_the_current_version_can_be_restored():
    finding = target(FakeLambda()).restorable(RECORDED)
    assert finding is not None
    assert finding.said.startswith("version 1 of storefront (code ")


def test_if_nothing_is_deployed_there_is_nothing_to_restore():
    """Fault 46."""
    function = FakeLambda()
    function.aliases.clear()
    assert target(function).restorable(None) is None


@pytest.mark.parametrize(
    "version, expected",
    [
        (None, "Function not found: storefront:1"),
        ({"State": "Failed", "StateReason": "its image is gone"}, "its image is gone"),
        ({"State": "Failed"}, "no reason given"),
        (
            {"CodeSha256": digest(FOREIGN)},
            r"does not have the code that the ledger recorded: the function was recreated\.$",
        ),
    ],
    ids=str,
)
def test_a_deleted_failed_or_different_version_cannot_be_restored(version, expected):
    function = FakeLambda()
    if version is None:
        del function.versions["1"]
    else:
        function.versions["1"] |= version
    with pytest.raises(BaselineMissing, match=expected):
        target(function).restorable(RECORDED)


def test_a_version_to_restore_exists_with_its_recorded_code():
    function = FakeLambda()
    adapter = target(function)
    adapter.exists(RECORDED)
    function.versions["1"]["CodeSha256"] = digest(FOREIGN)
    with pytest.raises(
        BaselineMissing,
        match=r"^storefront v1\.4\.0: version 1 of storefront does not have the code that was recorded\.$",
    ):
        adapter.exists(RECORDED)
    del function.versions["1"]
    with pytest.raises(
        BaselineMissing,
        match=r"^storefront v1\.4\.0: looking at version 1 of storefront: .* Function not found: storefront:1$",
    ):
        adapter.exists(RECORDED)
    with pytest.raises(CredentialsRefused):
        target(FakeLambda(refuses={"get_function_configuration": aws_error("AccessDenied")})).exists(RECORDED)


def test_the_gates_and_the_plan_read_each_thing_once():
    function = FakeLambda()
    target(function).check(RECORDED)
    target(function).dry_run(artifacts())
    assert sorted(function.calls) == [
        "get_account_settings",
        "get_alias",
        "get_event_source_mappings",
        "get_function_configuration",
        "get_function_url_config",
        *["get_policy"] * 2,  # the function's, and the current version's
        "get_ready (a dry run)",
    ]
    function.calls.clear()
    target(function).plan(artifacts(), {}, weighted=True)
    assert sorted(function.calls) == [
        "get_alias",
        *["get_function_configuration"] * 2,  # `$LATEST`, and the current version
        "get_provisioned_concurrency_config",
    ]


# ---- callers -------------------------------------------------------------------------------------------------------

QUEUE = "arn:aws:sqs:us-east-1:000000000000:orders"


def test_callers_of_the_function_itself_are_a_warning():
    """Fault 91: they bypass the alias, and run what is uploaded at once."""
    function = FakeLambda()
    function.permitted = {"": ["s3.amazonaws.com"], "live": ["apigateway.amazonaws.com"]}
    function.triggers = {"": [QUEUE, f"{QUEUE}-2"], "live": [f"{QUEUE}-3"]}
    function.latest |= {"LastUpdateStatus": "Failed", "LastUpdateStatusReason": "the layer is gone"}
    assert target(function).check(RECORDED).warning == (
        "The last update of storefront failed: the layer is gone. Some callers bypass the alias and call storefront "
        f"directly: a permission for s3.amazonaws.com, a trigger from {QUEUE} and a trigger from {QUEUE}-2. They get a new "
        "release at once, before its health is checked, and a rollback does not reach them. Point them at the alias live."
    )
    assert function.writes == []
    function.latest |= {"LastUpdateStatus": "Successful"}
    function.permitted, function.triggers = {"live": ["apigateway.amazonaws.com"]}, {"live": [QUEUE]}
    assert target(function).check(RECORDED).warning == ""


def test_each_caller_is_named_with_the_command_that_moves_it():
    """Fault 91."""
    function = FakeLambda(permitted={"": ["s3.amazonaws.com"]}, triggers={"": [QUEUE]})
    function.addresses[""] = "https://abc.lambda-url.us-east-1.on.aws/"
    found = target(function).check(RECORDED)
    assert "and the function URL https://abc.lambda-url.us-east-1.on.aws/." in found.warning
    permission, trigger, address = found.remedies
    assert permission.endswith(
        "remove-permission --function-name storefront --statement-id {odd} --region us-east-1"
    )
    assert trigger == (
        f"a trigger from {QUEUE}: aws lambda update-event-source-mapping --uuid uuid-of-orders --function-name "
        "storefront:live --region us-east-1"
    )
    assert (
        "create-function-url-config --function-name storefront --qualifier live --auth-type AWS_IAM"
        in address
    )


def test_callers_of_a_version_itself_are_a_warning_too():
    """Fault 91: no release and no rollback reaches them, whichever version serves."""
    function = FakeLambda(permitted={"1": ["s3.amazonaws.com"], "7": ["sns.amazonaws.com"]})
    function.triggers = {"1": [QUEUE], "7": [f"{QUEUE}-2"], "live": [f"{QUEUE}-3"]}
    found = target(function).check(RECORDED)
    triggers = f"a trigger from {QUEUE} on version 1 and a trigger from {QUEUE}-2 on version 7"
    assert found.warning == (
        f"Some callers call a version of storefront itself: a permission for s3.amazonaws.com on version 1, {triggers}. "
        "Neither releases nor rollbacks reach them. Point them at the alias live."
    )
    assert found.remedies[2] == (
        f"a trigger from {QUEUE}-2 on version 7: aws lambda update-event-source-mapping --uuid uuid-of-orders-2 "
        "--function-name storefront:live --region us-east-1"
    )
    assert triggers in target(function).check(None).warning, "nothing is recorded before the first release"


@pytest.mark.parametrize(
    "attached, caller",
    [
        ({"permitted": {"live": ["apigateway.amazonaws.com"]}}, "a permission for apigateway.amazonaws.com"),
        ({"triggers": {"live": [QUEUE]}}, f"a trigger from {QUEUE}"),
        ({"addresses": {"live": "https://abc.on.aws/"}}, "the function URL https://abc.on.aws/"),
    ],
    ids=str,
)
def test_an_alias_that_has_callers_by_now_is_not_deleted(functions, first, attached, caller):
    """Fault 99: a permission on the alias would be deleted with it, and nobody knows how to create it again."""
    first.shift(100)
    for name, value in attached.items():
        setattr(functions, name, value)
    with pytest.raises(BaselineMissing) as caught:
        first.restore()
    assert str(caught.value) == (
        "storefront v1.4.0: nothing served traffic before this release, but the alias live of storefront now has "
        f"callers: {caller}. The alias was therefore not removed: it points at version 2. Publish a fix, or remove the "
        "alias: aws lambda delete-alias --function-name storefront --name live --region us-east-1"
    )
    assert functions.serving == ("2", {})


def test_callers_of_the_function_itself_do_not_keep_a_first_releases_alias(functions, first):
    first.shift(100)
    functions.permitted, functions.triggers = {"": ["s3.amazonaws.com"]}, {"": [QUEUE]}
    first.restore()
    assert functions.serving is None


# ---- what a rollback needs stays there -----------------------------------------------------------------------------


def clean_up(functions):
    """A clean-up tool that deletes as many old versions as it can."""
    for version in sorted(functions.versions):
        with suppress(ClientError):
            functions.delete_function(FunctionName="storefront", Qualifier=version)


@pytest.mark.parametrize("percent", [10, 100])
def test_no_clean_up_tool_can_delete_the_baseline_before_it_is_restored(functions, release, percent):
    """Fault 96."""
    release.shift(percent)
    clean_up(functions)
    release.restore()
    assert functions.serving == ("1", {})


def test_the_next_release_holds_its_own_baseline_and_releases_the_previous_one(functions, release):
    """Fault 96: what is held does not grow."""
    release.shift(100)
    held = functions.aliases["tagship-baseline-of-live"]
    assert held["Description"] == "keeps what a rollback of storefront v1.4.0 restores, fence 7"
    functions.uploads[BUCKET, KEY, "7"] = FOREIGN
    following = Release.__new__(Release)
    following.target, following.fence = target(functions), 9
    change = following.target.plan(artifacts(FOREIGN), {}, weighted=True)
    following.baseline, following.etag = change.baseline, change.baseline["etag"]
    following.candidate = following.target.prepare(
        artifacts(FOREIGN), change.candidate, lambda _: None
    ).candidate
    following.shift(100)
    clean_up(functions)
    assert sorted(functions.versions) == ["2", "3"]


def test_without_a_previous_version_nothing_is_held(functions, first):
    first.shift(100)
    assert set(functions.aliases) == {"live"}


def test_a_baseline_that_cannot_be_held_keeps_all_its_traffic(functions, release):
    """Fault 96: refused before the act, so nothing has moved."""
    functions.refuses["create_alias"] = aws_error("AccessDeniedException", status=403)
    with pytest.raises(CredentialsRefused):
        release.shift(100)
    assert functions.serving == ("1", {})


def test_two_concurrent_holds_of_the_same_baseline_both_succeed(functions, release):
    def held_by_the_twin():
        functions.aliases["tagship-baseline-of-live"] = dict(functions.aliases["live"])

    update = functions.update_alias

    def update_alias(**request):
        try:
            return update(**request)
        except ClientError:
            held_by_the_twin()
            raise

    functions.update_alias = update_alias
    release.shift(100)
    assert functions.serving == ("2", {})


# ---- room for code -------------------------------------------------------------------------------------------------

GIB = 1024**3


def test_an_account_without_code_storage_left_is_reported_before_approval(functions):
    """Fault 97."""
    functions.code_used = 75 * GIB
    with pytest.raises(TargetInvalid, match=r"storage for Lambda code is full: 75\.0 of 75 GiB are used"):
        target(functions).dry_run(artifacts())
    assert functions.writes == []


@pytest.mark.parametrize("used, warned", [(67, False), (68, True)])
def test_approvers_are_warned_when_code_storage_is_nearly_used_up(functions, used, warned):
    """Fault 97."""
    functions.code_used = used * GIB
    warning = target(functions).dry_run(artifacts()).warning
    assert ("nearly full: 68.0 of 75 GiB are used" in warning) is warned


# ---- versions that sleep -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("state", ["Inactive", "Pending"])
def test_an_inactive_version_is_not_restored_before_it_is_active(functions, release, state):
    """Fault 98: traffic would meet errors until Lambda has activated it."""
    functions.versions["1"]["State"] = state
    with pytest.raises(BaselineMissing) as refused:
        release.target.exists(release.baseline)
    where = "--function-name storefront --qualifier 1 --region us-east-1"
    assert str(refused.value) == (
        f"storefront v1.4.0: version 1 of storefront cannot serve now: it is in the state {state}. Lambda makes a version "
        "inactive that was not invoked for some weeks (14 days with SnapStart). Wake it with a harmless request, which "
        f"fails once: aws lambda invoke {where} out.json. Wait for it: aws lambda wait published-version-active {where}. "
        "Then roll back again."
    )
    functions.versions["1"]["State"] = "Active"
    release.target.exists(release.baseline)


def test_an_inactive_current_version_is_a_warning(functions, release):
    """Fault 98: nobody has called it for weeks, so its first requests after a rollback would fail."""
    functions.versions["1"]["State"] = "Inactive"
    found = release.target.restorable(release.baseline)
    assert "version 1 of storefront cannot serve now: it is in the state Inactive" in found.warning
    functions.versions["1"]["State"] = "Active"
    assert release.target.restorable(release.baseline).warning == ""


def test_an_old_attempts_candidate_gets_no_traffic_while_inactive():
    """Fault 98: AWS makes no second version of the same code, and gives back the one that sleeps."""
    functions = FakeLambda(becomes="Inactive")
    functions.versions["1"]["State"] = "Active"
    with pytest.raises(
        TargetInvalid,
        match=r"^storefront v1\.4\.0: version 2 of storefront cannot serve now: it is in the state Inactive\. .* "
        r"--qualifier 2 .* Then retry the release\. No traffic was moved\.$",
    ):
        Release(functions)
    functions.versions["2"]["State"] = "Active"
    assert Release(functions).candidate["id"] == "2"
    assert functions.serving == ("1", {})
