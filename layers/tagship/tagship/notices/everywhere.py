"""Sends a fact about all applications (a freeze of the stage) to the recipients of each, once to each recipient."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from tagship.aws.calls import calling
from tagship.model.facts import Level

if TYPE_CHECKING:
    from mypy_boto3_ssm import SSMClient

Notifications = Mapping[str, Any]
"""The part of a configuration that names recipients."""


def readers(
    settings: Iterable[tuple[str, Notifications]],
    those_of: Callable[[str, Notifications], list[Notifications]],
    sent_at: Callable[[Level], bool],
) -> list[dict[str, object]]:
    """Each recipient of one channel once, even if several applications name it.

    `settings` maps each application to its notification settings. `those_of` returns its recipients, and `sent_at` whether
    this fact is sent at a level.
    """
    found: dict[str, dict[str, object]] = {}
    for application, each in settings:
        level = each.get("level", Level.MILESTONES)
        if isinstance(level, str) and level in set(Level) and sent_at(Level(level)):
            for reader in those_of(application, each):
                found.setdefault(json.dumps(reader, sort_keys=True), dict(reader))
    return list(found.values())


def configured(ssm: SSMClient, stage: str) -> Iterator[tuple[str, Notifications]]:
    """Every application of the stage with its current notification settings; invalid configurations are left out.

    The application is the one in the parameter's name, because the permission to write applies to that name.

    Raises AwsUnavailable if Parameter Store is not available.
    """
    folder = f"/tagship/{stage}/applications"
    with calling("Reading the applications' configurations"):
        pages = ssm.get_paginator("get_parameters_by_path").paginate(Path=folder, WithDecryption=True)
        for page in pages:
            for parameter in page["Parameters"]:
                yield parameter["Name"].removeprefix(f"{folder}/"), _notifications(parameter["Value"])


def _notifications(text: str) -> Notifications:
    try:
        document = json.loads(text)
    except (ValueError, RecursionError):
        return {}  # its next release reports it
    found = document.get("notifications") if isinstance(document, dict) else None
    return found if isinstance(found, dict) else {}
