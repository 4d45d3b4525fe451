"""What each kind of target keeps from earlier releases, what uses it, and that only that is deleted."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from tagship.model.errors import CredentialsRefused, PlanChanged, TargetInvalid
from tagship.model.records import Revision
from tagship.targets.cloudformation_retention import Templates
from tagship.targets.ecs_retention import TaskDefinitions
from tagship.targets.kind import Stored
from tagship.targets.lambda_alias import KIND, LambdaTarget
from tagship.targets.lambda_retention import Versions
from tagship.targets.static_site_retention import Sites
from tests.unit.builders import application
from tests.unit.tables import aws_error
from tests.unit.targets import sites, stacks
from tests.unit.targets.conformance import Release
from tests.unit.targets.functions import FakeLambda, artifacts, target
from tests.unit.targets.services import SERVICE, FakeEcs, task
from tests.unit.targets.test_ecs_conformance import SPEC as ECS
from tests.unit.targets.test_ecs_conformance import ServiceBench

# ---- versions of a function -----------------------------------------------------------------------------------------

FUNCTION = LambdaTarget(**application()["target"])
ALIAS = "arn:aws:lambda:us-east-1:000000000000:function:storefront:live"


@pytest.fixture
def function() -> FakeLambda:
    """Version 1 serves; 2 and 3 were released before."""
    made = FakeLambda()
    made.by_hand()
    made.latest["CodeSha256"] = "third"
    made.publish()
    return made


def versions(function: FakeLambda) -> Versions:
    return Versions(application="storefront", spec=FUNCTION, client=function)  # type: ignore[arg-type]


def known(function: FakeLambda) -> list[Revision]:
    return [
        {"id": number, "digest": number, "data": {"codeSha256": made["CodeSha256"], "of": ALIAS}}
        for number, made in function.versions.items()
    ]


def uses(function: FakeLambda) -> dict[str, str]:
    return {each.name: each.used for each in versions(function).stored(known(function))}


def test_a_version_is_in_use_if_something_points_at_it(function: FakeLambda) -> None:
    """Fault 97."""
    function.point("1", weights={"2": 0.1})
    function.triggers["3"] = ["arn:aws:sqs:us-east-1:000000000000:orders"]
    assert uses(function) == {
        "version 1": "the alias live points at it",
        "version 2": "the alias live points at it",
        "version 3": "a trigger from arn:aws:sqs:us-east-1:000000000000:orders",
    }


def test_callers_are_only_looked_up_for_a_version_of_a_release_that_nothing_else_uses(
    function: FakeLambda,
) -> None:
    """Fault 97: it takes two requests for each version."""
    function.triggers = {
        number: ["arn:aws:sqs:us-east-1:000000000000:orders"] for number in function.versions
    }
    stored = versions(function).stored(known(function)[:2])
    assert [(each.name, each.used) for each in stored] == [
        ("version 1", "the alias live points at it"),
        ("version 2", "a trigger from arn:aws:sqs:us-east-1:000000000000:orders"),
        ("version 3", ""),
    ]


def test_deleting_a_version_frees_the_size_of_its_code(function: FakeLambda) -> None:
    assert [each.size for each in versions(function).stored([])] == [1_048_576] * 3


def test_a_recreated_function_has_no_versions_of_the_releases(function: FakeLambda) -> None:
    recorded = known(function)
    function.versions["3"]["CodeSha256"] = "another function's version 3"
    stored = versions(function).stored(recorded)
    assert [bool(each.revisions) for each in stored] == [True, True, False]
    recorded[0]["data"] = {**recorded[0]["data"], "of": ALIAS.replace("storefront", "another")}
    assert not versions(function).stored(recorded)[0].revisions


def test_every_page_of_versions_is_read_in_numerical_order(function: FakeLambda) -> None:
    for number in range(9):
        function.latest["CodeSha256"] = f"more {number}"
        function.publish()
    assert list(uses(function)) == [f"version {number}" for number in range(1, 13)]


def test_a_version_with_its_own_concurrency_is_in_use(function: FakeLambda) -> None:
    function.provisioned_versions = ["3"]
    assert uses(function)["version 3"] == "it has provisioned concurrency"


def test_a_function_without_provisioned_concurrency_has_unused_versions(function: FakeLambda) -> None:
    """The embedded engine answers with an error instead of an empty list."""
    function.refuses["get_provisioned_concurrency_configs"] = aws_error(
        "ProvisionedConcurrencyConfigNotFoundException", status=404
    )
    assert uses(function)["version 3"] == ""


@pytest.mark.parametrize(
    "refused, looked",
    [
        ("get_versions", "looking at the versions of storefront"),
        ("get_aliases", "looking at the aliases of storefront"),
        ("get_provisioned_concurrency_configs", "looking at the concurrency of storefront"),
    ],
)
@pytest.mark.parametrize(
    "code, raised",
    [("AccessDeniedException", CredentialsRefused), ("ResourceNotFoundException", TargetInvalid)],
)
def test_a_refused_read_is_reported_with_the_attempt(
    function: FakeLambda, refused: str, looked: str, code: str, raised: type[Exception]
) -> None:
    function.refuses[refused] = aws_error(code, status=403, message="AWS's own words")
    with pytest.raises(raised) as failed:
        versions(function).stored(known(function))
    assert str(failed.value) == f"storefront: {looked}: AWS refused ({code}): AWS's own words"


@pytest.mark.parametrize("number", ["", "$LATEST", "live"])
def test_only_versions_are_ever_deleted(function: FakeLambda, number: str) -> None:
    """Without a version's number Lambda deletes the function with all its versions."""
    with pytest.raises(TargetInvalid) as refused:
        versions(function).delete(Stored(name=f"version {number}", revisions=known(function)[:1]))
    assert str(refused.value) == (
        f"storefront: version {number} of storefront was not deleted: it has no version number, and without one Lambda "
        "would delete the whole function. This is a bug in Tagship: please report it."
    )
    assert "delete_function" not in function.calls


