"""Several functions of one application: their aliases move together, or are restored together."""

from __future__ import annotations

import io
import json
import zipfile
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import pytest

from tagship.aws.rights import Right, narrowed, policy, session_policy
from tagship.health.lambda_invoke import LambdaCheck, check
from tagship.health.metric import MetricCheck
from tagship.ledger import made as recorded
from tagship.model.documents import DocumentInvalid, read_application
from tagship.model.errors import (
    AwsUnavailable,
    BaselineMissing,
    CredentialsRefused,
    LockLost,
    NotStable,
    PlanChanged,
    TargetInvalid,
    TargetMoved,
)
from tagship.model.records import Revision
from tagship.targets import target_of
from tagship.targets.kind import Change, Metric, Move, Target
from tagship.targets.lambda_alias import KIND, LambdaTarget, OtherFunction, rights
from tagship.targets.lambda_function import LambdaFunction
from tagship.targets.lambda_parts import part_of, parts_of, whole
from tests.unit.builders import application, sha256
from tests.unit.tables import aws_error
from tests.unit.targets.functions import BUCKET, KEY, NEW, OLD, FakeFunctions, FakeLambda, artifacts, digest
from tests.unit.targets.functions import target as adapter

WORKER_KEY, WORKER_CODE = f"{KEY}-of-worker", b"code of the worker of v1.4.0"
BROUGHT = {**artifacts(), **artifacts(WORKER_CODE, name="worker", key=WORKER_KEY)}
OF = "arn:aws:lambda:us-east-1:000000000000:function:{}:live"


def spec(*others: str) -> LambdaTarget:
    """The storefront and others; the worker brings its own zip."""
    named = [
        OtherFunction(function=name, artifact="worker" if name == "worker" else "function") for name in others
    ]
    return LambdaTarget(**application()["target"], others=tuple(named))


def target(functions: FakeFunctions, **options: Any) -> Target:
    first, *others = functions.each
    assert first == "storefront"
    return adapter(functions, spec=spec(*others), **options)


class Release:
    """One planned and prepared release of all functions, under a fencing number."""

    def __init__(self, functions: FakeFunctions, *, fence: int = 7) -> None:
        self.functions, self.target, self.fence = functions, target(functions), fence
        self.change: Change = self.target.plan(BROUGHT, {}, weighted=True)
        self.baseline, self.candidate = self.change.baseline, self.change.candidate
        for _ in functions.each:
            prepared = self.target.prepare(BROUGHT, self.change.candidate, lambda _: None)
            self.candidate = prepared.candidate or self.candidate
        self.etag = (self.baseline or {}).get("etag", "")

    def move(self, percent: int) -> Move:
        return Move(
            baseline=self.baseline,
            candidate=self.candidate,
            percent=percent,
            etag=self.etag,
            fence=self.fence,
        )

    def shift(self, percent: int) -> None:
        self.etag = self.target.set_weight(self.move(percent))

    def restore(self, *, fence: int = 8) -> str:
        return self.target.restore(baseline=self.baseline, candidate=self.candidate, fence=fence)

    @property
    def serving(self) -> dict[str, Any]:
        return {name: each.serving for name, each in self.functions.each.items()}


@pytest.fixture
def functions() -> FakeFunctions:
    made = FakeFunctions.of("storefront", "worker")
    made["worker"].uploads[BUCKET, WORKER_KEY, "7"] = WORKER_CODE
    return made


@pytest.fixture
def release(functions: FakeFunctions) -> Release:
    return Release(functions)


THROTTLED = aws_error("TooManyRequestsException", status=429)
BASELINES = {"storefront": ("1", {}), "worker": ("1", {})}

# ---- the plan ------------------------------------------------------------------------------------------------------


def test_each_function_s_changes_are_under_its_name_and_dangerous_ones_of_any_come_first(functions):
    functions["worker"].latest["Role"] = "arn:aws:iam::000000000000:role/admin"
    functions["storefront"].latest["MemorySize"] = 512
    assert target(functions).plan(BROUGHT, {}, weighted=False).summary == [
        "2 functions move together, in this order: storefront, then worker",
        (
            "worker: Configuration: role arn:aws:iam::000000000000:role/storefront → "
            "arn:aws:iam::000000000000:role/admin"
        ),
        "the alias live of storefront: version 1 → a new version",
        "storefront: Configuration: memory (MB) 256 → 512",
        f"storefront: Code: {sha256(OLD)[:12]} → {sha256(NEW)[:12]} ({len(NEW)} bytes)",
        "the alias live of worker: version 1 → a new version",
        f"worker: Code: {sha256(OLD)[:12]} → {sha256(WORKER_CODE)[:12]} ({len(WORKER_CODE)} bytes)",
    ]


