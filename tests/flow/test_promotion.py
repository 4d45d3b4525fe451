"""Two stages in one process: what stayed current and healthy in staging is published in production, by Tagship itself."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from typing import Any

import pytest
from moto.core import DEFAULT_ACCOUNT_ID

from tagship import runtime
from tagship.ledger import promotions
from tests.flow.harness import BUCKET, REGION, TARGET, World, client_of

DAY = {"hours": 25}
AUTHOR = "mo@example.com"
PROMOTE = {
    "to": "production",
    "after": 86_400,
    "bucket": BUCKET,
    "region": REGION,
    "role": f"arn:aws:iam::{DEFAULT_ACCOUNT_ID}:role/tagship-to-production-storefront",
}
WATCH = {"checks": [{"type": "lambda"}], "watch": {"seconds": 86_400, "alarms": ["storefront-5xx"]}}


@pytest.fixture
def staging(world: World) -> Iterator[World]:
    """A stage before production, from which releases are promoted after a day."""
    client_of("cloudwatch").put_metric_alarm(
        AlarmName="storefront-5xx",
        MetricName="5xx",
        Namespace="Storefront",
        Statistic="Sum",
        Period=60,
        EvaluationPeriods=1,
        Threshold=1.0,
        ComparisonOperator="GreaterThanThreshold",
    )
    with world.stage("staging"):
        world.configure(stage="staging", health=WATCH, promote=PROMOTE)
        yield world


def look(world: World, **passed: float) -> list[str]:
    """Runs the function after this time."""
    return list(world.later("promote", {}, **passed or DAY)["did"])


def fact(world: World, tag: str, name: str) -> dict[str, Any]:
    (found,) = [each for each in world.ledger.facts_of("storefront", tag) if each["name"] == name]
    return dict(found)


def in_production(tag: str) -> dict[str, bytes]:
    """The release in the next stage's bucket."""
    s3 = client_of("s3")
    found = s3.list_objects_v2(Bucket=BUCKET, Prefix=f"releases/storefront/{tag}/").get("Contents", ())
    return {
        each["Key"].rsplit("/", 1)[1]: s3.get_object(Bucket=BUCKET, Key=each["Key"])["Body"].read()
        for each in found
    }


def test_a_release_that_stays_healthy_for_a_day_is_promoted_and_approved_by_the_next_stages_approvers(
    staging: World,
) -> None:
    """Fault 124."""
    key = client_of("kms").create_key(KeySpec="ECC_NIST_P256", KeyUsage="SIGN_VERIFY")["KeyMetadata"]["KeyId"]
    client_of("kms").create_alias(AliasName="alias/tagship-promotion", TargetKeyId=key)
    staging.configure(stage="staging", health=WATCH, promote={**PROMOTE, "key": "alias/tagship-promotion"})
    assert staging.release("v1.0.0", author=AUTHOR).status == "SUCCEEDED"
    assert look(staging, hours=23) == [], "not yet"
    assert look(staging) == ["storefront v1.0.0: promoted to production"]
    assert look(staging) == [], "once"
    assert list(promotions.open_ones(staging.ledger)) == []
    promoted = fact(staging, "v1.0.0", "Release Promoted")["data"]
    assert promoted["address"] == f"s3://{BUCKET}/releases/storefront/v1.0.0/"
    target = staging.record("v1.0.0")["configuration"]["document"]["target"]
    there = in_production("v1.0.0")
    assert set(there) == {"release.json", "storefront.zip", "promotion.json", "promotion.json.sig"}
    assert hashlib.sha256(there["release.json"]).hexdigest() == promoted["digest"]
    with pytest.MonkeyPatch.context() as patch:  # from here on, production
        for name, value in (("STAGE", "production"), ("LEDGER_TABLE", "ledger"), ("RELEASE_BUCKET", BUCKET)):
            patch.setenv(f"TAGSHIP_{name}", value)
        runtime._runtime.cache_clear()
        client_of("lambda").create_alias(FunctionName=TARGET, Name="production", FunctionVersion="1")
        staging.configure(
            target={**target, "alias": "production"},
            approval={"approvers": [AUTHOR, "bo@example.com"]},
            gates={"promotion": {"stage": "staging", "key": "alias/tagship-promotion"}},
        )
        arn = staging.start(
            {"bucket": BUCKET, "key": "releases/storefront/v1.0.0/release.json", "versionId": ""}
        )
        staging.decide(arn, who="bo@example.com")
        assert staging.ended(arn).status == "SUCCEEDED"
        record = staging.record("v1.0.0")
        assert record["manifest"]["author"] == AUTHOR, "who still may not approve it"
        (gate,) = [it for it in record["gates"] if it["gate"] == "promotion"]
        assert gate["verdict"] == "passed", gate
        assert list(promotions.open_ones(staging.ledger)) == [], "nothing leads further from here"
    runtime._runtime.cache_clear()
