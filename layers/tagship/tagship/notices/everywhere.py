"""A fact about all applications (a freeze of the stage) is told to whom each of them names, once to each reader."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from tagship.aws.calls import calling
from tagship.model.facts import Level

if TYPE_CHECKING:
    from mypy_boto3_ssm import SSMClient

Notifications = Mapping[str, Any]
"""The part of a configuration that says who is told."""


def readers(
    wanted: Iterable[tuple[str, Notifications]],
    those_of: Callable[[str, Notifications], list[Notifications]],
    sent_at: Callable[[Level], bool],
) -> list[dict[str, object]]:
    """Each reader of one channel once, whoever names them.

    `wanted` is each application with what it wants told. `those_of` gives its own readers, and `sent_at` says at which
    levels this fact is sent.
    """
    found: dict[str, dict[str, object]] = {}
    for application, each in wanted:
        level = each.get("level", Level.MILESTONES)
        if isinstance(level, str) and level in set(Level) and sent_at(Level(level)):
            for reader in those_of(application, each):
                found.setdefault(json.dumps(reader, sort_keys=True), dict(reader))
    return list(found.values())


def configured(ssm: SSMClient, stage: str) -> Iterator[tuple[str, Notifications]]:
    """Every application of the stage with what it wants told, as its configuration says now; what is none is left out.

    The application is that of the parameter's name, which the right to write it is a right on.

    Raises AwsUnavailable when Parameter Store can't be asked just now.
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
        return {}  # its next release says so
    found = document.get("notifications") if isinstance(document, dict) else None
    return found if isinstance(found, dict) else {}