def test_nothing_changes_only_where_nothing_changes_in_any_function(functions):
    def nothing() -> bool:
        return target(functions).plan(BROUGHT, {}, weighted=True).nothingToChange

    for name, code in (("storefront", NEW), ("worker", WORKER_CODE)):
        assert not nothing()
        functions[name].latest["CodeSha256"] = digest(code)
        functions[name].point(functions[name].publish())
    assert nothing()


def test_a_function_without_changes_keeps_its_version_and_its_traffic(functions):
    worker = functions["worker"]
    worker.latest["CodeSha256"] = digest(WORKER_CODE)
    worker.point(worker.publish())
    release = Release(functions)
    assert "the alias live of worker already runs" in " ".join(release.change.summary)
    assert release.candidate["id"] == "storefront 2, worker 2"
    release.shift(10)
    assert release.serving == {"storefront": ("1", {"2": 0.1}), "worker": ("2", {})}
    assert "update_function_code" not in worker.calls
    release.restore()
    assert release.serving == {"storefront": ("1", {}), "worker": ("2", {})}


def test_a_problem_of_one_function_stops_all_of_them_before_approval(functions):
    functions["worker"].provisioned = True
    with pytest.raises(TargetInvalid, match="the alias live of worker has provisioned concurrency"):
        target(functions).plan(BROUGHT, {}, weighted=True)
    assert target(functions).plan(BROUGHT, {}, weighted=False).baseline


def test_a_release_without_one_function_s_artifact_is_refused(functions):
    with pytest.raises(TargetInvalid, match="needs an artifact named 'worker'"):
        target(functions).plan(artifacts(), {}, weighted=True)


def test_a_function_that_a_release_did_not_have_yet_has_not_drifted(functions):
    alone: Revision = {
        "id": "1",
        "digest": "",
        "data": {"codeSha256": digest(OLD), "of": OF.format("storefront")},
    }
    functions["worker"].point(functions["worker"].by_hand())
    assert target(functions).check(alone).said == (
        "storefront can be changed, and the alias live of storefront has not changed since the last release. "
        "worker can be changed."
    )


# ---- what gates look at --------------------------------------------------------------------------------------------


def test_a_recreated_function_cannot_be_restored(functions, release):
    functions["worker"].versions["1"]["CodeSha256"] = digest(b"another worker")
    with pytest.raises(
        BaselineMissing, match="version 1 of worker does not have the code that the ledger recorded"
    ):
        release.target.restorable(release.baseline)


def test_every_function_s_callers_that_pass_its_alias_by_are_named(functions):
    functions["worker"].triggers[""] = ["arn:aws:sqs:us-east-1:000000000000:jobs"]
    found = target(functions).check(None)
    assert "call worker directly: a trigger from arn:aws:sqs:us-east-1:000000000000:jobs" in found.warning
    assert "--function-name worker:live" in found.remedies[0]


def test_the_warnings_of_all_functions_are_one_text(functions):
    for name in ("storefront", "worker"):
        functions[name].latest |= {
            "LastUpdateStatus": "Failed",
            "LastUpdateStatusReason": "the layer is gone",
        }
    assert target(functions).check(None).warning == (
        "The last update of storefront failed: the layer is gone. "
        "The last update of worker failed: the layer is gone."
    )


def test_drift_of_one_function_stops_the_release_at_its_gate(functions, release):
    functions["worker"].point(functions["worker"].by_hand())
    with pytest.raises(TargetMoved, match="the alias live of worker points at version 3"):
        target(functions).check(release.baseline)


def test_the_room_for_code_must_do_for_all_uploads_together(functions):
    functions["storefront"].code_used = 75 * 1024**3 - len(NEW) - 1
    with pytest.raises(
        TargetInvalid, match=r"^storefront v1\.4\.0: the account's storage for Lambda code is full: "
    ):
        target(functions).dry_run(BROUGHT)
    functions["storefront"].code_used = 0
    assert target(functions).dry_run(BROUGHT).said == "All 2 uploads passed their dry runs."


def test_every_package_is_inspected_by_its_own_function_s_handler(functions):
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        entry = zipfile.ZipInfo("index.py")
        entry.external_attr = 0o644 << 16
        archive.writestr(entry, "def handler(event, context): ...")
    functions["worker"].latest["Handler"] = "jobs.handler"

    @contextmanager
    def opened(_pinned):
        yield io.BytesIO(packed.getvalue())

    said, problems = target(functions).look_into(BROUGHT, opened)
    assert said.startswith("storefront: storefront.zip has 1 file")
    assert [problem.partition(": ")[0] for problem in problems] == ["worker"]
    assert "jobs.py is not in the package" in problems[0]
    functions["worker"].latest["PackageType"] = "Image"
    assert target(functions).look_into(BROUGHT, opened) == (
        (
            "storefront: storefront.zip has 1 file, 32 bytes unzipped, and handler index.handler. "
            "worker: worker is a container image, which this gate does not inspect."
        ),
        [],
    )


