"""Target `custom`: anything that a team's own function deploys. Its part of application.yaml, and its `Kind`.

The adapter is in its own module, so that a step that only reads a configuration does not load it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from importlib import import_module
from typing import Annotated, Any, Literal

import annotated_types as at

from tagship.aws.rights import Right, invoking
from tagship.model.fields import ACCOUNT, CONFIG, EXTERNAL_ID, FUNCTION_NAME, REGION, ROLE
from tagship.model.records import Revision
from tagship.targets.kind import Kind, Subject, Target

RELEASE = "release"
"""The name of the artifact that a release contains."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CustomTarget:
    """A target that the team's own function plans, changes and restores, through a JSON protocol."""

    __pydantic_config__ = CONFIG

    type: Literal["custom"]
    """The kind of target."""
    function: Annotated[str, FUNCTION_NAME]
    """The team's function, in the account and region below."""
    account: Annotated[str, ACCOUNT]
    """The target's AWS account, 12 digits in quotes."""
    region: Annotated[str, REGION]
    """The target's AWS region."""
    role: Annotated[str, ROLE]
    """The role that Tagship assumes to invoke it."""
    externalId: Annotated[str, EXTERNAL_ID]
    """The external ID that the role's trust policy requires."""
    settings: Annotated[
        Mapping[Annotated[str, at.MaxLen(64)], Annotated[str, at.MaxLen(1024)]], at.MaxLen(50)
    ] = field(default_factory=dict, hash=False)  # a mapping has no hash, and sessions are cached by target
    """Text settings that the function gets with each request, such as a zone, a record or a table."""


def rights(target: CustomTarget, *, objects: Iterable[str]) -> tuple[Right, ...]:  # noqa: ARG001 (the function reads them)
    """Permission to invoke the function. The function deploys and reads with its own role."""
    return (invoking(target, target.function, name="AskTheFunction"),)


def _make(*, client: Callable[..., Any], **given: Any) -> Target:
    from tagship.aws.clients import ASKED_BRIEFLY

    adapter: Target = import_module("tagship.targets.custom_function").CustomFunction(
        client=client("lambda", config=ASKED_BRIEFLY), **given
    )
    return adapter


def _subject(spec: CustomTarget, revision: Revision | None) -> Subject:
    return Subject(names={**spec.settings, "version": revision["id"] if revision else ""})


def _describe(_: CustomTarget, revision: Revision | None) -> str:
    return revision["id"] if revision else ""


def _where(spec: CustomTarget) -> str:
    return f"what {spec.function} deploys (account {spec.account}, {spec.region})"


KIND = Kind(
    name="custom",
    spec=CustomTarget,
    example={
        "type": "custom",
        "function": "storefront-deployer",
        "account": "123456789012",
        "region": "eu-central-1",
        "role": "arn:aws:iam::123456789012:role/tagship-app-storefront",
        "externalId": "tagship-production",
        "settings": {"zone": "Z0123456789ABCDEFGHIJ", "record": "shop.example.com"},
    },
    artifacts={RELEASE: "what the function understands"},
    planned=["shop.example.com: storefront-1.example.com → storefront-2.example.com"],
    weighted=True,
    step_seconds=60,
    settle_seconds=300,
    make=_make,
    rights=rights,
    subject=_subject,
    describe=_describe,
    where=_where,
)