def test_a_version_of_no_release_is_never_deleted(function: FakeLambda) -> None:
    with pytest.raises(TargetInvalid) as refused:
        versions(function).delete(Stored(name="version 3", revisions=[]))
    assert str(refused.value) == (
        "storefront: version 3 of storefront was not deleted: no release in the ledger made it. If nobody needs it, delete "
        "it by hand: aws lambda delete-function --function-name storefront --qualifier 3 --region us-east-1"
    )
    assert "delete_function" not in function.calls


def test_deleting_a_deleted_version_again_succeeds(function: FakeLambda) -> None:
    three = versions(function).stored(known(function))[2]
    function.refuses["delete_function"] = aws_error("ResourceNotFoundException", status=404)
    versions(function).delete(three)


def test_lambda_refuses_to_delete_a_version_that_an_alias_was_just_pointed_at(function: FakeLambda) -> None:
    three = versions(function).stored(known(function))[2]
    function.aliases["debug"] = function._alias("3", {}, "")
    with pytest.raises(
        TargetInvalid, match=r"version 3 of storefront was not deleted.*referenced by alias debug"
    ):
        versions(function).delete(three)


def test_a_missing_permission_to_delete_is_reported(function: FakeLambda) -> None:
    three = versions(function).stored(known(function))[2]
    function.refuses["delete_function"] = aws_error("AccessDeniedException", status=403)
    with pytest.raises(CredentialsRefused, match="deleting version 3 of storefront"):
        versions(function).delete(three)


