"""The artifacts of a release: what its manifest says about each file, and where the bytes are pinned."""

from __future__ import annotations

from tagship.model.records import ReleaseRecord, manifest_of
from tagship.model.release import Manifest, PinnedObject
from tagship.targets.kind import Artifacts


def artifacts_of(record: ReleaseRecord) -> Artifacts:
    """By the artifact's name, for a release that passed its gates."""
    return {
        artifact.name: (artifact, PinnedObject.from_dict(record["objects"][artifact.file]))
        for artifact in Manifest.from_dict(manifest_of(record)).artifacts
    }
