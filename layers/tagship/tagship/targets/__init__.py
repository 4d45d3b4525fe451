"""The kinds of target that Tagship deploys to. To add a kind, add one file and one line here."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import reduce
from operator import or_
from typing import TYPE_CHECKING, Any

from tagship.aws.rights import ClientAs, Location, Right, narrowed, partition_of
from tagship.model.fields import rebuilt
from tagship.model.release import PinnedObject, folder_of
from tagship.targets import cloudformation_stack, custom, ecs, lambda_alias, static_site, step_functions
from tagship.targets.kind import Kind, Target

if TYPE_CHECKING:
    from botocore.config import Config

_ALL = (
    lambda_alias.KIND,
    step_functions.KIND,
    cloudformation_stack.KIND,
    ecs.KIND,
    static_site.KIND,
    custom.KIND,
)
KINDS: Mapping[str, Kind] = {kind.name: kind for kind in _ALL}
"""Every kind of target, by its name in `target.type`."""


def specs(kinds: Iterable[Kind]) -> Any:
    """The type of `target` in application.yaml: one kind's model, or a union by `type`."""
    return reduce(or_, (kind.spec for kind in kinds))


if TYPE_CHECKING:
    TargetSpec = Location  # options of one kind are refused for every other kind
else:
    TargetSpec = specs(_ALL)


def kind_of(spec: Location) -> Kind:
    """The kind of a target's configuration."""
    return next(kind for kind in KINDS.values() if isinstance(spec, kind.spec))


def spec_of(document: Mapping[str, Any]) -> Location:
    """Validates and returns the target in an application's configuration, as the ledger stores it."""
    spec: Location = rebuilt(KINDS[document["type"]].spec, document)
    return spec


def target_of(
    spec: Location,
    *,
    application: str,
    tag: str,
    client_as: ClientAs,
    objects: Iterable[PinnedObject] = (),
) -> Target:
    """Returns the adapter for an application's target. It acts in the application's role; `objects` are the objects it
    may upload.

    Raises CredentialsRefused if the role can't be assumed.
    """
    from tagship.aws.clients import UPLOADING

    kind, folder = kind_of(spec), folder_of(application, tag)
    sources = sorted({_source(spec, pinned.bucket, folder) for pinned in objects})
    may = kind.rights(spec, objects=sources)

    def client(service: str, *, config: Config | None = None, on: Sequence[str] = ()) -> Any:
        return client_as(service, may=narrowed(may, on), config=config or (UPLOADING if sources else None))

    return kind.make(application=application, tag=tag, spec=spec, client=client)


def rights(spec: Location, *, application: str, bucket: str) -> tuple[Right, ...]:
    """The permissions that the adapter needs in the application's role, for any tag."""
    return kind_of(spec).rights(spec, objects=[_source(spec, bucket, f"releases/{application}/")])


def _source(spec: Location, bucket: str, folder: str) -> str:
    return f"arn:{partition_of(spec)}:s3:::{bucket}/{folder}*"


__all__ = ["KINDS", "Target", "TargetSpec", "kind_of", "rights", "spec_of", "specs", "target_of"]