# ---- the candidates ------------------------------------------------------------------------------------------------


def test_every_version_is_made_before_an_alias_moves_and_each_upload_has_its_own_call(functions):
    release = target(functions)
    planned = release.plan(BROUGHT, {}, weighted=True).candidate
    assert planned["id"] == ""
    first = release.prepare(BROUGHT, planned, lambda _: None)
    assert (first.candidate, first.wait) == (None, 1)
    assert "update_function_code" not in functions["worker"].calls
    made = release.prepare(BROUGHT, planned, lambda _: None).candidate
    assert made is not None
    assert made["id"] == "storefront 2, worker 2"
    assert made["digest"] == planned["digest"]
    assert functions.moves == []
    assert KIND.describe(spec("worker"), made) == "version 2 of storefront and version 2 of worker"


def test_a_version_that_is_not_active_yet_is_waited_for_with_all_others(functions):
    functions["storefront"].becomes = "Pending"
    release = target(functions)
    planned = release.plan(BROUGHT, {}, weighted=True).candidate
    for _ in range(3):
        assert release.prepare(BROUGHT, planned, lambda _: None).wait > 0
    functions["storefront"].versions["2"]["State"] = "Active"
    assert release.prepare(BROUGHT, planned, lambda _: None).candidate


def test_only_versions_that_are_not_active_yet_are_looked_at_again(functions):
    functions["storefront"].becomes = "Pending"

    def settle(_seconds: float) -> None:
        functions["storefront"].versions["2"]["State"] = "Active"

    planned = target(functions).plan(BROUGHT, {}, weighted=True).candidate
    target(functions).prepare(BROUGHT, planned, lambda _: None)  # uploads the first
    functions["worker"].calls.clear()
    made = target(functions, pause=settle).prepare(BROUGHT, planned, lambda _: None)
    assert (made.wait, made.candidate and made.candidate["id"]) == (0, "storefront 2, worker 2")
    looked, uploaded = "get_function_configuration", "update_function_code"
    assert functions["worker"].calls == [looked, uploaded, looked]


def test_a_version_that_fails_while_it_is_looked_at_again_is_named(functions):
    functions["storefront"].becomes = "Pending"

    def fail(_seconds: float) -> None:
        functions["storefront"].versions["2"] |= {"State": "Failed", "StateReason": "the subnet is full"}

    planned = target(functions).plan(BROUGHT, {}, weighted=True).candidate
    target(functions).prepare(BROUGHT, planned, lambda _: None)  # uploads the first
    with pytest.raises(
        TargetInvalid, match="version 2 of storefront did not become active: the subnet is full"
    ):
        target(functions, pause=fail).prepare(BROUGHT, planned, lambda _: None)


def test_nothing_is_uploaded_where_one_function_would_not_be_what_was_approved(functions):
    release = target(functions)
    planned = release.plan(BROUGHT, {}, weighted=True).candidate
    functions["worker"].latest["MemorySize"] = 1024
    with pytest.raises(PlanChanged, match="the configuration of worker changed"):
        release.prepare(BROUGHT, planned, lambda _: None)
    assert functions["storefront"].writes == functions["worker"].writes == []


def test_a_version_whose_step_died_before_recording_it_belongs_to_the_release_of_both(functions, ledger):
    """Fault 97."""
    planned = target(functions).plan(BROUGHT, {}, weighted=True).candidate
    release = {"application": "storefront", "tag": "v1.4.0", "attempt": 1}

    def records(revision):
        if "worker 2" in revision["id"]:
            raise KeyboardInterrupt
        recorded.add(ledger, release, revision)

    target(functions).prepare(BROUGHT, planned, records)
    with pytest.raises(KeyboardInterrupt):
        target(functions).prepare(BROUGHT, planned, records)
    known = recorded.every(ledger, "storefront")["v1.4.0"]
    versions = KIND.keeps(
        application="storefront", spec=spec("worker"), client=lambda *_, **__: functions
    ).stored(known)
    assert [each.name for each in versions if each.revisions] == [
        "version 2 of storefront",
        "version 2 of worker",
    ]


# ---- traffic -------------------------------------------------------------------------------------------------------


def test_the_aliases_move_in_order_and_are_restored_in_reverse_order(functions, release):
    release.shift(10)
    release.shift(100)
    assert release.serving == {"storefront": ("2", {}), "worker": ("2", {})}
    assert release.restore() == (
        "the alias live of worker sends all traffic to version 1 again. "
        "The alias live of storefront sends all traffic to version 1 again."
    )
    assert release.serving == BASELINES
    assert functions.moves == ["storefront", "worker"] * 2 + ["worker", "storefront"]


