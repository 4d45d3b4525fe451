"""retention: what the policy lets go is shown first, deleted only with --apply, and never what a rollback needs."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import pytest

from tagship.ledger import lock, made, releases
from tagship.ledger.table import Fact
from tagship.model.facts import FactKind
from tests.unit.cli.conftest import Stage
from tests.unit.cli.test_plan import functions
from tests.unit.tables import aws_error
from tests.unit.targets.functions import FakeLambda, digest

__all__ = ["functions"]

OF = "arn:aws:lambda:eu-central-1:123456789012:function:storefront:live"
POLICY = {"releases": 2, "days": 30}


def retention(stage: Stage, *more: str) -> Any:
    return stage.run("retention", "storefront", *more)


def revision(functions: FakeLambda, version: str) -> dict[str, Any]:
    return {
        "id": version,
        "digest": f"d{version}",
        "data": {"codeSha256": functions.versions[version]["CodeSha256"], "of": OF},
    }


def released(stage: Stage, functions: FakeLambda, tag: str) -> str:
    """A successful release with its own code, which becomes the current one."""
    before = functions.aliases["live"]["FunctionVersion"]
    functions.latest["CodeSha256"] = digest(tag.encode())
    version = functions.publish()
    made, ledger = stage.release(tag), stage.ledger
    location = {
        "location": "123456789012/eu-central-1",
        "baseline": revision(functions, before),
        "candidate": revision(functions, version),
        "etag": "",
    }
    serves = {
        "application": "storefront",
        "tag": tag,
        "attempt": 1,
        "since": made.record["readAt"],
        "revision": revision(functions, version),
    }
    ledger.write(
        ledger.update(
            "APPLICATION#storefront",
            f"RELEASE#{tag}",
            only_if="attribute_exists(pk)",
            remove=("open",),
            status="SUCCEEDED",
            endedAt=made.record["readAt"],
            plan={"from": None, "to": tag, "locations": [location]},
        )
    )
    ledger.write(
        ledger.update("APPLICATION#storefront", "CURRENT", only_if="#x <> :x", values={":x": 1}, **serves)
    )
    functions.point(version)
    return version


@pytest.fixture
def shop(stage: Stage, functions: FakeLambda) -> FakeLambda:
    """Version 1 was there before; v1.0.0 to v1.5.0 made versions 2 to 7, one a month. The last was a month ago."""
    stage.configure(retention=POLICY)
    for number in range(6):
        released(stage, functions, f"v1.{number}.0")
        stage.clock.time += timedelta(days=31)
    functions.calls.clear()
    return functions


def test_it_shows_what_would_be_deleted_and_why_the_rest_is_kept_and_deletes_nothing(
    stage: Stage, shop: FakeLambda
) -> None:
    """Fault 97."""
    result = retention(stage)
    assert result.exit_code == 0, result.output
    assert "storefront in development: 3 revisions to delete, 4 revisions to keep" in result.stdout
    assert (
        "  delete  version 2 (v1.0.0)\n  delete  version 3 (v1.1.0)\n  delete  version 4 (v1.2.0)"
        in result.stdout
    )
    assert "  keep    version 1: the ledger records no release that made it" in result.stdout
    assert "  keep    version 5 (v1.3.0): a rollback of v1.4.0 restores it" in result.stdout
    assert "  keep    version 6 (v1.4.0): a rollback of v1.5.0 restores it" in result.stdout
    assert "  keep    version 7 (v1.5.0): it serves traffic" in result.stdout
    assert "Nothing was deleted. To delete: tagship retention storefront --apply" in result.stdout
    assert "delete_function" not in shop.calls
    assert lock.holder(stage.ledger, "storefront") is None
    elsewhere = retention(stage, "--target-profile", "shop")
    assert (elsewhere.exit_code, "The config profile (shop) could not be found" in elsewhere.stderr) == (
        3,
        True,
    )


def test_with_apply_it_deletes_exactly_that_and_records_it(stage: Stage, shop: FakeLambda) -> None:
    """Fault 97."""
    result = retention(stage, "--apply", "--yes")
    assert result.exit_code == 0, result.output
    assert sorted(shop.versions) == ["1", "5", "6", "7"]
    assert "  deleted version 2\n  deleted version 3\n  deleted version 4" in result.stdout
    (fact,) = [it for it in stage.ledger.facts_in_order("storefront") if it["name"] == "Retention Applied"]
    assert (fact["tag"], fact["data"]["revisions"]) == ("v1.5.0", ["version 2", "version 3", "version 4"])
    assert lock.holder(stage.ledger, "storefront") is None
    again = retention(stage, "--apply", "--yes")
    assert again.exit_code == 0
    assert "0 revisions to delete, 4 revisions to keep" in again.stdout


def test_it_deletes_revisions_of_releases_that_never_got_traffic(stage: Stage, shop: FakeLambda) -> None:
    """Fault 97: the release failed before its candidate was proven."""
    shop.latest["CodeSha256"] = digest(b"never served")
    version = shop.publish()
    failed = stage.release("v1.6.0")
    made.add(stage.ledger, failed.record, revision(shop, version))  # type: ignore[arg-type]
    kept = {each["name"]: each["why"] for each in json.loads(retention(stage, "--json").stdout)["keep"]}
    assert kept["version 8"] == "v1.6.0 is RUNNING"
    stage.ledger.write(
        stage.ledger.update(
            "APPLICATION#storefront", "RELEASE#v1.6.0", only_if="attribute_exists(pk)", status="INVALID"
        )
    )
    stage.clock.time += timedelta(days=31)
    assert "  deleted version 8" in retention(stage, "--apply", "--yes").stdout
    assert version not in shop.versions


def test_without_a_policy_nothing_is_deleted(stage: Stage, shop: FakeLambda) -> None:
    stage.configure()
    result = retention(stage, "--apply", "--yes", "--json")
    assert result.exit_code == 0
    found = json.loads(result.stdout)
    assert found["delete"] == []
    assert {"name": "version 3", "releases": ["v1.1.0"], "why": "no retention is configured"} in found["keep"]
    assert len(shop.versions) == 7


def test_a_refused_deletion_is_reported_and_the_rest_continues(stage: Stage, shop: FakeLambda) -> None:
    refusal = aws_error("InvalidParameterValueException", message="it is a replicated function")

    def refused_once() -> None:
        shop.refuses["delete_function"] = refusal
        shop.before["delete_function"] = shop.refuses.clear

    shop.before["delete_function"] = refused_once
    result = retention(stage, "--apply", "--yes")
    assert result.exit_code == 1
    assert "it is a replicated function" in " ".join(result.stdout.split())
    assert "1 of 3 revisions could not be deleted. The others were." in result.stderr
    assert sorted(shop.versions) == ["1", "2", "5", "6", "7"]
    assert lock.holder(stage.ledger, "storefront") is None


def test_with_split_traffic_nothing_is_deleted(stage: Stage, shop: FakeLambda) -> None:
    shop.point("6", weights={"7": 0.1})
    result = retention(stage, "--apply", "--yes")
    assert result.exit_code == 1
    assert "Send all its traffic to one published version first" in result.stderr
    assert len(shop.versions) == 7


def test_a_revision_that_another_application_released_is_kept(stage: Stage, shop: FakeLambda) -> None:
    """Fault 97. Another alias of the same function: a rollback there may need a version that is old here."""
    stage.configure(application="beta")
    ledger, seen = stage.ledger, revision(shop, "3")
    location = {"location": "here", "baseline": None, "etag": ""}
    location["candidate"] = seen | {
        "digest": "beta",
        "data": seen["data"] | {"of": OF.replace("live", "beta")},
    }
    known = releases.get(ledger, "storefront", "v1.0.0") | {
        "application": "beta",
        "plan": {"locations": [location]},
    }
    item = {**known, "pk": "APPLICATION#beta", "sk": "RELEASE#v1.0.0"}
    ledger.record(
        Fact(application="beta", tag="v1.0.0", attempt=1, name=FactKind.ALARM_FIRED), ledger.put(item)
    )
    result = retention(stage)
    assert "  keep    version 3 (v1.1.0): beta has released it too" in result.stdout, result.output
    assert "2 revisions to delete, 5 revisions to keep" in result.stdout


def test_a_proposed_configuration_has_no_revision(stage: Stage, shop: FakeLambda) -> None:
    """In a stage that guards configurations, proposals are among an application's releases, and have no location."""
    stage.release("configuration-1")
    stage.ledger.write(
        stage.ledger.update(
            "APPLICATION#storefront",
            "RELEASE#configuration-1",
            only_if="attribute_exists(pk)",
            plan={"from": None, "to": "configuration-1", "locations": []},
        )
    )
    result = retention(stage)
    assert result.exit_code == 0, result.output
    assert "3 revisions to delete, 4 revisions to keep" in result.stdout