def test_a_function_that_is_alone_has_versions_without_its_name(function: FakeLambda) -> None:
    keeper = KIND.keeps(
        application="shop", spec=FUNCTION, client=lambda name, **_: {"lambda": function}[name]
    )
    stored = keeper.stored(known(function))
    assert [each.name for each in stored] == ["version 1", "version 2", "version 3"]
    function.refuses["delete_function"] = aws_error("AccessDeniedException", status=403)
    with pytest.raises(CredentialsRefused, match=r"^shop: deleting version 3 of storefront: AWS refused "):
        keeper.delete(stored[2])
    function.refuses.clear()
    keeper.delete(stored[2])
    assert list(function.versions) == ["1", "2"]


def test_a_version_whose_step_died_before_recording_it_belongs_to_its_release() -> None:
    """Fault 97. The function's configuration changes before the retry, which then finds another `$LATEST`."""
    function = FakeLambda()
    recorded: list[Revision] = []
    change = target(function).plan(artifacts(), {}, weighted=True)

    def dies(revision: Revision) -> None:
        if revision["id"]:
            raise KeyboardInterrupt
        recorded.append(revision)

    with pytest.raises(KeyboardInterrupt):
        target(function).prepare(artifacts(), change.candidate, dies)
    function.latest |= {"MemorySize": 512}
    with pytest.raises(PlanChanged):
        target(function).prepare(artifacts(), change.candidate, recorded.append)
    function.publish()  # the same code with another configuration, by hand
    function.versions["1"] |= {"CodeSha256": "another"}

    found = {each.name: each for each in versions(function).stored([change.candidate, *recorded])}
    assert [name for name, each in found.items() if each.revisions] == ["version 2"]
    assert found["version 2"].revisions == recorded
    versions(function).delete(found["version 2"])
    assert list(function.versions) == ["1", "3"]


def test_a_version_whose_settings_cannot_be_read_is_named() -> None:
    function = FakeLambda()
    recorded: list[Revision] = []
    target(function).prepare(
        artifacts(), target(function).plan(artifacts(), {}, weighted=True).candidate, recorded.append
    )
    function.refuses["get_function_configuration"] = aws_error("AccessDeniedException", status=403)
    with pytest.raises(CredentialsRefused) as refused:
        versions(function).stored([each for each in recorded if not each["id"]])
    assert str(refused.value) == (
        "storefront: looking at version 2 of storefront: AWS refused (AccessDeniedException): no"
    )


def test_a_planned_version_that_no_release_was_about_to_publish_is_nobodys() -> None:
    """Somebody published the planned code by hand while the release waits for its approval."""
    function = FakeLambda()
    planned = target(function).plan(artifacts(), {}, weighted=True).candidate
    function.latest |= {"CodeSha256": planned["data"]["codeSha256"]}
    function.publish()
    assert not any(each.revisions for each in versions(function).stored([planned]))


def test_a_recorded_version_leaves_nothing_to_look_for() -> None:
    """Somebody publishes the same code and configuration again, after others."""
    function = FakeLambda()
    recorded: list[Revision] = []
    change = target(function).plan(artifacts(), {}, weighted=True)
    assert target(function).prepare(artifacts(), change.candidate, recorded.append).candidate
    function.by_hand()
    function.latest |= {"CodeSha256": change.candidate["data"]["codeSha256"]}
    assert function.publish() == "4"
    stored = versions(function).stored(recorded)
    assert [each.name for each in stored if each.revisions] == ["version 2"]


# ---- task definitions -----------------------------------------------------------------------------------------------


@pytest.fixture
def service() -> FakeEcs:
    """Revisions 1 to 4; the service runs the last, and a task that was started by hand the third."""
    made = FakeEcs()
    for _ in range(4):
        made.register(task())
    made.deploy("storefront:4")
    made.tasks["arn:task"] = "storefront:3"
    return made


def definitions(service: FakeEcs) -> tuple[TaskDefinitions, list[Stored]]:
    keeper = TaskDefinitions(application="storefront", spec=ECS, ecs=service)  # type: ignore[arg-type]
    ours: list[Revision] = [
        {"id": f"storefront:{number}", "digest": "", "data": {"of": SERVICE}} for number in (2, 3, 4)
    ]
    return keeper, list(keeper.stored([*ours, {"id": "web:1", "digest": "", "data": {"of": "another"}}]))