def test_a_share_that_was_throttled_between_two_aliases_continues_with_the_second(functions, release):
    """Fault 136."""
    functions["worker"].refuses["update_alias"] = THROTTLED
    with pytest.raises(AwsUnavailable):
        release.shift(10)
    assert release.serving == {"storefront": ("1", {"2": 0.1}), "worker": ("1", {})}
    stood = functions["storefront"].aliases["live"]["RevisionId"]
    functions["worker"].refuses.clear()
    release.target.verify_unchanged(release.move(10))
    release.shift(10)
    assert release.serving == {"storefront": ("1", {"2": 0.1}), "worker": ("1", {"2": 0.1})}
    assert functions["storefront"].aliases["live"]["RevisionId"] == stood, "it is written once"
    release.shift(100)
    assert release.serving == {"storefront": ("2", {}), "worker": ("2", {})}


def test_an_alias_that_was_just_verified_is_not_read_again_before_it_is_written(
    functions, release, monkeypatch
):
    move, looked = release.move(10), []
    look = LambdaFunction.look
    monkeypatch.setattr(
        LambdaFunction, "look", lambda part, its: looked.append(part.spec.function) or look(part, its)
    )
    release.target.verify_unchanged(move)
    release.target.set_weight(move)
    assert sorted(looked) == ["storefront", "worker"]
    assert release.serving == {"storefront": ("1", {"2": 0.1}), "worker": ("1", {"2": 0.1})}


def test_what_was_seen_for_one_share_says_nothing_about_another(functions, release):
    release.shift(10)
    release.target.verify_unchanged(release.move(10))
    release.shift(100)
    assert release.serving == {"storefront": ("2", {}), "worker": ("2", {})}


def test_an_alias_that_somebody_moves_after_it_was_verified_is_not_overwritten(functions, release):
    release.target.verify_unchanged(release.move(10))
    functions["storefront"].point(functions["storefront"].by_hand())
    with pytest.raises(TargetMoved, match="moving the alias live of storefront: AWS refused"):
        release.shift(10)
    assert release.serving == {"storefront": ("3", {}), "worker": ("1", {})}


def test_a_rollback_after_the_aliases_were_verified_is_not_overwritten(functions, release):
    release.shift(10)
    release.target.verify_unchanged(release.move(100))
    release.restore()
    with pytest.raises(TargetMoved):
        release.shift(100)
    assert release.serving == BASELINES


def test_a_stop_between_two_aliases_is_restored_and_its_late_duplicate_refused(functions, release):
    """Fault 136: the execution was stopped; its function still writes the second alias when the rollback is done."""
    late = release.move(10)
    functions["worker"].refuses["update_alias"] = aws_error("ServiceException", status=500)
    with pytest.raises(AwsUnavailable):
        release.shift(10)
    functions["worker"].refuses.clear()
    release.restore()
    assert release.serving == BASELINES
    with pytest.raises(LockLost):
        release.target.set_weight(late)
    assert release.serving == BASELINES


def test_the_alias_that_had_not_moved_gets_the_rollback_s_number_too(functions, release):
    functions["worker"].refuses["update_alias"] = THROTTLED
    with pytest.raises(AwsUnavailable):
        release.shift(10)
    functions["worker"].refuses.clear()
    release.restore(fence=8)
    for each in functions.each.values():
        assert each.aliases["live"]["Description"].endswith("fence 8")


def test_no_alias_moves_where_another_one_has_drifted(functions, release):
    functions["worker"].point(functions["worker"].by_hand())
    before = release.serving
    for act in (release.target.verify_unchanged, release.target.set_weight):
        with pytest.raises(TargetMoved, match="the alias live of worker was changed by someone else"):
            act(release.move(10))
    assert release.serving == before


def test_no_alias_moves_while_another_one_s_baseline_cannot_be_held(functions, release):
    del functions["worker"].versions["1"]
    with pytest.raises(BaselineMissing):
        release.shift(100)
    assert functions.moves == []


def test_an_alias_that_someone_moves_between_two_writes_is_left_to_them(functions, release):
    """Fault 137."""
    worker = functions["worker"]
    worker.before["update_alias"] = lambda: worker.point(worker.by_hand())
    with pytest.raises(TargetMoved, match="moving the alias live of worker"):
        release.shift(10)
    assert release.serving == {"storefront": ("1", {"2": 0.1}), "worker": ("3", {})}
    with pytest.raises(TargetMoved) as refused:
        release.restore()
    assert release.serving == {"storefront": ("1", {}), "worker": ("3", {})}
    assert str(refused.value) == (
        "storefront v1.4.0: Restored: the alias live of storefront. Not restored: the alias live of worker. "
        "storefront v1.4.0: the alias live of worker was changed by someone else after the plan was made: it points at "
        "version 3. Tagship did not overwrite it. To restore the baseline by hand: aws lambda update-alias "
        "--function-name worker --name live --region us-east-1 --function-version 1 --routing-config "
        "AdditionalVersionWeights={}."
    )


