"""Targets: what is deployed to. A new target is one file and one line here."""

from __future__ import annotations

from tagship.application import Application
from tagship.targets.lambda_function import LambdaFunction
from tagship.targets.target import ClientAs, Target


def target_of(configuration: Application, *, tag: str, client_as: ClientAs) -> Target:
    """The adapter for an application's target, on clients in the application's role."""
    return LambdaFunction(
        application=configuration.application,
        tag=tag,
        target=configuration.target,
        client=client_as(
            "lambda",
            role=configuration.target.role,
            external_id=configuration.target.externalId,
            region=configuration.target.region,
            application=configuration.application,
            tag=tag,
        ),
    )


__all__ = ["Target", "target_of"]
