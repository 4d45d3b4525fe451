"""The same definitions and the same functions release a static site: the bucket is moto's, the function one in memory."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from tagship.aws.clients import Aws
from tagship.targets import static_site
from tagship.targets.static_site_function import Code
from tests.flow.harness import Ended, World, client_of, code_of, manifest_of
from tests.unit.targets.sites import NEW, OLD, FakeCloudFront, pack, serving

BUCKET = static_site.KIND.example["bucket"]
BROKEN = {**NEW, "index.html": b"a page that nobody can read"}


@pytest.fixture
def cloudfront() -> FakeCloudFront:
    return FakeCloudFront()


@pytest.fixture
def site(world: World, cloudfront: FakeCloudFront) -> World:
    """An application whose target is a site that serves nothing yet; its smoke test reads its page."""
    client_of("s3").create_bucket(Bucket=BUCKET)
    world.patch.setattr(
        Aws, "_made", lambda self, service, **_: cloudfront if service == "cloudfront" else client_of(service)
    )
    role = f"arn:aws:iam::{static_site.KIND.example['account']}:role/tagship-app-storefront"
    client_of("lambda").create_function(
        FunctionName="smoke",
        Runtime="python3.13",
        Role=role,
        Handler="a.b",
        Code={"ZipFile": code_of("smoke")},
    )
    world.handlers["smoke"] = smoke
    world.configure(
        target={**static_site.KIND.example, "region": "us-east-1"},
        strategy={"type": "canary", "percent": 10, "bake": 0},
        health={"checks": [{"type": "custom", "function": "smoke"}]},
    )
    return world


def smoke(event: dict[str, Any], _: object) -> dict[str, str]:
    """The response of the team's own function; it needs visitors to notice that a page is broken."""
    broken = event["percent"] and file_of(event["version"], "index.html") == BROKEN["index.html"]
    return {"verdict": "unhealthy" if broken else "healthy"}


def file_of(release: str, path: str) -> bytes:
    found: bytes = client_of("s3").get_object(Bucket=BUCKET, Key=f"releases/{release}/{path}")["Body"].read()
    return found


def shares(cloudfront: FakeCloudFront) -> dict[str, int]:
    code = Code.read(cloudfront.served)
    assert code is not None
    return {it.id: it.percent for it in code.serves}


def release(world: World, tag: str, files: Mapping[str, bytes]) -> Ended:
    content = pack(files)
    document = manifest_of(tag, content)
    document["artifacts"][0]["name"] = static_site.SITE
    return world.release(tag, code=content, manifest=document)


def test_a_site_is_released_in_steps_and_rolled_back_manually(
    site: World, cloudfront: FakeCloudFront
) -> None:
    assert release(site, "v1.0.0", OLD).status == "SUCCEEDED"
    (old,) = shares(cloudfront)
    assert file_of(old, "index.html") == OLD["index.html"]
    seen: list[dict[str, int]] = []

    def look(event: dict[str, Any]) -> Any:
        answer = site.handlers["shift_traffic"](event, None)
        seen.append(shares(cloudfront))
        return answer

    site.plant("shift_traffic", look, times=2)
    assert release(site, "v1.1.0", NEW).status == "SUCCEEDED"
    (new,) = shares(cloudfront)
    assert seen == [{new: 10, old: 90}, {new: 100}]
    assert file_of(new, "prices.html") == NEW["prices.html"]
    assert site.record("v1.1.0")["plan"]["summary"] == [
        f"the function storefront-releases: site {old} → a new one (5 files, 63 bytes)",
        "Pages removed: about/index.html",
        "Pages changed: index.html",
        "Pages added: prices.html",
        "Hashed files: 1 added, 1 no longer used; these stay reachable for open tabs.",
    ]
    assert "1 address will no longer answer: about/index.html." in str(site.record("v1.1.0"))
    assert f"site {new}" in site.type("history", "storefront", "--tag", "v1.1.0").output
    assert "v1.1.0" in site.type("status", "storefront").output
    done = site.type("rollback", "storefront", "v1.1.0", "--reason", "nobody can pay")
    assert done.exit_code == 0, done.output
    assert shares(cloudfront) == {old: 100}


def test_a_broken_site_is_rolled_back_to_the_previous_release(
    site: World, cloudfront: FakeCloudFront
) -> None:
    assert release(site, "v1.0.0", BROKEN).error == "ReleaseRolledBack"
    assert shares(cloudfront) == {}
    assert release(site, "v1.0.1", OLD).status == "SUCCEEDED"
    before = shares(cloudfront)
    assert release(site, "v1.1.0", BROKEN).error == "ReleaseRolledBack"
    assert shares(cloudfront) == before


def test_a_function_edited_meanwhile_is_not_overwritten(site: World, cloudfront: FakeCloudFront) -> None:
    by_hand = serving({"id": "b" * 16, "digest": "b" * 64, "data": {"hashed": "x", "paths": "folders"}})

    def edit(event: dict[str, Any]) -> Any:
        cloudfront.by_hand(by_hand)
        return site.handlers["shift_traffic"](event, None)

    site.plant("shift_traffic", edit)
    assert release(site, "v1.0.0", NEW).error == "ReleaseInvalid"
    assert cloudfront.served == by_hand
