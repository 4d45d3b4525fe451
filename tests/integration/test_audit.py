"""No role can delete a fact, with the policies enforced; and a release's records pass an audit."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError

from tagship.ledger.evidence import anchor_of
from tests.integration.conftest import Pipeline, wait_for
from tests.integration.test_command_line import Shell
from tests.integration.test_engine_corrections import client_that_may
from tests.template.cloudformation import functions
from tools.stack import ACCOUNT, REGION


def roles(pipeline: Pipeline) -> dict[str, str]:
    """Each function's own role, by the function's name in the template."""
    lister = pipeline.client("cloudformation").get_paginator("list_stack_resources")
    pages = lister.paginate(StackName=f"tagship-{pipeline.stack.stage}")
    return {
        found["LogicalResourceId"].removesuffix("Role"): found["PhysicalResourceId"]
        for page in pages
        for found in page["StackResourceSummaries"]
        if found["ResourceType"] == "AWS::IAM::Role" and found["LogicalResourceId"].endswith("FunctionRole")
    }


def as_role(pipeline: Pipeline, role: str) -> Any:
    """A client of the table with the rights of a function: its trust is opened for this test, and closed again."""
    iam = pipeline.client("iam")
    before = iam.get_role(RoleName=role)["Role"]["AssumeRolePolicyDocument"]
    opened = {
        "Version": "2012-10-17",
        "Statement": [
            {
                "Effect": "Allow",
                "Principal": {"AWS": f"arn:aws:iam::{ACCOUNT}:root"},
                "Action": "sts:AssumeRole",
            }
        ],
    }
    iam.update_assume_role_policy(RoleName=role, PolicyDocument=json.dumps(opened))
    try:
        given = pipeline.client("sts").assume_role(
            RoleArn=f"arn:aws:iam::{ACCOUNT}:role/{role}", RoleSessionName="audit"
        )["Credentials"]
    finally:
        text = before if isinstance(before, str) else json.dumps(before)
        iam.update_assume_role_policy(RoleName=role, PolicyDocument=text)
    return boto3.session.Session().client(
        "dynamodb",
        endpoint_url=pipeline.stack.engine.endpoint,
        region_name=REGION,
        aws_access_key_id=given["AccessKeyId"],
        aws_secret_access_key=given["SecretAccessKey"],
        aws_session_token=given["SessionToken"],
    )


def test_no_function_can_delete_a_fact_and_evidence_contains_the_chain(
    pipeline: Pipeline, tmp_path: Path
) -> None:
    tag = pipeline.publish()
    pipeline.decide(tag)
    pipeline.settled(tag, "SUCCEEDED")
    table, fact = pipeline.stack.outputs["LedgerTableName"], pipeline.facts(tag)[0]
    key = {name: {"S": fact[name]} for name in ("pk", "sk")}
    assert set(roles(pipeline)) == set(functions())
    for name, role in roles(pipeline).items():
        client = as_role(pipeline, role)
        for ask in (
            lambda client=client: client.delete_item(TableName=table, Key=key),
            lambda client=client: client.batch_write_item(
                RequestItems={table: [{"DeleteRequest": {"Key": key}}]}
            ),
            lambda client=client: client.transact_write_items(
                TransactItems=[{"Delete": {"TableName": table, "Key": key}}]
            ),
        ):
            with pytest.raises(ClientError, match="AccessDenied"):
                ask()
            assert pipeline.facts(tag)[0] == fact, name

    bucket = pipeline.stack.outputs["EvidenceBucketName"]

    def kept() -> str | None:
        found = pipeline.client("s3").list_objects_v2(Bucket=bucket, Prefix=f"storefront/{tag}/")
        return next((each["Key"] for each in found.get("Contents", [])), None)

    name = wait_for(kept, f"the evidence of {tag}")
    ending = pipeline.facts(tag)[-1]
    anchor = anchor_of(name)
    assert anchor is not None and (anchor.seq, anchor.digest) == (ending["seq"], ending["digest"])
    evidence = tmp_path / Path(name).name
    pipeline.client("s3").download_file(bucket, name, str(evidence))
    Shell(pipeline, tmp_path).done("audit", "verify", "--bundle", str(evidence))
    Shell(pipeline, tmp_path).done("audit", "verify", "storefront")

    administrator = client_that_may(pipeline.stack.engine, "s3", Action="s3:*", Resource="*")
    rule = {"ID": "all", "Status": "Enabled", "Filter": {}, "Expiration": {"Days": 1}}
    for hide in (
        lambda: administrator.delete_object(Bucket=bucket, Key=name),
        lambda: administrator.put_bucket_lifecycle_configuration(
            Bucket=bucket, LifecycleConfiguration={"Rules": [rule]}
        ),
    ):
        with pytest.raises(ClientError, match="AccessDenied"):
            hide()
