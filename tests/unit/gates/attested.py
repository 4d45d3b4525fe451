"""Build attestations as GitHub's workflows write them, with what is different about one."""

from __future__ import annotations

import base64
import json
from typing import Any

from tests.unit.builders import CODE, changed, manifest, sha256

REPOSITORY = "https://github.com/acme/storefront"
WORKFLOW = f"{REPOSITORY}/.github/workflows/release.yaml@refs/tags/v1.4.0"


def statement(**changes: Any) -> dict[str, Any]:
    """A good in-toto statement; a dotted name changes what is below."""
    good = {
        "_type": "https://in-toto.io/Statement/v1",
        "subject": [{"name": "storefront.zip", "digest": {"sha256": sha256(CODE)}}],
        "predicateType": "https://slsa.dev/provenance/v1",
        "predicate": {
            "buildDefinition": {
                "buildType": "https://actions.github.io/buildtypes/workflow/v1",
                "externalParameters": {
                    "workflow": {
                        "ref": "refs/tags/v1.4.0",
                        "repository": REPOSITORY,
                        "path": ".github/workflows/release.yaml",
                    }
                },
                "internalParameters": {
                    "github": {"event_name": "push", "runner_environment": "github-hosted"}
                },
                "resolvedDependencies": [
                    {
                        "uri": f"git+{REPOSITORY}@refs/tags/v1.4.0",
                        "digest": {"gitCommit": manifest()["commit"]},
                    }
                ],
            },
            "runDetails": {
                "builder": {"id": WORKFLOW},
                "metadata": {"invocationId": f"{REPOSITORY}/actions/runs/1/attempts/1"},
            },
        },
    }
    return changed(good, changes)


def envelope(payload: Any, /, **changes: Any) -> dict[str, Any]:
    """A signed DSSE envelope around a statement."""
    raw = payload if isinstance(payload, bytes) else json.dumps(payload).encode()
    return {
        "payload": base64.b64encode(raw).decode(),
        "payloadType": "application/vnd.in-toto+json",
        "signatures": [{"sig": "bm90IHZlcmlmaWVkIGhlcmU="}],
    } | changes


def bundle(payload: Any) -> dict[str, Any]:
    """A Sigstore bundle around that."""
    return {
        "mediaType": "application/vnd.dev.sigstore.bundle.v0.3+json",
        "verificationMaterial": {"certificate": {"rawBytes": "AAAA"}, "tlogEntries": []},
        "dsseEnvelope": envelope(payload),
    }


def written(*documents: Any) -> bytes:
    """One document a line."""
    return b"\n".join(json.dumps(document).encode() for document in documents) + b"\n"