def test_a_plan_of_other_functions_moves_no_alias(functions, release):
    """A function was taken out of the target after the plan was made."""
    fewer = target(FakeFunctions({"storefront": functions["storefront"]}))
    for act in (fewer.verify_unchanged, fewer.set_weight, fewer.verify_weight):
        with pytest.raises(TargetInvalid) as refused:
            act(release.move(10))
        assert str(refused.value) == (
            "storefront v1.4.0: the release was planned for function worker too, which the target no longer names. This "
            "step changed nothing; if an earlier one moved traffic, the release is rolled back. Publish a new tag."
        )
    assert functions.moves == []


def test_settling_takes_as_long_as_the_slowest(functions, release):
    release.shift(100)
    assert release.target.verify_weight(release.move(100)) == 0
    functions["worker"].aliases["live"]["RoutingConfig"] = {"AdditionalVersionWeights": {"1": 1.0}}
    assert release.target.verify_weight(release.move(100)) > 0


# ---- the baseline --------------------------------------------------------------------------------------------------


def test_a_baseline_that_one_function_lost_keeps_no_other_from_being_restored(functions, release):
    """Fault 137."""
    release.shift(100)
    functions["storefront"].aliases.pop("tagship-baseline-of-live")
    del functions["storefront"].versions["1"]
    with pytest.raises(BaselineMissing, match="Not restored: the alias live of storefront"):
        release.restore()
    assert release.serving == {"storefront": ("2", {}), "worker": ("1", {})}


def test_a_rollback_that_may_be_tried_again_is_tried_again(functions, release):
    release.shift(100)
    functions["worker"].point(functions["worker"].by_hand())
    functions["storefront"].refuses["update_alias"] = THROTTLED
    with pytest.raises(AwsUnavailable) as refused:
        release.restore()
    assert str(refused.value) == (
        "storefront v1.4.0: No alias was restored. Not restored: the alias live of worker and the alias live of "
        "storefront. storefront v1.4.0: the alias live of worker was changed by someone else after the plan was made: it "
        "points at version 3. Tagship did not overwrite it. To restore the baseline by hand: aws lambda update-alias "
        "--function-name worker --name live --region us-east-1 --function-version 1 --routing-config "
        "AdditionalVersionWeights={}. storefront v1.4.0: moving the alias live of storefront: AWS is temporarily "
        "unavailable (TooManyRequestsException): no."
    )
    assert str(refused.value.__cause__).startswith("storefront v1.4.0: moving the alias live of storefront: ")
    functions["storefront"].refuses.clear()
    with pytest.raises(TargetMoved, match=r"Restored: the alias live of storefront\."):
        release.restore()
    assert release.serving["storefront"] == ("1", {})


def test_an_alias_that_cannot_be_looked_at_keeps_no_other_from_being_restored(functions, release):
    release.shift(100)
    functions["storefront"].refuses["get_alias"] = aws_error("AccessDeniedException", status=403)
    with pytest.raises(
        CredentialsRefused, match=r"Restored: the alias live of worker\. Not restored: the alias"
    ):
        release.restore()
    functions["storefront"].refuses.clear()
    assert release.serving == {"storefront": ("2", {}), "worker": ("1", {})}


def test_nothing_is_restored_where_a_newer_number_was_at_one_of_them(functions, release):
    release.shift(100)
    functions["storefront"].point("2", description="tagship storefront v1.5.0, fence 9")
    with pytest.raises(LockLost):
        release.restore(fence=8)
    assert release.serving["worker"] == ("2", {})


def test_a_function_that_served_nothing_begins_and_goes_with_the_release(functions):
    functions["worker"].aliases.clear()
    release = Release(functions)
    assert release.baseline is not None
    assert release.baseline["id"] == "storefront 1"
    assert any("the alias live of worker does not exist" in line for line in release.change.summary)
    assert (
        "worker: Nothing serves traffic now: a rollback would remove the alias again."
        in release.change.summary
    )
    release.shift(10)
    assert release.serving == {"storefront": ("1", {"2": 0.1}), "worker": ("2", {})}
    assert release.target.verify_weight(release.move(10)) == 0
    release.restore()
    assert release.serving == {"storefront": ("1", {}), "worker": None}
    assert release.target.verify_weight(release.move(0)) == 0


def test_a_rollback_of_the_first_release_removes_every_alias_and_has_nothing_to_wait_for(functions):
    for each in functions.each.values():
        each.aliases.clear()
    release = Release(functions)
    release.shift(100)
    assert release.serving == {"storefront": ("2", {}), "worker": ("2", {})}
    release.restore()
    assert release.serving == {"storefront": None, "worker": None}
    assert release.target.verify_weight(release.move(0)) == 0


