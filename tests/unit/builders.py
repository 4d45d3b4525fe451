"""Documents and records as they are when nothing is wrong, with what is different about one of them."""

from __future__ import annotations

import copy
import hashlib
from collections.abc import Mapping
from typing import Any

from tagship.model.documents import as_document, read_application
from tagship.targets import kind_of
from tagship.targets.kind import Subject

APPLICATION, TAG, EXECUTION = (
    "storefront",
    "v1.4.0",
    "arn:aws:states:us-east-1:000000000000:execution:release:one",
)
CODE = b"the code of storefront v1.4.0"


class _Gone:
    """Reads the same in every test run: the ids of tests are made of it, and two workers must agree on them."""

    def __repr__(self) -> str:
        return "GONE"


GONE = _Gone()
"""For `changed`: this field is left out."""


def sha256(content: bytes) -> str:
    """As a manifest writes it."""
    return hashlib.sha256(content).hexdigest()


def manifest(**changes: Any) -> dict[str, Any]:
    """A good `release.json`."""
    return {
        "schemaVersion": 1,
        "application": APPLICATION,
        "tag": TAG,
        "commit": "0123456789abcdef0123456789abcdef01234567",
        "repository": "acme/storefront",
        "author": "dana@example.com",
        "createdAt": "2026-11-23T09:40:00Z",
        "artifacts": [
            {"name": "function", "file": "storefront.zip", "sha256": sha256(CODE), "size": len(CODE)}
        ],
    } | changes


def application(**changes: Any) -> dict[str, Any]:
    """A good configuration, as a team writes it."""
    return {
        "application": APPLICATION,
        "target": {
            "type": "lambda",
            "function": "storefront",
            "account": "000000000000",
            "region": "us-east-1",
            "role": "arn:aws:iam::000000000000:role/tagship-app-storefront",
            "externalId": "tagship-production",
        },
        "approval": {"approvers": ["ana@example.com", "bo@example.com", "chi@example.com"]},
        "health": {"checks": [{"type": "lambda"}]},
    } | changes


def record(**changes: Any) -> dict[str, Any]:
    """The result of `read_release`, to be claimed."""
    return {
        "application": APPLICATION,
        "tag": TAG,
        "stage": "production",
        "execution": EXECUTION,
        "digest": sha256(b"release.json"),
        "release": {
            "bucket": "releases",
            "key": f"releases/{APPLICATION}/{TAG}/release.json",
            "versionId": "1",
            "size": 12,
        },
        "manifest": manifest(notes="", parameters={}),
        "problems": [],
        "objects": {
            "storefront.zip": {
                "bucket": "releases",
                "key": f"releases/{APPLICATION}/{TAG}/storefront.zip",
                "versionId": "7",
                "size": len(CODE),
            }
        },
        "configuration": configured(application()),
        "phase": "gates",
    } | changes


def configured(document: Mapping[str, Any]) -> dict[str, Any]:
    """An application's configuration as a release pins it."""
    return {"version": 3, "document": as_document(read_application(document)), "problems": []}


def changed(document: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """A copy with changed fields, such as `{"artifacts.0.size": 3}`; GONE removes a field."""
    copied = copy.deepcopy(dict(document))
    for path, value in changes.items():
        *above, last = [int(part) if part.isdigit() else part for part in path.split(".")]
        here: Any = copied
        for part in above:
            here = here[part]
        if value is GONE:
            del here[last]
        elif isinstance(here, list) and last == len(here):
            here.append(value)
        else:
            here[last] = value
    return copied


def revision(name: str) -> dict[str, Any]:
    """A target's revision, as its adapter describes it."""
    return {"id": name, "digest": f"digest of {name}", "data": {"codeSha256": f"code of {name}"}}


def subject(version: str = "") -> Subject:
    """What health checks can query about a version of the good configuration's target, or about the current one."""
    target = read_application(application()).target
    return kind_of(target).subject(target, revision(version) if version else None)  # type: ignore[arg-type]


def locations(baseline: str | None, candidate: str, *, etag: str = "r1", **more: Any) -> list[dict[str, Any]]:
    """A plan's one location."""
    return [
        {
            "location": "000000000000/us-east-1",
            "baseline": revision(baseline) if baseline else None,
            "candidate": revision(candidate),
            "etag": etag,
            **more,
        }
    ]
