"""Target `static-site`: files in S3 behind CloudFront. Its part of application.yaml, and its `Kind`.

The adapter is in its own modules, so that a step that only reads a configuration does not load it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from importlib import import_module
from typing import Annotated, Any, Literal

import annotated_types as at

from tagship.aws.rights import Right, partition_of
from tagship.model.fields import ACCOUNT, CONFIG, EXTERNAL_ID, REGION, ROLE, Matching
from tagship.model.records import Revision
from tagship.targets.kind import Keeper, Kind, Subject, Target

SITE = "site"
"""The name of the artifact that a release contains."""
RELEASES, IMMUTABLE, LISTINGS = "releases/", "immutable/", "listings/"
"""The bucket's folders: each release's own files, files with a hash in their name, and the list of each release's
files."""
HEADER = "x-tagship-release"
"""A request header that selects one of the releases that get traffic."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StaticSiteTarget:
    """Files in an S3 bucket behind CloudFront; traffic moves by a CloudFront function."""

    __pydantic_config__ = CONFIG

    type: Literal["static-site"]
    """The kind of target."""
    bucket: Annotated[str, Matching(r"^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$", "a bucket's name")]
    """The bucket that the distribution serves from; only this site is in it."""
    function: Annotated[
        str, Matching(r"^[A-Za-z0-9_-]{1,64}$", "a CloudFront function's name: letters, digits, - and _")
    ]
    """The CloudFront function of the distribution that Tagship writes (event type viewer-request)."""
    account: Annotated[str, ACCOUNT]
    """The target's AWS account, 12 digits in quotes."""
    region: Annotated[str, REGION]
    """The bucket's AWS region."""
    role: Annotated[str, ROLE]
    """The role that Tagship assumes for every call to the target."""
    externalId: Annotated[str, EXTERNAL_ID]
    """The external ID that the role's trust policy requires."""
    hashed: Annotated[
        tuple[Annotated[str, Matching(r"^[A-Za-z0-9_-][A-Za-z0-9._/-]{0,99}/$", "a folder: assets/")], ...],
        at.MaxLen(20),
    ] = ()
    """Folders in which every file name contains a hash of the content; other hashed files are recognized by name."""
    paths: Literal["folders", "files", "single-page"] = "folders"
    """What the path /about serves: /about/index.html, /about.html, or always /index.html."""


def place_of(target: StaticSiteTarget) -> str:
    """What a revision is `of`."""
    return f"{target.account}/{target.bucket}/{target.function}"


def rights(target: StaticSiteTarget, *, objects: Iterable[str]) -> tuple[Right, ...]:
    """The permissions that this adapter needs in the application's role: one bucket and one function. It deletes
    nothing.

    `objects` are the ARNs of the packages that may be read. If there are none, nothing may be written to the bucket.
    """
    partition, packages = partition_of(target), tuple(objects)
    bucket = f"arn:{partition}:s3:::{target.bucket}"
    folders = tuple(f"{bucket}/{folder}*" for folder in (RELEASES, IMMUTABLE, LISTINGS))
    may = [
        Right(name="ListTheBucket", actions=("s3:ListBucket",), on=(bucket,)),
        Right(name="ReadTheSite", actions=("s3:GetObject",), on=folders),
        Right(
            name="MoveTheTraffic",
            actions=(
                "cloudfront:DescribeFunction",
                "cloudfront:GetFunction",
                "cloudfront:UpdateFunction",
                "cloudfront:TestFunction",
                "cloudfront:PublishFunction",
            ),
            on=(f"arn:{partition}:cloudfront::{target.account}:function/{target.function}",),
        ),
    ]
    if packages:
        may += [
            Right(name="UploadTheSite", actions=("s3:PutObject",), on=folders),
            Right(name="ReadThePinnedPackage", actions=("s3:GetObjectVersion",), on=packages),
        ]
    return tuple(may)


def _make(*, client: Callable[[str], Any], **given: Any) -> Target:
    adapter: Target = import_module("tagship.targets.static_site_adapter").StaticSite(
        s3=client("s3"), cloudfront=client("cloudfront"), **given
    )
    return adapter


def _keeps(*, client: Callable[[str], Any], **given: Any) -> Keeper:
    keeper: Keeper = import_module("tagship.targets.static_site_retention").Sites(s3=client("s3"), **given)
    return keeper


def _subject(spec: StaticSiteTarget, revision: Revision | None) -> Subject:
    version = revision["id"] if revision else ""
    return Subject(
        names={"bucket": spec.bucket, "function": spec.function, "version": version},
        headers={HEADER: version} if version else {},
    )


def _describe(_: StaticSiteTarget, revision: Revision | None) -> str:
    return f"site {revision['id']}" if revision and revision["id"] else ""


def _where(spec: StaticSiteTarget) -> str:
    return f"the site in the bucket {spec.bucket}, served by the function {spec.function} (account {spec.account})"


KIND = Kind(
    name="static-site",
    spec=StaticSiteTarget,
    example={
        "type": "static-site",
        "bucket": "storefront-site",
        "function": "storefront-releases",
        "account": "123456789012",
        "region": "eu-central-1",
        "role": "arn:aws:iam::123456789012:role/tagship-app-storefront",
        "externalId": "tagship-production",
        "hashed": ["assets/"],
        "paths": "folders",
    },
    artifacts={SITE: "the site's files, as a zip"},
    planned=[
        "the function storefront-releases: site 061456db9093a096 → a new one (1204 files, 48.2 MiB)",
        "Pages changed: index.html, basket/index.html",
        "Pages added: vouchers/index.html",
        "Hashed files: 41 added, 38 no longer used; these stay reachable for open tabs.",
    ],
    weighted=True,
    step_seconds=30,
    settle_seconds=300,
    make=_make,
    rights=rights,
    subject=_subject,
    describe=_describe,
    where=_where,
    keeps=_keeps,
)