def test_a_task_definition_used_by_services_and_tasks_is_kept_and_others_are_deregistered(
    service: FakeEcs,
) -> None:
    service.register(task(family="storefront-worker"))
    keeper, stored = definitions(service)
    assert {each.name: each.used for each in stored} == {
        "task definition storefront:4": "the service storefront runs it",
        "task definition storefront:3": "a task runs it",
        "task definition storefront:2": "",
        "task definition storefront:1": "",
    }
    assert [bool(each.revisions) for each in stored] == [True, True, True, False]
    keeper.delete(stored[2])
    keeper.delete(stored[2])
    assert [name for name, each in service.definitions.items() if each["status"] == "INACTIVE"] == [
        "storefront:2"
    ]


def test_a_task_definition_that_ecs_keeps_is_reported(service: FakeEcs) -> None:
    keeper, stored = definitions(service)
    service.refused = ("ecs:DeregisterTaskDefinition", aws_error("ServerException", message="try later"))
    with pytest.raises(TargetInvalid, match=r"storefront:2 was not deregistered.*try later"):
        keeper.delete(stored[2])


def test_a_task_definition_whose_step_died_before_recording_it_belongs_to_its_release() -> None:
    bench = ServiceBench()
    release, registered = Release(bench), bench.ecs.register_task_definition
    recorded: list[Revision] = []

    def dies(**request: Any) -> None:
        registered(**request)
        raise KeyboardInterrupt

    bench.ecs.register_task_definition = dies  # type: ignore[method-assign]
    with pytest.raises(KeyboardInterrupt):
        release.target.prepare(bench.artifacts, release.candidate, recorded.append)
    keeper = TaskDefinitions(application="storefront", spec=ECS, ecs=bench.ecs)  # type: ignore[arg-type]
    (stored,) = [each for each in keeper.stored(recorded) if each.revisions]
    assert (stored.name, stored.revisions, stored.used) == ("task definition storefront:2", recorded, "")
    keeper.delete(stored)
    assert bench.ecs.definitions["storefront:2"]["status"] == "INACTIVE"
    assert not any(each.revisions for each in keeper.stored([release.candidate]))


# ---- templates ------------------------------------------------------------------------------------------------------


def test_a_template_belongs_to_every_release_with_it_and_is_deleted_alone() -> None:
    bucket = stacks.FakeStacks()
    folder = f"tagship/{stacks.SPEC.stack}"
    bucket.kept = {f"{folder}/{name}.template": b"{}" for name in ("old", "new")} | {
        f"{folder}/notes.txt": b""
    }
    keeper = Templates(application="storefront", spec=stacks.SPEC, s3=bucket)  # type: ignore[arg-type]
    ours: list[Revision] = [
        {"id": "1", "digest": "1", "data": {"template": "old", "parameters": {}}},
        {"id": "2", "digest": "2", "data": {"template": "old", "parameters": {"Size": "2"}}},
        {"id": "9", "digest": "9", "data": {"of": "a function, before it was given a stack"}},
    ]
    old, new = keeper.stored(ours)
    assert ([each["id"] for each in old.revisions], new.revisions) == (["1", "2"], [])
    keeper.delete(old)
    keeper.delete(old)
    assert sorted(bucket.kept) == [f"{folder}/new.template", f"{folder}/notes.txt"]


# ---- sites ----------------------------------------------------------------------------------------------------------


