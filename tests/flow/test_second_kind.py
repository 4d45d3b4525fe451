"""The same definitions and the same functions release to a kind of target that only tests know."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from typing import Any

import pytest

from tests.flow.harness import Ended, World, client_of, code_of, manifest_of
from tests.unit.targets import toy

BUCKET, KEY = "storefront-site", "live.json"
BAD = b"a page that nobody can read"


@pytest.fixture
def site(world: World) -> Iterator[World]:
    """An application whose target is a pointer, which nothing has written yet; its smoke test knows the bad page."""
    with toy.two_kinds():
        s3 = client_of("s3")
        s3.create_bucket(Bucket=BUCKET)
        role = f"arn:aws:iam::{toy.KIND.example['account']}:role/tagship-app-storefront"
        client_of("lambda").create_function(
            FunctionName="smoke",
            Runtime="python3.13",
            Role=role,
            Handler="a.b",
            Code={"ZipFile": code_of("smoke")},
        )
        world.handlers["smoke"] = lambda *_: {
            "verdict": "unhealthy" if serves() == digest(BAD) else "healthy"
        }
        world.configure(
            target={**toy.KIND.example, "region": "us-east-1"},
            strategy={"type": "all-at-once"},
            health={"checks": [{"type": "custom", "function": "smoke"}]},
        )
        yield world


def digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def serves() -> str:
    """The pointer's value; empty if there is none."""
    s3 = client_of("s3")
    try:
        found: dict[str, Any] = json.loads(s3.get_object(Bucket=BUCKET, Key=KEY)["Body"].read())
    except s3.exceptions.NoSuchKey:
        return ""
    return str(found["serves"])


def release(world: World, tag: str, content: bytes) -> Ended:
    document = manifest_of(tag, content)
    document["artifacts"][0]["name"] = toy.CONTENT
    return world.release(tag, code=content, manifest=document)


def test_a_release_is_planned_approved_and_moved(site: World) -> None:
    assert release(site, "v1.0.0", b"one").status == "SUCCEEDED"
    assert serves() == digest(b"one")
    assert release(site, "v1.1.0", b"two").status == "SUCCEEDED"
    assert serves() == digest(b"two")
    plan = site.record("v1.1.0")["plan"]
    assert plan["summary"] == [f"the pointer {BUCKET}/{KEY}: {digest(b'one')[:12]} → {digest(b'two')[:12]}"]
    shown = site.type("history", "storefront", "--tag", "v1.1.0").output
    assert f"content {digest(b'two')[:12]}" in shown
    assert "v1.1.0" in site.type("status", "storefront").output


def test_a_current_revision_needs_no_approval(site: World) -> None:
    release(site, "v1.0.0", b"one")
    document = manifest_of("v1.1.0", b"one")
    document["artifacts"][0]["name"] = toy.CONTENT
    assert site.release("v1.1.0", decide="", code=b"one", manifest=document).status == "SUCCEEDED"
    assert "Approval Requested" not in site.facts("v1.1.0")


def test_a_bad_release_is_rolled_back_to_the_previous_revision(site: World) -> None:
    release(site, "v1.0.0", b"one")
    assert release(site, "v1.1.0", BAD).error == "ReleaseRolledBack"
    assert serves() == digest(b"one")
    assert "tag" not in site.holder()


def test_a_bad_first_release_leaves_nothing(site: World) -> None:
    assert release(site, "v1.0.0", BAD).error == "ReleaseRolledBack"
    assert serves() == ""


def test_a_manual_change_is_not_overwritten(site: World) -> None:
    release(site, "v1.0.0", b"one")
    by_hand = json.dumps({"serves": digest(b"by hand")}).encode()

    def move(event: dict[str, Any]) -> Any:
        client_of("s3").put_object(Bucket=BUCKET, Key=KEY, Body=by_hand)
        return site.handlers["shift_traffic"](event, None)

    site.plant("shift_traffic", move)
    assert release(site, "v1.1.0", b"two").error == "ReleaseInvalid"
    assert serves() == digest(b"by hand")


def test_a_release_without_the_kinds_artifact_stops_at_its_gates(site: World) -> None:
    ended = site.release("v1.0.0", decide="")
    assert ended.error == "ReleaseInvalid"
    assert "needs an artifact named 'content'" in site.record("v1.0.0")["why"]


def test_an_operator_rolls_it_back_manually(site: World) -> None:
    release(site, "v1.0.0", b"one")
    release(site, "v1.1.0", b"two")
    done = site.type("rollback", "storefront", "v1.1.0", "--reason", "nobody can pay")
    assert done.exit_code == 0, done.output
    assert serves() == digest(b"one")
