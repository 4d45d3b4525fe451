"""Targets: what is deployed to. A new target is one file and one line here."""

from __future__ import annotations

from collections.abc import Iterable

from tagship.aws.clients import UPLOADING
from tagship.aws.rights import ClientAs, Right, partition_of
from tagship.model.application import Application, LambdaTarget
from tagship.model.release import PinnedObject, folder_of
from tagship.targets import lambda_alias as lambda_function
from tagship.targets.kind import Target


def target_of(
    configuration: Application, *, tag: str, client_as: ClientAs, objects: Iterable[PinnedObject] = ()
) -> Target:
    """The adapter for an application's target, in the application's role; `objects` are what may be uploaded to it.

    Raises CredentialsRefused where the role can't be assumed.
    """
    folder = folder_of(configuration.application, tag)
    sources = sorted({_source(configuration.target, pinned.bucket, folder) for pinned in objects})
    may = lambda_function.rights(configuration.target, objects=sources)
    return lambda_function.LambdaFunction(
        application=configuration.application,
        tag=tag,
        target=configuration.target,
        client=client_as("lambda", may=may, config=UPLOADING if sources else None),
    )


def rights(configuration: Application, *, bucket: str) -> tuple[Right, ...]:
    """What the adapter asks of the application's role, for whatever tag."""
    source = _source(configuration.target, bucket, f"releases/{configuration.application}/")
    return lambda_function.rights(configuration.target, objects=[source])


def _source(target: LambdaTarget, bucket: str, folder: str) -> str:
    return f"arn:{partition_of(target)}:s3:::{bucket}/{folder}*"


__all__ = ["Target", "rights", "target_of"]
