"""Questions that only a real account can answer; each restores what it touched."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from botocore.exceptions import ClientError

from tagship.aws.rights import session_policy
from tagship.model.documents import read_application
from tools.acceptance.report import Report
from tools.acceptance.sample import Sample, wait_for
from tools.acceptance.site import STAGE
from tools.stack import LocalError

METRIC_SECONDS = 300
MOST_PACKED = 90
"""Percent of STS's limit for a session's policy and tags together; the rest is for longer names."""
WARM_SECONDS = 600


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What a question gets."""

    sample: Sample
    report: Report

    @property
    def site(self) -> Any:
        """The site that is asked."""
        return self.sample.site


def names_of_errors(asked: Asked) -> None:
    """The error codes that the adapters translate."""
    functions, name = asked.site.client("lambda"), asked.sample.name
    cases: Mapping[str, tuple[str, Callable[[], Any]]] = {
        "an alias that is not there": (
            "ResourceNotFoundException",
            lambda: functions.get_alias(FunctionName=name, Name="nobody"),
        ),
        "moving an alias that somebody else has moved": (
            "PreconditionFailedException",
            lambda: functions.update_alias(
                FunctionName=name,
                Name="live",
                Description="no",
                RevisionId="00000000-0000-0000-0000-000000000000",
            ),
        ),
        "publishing other code than was named": (
            "InvalidParameterValueException",
            lambda: functions.publish_version(FunctionName=name, CodeSha256="bm90IHRoZXNlIGJ5dGVz"),
        ),
        "no provisioned concurrency": (
            "ProvisionedConcurrencyConfigNotFoundException",
            lambda: functions.get_provisioned_concurrency_config(FunctionName=name, Qualifier="live"),
        ),
        "a role that does not trust who asks": (
            "AccessDenied",
            lambda: asked.site.client("sts").assume_role(
                RoleArn=f"arn:aws:iam::{asked.site.account}:role/tagship-app-{name}",
                RoleSessionName="acceptance",
            ),
        ),
    }
    for what, (code, act) in cases.items():
        refused(
            asked, "Names of errors", what, code, act, unless_engine=("publishing other code than was named",)
        )


def write_once(asked: Asked) -> None:
    """What the buckets' policies and Object Lock deny to everybody, including administrators."""
    s3, bucket = asked.site.client("s3"), asked.sample.stack["ReleaseBucketName"]
    key = f"releases/{asked.sample.name}/v1.0.0/release.json"
    evidence = asked.sample.stack["EvidenceBucketName"]
    cases: Mapping[str, tuple[str, Callable[[], Any]]] = {
        "a second release.json of a tag": (
            "PreconditionFailed",
            lambda: s3.put_object(Bucket=bucket, Key=key, Body=b"{}", IfNoneMatch="*"),
        ),
        "an upload that would overwrite": (
            "AccessDenied",
            lambda: s3.put_object(Bucket=bucket, Key=key, Body=b"{}"),
        ),
        "deleting evidence by a marker": (
            "AccessDenied",
            lambda: s3.delete_object(Bucket=evidence, Key=_some(s3, evidence)),
        ),
    }
    for what, (code, act) in cases.items():
        refused(
            asked,
            "Written once",
            what,
            code,
            act,
            unless_engine=("an upload that would overwrite", "deleting evidence by a marker"),
        )


def _some(s3: Any, bucket: str) -> str:
    found = s3.list_objects_v2(Bucket=bucket, MaxKeys=1).get("Contents", [])
    if not found:
        raise LocalError(f"There is no evidence in {bucket}.")
    return str(found[0]["Key"])


def packed_size(asked: Asked) -> None:
    """The used part of STS's limit for the largest session: the plan's, with the release's folder and tags."""
    from tagship import targets

    what, expected = "the plan's session policy and tags, packed", f"at most {MOST_PACKED} %"
    if not asked.site.is_real:
        asked.report.not_shown("Sessions", what, expected, "the engine does not pack policies")
        return
    ssm = asked.site.client("ssm")
    stored = ssm.get_parameter(Name=f"/tagship/{STAGE}/applications/{asked.sample.name}")["Parameter"][
        "Value"
    ]
    spec = read_application(json.loads(stored)).target
    rights = targets.rights(
        spec, application=asked.sample.name, bucket=asked.sample.stack["ReleaseBucketName"]
    )
    with _trusting(asked) as role:
        answer = wait_for(lambda: _assumed(asked, role, session_policy(rights)), "the new role", seconds=60)
    packed = answer.get("PackedPolicySize", 0)
    asked.report.measure("Sessions", what, expected, f"{packed} %", right=packed <= MOST_PACKED)


@contextmanager
def _trusting(asked: Asked) -> Iterator[str]:
    """A role without permissions that this account may assume, with tags."""
    iam, name = asked.site.client("iam"), f"{asked.sample.name}-sessions"
    statement = {
        "Effect": "Allow",
        "Principal": {"AWS": f"arn:aws:iam::{asked.site.account}:root"},
        "Action": ["sts:AssumeRole", "sts:TagSession"],
    }
    made = iam.create_role(
        RoleName=name,
        AssumeRolePolicyDocument=json.dumps({"Version": "2012-10-17", "Statement": [statement]}),
    )
    try:
        yield made["Role"]["Arn"]
    finally:
        iam.delete_role(RoleName=name)


