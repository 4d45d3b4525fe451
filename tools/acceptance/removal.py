"""Removes everything that the run has created, even after a failure, and reports what can't be removed."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from tools.acceptance.site import STAGE, Site

KEY_DAYS = 7
"""The shortest waiting period of KMS before it deletes a key."""


def remove(site: Site, *, application: str) -> list[str]:
    """Tries to remove everything, whatever fails; returns what remains, in words."""
    remains: list[str] = []
    kept = _kept(site)
    for step in (
        lambda: site.client("ssm").delete_parameter(Name=f"/tagship/{STAGE}/applications/{application}"),
        lambda: _delete_stack(site, application),
        *(_emptied(site, name) for name in kept.get("AWS::S3::Bucket", [])),
        lambda: _delete_stack(site, site.stack),
        *(_bucket(site, name) for name in kept.get("AWS::S3::Bucket", [])),
        *(_table(site, name) for name in kept.get("AWS::DynamoDB::Table", [])),
        *(_key(site, name) for name in kept.get("AWS::KMS::Key", [])),
    ):
        with _noting(remains):
            step()
    remains += (
        [f"the bucket of the SAM CLI (aws-sam-cli-managed-default), with {site.stack}'s code"]
        if site.is_real
        else []
    )
    return remains


def _kept(site: Site) -> dict[str, list[str]]:
    """The resources that CloudFormation retains when the stack is deleted, by type."""
    found: dict[str, list[str]] = {}
    try:
        pages = (
            site.client("cloudformation").get_paginator("list_stack_resources").paginate(StackName=site.stack)
        )
        for page in pages:
            for each in page["StackResourceSummaries"]:
                if each["ResourceType"] in ("AWS::S3::Bucket", "AWS::DynamoDB::Table", "AWS::KMS::Key"):
                    found.setdefault(each["ResourceType"], []).append(each["PhysicalResourceId"])
    except ClientError:
        return {}  # it was never deployed
    return found


def _delete_stack(site: Site, name: str) -> None:
    cloudformation = site.client("cloudformation")
    cloudformation.delete_stack(StackName=name)
    cloudformation.get_waiter("stack_delete_complete").wait(
        StackName=name, WaiterConfig={"Delay": 5, "MaxAttempts": 240}
    )


def _emptied(site: Site, bucket: str) -> Callable[[], None]:
    """Its policy denies all deletions, so that is removed first. Evidence is locked in governance mode, which may be
    bypassed."""

    def empty() -> None:
        s3 = site.client("s3")
        s3.delete_bucket_policy(Bucket=bucket)
        for version in _versions(s3, bucket):
            locked = {"BypassGovernanceRetention": True} if site.is_real else {}
            s3.delete_object(Bucket=bucket, Key=version["Key"], VersionId=version["VersionId"], **locked)

    return empty


def _versions(s3: Any, bucket: str) -> Iterator[Mapping[str, Any]]:
    for page in s3.get_paginator("list_object_versions").paginate(Bucket=bucket):
        yield from page.get("Versions", [])
        yield from page.get("DeleteMarkers", [])


def _bucket(site: Site, name: str) -> Callable[[], None]:
    def delete() -> None:
        _emptied(site, name)()  # objects that arrived meanwhile
        site.client("s3").delete_bucket(Bucket=name)

    return delete


def _table(site: Site, name: str) -> Callable[[], Any]:
    return lambda: site.client("dynamodb").delete_table(TableName=name)


def _key(site: Site, name: str) -> Callable[[], Any]:
    return lambda: site.client("kms").schedule_key_deletion(KeyId=name, PendingWindowInDays=KEY_DAYS)


@contextmanager
def _noting(remains: list[str]) -> Iterator[None]:
    try:
        yield
    except ClientError as error:
        code = error.response["Error"]["Code"]
        if code not in (
            "NoSuchBucket",
            "ParameterNotFound",
            "ResourceNotFoundException",
            "NoSuchBucketPolicy",
        ):
            remains.append(f"{error.operation_name}: {code}: {error.response['Error'].get('Message', '')}")
    except BotoCoreError as error:
        remains.append(str(error))