def test_an_older_release_without_one_of_the_functions_is_not_restored(functions, release):
    alone: Revision = {
        "id": "1",
        "digest": "",
        "data": {"codeSha256": digest(OLD), "of": OF.format("storefront")},
    }
    with pytest.raises(BaselineMissing, match="has no version for the alias live of worker"):
        release.target.exists(alone)
    release.shift(100)
    with pytest.raises(BaselineMissing) as refused:
        release.target.restore(baseline=alone, candidate=release.candidate, fence=8)
    assert str(refused.value) == (
        "storefront v1.4.0: Restored: the alias live of storefront. Not restored: the alias live of worker. "
        "storefront v1.4.0: the recorded release has no version for the alias live of worker."
    )
    assert release.serving["worker"] == ("2", {}), "an alias with traffic is never removed for that"


def test_a_plan_without_one_of_the_functions_is_refused_before_anything_is_written(functions, release):
    """The target was given another function after the plan was made."""
    alone = part_of(release.candidate, OF.format("storefront"))
    before = list(functions["storefront"].writes)
    with pytest.raises(TargetInvalid) as refused:
        release.target.prepare(BROUGHT, alone, lambda _: None)
    assert str(refused.value) == (
        "storefront v1.4.0: the recorded release has no version for the alias live of worker. Nothing was changed. "
        "Publish a new tag."
    )
    assert functions["storefront"].writes == before


def test_a_rollback_to_an_older_release_may_leave_the_previous_one_too(functions, release):
    """It goes further back than to the release's own baseline, which some of the aliases still send traffic to."""
    for each in functions.each.values():
        each.point(each.by_hand())
    older = release.target.serving()
    for each in functions.each.values():
        each.point("1", weights={"2": 0.1})
    with pytest.raises(TargetMoved):
        release.target.restore(baseline=older, candidate=release.candidate, fence=8)
    release.target.restore(baseline=older, candidate=release.candidate, fence=8, replaced=release.baseline)
    assert release.serving == {"storefront": ("3", {}), "worker": ("3", {})}


def test_a_conflicting_write_is_read_again(functions, release):
    release.shift(100)
    storefront = functions["storefront"]
    storefront.before["update_alias"] = lambda: storefront.point("2")
    with pytest.raises(NotStable):
        release.restore()
    assert release.restore()
    assert release.serving == BASELINES


def test_the_current_revision_covers_all_functions(functions):
    found = target(functions).serving()
    assert found is not None
    assert found["id"] == "storefront 1, worker 1"
    assert [part["id"] for part in parts_of(found)] == ["1", "1"]
    assert part_of(found, OF.format("mailer")) is None
    functions["worker"].point("1", weights={functions["worker"].by_hand(): 0.5})
    with pytest.raises(TargetInvalid, match="the alias live of worker points at version 1, 50 %"):
        target(functions).serving()


def test_the_digest_of_several_functions_is_the_same_in_every_version_of_tagship():
    """A plan that was approved before an upgrade is compared after it."""
    one: Revision = {"id": "", "digest": "1f3a", "data": {}}
    revision = whole({OF.format("storefront"): one, OF.format("worker"): None})
    assert revision
    lines = f"{OF.format('storefront')} 1f3a\n{OF.format('worker')} \n"
    assert revision["digest"] == sha256(lines.encode())


def test_a_revision_has_the_etags_of_its_aliases_in_their_order_or_none():
    planned: Revision = {"id": "", "digest": "1f3a", "data": {}}
    serving: Revision = {**planned, "id": "1", "etag": "revision 7"}
    first, second, third = (OF.format(name) for name in ("storefront", "worker", "mailer"))
    assert whole({first: serving, second: None, third: planned})["etag"] == "revision 7,,"
    assert "etag" not in whole({first: planned, second: planned})


def test_a_revision_is_described_by_its_versions(functions, release):
    alone = FakeFunctions.of("storefront")
    assert {
        "no alias": KIND.describe(spec(), None),
        "planned": KIND.describe(spec("worker"), release.change.candidate),
        "one function": KIND.describe(spec(), target(alone).serving()),
        "two functions": KIND.describe(spec("worker"), release.candidate),
    } == {
        "no alias": "",
        "planned": "",
        "one function": "version 1",
        "two functions": "version 2 of storefront and version 2 of worker",
    }


# ---- what the target keeps of earlier releases ---------------------------------------------------------------------


