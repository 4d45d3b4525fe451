"""The requests to Lambda, field by field, against AWS's own model of the API."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import boto3
import pytest
from botocore.stub import Stubber

from tagship.model.records import Revision
from tagship.targets.kind import Move
from tagship.targets.lambda_configuration import digest_of
from tests.unit.targets.functions import BUCKET, KEY, NEW, OLD, artifacts, digest, target

ALIAS = {"FunctionName": "storefront", "Name": "live"}
OF = "arn:aws:lambda:us-east-1:000000000000:function:storefront:live"
DATA = {"codeSha256": digest(NEW), "of": OF}
BASELINE: Revision = {"id": "1", "digest": "", "etag": "r1", "data": {"codeSha256": digest(OLD), "of": OF}}
CANDIDATE: Revision = {"id": "2", "digest": digest_of({}, digest(NEW)), "data": DATA}


def move(percent: int, *, baseline: Revision | None = BASELINE, etag: str = "r1", fence: int = 7) -> Move:
    return Move(baseline=baseline, candidate=CANDIDATE, percent=percent, etag=etag, fence=fence)


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


LATEST = {"FunctionName": "storefront", "Qualifier": "$LATEST"}


def test_a_plan_only_reads(client):
    """At the same time, so in any order."""
    answers = {
        ("GetAlias", "live", None): (200, alias("1", "r1")),
        ("GetFunctionConfiguration", None, "$LATEST"): (
            200,
            {"CodeSha256": digest(OLD), "RevisionId": "l1"},
        ),
        ("GetFunctionConfiguration", None, "1"): (200, {"CodeSha256": digest(OLD)}),
        ("GetProvisionedConcurrencyConfig", None, "live"): (
            404,
            {"Error": {"Code": "ProvisionedConcurrencyConfigNotFoundException"}},
        ),
    }

    def remember(params: dict[str, Any], context: dict[str, Any], **_: Any) -> None:
        context["asked"] = dict(params)

    def answer(model: Any, context: dict[str, Any], **_: Any) -> tuple[Any, dict[str, Any]]:
        asked = context["asked"]
        assert asked["FunctionName"] == "storefront"
        status, found = answers.pop((model.name, asked.get("Name"), asked.get("Qualifier")))
        return SimpleNamespace(status_code=status), found

    client.meta.events.register("provide-client-params.lambda", remember)
    client.meta.events.register("before-call.lambda", answer)
    change = target(client).plan(artifacts(), {}, weighted=True)
    assert change.candidate == {**CANDIDATE, "id": ""}
    assert answers == {}, "each is read once"


def test_a_candidate_is_the_pinned_version_uploaded_and_published_in_one_call(client):
    with Stubber(client) as stub:
        stub.add_response(
            "get_function_configuration",
            {"CodeSha256": digest(OLD), "RevisionId": "l1", "LastUpdateStatus": "Successful"},
            LATEST,
        )
        stub.add_response(
            "update_function_code",
            {"CodeSha256": digest(NEW), "Version": "2"},
            {
                "FunctionName": "storefront",
                "S3Bucket": BUCKET,
                "S3Key": KEY,
                "S3ObjectVersion": "7",
                "RevisionId": "l1",
                "Publish": True,
            },
        )
        stub.add_response(
            "get_function_configuration",
            {"CodeSha256": digest(NEW), "State": "Active"},
            {"FunctionName": "storefront", "Qualifier": "2"},
        )
        prepared = target(client).prepare(artifacts(), {**CANDIDATE, "id": ""}, lambda _: None)
        stub.assert_no_pending_responses()
    assert prepared.candidate == CANDIDATE


def test_existing_code_is_published_with_its_digest_as_precondition(client):
    with Stubber(client) as stub:
        stub.add_response(
            "get_function_configuration",
            {"CodeSha256": digest(NEW), "RevisionId": "l1", "LastUpdateStatus": "Successful"},
            LATEST,
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
        stub.add_response(
            "get_function_configuration",
            {"CodeSha256": digest(NEW), "State": "Active"},
            {"FunctionName": "storefront", "Qualifier": "2"},
        )
        assert (
            target(client).prepare(artifacts(), {**CANDIDATE, "id": ""}, lambda _: None).candidate
            == CANDIDATE
        )
        stub.assert_no_pending_responses()


def test_a_shift_is_one_write_with_the_revision_that_was_read(client):
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
        state = target(client).set_weight(move(10))
        stub.assert_no_pending_responses()
    assert state == "r2"


def test_a_restore_removes_every_weight_and_reads_back(client):
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
        # an alias with callers would be deleted with their permissions
        of_alias = {"FunctionName": "storefront", "Qualifier": "live"}
        stub.add_client_error("get_policy", "ResourceNotFoundException", expected_params=of_alias)
        stub.add_response(
            "list_event_source_mappings", {"EventSourceMappings": []}, {"FunctionName": "storefront:live"}
        )
        stub.add_client_error(
            "get_function_url_config", "ResourceNotFoundException", expected_params=of_alias
        )
        stub.add_response("delete_alias", {}, ALIAS)
        target(client).set_weight(move(100, baseline=None, etag="", fence=1))
        target(client).restore(baseline=None, candidate=CANDIDATE, fence=2)
        stub.assert_no_pending_responses()


def test_an_alias_as_aws_returns_it_without_weights_has_none(client):
    """AWS leaves RoutingConfig out where an alias has no weights."""
    with Stubber(client) as stub:
        stub.add_response("get_function_configuration", {"CodeSha256": digest(NEW)}, None)
        stub.add_response("get_alias", {"FunctionVersion": "2", "RevisionId": "r9"}, ALIAS)
        assert target(client).verify_weight(move(100)) == 0
        stub.assert_no_pending_responses()
