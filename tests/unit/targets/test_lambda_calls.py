"""What is sent to Lambda, field by field, against AWS's own model of the API."""

from __future__ import annotations

from typing import Any

import boto3
import pytest
from botocore.stub import Stubber

from tests.unit.targets.functions import BUCKET, KEY, NEW, OLD, artifacts, digest, target

ALIAS = {"FunctionName": "storefront", "Name": "live"}
OF = "arn:aws:lambda:us-east-1:000000000000:function:storefront:live"
BASELINE = {"version": "1", "codeSha256": digest(OLD), "of": OF, "state": "r1"}
CANDIDATE = {"version": "2", "codeSha256": digest(NEW), "of": OF}


@pytest.fixture
def client() -> Any:
    return boto3.client(
        "lambda", region_name="us-east-1", aws_access_key_id="testing", aws_secret_access_key="testing"
    )


def alias(
    version: str, revision: str, *, weights: dict[str, float] | None = None, description: str = ""
) -> dict[str, Any]:
    return {
        "FunctionVersion": version,
        "RevisionId": revision,
        "Description": description,
        "RoutingConfig": {"AdditionalVersionWeights": weights or {}},
    }


def test_a_plan_names_the_pinned_version_and_both_preconditions(client):
    with Stubber(client) as stub:
        stub.add_response("get_alias", alias("1", "r1"), ALIAS)
        stub.add_response(
            "get_function_configuration",
            {"CodeSha256": digest(OLD)},
            {"FunctionName": "storefront", "Qualifier": "1"},
        )
        stub.add_response(
            "get_function_configuration",
            {"CodeSha256": digest(OLD), "RevisionId": "l1", "LastUpdateStatus": "Successful"},
            {"FunctionName": "storefront", "Qualifier": "$LATEST"},
        )
        stub.add_response(
            "update_function_code",
            {"CodeSha256": digest(NEW), "RevisionId": "l2", "LastUpdateStatus": "Successful"},
            {
                "FunctionName": "storefront",
                "S3Bucket": BUCKET,
                "S3Key": KEY,
                "S3ObjectVersion": "7",
                "RevisionId": "l1",
            },
        )
        stub.add_response(
            "publish_version",
            {"Version": "2"},
            {
                "FunctionName": "storefront",
                "CodeSha256": digest(NEW),
                "Description": "tagship storefront v1.4.0",
            },
        )
        change = target(client).plan(artifacts())
        stub.assert_no_pending_responses()
    assert (change.baseline, change.candidate) == (BASELINE, CANDIDATE)


def test_a_shift_is_one_write_with_the_revision_that_was_looked_at(client):
    with Stubber(client) as stub:
        stub.add_response("get_alias", alias("1", "r1"), ALIAS)
        stub.add_response(
            "update_alias",
            alias("1", "r2", weights={"2": 0.1}),
            ALIAS
            | {
                "FunctionVersion": "1",
                "Description": "tagship storefront v1.4.0, fence 7",
                "RoutingConfig": {"AdditionalVersionWeights": {"2": 0.1}},
                "RevisionId": "r1",
            },
        )
        state = target(client).shift(
            baseline=BASELINE, candidate=CANDIDATE, percent=10, expected="r1", fence=7
        )
        stub.assert_no_pending_responses()
    assert state == "r2"


def test_a_restore_takes_every_weight_away_and_reads_back(client):
    with Stubber(client) as stub:
        stub.add_response(
            "get_alias", alias("1", "r2", weights={"2": 0.1}, description="tagship x, fence 7"), ALIAS
        )
        stub.add_response(
            "update_alias",
            alias("1", "r3"),
            ALIAS
            | {
                "FunctionVersion": "1",
                "Description": "tagship storefront v1.4.0, fence 8",
                "RoutingConfig": {"AdditionalVersionWeights": {}},
                "RevisionId": "r2",
            },
        )
        stub.add_response("get_alias", alias("1", "r3"), ALIAS)
        target(client).restore(baseline=BASELINE, candidate=CANDIDATE, fence=8)
        stub.assert_no_pending_responses()


def test_a_first_release_creates_the_alias_and_its_rollback_deletes_it(client):
    with Stubber(client) as stub:
        stub.add_client_error("get_alias", "ResourceNotFoundException", expected_params=ALIAS)
        stub.add_response(
            "create_alias",
            alias("2", "r1"),
            ALIAS
            | {
                "FunctionVersion": "2",
                "Description": "tagship storefront v1.4.0, fence 1",
                "RoutingConfig": {"AdditionalVersionWeights": {}},
            },
        )
        stub.add_response(
            "get_alias", alias("2", "r1", description="tagship storefront v1.4.0, fence 1"), ALIAS
        )
        stub.add_response("delete_alias", {}, ALIAS)
        target(client).shift(baseline=None, candidate=CANDIDATE, percent=100, expected="", fence=1)
        target(client).restore(baseline=None, candidate=CANDIDATE, fence=2)
        stub.assert_no_pending_responses()


def test_an_alias_as_aws_returns_it_without_weights_has_none(client):
    """AWS leaves RoutingConfig out where an alias has no weights."""
    with Stubber(client) as stub:
        stub.add_response("get_function_configuration", {"CodeSha256": digest(NEW)}, None)
        stub.add_response("get_alias", {"FunctionVersion": "2", "RevisionId": "r9"}, ALIAS)
        target(client).settled(baseline=BASELINE, candidate=CANDIDATE, percent=100)
        stub.assert_no_pending_responses()