def test_the_versions_of_each_function_are_kept_and_deleted_by_its_name(functions, release):
    release.shift(100)
    keeper = KIND.keeps(application="storefront", spec=spec("worker"), client=lambda _service, **_: functions)
    functions["worker"].aliases.pop("tagship-baseline-of-live")
    stored = keeper.stored([release.baseline, release.candidate])
    assert [(each.name, len(each.revisions), each.used) for each in stored] == [
        ("version 1 of storefront", 1, "the alias tagship-baseline-of-live points at it"),
        ("version 2 of storefront", 1, "the alias live points at it"),
        ("version 1 of worker", 1, ""),
        ("version 2 of worker", 1, "the alias live points at it"),
    ]
    assert {each.stored_as for each in stored[:2]} <= {
        it for revision in (release.baseline, release.candidate) for it in KIND.stored_as(revision)
    }
    keeper.delete(stored[2])
    assert sorted(functions["storefront"].versions) == ["1", "2"]
    assert sorted(functions["worker"].versions) == ["2"]


# ---- health --------------------------------------------------------------------------------------------------------


def subject(release):
    return KIND.subject(spec("worker"), release.candidate)


def metric(function, *more):
    return MetricCheck(
        type="metric",
        name="errors",
        namespace="AWS/Lambda",
        metric="Errors",
        dimensions={"FunctionName": function, "Resource": f"{function}:live", "ExecutedVersion": "{version}"}
        | {f"More{number}": each for number, each in enumerate(more)},
        maxValue=0.1,
    )


def test_a_check_s_version_is_that_of_the_function_which_it_names(functions):
    functions["worker"].by_hand()  # so that the versions differ
    release = Release(functions)
    asked = subject(release)
    assert asked.about(metric("worker").texts).names["version"] == "3"
    assert asked.about(metric("storefront").texts).names["version"] == "2"
    assert asked.about(metric("storefront-worker").texts).names["version"] == "2", (
        "another function of the team"
    )
    requests = asked.about(["SELECT SUM(Errors) WHERE FunctionName = 'worker'"]).requests
    assert requests.dimensions["FunctionName"] == "worker"


def test_a_function_whose_alias_did_not_exist_yet_is_no_part_of_what_is_checked():
    first, worker = (each.of for each, _ in spec("worker").each)
    served = whole({first: {"id": "1", "digest": "", "data": {"of": first}}, worker: None})
    assert list(KIND.subject(spec("worker"), served).parts) == ["storefront"]


def test_requests_are_lambdas_own_count_for_the_alias_and_its_version(release):
    worker = subject(release).parts["worker"]
    assert worker.requests == Metric(
        namespace="AWS/Lambda",
        name="Invocations",
        dimensions={
            "FunctionName": "worker",
            "Resource": "worker:live",
            "ExecutedVersion": "{version}",
        },
    )


def test_a_check_whose_version_could_be_of_two_functions_is_refused(release):
    assert list(metric("worker").lacks(subject(release))) == []
    (problem,) = metric("worker", "storefront").lacks(subject(release))
    assert problem[0] == "dimensions"
    assert "names storefront and worker" in problem[1]


def invoking(answers):
    """A client whose functions answer these, by their names and versions; what was asked is kept."""
    asked = []

    class Client:
        def invoke(self, **request):
            name = f"{request['FunctionName']}:{request['Qualifier']}"
            asked.append(name)
            return {"Payload": io.BytesIO(json.dumps(answers.get(name, {"healthy": True})).encode())}

    return Client(), asked


def test_every_candidate_is_invoked_and_the_worst_answer_counts(release):
    about = {"name": "lambda storefront", "application": "storefront", "tag": "v1.4.0", "percent": 0}
    client, asked = invoking({})
    well = check(LambdaCheck(type="lambda"), client=client, offers=subject(release), **about)
    assert (well.verdict, sorted(asked)) == ("healthy", ["storefront:2", "worker:2"])
    client, _ = invoking({"worker:2": {"healthy": False, "reasons": ["no queue"]}})
    ill = check(LambdaCheck(type="lambda"), client=client, offers=subject(release), **about)
    assert ill.verdict == "unhealthy"
    assert ill.why.startswith("worker:2: ")
    assert "no queue" in ill.why


def test_a_smoke_test_of_the_team_s_own_gets_all_functions_and_versions(release):
    assert subject(release).described == {
        "function": "storefront",
        "alias": "live",
        "version": "2",
        "parts": [
            {"function": "storefront", "alias": "live", "version": "2"},
            {"function": "worker", "alias": "live", "version": "2"},
        ],
    }


# ---- rights --------------------------------------------------------------------------------------------------------

LONGEST = tuple(f"{number}{'f' * 63}" for number in range(10))
FAR = {
    "region": "us-gov-west-1",
    "role": "arn:aws-us-gov:iam::000000000000:role/tagship-app-storefront",
    "function": LONGEST[0],
}


def longest() -> LambdaTarget:
    """Ten functions with the longest names, in the partition with the longest ARNs."""
    others = tuple(OtherFunction(function=name) for name in LONGEST[1:])
    return LambdaTarget(**application()["target"] | FAR, others=others)