def test_a_site_is_deleted_with_the_hashed_files_that_no_other_release_loads() -> None:
    """Fault 104: what a page that stays loads is never deleted."""
    site = sites.Site()
    old, new = site.serve(sites.OLD), site.serve(sites.NEW, "v1.4.0")
    before = set(site.s3.objects)
    keeper = Sites(application="storefront", spec=sites.SPEC, s3=site.s3)  # type: ignore[arg-type]
    found = {each.name: each for each in keeper.stored([old, new])}
    gone = found[f"site {old['id']}"]
    assert gone.size == sum(len(it) for key, it in site.s3.objects.items() if f"releases/{old['id']}/" in key)
    keeper.delete(gone)
    keeper.delete(gone)
    left = before - set(site.s3.objects)
    assert {key for key in left if key.startswith("immutable/")} == {"immutable/assets/app-Old.js"}
    assert all(old["id"] in key for key in left if not key.startswith("immutable/"))
    site.target("v1.5.0").exists(new)
    assert site.target("v1.5.0").restorable(new)


def test_an_interrupted_deletion_of_a_site_can_be_repeated() -> None:
    site = sites.Site()
    old = site.serve(sites.OLD)
    keeper = Sites(application="storefront", spec=sites.SPEC, s3=site.s3)  # type: ignore[arg-type]
    (gone,) = keeper.stored([old])
    deleting, site.s3.delete_objects = site.s3.delete_objects, _after(1, site.s3.delete_objects)  # type: ignore[method-assign]
    with pytest.raises(TargetInvalid, match="keeps it: AWS refused"):
        keeper.delete(gone)
    assert keeper.stored([old])
    site.s3.delete_objects = deleting  # type: ignore[method-assign]
    keeper.delete(gone)
    assert site.s3.objects == {}


def test_a_partially_uploaded_site_is_deleted_with_its_release() -> None:
    """Fault 97: nobody else would find the files of an interrupted upload. The complete site next to it is kept."""
    site = sites.Site()
    old = site.serve(sites.OLD)
    whole = set(site.s3.objects)
    cut: Revision = {**old, "id": "b" * 16, "digest": "b" * 64}
    site.s3.objects[f"releases/{cut['id']}/index.html"] = b"half"
    keeper = Sites(application="storefront", spec=sites.SPEC, s3=site.s3)  # type: ignore[arg-type]
    stored = {each.name: each for each in keeper.stored([old, cut])}
    assert stored[f"site {cut['id']}"].revisions == [cut]
    keeper.delete(stored[f"site {cut['id']}"])
    assert set(site.s3.objects) == whole


def test_the_base_of_another_release_is_kept_until_that_is_deleted() -> None:
    """Fault 104: a site that reads unchanged files from an earlier release's folder never loses them."""
    site = sites.Site()
    first = site.serve(sites.OLD)
    target, artifacts = site.target("v1.4.0"), site.upload(sites.NEW)
    planned = target.plan(artifacts, {}, weighted=True).candidate
    keeper = Sites(application="storefront", spec=sites.SPEC, s3=site.s3)  # type: ignore[arg-type]
    (base,) = keeper.stored([first])
    second = target.prepare(artifacts, planned, lambda _: None).candidate
    assert second is not None
    assert second["data"]["base"] == first["id"]
    (found,) = keeper.stored([first, second])
    assert found.name == f"site {second['id']}"
    with pytest.raises(
        TargetInvalid, match=f"site {second['id']} reads files from the folder of {base.name}"
    ):
        keeper.delete(base)
    target.exists(second)
    keeper.delete(found)
    (found,) = keeper.stored([first, second])
    assert found.name == base.name
    keeper.delete(found)
    assert site.s3.objects == {}


def _after(calls: int, real: Any) -> Any:
    left = [calls]

    def refusing(**asked: Any) -> Any:
        if not left[0]:
            raise aws_error("InvalidRequest")
        left[0] -= 1
        return real(**asked)

    return refusing


def test_a_site_in_another_bucket_belongs_to_no_release() -> None:
    site = sites.Site()
    old = site.serve(sites.OLD)
    spec = replace(sites.SPEC, function="another")
    (found,) = Sites(application="storefront", spec=spec, s3=site.s3).stored([old])  # type: ignore[arg-type]
    assert found.revisions == []