def _assumed(asked: Asked, role: str, policy: str) -> Any:
    tags = {"Application": asked.sample.name, "Tag": "v1.0.0", "Execution": "0" * 64}
    with suppress(ClientError):  # IAM is eventually consistent
        return asked.site.client("sts").assume_role(
            RoleArn=role,
            RoleSessionName="acceptance",
            Policy=policy,
            Tags=[{"Key": key, "Value": value} for key, value in tags.items()],
        )
    return None


def metrics_arrive(asked: Asked) -> None:
    """The delay between the first ending and its metric in CloudWatch."""
    what, expected = "DeploymentSucceeded after the ending", f"within {METRIC_SECONDS} s"
    if not asked.site.is_real:
        asked.report.not_shown("Metrics", what, expected, "the engine makes no metrics of log lines")
        return
    cloudwatch, began = asked.site.client("cloudwatch"), time.monotonic()

    def counted() -> float | None:
        now = datetime.now(UTC)
        found = cloudwatch.get_metric_data(
            MetricDataQueries=[
                {
                    "Id": "good",
                    "MetricStat": {
                        "Metric": {
                            "Namespace": "Tagship",
                            "MetricName": "DeploymentSucceeded",
                            "Dimensions": [
                                {"Name": "Application", "Value": asked.sample.name},
                                {"Name": "Stage", "Value": STAGE},
                            ],
                        },
                        "Period": 60,
                        "Stat": "Sum",
                    },
                }
            ],
            StartTime=now - timedelta(hours=1),
            EndTime=now,
        )["MetricDataResults"][0]["Values"]
        return sum(found) or None

    try:
        wait_for(counted, "the metric", seconds=METRIC_SECONDS)
    except LocalError:
        asked.report.measure("Metrics", what, expected, f"not within {METRIC_SECONDS} s", right=False)
    else:
        asked.report.measure(
            "Metrics", what, expected, f"{time.monotonic() - began:.0f} s after it was asked", right=True
        )


def notices_are_in_order(asked: Asked) -> None:
    """The queue is first in, first out, and is empty when everything was sent."""
    sqs, url = asked.site.client("sqs"), asked.sample.stack["NoticesQueueUrl"]

    def left() -> str | None:
        found = sqs.get_queue_attributes(
            QueueUrl=url,
            AttributeNames=[
                "ApproximateNumberOfMessages",
                "ApproximateNumberOfMessagesNotVisible",
                "FifoQueue",
            ],
        )["Attributes"]
        waiting = int(found["ApproximateNumberOfMessages"]) + int(
            found["ApproximateNumberOfMessagesNotVisible"]
        )
        return str(found.get("FifoQueue")).lower() if waiting == 0 else None

    try:
        fifo = wait_for(left, "the notices", seconds=120)
    except LocalError:
        asked.report.expect("Notices", "the queue two minutes later", "empty", "not empty")
    else:
        asked.report.expect("Notices", "the queue is first in, first out", "true", fifo)


def provisioned_concurrency(asked: Asked) -> None:
    """How UpdateAlias treats an alias with provisioned concurrency until the new version has its own."""
    what = "an alias with provisioned concurrency, right after it moved"
    expected = "the old version keeps all weight until the new one is warm"
    if not asked.site.is_real:
        asked.report.not_shown("Provisioned concurrency", what, expected, "the engine moves it at once")
        return
    functions, name = asked.site.client("lambda"), f"{asked.sample.name}"
    alias = functions.get_alias(FunctionName=name, Name="live")
    old = alias["FunctionVersion"]
    functions.create_alias(FunctionName=name, Name="warm", FunctionVersion=old)
    try:
        functions.put_provisioned_concurrency_config(
            FunctionName=name, Qualifier="warm", ProvisionedConcurrentExecutions=1
        )
        wait_for(lambda: _is_warm(functions, name), "the provisioned concurrency", seconds=WARM_SECONDS)
        other = str(int(old) - 1)
        moved = functions.update_alias(FunctionName=name, Name="warm", FunctionVersion=other)
        weights = (moved.get("RoutingConfig") or {}).get("AdditionalVersionWeights") or {}
        kept = weights == {old: 1.0}
        asked.report.measure(
            "Provisioned concurrency",
            what,
            expected,
            f"version {moved['FunctionVersion']}, weights {weights or 'none'}",
            right=kept,
        )
    finally:
        with suppress(ClientError):
            functions.delete_provisioned_concurrency_config(FunctionName=name, Qualifier="warm")
        functions.delete_alias(FunctionName=name, Name="warm")


def _is_warm(functions: Any, name: str) -> bool | None:
    found = functions.get_provisioned_concurrency_config(FunctionName=name, Qualifier="warm")
    return True if found["Status"] == "READY" else None


def refused(
    asked: Asked,
    chapter: str,
    what: str,
    code: str,
    act: Callable[[], Any],
    *,
    unless_engine: tuple[str, ...] = (),
) -> None:
    if not asked.site.is_real and what in unless_engine:
        asked.report.not_shown(chapter, what, code, "the engine does not refuse it")
        return
    try:
        act()
    except ClientError as error:
        asked.report.expect(chapter, what, code, error.response["Error"]["Code"])
    else:
        asked.report.expect(chapter, what, code, "nothing was refused")


QUESTIONS: tuple[Callable[[Asked], None], ...] = (
    names_of_errors,
    write_once,
    packed_size,
    notices_are_in_order,
    provisioned_concurrency,
    metrics_arrive,
)