def test_every_sessions_policy_fits_for_any_function_names():
    """STS refuses more than 2,048 characters; `session_policy` raises."""
    source = f"arn:aws-us-gov:s3:::{'b' * 63}/releases/{'a' * 40}/{'t' * 60}/*"
    asked: list[list[str]] = []

    def client(service: str, *, on: Any = (), **_: Any) -> FakeLambda:
        assert service == "lambda"
        asked.append(list(on))
        return FakeLambda()

    spec = longest()
    KIND.make(application="storefront", tag="v1.4.0", spec=spec, client=client)
    may = rights(spec, objects=[source])
    for on in asked:
        assert session_policy(narrowed(may, on))
    assert len({tuple(on) for on in asked}) == 3, "three sessions, not ten"
    assert {arn for on in asked for arn in on} == {arn for it in may for arn in it.on} - {"*", source}


def test_functions_that_fit_into_one_session_share_it():
    asked: list[dict[str, Any]] = []

    def client(_service: str, **limits: Any) -> FakeLambda:
        asked.append(limits)
        return FakeLambda()

    several = replace(longest(), others=longest().others[:3])
    KIND.make(application="storefront", tag="v1.4.0", spec=several, client=client)
    assert asked == [{}] * 4


def test_each_function_is_reached_in_a_session_that_may_touch_it():
    asked: list[list[Right]] = []

    def client_as(_service: str, *, may: list[Right], config: Any = None) -> FakeLambda:
        asked.append(list(may))
        return FakeLambda()

    names = [f"worker-{number}" for number in range(5)]
    several = target_of(spec(*names), application="storefront", tag="v1.4.0", client_as=client_as)
    for part, may in zip(several.parts, asked, strict=True):
        (moves,) = (right.on for right in may if right.name == "MoveTheTraffic")
        assert part.spec.of.removesuffix(":live") in moves
        assert len(moves) == (8 if part.spec.function in ("storefront", *names[:3]) else 4)


def test_a_session_for_some_functions_may_not_touch_the_others():
    may = [
        Right(name="Move", actions=("lambda:UpdateAlias",), on=("one", "two")),
        Right(name="Look", actions=("lambda:ListEventSourceMappings",), on=("*",)),
    ]
    assert [right.on for right in narrowed(may, ["two"])] == [("two",), ("*",)]
    assert narrowed(may, []) == tuple(may)


def test_the_health_check_may_ask_ten_candidates_in_one_session():
    spec = longest()
    asked = LambdaCheck(type="lambda").rights(spec, KIND.subject(spec, None))
    assert session_policy(asked)
    assert len(asked[0].on) == 10


def test_the_role_of_ten_functions_with_usual_names_fits_into_one_inline_policy():
    """IAM counts 10,240 characters without white space (IAM and STS quotas)."""
    names = [f"storefront-production-{number:03}" for number in range(10)]
    spec = LambdaTarget(
        **application()["target"] | {"function": names[0]},
        others=tuple(OtherFunction(function=name) for name in names[1:]),
    )
    text = str(policy([*rights(spec, objects=["arn:aws:s3:::releases/releases/storefront/*"])]))
    assert all(f"function:{name}:*" in text for name in names)
    assert len(text.replace(" ", "")) < 10_240


# ---- the configuration ---------------------------------------------------------------------------------------------


def test_a_function_is_named_once_and_there_are_at_most_ten():
    document = application()
    document["target"]["others"] = [{"function": "worker"}, {"function": "storefront"}]
    with pytest.raises(
        DocumentInvalid, match=r"target\.others\[1\]\.function: storefront is already a function"
    ):
        read_application(document)
    document["target"]["others"] = [{"function": "worker"}, {"function": "worker"}]
    with pytest.raises(DocumentInvalid, match=r"target\.others\[1\]\.function: worker is already a function"):
        read_application(document)
    document["target"]["others"] = [{"function": f"worker-{number}"} for number in range(10)]
    with pytest.raises(DocumentInvalid, match=r"target\.others: must have at most 9"):
        read_application(document)


def test_the_default_is_one_zip_for_all_and_each_may_bring_its_own():
    document = application()
    document["target"]["others"] = [{"function": "worker", "artifact": "worker"}, {"function": "mailer"}]
    target = read_application(document).target
    assert dict(KIND.brings(target)) == {
        "function": "the function's code, as a zip",
        "worker": "the code of worker, as a zip",
    }
    assert [(each.function, each.alias, artifact) for each, artifact in target.each] == [
        ("storefront", "live", "function"),
        ("worker", "live", "worker"),
        ("mailer", "live", "function"),
    ]
    assert KIND.where(target) == (
        "the aliases live of storefront, live of worker and live of mailer (account 000000000000, us-east-1)"
    )
    assert KIND.where(spec()) == "the alias live of storefront (account 000000000000, us-east-1)"
